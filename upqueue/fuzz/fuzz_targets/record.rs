//! Any bytes as a record: no panic, and what decodes has one encoding.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| upqueue::fuzzing::record(bytes));
