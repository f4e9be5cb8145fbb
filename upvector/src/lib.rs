//! A vector index for embedding: DiskANN graph search over dense vectors, exact sparse search, and both fused.

#![deny(unsafe_code)]

mod error;

mod embed;
pub mod filter;
mod hybrid;
mod metadata;
mod sparse;

pub use embed::{Bm25, DenseEmbedder, SparseEmbedder};
pub use error::{Error, FilterError, Result};
pub use hybrid::{Fusion, QueryMode, Weighting};
pub use metadata::Metadata;
pub use sparse::SparseVector;
