//! What similarity means: the three metrics and their scores.
//!
//! Invariant: scores are sums in double precision over the vectors as they were given, rounded once, so that equal vectors score
//! exactly 1 under [`Metric::Cosine`] and the result does not depend on the kernels of the machine.

/// How near two dense vectors are.
///
/// # Examples
///
/// ```
/// use upvector::{Index, Metric, Record, Spec};
/// let index = Index::memory(Spec::dense(2, Metric::Euclidean))?;
/// let docs = index.namespace("");
/// docs.upsert(Record::new("a", vec![3.0, 4.0]))?;
/// let hits = docs.query(vec![0.0, 0.0]).run()?;
/// assert_eq!(hits[0].score, 1.0 / 26.0);
/// # Ok::<(), upvector::Error>(())
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Metric {
    /// By the angle: the score is (1 + cosine) / 2, from 0 to 1. The cosine with a zero vector is 0.
    Cosine,
    /// By the squared distance e: the score is 1 / (1 + e), from 0 to 1.
    Euclidean,
    /// By the dot product p: the score is (1 + p) / 2, from 0 to 1 for vectors of unit length.
    DotProduct,
}

impl Metric {
    /// The score of `b` for the query `a`; both have the same length.
    pub(crate) fn score(self, a: &[f32], b: &[f32]) -> f32 {
        let score = match self {
            Self::Cosine => f64::midpoint(1.0, cosine(a, b)).clamp(0.0, 1.0),
            Self::Euclidean => 1.0 / (1.0 + squared_distance(a, b)),
            Self::DotProduct => f64::midpoint(1.0, dot(a, b)),
        };
        narrow(score)
    }

    /// The number in files.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Cosine => 1,
            Self::Euclidean => 2,
            Self::DotProduct => 3,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Self::Cosine, Self::Euclidean, Self::DotProduct]
            .into_iter()
            .find(|metric| metric.code() == code)
    }
}

/// The nearest f32, never infinite.
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding to f32 is the point"
)]
pub(crate) fn narrow(value: f64) -> f32 {
    (value as f32).clamp(-f32::MAX, f32::MAX)
}

/// A sum over pairs in eight interleaved parts, which the compiler can keep in registers.
fn sum(a: &[f32], b: &[f32], term: impl Fn(f64, f64) -> f64) -> f64 {
    let mut parts = [0.0_f64; 8];
    let (heads_a, tail_a) = a.as_chunks::<8>();
    let (heads_b, tail_b) = b.as_chunks::<8>();
    for (x, y) in heads_a.iter().zip(heads_b) {
        for i in 0..8 {
            parts[i] += term(f64::from(x[i]), f64::from(y[i]));
        }
    }
    for (i, (x, y)) in tail_a.iter().zip(tail_b).enumerate() {
        parts[i] += term(f64::from(*x), f64::from(*y));
    }
    let mut width = 4;
    while width > 0 {
        for i in 0..width {
            parts[i] += parts[i + width];
        }
        width /= 2;
    }
    parts[0]
}

pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    sum(a, b, |x, y| x * y)
}

pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    sum(a, b, |x, y| (x - y) * (x - y))
}

pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let norms = dot(a, a) * dot(b, b);
    if norms > 0.0 {
        dot(a, b) / norms.sqrt()
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use upkv::storage::Random;

    use super::*;

    #[test]
    fn an_identical_vector_scores_exactly_one() {
        let random = Random::seeded(1);
        for len in [1, 2, 3, 7, 8, 9, 384, 1536] {
            for scale in [1.0, 1e-38, 1e30, f32::MAX / 1e9] {
                let vector: Vec<f32> = (0..len)
                    .map(|_| {
                        let n = i16::try_from(random.below(2001)).unwrap();
                        f32::from(n - 1000) * scale
                    })
                    .chain([scale])
                    .collect();
                assert_eq!(
                    Metric::Cosine.score(&vector, &vector).to_bits(),
                    1_f32.to_bits()
                );
                assert_eq!(
                    Metric::Euclidean.score(&vector, &vector).to_bits(),
                    1_f32.to_bits()
                );
            }
        }
    }

    #[test]
    fn scores_are_those_of_the_definitions() {
        let (a, b) = ([0.1, 0.2], [0.3, 0.4]);
        let near = |x: f32, y: f64| assert!((f64::from(x) - y).abs() < 1e-6, "{x} {y}");
        let cos = 0.11 / (0.05_f64 * 0.25).sqrt();
        near(Metric::Cosine.score(&a, &b), f64::midpoint(1.0, cos));
        near(Metric::Euclidean.score(&a, &b), 1.0 / 1.08);
        near(Metric::DotProduct.score(&a, &b), 1.11 / 2.0);
        near(Metric::Cosine.score(&a, &[0.0; 2]), 0.5);
        near(Metric::Cosine.score(&[0.0; 2], &[0.0; 2]), 0.5);
        near(Metric::Cosine.score(&a, &[-0.1, -0.2]), 0.0);
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "these are exact")]
    fn the_dot_product_is_not_clamped_but_finite() {
        assert_eq!(Metric::DotProduct.score(&[3.0], &[3.0]), 5.0);
        assert_eq!(Metric::DotProduct.score(&[-3.0], &[3.0]), -4.0);
        assert_eq!(
            Metric::DotProduct.score(&[f32::MAX; 2], &[f32::MAX; 2]),
            f32::MAX
        );
        assert_eq!(
            Metric::Euclidean.score(&[f32::MAX; 2], &[-f32::MAX; 2]),
            0.0
        );
    }

    #[test]
    fn the_numbers_in_files_stay() {
        for (metric, code) in [
            (Metric::Cosine, 1),
            (Metric::Euclidean, 2),
            (Metric::DotProduct, 3),
        ] {
            assert_eq!(
                (metric.code(), Metric::from_code(code)),
                (code, Some(metric))
            );
        }
        assert_eq!(Metric::from_code(0), None);
    }
}
