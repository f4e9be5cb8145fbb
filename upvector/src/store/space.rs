//! The dense vectors of a namespace in memory, and how far they are from a query and from each other.
//!
//! Invariant: rows are the vectors bit for bit as they were given. Distances order like scores, smaller is nearer; they are in single
//! precision and steer the search only. Between stored vectors a distance is the square of one that obeys the triangle inequality
//! (nearly, for [`Metric::DotProduct`]), which pruning needs.

use super::rows::Rows;
use crate::distance::Kernels;
use crate::distance::metric::{self, Metric, narrow};

/// Lengths outside of this overflow or vanish when they are squared in single precision.
const TAME: std::ops::RangeInclusive<f64> = 1e-15..=1e15;

#[derive(Debug)]
pub(crate) struct Space {
    metric: Metric,
    kernels: Kernels,
    rows: Rows<f32>,
    /// For [`Metric::Cosine`] one over the length of a vector, or 0 for a zero vector; otherwise the square of the length.
    scales: Vec<f32>,
    /// The square of the longest length so far.
    reach: f32,
    /// Some vector has a length that single precision cannot square.
    wild: bool,
}

/// A query prepared for many distances.
#[derive(Debug)]
pub(crate) struct Probe<'a> {
    vector: &'a [f32],
    inverse: f32,
    wild: bool,
}

impl Probe<'_> {
    pub(crate) fn is_zero(&self) -> bool {
        self.inverse == 0.0
    }
}

impl Space {
    pub(crate) fn new(metric: Metric, dimensions: usize, kernels: Kernels) -> Self {
        Self {
            metric,
            kernels,
            rows: Rows::new(dimensions),
            scales: Vec::new(),
            reach: 0.0,
            wild: false,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.rows.bytes() + self.scales.capacity() * 4
    }

    pub(crate) fn dimensions(&self) -> usize {
        self.rows.width()
    }

    /// The vector in `slot`.
    pub(crate) fn vector(&self, slot: u32) -> &[f32] {
        self.rows.row(slot as usize)
    }

    /// Makes room for `slots` vectors.
    pub(crate) fn grow(&mut self, slots: usize) {
        self.rows.grow(slots);
        if self.scales.len() < slots {
            self.scales.resize(slots, 0.0);
        }
    }

    /// Puts a vector of the right length into `slot`, for which there is room.
    pub(crate) fn set(&mut self, slot: u32, vector: &[f32]) {
        self.rows.row_mut(slot as usize).copy_from_slice(vector);
        let length = metric::dot(vector, vector).sqrt();
        self.wild |= is_wild(length);
        let square = narrow(length * length);
        self.reach = self.reach.max(square);
        self.scales[slot as usize] = match self.metric {
            Metric::Cosine => inverse(length),
            Metric::Euclidean | Metric::DotProduct => square,
        };
    }

    pub(crate) fn probe<'a>(&self, vector: &'a [f32]) -> Probe<'a> {
        let length = metric::dot(vector, vector).sqrt();
        Probe {
            vector,
            inverse: inverse(length),
            wild: self.wild || is_wild(length),
        }
    }

    /// How far `slot` is from the query.
    pub(crate) fn distance(&self, probe: &Probe<'_>, slot: u32) -> f32 {
        let row = self.vector(slot);
        if probe.wild {
            return self.careful(probe.vector, row);
        }
        match self.metric {
            Metric::Cosine => {
                let dot = (self.kernels.dot)(probe.vector, row);
                1.0 - dot * probe.inverse * self.scales[slot as usize]
            }
            Metric::Euclidean => (self.kernels.squared_distance)(probe.vector, row),
            Metric::DotProduct => -(self.kernels.dot)(probe.vector, row),
        }
    }

    /// In double precision, where the kernels would overflow.
    #[cold]
    fn careful(&self, a: &[f32], b: &[f32]) -> f32 {
        narrow(match self.metric {
            Metric::Cosine => 1.0 - metric::cosine(a, b),
            Metric::Euclidean => metric::squared_distance(a, b),
            Metric::DotProduct => -metric::dot(a, b),
        })
    }

    /// How far two stored vectors are from each other; never negative.
    ///
    /// For dot products both get one more component, which makes all lengths equal: then the nearest have the largest product.
    pub(crate) fn between(&self, one: u32, other: u32) -> f32 {
        let (x, y) = (self.vector(one), self.vector(other));
        if self.wild {
            let square = match self.metric {
                Metric::Cosine => 1.0 - metric::cosine(x, y),
                Metric::Euclidean | Metric::DotProduct => metric::squared_distance(x, y),
            };
            return narrow(square).max(0.0);
        }
        let (i, j) = (self.scales[one as usize], self.scales[other as usize]);
        match self.metric {
            Metric::Cosine => (1.0 - (self.kernels.dot)(x, y) * i * j).max(0.0),
            Metric::Euclidean => (self.kernels.squared_distance)(x, y),
            Metric::DotProduct => {
                let step = self.missing(i) - self.missing(j);
                (self.kernels.squared_distance)(x, y) + step * step
            }
        }
    }

    /// The component that a vector of this square lacks to be as long as the longest.
    fn missing(&self, square: f32) -> f32 {
        (self.reach - square).max(0.0).sqrt()
    }

    /// What a vector counts in a mean: directions count alike where only they matter.
    pub(crate) fn weight(&self, slot: u32) -> f64 {
        match self.metric {
            Metric::Cosine => f64::from(self.scales[slot as usize]),
            Metric::Euclidean | Metric::DotProduct => 1.0,
        }
    }

    /// What the caller sees.
    pub(crate) fn score(&self, query: &[f32], slot: u32) -> f32 {
        self.metric.score(query, self.vector(slot))
    }
}

fn is_wild(length: f64) -> bool {
    length != 0.0 && !TAME.contains(&length)
}

fn inverse(length: f64) -> f32 {
    if length == 0.0 {
        0.0
    } else {
        narrow(1.0 / length)
    }
}

#[cfg(test)]
mod tests {
    use upkv::storage::Random;

    use super::*;

    fn vector(random: &Random, len: usize, scale: f32) -> Vec<f32> {
        let next = |_| f32::from(i16::try_from(random.below(2001)).unwrap() - 1000) * scale;
        (0..len).map(next).collect()
    }

    fn space(metric: Metric, vectors: &[Vec<f32>]) -> Space {
        let mut space = Space::new(metric, vectors[0].len(), Kernels::choose());
        space.grow(vectors.len());
        for (slot, vector) in (0..).zip(vectors) {
            space.set(slot, vector);
        }
        space
    }

    #[test]
    fn distances_order_like_scores() {
        let random = Random::seeded(2);
        for metric in [Metric::Cosine, Metric::Euclidean, Metric::DotProduct] {
            for scale in [1e-3, 1e-25, 1e30] {
                let vectors: Vec<_> = (0..50).map(|_| vector(&random, 33, scale)).collect();
                let space = space(metric, &vectors);
                let query = vector(&random, 33, scale);
                let probe = space.probe(&query);
                for (a, b) in (0..49).map(|slot| (slot, slot + 1)) {
                    let (near, far) = (space.distance(&probe, a), space.distance(&probe, b));
                    let (high, low) = (space.score(&query, a), space.score(&query, b));
                    let close = (high - low).abs() <= 1e-6 * high.abs().max(low.abs());
                    assert!(close || (near < far) == (high > low), "{metric:?} {scale}");
                }
            }
        }
    }

    #[test]
    fn equal_lengths_make_the_dot_product_a_distance() {
        let vectors = vec![vec![3.0, 0.0], vec![0.0, 1.0], vec![0.0, 0.0]];
        let space = space(Metric::DotProduct, &vectors);
        // With the third component all have length 3: (3, 0, 0), (0, 1, sqrt 8), (0, 0, 3).
        assert!((space.between(0, 1) - 18.0).abs() < 1e-4);
        assert!((space.between(0, 2) - 18.0).abs() < 1e-4);
        let step = 3.0 - 8.0_f32.sqrt();
        assert!((space.between(1, 2) - (1.0 + step * step)).abs() < 1e-4);
    }

    #[test]
    fn a_zero_vector_is_in_the_middle() {
        let space = space(Metric::Cosine, &[vec![0.0, 0.0], vec![1.0, 0.0]]);
        let query = [2.0, 0.0];
        let probe = space.probe(&query);
        assert_eq!(
            (space.distance(&probe, 0), space.distance(&probe, 1)),
            (1.0, 0.0)
        );
        assert!(space.probe(&[0.0, 0.0]).is_zero() && !probe.is_zero());
    }
}
