//! A namespace in a checkpoint, byte by byte as `docs/format.md` has it, and what mutated bytes do.
#![cfg(feature = "test-util")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use upkv::storage::Random;
use upvector::fuzzing;

/// A free slot, a record that is not in the graph, one that is, and a dead node, in two dimensions.
fn namespace() -> Vec<u8> {
    let text = "0900000000000000 04000000 0200000000000000 01 02000000 \
        00 \
        01 0800000000000000 01000000 40000000 50000000 02000000 6162 \
        02 0300000000000000 01000000 c0000000 50000000 01000000 63 01 03000000 \
        03 01 02000000 0000803f 000000bf";
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[test]
fn a_namespace_is_read_as_the_table_says() {
    assert_eq!(fuzzing::checkpoint(&namespace()), 4);
    for len in 0..namespace().len() {
        assert!(fuzzing::checkpoint(&namespace()[..len]) < 4, "{len} bytes");
    }
}

#[test]
fn mutated_namespaces_never_panic() {
    let random = Random::seeded(6);
    let mut whole = 0;
    for _ in 0..30_000 {
        let mut bytes = namespace();
        for _ in 0..=random.below(3) {
            let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
            bytes[at] = random.next_u64().to_le_bytes()[0];
        }
        whole += u32::from(fuzzing::checkpoint(&bytes) == 4);
    }
    assert!(whole > 1000, "{whole}");
}
