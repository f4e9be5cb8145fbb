//! What was refused lately: commands, keys and channels without rights, and failed logins.
//!
//! Invariant: no more entries than the limit at the last addition; the newest first. A refusal that is like a recent one is
//! counted there.

use std::collections::VecDeque;

use crate::storage::Timestamp;
use crate::storage::sync::{AtomicU64, Mutex, Ordering};

/// Entries among which a like one is looked for.
const LIKE_ENTRIES: usize = 10;
/// Time after which a like entry is too old to count there, in ms.
const LIKE_MILLIS: u64 = 60_000;
/// Longest name or key that is kept, in bytes.
const OBJECT_BYTES_MAX: usize = 1 << 10;

/// Why something is refused.
const REASONS: [&str; 4] = ["auth", "command", "key", "channel"];

/// One refusal, or several alike.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) count: u64,
    /// `command`, `key`, `channel` or `auth`.
    pub(crate) reason: &'static str,
    /// `toplevel`, `multi` or `lua`.
    pub(crate) context: &'static str,
    pub(crate) object: Box<[u8]>,
    pub(crate) user: String,
    /// The line about the client.
    pub(crate) client: String,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
}

impl Entry {
    /// A refusal that happened now.
    pub(crate) fn new(reason: &'static str, context: &'static str, now: Timestamp) -> Self {
        Self {
            id: 0,
            count: 1,
            reason,
            context,
            object: Box::default(),
            user: String::new(),
            client: String::new(),
            created: now,
            updated: now,
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        let age = other.updated.saturating_since(self.updated);
        self.reason == other.reason
            && self.context == other.context
            && self.user == other.user
            && self.object == other.object
            && age.as_millis() <= u128::from(LIKE_MILLIS)
    }
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(crate) struct Log {
    kept: Mutex<Kept>,
    /// All refusals since the counters were reset, by reason, in the order of [`REASONS`].
    refused: [AtomicU64; REASONS.len()],
}

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<Entry>,
    next_id: u64,
}

impl Log {
    /// Number of refusals by reason.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self
            .refused
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        REASONS.into_iter().zip(counts)
    }

    /// Counts refusals from zero.
    pub(crate) fn reset_counts(&self) {
        for count in &self.refused {
            count.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn add(&self, mut entry: Entry, limit: usize) {
        if let Some(at) = REASONS.iter().position(|reason| *reason == entry.reason) {
            self.refused[at].fetch_add(1, Ordering::Relaxed);
        }
        if entry.object.len() > OBJECT_BYTES_MAX {
            entry.object = entry.object[..OBJECT_BYTES_MAX].into();
        }
        // Whoever fails to log in may claim any name.
        if entry.user.len() > OBJECT_BYTES_MAX {
            entry
                .user
                .truncate(entry.user.floor_char_boundary(OBJECT_BYTES_MAX));
        }
        let mut kept = self.kept.lock();
        let mut recent = kept.entries.iter().take(LIKE_ENTRIES);
        let like = recent.position(|known| known.is_like(&entry));
        if let Some(before) = like.and_then(|at| kept.entries.remove(at)) {
            entry.id = before.id;
            entry.count = before.count.saturating_add(1);
            entry.created = before.created;
        } else {
            entry.id = kept.next_id;
            kept.next_id += 1;
        }
        kept.entries.push_front(entry);
        kept.entries.truncate(limit);
    }

    /// The newest entries.
    pub(crate) fn newest(&self, count: usize) -> Vec<Entry> {
        self.kept
            .lock()
            .entries
            .iter()
            .take(count)
            .cloned()
            .collect()
    }

    pub(crate) fn clear(&self) {
        self.kept.lock().entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn like_entries_are_counted_in_one() {
        let log = Log::default();
        log.add(Entry::new("auth", "toplevel", at(0)), 3);
        log.add(Entry::new("command", "toplevel", at(1)), 3);
        log.add(Entry::new("auth", "toplevel", at(60_000)), 3);
        let found = log.newest(10);
        let told = |entry: &Entry| (entry.id, entry.count, entry.created, entry.updated);
        let told: Vec<_> = found.iter().map(told).collect();
        assert_eq!(told, [(0, 2, at(0), at(60_000)), (1, 1, at(1), at(1))]);
        log.add(Entry::new("auth", "toplevel", at(120_001)), 3);
        assert_eq!(log.newest(10).len(), 3, "the time between was too long");
        log.add(Entry::new("auth", "lua", at(120_001)), 3);
        let ids: Vec<u64> = log.newest(10).iter().map(|entry| entry.id).collect();
        assert_eq!(ids, [3, 2, 0], "the oldest goes");
        assert_eq!(log.newest(1).len(), 1);
        log.add(Entry::new("key", "lua", at(120_001)), 0);
        assert!(log.newest(10).is_empty(), "nothing is kept");
    }
}
