//! What the tests share: seeded vectors, in clusters as embeddings are.
#![allow(dead_code, reason = "each test binary uses a part of this")]

use upkv::storage::Random;

/// A number from -1 to 1, with a hump in the middle.
pub(crate) fn hump(random: &Random) -> f32 {
    let sum: i32 = (0..4)
        .map(|_| i32::try_from(random.below(1 << 14)).unwrap())
        .sum();
    f32::from(i16::try_from((sum - (2 << 14)) >> 1).unwrap()) / f32::from(1_i16 << 14)
}

pub(crate) fn vector(random: &Random, dimensions: usize) -> Vec<f32> {
    (0..dimensions).map(|_| hump(random)).collect()
}

/// Points around as many centres as the square root of their number, near which they lie in few directions.
pub(crate) struct Clusters {
    random: Random,
    centres: Vec<Vec<f32>>,
    directions: Vec<Vec<f32>>,
}

impl Clusters {
    pub(crate) fn new(seed: u64, dimensions: usize, centres: usize) -> Self {
        let random = Random::seeded(seed);
        let some = |n| {
            (0..n)
                .map(|_| vector(&random, dimensions))
                .collect::<Vec<_>>()
        };
        let (centres, directions) = (some(centres), some(24));
        Self {
            random,
            centres,
            directions,
        }
    }

    /// The next point, and its centre.
    pub(crate) fn next(&self) -> (Vec<f32>, usize) {
        let centre = usize::try_from(self.random.below(self.centres.len() as u64)).unwrap();
        let mut point = self.centres[centre].clone();
        for direction in &self.directions {
            let step = hump(&self.random);
            for (x, d) in point.iter_mut().zip(direction) {
                *x += step * d * 0.5;
            }
        }
        (point, centre)
    }
}
