//! Any bytes as a namespace in a checkpoint: no panic, and slots have one encoding.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    upvector::fuzzing::checkpoint(bytes);
});
