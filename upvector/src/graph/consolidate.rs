//! Taking dead nodes out: the delete phase of `FreshDiskANN`, in steps.
//!
//! Invariant: the doomed are the nodes that were dead when it began. Every other node that leads to a doomed one gets its edges pruned
//! again from its own and the doomed one's; as new edges never lead to the dead, nothing leads to the doomed at the end, and their
//! slots are free.

use super::insert::{Plan, Planner};

/// Nodes whose edges are planned at once.
const STEP: usize = 512;

/// A consolidation under way.
#[derive(Debug)]
pub(crate) struct Consolidation {
    /// By slot.
    doomed: Vec<bool>,
    /// All slots below are done.
    next: u32,
}

impl Consolidation {
    /// Dooms the slots for which `dead` holds.
    pub(crate) fn new(slots: u32, dead: impl Fn(u32) -> bool) -> Self {
        Self {
            doomed: (0..slots).map(dead).collect(),
            next: 0,
        }
    }

    pub(crate) fn is_doomed(&self, slot: u32) -> bool {
        self.doomed.get(slot as usize).is_some_and(|doomed| *doomed)
    }

    /// All doomed slots.
    pub(crate) fn doomed(&self) -> impl Iterator<Item = u32> {
        (0..)
            .zip(&self.doomed)
            .filter(|(_, doomed)| **doomed)
            .map(|(slot, _)| slot)
    }

    /// Plans the next step; none if all nodes are done.
    pub(crate) fn plan(
        &mut self,
        planner: &Planner<'_>,
        live: impl Fn(u32) -> bool + Sync,
    ) -> Option<Plan> {
        let end = u32::try_from(planner.slots).unwrap_or(u32::MAX);
        let mut affected = Vec::new();
        while affected.len() < STEP && self.next < end {
            let slot = self.next;
            self.next += 1;
            let edges = planner.graph.adjacency.of(slot);
            if !self.is_doomed(slot) && edges.iter().any(|other| self.is_doomed(*other)) {
                affected.push(slot);
            }
        }
        if affected.is_empty() {
            return None;
        }
        let edges = planner.workers.map(&affected, |slot| {
            let mut list = Vec::new();
            for &other in planner.graph.adjacency.of(*slot) {
                if self.is_doomed(other) {
                    list.extend_from_slice(planner.graph.adjacency.of(other));
                } else {
                    list.push(other);
                }
            }
            list.retain(|other| !self.is_doomed(*other));
            (*slot, planner.shorten(*slot, &list, &live))
        });
        Some(Plan { edges })
    }
}
