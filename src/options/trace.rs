//! Where the recording of a client goes.

use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex};

use crate::engine::sdam::SdamSettings;
use crate::engine::sdam::trace::Record;
use crate::engine::time::Instant;
use crate::transport::{MaybeSend, MaybeSync};

/// Takes everything that a client's topology machine is told, as lines of JSON.
///
/// The lines are enough to run the machine again (`portolan replay FILE`): they contain the names
/// and addresses of the deployment, the client's metadata and the servers' hello replies; no
/// credentials, no commands and no documents of users.
#[derive(Clone)]
pub struct TraceSink {
    line: Arc<dyn Line>,
}

/// Takes one line, without its line feed.
trait Line: MaybeSend + MaybeSync {
    fn take(&self, line: &str);
}

impl<F: Fn(&str) + MaybeSend + MaybeSync> Line for F {
    fn take(&self, line: &str) {
        self(line);
    }
}

impl TraceSink {
    /// Calls `line` with each line, in order, while the client holds a lock: it must be quick and
    /// must not use the client.
    pub fn new(line: impl Fn(&str) + MaybeSend + MaybeSync + 'static) -> Self {
        Self { line: Arc::new(line) }
    }

    /// Writes each line to `writer`. The first error ends the recording: a client does not fail
    /// because its disk is full.
    pub fn writer(writer: impl Write + Send + 'static) -> Self {
        let writer = Mutex::new(Some(writer));
        Self::new(move |line| {
            let mut writer = writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let failed = match &mut *writer {
                Some(open) => writeln!(open, "{line}").and_then(|()| open.flush()).is_err(),
                None => false,
            };
            if failed {
                *writer = None;
            }
        })
    }

    pub(crate) fn settings(&self, settings: &SdamSettings) {
        self.record(&Record::Settings(settings.clone()));
    }

    pub(crate) fn input(&self, at: Instant, event: &crate::engine::sdam::Event) {
        self.record(&Record::Input { at, event: event.clone() });
    }

    fn record(&self, record: &Record) {
        if let Ok(line) = serde_json::to_string(record) {
            self.line.take(&line);
        }
    }
}

impl fmt::Debug for TraceSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TraceSink")
    }
}

impl PartialEq for TraceSink {
    /// Whether both are the same sink.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.line, &other.line)
    }
}
