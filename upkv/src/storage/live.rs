//! Live bytes per segment, counted by the engines as they retain and release records.
//!
//! Invariant: the counts are statistics of what the engines reference; they are rebuilt on every opening by the same calls, so they
//! cannot drift across restarts. Garbage collection unlinks a segment only at zero.

use std::sync::atomic::{AtomicU64, Ordering};

use super::address::Address;
use super::sync::RwLock;

/// Live bytes of one mount, by segment number.
#[derive(Debug, Default)]
pub(crate) struct LiveTable {
    bytes: RwLock<Vec<AtomicU64>>,
}

impl LiveTable {
    pub(crate) fn retain(&self, at: Address) {
        self.with(at.segment, |bytes| {
            // Relaxed: a count on its own; the collector re-reads it after the engines' locks have ordered the changes.
            bytes.fetch_add(at.log_bytes(), Ordering::Relaxed);
        });
    }

    pub(crate) fn release(&self, at: Address) {
        self.with(at.segment, |bytes| {
            let before = bytes.fetch_sub(at.log_bytes(), Ordering::Relaxed);
            debug_assert!(
                before >= at.log_bytes(),
                "released more than was retained in segment {}",
                at.segment
            );
        });
    }

    /// Live bytes in segment `id`.
    pub(crate) fn of(&self, id: u32) -> u64 {
        self.bytes
            .read()
            .get(id as usize)
            .map_or(0, |b| b.load(Ordering::Relaxed))
    }

    /// All segments with live bytes.
    pub(crate) fn all(&self) -> Vec<(u32, u64)> {
        let table = self.bytes.read();
        (0u32..)
            .zip(table.iter())
            .map(|(id, bytes)| (id, bytes.load(Ordering::Relaxed)))
            .filter(|(_, bytes)| *bytes > 0)
            .collect()
    }

    fn with(&self, segment: u32, change: impl FnOnce(&AtomicU64)) {
        {
            let table = self.bytes.read();
            if let Some(bytes) = table.get(segment as usize) {
                return change(bytes);
            }
        }
        let mut table = self.bytes.write();
        if table.len() <= segment as usize {
            // Doubling, because segments come one at a time.
            let len = (segment as usize + 1).next_power_of_two();
            table.resize_with(len, AtomicU64::default);
        }
        change(&table[segment as usize]);
    }
}
