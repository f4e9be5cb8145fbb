//! A vector index for embedding: `DiskANN` graph search over dense vectors, exact sparse search, and both fused.
//!
//! An index is an engine on a [`Store`](upkv::Store): one directory and one log, shared with the other engines of the up suite, so that
//! a transaction can change vectors together with what they belong to. Every write is one commit; a query sees it as soon as it was
//! acknowledged.
//!
//! ```
//! use serde_json::json;
//! use upvector::{Index, Metric, Record, Spec};
//!
//! let index = Index::memory(Spec::dense(3, Metric::Cosine))?; // or Index::open("data/vectors", ..)
//! let docs = index.namespace("docs");
//! docs.upsert_many([
//!     Record::new("a1", [0.9, 0.1, 0.0]).metadata(json!({"lang": "en", "year": 2021})),
//!     Record::new("a2", [0.1, 0.9, 0.0]).metadata(json!({"lang": "de", "year": 2019})),
//! ])?;
//! let hits = docs.query([1.0, 0.0, 0.0]).filter("lang = 'en' AND year >= 2020").top_k(5).run()?;
//! assert_eq!(hits[0].id, "a1");
//! # Ok::<(), upvector::Error>(())
//! ```
//!
//! # Features
//!
//! - `parallel` (default): builds graphs and reloads with a pool of threads that the index owns. Off: the calling thread does it.
//! - `simsimd` (default): distance kernels for every instruction set from a C library, compiled at build time. Off: plain Rust.
//! - `test-util`: the decoders for fuzz targets, and `Index::audit` for tests.

#![deny(unsafe_code)]

mod distance;
mod embed;
mod error;
pub mod filter;
mod graph;
mod hybrid;
mod index;
mod info;
mod inner;
mod metadata;
mod namespace;
mod query;
mod record;
mod sparse;
mod spec;
mod staged;
mod store;
mod update;
mod workers;

pub use distance::metric::Metric;
pub use embed::{Bm25, DenseEmbedder, SparseEmbedder};
pub use error::{Error, FilterError, Result};
pub use graph::GraphOptions;
pub use hybrid::{Fusion, QueryMode, Weighting};
pub use index::Index;
pub use info::{Info, NamespaceInfo};
pub use metadata::Metadata;
pub use namespace::{Namespace, Page};
pub use query::{Hit, Query};
pub use record::{Record, Vector};
pub use sparse::SparseVector;
pub use spec::Spec;
pub use staged::StagedVectors;
pub use update::Update;

#[doc(hidden)]
#[cfg(feature = "test-util")]
pub mod fuzzing {
    //! The decoders, for fuzz targets.

    use crate::distance::Kernels;
    use crate::distance::metric::Metric;
    use crate::graph::GraphOptions;
    use crate::spec::{Dense, Shape};
    use crate::store::checkpoint::{decode_head, decode_slot, encode_slot};
    use crate::store::journal::Fact;
    use crate::store::state::{Common, State};

    /// Decodes bytes, the first of which says the kind, as a record of the log; what decodes must encode to the same bytes.
    pub fn record(bytes: &[u8]) {
        if let Some((kind, body)) = bytes.split_first()
            && let Ok(fact) = Fact::decode(*kind, body)
        {
            assert_eq!(fact.encode(), (*kind, body.to_vec()));
        }
    }

    /// Decodes bytes as a namespace in a checkpoint; slots must encode to the same bytes. Returns how many there are.
    pub fn checkpoint(bytes: &[u8]) -> u32 {
        let dense = Dense {
            dimensions: 2,
            metric: Metric::Cosine,
        };
        let common = Common {
            shape: Shape {
                dense: Some(dense),
                sparse: false,
            },
            graph: GraphOptions::default(),
            kernels: Kernels::SCALAR,
        };
        let mut state = State::new(ahash::RandomState::with_seeds(1, 2, 3, 4));
        let mut reader = upkv::storage::codec::Reader::new(bytes);
        let Ok(slots) = decode_head(Some(&common), &mut state, &mut reader) else {
            return 0;
        };
        for slot in 0..slots {
            let before = bytes.len() - reader.remaining();
            if decode_slot(&mut state, slot, &mut reader).is_err() {
                return slot;
            }
            let mut again = Vec::new();
            encode_slot(&state, slot, &mut again);
            let given = &bytes[before..bytes.len() - reader.remaining()];
            // Of more edges than there is room for, some are left out.
            assert!(again == given || again.len() < given.len());
        }
        slots
    }
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
