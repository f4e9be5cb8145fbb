//! Insertion in batches: every new node is searched for in the graph as it is, then all edges change at once.
//!
//! Invariant: planning only reads, so that queries go on meanwhile, and applying a plan only copies, so that they wait shortly. Nobody
//! else may change the graph in between; the caller sees to that.

use super::Graph;
use super::node::slack;
use super::prune::Pruner;
use super::search::{Candidate, Pool};
use crate::store::space::Space;
use crate::workers::Workers;

/// New nodes at once, at most.
const BATCH_MAX: usize = 512;
/// New nodes at once, at most, as a part of the graph: members of a batch do not see each other's edges.
const BATCH_PART: usize = 50;
/// Members of a batch that are compared with each other.
const NEIGHBOURHOOD: usize = 64;

/// What an insertion is planned with.
#[derive(Copy, Clone)]
pub(crate) struct Planner<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) space: &'a Space,
    /// Slots of the namespace; every node is below.
    pub(crate) slots: usize,
    pub(crate) pool: &'a Pool,
    pub(crate) workers: &'a Workers,
}

/// The edges that a batch changes.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Edges by slot.
    pub(crate) edges: Vec<(u32, Vec<u32>)>,
}

/// New nodes that may be inserted at once into a graph of `nodes`.
pub(crate) fn batch_size(nodes: usize) -> usize {
    (nodes / BATCH_PART).clamp(1, BATCH_MAX)
}

impl Planner<'_> {
    /// Plans the insertion of `batch`, none of which is a node. Edges lead only to nodes that are `live`.
    pub(crate) fn insert(&self, batch: &[u32], live: impl Fn(u32) -> bool + Sync) -> Plan {
        let numbered: Vec<(usize, u32)> = batch.iter().copied().enumerate().collect();
        let mut edges = self.workers.map(&numbered, |(number, slot)| {
            let start = number / NEIGHBOURHOOD * NEIGHBOURHOOD;
            let end = (start + NEIGHBOURHOOD).min(batch.len());
            (*slot, self.edges_of(*slot, &batch[start..end], &live))
        });
        edges.sort_unstable_by_key(|(slot, _)| *slot);
        let back = self.back_edges(&edges, &live);
        for (slot, list) in back {
            match edges.binary_search_by_key(&slot, |(slot, _)| *slot) {
                Ok(place) => edges[place].1 = list,
                Err(_) => edges.push((slot, list)),
            }
            // Only the batch is in order, and it comes first; the others are each met once.
            debug_assert!(edges.len() >= batch.len());
        }
        Plan { edges }
    }

    /// The out-edges of a new node.
    fn edges_of(&self, slot: u32, others: &[u32], live: &impl Fn(u32) -> bool) -> Vec<u32> {
        let options = &self.graph.options;
        self.pool.with(|scratch| {
            let limit = usize::from(options.build_list);
            let distance = |other| self.space.between(slot, other);
            scratch.search(self.graph, self.slots, limit, distance, |_, _| ());
            let mut candidates = std::mem::take(&mut scratch.expanded);
            candidates.retain(|near| live(near.slot));
            let others = others.iter().filter(|other| **other != slot);
            candidates.extend(others.map(|other| Candidate::new(*other, distance(*other))));
            let mut edges = Vec::new();
            let degree = usize::from(options.max_degree);
            scratch.pruner.prune(
                self.space,
                &mut candidates,
                degree,
                options.alpha,
                &mut edges,
            );
            scratch.expanded = candidates;
            edges
        })
    }

    /// The lists of all nodes that the new edges lead to, with an edge back. `new` is in the order of its slots.
    fn back_edges(
        &self,
        new: &[(u32, Vec<u32>)],
        live: &(impl Fn(u32) -> bool + Sync),
    ) -> Vec<(u32, Vec<u32>)> {
        let mut pairs: Vec<(u32, u32)> = new
            .iter()
            .flat_map(|(slot, edges)| edges.iter().map(|target| (*target, *slot)))
            .collect();
        pairs.sort_unstable();
        let groups: Vec<&[(u32, u32)]> = pairs.chunk_by(|a, b| a.0 == b.0).collect();
        self.workers.map(&groups, |group| {
            let target = group[0].0;
            let before = new
                .binary_search_by_key(&target, |(slot, _)| *slot)
                .map_or_else(|_| self.graph.adjacency.of(target), |place| &new[place].1);
            let mut list = before.to_vec();
            for (_, source) in *group {
                if !list.contains(source) {
                    list.push(*source);
                }
            }
            if list.len() > slack(self.graph.options.max_degree) {
                list = self.shorten(target, &list, live);
            }
            (target, list)
        })
    }

    /// Prunes the list of a node that has too many edges.
    pub(crate) fn shorten(&self, slot: u32, list: &[u32], live: &impl Fn(u32) -> bool) -> Vec<u32> {
        let options = &self.graph.options;
        let mut candidates: Vec<_> = list
            .iter()
            .filter(|other| **other != slot && live(**other))
            .map(|other| Candidate::new(*other, self.space.between(slot, *other)))
            .collect();
        let mut edges = Vec::new();
        Pruner::default().prune(
            self.space,
            &mut candidates,
            usize::from(options.max_degree),
            options.alpha,
            &mut edges,
        );
        edges
    }
}

impl Graph {
    /// Makes the members of `batch` nodes with the edges planned for them. One without edges, such as the first of all, becomes an entry
    /// point: no search would come to it.
    pub(crate) fn apply(&mut self, batch: &[u32], plan: &Plan) {
        for (slot, edges) in &plan.edges {
            self.adjacency.set(*slot, edges);
        }
        self.nodes += batch.len();
        for slot in batch {
            if self.adjacency.of(*slot).is_empty() {
                self.entries.push(*slot);
            }
        }
    }

    /// Whether the graph has grown so much that the entry points should be chosen anew.
    pub(crate) fn outgrew_entries(&self) -> bool {
        self.nodes >= 64 && self.nodes >= 2 * self.entries_for
    }
}
