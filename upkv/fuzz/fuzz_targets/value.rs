//! What a log holds of a value and of its changes: one byte for the type, one for the length of the image, then both.
#![no_main]

use libfuzzer_sys::fuzz_target;
use upkv::{Kind, decode_value};

const KINDS: [Kind; 6] = [
    Kind::Hash,
    Kind::Zset,
    Kind::List,
    Kind::Set,
    Kind::Stream,
    Kind::Json,
];

fuzz_target!(|bytes: &[u8]| {
    if let [kind, split, rest @ ..] = bytes {
        let (image, changes) = rest.split_at(usize::from(*split).min(rest.len()));
        decode_value(KINDS[usize::from(*kind) % KINDS.len()], image, changes);
    }
});
