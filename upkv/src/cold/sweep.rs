//! The memory budget: a CLOCK hand that drops values which were not used since its last pass.
//!
//! `used` is the sum of what shards reported. Above the limit, writers and maintenance move the hand over
//! the shards. A value is dropped only when its records are in the log; a collection with deltas gets a
//! fresh image first. Values under 64 bytes and keys about to expire stay.

use std::sync::atomic::Ordering;

use super::DEMOTE_BYTES_MIN;
use crate::error::Result;
use crate::keyspace::engine::Engine;
use crate::keyspace::entry::{Entry, Home};
use crate::keyspace::shard::Shard;
use crate::persist::record;
use crate::value::{Cold, Object, Seen};

/// Keys with less time to live than this are not demoted, in ms.
const DEMOTE_TTL_MIN: u64 = 5_000;
/// Table segments a writer sweeps when memory is over the limit.
const SWEEP_SEGMENTS: usize = 2;

impl Engine {
    /// Passes a shard's change of size on to the total.
    pub(crate) fn report_used(&self, shard: &mut Shard) {
        let step = self.report_step.load(Ordering::Relaxed);
        if shard.memory().abs_diff(shard.reported) > step {
            self.report_exactly(shard);
        }
    }

    /// As [`Engine::report_used`], however small the change.
    pub(crate) fn report_exactly(&self, shard: &mut Shard) {
        let signed = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        let memory = shard.memory();
        let change = signed(memory) - signed(shard.reported);
        shard.reported = memory;
        self.used.fetch_add(change, Ordering::Relaxed);
    }

    pub(crate) fn is_over_limit(&self) -> bool {
        self.memory_limit.is_some_and(|limit| {
            let used = self.used.load(Ordering::Relaxed);
            used > limit && used > self.sweep_above.load(Ordering::Relaxed)
        })
    }

    /// A caller's small share of the sweeping, if there is any to do.
    pub(crate) fn relieve(&self) {
        if self.is_over_limit() {
            // The caller's own work is done; a store that refuses says so to `maintain` and to the next write.
            let _unfinished = self.sweep(SWEEP_SEGMENTS);
        }
    }

    /// The shard that the hand points at, among those of the databases in use.
    fn under_hand(&self) -> Option<usize> {
        let count = self.in_use().count() << self.shard_bits;
        let at = self.hand.load(Ordering::Relaxed).checked_rem(count)?;
        let db = self.in_use().nth(at >> self.shard_bits)?;
        Some(self.first_shard(db) + (at & (self.shard_count() - 1)))
    }

    /// Moves the hand over up to `segments` table segments; whether memory is still over the limit.
    pub(crate) fn sweep(&self, segments: usize) -> Result<bool> {
        for _ in 0..segments {
            if !self.is_over_limit() {
                return Ok(false);
            }
            let Some(index) = self.under_hand() else {
                return Ok(false);
            };
            // Another thread at work in this shard will be done with it by the next pass.
            let Some(mut shard) = self.shard(index).try_lock() else {
                self.hand.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let at = shard.hand;
            self.sweep_segment(index, &mut shard, at)?;
            self.report_used(&mut shard);
            shard.hand += 1;
            if shard.hand >= shard.table.segment_count() {
                shard.hand = 0;
                let hand = self.hand.fetch_add(1, Ordering::Relaxed) + 1;
                // Four passes bring every counter to zero; what is left then cannot be dropped.
                if hand.is_multiple_of(4 * self.shards().count()) {
                    let used = self.used.load(Ordering::Relaxed);
                    let slack = self.memory_limit.unwrap_or(0) / 64;
                    self.sweep_above
                        .store(used.saturating_add(slack), Ordering::Relaxed);
                }
            }
        }
        Ok(self.is_over_limit())
    }

    /// Cools the entries of one segment and drops the values of those that were cold already.
    fn sweep_segment(&self, index: usize, shard: &mut Shard, segment: usize) -> Result<()> {
        let now = self.mount.now().as_millis();
        let mut stale: Vec<Box<[u8]>> = Vec::new();
        let mut dropped = 0;
        let mut freed = 0;
        for entry in shard.table.segment_items_mut(segment) {
            if !entry.cool() || !is_worth_demoting(entry, now) {
                continue;
            }
            if !entry.home().deltas().is_empty() {
                stale.push(entry.key().into());
                continue;
            }
            freed += demote(entry);
            dropped += 1;
        }
        shard.used -= freed;
        shard.stats.demoted += dropped;
        for key in stale {
            self.demote_with_image(index, shard, &key)?;
        }
        Ok(())
    }

    /// Writes a collection whole, so that its deltas are not needed any more, and drops it from memory.
    fn demote_with_image(&self, index: usize, shard: &mut Shard, key: &[u8]) -> Result<()> {
        let probe = self.hashers.probe(key);
        let Some(entry) = shard.table.find_mut(probe, key) else {
            return Ok(());
        };
        let mut frame = self.mount.frame();
        let (mount, db) = (&self.mount, self.physical_of(index));
        record::push_image(&mut frame, mount, db, key, entry.expire_at(), entry.value());
        let commit = self.mount.append(&mut frame)?;
        let memory = entry.memory();
        let before = std::mem::replace(entry.home_mut(), Home::at(commit.address(0)));
        before.records().for_each(|at| self.mount.release(at));
        self.mount.retain(commit.address(0));
        shard.used = shard.used + entry.memory() - memory;
        shard.used -= demote(entry);
        shard.stats.demoted += 1;
        Ok(())
    }

    /// Drops every value that can be dropped, whatever the limit.
    pub(crate) fn demote_all(&self) -> Result<()> {
        for (index, shard) in self.shards() {
            let mut shard = shard.lock();
            for segment in 0..shard.table.segment_count() {
                // Two bits of access counter: the fourth visit finds every one at zero.
                for _ in 0..4 {
                    self.sweep_segment(index, &mut shard, segment)?;
                }
            }
            self.report_used(&mut shard);
        }
        Ok(())
    }
}

fn is_worth_demoting(entry: &Entry, now: u64) -> bool {
    let large = match entry.value() {
        Seen::Object(Object::Int(_) | Object::Short(_) | Object::Cold { .. }) => false,
        Seen::Object(Object::Bytes(bytes)) => bytes.len() >= DEMOTE_BYTES_MIN,
        Seen::Text(text) => text.len() >= DEMOTE_BYTES_MIN,
        Seen::Object(
            Object::Hash(_)
            | Object::Zset(_)
            | Object::List(_)
            | Object::Set(_)
            | Object::Stream(_)
            | Object::Json(_),
        ) => true,
    };
    let deadline = entry.next_deadline();
    let lasting = deadline == 0 || deadline > now.saturating_add(DEMOTE_TTL_MIN);
    large && lasting && !entry.home().is_none()
}

/// Drops a value whose image is in the log; the bytes freed.
fn demote(entry: &mut Entry) -> usize {
    let before = entry.memory();
    let (kind, parts) = (entry.kind(), entry.value().parts());
    let len = match entry.value().string_len() {
        Some(len) => u32::try_from(len).expect("strings are at most 512 MiB"),
        // Collections have no length that is known without decoding; only the image's size matters.
        None => entry.home().image().len,
    };
    entry.set_value(Object::from(Cold { kind, len, parts }).into());
    before - entry.memory()
}
