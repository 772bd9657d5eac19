//! The client's side of SOCKS5: from a stream to a proxy to a stream to a server.
//!
//! Specification: socks5-support; RFC 1928, and RFC 1929 for user names. "Restricted to either no
//! authentication or username/password authentication." A machine: it says what to send and how
//! many bytes to read then.

use core::net::IpAddr;
use std::fmt;

/// What the shell does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send these bytes, then read exactly so many and hand them to [`Socks5::advance`].
    Exchange {
        /// What to send; may be empty.
        send: Vec<u8>,
        /// How many bytes to read.
        read: usize,
    },
    /// From here on the stream is the server's.
    Connected,
}

/// Why the proxy does not lead to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Socks5Error {
    /// The host's name, the user's name or the password is empty or has more than 255 bytes; which.
    BadLength(&'static str),
    /// What answers is no SOCKS5 proxy.
    NotSocks5,
    /// The proxy wants a user name, and none is given, or a method that nobody offered.
    NoMethod,
    /// The proxy refuses user name and password.
    Denied,
    /// The proxy does not connect to the server; its code.
    Refused(u8),
}

impl fmt::Display for Socks5Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadLength(what) => {
                return write!(f, "{what} must have 1 to 255 bytes for a SOCKS5 proxy");
            }
            Self::NotSocks5 => "what answers is no SOCKS5 proxy",
            Self::NoMethod => {
                "the proxy accepts no way of authentication that is offered: give proxyUsername \
                 and proxyPassword"
            }
            Self::Denied => "the proxy refuses proxyUsername and proxyPassword",
            Self::Refused(1) => "the proxy failed",
            Self::Refused(2) => "the proxy's rules do not allow this server",
            Self::Refused(3) => "the proxy cannot reach the server's network",
            Self::Refused(4) => "the proxy cannot reach the server's host, or resolve its name",
            Self::Refused(5) => "the server refused the proxy's connection",
            Self::Refused(6) => "the proxy's connection to the server timed out",
            Self::Refused(code) => return write!(f, "the proxy refuses with code {code}"),
        })
    }
}

impl std::error::Error for Socks5Error {}

/// What the next bytes are.
#[derive(Debug)]
enum Awaits {
    /// The choice of a method.
    Method,
    /// Whether the credentials are accepted.
    Verdict,
    /// The head of the reply to the request.
    Reply,
    /// The length of the name in that reply.
    NameLength,
    /// The rest of the reply, which tells nothing.
    Rest,
}

/// One handshake.
pub struct Socks5 {
    awaits: Awaits,
    request: Vec<u8>,
    /// The message with user name and password.
    credentials: Option<Vec<u8>>,
}

impl fmt::Debug for Socks5 {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socks5").field("awaits", &self.awaits).finish_non_exhaustive()
    }
}

impl Socks5 {
    /// A handshake that leads to `port` of `host`, with user name and password where the proxy
    /// wants them; and its first step.
    ///
    /// "Drivers MUST NOT attempt to perform DNS A or AAAA record resolution of the destination
    /// hostname and instead pass the hostname to the proxy as-is."
    ///
    /// # Errors
    ///
    /// [`Socks5Error::BadLength`].
    pub fn begin(
        host: &str,
        port: u16,
        credentials: Option<(&str, &str)>,
    ) -> Result<(Self, Step), Socks5Error> {
        let mut request = vec![VERSION, CONNECT, 0];
        match host.parse() {
            Ok(IpAddr::V4(address)) => {
                request.push(IPV4);
                request.extend_from_slice(&address.octets());
            }
            Ok(IpAddr::V6(address)) => {
                request.push(IPV6);
                request.extend_from_slice(&address.octets());
            }
            Err(_) => {
                request.push(NAME);
                push_counted(&mut request, host, "the host's name")?;
            }
        }
        request.extend_from_slice(&port.to_be_bytes());
        let credentials = match credentials {
            None => None,
            Some((username, password)) => {
                let mut message = vec![PASSWORD_VERSION];
                push_counted(&mut message, username, "proxyUsername")?;
                push_counted(&mut message, password, "proxyPassword")?;
                Some(message)
            }
        };
        let send = match credentials {
            None => vec![VERSION, 1, NO_AUTHENTICATION],
            Some(_) => vec![VERSION, 2, NO_AUTHENTICATION, PASSWORD],
        };
        let machine = Self { awaits: Awaits::Method, request, credentials };
        Ok((machine, Step::Exchange { send, read: 2 }))
    }

    /// Takes the bytes that the latest step asked for.
    ///
    /// # Errors
    ///
    /// Any [`Socks5Error`]; the stream is of no use then.
    pub fn advance(&mut self, received: &[u8]) -> Result<Step, Socks5Error> {
        match (&self.awaits, received) {
            (Awaits::Method, [VERSION, NO_AUTHENTICATION]) => Ok(self.ask()),
            (Awaits::Method, [VERSION, PASSWORD]) => {
                let send = self.credentials.take().ok_or(Socks5Error::NoMethod)?;
                Ok(self.step(Awaits::Verdict, send, 2))
            }
            (Awaits::Method, [VERSION, _]) => Err(Socks5Error::NoMethod),
            (Awaits::Verdict, [PASSWORD_VERSION, 0]) => Ok(self.ask()),
            (Awaits::Verdict, [PASSWORD_VERSION, _]) => Err(Socks5Error::Denied),
            (Awaits::Reply, [VERSION, 0, _, IPV4]) => Ok(self.read(Awaits::Rest, 4 + PORT)),
            (Awaits::Reply, [VERSION, 0, _, IPV6]) => Ok(self.read(Awaits::Rest, 16 + PORT)),
            (Awaits::Reply, [VERSION, 0, _, NAME]) => Ok(self.read(Awaits::NameLength, 1)),
            (Awaits::Reply, [VERSION, code, _, _]) if *code != 0 => {
                Err(Socks5Error::Refused(*code))
            }
            (Awaits::NameLength, [length]) => {
                Ok(self.read(Awaits::Rest, usize::from(*length) + PORT))
            }
            (Awaits::Rest, _) => Ok(Step::Connected),
            (Awaits::Method | Awaits::Verdict | Awaits::Reply | Awaits::NameLength, _) => {
                Err(Socks5Error::NotSocks5)
            }
        }
    }

    fn ask(&mut self) -> Step {
        let request = std::mem::take(&mut self.request);
        self.step(Awaits::Reply, request, 4)
    }

    fn read(&mut self, awaits: Awaits, read: usize) -> Step {
        self.step(awaits, Vec::new(), read)
    }

    fn step(&mut self, awaits: Awaits, send: Vec<u8>, read: usize) -> Step {
        self.awaits = awaits;
        Step::Exchange { send, read }
    }
}

fn push_counted(into: &mut Vec<u8>, text: &str, what: &'static str) -> Result<(), Socks5Error> {
    let length = u8::try_from(text.len()).ok().filter(|length| *length > 0);
    into.push(length.ok_or(Socks5Error::BadLength(what))?);
    into.extend_from_slice(text.as_bytes());
    Ok(())
}

const VERSION: u8 = 5;
const CONNECT: u8 = 1;
const NO_AUTHENTICATION: u8 = 0;
const PASSWORD: u8 = 2;
/// RFC 1929.
const PASSWORD_VERSION: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
/// Bytes of a port.
const PORT: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(step: Step) -> (Vec<u8>, usize) {
        match step {
            Step::Exchange { send, read } => (send, read),
            Step::Connected => panic!("connected already"),
        }
    }

    #[test]
    fn without_a_user_one_request_leads_to_the_server() {
        let (mut proxy, first) = Socks5::begin("db.example", 27017, None).unwrap();
        assert_eq!(sent(first), (vec![5, 1, 0], 2));
        let request = [&[5, 1, 0, 3, 10][..], b"db.example", &[0x69, 0x89]].concat();
        assert_eq!(sent(proxy.advance(&[5, 0]).unwrap()), (request, 4));
        assert_eq!(sent(proxy.advance(&[5, 0, 0, 1]).unwrap()), (vec![], 6));
        assert_eq!(proxy.advance(&[127, 0, 0, 1, 1, 2]).unwrap(), Step::Connected);
    }

    #[test]
    fn user_name_and_password_are_sent_where_they_are_wanted() {
        let begin = || Socks5::begin("10.0.0.7", 1, Some(("nemo", "naut"))).unwrap();
        let (mut proxy, first) = begin();
        assert_eq!(sent(first), (vec![5, 2, 0, 2], 2));
        let credentials = b"\x01\x04nemo\x04naut".to_vec();
        assert_eq!(sent(proxy.advance(&[5, 2]).unwrap()), (credentials, 2));
        let request = vec![5, 1, 0, 1, 10, 0, 0, 7, 0, 1];
        assert_eq!(sent(proxy.advance(&[1, 0]).unwrap()), (request.clone(), 4));
        let (mut unasked, _) = begin();
        assert_eq!(sent(unasked.advance(&[5, 0]).unwrap()), (request, 4), "no need of them");
        let (mut denied, _) = begin();
        denied.advance(&[5, 2]).unwrap();
        assert_eq!(denied.advance(&[1, 1]), Err(Socks5Error::Denied));
    }

    #[test]
    fn ipv6_literals_travel_as_such_and_names_come_back() {
        let (mut proxy, _) = Socks5::begin("::1", 2, None).unwrap();
        let (request, _) = sent(proxy.advance(&[5, 0]).unwrap());
        assert_eq!(request[..4], [5, 1, 0, 4]);
        assert_eq!(request.len(), 4 + 16 + 2);
        assert_eq!(sent(proxy.advance(&[5, 0, 0, 3]).unwrap()), (vec![], 1));
        assert_eq!(sent(proxy.advance(&[9]).unwrap()), (vec![], 11));
        assert_eq!(proxy.advance(&[0; 11]).unwrap(), Step::Connected);
        let (mut proxy, _) = Socks5::begin("a", 2, None).unwrap();
        proxy.advance(&[5, 0]).unwrap();
        assert_eq!(sent(proxy.advance(&[5, 0, 0, 4]).unwrap()), (vec![], 18));
    }

    #[test]
    fn every_refusal_has_its_error() {
        let begin = || Socks5::begin("a", 1, None).unwrap().0;
        assert_eq!(begin().advance(&[5, 255]), Err(Socks5Error::NoMethod));
        assert_eq!(begin().advance(&[5, 2]), Err(Socks5Error::NoMethod), "nobody offered it");
        assert_eq!(begin().advance(b"HT"), Err(Socks5Error::NotSocks5));
        assert_eq!(begin().advance(&[4, 0]), Err(Socks5Error::NotSocks5));
        let mut texts = Vec::new();
        for code in 1..=10 {
            let mut proxy = begin();
            proxy.advance(&[5, 0]).unwrap();
            let error = proxy.advance(&[5, code, 0, 1]).unwrap_err();
            assert_eq!(error, Socks5Error::Refused(code));
            texts.push(error.to_string());
        }
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), 10);
        let mut strange = begin();
        strange.advance(&[5, 0]).unwrap();
        assert_eq!(strange.advance(&[5, 0, 0, 9]), Err(Socks5Error::NotSocks5));
        let long = "x".repeat(256);
        let begin = |host, user| Socks5::begin(host, 1, Some((user, "p"))).map(drop);
        assert_eq!(begin(&long, "u"), Err(Socks5Error::BadLength("the host's name")));
        assert_eq!(begin("a", &long), Err(Socks5Error::BadLength("proxyUsername")));
        assert_eq!(begin("a", ""), Err(Socks5Error::BadLength("proxyUsername")));
    }
}
