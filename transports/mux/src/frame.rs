//! The frames of a tunnel: yamux's format, version 0.
//!
//! ```text
//! version 1 | type 1 | flags 2 | stream 4 | length 4, all big-endian; data: `length` bytes follow
//! ```

use std::io;

use bytes::Bytes;

use crate::failure::failure;

/// Bytes before a frame's body.
pub(crate) const HEADER_BYTES: usize = 12;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `length` bytes of a stream.
    Data,
    /// `length` bytes more may be sent in a stream.
    Credit,
    /// Asks for itself with [`ACK`]; `length` is whatever the asker likes.
    Ping,
    /// The end of the tunnel; `length` is why.
    Goodbye,
}

/// A stream's first frame.
pub(crate) const SYN: u16 = 1;
/// The answer to a stream's first frame, or to a ping.
pub(crate) const ACK: u16 = 2;
/// No more follows in this direction.
pub(crate) const FIN: u16 = 4;
/// The stream is over, whatever is under way.
pub(crate) const RST: u16 = 8;

/// A goodbye without a fault, and one because the other end broke the protocol.
pub(crate) const NO_FAULT: u32 = 0;
pub(crate) const PROTOCOL_FAULT: u32 = 1;

/// What stands before a frame's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) flags: u16,
    /// 0 is the tunnel itself.
    pub(crate) stream: u32,
    pub(crate) length: u32,
}

impl Header {
    pub(crate) fn encode(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[1] = self.kind as u8;
        bytes[2..4].copy_from_slice(&self.flags.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.stream.to_be_bytes());
        bytes[8..].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    fn decode(bytes: [u8; HEADER_BYTES]) -> io::Result<Self> {
        let [version, kind, f1, f0, s3, s2, s1, s0, l3, l2, l1, l0] = bytes;
        let kind = match (version, kind) {
            (0, 0) => Kind::Data,
            (0, 1) => Kind::Credit,
            (0, 2) => Kind::Ping,
            (0, 3) => Kind::Goodbye,
            (0, _) => return Err(broken("a frame of an unknown type")),
            _ => return Err(broken("a frame of another version")),
        };
        Ok(Self {
            kind,
            flags: u16::from_be_bytes([f1, f0]),
            stream: u32::from_be_bytes([s3, s2, s1, s0]),
            length: u32::from_be_bytes([l3, l2, l1, l0]),
        })
    }

    pub(crate) fn has(self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

/// The other end broke the protocol.
pub(crate) fn broken(what: &str) -> io::Error {
    failure(io::ErrorKind::InvalidData, format!("the tunnel broke: {what}"))
}

/// A frame that is to be sent: its parts, one after the other.
#[derive(Debug)]
pub struct Frame(Parts);

#[derive(Debug)]
enum Parts {
    Apart([u8; HEADER_BYTES], Bytes),
    Joined(Vec<u8>),
}

impl Frame {
    /// A header, and a body that stays where it is.
    pub(crate) fn apart(header: Header, body: Bytes) -> Self {
        Self(Parts::Apart(header.encode(), body))
    }

    /// A header and a copy of `body`.
    pub(crate) fn joined(header: Header, body: &[u8]) -> Self {
        Self(Parts::Joined([&header.encode(), body].concat()))
    }

    /// The bytes of header and body.
    #[expect(clippy::len_without_is_empty, reason = "none is")]
    pub fn len(&self) -> usize {
        match &self.0 {
            Parts::Apart(header, body) => header.len() + body.len(),
            Parts::Joined(bytes) => bytes.len(),
        }
    }

    /// A header and what follows it, for whoever can send both without putting them together.
    pub fn into_parts(self) -> (Option<[u8; HEADER_BYTES]>, Bytes) {
        match self.0 {
            Parts::Apart(header, body) => (Some(header), body),
            Parts::Joined(bytes) => (None, bytes.into()),
        }
    }

    /// Header and body in one piece.
    pub fn into_vec(self) -> Vec<u8> {
        match self.0 {
            Parts::Apart(header, body) => [&header[..], &body].concat(),
            Parts::Joined(bytes) => bytes,
        }
    }

    /// Appends header and body to `bytes`.
    pub(crate) fn append_to(&self, bytes: &mut Vec<u8>) {
        match &self.0 {
            Parts::Apart(header, body) => {
                bytes.extend_from_slice(header);
                bytes.extend_from_slice(body);
            }
            Parts::Joined(joined) => bytes.extend_from_slice(joined),
        }
    }
}

/// Finds the frames in messages, whose bounds need not be theirs.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    header: [u8; HEADER_BYTES],
    /// Bytes of the header that are there.
    filled: usize,
    /// What is still to come of a body.
    body: Option<(Header, usize)>,
}

/// What a message has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A frame begins.
    Header(Header),
    /// More of its body, the last of it where so told.
    Body { header: Header, bytes: Bytes, is_last: bool },
}

impl Parser {
    /// The next part of `message`; nothing where all of it is taken.
    pub(crate) fn next(&mut self, message: &mut Bytes) -> io::Result<Option<Part>> {
        if let Some((header, left)) = &mut self.body {
            if message.is_empty() && *left > 0 {
                return Ok(None);
            }
            let bytes = message.split_to(message.len().min(*left));
            *left -= bytes.len();
            let (header, is_last) = (*header, *left == 0);
            if is_last {
                self.body = None;
            }
            return Ok(Some(Part::Body { header, bytes, is_last }));
        }
        let taken = message.split_to(message.len().min(HEADER_BYTES - self.filled));
        self.header[self.filled..self.filled + taken.len()].copy_from_slice(&taken);
        self.filled += taken.len();
        if self.filled < HEADER_BYTES {
            return Ok(None);
        }
        self.filled = 0;
        let header = Header::decode(self.header)?;
        if header.kind == Kind::Data {
            self.body = Some((header, header.length as usize));
        }
        Ok(Some(Part::Header(header)))
    }

    /// Whether a frame has begun and not ended.
    pub(crate) fn is_within(&self) -> bool {
        self.filled > 0 || self.body.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_however_messages_cut_them() {
        let data = Header { kind: Kind::Data, flags: SYN | FIN, stream: 1, length: 5 };
        let empty = Header { length: 0, ..data };
        let credit = Header { kind: Kind::Credit, flags: ACK, stream: 7, length: 1 << 20 };
        let sent = [
            Frame::joined(data, b"hello").into_vec(),
            Frame::apart(empty, Bytes::new()).into_vec(),
            Frame::apart(credit, Bytes::new()).into_vec(),
        ]
        .concat();
        for cut in 1..=sent.len() {
            let (mut parser, mut headers, mut bodies) = (Parser::default(), vec![], vec![]);
            let mut ends = 0;
            for message in sent.chunks(cut) {
                let mut message = Bytes::copy_from_slice(message);
                while let Some(part) = parser.next(&mut message).unwrap() {
                    match part {
                        Part::Header(header) => headers.push(header),
                        Part::Body { bytes, is_last, .. } => {
                            bodies.extend_from_slice(&bytes);
                            ends += usize::from(is_last);
                        }
                    }
                }
            }
            assert_eq!((headers.as_slice(), ends), (&[data, empty, credit][..], 2));
            assert_eq!(bodies, b"hello");
            assert!(!parser.is_within());
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for bytes in [[1; HEADER_BYTES], [0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]] {
            let error = Parser::default().next(&mut Bytes::copy_from_slice(&bytes)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }
}
