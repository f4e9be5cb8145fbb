//! Searching the dense vectors of a namespace: which way, and the scores of what was found.
//!
//! Invariant: if at least `top_k` records match, `top_k` are found; where the graph gives fewer, all matches are scanned. Found records
//! are ordered by their exact scores, equal ones by insertion.

use super::dense::{Dense, Nearest};
use super::space::Probe;
use super::state::State;
use crate::filter::Filter;
use crate::graph::search::Scratch;

/// Candidates kept while a graph is searched, unless the query says otherwise.
pub(crate) const SEARCH_LIST: usize = 80;
/// Records asked to estimate how many a filter lets through.
const SAMPLE: usize = 256;
/// Matches up to which they are all scanned.
const SCAN_MATCHES: usize = 10_000;
/// Matches among a hundred records below which they are all scanned.
const SCAN_PERCENT: usize = 5;

/// How much longer a list may be the second time.
const LONGER_MAX: usize = 8;
/// Records that are scanned in the time that one candidate of a list takes.
const SCAN_COST: usize = 16;

/// A dense query.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) query: &'a [f32],
    pub(crate) top_k: usize,
    pub(crate) list: Option<usize>,
    pub(crate) filter: Option<&'a Filter>,
}

/// How to go about a query.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Way {
    /// Look at every record.
    Scan,
    /// Walk the graph with a list of this length.
    Walk(usize),
}

impl State {
    pub(crate) fn matches(&self, slot: u32, filter: Option<&Filter>) -> bool {
        let record = self.slot(slot);
        record.is_live() && filter.is_none_or(|filter| filter.matches(record.metadata.as_ref()))
    }

    /// The nearest records and their scores, best first.
    pub(crate) fn search_dense(
        &self,
        wanted: &Wanted<'_>,
        scratch: &mut Scratch,
    ) -> Vec<(u32, f32)> {
        let Some(dense) = &self.dense else {
            return Vec::new();
        };
        let probe = dense.space.probe(wanted.query);
        let sequence = |slot: u32| self.slot(slot).sequence;
        // More than asked for, because single precision may order near ones wrongly.
        let limit = wanted.top_k + wanted.top_k / 2 + 16;
        let mut nearest = Nearest::new(limit.min(self.len().max(1)));
        if let Way::Walk(list) = self.way(dense, &probe, wanted) {
            self.walk(dense, &probe, wanted, list, scratch, &mut nearest);
        }
        if nearest.len() < wanted.top_k.min(self.len()) {
            nearest.clear();
            for (&sequence, &slot) in &self.order {
                if self.matches(slot, wanted.filter) {
                    let distance = dense.space.distance(&probe, slot);
                    nearest.offer(slot, distance, &mut |_| true, &|_| sequence);
                }
            }
        }
        let mut found: Vec<(u32, f32)> = nearest
            .slots()
            .map(|slot| (slot, dense.space.score(wanted.query, slot)))
            .collect();
        found.sort_unstable_by(|a, b| {
            b.1.total_cmp(&a.1)
                .then_with(|| sequence(a.0).cmp(&sequence(b.0)))
        });
        found.truncate(wanted.top_k);
        found
    }

    /// Walks the graph, once more with a longer list if too little of the first matched; what is found is incomplete if that was not
    /// enough either.
    fn walk(
        &self,
        dense: &Dense,
        probe: &Probe<'_>,
        wanted: &Wanted<'_>,
        mut list: usize,
        scratch: &mut Scratch,
        nearest: &mut Nearest,
    ) {
        let sequence = |slot: u32| self.slot(slot).sequence;
        // A list with few matches, such as one that is stuck in a cluster without any, says nothing about those outside.
        let needed = (list / 2).max(wanted.top_k);
        for attempt in 0..2 {
            nearest.clear();
            let mut accept = |slot| self.matches(slot, wanted.filter);
            dense.scan_fresh(probe, nearest, &mut accept, &sequence);
            dense.walk(probe, list, scratch, nearest, &mut accept, &sequence);
            if wanted.filter.is_none() {
                return;
            }
            let met = scratch.list.iter();
            let matching = met.filter(|near| accept(near.slot)).count();
            if matching >= needed || (attempt > 0 && matching >= wanted.top_k) {
                return;
            }
            list *= (needed / matching.max(1) + 1).min(LONGER_MAX);
            if attempt > 0 || list * SCAN_COST > self.len() {
                nearest.clear();
                return;
            }
        }
    }

    fn way(&self, dense: &Dense, probe: &Probe<'_>, wanted: &Wanted<'_>) -> Way {
        // All are equally near to a zero vector: the order of insertion decides, which the graph does not know.
        if dense.graph.is_empty() || probe.is_zero() {
            return Way::Scan;
        }
        let list = wanted.list.unwrap_or(SEARCH_LIST).max(wanted.top_k);
        // Dead nodes take places in the list.
        let alive = dense.graph.nodes.saturating_sub(dense.dead).max(1);
        let list = list * dense.graph.nodes / alive;
        let Some(filter) = wanted.filter else {
            return Way::Walk(list);
        };
        let (matching, sampled) = self.sample(filter);
        let estimate = self.len() * matching / sampled.max(1);
        if estimate <= SCAN_MATCHES || 100 * matching < SCAN_PERCENT * sampled {
            return Way::Scan;
        }
        Way::Walk(list)
    }

    /// How many of some records match, and how many were asked.
    fn sample(&self, filter: &Filter) -> (usize, usize) {
        let step = (self.slots.len() / SAMPLE).max(1);
        let mut count = (0, 0);
        for record in self
            .slots
            .iter()
            .step_by(step)
            .filter(|slot| slot.is_live())
        {
            count.0 += usize::from(filter.matches(record.metadata.as_ref()));
            count.1 += 1;
        }
        count
    }
}
