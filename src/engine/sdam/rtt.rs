//! Round-trip times of one server.

use std::collections::VecDeque;
use std::time::Duration;

use super::MIN_HEARTBEAT_FREQUENCY;
use crate::engine::time::Instant;

/// The weight of a new sample in the average (server-selection "Round Trip Times and the Latency
/// Window").
const ALPHA: f64 = 0.2;

/// How many samples the minimum looks back on (server-monitoring "Measuring RTT").
const RECENT: usize = 10;

/// Exponentially weighted average and recent minimum of a server's round-trip times.
#[derive(Clone, Debug, Default)]
pub struct RttAverage {
    average: Option<f64>,
    /// When the first of the recent samples was taken.
    first: Option<Instant>,
    recent: VecDeque<Duration>,
}

impl RttAverage {
    /// No samples yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on from an average that was learned before.
    pub fn with_average(average: Duration) -> Self {
        Self { average: Some(average.as_secs_f64()), ..Self::default() }
    }

    /// Takes in a sample of this moment.
    ///
    /// The minimum leaves out what is measured right behind the first sample (the RTT probe's first
    /// one): two of the same moment are not yet a minimum, and operations are refused by it.
    pub fn add(&mut self, now: Instant, sample: Duration) {
        let seconds = sample.as_secs_f64();
        self.average = Some(match self.average {
            None => seconds,
            Some(average) => ALPHA * seconds + (1.0 - ALPHA) * average,
        });
        let first = *self.first.get_or_insert(now);
        if now - first < MIN_HEARTBEAT_FREQUENCY && !self.recent.is_empty() {
            return;
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(sample);
    }

    /// The weighted average; `None` before the first sample.
    pub fn average(&self) -> Option<Duration> {
        self.average.map(Duration::from_secs_f64)
    }

    /// The least of the last 10 samples; zero until there are two that are 500 ms apart.
    pub fn min(&self) -> Duration {
        if self.recent.len() < 2 {
            return Duration::ZERO;
        }
        self.recent.iter().min().copied().unwrap_or_default()
    }

    /// Forgets everything: a check has failed.
    pub fn reset(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn average_weighs_new_samples_by_a_fifth() {
        let mut rtt = RttAverage::new();
        assert_eq!(rtt.average(), None);
        rtt.add(at(0), ms(10));
        assert_eq!(rtt.average(), Some(ms(10)));
        rtt.add(at(1), ms(20));
        assert_eq!(rtt.average(), Some(ms(12)));
        rtt.reset();
        assert_eq!(rtt.average(), None);
    }

    #[test]
    fn minimum_needs_two_samples_and_looks_back_on_ten() {
        let mut rtt = RttAverage::new();
        rtt.add(at(0), ms(1));
        assert_eq!(rtt.min(), Duration::ZERO);
        rtt.add(at(500), ms(5));
        assert_eq!(rtt.min(), ms(1));
        for second in 1..10 {
            rtt.add(at(second * 1000), ms(7));
        }
        assert_eq!(rtt.min(), ms(5));
        rtt.add(at(10_000), ms(7));
        assert_eq!(rtt.min(), ms(7));
    }

    #[test]
    fn two_samples_of_one_moment_are_no_minimum() {
        let mut rtt = RttAverage::new();
        rtt.add(at(100), ms(100));
        rtt.add(at(200), ms(90));
        assert_eq!(rtt.min(), Duration::ZERO);
        assert_eq!(rtt.average(), Some(ms(98)));
        rtt.add(at(600), ms(95));
        assert_eq!(rtt.min(), ms(95));
        rtt.reset();
        rtt.add(at(700), ms(1));
        assert_eq!(rtt.min(), Duration::ZERO);
    }
}
