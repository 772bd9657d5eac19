//! Look-ups of DNS records, which a browser cannot make itself.
//!
//! ```text
//! answer   any number of
//!          SRV   33 1 | seconds to live 4 | port 2 | host length 1 | host
//!          TXT   16 1 | text length 2 | text, UTF-8
//! ```

use crate::codec::{CodecError, Decoded, Target, is_name, named};

/// The first byte of an open request that asks for records.
const VERSION: u8 = 2;
/// The longest answer.
pub(crate) const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// What a stream is opened for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Open {
    /// Bytes to and from a target.
    Connect(Target),
    /// The answer to a question.
    LookUp(Question),
}

impl Open {
    /// Reads an open request from all of its bytes that are there so far.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Decoded<Self>, CodecError> {
        if bytes.first() == Some(&VERSION) {
            return Ok(match Question::decode(bytes)? {
                Decoded::Needs(needs) => Decoded::Needs(needs),
                Decoded::Done(question) => Decoded::Done(Self::LookUp(question)),
            });
        }
        Ok(match Target::decode(bytes)? {
            Decoded::Needs(needs) => Decoded::Needs(needs),
            Decoded::Done(target) => Decoded::Done(Self::Connect(target)),
        })
    }
}

/// The types of records that are looked up; their numbers are DNS's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordType {
    /// Texts.
    Txt = 16,
    /// Service locations.
    Srv = 33,
}

/// A name, and which of its records are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    name: String,
    record_type: RecordType,
}

impl Question {
    /// The records `record_type` of `name`.
    ///
    /// # Errors
    ///
    /// [`CodecError::Host`].
    pub fn new(name: &str, record_type: RecordType) -> Result<Self, CodecError> {
        if !is_name(name) {
            return Err(CodecError::Host);
        }
        Ok(Self { name: name.to_ascii_lowercase(), record_type })
    }

    /// The name, in lower case.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which records.
    pub fn record_type(&self) -> RecordType {
        self.record_type
    }

    /// The bytes of the open request.
    pub fn encode(&self) -> Vec<u8> {
        let length = u8::try_from(self.name.len()).expect("Question::new bounds the name");
        let mut bytes = vec![VERSION, length];
        bytes.extend((self.record_type as u16).to_be_bytes());
        bytes.extend(self.name.bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Decoded<Self>, CodecError> {
        let (name, number) = match named(bytes, VERSION)? {
            Decoded::Needs(needs) => return Ok(Decoded::Needs(needs)),
            Decoded::Done(found) => found,
        };
        let record_type = match number {
            16 => RecordType::Txt,
            33 => RecordType::Srv,
            other => return Err(CodecError::RecordType(other)),
        };
        Self::new(name, record_type).map(Decoded::Done)
    }
}

/// One record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A service location.
    Srv {
        /// The host's name.
        host: String,
        /// Its port.
        port: u16,
        /// Seconds that the answer may be kept.
        ttl: u32,
    },
    /// A text: its character strings, joined.
    Txt(String),
}

impl Record {
    /// The bytes of an answer: as many of `records` as fit.
    pub fn encode_all(records: &[Self]) -> Vec<u8> {
        let most = usize::try_from(MAX_ANSWER_BYTES).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        for record in records {
            let before = bytes.len();
            if !record.encode(&mut bytes) || bytes.len() > most {
                bytes.truncate(before);
            }
        }
        bytes
    }

    /// Whether its lengths can be written.
    fn encode(&self, bytes: &mut Vec<u8>) -> bool {
        match self {
            Self::Srv { host, port, ttl } => {
                let Ok(length) = u8::try_from(host.len()) else { return false };
                bytes.push(RecordType::Srv as u8);
                bytes.extend(ttl.to_be_bytes());
                bytes.extend(port.to_be_bytes());
                bytes.push(length);
                bytes.extend(host.bytes());
            }
            Self::Txt(text) => {
                let Ok(length) = u16::try_from(text.len()) else { return false };
                bytes.push(RecordType::Txt as u8);
                bytes.extend(length.to_be_bytes());
                bytes.extend(text.bytes());
            }
        }
        true
    }

    /// Reads a whole answer.
    ///
    /// # Errors
    ///
    /// [`CodecError::Records`].
    pub fn decode_all(mut bytes: &[u8]) -> Result<Vec<Self>, CodecError> {
        if bytes.len() as u64 > MAX_ANSWER_BYTES {
            return Err(CodecError::Records);
        }
        let mut records = Vec::new();
        while let Some((&tag, rest)) = bytes.split_first() {
            bytes = rest;
            records.push(match tag {
                33 => {
                    let ttl = u32::from_be_bytes(take(&mut bytes)?);
                    let port = u16::from_be_bytes(take(&mut bytes)?);
                    let [length] = take(&mut bytes)?;
                    Self::Srv { host: text(&mut bytes, length.into())?, port, ttl }
                }
                16 => {
                    let length = u16::from_be_bytes(take(&mut bytes)?);
                    Self::Txt(text(&mut bytes, length.into())?)
                }
                _ => return Err(CodecError::Records),
            });
        }
        Ok(records)
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], CodecError> {
    let (first, rest) = bytes.split_first_chunk().ok_or(CodecError::Records)?;
    *bytes = rest;
    Ok(*first)
}

fn text(bytes: &mut &[u8], length: usize) -> Result<String, CodecError> {
    let (first, rest) = bytes.split_at_checked(length).ok_or(CodecError::Records)?;
    *bytes = rest;
    String::from_utf8(first.to_vec()).map_err(|_| CodecError::Records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_come_back_as_sent_and_no_byte_more_is_asked_for() {
        for record_type in [RecordType::Srv, RecordType::Txt] {
            let question = Question::new("_mongodb._tcp.Cluster.example", record_type).unwrap();
            let bytes = question.encode();
            for end in 0..bytes.len() {
                let Ok(Decoded::Needs(needs)) = Open::decode(&bytes[..end]) else { panic!() };
                assert!(needs > 0 && end + needs <= bytes.len());
            }
            assert_eq!(Open::decode(&bytes), Ok(Decoded::Done(Open::LookUp(question))));
        }
        let target = Target::new("a", 1).unwrap();
        assert_eq!(Open::decode(&target.encode()), Ok(Decoded::Done(Open::Connect(target))));
        assert_eq!(Open::decode(&[2, 1, 0, 1, b'a']), Err(CodecError::RecordType(1)));
        assert_eq!(Open::decode(&[2, 1, 0, 33, b' ']), Err(CodecError::Host));
        assert_eq!(Open::decode(&[3]), Err(CodecError::Version(3)));
    }

    #[test]
    fn records_come_back_as_sent_and_broken_ones_are_errors() {
        let records = vec![
            Record::Srv { host: "db0.example".to_owned(), port: 27017, ttl: 60 },
            Record::Txt("authSource=admin".to_owned()),
            Record::Txt(String::new()),
        ];
        let bytes = Record::encode_all(&records);
        assert_eq!(Record::decode_all(&bytes), Ok(records));
        let whole = [0, 8 + 11, 8 + 11 + 3 + 16, bytes.len()];
        for end in 0..bytes.len() {
            assert_eq!(Record::decode_all(&bytes[..end]).is_ok(), whole.contains(&end), "{end}");
        }
        assert_eq!(Record::decode_all(&[1]), Err(CodecError::Records));
        assert_eq!(Record::decode_all(&[16, 0, 1, 0xff]), Err(CodecError::Records));
    }

    #[test]
    fn an_answer_has_an_end() {
        let long = Record::Txt("x".repeat(40_000));
        let bytes = Record::encode_all(&[long.clone(), long.clone(), Record::Txt("y".to_owned())]);
        let kept = vec![long, Record::Txt("y".to_owned())];
        assert_eq!(Record::decode_all(&bytes), Ok(kept), "what does not fit is left out");
        assert!(Record::encode_all(&[Record::Txt("x".repeat(70_000))]).is_empty());
    }
}
