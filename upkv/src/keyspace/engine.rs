//! The database behind its handles: shards, the way a unit of work runs, and the memory budget.
//!
//! The budget: `used` is the sum of what shards reported. Above the limit, writers and maintenance move a
//! CLOCK hand over the shards and drop values that were not used since the hand's last pass. A value is
//! dropped only when its records are in the log; a collection with deltas gets a fresh image first.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::entry::{Entry, Home};
use super::shard::Shard;
use super::table::{Hashers, Probe, top_bits};
use super::work::{ColdRef, DEMOTE_BYTES_MIN, Loaded, Pending, Work};
use crate::error::{Error, Result};
use crate::options::DbOptions;
use crate::persist::participant::AsOf;
use crate::persist::record::{self, Body};
use crate::stats::Stats;
use crate::storage::{self, Address, Commit, Durability, ErrorKind, Mount, Timestamp};
use crate::value::{Kind, Object};

/// Times a work starts over before it reads cold values under the lock.
const RESTARTS_MAX: usize = 8;
/// Keys with less time to live than this are not demoted, in ms.
const DEMOTE_TTL_MIN: u64 = 5_000;
/// Table segments a writer sweeps when memory is over the limit.
const SWEEP_SEGMENTS: usize = 2;
/// Overdue keys removed in one commit.
const EXPIRE_BATCH: usize = 256;

/// See the module documentation.
pub(crate) struct Engine {
    pub(crate) mount: Mount,
    pub(crate) hashers: Arc<Hashers>,
    pub(crate) shards: Box<[Mutex<Shard>]>,
    pub(crate) shard_bits: u32,
    /// What the restored checkpoint already holds; used while recovering only.
    pub(crate) as_of: Mutex<AsOf>,
    memory_limit: Option<i64>,
    max_memory: Option<i64>,
    used: AtomicI64,
    /// Change of a shard's count that is reported to `used`.
    report_step: usize,
    /// Shard the CLOCK hand is at.
    hand: AtomicUsize,
    /// No sweep below this total: a whole pass found nothing to drop.
    sweep_above: AtomicI64,
    cold_reads: AtomicU64,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}

/// The keys a work declares up front.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keys<'k> {
    One(&'k [u8]),
    Many(&'k [&'k [u8]]),
    /// Shards are locked as the work meets them.
    Open,
    All,
}

impl Engine {
    pub(crate) fn new(mount: Mount, options: &DbOptions) -> Self {
        let hashers = Arc::new(Hashers::new(mount.hash_seed()));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let count = options.shards.unwrap_or_else(|| (32 * cores).max(16));
        let count = count.clamp(1, 4_096).next_power_of_two();
        let shard_bits = count.trailing_zeros();
        let shards = (0..count)
            .map(|_| Mutex::new(Shard::new(Arc::clone(&hashers), shard_bits)))
            .collect();
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        // A memory-only log would still hold what is dropped here, so demotion could not save anything.
        let memory_limit = options
            .memory_limit_bytes
            .filter(|_| !mount.is_memory())
            .map(signed);
        let max_memory = options.max_memory_bytes.map(signed);
        let least = memory_limit.into_iter().chain(max_memory).min();
        let report_step = least.map_or(usize::MAX, |limit| {
            usize::try_from(limit / 64)
                .unwrap_or(0)
                .div_euclid(count)
                .min(4_096)
        });
        Self {
            mount,
            hashers,
            shards,
            shard_bits,
            as_of: Mutex::new(AsOf::default()),
            memory_limit,
            max_memory,
            used: AtomicI64::new(0),
            report_step,
            hand: AtomicUsize::new(0),
            sweep_above: AtomicI64::new(0),
            cold_reads: AtomicU64::new(0),
        }
    }

    // --- placement

    pub(crate) fn shard_of(&self, placement: u64) -> usize {
        top_bits(placement, self.shard_bits)
    }

    /// First placement hash of a shard.
    pub(crate) fn shard_start(&self, index: usize) -> u64 {
        if self.shard_bits == 0 {
            0
        } else {
            (index as u64) << (64 - self.shard_bits)
        }
    }

    // --- running work

    /// Runs `body` with its keys locked until it went through without a restart, then commits and waits
    /// for `level`.
    pub(crate) fn run<R>(
        &self,
        level: Option<Durability>,
        keys: Keys<'_>,
        mut body: impl FnMut(&mut Work<'_>) -> Result<R>,
    ) -> Result<R> {
        let mut loaded = Vec::new();
        let mut all = false;
        for attempt in 0.. {
            let mut work = Work::new(self, std::mem::take(&mut loaded), attempt >= RESTARTS_MAX);
            Self::lock(&mut work, if all { Keys::All } else { keys })?;
            let outcome = body(&mut work);
            if let Some(pending) = work.take_pending() {
                drop(work);
                all |= matches!(pending, Pending::Locks);
                loaded = self.load(pending)?;
                continue;
            }
            let value = outcome?;
            let commit = work.commit(None)?;
            drop(work);
            self.finish(commit.as_ref(), level)?;
            return Ok(value);
        }
        unreachable!("the loop ends by returning")
    }

    pub(crate) fn lock(work: &mut Work<'_>, keys: Keys<'_>) -> Result<()> {
        match keys {
            Keys::One(key) => work.hold_keys(&[key]),
            Keys::Many(keys) => work.hold_keys(keys),
            Keys::Open => Ok(()),
            Keys::All => work.hold_all(),
        }
    }

    /// What follows a commit once no lock is held.
    pub(crate) fn finish(&self, commit: Option<&Commit>, level: Option<Durability>) -> Result<()> {
        self.relieve();
        if let Some(commit) = commit {
            self.mount.settle(commit, level)?;
        }
        Ok(())
    }

    /// Refuses writes that may grow the data when memory is used up.
    pub(crate) fn check_room(&self) -> Result<()> {
        match self.max_memory {
            Some(max) if self.used.load(Ordering::Relaxed) > max => Err(Error::OutOfMemory),
            _ => Ok(()),
        }
    }

    // --- cold values

    /// Reads what a work is waiting for. No lock is held.
    pub(crate) fn load(&self, pending: Pending) -> Result<Vec<Loaded>> {
        let Pending::Cold(wanted) = pending else {
            return Ok(Vec::new());
        };
        let mut loaded = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            match self.read_cold(&wanted) {
                Ok(object) => {
                    loaded.push(Loaded {
                        key: wanted.key,
                        chain: wanted.chain,
                        object,
                    });
                }
                // The records may have moved while they were read; then the work meets the new ones.
                Err(error) if self.is_current(&wanted) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(loaded)
    }

    fn is_current(&self, wanted: &ColdRef) -> bool {
        let probe = self.hashers.probe(&wanted.key);
        let shard = self.shards[self.shard_of(probe.placement)].lock();
        let entry = shard.table.find(probe, &wanted.key);
        entry.is_some_and(|entry| entry.slot.home.is_chain(&wanted.chain))
    }

    /// A record's body. That a read had to write out earlier commits, and could not, does not make the
    /// outcome of the caller's own operation unknown: nothing of it was appended.
    fn read(&self, at: Address) -> Result<Bytes> {
        self.mount.read(at).map_err(|error| match error.kind() {
            ErrorKind::OutcomeUnknown { cause } => Error::Storage(
                ErrorKind::Poisoned {
                    cause: cause.clone(),
                }
                .into(),
            ),
            _ => Error::Storage(error),
        })
    }

    /// Rebuilds a value from its image and deltas.
    pub(crate) fn read_cold(&self, wanted: &ColdRef) -> Result<Object> {
        self.cold_reads.fetch_add(1, Ordering::Relaxed);
        let damaged = |what| Error::Storage(storage::Error::corrupt("log", 0, what));
        let mut object = None;
        for at in &wanted.chain {
            let body = self.read(*at)?;
            let kind = if object.is_none() {
                record::IMAGE
            } else {
                record::DELTA
            };
            let parsed = Body::parse(kind, &body).ok_or_else(|| damaged("malformed value"))?;
            match (parsed, &mut object) {
                (
                    Body::Image {
                        kind, key, payload, ..
                    },
                    None,
                ) if *key == *wanted.key && kind == wanted.kind => {
                    object = Object::decode(kind, &self.hashers, payload);
                }
                (Body::Delta { key, changes, .. }, Some(object)) if *key == *wanted.key => {
                    object
                        .replay(changes)
                        .ok_or_else(|| damaged("malformed change"))?;
                }
                _ => return Err(damaged("a record belongs to another key")),
            }
        }
        object.ok_or_else(|| damaged("malformed value"))
    }

    /// The string at `key`: the short way, with the lock held only to look.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let probe = self.hashers.probe(key);
        let now = self.mount.now().as_millis();
        loop {
            let mut shard = self.shards[self.shard_of(probe.placement)].lock();
            let Some(entry) = shard.live_mut(probe, key, now) else {
                shard.stats.misses += 1;
                return Ok(None);
            };
            let (image, len) = match &entry.slot.object {
                Object::Cold {
                    kind: Kind::String,
                    len,
                } => (entry.slot.home.image(), *len as usize),
                object => {
                    let bytes = object.string_bytes().ok_or(Error::WrongType)?;
                    entry.slot.warm();
                    shard.stats.hits += 1;
                    return Ok(Some(bytes));
                }
            };
            drop(shard);
            self.cold_reads.fetch_add(1, Ordering::Relaxed);
            let body = self.read(image);
            let mut shard = self.shards[self.shard_of(probe.placement)].lock();
            let current = shard.table.find_mut(probe, key);
            let Some(entry) = current.filter(|entry| entry.slot.home.image() == image) else {
                if let (Ok(body), None) = (&body, shard.live(probe, key, now)) {
                    // Removed meanwhile: the value was there when the key was looked up.
                    return Self::payload(body, key).map(Some);
                }
                continue;
            };
            let value = Self::payload(&body?, key)?;
            let seen_before = entry.slot.warm() > 0;
            if entry.slot.object.is_cold() && (seen_before || len < DEMOTE_BYTES_MIN) {
                entry.slot.object = Object::string(&value);
                shard.stats.promoted += 1;
                shard.recount(probe, key);
                self.report_used(&mut shard);
            }
            shard.stats.hits += 1;
            drop(shard);
            self.relieve();
            return Ok(Some(value));
        }
    }

    /// The payload of a string image, without copying it.
    fn payload(body: &Bytes, key: &[u8]) -> Result<Bytes> {
        match Body::parse(record::IMAGE, body) {
            Some(Body::Image {
                kind: Kind::String,
                key: found,
                payload,
                ..
            }) if found == key => Ok(body.slice_ref(payload)),
            _ => Err(Error::Storage(storage::Error::corrupt(
                "log",
                0,
                "a record belongs to another key",
            ))),
        }
    }

    // --- memory budget

    /// Passes a shard's change of size on to the total.
    pub(crate) fn report_used(&self, shard: &mut Shard) {
        if shard.used.abs_diff(shard.reported) > self.report_step {
            let signed = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
            let change = signed(shard.used) - signed(shard.reported);
            shard.reported = shard.used;
            self.used.fetch_add(change, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_over_limit(&self) -> bool {
        self.memory_limit.is_some_and(|limit| {
            let used = self.used.load(Ordering::Relaxed);
            used > limit && used > self.sweep_above.load(Ordering::Relaxed)
        })
    }

    /// A caller's small share of the sweeping, if there is any to do.
    fn relieve(&self) {
        if self.is_over_limit() {
            // The caller's own work is done; a store that refuses says so to `maintain` and to the next write.
            let _unfinished = self.sweep(SWEEP_SEGMENTS);
        }
    }

    /// Moves the hand over up to `segments` table segments; whether memory is still over the limit.
    pub(crate) fn sweep(&self, segments: usize) -> Result<bool> {
        for _ in 0..segments {
            if !self.is_over_limit() {
                return Ok(false);
            }
            let index = self.hand.load(Ordering::Relaxed) % self.shards.len();
            // Another thread at work in this shard will be done with it by the next pass.
            let Some(mut shard) = self.shards[index].try_lock() else {
                self.hand.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let at = shard.hand;
            self.sweep_segment(&mut shard, at)?;
            self.report_used(&mut shard);
            shard.hand += 1;
            if shard.hand >= shard.table.segment_count() {
                shard.hand = 0;
                let hand = self.hand.fetch_add(1, Ordering::Relaxed) + 1;
                // Four passes bring every counter to zero; what is left then cannot be dropped.
                if hand.is_multiple_of(4 * self.shards.len()) {
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
    fn sweep_segment(&self, shard: &mut Shard, segment: usize) -> Result<()> {
        let now = self.mount.now().as_millis();
        let mut stale: Vec<Box<[u8]>> = Vec::new();
        let mut dropped = 0;
        let mut freed = 0;
        for entry in shard.table.segment_items_mut(segment) {
            if !entry.slot.cool() || !is_worth_demoting(entry, now) {
                continue;
            }
            if !entry.slot.home.deltas().is_empty() {
                stale.push(entry.key.clone());
                continue;
            }
            freed += demote(entry);
            dropped += 1;
        }
        shard.used -= freed;
        shard.stats.demoted += dropped;
        for key in stale {
            self.demote_with_image(shard, &key)?;
        }
        Ok(())
    }

    /// Writes a collection whole, so that its deltas are not needed any more, and drops it from memory.
    fn demote_with_image(&self, shard: &mut Shard, key: &[u8]) -> Result<()> {
        let probe = self.hashers.probe(key);
        let Some(entry) = shard.table.find_mut(probe, key) else {
            return Ok(());
        };
        let mut frame = self.mount.frame();
        let slot = &mut entry.slot;
        record::push_image(&mut frame, &self.mount, key, slot.expire_at, &slot.object);
        let commit = self.mount.append(&mut frame)?;
        slot.home.records().for_each(|at| self.mount.release(at));
        slot.home = Home::at(commit.address(0));
        self.mount.retain(commit.address(0));
        shard.used -= demote(entry);
        shard.stats.demoted += 1;
        Ok(())
    }

    /// Drops every value that can be dropped, whatever the limit.
    pub(crate) fn demote_all(&self) -> Result<()> {
        for shard in &self.shards {
            let mut shard = shard.lock();
            for segment in 0..shard.table.segment_count() {
                // Two bits of access counter: the fourth visit finds every one at zero.
                for _ in 0..4 {
                    self.sweep_segment(&mut shard, segment)?;
                }
            }
            self.report_used(&mut shard);
        }
        Ok(())
    }

    // --- deadlines

    /// Lists a key under its deadline and arms the shard's timer if that comes first.
    pub(crate) fn list_deadline(
        &self,
        shard: &mut Shard,
        index: usize,
        now: u64,
        deadline: u64,
        probe: Probe,
    ) {
        let slot = shard.expiry.add(now, deadline, probe);
        self.arm(shard, index, slot);
    }

    fn arm(&self, shard: &mut Shard, index: usize, at: u64) {
        let at = Timestamp::from_millis(at);
        if let Some((armed, id)) = shard.timer {
            if armed <= at {
                return;
            }
            self.mount.cancel_timer(id);
        }
        shard.timer = Some((at, self.mount.set_timer(at, index as u64)));
    }

    /// Removes overdue keys of one shard and logs that.
    pub(crate) fn expire(&self, index: usize, now: u64) -> Result<()> {
        let Some(shard) = self.shards.get(index) else {
            return Ok(());
        };
        let mut shard = shard.lock();
        let shard = &mut *shard;
        shard.timer = None;
        let due = shard.expiry.take_due(now, EXPIRE_BATCH);
        let mut frame = self.mount.frame();
        let mut overdue = Vec::new();
        for probe in due {
            let Some(entry) = shard.table.find_hashed(probe) else {
                continue;
            };
            let deadline = entry.slot.expire_at;
            if entry.slot.is_expired(now) {
                record::push_delete(&mut frame, &self.mount, &entry.key);
                overdue.push((probe, entry.key.clone()));
            } else if deadline != 0 {
                shard.expiry.add(now, deadline, probe);
            }
        }
        if !overdue.is_empty() {
            frame.mark_freeing();
            if let Err(error) = self.mount.append(&mut frame) {
                for (probe, _) in overdue {
                    shard.expiry.add(now, now, probe);
                }
                return Err(error.into());
            }
        }
        for (probe, key) in overdue {
            if let Some(entry) = shard.table.take(probe, &key) {
                entry
                    .slot
                    .home
                    .records()
                    .for_each(|at| self.mount.release(at));
                shard.discount(&entry.slot);
                shard.changed(&key);
                shard.stats.expired += 1;
            }
        }
        self.report_used(shard);
        if let Some(next) = shard.expiry.next() {
            self.arm(shard, index, next);
        }
        Ok(())
    }

    // --- counting

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        for shard in &self.shards {
            let shard = shard.lock();
            stats.keys += shard.table.len() as u64;
            stats.cold_keys += shard
                .table
                .iter()
                .filter(|e| e.slot.object.is_cold())
                .count() as u64;
            stats.used_bytes += (shard.used + shard.expiry.memory()) as u64;
            stats.hits += shard.stats.hits;
            stats.misses += shard.stats.misses;
            stats.demoted += shard.stats.demoted;
            stats.promoted += shard.stats.promoted;
            stats.expired += shard.stats.expired;
        }
        stats.cold_reads = self.cold_reads.load(Ordering::Relaxed);
        stats.log_bytes = self.mount.live_bytes();
        stats
    }

    /// Recomputes what is counted incrementally and says what disagrees.
    pub(crate) fn audit(&self) -> Result<(), String> {
        let mut live = 0;
        for (index, shard) in self.shards.iter().enumerate() {
            let shard = shard.lock();
            let mut used = 0;
            for entry in shard.table.iter() {
                used += entry.memory();
                live += entry
                    .slot
                    .home
                    .records()
                    .map(storage::Address::log_bytes)
                    .sum::<u64>();
                if entry.slot.home.is_none() {
                    return Err(format!("key {:?} is not in the log", entry.key));
                }
                if self.shard_of(self.hashers.placement(&entry.key)) != index {
                    return Err(format!("key {:?} is in the wrong shard", entry.key));
                }
            }
            if used != shard.used {
                return Err(format!(
                    "shard {index} counts {} bytes and holds {used}",
                    shard.used
                ));
            }
        }
        let counted = self.mount.live_bytes();
        if live != counted {
            return Err(format!(
                "the log counts {counted} live bytes, the keys hold {live}"
            ));
        }
        Ok(())
    }
}

fn is_worth_demoting(entry: &Entry, now: u64) -> bool {
    let slot = &entry.slot;
    let large = match &slot.object {
        Object::Int(_) | Object::Cold { .. } => false,
        Object::Bytes(bytes) => bytes.len() >= DEMOTE_BYTES_MIN,
        Object::Hash(_) | Object::Zset(_) => true,
    };
    let lasting = slot.expire_at == 0 || slot.expire_at > now.saturating_add(DEMOTE_TTL_MIN);
    large && lasting && !slot.home.is_none()
}

/// Drops a value whose image is in the log; the bytes freed.
fn demote(entry: &mut Entry) -> usize {
    let kind = entry.slot.object.kind();
    let len = match &entry.slot.object {
        Object::Bytes(bytes) => u32::try_from(bytes.len()).expect("strings are at most 512 MiB"),
        // Collections have no length that is known without decoding; only the image's size matters.
        _ => entry.slot.home.image().len,
    };
    entry.slot.object = Object::Cold { kind, len };
    let memory = entry.memory();
    let freed = entry.slot.counted - memory;
    entry.slot.counted = memory;
    freed
}
