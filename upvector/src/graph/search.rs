//! Greedy search: best-first from the entry points with a list of bounded length.
//!
//! Invariant: a search visits no node twice, and ends when every entry of its list was expanded. The scratch space it works in is
//! kept for the next one, so that a search in steady state allocates nothing.

use std::cmp::Ordering;

use parking_lot::Mutex;

use super::Graph;
use super::prune::Pruner;

/// A node and how far it is.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) distance: f32,
    pub(crate) slot: u32,
    pub(crate) expanded: bool,
}

impl Candidate {
    pub(crate) fn new(slot: u32, distance: f32) -> Self {
        // What cannot be computed is far away.
        let distance = if distance.is_nan() {
            f32::INFINITY
        } else {
            distance
        };
        Self {
            distance,
            slot,
            expanded: false,
        }
    }

    pub(crate) fn order(&self, other: &Self) -> Ordering {
        self.distance
            .total_cmp(&other.distance)
            .then(self.slot.cmp(&other.slot))
    }
}

/// What a search works in.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The search in which a slot was last seen.
    seen: Vec<u32>,
    search: u32,
    /// The best so far, nearest first.
    pub(crate) list: Vec<Candidate>,
    /// Nodes whose edges were followed.
    pub(crate) expanded: Vec<Candidate>,
    unseen: Vec<u32>,
    pub(crate) pruner: Pruner,
    /// Distances computed in the last search.
    pub(crate) distances: usize,
}

impl Scratch {
    fn begin(&mut self, slots: usize) {
        if self.seen.len() < slots {
            self.seen.resize(slots, 0);
        }
        self.search = self.search.wrapping_add(1);
        if self.search == 0 {
            self.seen.fill(0);
            self.search = 1;
        }
        self.list.clear();
        self.expanded.clear();
        self.distances = 0;
    }

    /// Marks a slot; whether this is the first time in this search.
    fn see(&mut self, slot: u32) -> bool {
        let mark = &mut self.seen[slot as usize];
        let first = *mark != self.search;
        *mark = self.search;
        first
    }

    /// Puts a candidate into its place; the place if it was near enough to stay.
    fn offer(&mut self, candidate: Candidate, limit: usize) -> Option<usize> {
        if self.list.len() >= limit {
            let last = self.list.last()?;
            if last.order(&candidate) == Ordering::Less {
                return None;
            }
        }
        let at = self
            .list
            .partition_point(|other| other.order(&candidate) == Ordering::Less);
        if self.list.len() >= limit {
            self.list.pop();
        }
        self.list.insert(at, candidate);
        Some(at)
    }

    /// Searches `graph`, of slots below `slots`, and leaves the nearest `limit` nodes met in `list` and all that were expanded in
    /// `expanded`. `met` is called once for every node and its distance.
    pub(crate) fn search(
        &mut self,
        graph: &Graph,
        slots: usize,
        limit: usize,
        distance: impl Fn(u32) -> f32,
        mut met: impl FnMut(u32, f32),
    ) {
        self.begin(slots);
        for &slot in &graph.entries {
            if self.see(slot) {
                let candidate = Candidate::new(slot, distance(slot));
                self.distances += 1;
                met(slot, candidate.distance);
                self.offer(candidate, limit);
            }
        }
        let mut next = 0;
        while let Some(node) = self.list.get_mut(next) {
            if node.expanded {
                next += 1;
                continue;
            }
            node.expanded = true;
            let node = *node;
            self.expanded.push(node);
            let mut unseen = std::mem::take(&mut self.unseen);
            unseen.clear();
            let edges = graph.adjacency.of(node.slot).iter().copied();
            unseen.extend(edges.filter(|slot| self.see(*slot)));
            self.distances += unseen.len();
            for &slot in &unseen {
                let candidate = Candidate::new(slot, distance(slot));
                met(slot, candidate.distance);
                if let Some(at) = self.offer(candidate, limit) {
                    next = next.min(at);
                }
            }
            self.unseen = unseen;
        }
    }
}

/// Scratch space for as many searches as ran at the same time.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: Mutex<Vec<Scratch>>,
}

impl Pool {
    /// Runs `work` with scratch space of its own.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Scratch) -> R) -> R {
        let idle = self.idle.lock().pop();
        let mut scratch = idle.unwrap_or_default();
        let result = work(&mut scratch);
        self.idle.lock().push(scratch);
        result
    }
}
