//! Checkpoint files: header, blocks, parts. The tests drive the same function with seeded mutations.
#![no_main]

use libfuzzer_sys::fuzz_target;
use upkv::storage::testing::decode;

fuzz_target!(|bytes: &[u8]| {
    decode::checkpoint(bytes);
});
