//! A door to the codecs of values, for fuzzing: what a log holds of a value and of its changes, from any bytes.
//!
//! Invariant: for any bytes it returns, in memory that the bytes account for; what it takes is written and read back as the same.

use std::sync::Arc;

use super::{Kind, Object, Seen};
use crate::keyspace::table::Hashers;

/// Most bytes in memory for each byte of an image, and beside them.
const GROWTH: usize = 512;
const BESIDE: usize = 4096;

/// Reads a value from the bytes of an image record and replays changes on it; whether each was taken.
///
/// # Panics
///
/// If a value takes more memory than its image accounts for, or is written and read back as another.
#[doc(hidden)]
pub fn decode_value(kind: Kind, image: &[u8], changes: &[u8]) -> (bool, bool) {
    let mut seed = 0_u64;
    let hashers = Arc::new(Hashers::new(7, || {
        seed += 1;
        seed
    }));
    let Some(mut object) = Object::decode(kind, &hashers, image) else {
        return (false, false);
    };
    let most = BESIDE + GROWTH * image.len();
    assert!(
        object.memory() <= most,
        "{} bytes of an image take {}",
        image.len(),
        object.memory()
    );
    check(kind, &hashers, &object);
    let taken = object.replay(changes).is_some();
    if taken {
        check(kind, &hashers, &object);
    }
    (true, taken)
}

fn check(kind: Kind, hashers: &Arc<Hashers>, object: &Object) {
    let written = Seen::Object(object).encode().into_owned();
    let again = Object::decode(kind, hashers, &written).expect("what was written is read");
    let (first, second) = (written.len(), Seen::Object(&again).encode().len());
    assert_eq!(first, second, "what was read is written as the same");
}
