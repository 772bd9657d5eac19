//! Time of a JavaScript host: `performance.now()` and `setTimeout`.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use portolan::transport::Instant;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;

    // Browsers answer a number, Node and Deno an object: whatever it is, it clears the timer.
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(handler: &js_sys::Function, millis: f64) -> JsValue;

    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(timer: &JsValue);
}

/// A monotonic clock that starts at zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch_ms: f64,
}

impl Clock {
    /// A clock that starts now.
    pub(crate) fn new() -> Self {
        Self { epoch_ms: performance_now() }
    }

    /// The time since the clock started.
    pub(crate) fn now(self) -> Instant {
        Instant::from_nanos(((performance_now() - self.epoch_ms).max(0.0) * 1e6) as u64)
    }

    /// A moment that `other` has read, as this clock would have read it.
    pub(crate) fn of(self, other: Self, moment: Instant) -> Instant {
        let millis = moment.as_nanos() as f64 / 1e6 + other.epoch_ms - self.epoch_ms;
        Instant::from_nanos((millis.max(0.0) * 1e6) as u64)
    }

    /// Ends at or after `deadline`; dropping it clears the timer.
    pub(crate) fn sleep_until(self, deadline: Instant) -> Sleep {
        Sleep { clock: self, deadline, timer: None }
    }
}

/// Waits for a moment. Hosts round and throttle their timers: each firing is checked against the
/// clock and armed again where it came early.
pub(crate) struct Sleep {
    clock: Clock,
    deadline: Instant,
    timer: Option<Timer>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.clock.now();
        if now >= self.deadline {
            self.timer = None;
            return Poll::Ready(());
        }
        let millis = (self.deadline - now).as_secs_f64() * 1e3;
        match &self.timer {
            Some(timer) if !timer.fired.get() => {
                *timer.waker.borrow_mut() = Some(cx.waker().clone());
            }
            _ => self.timer = Some(Timer::arm(millis, cx.waker().clone())),
        }
        Poll::Pending
    }
}

/// Hosts read a longer time-out as none at all (HTML: a signed 32-bit number of milliseconds).
const MAX_TIMEOUT_MS: f64 = 2_147_483_647.0;

struct Timer {
    handle: JsValue,
    fired: Rc<Cell<bool>>,
    waker: Rc<RefCell<Option<Waker>>>,
    _handler: Closure<dyn FnMut()>,
}

impl Timer {
    fn arm(millis: f64, waker: Waker) -> Self {
        let fired = Rc::new(Cell::new(false));
        let waker = Rc::new(RefCell::new(Some(waker)));
        let (set, wake) = (fired.clone(), waker.clone());
        let handler = Closure::new(move || {
            set.set(true);
            let waker = wake.borrow_mut().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        // Fractions are cut off by some hosts, which would fire early and arm again for nothing.
        let millis = millis.ceil().min(MAX_TIMEOUT_MS);
        let handle = set_timeout(handler.as_ref().unchecked_ref(), millis);
        Self { handle, fired, waker, _handler: handler }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if !self.fired.get() {
            clear_timeout(&self.handle);
        }
    }
}
