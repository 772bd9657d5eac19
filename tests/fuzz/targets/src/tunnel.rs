//! Searches in what the tunnel promises.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portolan_fuzz::tunnel(bytes));
