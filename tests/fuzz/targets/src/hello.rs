//! Searches in what a hello reply promises.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portolan_fuzz::hello(bytes));
