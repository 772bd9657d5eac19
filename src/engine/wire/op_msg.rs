//! OP_MSG: the one message of commands and their replies (specification message/OP_MSG).

use std::ops::{BitOr, Range};

use bson::raw::CStr;
use bson::{RawDocument, RawDocumentBuf};

use super::checksum::crc_32c;
use super::section::{Cursor, DocumentSequence};
use super::{Header, OpCode, WireError};

/// The flag bits of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// The message ends with a CRC-32C of its bytes.
    pub const CHECKSUM_PRESENT: Self = Self(1);
    /// The sender will send another message without waiting; on a request: no reply is wanted.
    pub const MORE_TO_COME: Self = Self(1 << 1);
    /// The client accepts several replies to this request.
    pub const EXHAUST_ALLOWED: Self = Self(1 << 16);

    /// Bits that a reader must understand ("flagBits": the low 16).
    const REQUIRED: u32 = 0xffff;

    /// Whether all flags of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits on the wire.
    pub fn bits(self) -> u32 {
        self.0
    }

    fn parse(bits: u32) -> Result<Self, WireError> {
        let known = Self::CHECKSUM_PRESENT.0 | Self::MORE_TO_COME.0;
        let unknown = bits & Self::REQUIRED & !known;
        if unknown == 0 { Ok(Self(bits)) } else { Err(WireError::UnknownFlagBits(unknown)) }
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A message that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct OpMsg {
    /// The flag bits, unknown optional ones included.
    pub flags: Flags,
    /// The document of the section of kind 0: the command or its reply.
    pub body: RawDocumentBuf,
    /// The sections of kind 1.
    pub sequences: Vec<DocumentSequence>,
}

impl OpMsg {
    /// Reads a whole frame, whose header was read already. The frame's buffer becomes the body's.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with flags, checksum, sections or their documents' lengths. Errors inside
    /// a document show where it is iterated.
    pub fn parse(mut frame: Vec<u8>) -> Result<Self, WireError> {
        let parts = Parts::parse(&frame)?;
        frame.truncate(parts.body.end);
        frame.drain(..parts.body.start);
        let body = RawDocumentBuf::from_bytes(frame)?;
        Ok(Self { flags: parts.flags, body, sequences: parts.sequences })
    }
}

struct Parts {
    flags: Flags,
    body: Range<usize>,
    sequences: Vec<DocumentSequence>,
}

impl Parts {
    fn parse(frame: &[u8]) -> Result<Self, WireError> {
        let length = frame.len();
        let least = FLAGS_AT + 4;
        if length < least {
            return Err(WireError::TooShort { length, least });
        }
        let mut cursor = Cursor::new(frame);
        cursor.take(FLAGS_AT)?;
        let flags = Flags::parse(cursor.i32()?.cast_unsigned())?;
        let end =
            if flags.contains(Flags::CHECKSUM_PRESENT) { checked_end(frame)? } else { length };
        let mut cursor = Cursor::new(&frame[..end]);
        cursor.take(least)?;
        Self::parse_sections(flags, &frame[..end], &mut cursor)
    }

    fn parse_sections(
        flags: Flags,
        bytes: &[u8],
        cursor: &mut Cursor<'_>,
    ) -> Result<Self, WireError> {
        let mut body = None;
        let mut sequences: Vec<DocumentSequence> = Vec::new();
        while cursor.left() > 0 {
            match cursor.u8()? {
                0 => {
                    let document = cursor.document()?;
                    if body.replace(document).is_some() {
                        return Err(WireError::DuplicateBody);
                    }
                }
                1 => {
                    let sequence = parse_sequence(&bytes[cursor.counted(MIN_SEQUENCE)?])?;
                    if sequences.len() == MAX_SEQUENCES {
                        return Err(WireError::TooManySections { max: MAX_SEQUENCES + 1 });
                    }
                    if sequences.iter().any(|known| known.identifier == sequence.identifier) {
                        return Err(WireError::DuplicateSequence(sequence.identifier));
                    }
                    sequences.push(sequence);
                }
                kind => return Err(WireError::UnknownSection(kind)),
            }
        }
        let body = body.ok_or(WireError::MissingBody)?;
        Ok(Self { flags, body, sequences })
    }
}

/// A section of kind 1, from its size on.
fn parse_sequence(section: &[u8]) -> Result<DocumentSequence, WireError> {
    let mut cursor = Cursor::new(section);
    cursor.take(4)?;
    let identifier = cursor.cstring()?.to_owned();
    let documents = cursor.take(cursor.left())?;
    DocumentSequence::parse(identifier, &section[documents])
}

/// Where the sections end, once the checksum behind them fits.
fn checked_end(frame: &[u8]) -> Result<usize, WireError> {
    let least = FLAGS_AT + 8;
    let short = WireError::TooShort { length: frame.len(), least };
    let (bytes, checksum) = match frame.split_last_chunk::<4>() {
        Some(split) if frame.len() >= least => split,
        _ => return Err(short),
    };
    let found = u32::from_le_bytes(*checksum);
    let computed = crc_32c(bytes);
    if found == computed { Ok(bytes.len()) } else { Err(WireError::Checksum { computed, found }) }
}

/// Writes one message behind what a buffer already holds.
///
/// ```
/// use bson::raw::cstr;
/// use bson::rawdoc;
/// use portolan::engine::wire::{Flags, OpMsgBuilder};
///
/// let mut buffer = Vec::new();
/// let mut message = OpMsgBuilder::begin(&mut buffer, 1, 0, Flags::NONE);
/// message.body(&rawdoc! { "insert": "ports", "$db": "harbour" });
/// message.sequence(cstr!("documents"), [rawdoc! { "_id": 1 }, rawdoc! { "_id": 2 }].iter());
/// let length = message.finish()?;
/// assert_eq!(length, buffer.len());
/// # Ok::<(), portolan::engine::wire::WireError>(())
/// ```
#[derive(Debug)]
pub struct OpMsgBuilder<'a> {
    buffer: &'a mut Vec<u8>,
    start: usize,
    flags: Flags,
}

impl<'a> OpMsgBuilder<'a> {
    /// Begins a message with this number and these flags; `response_to` is 0 for a request.
    pub fn begin(buffer: &'a mut Vec<u8>, request_id: i32, response_to: i32, flags: Flags) -> Self {
        let start = buffer.len();
        Header::begin(buffer, request_id, response_to, OpCode::Msg);
        buffer.extend_from_slice(&flags.bits().to_le_bytes());
        Self { buffer, start, flags }
    }

    /// The section of kind 0: exactly one a message.
    pub fn body(&mut self, document: &RawDocument) {
        self.buffer.push(0);
        self.buffer.extend_from_slice(document.as_bytes());
    }

    /// A section of kind 1: the command's argument `identifier`, once for each name.
    pub fn sequence<'d, D>(
        &mut self,
        identifier: &CStr,
        documents: impl Iterator<Item = &'d D> + Clone,
    ) where
        D: AsRef<RawDocument> + 'd,
    {
        self.buffer.push(1);
        let at = self.buffer.len();
        self.buffer.extend_from_slice(&[0; 4]);
        self.buffer.extend_from_slice(identifier.as_str().as_bytes());
        self.buffer.push(0);
        // Once for all: the buffer would be moved again and again while it grows.
        self.buffer.reserve(documents.clone().map(|it| it.as_ref().as_bytes().len()).sum());
        for document in documents {
            self.buffer.extend_from_slice(document.as_ref().as_bytes());
        }
        // A length beyond 32 bits is refused by `finish`: the message is longer still.
        let length = (self.buffer.len() - at) as u32;
        self.buffer[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// Ends the message: its length, and its checksum where the flags promise one. Returns its
    /// bytes' number.
    ///
    /// # Errors
    ///
    /// [`WireError::Oversized`] if the message has more bytes than its header can say; the buffer
    /// is then as it was before the message.
    pub fn finish(self) -> Result<usize, WireError> {
        let with_checksum = self.flags.contains(Flags::CHECKSUM_PRESENT);
        if with_checksum {
            self.buffer.extend_from_slice(&[0; 4]);
        }
        let finished = Header::finish(self.buffer, self.start);
        if finished.is_err() {
            self.buffer.truncate(self.start);
        } else if with_checksum {
            let end = self.buffer.len() - 4;
            let checksum = crc_32c(&self.buffer[self.start..end]);
            self.buffer[end..].copy_from_slice(&checksum.to_le_bytes());
        }
        finished
    }
}

/// Where the flags stand: after the header.
const FLAGS_AT: usize = super::HEADER_LENGTH;

/// A sequence's size and the zero byte of an empty name.
const MIN_SEQUENCE: usize = 5;

/// No command has more than two; the bound keeps the search for equal names cheap.
const MAX_SEQUENCES: usize = 16;
