//! One shard's hash table: open addressing, linear probing, removal by shifting back.
//!
//! There are no tombstones, so a table at its cap neither degrades nor grows however many keys come and go. Invariant:
//! at most 3/4 of the slots are taken and every key is reachable from its home slot without crossing an empty one.
//! Tested against a `BTreeMap` below.

use crate::State;

use super::fingerprint::Fingerprint;

const EMPTY: Fingerprint = [0, 0];
const FIRST_SLOTS: usize = 16;

#[derive(Copy, Clone)]
struct Slot {
    key: Fingerprint,
    state: State,
}

const _: () = assert!(size_of::<Slot>() == 40, "the documented bytes a slot");

const VACANT: Slot = Slot {
    key: EMPTY,
    state: State::FRESH,
};

#[derive(Default)]
pub(super) struct Table {
    /// A power of two of them, or none yet.
    slots: Vec<Slot>,
    len: usize,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn slot_count(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "only the low bits are wanted"
    )]
    fn home(&self, key: Fingerprint) -> usize {
        key[1] as usize & (self.slots.len() - 1)
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }

    /// The index of the key, or of the empty slot where it belongs.
    fn probe(&self, key: Fingerprint) -> Result<usize, usize> {
        let mut at = self.home(key);
        loop {
            let found = self.slots[at].key;
            if found == key {
                return Ok(at);
            }
            if found == EMPTY {
                return Err(at);
            }
            at = self.next(at);
        }
    }

    pub(super) fn get_mut(&mut self, key: Fingerprint) -> Option<&mut State> {
        if self.slots.is_empty() {
            return None;
        }
        match self.probe(key) {
            Ok(at) => Some(&mut self.slots[at].state),
            Err(_) => None,
        }
    }

    pub(super) fn get(&self, key: Fingerprint) -> Option<State> {
        if self.slots.is_empty() {
            return None;
        }
        self.probe(key).ok().map(|at| self.slots[at].state)
    }

    /// Whether one more key makes the table double.
    pub(super) fn must_grow(&self) -> bool {
        (self.len + 1) * 4 > self.slots.len() * 3
    }

    /// Stores a key, doubling the table if it is three quarters full.
    pub(super) fn insert(&mut self, key: Fingerprint, state: State) {
        if self.must_grow() {
            let doubled = (self.slots.len() * 2).max(FIRST_SLOTS);
            let old = std::mem::replace(&mut self.slots, vec![VACANT; doubled]);
            for slot in old.into_iter().filter(|slot| slot.key != EMPTY) {
                if let Err(at) = self.probe(slot.key) {
                    self.slots[at] = slot;
                }
            }
        }
        match self.probe(key) {
            Ok(at) => self.slots[at].state = state,
            Err(at) => {
                self.slots[at] = Slot { key, state };
                self.len += 1;
            }
        }
    }

    pub(super) fn remove(&mut self, key: Fingerprint) -> bool {
        if self.slots.is_empty() {
            return false;
        }
        let found = self.probe(key);
        if let Ok(at) = found {
            self.remove_at(at);
        }
        found.is_ok()
    }

    /// The key in a slot, if it is taken.
    pub(super) fn at(&self, index: usize) -> Option<(Fingerprint, State)> {
        let slot = self.slots.get(index)?;
        (slot.key != EMPTY).then_some((slot.key, slot.state))
    }

    /// Empties a taken slot; a later key of the same run may move into it.
    pub(super) fn remove_at(&mut self, index: usize) {
        let mask = self.slots.len() - 1;
        let mut hole = index;
        let mut at = self.next(hole);
        while self.slots[at].key != EMPTY {
            let from_home = at.wrapping_sub(self.home(self.slots[at].key)) & mask;
            // Moving back is allowed as long as the key does not pass its home.
            if from_home >= (at.wrapping_sub(hole) & mask) {
                self.slots[hole] = self.slots[at];
                hole = at;
            }
            at = self.next(at);
        }
        self.slots[hole] = VACANT;
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_as_a_map(ops in prop::collection::vec((0_u8..3, 1_u64..60, 0_u64..4), 1..600)) {
            let mut table = Table::default();
            let mut model = BTreeMap::new();
            for (step, (op, low, home)) in ops.into_iter().enumerate() {
                // Few homes, so that runs are long and wrap around.
                let key = [low, home.wrapping_sub(2)];
                let state = State { first: step as u64, ..State::FRESH };
                match op {
                    0 | 1 => {
                        table.insert(key, state);
                        model.insert(key, state);
                    }
                    _ => prop_assert_eq!(table.remove(key), model.remove(&key).is_some()),
                }
                prop_assert_eq!(table.len(), model.len());
                for (&key, &state) in &model {
                    prop_assert_eq!(table.get(key), Some(state));
                }
            }
            let taken = (0..table.slot_count()).filter(|&at| table.at(at).is_some()).count();
            prop_assert_eq!(taken, model.len());
        }
    }
}
