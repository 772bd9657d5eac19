//! One connection out of several addresses: what the native leaves share of "happy eyeballs".
//!
//! RFC 8305: IPv6 and IPv4 take turns, and each attempt has a quarter of a second before the next
//! one begins beside it. A family that is broken costs that long, not the operating system's
//! time-out.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;

use super::{Transport, io_error};

/// The stream of whichever of `addresses` is connected to first; the other attempts are dropped.
///
/// The order is the resolver's (RFC 6724), but the families take turns. An attempt that fails makes
/// the next one begin at once.
///
/// # Errors
///
/// Once all attempts have failed: what each of them says; for one address its own error.
pub async fn connect_to_any<S, F>(
    transport: &dyn Transport,
    addresses: impl IntoIterator<Item = SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<S>
where
    F: Future<Output = io::Result<S>>,
{
    let mut waiting = in_turns(addresses);
    let mut running = FuturesUnordered::new();
    let mut failures = Vec::new();
    loop {
        match waiting.pop_front() {
            Some(address) => {
                let attempt = connect(address);
                running.push(async move { attempt.await.map_err(|error| (address, error)) });
            }
            None if running.is_empty() => return Err(all_failed(failures)),
            None => {}
        }
        let ended = if waiting.is_empty() {
            running.next().await
        } else {
            let delay = transport.sleep_until(transport.now() + ATTEMPT_DELAY);
            match select(running.next(), delay).await {
                Either::Left((ended, _)) => ended,
                Either::Right(_) => None,
            }
        };
        match ended {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(failure)) => failures.push(failure),
            None => {}
        }
    }
}

/// RFC 8305 section 5: "Connection Attempt Delay", whose recommended value is this.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// RFC 8305 section 4: the family of the first address, then the other, and so on.
fn in_turns(addresses: impl IntoIterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let mut rest: VecDeque<SocketAddr> = addresses.into_iter().collect();
    let mut ordered = VecDeque::with_capacity(rest.len());
    while let Some(address) = rest.pop_front() {
        ordered.push_back(address);
        let other = rest.iter().position(|other| other.is_ipv6() != address.is_ipv6());
        if let Some(next) = other.and_then(|index| rest.remove(index)) {
            rest.push_front(next);
        }
    }
    ordered
}

fn all_failed(mut failures: Vec<(SocketAddr, io::Error)>) -> io::Error {
    if failures.len() < 2 {
        let none = || io_error(io::ErrorKind::NotFound, "the name has no address");
        return failures.pop().map_or_else(none, |(_, error)| error);
    }
    let kind = failures[0].1.kind();
    let texts: Vec<String> =
        failures.iter().map(|(address, error)| format!("{address}: {error}")).collect();
    io_error(kind, texts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_take_turns() {
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let given = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        let turns = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(in_turns(given), turns);
        let four = addresses(&["1.1.1.1:1", "2.2.2.2:1", "[::1]:1"]);
        assert_eq!(in_turns(four), addresses(&["1.1.1.1:1", "[::1]:1", "2.2.2.2:1"]));
        assert_eq!(in_turns(addresses(&["1.1.1.1:1"])), addresses(&["1.1.1.1:1"]));
    }
}
