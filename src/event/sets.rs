//! Streams of what becomes of a replica set; whoever comes late begins with the latest.

use std::sync::Mutex;

use futures_channel::mpsc::UnboundedSender;

use super::Events;
use super::listeners::Listeners;
use crate::engine::sdam::{EventKind, SetChange, SetWatch};

/// The watch over one client's set, and everybody who listens to it.
#[derive(Debug, Default)]
pub(crate) struct SetListeners {
    watch: Mutex<SetWatch>,
    listeners: Listeners<SetChange>,
}

impl SetListeners {
    pub(crate) fn subscribe(&self) -> Events<SetChange> {
        let watch = self.watch.lock().expect("not poisoned: the watch does not panic");
        self.listeners.subscribe_after(watch.latest().cloned())
    }

    /// Tells `sender` too, beginning with the latest.
    pub(crate) fn add(&self, sender: UnboundedSender<SetChange>) {
        let watch = self.watch.lock().expect("not poisoned: the watch does not panic");
        self.listeners.add(sender, watch.latest().cloned());
    }

    pub(crate) fn apply(&self, event: &EventKind) {
        let mut watch = self.watch.lock().expect("not poisoned: the watch does not panic");
        for change in watch.apply(event) {
            self.listeners.tell(change);
        }
        if matches!(event, EventKind::TopologyClosed) {
            self.listeners.close();
        }
    }
}
