//! The driver future without a task of its own: whoever has an operation under way runs it.
//!
//! Of several operations one has it in hand; when that ends or is dropped, another one takes over.
//! While there is none, nothing runs, and the engine knows it
//! ([`Event::Attended`](crate::engine::sdam::Event::Attended)).

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use futures_util::future::{Either, select};

use super::shared::Shared;
use crate::transport::BoxFuture;

/// The future, while nobody has it in hand.
pub(crate) struct Attendance {
    driver: Mutex<Place>,
    /// Notified when it was put back.
    free: event_listener::Event,
}

/// Where the future is.
enum Place {
    Free(BoxFuture<'static, ()>),
    /// In an operation's hands, or not made yet.
    InHand,
    Dismissed,
}

impl Default for Attendance {
    fn default() -> Self {
        Self { driver: Mutex::new(Place::InHand), free: event_listener::Event::new() }
    }
}

impl Attendance {
    /// The operations may run `driver` from now on.
    pub(crate) fn put(&self, driver: BoxFuture<'static, ()>) {
        let unwanted = match &mut *self.driver() {
            Place::Dismissed => Some(driver),
            place => {
                *place = Place::Free(driver);
                None
            }
        };
        drop(unwanted);
        self.free.notify(1);
    }

    /// Ends the driver, which refers to the client's parts as they refer to it.
    pub(crate) fn dismiss(&self) {
        let place = std::mem::replace(&mut *self.driver(), Place::Dismissed);
        drop(place);
    }

    fn take(&self) -> Option<BoxFuture<'static, ()>> {
        let mut place = self.driver();
        match std::mem::replace(&mut *place, Place::InHand) {
            Place::Free(driver) => Some(driver),
            other => {
                *place = other;
                None
            }
        }
    }

    /// Runs the driver as long as this is polled.
    async fn run(&self) -> Infallible {
        loop {
            let free = self.free.listen();
            match self.take() {
                Some(driver) => Hand { attendance: self, driver: Some(driver) }.await,
                None => free.await,
            }
        }
    }

    fn driver(&self) -> MutexGuard<'_, Place> {
        self.driver.lock().expect("not poisoned: nothing panics with it")
    }
}

/// The driver, in the hands of one operation.
struct Hand<'a> {
    attendance: &'a Attendance,
    driver: Option<BoxFuture<'static, ()>>,
}

impl Future for Hand<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(driver) = &mut self.driver else { return Poll::Pending };
        if driver.as_mut().poll(cx).is_ready() {
            // The client was shut down: there is nothing to run any more.
            self.driver = None;
        }
        Poll::Pending
    }
}

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            self.attendance.put(driver);
        }
    }
}

/// Runs `work`; on demand, the monitors beside it.
///
/// Pinned where it lies: given by value it would lie here twice, and it is kilobytes long.
pub(crate) async fn attend<F: Future>(shared: &Arc<Shared>, work: Pin<&mut F>) -> F::Output {
    let Some(attendance) = shared.attendance() else { return work.await };
    let _attending = shared.begin_attending();
    match select(work, pin!(attendance.run())).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right((never, _)) => match never {},
    }
}
