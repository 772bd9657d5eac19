//! OP_COMPRESSED: another message inside, compressed (specification compression/OP_COMPRESSED).
//!
//! [`Compression`] is what one connection has agreed upon: what it offers in its first hello, what
//! its requests are packed with, what replies may come in. A reply that expands beyond the wire's
//! maximum, that lies about its size or names a compressor that was not offered is an error, and
//! costs no more memory than the largest message.

use serde::{Deserialize, Serialize};

use super::section::Cursor;
use super::{HEADER_LENGTH, Header, OpCode, WireError};

/// An algorithm that compresses messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Compressor {
    /// Snappy.
    Snappy,
    /// zlib, with the level of
    /// [`zlib_compression_level`](crate::ClientOptions::zlib_compression_level).
    Zlib,
    /// Zstandard.
    Zstd,
}

impl Compressor {
    /// All compressors.
    pub const ALL: [Self; 3] = [Self::Snappy, Self::Zlib, Self::Zstd];

    /// The compressor's name in the handshake, and of the crate's feature that brings it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Snappy => "snappy",
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
        }
    }

    /// The compressor's number on the wire.
    fn id(self) -> u8 {
        match self {
            Self::Snappy => 1,
            Self::Zlib => 2,
            Self::Zstd => 3,
        }
    }
}

/// What a connection has agreed upon.
///
/// ```
/// use portolan::engine::wire::{Compression, Compressor};
///
/// let mut compression = Compression::offer(&[Compressor::Zstd, Compressor::Zlib], -1);
/// assert_eq!(compression.names(), ["zstd", "zlib"]);
/// compression.settle(&["snappy".to_owned(), "zlib".to_owned()]);
/// assert_eq!(compression.used(), Some(Compressor::Zlib));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Compression {
    offered: Vec<Compressor>,
    used: Option<Compressor>,
    zlib_level: i32,
}

impl Compression {
    /// Offers these compressors, the preferred one first; nothing is compressed yet.
    pub fn offer(compressors: &[Compressor], zlib_level: i32) -> Self {
        Self { offered: compressors.to_vec(), used: None, zlib_level }
    }

    /// What the first hello says.
    pub fn names(&self) -> Vec<&'static str> {
        self.offered.iter().map(|compressor| compressor.as_str()).collect()
    }

    /// Reads what the server accepts: "clients MUST use the first compressor in the client's
    /// configured compressors list that is also in the servers list".
    pub fn settle(&mut self, accepted: &[String]) {
        let known = |own: &Compressor| accepted.iter().any(|name| name == own.as_str());
        self.used = self.offered.iter().copied().find(known);
    }

    /// What requests are compressed with.
    pub fn used(&self) -> Option<Compressor> {
        self.used
    }

    /// Compresses one whole request where that was agreed upon and its command allows it.
    ///
    /// # Errors
    ///
    /// What the algorithm says, which has no reason to fail.
    pub fn pack(&self, message: &mut Vec<u8>) -> Result<(), WireError> {
        let Some(compressor) = self.used.filter(|_| is_compressible(message)) else {
            return Ok(());
        };
        let header = Header::of_frame(message)?;
        let contents = &message[HEADER_LENGTH..];
        let size = contents.len() as u32;
        let packed = compressor.compress(contents, self.zlib_level)?;
        // What cannot be made shorter must not become longer than the server accepts.
        if packed.len() + PREFIX > contents.len() && message.len() > LARGE {
            return Ok(());
        }
        message.clear();
        Header::begin(message, header.request_id, header.response_to, OpCode::Compressed);
        message.extend_from_slice(&header.op_code.number().to_le_bytes());
        message.extend_from_slice(&size.to_le_bytes());
        message.push(compressor.id());
        message.extend_from_slice(&packed);
        Header::finish(message, 0)?;
        Ok(())
    }

    /// The message that `frame`, one whole frame, is or contains; of at most `max` bytes.
    ///
    /// "There is no guarantee that a response will be compressed": one that is not comes back as it
    /// is.
    ///
    /// # Errors
    ///
    /// [`WireError::UnexpectedOpCode`] where nothing was offered, or for one compressed message
    /// inside another; [`WireError::Oversized`] before anything is allocated for it;
    /// [`WireError::UnknownCompressor`], [`WireError::CompressorNotOffered`],
    /// [`WireError::WrongUncompressedSize`] and [`WireError::Compression`].
    pub fn unpack(&self, frame: Vec<u8>, max: usize) -> Result<Vec<u8>, WireError> {
        let header = Header::of_frame(&frame)?;
        if header.op_code != OpCode::Compressed {
            return Ok(frame);
        }
        if self.offered.is_empty() {
            return Err(WireError::UnexpectedOpCode(OpCode::Compressed));
        }
        let mut cursor = Cursor::new(&frame);
        cursor.take(HEADER_LENGTH)?;
        let original = OpCode::from_number(cursor.i32()?)?;
        if original == OpCode::Compressed {
            return Err(WireError::UnexpectedOpCode(original));
        }
        let length = cursor.i32()?;
        let length = usize::try_from(length).map_err(|_| WireError::Negative { length })?;
        let whole = length.saturating_add(HEADER_LENGTH);
        if whole > max {
            return Err(WireError::Oversized { length: whole, max });
        }
        let compressor = self.compressor(cursor.u8()?)?;
        let contents = &frame[cursor.take(cursor.left())?];
        let mut message = Vec::new();
        Header::begin(&mut message, header.request_id, header.response_to, original);
        match compressor {
            Some(compressor) => compressor.decompress(contents, length, &mut message)?,
            None if contents.len() == length => message.extend_from_slice(contents),
            None => {
                let actual = Some(contents.len());
                return Err(WireError::WrongUncompressedSize { said: length, actual });
            }
        }
        Header::finish(&mut message, 0)?;
        Ok(message)
    }

    /// The compressor of this number; `None` for the one that leaves the message as it is.
    fn compressor(&self, id: u8) -> Result<Option<Compressor>, WireError> {
        if id == NOOP {
            return Ok(None);
        }
        let known = Compressor::ALL.into_iter().find(|compressor| compressor.id() == id);
        let compressor = known.ok_or(WireError::UnknownCompressor(id))?;
        if !self.offered.contains(&compressor) {
            return Err(WireError::CompressorNotOffered(compressor));
        }
        Ok(Some(compressor))
    }
}

/// Whether a request may be compressed: "certain messages MUST NOT be compressed, such as
/// authentication requests". One whose command cannot be told is not.
fn is_compressible(message: &[u8]) -> bool {
    let Some(command) = command_name(message) else { return false };
    !NEVER_COMPRESSED.iter().any(|name| name.eq_ignore_ascii_case(command))
}

/// The first key of the body, which stands first in what this driver sends.
fn command_name(message: &[u8]) -> Option<&str> {
    let header = Header::of_frame(message).ok()?;
    let kind_of_section = HEADER_LENGTH + 4;
    if header.op_code != OpCode::Msg || message.get(kind_of_section) != Some(&0) {
        return None;
    }
    // Behind the document's length and the type of its first element.
    let mut name = Cursor::new(message.get(kind_of_section + 6..)?);
    name.cstring().ok()
}

/// "Messages not allowed to be compressed", with both spellings of legacy hello.
const NEVER_COMPRESSED: [&str; 11] = [
    "hello",
    "isMaster",
    "saslStart",
    "saslContinue",
    "getnonce",
    "authenticate",
    "createUser",
    "updateUser",
    "copydbSaslStart",
    "copydbgetnonce",
    "copydb",
];

/// "noop: The content of the message is uncompressed."
const NOOP: u8 = 0;

/// Bytes of OP_COMPRESSED between the header and the compressed contents.
const PREFIX: usize = 9;

/// Bytes above which a request that compression makes longer goes as it is: all that a packed one
/// may gain (a sixth of it, by Snappy) fits below the 48,000,000 that servers accept.
const LARGE: usize = 40_000_000;

#[cfg(test)]
#[path = "compression_tests.rs"]
mod tests;
