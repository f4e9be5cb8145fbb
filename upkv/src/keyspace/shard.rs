//! One slice of the hash space: its keys, deadlines, watchers and counts, all under one lock.
//!
//! Invariant: `used` is the sum of [`Entry::memory`] over the shard's entries, but for what a work in progress has changed.

use std::collections::HashMap;
use std::sync::Arc;

use super::entry::Entry;
use super::expiry::Expiry;
use super::table::{Hashers, Probe, Table};
use crate::server::blocked::Queues;
use crate::stats::ShardStats;
use crate::storage::{TimerId, Timestamp};

/// See the module documentation.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) table: Table<Entry>,
    pub(crate) expiry: Expiry,
    /// The armed timer of this shard and when it fires.
    pub(crate) timer: Option<(Timestamp, TimerId)>,
    pub(crate) watched: HashMap<Box<[u8]>, Watched, ahash::RandomState>,
    /// Callers that wait for keys.
    pub(crate) waiting: Queues,
    /// Bytes of keys and hot values.
    pub(crate) used: usize,
    /// The part of `memory()` that the engine's total knows.
    pub(crate) reported: usize,
    /// Segment of the table the CLOCK hand looks at next.
    pub(crate) hand: usize,
    pub(crate) stats: ShardStats,
}

/// A key that sessions watch.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    pub(crate) sessions: usize,
    /// Raised by every change of the key.
    pub(crate) version: u64,
}

impl Shard {
    pub(crate) fn new(hashers: Arc<Hashers>, shard_bits: u32) -> Self {
        Self {
            table: Table::new(hashers, shard_bits),
            expiry: Expiry::default(),
            timer: None,
            watched: HashMap::default(),
            waiting: Queues::default(),
            used: 0,
            reported: 0,
            hand: 0,
            stats: ShardStats::default(),
        }
    }

    /// The key if it exists and is not overdue.
    pub(crate) fn live(&self, probe: Probe, key: &[u8], now: u64) -> Option<&Entry> {
        self.table
            .find(probe, key)
            .filter(|entry| !entry.is_expired(now))
    }

    /// As [`Shard::live`], mutable.
    pub(crate) fn live_mut(&mut self, probe: Probe, key: &[u8], now: u64) -> Option<&mut Entry> {
        self.table
            .find_mut(probe, key)
            .filter(|entry| !entry.is_expired(now))
    }

    /// Bytes of keys, hot values and the index of deadlines.
    pub(crate) fn memory(&self) -> usize {
        self.used + self.expiry.memory()
    }

    /// Lists the deadlines anew if most of what is listed belongs to keys that are gone; what that costs was
    /// paid by listing them.
    pub(crate) fn tidy_deadlines(&mut self, now: u64) {
        const SLACK: usize = 1_024;
        if self.expiry.len() <= 2 * self.table.len() + SLACK {
            return;
        }
        self.expiry.clear();
        let hashers = self.table.hashers();
        for entry in self.table.iter() {
            let deadline = entry.next_deadline();
            if deadline != 0 {
                self.expiry.add(now, deadline, hashers.probe(entry.key()));
            }
        }
    }

    /// Brings the byte count up to date after a key took so many bytes and was changed.
    pub(crate) fn recount(&mut self, probe: Probe, key: &[u8], before: usize) {
        let memory = self.table.find(probe, key).map_or(0, Entry::memory);
        self.used = self.used + memory - before;
    }

    /// Tells watchers that a key changed.
    pub(crate) fn changed(&mut self, key: &[u8]) {
        if !self.watched.is_empty()
            && let Some(watched) = self.watched.get_mut(key)
        {
            watched.version += 1;
        }
    }
}
