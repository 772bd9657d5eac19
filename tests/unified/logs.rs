//! The log messages of clients under test, as `tracing` gives them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use bson::{Bson, Document};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

/// One message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) level: &'static str,
    pub(crate) component: String,
    pub(crate) data: Document,
}

/// The messages of each client that is watched, by its topology id.
static WATCHED: Mutex<BTreeMap<String, Vec<Message>>> = Mutex::new(BTreeMap::new());

/// Keeps the messages of this client from now on.
pub(crate) fn watch(topology_id: &str) {
    if let Ok(mut watched) = WATCHED.lock() {
        watched.insert(topology_id.to_owned(), Vec::new());
    }
}

/// The client's messages so far.
pub(crate) fn messages(topology_id: &str) -> Vec<Message> {
    let watched = WATCHED.lock().expect("nothing panics with it");
    watched.get(topology_id).cloned().unwrap_or_default()
}

/// Forgets the client.
pub(crate) fn forget(topology_id: &str) {
    if let Ok(mut watched) = WATCHED.lock() {
        watched.remove(topology_id);
    }
}

/// How severe a level of the specification is; larger is less severe. `None` for no level.
pub(crate) fn severity(level: &str) -> Option<u8> {
    let levels =
        ["emergency", "alert", "critical", "error", "warn", "notice", "info", "debug", "trace"];
    let place = levels.iter().position(|known| *known == level)?;
    u8::try_from(place).ok()
}

/// Hears every message of the process.
pub(crate) struct Collector;

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        !metadata.is_span() && metadata.target().starts_with("portolan::")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(Document::new());
        event.record(&mut fields);
        let metadata = event.metadata();
        let message = Message {
            level: match *metadata.level() {
                Level::ERROR => "error",
                Level::WARN => "warn",
                Level::INFO => "info",
                Level::DEBUG => "debug",
                Level::TRACE => "trace",
            },
            component: metadata.target().trim_start_matches("portolan::").to_owned(),
            data: fields.0,
        };
        let Ok(topology_id) = message.data.get_str("topologyId").map(str::to_owned) else { return };
        if let Ok(mut watched) = WATCHED.lock()
            && let Some(messages) = watched.get_mut(&topology_id)
        {
            messages.push(message);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Fields(Document);

impl Fields {
    fn insert(&mut self, field: &Field, value: impl Into<Bson>) {
        self.0.insert(field.name(), value);
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}"));
    }
}
