//! Values that every operation reads and few replace.

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use arc_swap::{ArcSwapAny as Published, Guard};

#[cfg(target_arch = "wasm32")]
pub(crate) use alone::{Guard, Published};

/// What is used of `arc-swap`, where nothing runs beside anything: a lock that is never contended
/// is a tenth of its code.
#[cfg(target_arch = "wasm32")]
mod alone {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    /// A value, shared.
    #[derive(Debug, Default)]
    pub(crate) struct Published<T>(Mutex<T>);

    /// What was read.
    pub(crate) type Guard<T> = T;

    impl<T: Clone> Published<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(Mutex::new(value))
        }

        pub(crate) fn load(&self) -> Guard<T> {
            self.value().clone()
        }

        pub(crate) fn load_full(&self) -> T {
            self.load()
        }

        pub(crate) fn store(&self, value: T) {
            *self.value() = value;
        }

        /// Puts what `change` makes of the value in its place.
        pub(crate) fn rcu<R: Into<T>>(&self, mut change: impl FnMut(&T) -> R) {
            let changed = change(&self.load()).into();
            self.store(changed);
        }

        fn value(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}
