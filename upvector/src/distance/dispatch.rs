//! The choice of kernels, made once when an index is opened.
//!
//! Invariant: all kernels agree with the scalar ones to rounding, which the tests hold for every length that has a different tail.

use super::scalar;

/// Two vectors of equal length to a number.
pub(crate) type Kernel = fn(&[f32], &[f32]) -> f32;

/// The kernels an index uses.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Kernels {
    pub(crate) dot: Kernel,
    pub(crate) squared_distance: Kernel,
    /// What they are called in statistics.
    pub(crate) name: &'static str,
}

impl Kernels {
    pub(crate) const SCALAR: Self = Self {
        dot: scalar::dot,
        squared_distance: scalar::squared_distance,
        name: "scalar",
    };

    #[cfg(feature = "simsimd")]
    const SIMSIMD: Self = Self {
        dot: super::simsimd::dot,
        squared_distance: super::simsimd::squared_distance,
        name: "simsimd",
    };

    /// The fastest ones of this machine; `UPVECTOR_KERNELS=scalar` in the environment asks for those in plain Rust.
    pub(crate) fn choose() -> Self {
        if std::env::var_os("UPVECTOR_KERNELS").is_some_and(|name| name == "scalar") {
            return Self::SCALAR;
        }
        #[cfg(feature = "simsimd")]
        if super::simsimd::is_worthwhile() {
            return Self::SIMSIMD;
        }
        Self::SCALAR
    }
}

#[cfg(test)]
mod tests {
    use upkv::storage::Random;

    use super::super::metric;
    use super::*;

    fn all() -> Vec<Kernels> {
        let mut all = vec![Kernels::SCALAR, Kernels::choose()];
        #[cfg(feature = "simsimd")]
        all.push(Kernels::SIMSIMD);
        all.dedup_by_key(|kernels| kernels.name);
        all
    }

    fn sample(random: &Random, len: usize) -> Vec<f32> {
        let next = |_| {
            let n = i32::try_from(random.below(1 << 20)).unwrap() - (1 << 19);
            f32::from(i16::try_from(n >> 4).unwrap()) / 1000.0
        };
        (0..len).map(next).collect()
    }

    #[test]
    fn kernels_agree_with_the_definition_at_every_length_and_start() {
        let random = Random::seeded(4);
        for len in 0..=260 {
            for start in 0..4 {
                let (a, b) = (sample(&random, len + start), sample(&random, len + start));
                let (a, b) = (&a[start..], &b[start..]);
                let size: f64 = a
                    .iter()
                    .zip(b)
                    .map(|(x, y)| f64::from(x.abs() + y.abs()).powi(2))
                    .sum();
                for kernels in all() {
                    let dot = f64::from((kernels.dot)(a, b)) - metric::dot(a, b);
                    let square = f64::from((kernels.squared_distance)(a, b))
                        - metric::squared_distance(a, b);
                    let bound = 1e-5 * size;
                    assert!(
                        dot.abs() <= bound && square.abs() <= bound,
                        "{} of length {len}: {dot} {square}",
                        kernels.name
                    );
                }
            }
        }
    }

    #[test]
    fn extremes_do_not_become_small() {
        for kernels in all() {
            for len in [1, 3, 16, 17, 100] {
                let big = vec![1e30_f32; len];
                let small = vec![-1e30_f32; len];
                assert!((kernels.dot)(&big, &big) >= f32::MAX, "{}", kernels.name);
                assert!((kernels.dot)(&big, &small) <= -f32::MAX);
                assert!((kernels.squared_distance)(&big, &small) >= f32::MAX);
                assert!((kernels.dot)(&vec![1e-30; len], &vec![1e-30; len]).abs() < 1e-30);
                let mut odd = vec![0.0; len];
                odd[len - 1] = f32::NAN;
                assert!((kernels.dot)(&odd, &big).is_nan(), "{}", kernels.name);
            }
        }
    }

    #[test]
    fn the_environment_is_not_needed() {
        let names: Vec<_> = all().iter().map(|kernels| kernels.name).collect();
        assert!(names.contains(&"scalar") && names.contains(&Kernels::choose().name));
    }
}
