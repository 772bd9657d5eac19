//! Searches in what messages promise.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portolan_fuzz::op_msg(bytes));
