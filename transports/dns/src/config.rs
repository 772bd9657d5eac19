//! Which servers are asked, and how patiently: resolv.conf(5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

/// Which servers are asked, and how patiently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// In the order in which they are asked.
    pub(crate) servers: Vec<SocketAddr>,
    /// For one answer of one server.
    pub(crate) timeout: Duration,
    /// How often each server is asked.
    pub(crate) attempts: u32,
}

impl Config {
    /// Reads the text of a resolv.conf. What is not understood is left out, as the C library does.
    pub(crate) fn parse(text: &str) -> Self {
        let mut config = Self { servers: Vec::new(), timeout: Duration::from_secs(5), attempts: 2 };
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    config.servers.extend(words.next().and_then(server));
                }
                Some("options") => words.for_each(|word| config.option(word)),
                _ => {}
            }
        }
        config.servers.truncate(MOST_SERVERS);
        if config.servers.is_empty() {
            config.servers.push((Ipv4Addr::LOCALHOST, PORT).into());
        }
        config
    }

    fn option(&mut self, word: &str) {
        let Some((name, number)) = word.split_once(':') else { return };
        let Ok(number) = number.parse::<u32>() else { return };
        match name {
            "timeout" => self.timeout = Duration::from_secs(number.clamp(1, 30).into()),
            "attempts" => self.attempts = number.clamp(1, 5),
            _ => {}
        }
    }
}

/// "Up to MAXNS (currently 3)".
const MOST_SERVERS: usize = 3;

const PORT: u16 = 53;

fn server(text: &str) -> Option<SocketAddr> {
    match text.split_once('%') {
        None => Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, PORT)),
        // The scope of a link-local address, by number: its name would need the system's tables.
        Some((address, scope)) => {
            let address = address.parse::<Ipv6Addr>().ok()?;
            Some(SocketAddrV6::new(address, PORT, 0, scope.parse().ok()?).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(text: &str) -> Vec<String> {
        Config::parse(text).servers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn servers_come_in_their_order_three_at_most() {
        let text = "# comment\nsearch example.com\nnameserver 192.0.2.1 # one\nnameserver ::1\n\
                    nameserver fe80::1%2\nnameserver 192.0.2.4\n";
        assert_eq!(servers(text), ["192.0.2.1:53", "[::1]:53", "[fe80::1%2]:53"]);
    }

    #[test]
    fn without_a_server_it_is_the_local_one() {
        assert_eq!(servers(""), ["127.0.0.1:53"]);
        assert_eq!(
            servers("nameserver nonsense\nnameserver\nnameserver fe80::1%eth0"),
            ["127.0.0.1:53"]
        );
    }

    #[test]
    fn patience_is_an_option_with_bounds() {
        let config = Config::parse("options ndots:5 timeout:1 attempts:4 rotate\n");
        assert_eq!((config.timeout, config.attempts), (Duration::from_secs(1), 4));
        let config = Config::parse("options timeout:0 attempts:99 timeout:x\n");
        assert_eq!((config.timeout, config.attempts), (Duration::from_secs(1), 5));
        let config = Config::parse("");
        assert_eq!((config.timeout, config.attempts), (Duration::from_secs(5), 2));
    }
}
