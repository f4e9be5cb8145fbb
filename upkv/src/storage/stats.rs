//! A snapshot of counters, read without stopping anything.

use std::sync::atomic::{AtomicU64, Ordering};

use super::address::Seq;
use super::store::Store;

/// Counters of a store since it was opened, and its space now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Commits appended.
    pub commits: u64,
    /// Calls of `fdatasync` on the log.
    pub syncs: u64,
    /// Write calls on the log.
    pub writes: u64,
    /// Bytes written to the log, relocation included.
    pub bytes_written: u64,
    /// Bytes that collection walked over to save what was live.
    pub bytes_relocated: u64,
    /// Segments made.
    pub segments_created: u64,
    /// Segments collected.
    pub segments_removed: u64,
    /// Checkpoints taken.
    pub checkpoints: u64,
    /// Newest commit.
    pub last_seq: Seq,
    /// Newest commit in the file.
    pub written_seq: Seq,
    /// Newest commit known to be on disk.
    pub durable_seq: Seq,
    /// Whether writing stopped after a failure.
    pub poisoned: bool,
    /// The sealed segments, oldest first.
    pub segments: Vec<SegmentStats>,
}

/// Space of one sealed segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentStats {
    /// Segment number.
    pub id: u32,
    /// Bytes of the file.
    pub used_bytes: u64,
    /// Bytes of records that an engine holds live.
    pub live_bytes: u64,
}

impl StoreStats {
    /// Bytes of all sealed segments.
    pub fn used_bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.used_bytes).sum()
    }

    /// Live bytes in them.
    pub fn live_bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.live_bytes).sum()
    }
}

impl Store {
    /// The store's counters.
    ///
    /// # Complexity
    ///
    /// Linear in the number of segments.
    pub fn stats(&self) -> StoreStats {
        let log = &self.inner.core.log;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let segments = log.segments.all();
        let sealed = segments.iter().filter(|segment| segment.map().is_some());
        StoreStats {
            commits: get(&log.counters.commits),
            syncs: get(&log.counters.syncs),
            writes: get(&log.counters.writes),
            bytes_written: get(&log.counters.bytes_written),
            bytes_relocated: get(&log.counters.bytes_relocated),
            segments_created: get(&log.counters.segments_created),
            segments_removed: get(&log.counters.segments_removed),
            checkpoints: get(&log.counters.checkpoints),
            last_seq: log.last_seq(),
            written_seq: log.written_seq(),
            durable_seq: log.durable_seq(),
            poisoned: log.is_poisoned(),
            segments: sealed
                .map(|segment| SegmentStats {
                    id: segment.id,
                    used_bytes: segment.used(),
                    live_bytes: self.inner.live_in(segment.id),
                })
                .collect(),
        }
    }
}
