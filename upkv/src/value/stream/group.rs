//! A consumer group: how far it has read, who reads, and what was delivered but not acknowledged.
//!
//! Invariant: the pending entries of the group are those of its consumers, each of exactly one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::StreamId;

/// What a node of a map takes for each thing in it, beside the thing: maps are about three quarters full.
const fn held(bytes: usize) -> usize {
    bytes * 4 / 3
}

/// Bytes of a pending entry: its own, and the consumer's note of it.
const PENDING_BYTES: usize = held(size_of::<(StreamId, Pending)>()) + held(size_of::<StreamId>());
/// Bytes of a consumer beside its name.
const CONSUMER_BYTES: usize = held(size_of::<(Arc<[u8]>, Consumer)>()) + 16;

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) consumer: Arc<[u8]>,
    /// When it was delivered last, in ms since the Unix epoch.
    pub(crate) delivered: u64,
    pub(crate) count: u64,
}

/// A reader of a group.
#[derive(Debug)]
pub(crate) struct Consumer {
    /// When it last asked for something, in ms. Asking in vain is noted here alone, not in the log.
    seen: AtomicU64,
    /// When it last got something.
    pub(crate) active: Option<u64>,
    /// Ids of its pending entries.
    pub(crate) pending: BTreeSet<StreamId>,
}

impl Clone for Consumer {
    fn clone(&self) -> Self {
        Self {
            seen: AtomicU64::new(self.seen()),
            active: self.active,
            pending: self.pending.clone(),
        }
    }
}

impl Consumer {
    pub(super) fn new(seen: u64, active: Option<u64>) -> Self {
        Self {
            seen: AtomicU64::new(seen),
            active,
            pending: BTreeSet::new(),
        }
    }

    pub(crate) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// Notes that it asked for something.
    pub(crate) fn see(&self, now: u64) {
        self.seen.store(now, Ordering::Relaxed);
    }
}

/// See the module documentation.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// The last entry that was delivered to anybody.
    pub(crate) last: StreamId,
    /// Entries read so far, if that is known.
    pub(crate) read: Option<u64>,
    pub(crate) pending: BTreeMap<StreamId, Pending>,
    pub(crate) consumers: BTreeMap<Arc<[u8]>, Consumer>,
    /// Bytes of the names of consumers.
    names: usize,
}

impl Group {
    pub(super) fn new(last: StreamId, read: Option<u64>) -> Self {
        Self {
            last,
            read,
            pending: BTreeMap::new(),
            consumers: BTreeMap::new(),
            names: 0,
        }
    }

    pub(super) fn memory(&self) -> usize {
        self.pending.len() * PENDING_BYTES + self.consumers.len() * CONSUMER_BYTES + self.names
    }

    /// Adds a consumer; whether there was none of that name.
    pub(super) fn add_consumer(&mut self, name: &[u8], consumer: Consumer) -> bool {
        if self.consumers.contains_key(name) {
            return false;
        }
        self.names += name.len();
        self.consumers.insert(name.into(), consumer);
        true
    }

    /// Removes a consumer with its pending entries; both.
    pub(super) fn remove_consumer(
        &mut self,
        name: &[u8],
    ) -> Option<(Consumer, Vec<(StreamId, Pending)>)> {
        let consumer = self.consumers.remove(name)?;
        self.names -= name.len();
        let of = |id: &StreamId| Some((*id, self.pending.remove(id)?));
        let pending = consumer.pending.iter().filter_map(of).collect();
        Some((consumer, pending))
    }

    /// Sets who has an entry pending; `None` for nobody. What was before.
    pub(super) fn set_pending(
        &mut self,
        id: StreamId,
        pending: Option<Pending>,
    ) -> Option<Pending> {
        let before = match &pending {
            Some(pending) => self.pending.insert(id, pending.clone()),
            None => self.pending.remove(&id),
        };
        if let Some(before) = &before
            && let Some(consumer) = self.consumers.get_mut(&before.consumer)
        {
            consumer.pending.remove(&id);
        }
        if let Some(pending) = pending
            && let Some(consumer) = self.consumers.get_mut(&pending.consumer)
        {
            consumer.pending.insert(id);
        }
        before
    }

    /// The shared name of a consumer.
    pub(super) fn shared_name(&self, name: &[u8]) -> Option<Arc<[u8]>> {
        self.consumers
            .get_key_value(name)
            .map(|(name, _)| Arc::clone(name))
    }
}
