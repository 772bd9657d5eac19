//! Searches in what connection strings promise.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portolan_fuzz::uri(bytes));
