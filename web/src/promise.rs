//! Operations as promises that an `AbortSignal` can end.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use futures_util::future::{Either, LocalBoxFuture, select};
use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;
use web_sys::AbortSignal;

use crate::failure::aborted;

/// What an operation does. Boxed, so that what is around it is compiled once.
pub(crate) type Work = LocalBoxFuture<'static, Result<JsValue, JsValue>>;

/// The outcome of `work`; when `signal` comes first, `work` is dropped and the promise rejected.
pub(crate) fn promised(signal: Option<AbortSignal>, work: Work) -> Promise {
    future_to_promise(async move {
        let Some(signal) = signal else { return work.await };
        let abort = Abort::of(signal);
        let outcome = {
            let aborted = pin!(abort.happened());
            match select(aborted, work).await {
                Either::Left(((), _)) => None,
                Either::Right((outcome, _)) => Some(outcome),
            }
        };
        outcome.unwrap_or_else(|| Err(aborted(&abort.signal.reason())))
    })
}

/// Listens to a signal until dropped.
struct Abort {
    signal: AbortSignal,
    waker: Rc<Cell<Option<Waker>>>,
    listener: Closure<dyn FnMut()>,
}

impl Abort {
    fn of(signal: AbortSignal) -> Self {
        let waker = Rc::<Cell<Option<Waker>>>::default();
        let wake = Rc::clone(&waker);
        let listener = Closure::new(move || {
            if let Some(waker) = wake.take() {
                waker.wake();
            }
        });
        let function = listener.as_ref().unchecked_ref();
        // Fails on what is no event target only; a signal is one.
        let _ = signal.add_event_listener_with_callback("abort", function);
        Self { signal, waker, listener }
    }

    async fn happened(&self) {
        poll_fn(|cx| {
            if self.signal.aborted() {
                return Poll::Ready(());
            }
            self.waker.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Abort {
    fn drop(&mut self) {
        let function = self.listener.as_ref().unchecked_ref();
        let _ = self.signal.remove_event_listener_with_callback("abort", function);
    }
}
