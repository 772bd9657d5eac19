//! Server selection on demand: when to scan, when to take what was found, when to give up.
//!
//! Specification: server selection "Single-threaded server selection". The specification's loop,
//! turned inside out: whoever runs it says what it found, and is told what to do next. One thing is
//! finer than there: while a scan is under way, a server that has answered in it may be taken
//! before the others have (`engine::sdam::scan` says why).

use std::time::Duration;

use crate::engine::sdam::ScanStatus;
use crate::engine::time::Instant;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Take what was found.
    Take,
    /// Mark the topology stale, then as for [`Step::Wait`].
    Scan,
    /// Say that an operation waits, then look again at what is believed once that has changed.
    Wait,
    /// Give up: no server is suitable.
    Fail,
}

/// The selection of a server for one operation.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    began: Instant,
    /// The server selection time-out.
    limit: Instant,
    try_once: bool,
}

impl Search {
    /// A selection that begins at `now`. With `try_once` ("serverSelectionTryOnce") one scan
    /// decides, else scans follow one another until `timeout`.
    pub fn new(now: Instant, timeout: Duration, try_once: bool) -> Self {
        Self { began: now, limit: now + timeout, try_once }
    }

    /// What follows at `now`, while scans stand at `status`. `found`: of the server that selection
    /// names, if it names one, when it was last checked.
    ///
    /// `status` is to be read before the servers: they are then at least as fresh as it says.
    pub fn next(&self, now: Instant, status: &ScanStatus, found: Option<Option<Instant>>) -> Step {
        if let Some(began) = status.began {
            return match found {
                Some(Some(checked)) if checked > began => Step::Take,
                _ => Step::Wait,
            };
        }
        if status.is_stale(now) {
            return self.scan(now, status);
        }
        if found.is_some() {
            return Step::Take;
        }
        let over = match self.try_once {
            true => status.ended.is_some_and(|ended| ended > self.began),
            false => now > self.limit,
        };
        if over { Step::Fail } else { self.scan(now, status) }
    }

    /// SS-35: a scan that may only begin behind the time-out is not waited for.
    fn scan(&self, now: Instant, status: &ScanStatus) -> Step {
        let begins = status.earliest().unwrap_or(now).max(now);
        if !self.try_once && begins > self.limit {
            return Step::Fail;
        }
        if status.stale { Step::Wait } else { Step::Scan }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    /// Scanned until `ended`, nothing under way, not stale.
    fn scanned(ended: u64) -> ScanStatus {
        ScanStatus {
            began: None,
            ended: Some(at(ended)),
            stale: false,
            heartbeat_frequency: Duration::from_secs(60),
        }
    }

    fn search(try_once: bool) -> Search {
        Search::new(at(1000), Duration::from_millis(2000), try_once)
    }

    const NOTHING: Option<Option<Instant>> = None;

    #[test]
    fn what_is_fresh_is_taken() {
        let found = Some(Some(at(10)));
        assert_eq!(search(true).next(at(1000), &scanned(10), found), Step::Take);
        assert_eq!(search(true).next(at(1000), &scanned(10), Some(None)), Step::Take);
    }

    // SM-17, SS-34
    #[test]
    fn an_old_or_stale_belief_is_scanned_before_anything_is_taken() {
        let found = Some(Some(at(10)));
        let old = at(10) + Duration::from_secs(60);
        let late = Search::new(old, Duration::from_secs(2), true);
        assert_eq!(late.next(old, &scanned(10), found), Step::Take, "not more than 60 s");
        let old = old + Duration::from_millis(1);
        assert_eq!(late.next(old, &scanned(10), found), Step::Scan);
        let stale = ScanStatus { stale: true, ..scanned(900) };
        assert_eq!(search(true).next(at(1000), &stale, found), Step::Wait);
        let never = ScanStatus { ended: None, ..scanned(0) };
        assert_eq!(search(true).next(at(1000), &never, NOTHING), Step::Scan);
    }

    #[test]
    fn while_a_scan_is_under_way_only_its_own_finds_are_taken() {
        let scanning = ScanStatus { began: Some(at(1000)), ..scanned(10) };
        let next = |found| search(true).next(at(1100), &scanning, found);
        // What a snapshot says is as old as the scan.
        assert_eq!(next(Some(Some(at(1000)))), Step::Wait);
        assert_eq!(next(Some(Some(at(1001)))), Step::Take);
        assert_eq!(next(NOTHING), Step::Wait);
        let over = search(false).next(at(9000), &scanning, NOTHING);
        assert_eq!(over, Step::Wait, "time-out plus the time of a scan (SS-40)");
    }

    // SS-37
    #[test]
    fn once_means_one_scan_that_ended_behind_the_beginning() {
        assert_eq!(search(true).next(at(1000), &scanned(900), NOTHING), Step::Scan);
        assert_eq!(search(true).next(at(1600), &scanned(1600), NOTHING), Step::Fail);
        let late = at(60_000);
        assert_eq!(search(true).next(late, &scanned(900), NOTHING), Step::Scan, "no time-out");
    }

    // SS-35, SS-38
    #[test]
    fn else_scans_follow_one_another_until_the_time_out() {
        assert_eq!(search(false).next(at(1600), &scanned(1600), NOTHING), Step::Scan);
        assert_eq!(search(false).next(at(2500), &scanned(2500), NOTHING), Step::Scan);
        let beyond = search(false).next(at(2501), &scanned(2501), NOTHING);
        assert_eq!(beyond, Step::Fail, "the next scan would begin behind the time-out");
        assert_eq!(search(false).next(at(3001), &scanned(2000), NOTHING), Step::Fail);
        let stale = ScanStatus { stale: true, ..scanned(2501) };
        assert_eq!(search(false).next(at(2600), &stale, NOTHING), Step::Fail);
    }
}
