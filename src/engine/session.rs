//! Server sessions: which one an operation uses, and when one is thrown away.
//!
//! Specification: sessions "Server Session Pool". Ids come from the shell.

use std::sync::Arc;
use std::time::Duration;

use bson::raw::cstr;
use bson::{RawBsonRef, RawDocument, RawDocumentBuf, Timestamp};

use crate::engine::time::Instant;

/// What is left of a session's life when it is not used again ("has less than one minute left").
const MARGIN: Duration = Duration::from_secs(60);

/// One session of the server.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerSession {
    /// `{id: UUID}`, as commands carry it. Shared: every command takes it along.
    pub lsid: Arc<RawDocumentBuf>,
    /// The number of the latest retryable write or transaction.
    pub txn_number: i64,
    last_use: Instant,
    dirty: bool,
}

impl ServerSession {
    /// A session that was never used.
    pub fn new(lsid: RawDocumentBuf, now: Instant) -> Self {
        Self { lsid: Arc::new(lsid), txn_number: 0, last_use: now, dirty: false }
    }

    /// The number for the next retryable write.
    pub fn next_txn_number(&mut self) -> i64 {
        self.txn_number += 1;
        self.txn_number
    }

    /// Whether an operation on it may still be running on a server: then it is not to be used for
    /// another. Returns what was so before.
    pub fn set_dirty(&mut self, dirty: bool) -> bool {
        std::mem::replace(&mut self.dirty, dirty)
    }

    /// Whether an operation on it may still be running.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// An operation used it.
    pub fn touch(&mut self, now: Instant) {
        self.last_use = now;
    }

    fn is_expiring(&self, now: Instant, timeout: Option<Duration>) -> bool {
        timeout.is_none_or(|timeout| now + MARGIN > self.last_use + timeout)
    }
}

/// What a session adds to the read concern of its operations, and the time that it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionConcern {
    /// Nothing.
    None {
        /// Of its latest operation.
        operation_time: Option<Timestamp>,
    },
    /// Operations come after what the session has seen (causal-consistency).
    Causal {
        /// Of its latest operation.
        operation_time: Option<Timestamp>,
    },
    /// All reads are of one moment (snapshot-sessions).
    Snapshot {
        /// The moment, once it is known.
        time: Option<Timestamp>,
    },
}

impl SessionConcern {
    /// The time of the session's latest operation.
    pub fn operation_time(&self) -> Option<Timestamp> {
        match self {
            Self::None { operation_time } | Self::Causal { operation_time } => *operation_time,
            Self::Snapshot { .. } => None,
        }
    }

    /// The moment that is read.
    pub fn snapshot_time(&self) -> Option<Timestamp> {
        match self {
            Self::Snapshot { time } => *time,
            Self::None { .. } | Self::Causal { .. } => None,
        }
    }

    /// Takes note of an operation's time; an older one changes nothing.
    pub fn advance(&mut self, time: Timestamp) {
        if let Self::None { operation_time } | Self::Causal { operation_time } = self
            && operation_time.is_none_or(|known| known < time)
        {
            *operation_time = Some(time);
        }
    }

    /// Takes note of a reply: of its `operationTime`, and of the first `atClusterTime`.
    pub fn saw(&mut self, reply: &RawDocument) {
        if let Ok(Some(RawBsonRef::Timestamp(time))) = reply.get("operationTime") {
            self.advance(time);
        }
        if let Self::Snapshot { time: time @ None } = self {
            let cursor = reply.get_document("cursor").unwrap_or(reply);
            if let Ok(Some(RawBsonRef::Timestamp(at))) = cursor.get("atClusterTime") {
                *time = Some(at);
            }
        }
    }

    /// The read concern of an operation whose own is `own`; `None` where the session adds nothing.
    ///
    /// "If the level property [...] is null then the driver MUST NOT include a `level` field
    /// alongside the `afterClusterTime`".
    pub fn over(&self, own: Option<&RawDocument>) -> Option<RawDocumentBuf> {
        match self {
            Self::None { .. } | Self::Causal { operation_time: None } => None,
            Self::Causal { operation_time: Some(time) } => {
                let mut concern = own.map_or_else(RawDocumentBuf::new, RawDocument::to_owned);
                concern.append(cstr!("afterClusterTime"), *time);
                Some(concern)
            }
            Self::Snapshot { time } => {
                let mut concern = bson::rawdoc! { "level": "snapshot" };
                if let Some(time) = time {
                    concern.append(cstr!("atClusterTime"), *time);
                }
                Some(concern)
            }
        }
    }

    /// Whether it is added to a user's own command too: only a snapshot is.
    pub fn is_snapshot(&self) -> bool {
        matches!(self, Self::Snapshot { .. })
    }
}

/// The wire version of server 5.0, the first that reads snapshots outside transactions.
pub const SNAPSHOT_SINCE: i32 = 13;

/// Sessions that nobody uses, the most recently used last.
#[derive(Debug, Default)]
pub struct SessionPool {
    idle: Vec<ServerSession>,
}

impl SessionPool {
    /// The most recently used session that is not about to expire. `timeout` is the deployment's
    /// "logicalSessionTimeoutMinutes".
    pub fn acquire(&mut self, now: Instant, timeout: Option<Duration>) -> Option<ServerSession> {
        while let Some(session) = self.idle.pop() {
            if !session.is_expiring(now, timeout) {
                return Some(session);
            }
        }
        None
    }

    /// Gives a session back; a dirty or expiring one is thrown away.
    pub fn release(&mut self, session: ServerSession, now: Instant, timeout: Option<Duration>) {
        let outdated = self.idle.iter().take_while(|idle| idle.is_expiring(now, timeout)).count();
        self.idle.drain(..outdated);
        if !session.dirty && !session.is_expiring(now, timeout) {
            self.idle.push(session);
        }
    }

    /// All sessions, for `endSessions`.
    pub fn drain(&mut self) -> Vec<ServerSession> {
        std::mem::take(&mut self.idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Option<Duration> = Some(Duration::from_secs(30 * 60));

    fn session(n: i32, now: Instant) -> ServerSession {
        ServerSession::new(bson::rawdoc! { "id": n }, now)
    }

    #[test]
    fn the_most_recently_used_session_is_used_again() {
        let (mut pool, now) = (SessionPool::default(), Instant::ZERO);
        pool.release(session(1, now), now, TIMEOUT);
        pool.release(session(2, now), now, TIMEOUT);
        assert_eq!(pool.acquire(now, TIMEOUT), Some(session(2, now)));
        assert_eq!(pool.acquire(now, TIMEOUT), Some(session(1, now)));
        assert_eq!(pool.acquire(now, TIMEOUT), None);
    }

    fn time(seconds: u32) -> Timestamp {
        Timestamp { time: seconds, increment: 1 }
    }

    #[test]
    fn a_causal_session_reads_after_what_it_has_seen() {
        let mut concern = SessionConcern::Causal { operation_time: None };
        assert_eq!(concern.over(None), None, "nothing was seen yet");
        concern.saw(&bson::rawdoc! { "ok": 0, "operationTime": time(5) });
        concern.saw(&bson::rawdoc! { "ok": 1, "operationTime": time(4) });
        concern.advance(time(3));
        assert_eq!(concern.operation_time(), Some(time(5)));
        let expected = bson::rawdoc! { "afterClusterTime": time(5) };
        assert_eq!(concern.over(None), Some(expected));
        let own = bson::rawdoc! { "level": "majority" };
        let expected = bson::rawdoc! { "level": "majority", "afterClusterTime": time(5) };
        assert_eq!(concern.over(Some(&own)), Some(expected));
        let plain = SessionConcern::None { operation_time: Some(time(5)) };
        assert_eq!(plain.over(Some(&own)), None);
    }

    #[test]
    fn a_snapshot_session_reads_the_moment_of_its_first_read() {
        let mut concern = SessionConcern::Snapshot { time: None };
        assert_eq!(concern.over(None), Some(bson::rawdoc! { "level": "snapshot" }));
        concern.saw(&bson::rawdoc! { "ok": 1, "operationTime": time(9) });
        assert_eq!((concern.operation_time(), concern.snapshot_time()), (None, None));
        concern.saw(&bson::rawdoc! { "ok": 1, "cursor": { "atClusterTime": time(5) } });
        concern.saw(&bson::rawdoc! { "ok": 1, "atClusterTime": time(6) });
        let expected = bson::rawdoc! { "level": "snapshot", "atClusterTime": time(5) };
        assert_eq!(concern.over(Some(&bson::rawdoc! { "level": "local" })), Some(expected));
        let mut distinct = SessionConcern::Snapshot { time: None };
        distinct.saw(&bson::rawdoc! { "ok": 1, "atClusterTime": time(6) });
        assert_eq!(distinct.snapshot_time(), Some(time(6)));
    }

    #[test]
    fn dirty_and_expiring_sessions_are_thrown_away() {
        let (mut pool, now) = (SessionPool::default(), Instant::ZERO);
        let mut dirty = session(1, now);
        assert!(!dirty.set_dirty(true));
        pool.release(dirty, now, TIMEOUT);
        assert_eq!(pool.acquire(now, TIMEOUT), None);
        pool.release(session(2, now), now, TIMEOUT);
        let late = now + Duration::from_secs(29 * 60 + 1);
        assert_eq!(pool.acquire(late, TIMEOUT), None);
        pool.release(session(3, now), now, None);
        assert_eq!(pool.acquire(now, TIMEOUT), None);
    }
}
