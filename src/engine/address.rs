//! Addresses of servers, normalised as the specification wants them.

use core::net::Ipv6Addr;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The port of a server whose address names none.
pub const DEFAULT_PORT: u16 = 27017;

/// Where a server listens, as the client dials it (never the `me` of a reply).
///
/// Host names are lower case (SDAM "Hostnames are normalized to lower case"); an IPv6 literal is
/// kept without brackets and shown with them. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerAddress {
    /// A host name or IP literal and a TCP port.
    Tcp {
        /// Lower-case host name or IP literal, without brackets.
        host: Arc<str>,
        /// TCP port, 1 to 65535.
        port: u16,
    },
    /// A Unix domain socket.
    Unix {
        /// The path of the socket, ending in `.sock`.
        path: Arc<str>,
    },
}

impl ServerAddress {
    /// The address of `host` at `port`.
    pub fn tcp(host: &str, port: u16) -> Self {
        Self::Tcp { host: lower_case(host).into(), port }
    }

    /// The host name, IP literal or socket path.
    pub fn host(&self) -> &str {
        match self {
            Self::Tcp { host, .. } => host,
            Self::Unix { path } => path,
        }
    }

    /// The TCP port; `None` for a Unix domain socket.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp { port, .. } => Some(*port),
            Self::Unix { .. } => None,
        }
    }
}

/// Why a text is not a server address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// Nothing before the port, or nothing at all.
    EmptyHost,
    /// The text after the last colon is not a port from 1 to 65535.
    BadPort(String),
    /// A `[` without its `]`, text between `]` and the port, or no IPv6 literal in brackets.
    BadIpv6(String),
    /// A colon in a host name that is not an IPv6 literal in brackets.
    TooManyColons(String),
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyHost => write!(f, "the host is empty"),
            Self::BadPort(port) => write!(f, "\"{port}\" is not a port from 1 to 65535"),
            Self::BadIpv6(text) => {
                write!(f, "\"{text}\" is not an IPv6 literal; write it as [::1]:27017")
            }
            Self::TooManyColons(text) => write!(
                f,
                "\"{text}\" has more than one colon; write an IPv6 literal in brackets, as \
                 [::1]:27017"
            ),
        }
    }
}

impl std::error::Error for AddressError {}

impl FromStr for ServerAddress {
    type Err = AddressError;

    /// Reads `host`, `host:port`, `[ipv6]`, `[ipv6]:port` or a path that ends in `.sock`.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.ends_with(".sock") {
            return Ok(Self::Unix { path: text.into() });
        }
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) =
                rest.split_once(']').ok_or_else(|| AddressError::BadIpv6(text.into()))?;
            // A zone may follow: which of the machine's networks the address is of.
            let number = host.split_once('%').map_or(host, |(number, _)| number);
            if number.parse::<Ipv6Addr>().is_err() {
                return Err(AddressError::BadIpv6(text.into()));
            }
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(AddressError::BadIpv6(text.into())),
            }
        } else {
            match text.split_once(':') {
                Some((_, port)) if port.contains(':') => {
                    return Err(AddressError::TooManyColons(text.into()));
                }
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        if host.is_empty() {
            return Err(AddressError::EmptyHost);
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => match port.parse() {
                Ok(number) if number > 0 && !port.starts_with('+') => number,
                _ => return Err(AddressError::BadPort(port.into())),
            },
        };
        Ok(Self::tcp(host, port))
    }
}

/// A host name in lower case.
///
/// In wasm32 ASCII letters alone are changed: names in DNS have no others, and the tables of the
/// rest of Unicode are more of the module than the whole of this file.
pub(in crate::engine) fn lower_case(name: &str) -> String {
    if cfg!(target_arch = "wasm32") { name.to_ascii_lowercase() } else { name.to_lowercase() }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix { path } => f.write_str(path),
        }
    }
}

impl Serialize for ServerAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ServerAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        match text.parse::<ServerAddress>() {
            Ok(address) => address.to_string(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn addresses_are_normalised() {
        assert_eq!(parsed("A.Example.COM"), "a.example.com:27017");
        assert_eq!(parsed("a:1"), "a:1");
        assert_eq!(parsed("[::1]"), "[::1]:27017");
        assert_eq!(parsed("[FE80::1]:5"), "[fe80::1]:5");
        assert_eq!(parsed("[fe80::1%eth0]"), "[fe80::1%eth0]:27017");
        assert_eq!(parsed("/tmp/mongodb-27017.sock"), "/tmp/mongodb-27017.sock");
    }

    #[test]
    fn bad_addresses_say_what_is_wrong() {
        assert_eq!(parsed(""), "error: the host is empty");
        assert_eq!(parsed(":27017"), "error: the host is empty");
        assert_eq!(parsed("a:0"), "error: \"0\" is not a port from 1 to 65535");
        assert_eq!(parsed("a:65536"), "error: \"65536\" is not a port from 1 to 65535");
        assert_eq!(parsed("a:+1"), "error: \"+1\" is not a port from 1 to 65535");
        assert!(parsed("::1").contains("in brackets"));
        for text in ["[::1", "[a]", "[]:1", "[a:b]:1", "[1.2.3.4]"] {
            assert!(parsed(text).contains("not an IPv6 literal"), "{text}");
        }
    }
}
