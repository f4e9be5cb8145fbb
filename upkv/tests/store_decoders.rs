//! The decoders of the store's files on bytes that are nearly right: the same doors as the fuzz targets, with seeded mutations of
//! the golden store, so that every run of the tests covers them.
#![cfg(feature = "test-util")]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;

use upkv::storage::Random;
use upkv::storage::testing::{decode, scaled};

fn golden(name: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1/store");
    std::fs::read(root.join(name)).unwrap()
}

fn below(random: &Random, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).unwrap()
}

/// Changes a few bytes, numbers or stretches of `bytes`, or cuts them.
fn mutate(bytes: &mut Vec<u8>, random: &Random) {
    const EXTREMES: [u32; 8] = [
        0,
        1,
        15,
        16,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_fff0,
        u32::MAX,
    ];
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            return;
        }
        let at = below(random, bytes.len());
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next_u64().to_le_bytes()[0],
            2 => {
                let number = EXTREMES[below(random, EXTREMES.len())].to_le_bytes();
                let at = at / 4 * 4;
                let n = number.len().min(bytes.len() - at);
                bytes[at..at + n].copy_from_slice(&number[..n]);
            }
            3 => bytes.truncate(at),
            4 => {
                let n = below(random, 64.min(bytes.len() - at) + 1);
                let to = below(random, bytes.len() - n + 1);
                bytes.copy_within(at..at + n, to);
            }
            _ => {
                let n = below(random, 40);
                bytes.splice(at..at, (0..n).map(|_| random.next_u64().to_le_bytes()[0]));
            }
        }
    }
}

/// Mutates `intact` again and again; returns how often `decode` still took it for whole.
fn drive(intact: &[u8], seed: u64, rounds: u64, decode: impl Fn(&[u8]) -> bool) -> u64 {
    assert!(decode(intact), "the golden bytes are whole");
    let mut whole = 0;
    for round in 0..scaled(rounds) {
        let random = Random::seeded(seed << 32 | round);
        let mut bytes = intact.to_vec();
        mutate(&mut bytes, &random);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| decode(&bytes)));
        whole +=
            u64::from(result.unwrap_or_else(|_| panic!("seed {seed}, round {round}: {bytes:?}")));
    }
    whole
}

#[test]
fn manifests() {
    let whole = drive(&golden("MANIFEST"), 1, 100_000, decode::manifest);
    assert!(whole < 60_000, "{whole}");
}

#[test]
fn checkpoints() {
    for name in ["ckp/0000000000000001.ckp", "ckp/0000000000000002.ckp"] {
        let whole = drive(&golden(name), 2, 60_000, decode::checkpoint);
        assert!(whole < 30_000, "{whole}");
    }
}

#[test]
fn segments_and_frames() {
    let segment = golden("seg/00000000.log");
    let frames = decode::frames(&segment);
    assert_eq!(frames, 25);
    let as_before = drive(&segment, 3, 8_000, |bytes| decode::frames(bytes) == frames);
    assert!(as_before < 8_000, "{as_before}");
    // Without the header the first frame is at the beginning, where its checksums are repaired.
    drive(&segment[4096..], 4, 20_000, |bytes| {
        decode::frames(bytes) == 0
    });
}

#[test]
fn noise() {
    for round in 0..scaled(20_000) {
        let random = Random::seeded(5 << 32 | round);
        let n = below(&random, 300);
        let bytes: Vec<u8> = (0..n).map(|_| random.next_u64().to_le_bytes()[0]).collect();
        assert!(!decode::manifest(&bytes) && !decode::checkpoint(&bytes));
        assert_eq!(decode::frames(&bytes), 0);
    }
}
