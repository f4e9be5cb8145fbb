//! From elements to registers, and from registers to the estimate.
//!
//! Elements are hashed with `MurmurHash64A`; the estimate is Ertl's improved estimator ("New cardinality
//! estimation algorithms for `HyperLogLog` sketches", 2017), with the constants and the order of operations
//! that make it agree with Redis to the last digit.

use super::{INDEX_BITS, RANK_BITS, REGISTERS};

const SEED: u64 = 0xadc8_3b19;
/// 1 / (2 ln 2).
const ALPHA: f64 = 0.721_347_520_444_481_7;

/// `MurmurHash64A`.
fn murmur(bytes: &[u8], seed: u64) -> u64 {
    const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        word ^= word >> SHIFT;
        hash ^= word.wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    if !tail.is_empty() {
        let mut last = [0; 8];
        last[..tail.len()].copy_from_slice(tail);
        hash ^= u64::from_le_bytes(last);
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> SHIFT;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ hash >> SHIFT
}

/// Register of an element and the rank it asks for, 1 to 51.
pub(super) fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur(element, SEED);
    let index = usize::try_from(hash % REGISTERS as u64).expect("fourteen bits");
    let rest = hash >> INDEX_BITS | 1 << RANK_BITS;
    let rank = rest.trailing_zeros() + 1;
    (index, rank.to_le_bytes()[0])
}

/// The estimated number of distinct elements behind registers.
pub(crate) fn count(registers: &[u8]) -> u64 {
    let mut histogram = [0_u32; 64];
    for rank in registers {
        histogram[usize::from(rank & 0x3f)] += 1;
    }
    let of = |rank: u32| f64::from(histogram[rank as usize]);
    let m = f64::from(1_u32 << INDEX_BITS);
    let mut z = m * tau((m - of(RANK_BITS + 1)) / m);
    for rank in (1..=RANK_BITS).rev() {
        z += of(rank);
        z *= 0.5;
    }
    z += m * sigma(of(0) / m);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative; the cast saturates"
    )]
    let count = (ALPHA * m * m / z).round() as u64;
    count
}

#[expect(
    clippy::float_cmp,
    reason = "the series ends when nothing more is added"
)]
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if before == z {
            return z / 3.0;
        }
    }
}

#[expect(
    clippy::float_cmp,
    reason = "the series ends when nothing more is added"
)]
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_end() {
        assert_eq!(count(&[0; REGISTERS]), 0);
        assert_eq!(count(&[63; REGISTERS]), count(&[51; REGISTERS]));
        let (index, rank) = place(b"");
        assert!(index < REGISTERS && (1..=51).contains(&rank));
    }
}
