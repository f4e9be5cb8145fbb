//! Any bytes as a record of the log: no panic, and what decodes has one encoding.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| upvector::fuzzing::record(bytes));
