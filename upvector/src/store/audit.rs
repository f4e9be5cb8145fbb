//! What holds between the parts of a namespace, checked: for tests.

use std::collections::BTreeSet;

use super::dense::{Dense, Place};
use super::state::State;
use crate::index::Index;

impl Index {
    /// Compares everything in memory that must agree; says what does not.
    ///
    /// # Errors
    ///
    /// The first contradiction.
    pub fn audit(&self) -> Result<(), String> {
        let spaces = self.inner().spaces.read();
        for (name, space) in &spaces.by_name {
            let state = space.state.read();
            state.audit().map_err(|what| format!("{name:?}: {what}"))?;
        }
        if spaces.by_name.len() != spaces.by_number.len() {
            return Err("names and numbers of namespaces differ".to_owned());
        }
        Ok(())
    }
}

impl State {
    fn audit(&self) -> Result<(), String> {
        let free: BTreeSet<u32> = self.free.iter().copied().collect();
        if free.len() != self.free.len() {
            return Err("a slot is free twice".to_owned());
        }
        for (slot, record) in (0..).zip(&self.slots) {
            if !record.is_live() {
                continue;
            }
            let known = self.find(&record.id) == Some(slot)
                && self.order.get(&record.sequence) == Some(&slot)
                && record.sequence < self.next;
            if !known || free.contains(&slot) {
                return Err(format!("slot {slot} of {:?} is not known", record.id));
            }
        }
        let live = self.slots.iter().filter(|slot| slot.is_live()).count();
        let sparse = self.sparse.as_ref().map_or(live, |sparse| sparse.len());
        if live != self.order.len() || sparse != live {
            let ordered = self.order.len();
            return Err(format!(
                "{live} records, {ordered} in order, {sparse} sparse"
            ));
        }
        let dead = self.dense.as_ref().map_or(0, |dense| dense.dead);
        let absorbing = self.dense.as_ref().map_or(0, |dense| dense.absorbing.len());
        if absorbing == 0 && live + dead + free.len() != self.slots.len() {
            return Err(format!(
                "{live} live, {dead} dead and {} free slots",
                free.len()
            ));
        }
        match &self.dense {
            Some(dense) => self.audit_dense(dense, &free),
            None => Ok(()),
        }
    }

    fn audit_dense(&self, dense: &Dense, free: &BTreeSet<u32>) -> Result<(), String> {
        let (mut nodes, mut dead) = (0, 0);
        for (slot, place) in (0..).zip(&dense.places) {
            let live = self.is_live(slot);
            let agrees = match place {
                Place::None => !live && free.contains(&slot),
                Place::Fresh(index) => live && dense.fresh.get(*index as usize) == Some(&slot),
                Place::Absorbing => dense.absorbing.contains(&slot),
                Place::Node => {
                    nodes += 1;
                    dead += usize::from(!live);
                    true
                }
            };
            if !agrees {
                return Err(format!("slot {slot}, live {live}, is {place:?}"));
            }
            let is_node = |other: &u32| dense.places.get(*other as usize) == Some(&Place::Node);
            let edges = dense.graph.adjacency.of(slot);
            let leads = *place == Place::Node || edges.is_empty();
            if !leads || !edges.iter().all(is_node) || edges.contains(&slot) {
                return Err(format!("edges of slot {slot}, {place:?}: {edges:?}"));
            }
        }
        let graph = &dense.graph;
        if (nodes, dead) != (graph.nodes, dense.dead) || graph.entries.is_empty() != (nodes == 0) {
            return Err(format!("{nodes} nodes, {dead} dead, {:?}", graph.entries));
        }
        Ok(())
    }
}
