//! Fusing the results of dense and sparse search into one list.
//!
//! Invariant: fused scores are finite, and the order of a result depends on nothing but the two lists and the ties' order.

mod distribution;
mod reciprocal_rank;

use ahash::HashMap;

/// How hybrid search makes one list of two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fusion {
    /// Each list gives its hit of rank `r`, counted from 1, a score of `1 / (60 + r)`. The default.
    #[default]
    ReciprocalRank,
    /// Each list gives a hit its score on a scale from three standard deviations under the list's mean (0) to three over it (1); 0.5 if
    /// all scores of the list are equal.
    DistributionBased,
}

/// What the dimensions of a sparse query weigh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Weighting {
    /// What the query says. The default.
    #[default]
    None,
    /// Times the inverse document frequency `ln(1 + (N - n + 0.5) / (n + 0.5))`, with `n` of the `N` records of the namespace having
    /// the dimension.
    Idf,
}

/// Which halves of a hybrid index a query searches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QueryMode {
    /// Both, fused. The default.
    #[default]
    Hybrid,
    /// The dense vectors alone.
    Dense,
    /// The sparse vectors alone.
    Sparse,
}

/// A hit that both lists added to.
struct Fused {
    slot: u32,
    score: f64,
    /// Whether the sparse list had it: it then precedes equal scores that are of the dense list alone.
    sparse: bool,
}

/// The best `top_k` of two lists, each best first and without repetition. Equal scores are in the order of `tie`, after the rule for
/// [`Fused::sparse`].
pub(crate) fn fuse(
    fusion: Fusion,
    dense: &[(u32, f32)],
    sparse: &[(u32, f32)],
    top_k: usize,
    tie: &dyn Fn(u32) -> u64,
) -> Vec<(u32, f32)> {
    let normalise = match fusion {
        Fusion::ReciprocalRank => reciprocal_rank::normalise,
        Fusion::DistributionBased => distribution::normalise,
    };
    let mut hits: Vec<Fused> = Vec::with_capacity(dense.len() + sparse.len());
    let mut places: HashMap<u32, usize> = HashMap::default();
    for (list, of_sparse) in [(sparse, true), (dense, false)] {
        for (&(slot, _), score) in list.iter().zip(normalise(list)) {
            let place = *places.entry(slot).or_insert(hits.len());
            match hits.get_mut(place) {
                Some(hit) => hit.score += score,
                None => hits.push(Fused {
                    slot,
                    score,
                    sparse: of_sparse,
                }),
            }
        }
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "results carry single precision, and ties are between what they carry"
    )]
    let mut ranked: Vec<_> = hits
        .iter()
        .map(|hit| (hit.score as f32, hit.sparse, tie(hit.slot), hit.slot))
        .collect();
    ranked.sort_unstable_by(|left, right| {
        let by_score = right.0.total_cmp(&left.0);
        by_score
            .then(right.1.cmp(&left.1))
            .then((left.2, left.3).cmp(&(right.2, right.3)))
    });
    ranked.truncate(top_k);
    ranked
        .into_iter()
        .map(|(score, _, _, slot)| (slot, score))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_slot(slot: u32) -> u64 {
        slot.into()
    }

    fn near(found: &[(u32, f32)], expected: &[(u32, f32)]) {
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found.0, expected.0);
            assert!(
                (found.1 - expected.1).abs() < 1e-6,
                "{found:?} {expected:?}"
            );
        }
    }

    #[test]
    fn ranks_are_summed() {
        let dense = [(1, 0.9), (2, 0.8), (3, 0.7)];
        let sparse = [(3, 12.0), (4, 3.0)];
        let fused = fuse(Fusion::ReciprocalRank, &dense, &sparse, 10, &by_slot);
        near(
            &fused,
            &[
                (3, 1.0 / 63.0 + 1.0 / 61.0),
                (1, 1.0 / 61.0),
                (4, 1.0 / 62.0),
                (2, 1.0 / 62.0),
            ],
        );
        // The sparse hit of two equal ones is first.
        assert_eq!(fused[2].1.to_bits(), fused[3].1.to_bits());
    }

    /// Three records, dense `[.1, .2]`, `[.2, .3]`, `[.3, .4]`, queried by `[.1, .1]` with the cosine, and one sparse hit.
    #[test]
    fn distributions_are_summed() {
        let cosine = |x: f32, y: f32| {
            let cosine = (x + y) / (x.hypot(y) * 2.0_f32.sqrt());
            f32::midpoint(1.0, cosine)
        };
        let dense = [(2, cosine(0.3, 0.4)), (1, cosine(0.2, 0.3))];
        let sparse = [(0, 0.009_808_3)];
        let fused = fuse(Fusion::DistributionBased, &dense, &sparse, 2, &by_slot);
        near(&fused, &[(2, 0.617_851), (0, 0.5)]);
        let next = fuse(Fusion::DistributionBased, &[(1, 0.99)], &[], 1, &by_slot);
        near(&next, &[(1, 0.5)]);
    }

    #[test]
    fn equal_scores_are_the_middle_of_the_scale() {
        let list = [(7, 0.1), (8, 0.1), (9, 0.1)];
        let fused = fuse(Fusion::DistributionBased, &list, &[], 9, &|slot| {
            u64::from(100 - slot)
        });
        assert_eq!(fused, [(9, 0.5), (8, 0.5), (7, 0.5)]);
    }

    #[test]
    fn extreme_scores_stay_finite() {
        let list = [(1, f32::MAX), (2, 0.0), (3, f32::MIN)];
        let fused = fuse(Fusion::DistributionBased, &list, &list, 3, &by_slot);
        near(&fused, &[(1, 4.0 / 3.0), (2, 1.0), (3, 2.0 / 3.0)]);
    }

    #[test]
    fn nothing_of_nothing() {
        for fusion in [Fusion::ReciprocalRank, Fusion::DistributionBased] {
            assert_eq!(fuse(fusion, &[], &[], 5, &by_slot), []);
            assert_eq!(fuse(fusion, &[(1, 1.0)], &[], 0, &by_slot), []);
        }
    }
}
