//! What an index holds and what it takes, in numbers.

use std::collections::BTreeMap;

use crate::distance::metric::Metric;
use crate::index::Index;
use crate::inner::Space;
use crate::store::state::State;

/// Bytes that a namespace takes in the maps by name and by number, with the counts of references.
const ENTRY_BYTES: usize = 128;

/// An index in numbers.
///
/// # Examples
///
/// ```
/// use upvector::{Index, Metric, Record, Spec};
/// let index = Index::memory(Spec::dense(2, Metric::Cosine))?;
/// index.namespace("docs").upsert(Record::new("a", [1.0, 0.0]))?;
/// let info = index.info();
/// assert_eq!((info.vector_count, info.namespaces["docs"].vector_count), (1, 1));
/// assert_eq!((info.dimension, info.metric), (2, Some(Metric::Cosine)));
/// # Ok::<(), upvector::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Info {
    /// Records in all namespaces.
    pub vector_count: usize,
    /// Components of a dense vector; 0 if there are none.
    pub dimension: usize,
    /// How dense vectors are compared, if there are any.
    pub metric: Option<Metric>,
    /// Whether records have sparse vectors.
    pub sparse: bool,
    /// Which kernels compute distances: `simsimd` or `scalar`.
    pub kernels: &'static str,
    /// Bytes of all namespaces in memory.
    pub memory_bytes: u64,
    /// Bytes of live records in the log.
    pub log_bytes: u64,
    /// By name.
    pub namespaces: BTreeMap<String, NamespaceInfo>,
}

/// A namespace in numbers.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamespaceInfo {
    /// Records.
    pub vector_count: usize,
    /// Dense vectors that are not in the graph yet: searches scan them. At most 4096 vectors have no graph at all.
    pub unindexed: usize,
    /// Nodes of the graph, deleted ones that are not taken out yet included.
    pub graph_nodes: usize,
    /// Nodes of the graph without a record.
    pub dead_nodes: usize,
    /// Bytes in memory.
    pub memory_bytes: u64,
}

impl NamespaceInfo {
    fn of(state: &State) -> Self {
        let dense = state.dense.as_deref();
        Self {
            vector_count: state.len(),
            unindexed: dense.map_or(0, |dense| dense.fresh.len() + dense.absorbing.len()),
            graph_nodes: dense.map_or(0, |dense| dense.graph.nodes),
            dead_nodes: dense.map_or(0, |dense| dense.dead),
            memory_bytes: state.bytes() as u64,
        }
    }
}

impl Info {
    pub(crate) fn of(index: &Index) -> Self {
        let inner = index.inner();
        let shape = inner.shape();
        let spaces = inner.spaces.read();
        let namespaces: BTreeMap<String, NamespaceInfo> = spaces
            .by_name
            .iter()
            .map(|(name, space)| {
                let mut info = NamespaceInfo::of(&space.state.read());
                // The name is in two maps, but there once.
                let own = size_of::<Space>() + name.len() + ENTRY_BYTES;
                info.memory_bytes += own as u64;
                (name.to_string(), info)
            })
            .collect();
        Self {
            vector_count: namespaces.values().map(|info| info.vector_count).sum(),
            dimension: shape.dense.map_or(0, |dense| dense.dimensions),
            metric: shape.dense.map(|dense| dense.metric),
            sparse: shape.sparse,
            kernels: inner.kernels.name,
            memory_bytes: namespaces.values().map(|info| info.memory_bytes).sum(),
            log_bytes: inner.mount.live_bytes(),
            namespaces,
        }
    }
}
