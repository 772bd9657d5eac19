//! What can be wrong with a message.

use std::fmt;

use super::{Compressor, OpCode};

/// Why bytes are not a message, or a message not the expected one.
///
/// Every variant means that the connection cannot be used any more: what follows on it has no known
/// beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireError {
    /// The header says fewer bytes than a header (or the message's fixed part) has.
    TooShort {
        /// Bytes that the message has.
        length: usize,
        /// Bytes that it must have at least.
        least: usize,
    },
    /// The header says a negative length.
    Negative {
        /// The length in the header.
        length: i32,
    },
    /// The header says more bytes than the connection accepts.
    Oversized {
        /// Bytes that the message would have.
        length: usize,
        /// Bytes that are accepted.
        max: usize,
    },
    /// The header says another length than the frame has.
    WrongLength {
        /// Bytes that the header says.
        header: usize,
        /// Bytes that there are.
        actual: usize,
    },
    /// A number that is no op code of this protocol.
    UnknownOpCode(i32),
    /// An op code that has no place here: a compressed message without negotiated compression, or a
    /// request where a reply belongs.
    UnexpectedOpCode(OpCode),
    /// A compressed message whose compressor no specification knows.
    UnknownCompressor(u8),
    /// A compressed message whose compressor this client has not offered.
    CompressorNotOffered(Compressor),
    /// A compressed message that contains another number of bytes than it says.
    WrongUncompressedSize {
        /// Bytes that it says.
        said: usize,
        /// Bytes that it contains; `None` for more than it says, which is not looked into.
        actual: Option<usize>,
    },
    /// A compressed message that cannot be decompressed; what the algorithm says.
    Compression {
        /// The algorithm.
        compressor: Compressor,
        /// What it says.
        message: String,
    },
    /// The reply answers another request.
    WrongResponse {
        /// The request that waits for its reply.
        expected: i32,
        /// The request that the reply names.
        found: i32,
    },
    /// The checksum does not fit the bytes.
    Checksum {
        /// Computed from the bytes.
        computed: u32,
        /// Found in the message.
        found: u32,
    },
    /// Required flag bits (0 to 15) that this driver does not know.
    UnknownFlagBits(u32),
    /// No section of kind 0.
    MissingBody,
    /// A second section of kind 0.
    DuplicateBody,
    /// A section of an unknown kind.
    UnknownSection(u8),
    /// Two document sequences of one name.
    DuplicateSequence(String),
    /// More sections than any command has.
    TooManySections {
        /// Sections that are accepted.
        max: usize,
    },
    /// A document is not BSON; what the parser says.
    BadBson(String),
    /// A part of the message goes beyond its end.
    Truncated {
        /// Bytes that the part needs.
        needed: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// Bytes after the last part.
    TrailingBytes(usize),
    /// An OP_REPLY with the QueryFailure flag; what the server says.
    QueryFailure(String),
    /// An OP_REPLY with other than one document.
    WrongDocumentCount(i32),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { length, least } => {
                write!(f, "a message of {length} bytes, where at least {least} are needed")
            }
            Self::Negative { length } => write!(f, "a message of negative length ({length})"),
            Self::Oversized { length, max } => {
                write!(f, "a message of {length} bytes, where at most {max} are accepted")
            }
            Self::WrongLength { header, actual } => {
                write!(f, "the header says {header} bytes, the message has {actual}")
            }
            Self::UnknownOpCode(code) => write!(f, "op code {code} is not of this protocol"),
            Self::UnexpectedOpCode(code) => write!(f, "a message of kind {code} is not expected"),
            Self::WrongResponse { expected, found } => {
                write!(f, "the reply answers request {found}, not request {expected}")
            }
            Self::Checksum { computed, found } => {
                write!(
                    f,
                    "the message's checksum is {found:#010x}, its bytes give {computed:#010x}"
                )
            }
            Self::UnknownFlagBits(bits) => write!(f, "unknown required flag bits {bits:#06x}"),
            Self::QueryFailure(message) => write!(f, "the server could not answer: {message}"),
            Self::WrongDocumentCount(count) => {
                write!(f, "a reply of {count} documents, where exactly one belongs")
            }
            contents => contents.fmt_contents(f),
        }
    }
}

impl WireError {
    fn fmt_contents(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingBody => write!(f, "the message has no body section"),
            Self::DuplicateBody => write!(f, "the message has two body sections"),
            Self::UnknownSection(kind) => write!(f, "a section of unknown kind {kind}"),
            Self::DuplicateSequence(name) => write!(f, "two document sequences named \"{name}\""),
            Self::TooManySections { max } => write!(f, "more than {max} sections"),
            Self::BadBson(text) => write!(f, "the message contains invalid BSON: {text}"),
            Self::Truncated { needed, left } => {
                write!(f, "a part needs {needed} bytes, the message has {left} left")
            }
            Self::UnknownCompressor(id) => write!(f, "compressor {id} is not of this protocol"),
            Self::CompressorNotOffered(compressor) => {
                write!(f, "a message compressed by {}, which was not offered", compressor.as_str())
            }
            Self::WrongUncompressedSize { said, actual: Some(actual) } => {
                write!(f, "a compressed message says {said} bytes, and contains {actual}")
            }
            Self::WrongUncompressedSize { said, actual: None } => {
                write!(f, "a compressed message says {said} bytes, and contains more")
            }
            Self::Compression { compressor, message } => {
                write!(f, "a message cannot be decompressed by {}: {message}", compressor.as_str())
            }
            Self::TrailingBytes(count) => write!(f, "{count} bytes after the message's last part"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for WireError {}

impl From<bson::error::Error> for WireError {
    fn from(error: bson::error::Error) -> Self {
        Self::BadBson(error.to_string())
    }
}
