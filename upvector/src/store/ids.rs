//! From ids to slots: a table of slots, which hold the ids themselves.
//!
//! Invariant: the keys of the hash are random and never reach a file, and the order of the table is never looked at.

use ahash::RandomState;
use hashbrown::HashTable;

#[derive(Debug)]
pub(crate) struct Ids {
    table: HashTable<u32>,
    keys: RandomState,
}

impl Ids {
    pub(crate) fn new(keys: RandomState) -> Self {
        Self {
            table: HashTable::new(),
            keys,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.table.allocation_size()
    }

    /// The slot of `id`; `id_of` says which id a slot has.
    pub(crate) fn get<'a>(&self, id: &str, id_of: impl Fn(u32) -> &'a str) -> Option<u32> {
        let hash = self.keys.hash_one(id);
        self.table.find(hash, |slot| id_of(*slot) == id).copied()
    }

    /// Adds the id of `slot`, which is not there yet.
    pub(crate) fn insert<'a>(&mut self, slot: u32, id_of: impl Fn(u32) -> &'a str) {
        let keys = &self.keys;
        let hash = keys.hash_one(id_of(slot));
        self.table
            .insert_unique(hash, slot, |slot| keys.hash_one(id_of(*slot)));
    }

    /// Forgets `id`, which still is the id of `slot`.
    pub(crate) fn remove(&mut self, slot: u32, id: &str) {
        let hash = self.keys.hash_one(id);
        if let Ok(entry) = self.table.find_entry(hash, |other| *other == slot) {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_until_they_are_removed() {
        let names: Vec<String> = (0..1000).map(|n| format!("id-{n}")).collect();
        let mut ids = Ids::new(RandomState::with_seeds(1, 2, 3, 4));
        let of = |slot: u32| names[slot as usize].as_str();
        for slot in 0..1000 {
            assert_eq!(ids.get(of(slot), of), None);
            ids.insert(slot, of);
        }
        for slot in (0..1000).step_by(2) {
            ids.remove(slot, of(slot));
        }
        for slot in 0..1000 {
            assert_eq!(ids.get(of(slot), of), (slot % 2 == 1).then_some(slot));
        }
    }
}
