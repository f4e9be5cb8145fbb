//! The hash behind fingerprints, chunk ids and word vectors.
//!
//! Invariant: equal input gives equal output in every version, since the results are stored; golden values pin them. It is no defence
//! against somebody who makes collisions on purpose, and nothing here needs one.

const SEEDS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03];
const FACTORS: [u64; 2] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db];

/// The product's two halves, folded: every bit of the result depends on every bit of both.
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the halves are taken apart"
    )]
    let (low, high) = (wide as u64, (wide >> 64) as u64);
    low ^ high
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let (whole, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let whole = whole.iter().map(|word| u64::from_le_bytes(*word));
    whole.chain(std::iter::once(u64::from_le_bytes(last)))
}

fn hash_seeded(bytes: &[u8], seed: u64, factor: u64) -> u64 {
    let start = seed ^ (bytes.len() as u64).wrapping_mul(factor);
    let mixed = words(bytes).fold(start, |state, word| {
        fold(state ^ word, factor).wrapping_add(state.rotate_left(29) ^ word)
    });
    fold(mixed ^ (mixed >> 32), factor ^ seed)
}

/// 64 bits, for features of words.
pub(crate) fn hash64(bytes: &[u8]) -> u64 {
    hash_seeded(bytes, SEEDS[0], FACTORS[0])
}

/// 128 bits, for contents and paths: no two files of a machine share one by chance.
pub(crate) fn hash128(bytes: &[u8]) -> u128 {
    let low = hash_seeded(bytes, SEEDS[0], FACTORS[0]);
    let high = hash_seeded(bytes, SEEDS[1], FACTORS[1]);
    u128::from(high) << 64 | u128::from(low)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_values_are_pinned() {
        assert_eq!(hash64(b"serde"), 0x1611_0969_0a3c_3b05);
        assert_eq!(hash128(b"serde"), 0xe510_87f5_a012_f48b_1611_0969_0a3c_3b05);
    }

    #[test]
    fn near_inputs_do_not_collide() {
        let mut seen = HashSet::new();
        let zeros = [0; 64];
        for length in 0..64 {
            assert!(seen.insert(hash64(&zeros[..length])));
        }
        for a in 0..=255_u8 {
            for b in 0..=255_u8 {
                assert!(seen.insert(hash64(&[a, b, 1])));
            }
        }
    }

    #[test]
    fn every_bit_of_the_input_moves_about_half_of_the_output() {
        let base = *b"a text of thirty-two bytes, here";
        for bit in 0..base.len() * 8 {
            let mut other = base;
            other[bit / 8] ^= 1 << (bit % 8);
            let moved = (hash128(&base) ^ hash128(&other)).count_ones();
            assert!((36..=92).contains(&moved), "bit {bit} moved {moved}");
        }
    }
}
