//! How much of everything at once: limits, and the counters and buckets that hold them.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portolan_mux::Limits as TunnelLimits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How much of it at once, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of any kind.
    pub connections: usize,
    /// The same of one client address (of one /64 in IPv6).
    pub connections_per_address: usize,
    /// WebSockets, of tunnels and plain ones.
    pub sockets: usize,
    /// Streams in one tunnel.
    pub streams: usize,
    /// Bytes that a tunnel's streams together may hold unread, beyond the 256 KiB that the protocol
    /// grants each: no stream ever holds more than both.
    pub tunnel_window: usize,
    /// Bytes that everything together may come to hold. What a WebSocket or stream may hold at most
    /// is put aside when it opens; where that is no longer to be had, it is refused.
    pub buffer_total: usize,
    /// The largest WebSocket message taken, in bytes.
    pub frame: usize,
    /// WebSockets and streams that one client address may open in a second, on average.
    pub opens_per_second: u32,
    /// The same at once, after a time without any.
    pub opens_burst: u32,
    /// Pings, pongs and empty frames that one WebSocket may send in a second, on average.
    pub pings_per_second: u32,
    /// From a connection's start to the head of its request, and from a stream's start to its open
    /// request.
    pub handshake: Duration,
    /// From a stream's open request to its member's answer.
    pub dial: Duration,
    /// How long a WebSocket's other end may be silent, pings not answered included; how long it may
    /// leave everything unread; how long a half-closed stream may rest.
    pub idle: Duration,
    /// How long a shutdown still accepts, with `/readyz` saying no: what a load balancer needs to
    /// notice.
    pub notice: Duration,
    /// How long a shutdown waits for what is under way.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            connections_per_address: 128,
            sockets: 128,
            streams: 256,
            tunnel_window: 1024 * 1024,
            buffer_total: 1024 * 1024 * 1024,
            frame: 1024 * 1024 + 64,
            opens_per_second: 50,
            opens_burst: 500,
            pings_per_second: 10,
            handshake: Duration::from_secs(10),
            dial: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            notice: Duration::ZERO,
            drain: Duration::from_secs(3),
        }
    }
}

impl Limits {
    pub(crate) fn of_tunnel(&self) -> TunnelLimits {
        TunnelLimits { streams: self.streams, extra_window_bytes: self.tunnel_window }
    }

    /// What one WebSocket may hold beside its streams: window, messages unsent, one being read and
    /// what comes behind it.
    pub(crate) fn socket_bytes(&self) -> usize {
        self.tunnel_window + UNSENT_BYTES + self.frame + AHEAD_BYTES
    }
}

/// What is gathered of a WebSocket's messages before it is sent: with so much unsent, it takes no
/// more.
pub(crate) const SEND_BYTES: usize = 256 * 1024;
/// Bytes of messages that a WebSocket holds until its other end takes them.
pub(crate) const UNSENT_BYTES: usize = SEND_BYTES + COPY_BYTES;
/// What is read of a WebSocket before it is asked for, where much comes.
pub(crate) const AHEAD_BYTES: usize = 64 * 1024;
/// What is read of a member in one system call, at most.
pub(crate) const COPY_BYTES: usize = 256 * 1024;
/// What a member is sent in one system call, and a message more.
pub(crate) const GATHERED_BYTES: usize = 256 * 1024;
/// What one stream may hold: the credit it is given, and what is copied, each way.
pub(crate) const STREAM_BYTES: usize = 256 * 1024 + COPY_BYTES + GATHERED_BYTES;

/// Who a limit per address counts as one: an IPv4 address, or a /64 of IPv6, which one user has.
pub(crate) fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// A count for each key, none above the limit.
#[derive(Debug)]
pub(crate) struct PerKey<K: Eq + Hash> {
    limit: usize,
    counts: Mutex<HashMap<K, usize>>,
}

impl<K: Eq + Hash + Clone> PerKey<K> {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, counts: Mutex::default() })
    }

    /// One more of `key`, until the place is dropped; `None` where there are enough.
    pub(crate) fn place(self: &Arc<Self>, key: K) -> Option<Place<K>> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key.clone()).or_insert(0);
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Place { all: self.clone(), key })
    }
}

/// One of a [`PerKey`]; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place<K: Eq + Hash + Clone> {
    all: Arc<PerKey<K>>,
    key: K,
}

impl<K: Eq + Hash + Clone> Drop for Place<K> {
    fn drop(&mut self) {
        let mut counts = self.all.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

/// A token bucket: `rate` a second on average, `burst` at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    rate: f64,
    burst: f64,
    left: f64,
    at: Instant,
}

impl Bucket {
    pub(crate) fn new(rate: u32, burst: u32, now: Instant) -> Self {
        let burst = f64::from(burst.max(1));
        Self { rate: f64::from(rate), burst, left: burst, at: now }
    }

    /// Takes `count`, if that many are there.
    pub(crate) fn take(&mut self, count: u32, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * self.rate).min(self.burst);
        self.at = now;
        let fits = self.left >= f64::from(count);
        if fits {
            self.left -= f64::from(count);
        }
        fits
    }

    fn is_full(&self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left + passed * self.rate >= self.burst
    }
}

/// A bucket for each client address. One that is full again is forgotten.
#[derive(Debug)]
pub(crate) struct Rates {
    rate: u32,
    burst: u32,
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    by_address: HashMap<IpAddr, Bucket>,
    /// When those that were full were forgotten.
    pruned: Option<Instant>,
}

impl Rates {
    pub(crate) fn new(rate: u32, burst: u32) -> Self {
        Self { rate, burst, buckets: Mutex::default() }
    }

    /// Whether `address` may do one more now.
    pub(crate) fn take(&self, address: IpAddr, now: Instant) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = counted_as(address);
        if buckets.by_address.len() >= MOST_BUCKETS && !buckets.by_address.contains_key(&key) {
            buckets.prune(now);
            if buckets.by_address.len() >= MOST_BUCKETS {
                // So many at once are an attack: those who come new share one bucket.
                key = Ipv6Addr::UNSPECIFIED.into();
            }
        }
        let fresh = || Bucket::new(self.rate, self.burst, now);
        buckets.by_address.entry(key).or_insert_with(fresh).take(1, now)
    }
}

impl Buckets {
    /// Forgets who has a full one; once a second at most, for it looks at all of them.
    fn prune(&mut self, now: Instant) {
        if self.pruned.is_none_or(|last| now.saturating_duration_since(last) >= PRUNE_PAUSE) {
            self.pruned = Some(now);
            self.by_address.retain(|_, bucket| !bucket.is_full(now));
        }
    }
}

const PRUNE_PAUSE: Duration = Duration::from_secs(1);
/// Addresses remembered at once.
const MOST_BUCKETS: usize = 16 * 1024;

/// The bytes that may be held, as permits of a KiB.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    free: Arc<Semaphore>,
    total_kib: usize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let total_kib = (bytes / 1024).min(u32::MAX as usize).min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(total_kib)), total_kib }
    }

    /// Puts `bytes` aside until the permit is dropped, if they are there.
    pub(crate) fn reserve(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes.div_ceil(1024)).ok()?;
        self.free.clone().try_acquire_many_owned(kib).ok()
    }

    pub(crate) fn reserved_bytes(&self) -> usize {
        (self.total_kib - self.free.available_permits()) * 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_address_and_come_back() {
        let all = PerKey::new(2);
        let address: IpAddr = [192, 0, 2, 1].into();
        let first = all.place(address).unwrap();
        let _second = all.place(address).unwrap();
        assert!(all.place(address).is_none());
        assert!(all.place([192, 0, 2, 2].into()).is_some());
        drop(first);
        assert!(all.place(address).is_some());
        assert_eq!(all.counts.lock().unwrap().len(), 1, "who has none is forgotten");
    }

    #[test]
    fn a_v6_user_is_a_64_and_a_mapped_address_its_v4() {
        let one = counted_as("2001:db8:1:2:aaaa::1".parse().unwrap());
        assert_eq!(one, counted_as("2001:db8:1:2:bbbb::2".parse().unwrap()));
        assert_ne!(one, counted_as("2001:db8:1:3::1".parse().unwrap()));
        let mapped = counted_as("::ffff:192.0.2.1".parse().unwrap());
        assert_eq!(mapped, IpAddr::from([192, 0, 2, 1]));
    }

    #[test]
    fn a_bucket_fills_with_time_up_to_its_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 3, start);
        assert!((0..3).all(|_| bucket.take(1, start)) && !bucket.take(1, start));
        assert!(bucket.take(1, start + Duration::from_millis(101)));
        assert!(!bucket.take(1, start + Duration::from_millis(102)));
        let later = start + Duration::from_secs(60);
        assert!(bucket.take(3, later) && !bucket.take(1, later));
    }

    #[test]
    fn rates_are_each_addresss_own() {
        let (rates, now) = (Rates::new(1, 1), Instant::now());
        assert!(rates.take([192, 0, 2, 1].into(), now) && !rates.take([192, 0, 2, 1].into(), now));
        assert!(rates.take([192, 0, 2, 2].into(), now));
    }

    #[test]
    fn addresses_without_end_cost_memory_with_an_end() {
        let (rates, now) = (Rates::new(1, 2), Instant::now());
        for number in 0..2 * u32::try_from(MOST_BUCKETS).unwrap() {
            rates.take(std::net::Ipv4Addr::from(number).into(), now);
        }
        let known = || rates.buckets.lock().unwrap().by_address.len();
        assert!(known() <= MOST_BUCKETS + 1, "{}", known());
        assert!(!rates.take([203, 0, 113, 9].into(), now), "strangers share one bucket");
        assert!(rates.take([203, 0, 113, 9].into(), now + Duration::from_secs(9)));
        assert!(known() < 3, "those that are full again are forgotten");
    }

    #[test]
    fn bytes_put_aside_come_back() {
        let budget = Budget::new(10 * 1024);
        let held = budget.reserve(9 * 1024 + 1).unwrap();
        assert!(budget.reserve(1).is_none());
        assert_eq!(budget.reserved_bytes(), 10 * 1024);
        drop(held);
        assert_eq!(budget.reserved_bytes(), 0);
    }
}
