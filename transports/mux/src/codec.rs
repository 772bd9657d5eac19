//! What is said at the head of each stream: where to, and whether.
//!
//! ```text
//! open request   version 1 (connect) | host length 1 | port 2, big endian | host
//!                version 2 (look up)  | name length 1 | type 2, big endian | name
//! status         code 1: 0 accepted | microseconds of dialling 4, big endian
//!                code 1: refused | reason length 2, big endian | reason, UTF-8
//! ```
//!
//! A decoder asks for exactly the bytes that it still needs, never past the end of its item: what
//! follows on the stream is payload. All lengths are bounded by their width.

use std::fmt;
use std::io;
use std::time::Duration;

/// The version this crate speaks.
const VERSION: u8 = 1;
/// Bytes of an open request before the host.
const OPEN_HEADER: usize = 4;
/// Bytes of a refusal before its reason.
const REFUSAL_HEADER: usize = 3;
/// The longest host name: what the domain name system allows.
const MAX_HOST_BYTES: usize = 253;
/// The longest reason; a longer one is cut.
const MAX_REASON_BYTES: usize = 1024;

/// The state of a decoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded<T> {
    /// At least this many bytes are missing, and all of them belong to this item.
    Needs(usize),
    /// All bytes are there.
    Done(T),
}

/// Where a stream goes: a host name or IP literal, and a TCP port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    host: String,
    port: u16,
}

/// Why bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodecError {
    /// An open request of a version that is not spoken here.
    Version(u8),
    /// The host is empty, longer than 253 bytes, or has characters no host name has.
    Host,
    /// The port is zero.
    Port,
    /// A look-up of records of a type that is not looked up.
    RecordType(u16),
    /// The records of an answer are cut off or malformed.
    Records,
    /// A status whose code is unknown to this version is fine; one with a reason too long is not.
    Reason(usize),
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => {
                write!(f, "version {version} of the tunnel is not spoken here, only {VERSION}")
            }
            Self::Host => write!(f, "the host of the target is empty, too long or malformed"),
            Self::Port => write!(f, "the port of the target is 0"),
            Self::RecordType(number) => write!(f, "records of type {number} are not looked up"),
            Self::Records => write!(f, "the records of the answer are malformed"),
            Self::Reason(bytes) => write!(f, "a reason of {bytes} bytes is too long"),
        }
    }
}

impl std::error::Error for CodecError {}

impl From<CodecError> for io::Error {
    fn from(error: CodecError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

impl Target {
    /// The target `host` (an IPv6 literal without brackets) at `port`.
    ///
    /// # Errors
    ///
    /// [`CodecError::Host`] or [`CodecError::Port`].
    pub fn new(host: &str, port: u16) -> Result<Self, CodecError> {
        if !is_name(host) {
            return Err(CodecError::Host);
        }
        if port == 0 {
            return Err(CodecError::Port);
        }
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }

    /// Lower-case host name or IP literal, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The bytes of the open request for this target.
    pub fn encode(&self) -> Vec<u8> {
        let length = u8::try_from(self.host.len()).expect("Target::new bounds the host");
        let mut bytes = vec![VERSION, length];
        bytes.extend(self.port.to_be_bytes());
        bytes.extend(self.host.bytes());
        bytes
    }

    /// Reads an open request from all of its bytes that are there so far.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Decoded<Self>, CodecError> {
        match named(bytes, VERSION)? {
            Decoded::Needs(needs) => Ok(Decoded::Needs(needs)),
            Decoded::Done((host, port)) => Self::new(host, port).map(Decoded::Done),
        }
    }
}

/// The name and the number of an open request of `version`.
pub(crate) fn named(bytes: &[u8], version: u8) -> Result<Decoded<(&str, u16)>, CodecError> {
    let [found, length, high, low, name @ ..] = bytes else {
        if let Some(&found) = bytes.first().filter(|found| **found != version) {
            return Err(CodecError::Version(found));
        }
        return Ok(Decoded::Needs(OPEN_HEADER - bytes.len()));
    };
    if *found != version {
        return Err(CodecError::Version(*found));
    }
    let length = usize::from(*length);
    if name.len() < length {
        return Ok(Decoded::Needs(length - name.len()));
    }
    let name = std::str::from_utf8(&name[..length]).map_err(|_| CodecError::Host)?;
    Ok(Decoded::Done((name, u16::from_be_bytes([*high, *low]))))
}

/// Whether `name` has the length and the characters of a host name or IP literal.
pub(crate) fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte);
    !name.is_empty() && name.len() <= MAX_HOST_BYTES && name.bytes().all(fits)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The bridge's one answer to an open request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// The target is connected; its bytes follow.
    Accepted {
        /// How long the first bytes of the stream waited for that at the bridge.
        dialled: Duration,
    },
    /// The stream ends here.
    Refused(Refusal),
}

impl Status {
    /// The bytes of the answer.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Accepted { dialled } => {
                let micros = u32::try_from(dialled.as_micros()).unwrap_or(u32::MAX);
                let mut bytes = vec![0];
                bytes.extend(micros.to_be_bytes());
                bytes
            }
            Self::Refused(refusal) => {
                let length = u16::try_from(refusal.reason.len()).expect("Refusal::new bounds it");
                let mut bytes = vec![refusal.code.to_byte()];
                bytes.extend(length.to_be_bytes());
                bytes.extend(refusal.reason.bytes());
                bytes
            }
        }
    }

    /// Reads an answer from all of its bytes that are there so far.
    ///
    /// # Errors
    ///
    /// [`CodecError::Reason`].
    pub fn decode(bytes: &[u8]) -> Result<Decoded<Self>, CodecError> {
        match bytes {
            [] => Ok(Decoded::Needs(1)),
            [0, micros @ ..] => Ok(match micros.first_chunk() {
                Some(micros) => {
                    let micros = u32::from_be_bytes(*micros);
                    let dialled = Duration::from_micros(micros.into());
                    Decoded::Done(Self::Accepted { dialled })
                }
                None => Decoded::Needs(4 - micros.len()),
            }),
            [code, high, low, reason @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                if length > MAX_REASON_BYTES {
                    return Err(CodecError::Reason(length));
                }
                if reason.len() < length {
                    return Ok(Decoded::Needs(length - reason.len()));
                }
                let reason = String::from_utf8_lossy(&reason[..length]);
                let refusal = Refusal::new(RefusalCode::from_byte(*code), &reason);
                Ok(Decoded::Done(Self::Refused(refusal)))
            }
            _ => Ok(Decoded::Needs(REFUSAL_HEADER - bytes.len())),
        }
    }
}

/// Why the bridge does not connect a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of reason, for programs.
    pub code: RefusalCode,
    /// A sentence for people.
    pub reason: String,
}

impl Refusal {
    /// A refusal; a reason of more than 1,024 bytes is cut at a character.
    pub fn new(code: RefusalCode, reason: &str) -> Self {
        let mut end = reason.len().min(MAX_REASON_BYTES);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        Self { code, reason: reason[..end].to_owned() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the bridge refused: {}", self.reason)
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code.kind(), refusal)
    }
}

/// The kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalCode {
    /// The target is no member of the deployment that the bridge serves.
    NotAMember,
    /// The open request is malformed or of another version.
    BadRequest,
    /// Too many streams.
    LimitReached,
    /// The target did not take the connection.
    DialFailed,
    /// The target did not answer in time.
    DialTimedOut,
    /// The bridge is shutting down.
    Draining,
    /// The target's name resolves to addresses only that may not be dialled.
    AddressForbidden,
    /// The name may not be looked up here.
    LookUpForbidden,
    /// A code that a later version may have.
    Other(u8),
}

impl RefusalCode {
    fn to_byte(self) -> u8 {
        match self {
            Self::NotAMember => 1,
            Self::BadRequest => 2,
            Self::LimitReached => 3,
            Self::DialFailed => 4,
            Self::DialTimedOut => 5,
            Self::Draining => 6,
            Self::AddressForbidden => 7,
            Self::LookUpForbidden => 8,
            Self::Other(byte) => byte,
        }
    }

    fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::NotAMember,
            2 => Self::BadRequest,
            3 => Self::LimitReached,
            4 => Self::DialFailed,
            5 => Self::DialTimedOut,
            6 => Self::Draining,
            7 => Self::AddressForbidden,
            8 => Self::LookUpForbidden,
            other => Self::Other(other),
        }
    }

    /// The kind that an [`io::Error`] of this refusal has.
    pub fn kind(self) -> io::ErrorKind {
        match self {
            Self::NotAMember | Self::AddressForbidden | Self::LookUpForbidden => {
                io::ErrorKind::PermissionDenied
            }
            Self::BadRequest => io::ErrorKind::InvalidInput,
            Self::LimitReached => io::ErrorKind::QuotaExceeded,
            Self::DialFailed => io::ErrorKind::ConnectionRefused,
            Self::DialTimedOut => io::ErrorKind::TimedOut,
            Self::Draining => io::ErrorKind::ConnectionAborted,
            Self::Other(_) => io::ErrorKind::Other,
        }
    }
}

/// Why the bridge closes a whole tunnel: the code and the text of the WebSocket's close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The one target of a WebSocket without a tunnel has ended.
    Ended,
    /// The bridge is shutting down.
    Draining,
    /// The other end broke the protocol.
    Protocol,
    /// Nothing was heard from the other end for too long.
    Idle,
    /// The other end sends more pings or empty frames than it may.
    Flood,
    /// The token that opened the tunnel has expired.
    Expired,
    /// A message was larger than the bridge takes.
    TooLarge,
}

impl CloseReason {
    /// The close code (RFC 6455 section 7.4; from 4000 on they are the application's).
    pub fn code(self) -> u16 {
        match self {
            Self::Ended => 1000,
            Self::Draining => 1001,
            Self::Protocol => 1002,
            Self::TooLarge => 1009,
            Self::Idle => 4000,
            Self::Flood => 4001,
            Self::Expired => 4002,
        }
    }

    /// The text of the close frame.
    pub fn text(self) -> &'static str {
        match self {
            Self::Ended => "the other side has ended",
            Self::Draining => "the bridge is shutting down",
            Self::Protocol => "the tunnel's protocol was broken",
            Self::TooLarge => "a message was too large",
            Self::Idle => "nothing was heard for too long",
            Self::Flood => "too many pings or empty frames",
            Self::Expired => "the token has expired",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds an encoded item byte by byte and checks that no decoder asks past its end.
    fn fed<T: fmt::Debug, E: fmt::Debug>(
        bytes: &[u8],
        decode: impl Fn(&[u8]) -> Result<Decoded<T>, E>,
    ) -> T {
        for end in 0..=bytes.len() {
            match decode(&bytes[..end]).unwrap() {
                Decoded::Needs(needs) => assert!(needs > 0 && end + needs <= bytes.len()),
                Decoded::Done(item) => {
                    assert_eq!(end, bytes.len());
                    return item;
                }
            }
        }
        panic!("{} bytes were not enough", bytes.len());
    }

    #[test]
    fn targets_come_back_as_sent() {
        for (host, port) in [("a", 1), ("db-0.Example.com", 27017), ("::1", 65535)] {
            let target = Target::new(host, port).unwrap();
            assert_eq!(fed(&target.encode(), Target::decode), target);
        }
        assert_eq!(Target::new("FE80::1", 5).unwrap().to_string(), "[fe80::1]:5");
    }

    #[test]
    fn statuses_come_back_as_sent() {
        for micros in [0, 1, 70_000, u32::MAX.into()] {
            let accepted = Status::Accepted { dialled: Duration::from_micros(micros) };
            assert_eq!(fed(&accepted.encode(), Status::decode), accepted);
        }
        let longest = Status::Accepted { dialled: Duration::from_secs(10_000) };
        let shown = Status::Accepted { dialled: Duration::from_micros(u32::MAX.into()) };
        assert_eq!(fed(&longest.encode(), Status::decode), shown);
        for byte in 1..=u8::MAX {
            let code = RefusalCode::from_byte(byte);
            assert_eq!(code.to_byte(), byte);
            for reason in ["", "no such member", &"ü".repeat(2000)] {
                let status = Status::Refused(Refusal::new(code, reason));
                assert_eq!(fed(&status.encode(), Status::decode), status);
            }
        }
    }

    #[test]
    fn bad_targets_are_typed_errors() {
        assert_eq!(Target::new("", 1), Err(CodecError::Host));
        assert_eq!(Target::new("a b", 1), Err(CodecError::Host));
        assert_eq!(Target::new("a\0", 1), Err(CodecError::Host));
        assert_eq!(Target::new("ü", 1), Err(CodecError::Host));
        assert_eq!(Target::new(&"a".repeat(254), 1), Err(CodecError::Host));
        assert_eq!(Target::new("a", 0), Err(CodecError::Port));
        assert_eq!(Target::decode(&[2]), Err(CodecError::Version(2)));
        assert_eq!(Target::decode(&[0, 1, 0, 1, b'a']), Err(CodecError::Version(0)));
        assert_eq!(Target::decode(&[1, 0, 0, 1]), Err(CodecError::Host));
        assert_eq!(Target::decode(&[1, 1, 0, 0, b'a']), Err(CodecError::Port));
        assert_eq!(Target::decode(&[1, 1, 0, 1, 0xff]), Err(CodecError::Host));
        assert_eq!(Status::decode(&[1, 0xff, 0xff]), Err(CodecError::Reason(65535)));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..12)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    (state >> 56) as u8 & 0x83
                })
                .collect();
            let _ = Target::decode(&bytes);
            let _ = Status::decode(&bytes);
        }
    }
}
