//! How large a stream's window may be: four times what arrives in one round trip. Credit comes
//! back in halves of a window: of a sender who waits for it, a round trip sees a half at most.
//!
//! What a sender may send before it hears of more credit bounds it to one window in a round trip.
//! How much would arrive in one is found without a clock: what came between a ping and its answer.

use crate::stream_state::FIRST_WINDOW;

/// The windows of one tunnel's streams.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    /// What is left for windows to grow by.
    extra: usize,
    received: u64,
    /// When the next ping is worth it.
    probe_at: u64,
    /// A ping under way: what had been received when it left.
    probe: Option<u64>,
    /// The most that came within one round trip.
    in_one_trip: u64,
}

/// Bytes between two pings at first, and at most: the tenth of what a fast tunnel carries a second
/// need not be measured again and again.
const FIRST_PROBE: u64 = FIRST_WINDOW as u64 / 4;
const RAREST_PROBE: u64 = 256 * 1024 * 1024;

impl Windows {
    /// Windows that together may grow by `extra` bytes beyond the first.
    pub(crate) fn new(extra: usize) -> Self {
        Self { extra, probe_at: FIRST_PROBE, ..Self::default() }
    }

    /// Bytes of a stream arrived; what a ping should carry, if there should be one now.
    pub(crate) fn received(&mut self, count: usize) -> Option<u32> {
        self.received += count as u64;
        if self.extra == 0 || self.probe.is_some() || self.received < self.probe_at {
            return None;
        }
        self.probe_at = self.received + self.received.min(RAREST_PROBE);
        self.probe = Some(self.received);
        Some(probe_number(self.received))
    }

    /// A ping's answer.
    pub(crate) fn answered(&mut self, number: u32) {
        if let Some(before) = self.probe.take_if(|before| probe_number(*before) == number) {
            self.in_one_trip = self.in_one_trip.max(self.received - before);
        }
    }

    /// By how much a window of `window` bytes is to grow now.
    pub(crate) fn growth(&mut self, window: u32) -> u32 {
        if self.in_one_trip < u64::from(window / 4) {
            return 0;
        }
        let most = u32::try_from(self.extra).unwrap_or(u32::MAX);
        let more = window.min(most).min(u32::MAX - window);
        self.extra -= more as usize;
        more
    }

    /// A stream that is over needs its window no more.
    pub(crate) fn give_back(&mut self, extra: usize) {
        self.extra += extra;
    }
}

/// Tells one ping from another.
fn probe_number(received: u64) -> u32 {
    received as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Receives `window` bytes in each of `trips` round trips, in 16 KiB.
    fn after(trips: usize, windows: &mut Windows, window: &mut u32) {
        for _ in 0..trips {
            let mut pings = Vec::new();
            for _ in 0..*window / 16_384 {
                pings.extend(windows.received(16_384));
            }
            for number in pings {
                windows.answered(number);
            }
            *window += windows.growth(*window);
        }
    }

    #[test]
    fn a_window_grows_while_it_is_what_bounds_a_round_trip() {
        let (mut windows, mut window) = (Windows::new(3 * 1024 * 1024), FIRST_WINDOW);
        after(20, &mut windows, &mut window);
        assert_eq!(window as usize, FIRST_WINDOW as usize + 3 * 1024 * 1024, "and no further");
        assert_eq!(windows.received(1 << 30), None, "nothing is left to measure for");
        windows.give_back(1024);
        assert!(windows.received(1 << 30).is_some());
    }

    #[test]
    fn a_window_grows_where_its_sender_waits_for_credit() {
        let (mut windows, mut window) = (Windows::new(3 * 1024 * 1024), FIRST_WINDOW);
        for _ in 0..200 {
            // Of the half that was granted, a ping sees what comes behind it.
            if let Some(number) = windows.received(window as usize / 6) {
                windows.received(window as usize / 3);
                windows.answered(number);
            }
            window += windows.growth(window);
        }
        assert_eq!(window as usize, FIRST_WINDOW as usize + 3 * 1024 * 1024);
    }

    #[test]
    fn a_window_rests_where_little_comes_in_a_round_trip() {
        let mut windows = Windows::new(1024 * 1024);
        for _ in 0..1000 {
            if let Some(number) = windows.received(16_384) {
                windows.received(1024);
                windows.answered(number);
            }
            assert_eq!(windows.growth(FIRST_WINDOW), 0);
        }
    }

    #[test]
    fn pings_become_rare() {
        let mut windows = Windows::new(usize::MAX);
        let mut pings = 0;
        for _ in 0..16 * 1024 {
            if let Some(number) = windows.received(64 * 1024) {
                windows.answered(number);
                pings += 1;
            }
        }
        assert!((10..=20).contains(&pings), "{pings} in a gibibyte");
    }
}
