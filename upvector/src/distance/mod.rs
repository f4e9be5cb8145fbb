//! Distances between dense vectors: what the metrics mean, and the kernels that compute them.
//!
//! Invariant: the score a caller sees comes from [`metric`] alone, in double precision; a kernel only decides where the search goes.

mod dispatch;
pub(crate) mod metric;
mod scalar;
#[cfg(feature = "simsimd")]
mod simsimd;

pub(crate) use dispatch::Kernels;
