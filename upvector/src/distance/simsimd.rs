//! The kernels of the `SimSIMD` library, which has one for every instruction set: the only file that names it.
//!
//! Invariant: both slices have the same length; the library is asked to compute nothing else.

use ::simsimd::{SpatialSimilarity, capabilities};

use super::metric::narrow;

/// Whether this machine has instructions that beat the kernels in plain Rust.
pub(crate) fn is_worthwhile() -> bool {
    capabilities::uses_haswell() || capabilities::uses_neon()
}

pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    f32::dot(a, b).map_or(f32::NAN, narrow)
}

pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    f32::l2sq(a, b).map_or(f32::NAN, narrow)
}
