//! A graph over the slots of a namespace: Vamana of `DiskANN`, in the words of its papers.
//!
//! A search walks from the entry points to ever nearer nodes along at most `max_degree` edges each; an insertion searches for the new
//! node and prunes what it met to edges that shorten ways; a removal reconnects the neighbours of what is gone.
//!
//! Invariant: every edge leads to a node. A node may be dead, which means that it is walked over and never returned, until
//! [`consolidate`] takes it out.

pub(crate) mod consolidate;
pub(crate) mod entry_point;
pub(crate) mod insert;
pub(crate) mod node;
pub(crate) mod prune;
pub(crate) mod search;

use node::Adjacency;

/// How a graph is built: more edges and longer lists find more, and cost time and memory.
///
/// # Examples
///
/// ```
/// use upvector::{GraphOptions, Metric, Spec};
/// let graph = GraphOptions { max_degree: 48, ..GraphOptions::default() };
/// let spec = Spec::dense(768, Metric::Cosine).graph(graph);
/// # let _ = spec;
/// ```
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct GraphOptions {
    /// Edges of a node after pruning, R of the papers; 4 to 128, default 32. While a node waits for pruning it may have 30 % more.
    pub max_degree: u16,
    /// Candidates kept while a node is inserted, L of the papers; 10 to 1000, default 75.
    pub build_list: u16,
    /// How much shorter a detour must be to make an edge superfluous; 1.0 to 2.0, default 1.2.
    pub alpha: f32,
    /// Vectors of a namespace up to which it has no graph, and is scanned; default 4096.
    pub scan_max: u32,
}

impl Default for GraphOptions {
    fn default() -> Self {
        Self {
            max_degree: 32,
            build_list: 75,
            alpha: 1.2,
            scan_max: 4096,
        }
    }
}

/// The edges, and where searches start.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) options: GraphOptions,
    pub(crate) adjacency: Adjacency,
    /// Where searches start; the first is the medoid. Empty if and only if the graph is.
    pub(crate) entries: Vec<u32>,
    /// Nodes, dead ones included.
    pub(crate) nodes: usize,
    /// Nodes when the entry points were chosen.
    pub(crate) entries_for: usize,
}

impl Graph {
    pub(crate) fn new(options: GraphOptions) -> Self {
        Self {
            options,
            adjacency: Adjacency::new(options.max_degree),
            entries: Vec::new(),
            nodes: 0,
            entries_for: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.nodes == 0
    }
}
