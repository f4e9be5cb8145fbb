//! The records of one namespace: who is where.
//!
//! Invariant: a slot has a record, or is free, or is a dead node of the graph that waits for consolidation. Ids, sequences and the
//! addresses retained in the log are exactly those of the slots with records. Live operation and recovery change it through the same
//! few functions.

use std::collections::BTreeMap;

use ahash::RandomState;
use upkv::storage::{Address, Mount};

use super::dense::Dense;
use super::ids::Ids;
use crate::distance::Kernels;
use crate::graph::GraphOptions;
use crate::metadata::Metadata;
use crate::record::Prepared;
use crate::sparse::SparseIndex;
use crate::spec::Shape;

/// What all namespaces of an index have in common.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub(crate) shape: Shape,
    pub(crate) graph: GraphOptions,
    pub(crate) kernels: Kernels,
}

/// A record as far as it is kept in memory; without one, `sequence` is 0.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    pub(crate) id: Box<str>,
    /// Its place in the order of insertion, from 1.
    pub(crate) sequence: u64,
    pub(crate) at: Address,
    pub(crate) metadata: Option<Metadata>,
    /// Whether the record in the log has text.
    pub(crate) has_data: bool,
}

impl Slot {
    pub(crate) fn is_live(&self) -> bool {
        self.sequence != 0
    }
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) slots: Vec<Slot>,
    ids: Ids,
    /// Slots in the order of insertion.
    pub(crate) order: BTreeMap<u64, u32>,
    pub(crate) free: Vec<u32>,
    /// The sequence of the next new id.
    pub(crate) next: u64,
    /// Changes when all slots are given up, so that plans made before come to nothing.
    pub(crate) life: u64,
    pub(crate) dense: Option<Box<Dense>>,
    pub(crate) sparse: Option<Box<SparseIndex>>,
    /// Between restoring and reloading: by slot, where its contents are.
    pub(crate) loading: Vec<Option<Address>>,
    keys: RandomState,
}

impl State {
    pub(crate) fn new(keys: RandomState) -> Self {
        Self {
            slots: Vec::new(),
            ids: Ids::new(keys.clone()),
            order: BTreeMap::new(),
            free: Vec::new(),
            next: 1,
            life: 0,
            dense: None,
            sparse: None,
            loading: Vec::new(),
            keys,
        }
    }

    /// Number of records.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn slot(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    pub(crate) fn is_live(&self, slot: u32) -> bool {
        self.slots.get(slot as usize).is_some_and(Slot::is_live)
    }

    /// The slot of the record `id`.
    pub(crate) fn find(&self, id: &str) -> Option<u32> {
        self.ids.get(id, |slot| &self.slots[slot as usize].id)
    }

    /// Bytes in memory, nearly.
    pub(crate) fn bytes(&self) -> usize {
        let texts: usize = self
            .slots
            .iter()
            .map(|slot| slot.id.len() + slot.metadata.as_ref().map_or(0, Metadata::heap_bytes))
            .sum();
        let tables = self.slots.capacity() * size_of::<Slot>()
            + self.ids.bytes()
            + self.order.len() * 16
            + self.free.capacity() * 4;
        let dense = self.dense.as_ref().map_or(0, |dense| dense.bytes());
        let sparse = self.sparse.as_ref().map_or(0, |sparse| sparse.heap_bytes());
        texts + tables + dense + sparse
    }

    /// Whether the record in `slot` has this very dense vector, or there are none.
    pub(crate) fn has_vector(&self, slot: u32, vector: &[f32]) -> bool {
        let Some(dense) = &self.dense else {
            return vector.is_empty();
        };
        let stored = dense.space.vector(slot);
        stored.len() == vector.len()
            && stored
                .iter()
                .zip(vector)
                .all(|(a, b)| a.to_bits() == b.to_bits())
    }

    fn allocate(&mut self) -> u32 {
        if let Some(slot) = self.free.pop() {
            return slot;
        }
        let slot = u32::try_from(self.slots.len()).expect("slots are numbered with 32 bits");
        self.slots.push(Slot::default());
        slot
    }

    /// Puts a whole record in, in place of the one with its id. `keeps_vector` says that the dense vector is the same as before.
    pub(crate) fn upsert(
        &mut self,
        mount: &Mount,
        common: &Common,
        sequence: u64,
        keeps_vector: bool,
        record: Prepared,
        at: Address,
    ) {
        mount.retain(at);
        self.next = self.next.max(sequence.saturating_add(1));
        let old = self.find(&record.id);
        if let Some(old) = old {
            mount.release(self.slot(old).at);
        }
        let stays = keeps_vector || common.shape.dense.is_none();
        let slot = match old {
            Some(old) if stays => {
                let slot = &mut self.slots[old as usize];
                slot.at = at;
                slot.metadata = record.metadata;
                slot.has_data = record.data.is_some();
                self.settle_vector(old, &record.dense);
                old
            }
            _ => {
                if let Some(old) = old {
                    self.forget(old);
                }
                let slot = self.allocate();
                self.slots[slot as usize] = Slot {
                    id: record.id,
                    sequence,
                    at,
                    metadata: record.metadata,
                    has_data: record.data.is_some(),
                };
                let slots = &self.slots;
                self.ids.insert(slot, |slot| &slots[slot as usize].id);
                self.order.insert(sequence, slot);
                if let Some(spec) = common.shape.dense {
                    let new = || Box::new(Dense::new(spec, common.graph, common.kernels));
                    let dense = self.dense.get_or_insert_with(new);
                    dense.put(slot, &record.dense);
                }
                slot
            }
        };
        if let Some(vector) = &record.sparse {
            let sparse = self
                .sparse
                .get_or_insert_with(|| Box::new(SparseIndex::new()));
            sparse.insert(slot, vector);
        }
    }

    /// A record that keeps its vector brings it along, which is how one gets it that is not loaded yet.
    fn settle_vector(&mut self, slot: u32, vector: &[f32]) {
        if let Some(loading) = self.loading.get_mut(slot as usize)
            && loading.take().is_some()
            && let Some(dense) = &mut self.dense
        {
            dense.space.set(slot, vector);
        }
    }

    /// The record of `slot` was written again elsewhere.
    pub(crate) fn relocate(&mut self, mount: &Mount, slot: u32, at: Address) {
        mount.retain(at);
        mount.release(self.slot(slot).at);
        self.slots[slot as usize].at = at;
        if let Some(Some(loading)) = self.loading.get_mut(slot as usize) {
            *loading = at;
        }
    }

    /// Takes a record out.
    pub(crate) fn remove(&mut self, mount: &Mount, sequence: u64) -> bool {
        let Some(slot) = self.order.get(&sequence).copied() else {
            return false;
        };
        mount.release(self.slot(slot).at);
        self.forget(slot);
        true
    }

    /// Empties a slot. What a dead node of the graph was stays, for the graph.
    fn forget(&mut self, slot: u32) {
        let old = std::mem::take(&mut self.slots[slot as usize]);
        self.ids.remove(slot, &old.id);
        self.order.remove(&old.sequence);
        if let Some(sparse) = &mut self.sparse {
            sparse.remove(slot);
        }
        let free = match &mut self.dense {
            Some(dense) => dense.retire(slot),
            None => true,
        };
        if free {
            self.free.push(slot);
            if let Some(loading) = self.loading.get_mut(slot as usize) {
                *loading = None;
            }
        }
    }

    /// Takes all records out; the order of insertion starts anew.
    pub(crate) fn clear(&mut self, mount: &Mount) {
        for slot in self.order.values() {
            mount.release(self.slots[*slot as usize].at);
        }
        let life = self.life + 1;
        *self = Self {
            life,
            ..Self::new(self.keys.clone())
        };
    }

    /// Puts a record back that a checkpoint lists. Its contents follow; `false` if the list contradicts itself.
    pub(crate) fn restore(&mut self, slot: u32, record: Slot) -> bool {
        if self.find(&record.id).is_some() || self.order.contains_key(&record.sequence) {
            return false;
        }
        self.order.insert(record.sequence, slot);
        self.slots[slot as usize] = record;
        let slots = &self.slots;
        self.ids.insert(slot, |slot| &slots[slot as usize].id);
        true
    }
}
