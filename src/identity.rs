//! New ObjectIds.

use bson::oid::ObjectId;

/// A new ObjectId, unlike all others anywhere.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn object_id() -> ObjectId {
    ObjectId::new()
}

/// A new ObjectId, unlike all others anywhere: the time, five random bytes of this module, and a
/// counter from a random beginning, as the specification has it.
///
/// `ObjectId::new` draws the same from a generator (`rand`, ChaCha) that is used for nothing else,
/// and is 8 KB of what every browser loads.
///
/// # Panics
///
/// The host has no random numbers, as `ObjectId::new` does.
#[cfg(target_arch = "wasm32")]
pub(crate) fn object_id() -> ObjectId {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static SELF: OnceLock<[u8; 5]> = OnceLock::new();
    static COUNTER: AtomicU32 = AtomicU32::new(0);

    let own = SELF.get_or_init(|| {
        let mut random = [0; 8];
        getrandom::fill(&mut random).expect("the host has random numbers");
        let [a, b, c, d, e, rest @ ..] = random;
        let [x, y, z] = rest;
        COUNTER.store(u32::from_be_bytes([0, x, y, z]), Ordering::Relaxed);
        [a, b, c, d, e]
    });
    let [_, counter @ ..] = COUNTER.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    // Seconds since 1970 that wrap, as those of every ObjectId, in 2106.
    let seconds = (js_sys::Date::now() / 1000.0) as u64 as u32;
    ObjectId::from_parts(seconds, *own, counter)
}
