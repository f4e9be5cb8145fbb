//! Eviction: what happens when the data is larger than `max_memory_bytes`.
//!
//! As in Redis, a few keys are sampled, the best candidates are kept in a small pool from one round to the
//! next, and the best of all goes. A victim is removed by a commit of its own. Demotion ([`crate::cold`])
//! is another thing: it loses nothing.
//!
//! Lock order: the pool's lock is held for a moment only, and no shard is locked meanwhile.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::access::Lfu;
use super::engine::{Engine, Keys};
use super::entry::Entry;
use super::shard::Shard;
use super::work::event::Class;
use crate::command::{Command, GROW};
use crate::error::{Error, Result};
use crate::options::{DbOptions, Eviction};
use crate::storage::Durability;

/// Candidates kept between rounds.
const POOL_MAX: usize = 16;
/// Keys one caller evicts; the next writer and maintenance go on.
const EVICT_MAX: usize = 64;
/// Rounds in which every victim had vanished, after which nothing is left to evict.
const ROUNDS_MAX: usize = 8;
/// Random keys looked at for one with a deadline, before the index of deadlines is asked.
const VOLATILE_TRIES: usize = 8;
/// Keys sampled per round unless the host says otherwise, as Redis' `maxmemory-samples`.
pub(crate) const SAMPLES: usize = 5;

/// Limit and policy, which may change at any time, and the pool.
#[derive(Debug)]
pub(crate) struct Evictor {
    /// `i64::MAX` without a limit.
    max: AtomicI64,
    policy: AtomicU8,
    samples: AtomicUsize,
    pub(crate) lfu_log_factor: AtomicI64,
    pub(crate) lfu_decay_time: AtomicI64,
    /// Sorted by score, the best candidate last.
    pool: Mutex<Vec<Candidate>>,
}

#[derive(Debug)]
struct Candidate {
    score: u64,
    shard: usize,
    key: Box<[u8]>,
}

fn signed(bytes: Option<u64>) -> i64 {
    bytes.map_or(i64::MAX, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX))
}

impl Evictor {
    pub(crate) fn new(options: &DbOptions) -> Self {
        Self {
            max: AtomicI64::new(signed(options.max_memory_bytes)),
            policy: AtomicU8::new(options.eviction as u8),
            samples: AtomicUsize::new(options.eviction_samples.unwrap_or(SAMPLES).max(1)),
            lfu_log_factor: AtomicI64::new(10),
            lfu_decay_time: AtomicI64::new(1),
            pool: Mutex::new(Vec::new()),
        }
    }

    /// Bytes above which something has to be done.
    pub(crate) fn max(&self) -> Option<i64> {
        let max = self.max.load(Ordering::Relaxed);
        (max != i64::MAX).then_some(max)
    }

    pub(crate) fn policy(&self) -> Eviction {
        let number = usize::from(self.policy.load(Ordering::Relaxed));
        Eviction::ALL.get(number).copied().unwrap_or_default()
    }

    pub(crate) fn samples(&self) -> usize {
        self.samples.load(Ordering::Relaxed)
    }

    /// Whether accesses are counted rather than timed.
    pub(crate) fn counts(&self) -> bool {
        self.policy().is_lfu()
    }

    /// How counters of accesses rise and fall.
    pub(crate) fn lfu(&self) -> Lfu {
        let number = |of: &AtomicI64| u32::try_from(of.load(Ordering::Relaxed)).unwrap_or(0);
        Lfu {
            log_factor: number(&self.lfu_log_factor),
            decay_minutes: number(&self.lfu_decay_time),
        }
    }

    fn offer(&self, score: u64, shard: usize, key: &[u8]) {
        let mut pool = self.pool.lock();
        let known = |candidate: &Candidate| candidate.shard == shard && *candidate.key == *key;
        if pool.iter().any(known) {
            return;
        }
        let at = pool.partition_point(|candidate| candidate.score < score);
        let key = key.into();
        pool.insert(at, Candidate { score, shard, key });
        if pool.len() > POOL_MAX {
            pool.remove(0);
        }
    }
}

/// How good it would be to evict a key: the higher the better.
fn score(policy: Eviction, lfu: Lfu, entry: &Entry, now: u64) -> u64 {
    match policy {
        Eviction::AllkeysLfu | Eviction::VolatileLfu => {
            u64::from(255 - entry.access().frequency(now, lfu))
        }
        Eviction::VolatileTtl => u64::MAX - entry.expire_at(),
        _ => u64::from(entry.access().idle_seconds(now)),
    }
}

impl Engine {
    /// Changes the limit while the database is in use, and evicts down to it.
    pub(crate) fn set_max_memory(&self, bytes: Option<u64>) -> Result<()> {
        self.adopt_max_memory(bytes);
        self.keep_to_max_memory()
    }

    /// Changes the limit; [`Self::keep_to_max_memory`] is to follow.
    pub(crate) fn adopt_max_memory(&self, bytes: Option<u64>) {
        self.evictor.max.store(signed(bytes), Ordering::Relaxed);
        self.set_report_step();
    }

    /// Evicts down to the limit. No lock may be held.
    pub(crate) fn keep_to_max_memory(&self) -> Result<()> {
        for (_, shard) in self.shards() {
            self.report_exactly(&mut shard.lock());
        }
        self.evict_all()
    }

    pub(crate) fn set_policy(&self, policy: Eviction) -> Result<()> {
        self.adopt_policy(policy);
        self.evict_all()
    }

    /// Changes the policy; [`Self::keep_to_max_memory`] is to follow.
    pub(crate) fn adopt_policy(&self, policy: Eviction) {
        self.evictor.policy.store(policy as u8, Ordering::Relaxed);
        self.evictor.pool.lock().clear();
    }

    pub(crate) fn set_eviction_samples(&self, count: usize) {
        self.evictor.samples.store(count.max(1), Ordering::Relaxed);
    }

    /// Bytes of keys and hot values, as far as shards have reported.
    pub(crate) fn is_over_max(&self) -> bool {
        let max = self.evictor.max.load(Ordering::Relaxed);
        self.used.load(Ordering::Relaxed) > max
    }

    /// Makes room for a write that may grow the data, or refuses it. No lock may be held.
    pub(crate) fn check_room(&self) -> Result<()> {
        if self.is_over_max() {
            self.evict_some()?;
        }
        Ok(())
    }

    /// As [`Engine::check_room_for`] inside a work, which holds locks and so cannot evict: what it adds is made
    /// up for by the next writer.
    pub(crate) fn check_room_inside(&self, command: &Command, args: &[&[u8]]) -> Result<()> {
        self.rules.check_keys(command, args)?;
        if command.has(GROW) {
            self.rules.check_capacity(self)?;
            self.check_growth_inside()
        } else {
            Ok(())
        }
    }

    /// As [`Engine::check_room_inside`] where no command is involved.
    pub(crate) fn check_growth_inside(&self) -> Result<()> {
        if self.is_over_max() && self.evictor.policy() == Eviction::NoEviction {
            return Err(Error::OutOfMemory);
        }
        Ok(())
    }

    /// Evicts until memory is below the limit or nothing can be evicted.
    fn evict_all(&self) -> Result<()> {
        while self.is_over_max() {
            match self.evict_some() {
                Ok(()) => {}
                Err(Error::OutOfMemory) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Evicts some keys; refuses if memory is over the limit and none can be evicted.
    pub(crate) fn evict_some(&self) -> Result<()> {
        let policy = self.evictor.policy();
        let (mut evicted, mut vanished) = (0, 0);
        while self.is_over_max() && evicted < EVICT_MAX {
            let victim = match policy {
                Eviction::NoEviction => None,
                _ => self.victim(policy),
            };
            let (shard, key) = victim.ok_or(Error::OutOfMemory)?;
            if self.evict(shard, &key, policy)? {
                evicted += 1;
                vanished = 0;
            } else {
                vanished += 1;
            }
            if vanished > ROUNDS_MAX {
                return Err(Error::OutOfMemory);
            }
        }
        Ok(())
    }

    /// Removes one key; whether it was there.
    fn evict(&self, index: usize, key: &[u8], policy: Eviction) -> Result<bool> {
        let db = self.swapped.logical(self.physical_of(index));
        let level = Some(Durability::Memory);
        let gone = self.run(db, level, Keys::One(key), |work| {
            let overdue = work.expire(key, 0)?;
            if overdue.keys > 0 {
                return Ok((overdue.keys, 0));
            }
            let volatile = work.entry(key)?.map(|entry| entry.expire_at() != 0);
            match volatile {
                None => return Ok((0, 0)),
                Some(false) if policy.is_volatile_only() => return Ok((0, 0)),
                Some(_) => {}
            }
            work.remove(key)?;
            work.notify(Class::EVICTED, "evicted", key);
            Ok((0, 1))
        })?;
        let mut shard = self.shard(index).lock();
        shard.stats.expired += gone.0;
        shard.stats.evicted += gone.1;
        self.report_exactly(&mut shard);
        Ok(gone != (0, 0))
    }

    /// The key that should go next, by shard and name.
    fn victim(&self, policy: Eviction) -> Option<(usize, Box<[u8]>)> {
        match policy {
            Eviction::AllkeysRandom => self.random_victim(false),
            Eviction::VolatileRandom => self.random_victim(true),
            Eviction::OptimisticVolatile => self
                .random_victim(true)
                .or_else(|| self.random_victim(false)),
            _ => {
                let now = self.mount.now().as_millis();
                let volatile = policy.is_volatile_only();
                for db in self.in_use() {
                    for (shard, key, score) in self.sample(db, policy, now, volatile) {
                        self.evictor.offer(score, shard, &key);
                    }
                }
                let best = self.evictor.pool.lock().pop();
                best.map(|candidate| (candidate.shard, candidate.key))
            }
        }
    }

    fn random_victim(&self, volatile: bool) -> Option<(usize, Box<[u8]>)> {
        let mut dbs: Vec<u8> = self.in_use().collect();
        let turn = self.mount.random() % dbs.len().max(1) as u64;
        dbs.rotate_left(usize::try_from(turn).unwrap_or(0));
        dbs.into_iter().find_map(|db| {
            let mut found = None;
            self.visit(db, 1, |index, shard| {
                let picked = self.pick(shard, Eviction::AllkeysRandom, volatile);
                found = picked.map(|entry| (index, entry.key().into()));
                found.is_some()
            });
            found
        })
    }

    /// Some keys of a database, with their scores.
    fn sample(
        &self,
        db: u8,
        policy: Eviction,
        now: u64,
        volatile: bool,
    ) -> Vec<(usize, Box<[u8]>, u64)> {
        let mut found = Vec::new();
        self.visit(db, self.evictor.samples(), |index, shard| {
            let Some(entry) = self.pick(shard, policy, volatile) else {
                return false;
            };
            found.push((
                index,
                entry.key().into(),
                score(policy, self.evictor.lfu(), entry, now),
            ));
            true
        });
        found
    }

    /// Visits shards of a database from a random one on, again and again, until `look` found enough or nothing
    /// in a whole round.
    fn visit(&self, db: u8, wanted: usize, mut look: impl FnMut(usize, &Shard) -> bool) {
        let (first, count) = (self.first_shard(db), self.shard_count());
        let start = usize::try_from(self.mount.random() % count as u64).unwrap_or(0);
        let mut found = 0;
        loop {
            let before = found;
            for step in 0..count {
                let index = first + (start + step) % count;
                found += usize::from(look(index, &self.shard(index).lock()));
                if found >= wanted {
                    return;
                }
            }
            if found == before {
                return;
            }
        }
    }

    /// Some key of a shard that the policy may evict.
    fn pick<'s>(&self, shard: &'s Shard, policy: Eviction, volatile: bool) -> Option<&'s Entry> {
        let random = || self.mount.random();
        if !volatile {
            return shard.table.pick(random());
        }
        let is_volatile = |entry: &&Entry| entry.expire_at() != 0;
        let listed = |probe| shard.table.find_hashed(probe);
        if policy == Eviction::VolatileTtl {
            let mut nearest = (0..VOLATILE_TRIES).filter_map(|_| shard.expiry.nearest(random()));
            let found = nearest.find_map(|probe| listed(probe).filter(is_volatile));
            if found.is_some() {
                return found;
            }
        }
        let picks = (0..VOLATILE_TRIES).filter_map(|_| shard.table.pick(random()));
        let found = picks.into_iter().find(is_volatile);
        found.or_else(|| {
            let all = shard.expiry.from(random());
            all.filter_map(listed).find(is_volatile)
        })
    }
}
