//! What a client believes about its deployment, as a user holds it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_channel::Receiver;
use futures_util::Stream;

use crate::driver::shared::Shared;
use crate::engine::sdam::TopologyDescription;
use crate::event::Event;

/// What a client believes about its deployment, and the stream of events that change it.
#[derive(Debug)]
pub struct Topology {
    shared: Arc<Shared>,
    events: Pin<Box<Receiver<Event>>>,
}

impl Topology {
    pub(crate) fn of(shared: &Arc<Shared>) -> Self {
        let events = shared.observers.topology.subscribe();
        Self { shared: shared.clone(), events: Box::pin(events) }
    }

    /// The present belief. Taking it costs no lock.
    pub fn description(&self) -> Arc<TopologyDescription> {
        self.shared.view().topology.clone()
    }

    /// Milliseconds since the client was created, on the clock of all its events.
    pub fn now_ms(&self) -> f64 {
        self.shared.transport.now().as_millis_f64()
    }
}

impl Stream for Topology {
    type Item = Event;

    /// The next event; the stream ends after `TopologyClosed`.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.events.as_mut().poll_next(cx)
    }
}
