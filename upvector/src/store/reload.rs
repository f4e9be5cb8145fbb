//! The last step of opening: what a checkpoint leaves in the log is read back from it, by all threads at once.
//!
//! Invariant: a live record that cannot be read is damage, and the opening fails naming its file and offset. A dead node whose record is
//! gone from the log is taken out of the graph.

use std::sync::Arc;

use upkv::storage::{Address, Error, Result};

use super::dense::Place;
use super::journal::{Upsert, decode_upsert};
use super::state::State;
use crate::inner::{Inner, Space};
use crate::sparse::{SparseIndex, SparseVector};

/// Records read at once; bounds what is in memory twice.
const BATCH: usize = 8192;

impl Inner {
    /// Reads everything that restored checkpoints promised.
    pub(crate) fn reload(&self) -> Result<()> {
        let spaces: Vec<Arc<Space>> = self.spaces.read().by_name.values().cloned().collect();
        for space in spaces {
            let mut state = space.state.write();
            self.reload_space(space.number, &mut state)?;
            self.note_work(space.number, &state);
        }
        Ok(())
    }

    fn reload_space(&self, number: u32, state: &mut State) -> Result<()> {
        let loading = std::mem::take(&mut state.loading);
        let wanted: Vec<(u32, Address)> = (0..)
            .zip(loading)
            .filter_map(|(slot, at)| Some((slot, at?)))
            .collect();
        let mut lost = vec![false; state.slots.len()];
        let read = |batch: &[(u32, Address)]| {
            self.workers
                .map(batch, |(_, at)| self.read_record(number, *at))
        };
        let mut batches = wanted.chunks(BATCH);
        let mut next = batches.next().map(|batch| (batch, read(batch)));
        // One batch is put in place while the next one is read.
        while let Some((batch, found)) = next.take() {
            let following = batches.next();
            let (placed, found) = self.workers.join(
                || self.place(state, batch, found, &mut lost),
                || following.map(|batch| (batch, read(batch))),
            );
            placed?;
            next = found;
        }
        if lost.contains(&true) {
            self.consolidate_now(state, &lost);
        }
        Ok(())
    }

    /// Puts the records of a batch in place; dead ones that could not be read are noted in `lost`.
    fn place(
        &self,
        state: &mut State,
        batch: &[(u32, Address)],
        found: Vec<Result<Upsert>>,
        lost: &mut [bool],
    ) -> Result<()> {
        let mut sparse = Vec::new();
        for ((slot, _), found) in batch.iter().zip(found) {
            if state.is_live(*slot) {
                let vector = load(state, *slot, found?)?;
                sparse.extend(vector.map(|vector| (*slot, vector)));
            } else {
                lost[*slot as usize] = !found.is_ok_and(|upsert| bury(state, *slot, &upsert));
            }
        }
        if !sparse.is_empty() {
            let index = state
                .sparse
                .get_or_insert_with(|| Box::new(SparseIndex::new()));
            index.fill(&sparse, &self.workers);
        }
        Ok(())
    }

    fn read_record(&self, number: u32, at: Address) -> Result<Upsert> {
        let body = self.mount.read(at)?;
        let upsert = decode_upsert(&body)?;
        let dense = self.shape.get().and_then(|shape| shape.dense);
        let dimensions = dense.map_or(0, |dense| dense.dimensions);
        if upsert.namespace != number || upsert.record.dense.len() != dimensions {
            let what = "the record is not the one that the checkpoint lists";
            return Err(Error::corrupt("record", u64::from(at.offset), what));
        }
        Ok(upsert)
    }
}

/// Puts what was read into the slot of its record, but for the sparse vector.
fn load(state: &mut State, slot: u32, upsert: Upsert) -> Result<Option<SparseVector>> {
    let known = &mut state.slots[slot as usize];
    if known.sequence != upsert.sequence || known.id != upsert.record.id {
        let what = "the record is not the one that the checkpoint lists";
        return Err(Error::corrupt("record", u64::from(known.at.offset), what));
    }
    known.metadata = upsert.record.metadata;
    known.has_data = upsert.record.data.is_some();
    if let Some(dense) = &mut state.dense {
        dense.space.set(slot, &upsert.record.dense);
    }
    Ok(upsert.record.sparse)
}

/// Gives a dead node its vector back; whether it has one then.
fn bury(state: &mut State, slot: u32, upsert: &Upsert) -> bool {
    match &mut state.dense {
        Some(dense) if dense.places[slot as usize] == Place::Node => {
            dense.space.set(slot, &upsert.record.dense);
            true
        }
        _ => true,
    }
}
