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
        let way = self.way(dense, &probe, wanted);
        if let Way::Walk(list) = way {
            let mut accept = |slot| self.matches(slot, wanted.filter);
            dense.scan_fresh(&probe, &mut nearest, &mut accept, &sequence);
            dense.walk(&probe, list, scratch, &mut nearest, &mut accept, &sequence);
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
        let factor = match 100 * matching / sampled {
            50.. => 1,
            10.. => 2,
            _ => 3,
        };
        Way::Walk(list * factor)
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
