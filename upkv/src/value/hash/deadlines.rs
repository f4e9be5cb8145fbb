//! Deadlines of single fields: by name for lookups, by time for clearing away.
//!
//! Invariant: both maps hold the same fields, every deadline is above 0, and every field is in the hash.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::value::PartDeadlines;

/// Bytes that one deadline takes beside the name: two tree entries and the shared name's header.
const ENTRY_BYTES: usize = 96;

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    of: BTreeMap<Arc<[u8]>, u64>,
    order: BTreeSet<(u64, Arc<[u8]>)>,
    name_bytes: usize,
}

impl Deadlines {
    /// The deadline of a field; 0 without one.
    pub(super) fn get(&self, field: &[u8]) -> u64 {
        self.of.get(field).copied().unwrap_or(0)
    }

    /// Sets (or with 0 clears) the deadline of a field; the one before.
    pub(super) fn set(&mut self, field: &[u8], at: u64) -> u64 {
        let (name, before) = match self.of.remove_entry(field) {
            Some((name, before)) => {
                self.order.remove(&(before, Arc::clone(&name)));
                self.name_bytes -= name.len();
                (name, before)
            }
            None if at == 0 => return 0,
            None => (Arc::from(field), 0),
        };
        if at != 0 {
            self.name_bytes += name.len();
            self.order.insert((at, Arc::clone(&name)));
            self.of.insert(name, at);
        }
        before
    }

    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// First and last deadline, in a hash of `fields` fields.
    pub(super) fn summary(&self, fields: usize) -> PartDeadlines {
        let at = |entry: Option<&(u64, Arc<[u8]>)>| entry.map_or(0, |(at, _)| *at);
        PartDeadlines {
            first: at(self.order.first()),
            all: if self.order.len() == fields {
                at(self.order.last())
            } else {
                0
            },
        }
    }

    /// Fields that are overdue, those due longest first.
    pub(super) fn due(&self, now: u64) -> impl Iterator<Item = &Arc<[u8]>> {
        let due = self.order.iter().take_while(move |(at, _)| *at <= now);
        due.map(|(_, name)| name)
    }

    /// Bytes kept in memory.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.name_bytes + self.of.len() * ENTRY_BYTES
    }
}
