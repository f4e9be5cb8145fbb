//! Reciprocal rank fusion (Cormack and others, SIGIR 2009): scores count by their order alone.

/// The paper's constant, added to ranks so that the first few do not outweigh all others.
const OFFSET: f64 = 60.0;

/// What each hit of a list adds to its fused score.
pub(super) fn normalise(list: &[(u32, f32)]) -> Vec<f64> {
    let ranks = (1_u32..).take(list.len());
    ranks.map(|rank| 1.0 / (OFFSET + f64::from(rank))).collect()
}
