//! The latency window, and the choice of one server in it.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::address::ServerAddress;
use crate::engine::rng::Rng;
use crate::engine::sdam::ServerDescription;

/// The round-trip times that are near enough to the fastest server's.
#[derive(Clone, Copy, Debug)]
pub(super) struct LatencyWindow {
    fastest: Duration,
    threshold: Duration,
}

impl LatencyWindow {
    /// The window that the fastest of `servers` anchors.
    pub(super) fn over<'t>(
        servers: impl Iterator<Item = &'t Arc<ServerDescription>>,
        threshold: Duration,
    ) -> Self {
        let fastest = servers.filter_map(|server| server.round_trip_time).min();
        Self { fastest: fastest.unwrap_or_default(), threshold }
    }

    /// By how much `server` is too slow; `None` inside the window, whose ends belong to it (SS-48).
    ///
    /// A server without a measurement (a load balancer) is inside.
    pub(super) fn excess(&self, server: &ServerDescription) -> Option<Duration> {
        let rtt = server.round_trip_time?;
        let excess = rtt.saturating_sub(self.fastest.saturating_add(self.threshold));
        (!excess.is_zero()).then_some(excess)
    }
}

/// Takes two of the servers in the window at random, and of these the one with fewer operations in
/// flight (SS-28). Goes over the servers a few times rather than collect them.
pub(super) fn choose<'t>(
    servers: impl Iterator<Item = &'t Arc<ServerDescription>> + Clone,
    threshold: Duration,
    operation_count: impl Fn(&ServerAddress) -> usize,
    rng: &mut Rng,
) -> Option<&'t Arc<ServerDescription>> {
    let window = LatencyWindow::over(servers.clone(), threshold);
    let mut inside = servers.filter(|server| window.excess(server).is_none());
    match inside.clone().count() {
        0 => None,
        1 => inside.next(),
        count => {
            let first = rng.below(count);
            let second = rng.below(count - 1);
            let second = if second >= first { second + 1 } else { second };
            let first = inside.clone().nth(first)?;
            let second = inside.nth(second)?;
            let busier = operation_count(&first.address) > operation_count(&second.address);
            Some(if busier { second } else { first })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::server;
    use super::*;

    // SS-48
    #[test]
    fn the_ends_of_the_window_belong_to_it() {
        let servers = [
            server("a").rtt_ms(5).build(),
            server("b").rtt_ms(20).build(),
            server("c").rtt_ms(21).build(),
            server("d").build(),
        ];
        let window = LatencyWindow::over(servers.iter(), Duration::from_millis(15));
        assert_eq!(window.excess(&servers[0]), None);
        assert_eq!(window.excess(&servers[1]), None);
        assert_eq!(window.excess(&servers[2]), Some(Duration::from_millis(1)));
        assert_eq!(window.excess(&servers[3]), None);
    }

    // SS-28
    #[test]
    fn of_two_random_servers_the_less_busy_one_wins() {
        let servers = [server("a").build(), server("b").build(), server("c").build()];
        let mut rng = Rng::seeded(7);
        let busy = |address: &ServerAddress| match address.host() {
            "a" => 10,
            "b" => 5,
            _ => 0,
        };
        let mut chosen = [0; 3];
        for _ in 0..3000 {
            let server = choose(servers.iter(), Duration::ZERO, busy, &mut rng).unwrap();
            chosen[servers.iter().position(|s| s.address == server.address).unwrap()] += 1;
        }
        assert_eq!(chosen[0], 0, "the busiest of three loses to either of the others");
        assert!((900..1100).contains(&chosen[1]), "b wins against a only: a third, {chosen:?}");
        let none = choose(servers[..0].iter(), Duration::ZERO, busy, &mut rng);
        assert!(none.is_none());
    }
}
