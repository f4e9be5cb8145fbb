//! The 128-bit keyed hash that stands for a key: `SipHash` with a 128-bit result and a random key.
//!
//! Two keys with one fingerprint would share a budget, so the hash must not be steerable from outside; 128 bits keep
//! an accidental meeting of a million keys below one in 10^26. Checked against the published vector of the 2-4
//! variant; the table uses the 1-3 variant.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// The hash of one key; never all zeros, which marks an empty slot.
pub(super) type Fingerprint = [u64; 2];

#[derive(Copy, Clone)]
pub(super) struct Hasher {
    k0: u64,
    k1: u64,
}

impl Hasher {
    /// A key from the operating system's randomness.
    pub(super) fn random() -> Self {
        let random = RandomState::new();
        Self {
            k0: random.hash_one(0_u8),
            k1: random.hash_one(1_u8),
        }
    }

    pub(super) fn fingerprint(&self, key: &[u8]) -> Fingerprint {
        match sip128::<1, 3>(self.k0, self.k1, key) {
            [0, 0] => [0, 1],
            fingerprint => fingerprint,
        }
    }
}

#[inline]
fn rounds<const N: usize>(v: &mut [u64; 4]) {
    for _ in 0..N {
        v[0] = v[0].wrapping_add(v[1]);
        v[2] = v[2].wrapping_add(v[3]);
        v[1] = v[1].rotate_left(13) ^ v[0];
        v[3] = v[3].rotate_left(16) ^ v[2];
        v[0] = v[0].rotate_left(32).wrapping_add(v[3]);
        v[2] = v[2].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(17) ^ v[2];
        v[3] = v[3].rotate_left(21) ^ v[0];
        v[2] = v[2].rotate_left(32);
    }
}

#[inline]
fn sip128<const C: usize, const D: usize>(k0: u64, k1: u64, key: &[u8]) -> [u64; 2] {
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let (words, tail) = key.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word);
        v[3] ^= word;
        rounds::<C>(&mut v);
        v[0] ^= word;
    }
    // The last word: the rest of the key below the length modulo 256.
    let mut last = (key.len() as u64) << 56;
    for (at, &byte) in tail.iter().enumerate() {
        last |= u64::from(byte) << (8 * at);
    }
    v[3] ^= last;
    rounds::<C>(&mut v);
    v[0] ^= last;
    v[2] ^= 0xee;
    rounds::<D>(&mut v);
    let low = v[0] ^ v[1] ^ v[2] ^ v[3];
    v[1] ^= 0xdd;
    rounds::<D>(&mut v);
    [low, v[0] ^ v[1] ^ v[2] ^ v[3]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_published_vector() {
        let k0 = u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7]);
        let k1 = u64::from_le_bytes([8, 9, 10, 11, 12, 13, 14, 15]);
        let expected = [
            u64::from_be_bytes([0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6]).swap_bytes(),
            u64::from_be_bytes([0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93]).swap_bytes(),
        ];
        assert_eq!(sip128::<2, 4>(k0, k1, b""), expected);
    }

    #[test]
    fn length_is_part_of_the_key() {
        let hasher = Hasher::random();
        let zeros = [0_u8; 40];
        let mut seen = std::collections::BTreeSet::new();
        for length in 0..=zeros.len() {
            assert!(
                seen.insert(hasher.fingerprint(&zeros[..length])),
                "length {length}"
            );
        }
    }

    #[test]
    fn two_limiters_hash_differently() {
        let (a, b) = (Hasher::random(), Hasher::random());
        assert_ne!(a.fingerprint(b"key"), b.fingerprint(b"key"));
    }
}
