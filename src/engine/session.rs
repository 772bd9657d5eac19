//! Server sessions: which one an operation uses, and when one is thrown away.
//!
//! Specification: sessions "Server Session Pool". Ids come from the shell.

use std::sync::Arc;
use std::time::Duration;

use bson::RawDocumentBuf;

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

    /// An operation used it.
    pub fn touch(&mut self, now: Instant) {
        self.last_use = now;
    }

    fn is_expiring(&self, now: Instant, timeout: Option<Duration>) -> bool {
        timeout.is_none_or(|timeout| now + MARGIN > self.last_use + timeout)
    }
}

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
