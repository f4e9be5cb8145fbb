//! The database behind its handles: shards, the way a unit of work runs, deadlines, and counts.
//!
//! Reading cold values and the memory budget are in [`crate::cold`].

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::entry::Entry;
use super::evict::Evictor;
use super::key::Key;
use super::libraries::Shared;
use super::shard::Shard;
use super::table::{Hashers, Probe, top_bits};
use super::work::event::{Class, Told};
use super::work::{Expired, Pending, Work};
use crate::command::{self, Command};
use crate::error::Result;
use crate::options::DbOptions;
use crate::persist::participant::AsOf;
use crate::profile::Rules;
use crate::server::Server;
use crate::stats::Stats;
use crate::storage::{self, Commit, Durability, Mount, Timestamp};

/// Times a work starts over before it reads cold values under the lock.
const RESTARTS_MAX: usize = 8;
/// Overdue keys removed in one commit.
const EXPIRE_BATCH: usize = 256;
/// Overdue fields of one hash removed in one commit.
const EXPIRE_FIELDS: usize = 1_024;

/// Databases in one mount, as in Redis.
pub(crate) const DATABASES: u8 = 16;

/// See the module documentation.
pub(crate) struct Engine {
    pub(crate) mount: Mount,
    pub(crate) hashers: Arc<Hashers>,
    /// The databases that were ever used, by physical number.
    databases: [OnceLock<Box<[Mutex<Shard>]>>; DATABASES as usize],
    /// Which physical database a logical one is; changes only under the locks of all shards of both.
    pub(crate) swapped: Swapped,
    pub(crate) libraries: Shared,
    #[cfg(feature = "lua")]
    pub(crate) scripts: crate::script::Scripts,
    pub(crate) shard_bits: u32,
    /// What the restored checkpoint already holds; used while recovering only.
    pub(crate) as_of: Mutex<AsOf>,
    pub(crate) memory_limit: Option<i64>,
    pub(crate) evictor: Evictor,
    pub(crate) used: AtomicI64,
    /// Change of a shard's count that is reported to `used`.
    pub(crate) report_step: AtomicUsize,
    /// Shard the CLOCK hand is at.
    pub(crate) hand: AtomicUsize,
    /// No sweep below this total: a whole pass found nothing to drop.
    pub(crate) sweep_above: AtomicI64,
    pub(crate) cold_reads: AtomicU64,
    /// What all sessions share.
    pub(crate) server: Server,
    /// How the database behaves, and what it limits.
    pub(crate) rules: Rules,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("shards", &self.shard_count())
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
    /// All shards of the database.
    All,
    /// All shards of all databases.
    Every,
}

/// On whose behalf a work runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) db: u8,
    pub(crate) level: Option<Durability>,
    /// Number of the client; 0 without one.
    pub(crate) client: u64,
    /// Whether what it reads counts as used.
    pub(crate) touches: bool,
    /// Whether its user has to be asked for before another command runs on its behalf.
    pub(crate) restricted: bool,
    /// Whether it is told that a script takes long instead of waiting for that one's locks.
    pub(crate) told_busy: bool,
}

/// A work that went through, before anybody waits for its commit.
pub(crate) struct Ran<R> {
    pub(crate) value: R,
    pub(crate) commit: Option<Commit>,
    pub(crate) told: Told,
}

impl Engine {
    pub(crate) fn new(mount: Mount, options: &DbOptions) -> Self {
        let hashers = Arc::new(Hashers::new(mount.hash_seed(), || mount.random()));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let count = options.shards.unwrap_or_else(|| (32 * cores).max(16));
        let count = count.clamp(1, 4_096).next_power_of_two();
        let shard_bits = count.trailing_zeros();
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        // A memory-only log would still hold what is dropped here, so demotion could not save anything.
        let memory_limit = options
            .memory_limit_bytes
            .filter(|_| !mount.is_memory())
            .map(signed);
        let engine = Self {
            mount,
            hashers,
            databases: std::array::from_fn(|_| OnceLock::new()),
            swapped: Swapped::default(),
            libraries: Shared::default(),
            #[cfg(feature = "lua")]
            scripts: crate::script::Scripts::new(options.script_limits),
            shard_bits,
            as_of: Mutex::new(AsOf::default()),
            memory_limit,
            evictor: Evictor::new(options),
            used: AtomicI64::new(0),
            report_step: AtomicUsize::new(usize::MAX),
            hand: AtomicUsize::new(0),
            sweep_above: AtomicI64::new(0),
            cold_reads: AtomicU64::new(0),
            server: Server::default(),
            rules: options.rules,
        };
        engine.set_report_step();
        let (clock, now) = (engine.mount.clock(), engine.mount.now());
        engine.server.start(clock.monotonic(), now.as_millis());
        engine
    }

    /// Lets shards report so often that the total is off by a small part of the lowest limit only.
    pub(crate) fn set_report_step(&self) {
        let least = self
            .memory_limit
            .into_iter()
            .chain(self.evictor.max())
            .chain(self.rules.limits.capacity())
            .min();
        let step = least.map_or(usize::MAX, |limit| {
            usize::try_from(limit / 64)
                .unwrap_or(0)
                .div_euclid(self.shard_count())
                .min(4_096)
        });
        self.report_step.store(step, Ordering::Relaxed);
    }

    /// Bytes in memory, as far as shards have reported, or in the log, whichever is more.
    pub(crate) fn size(&self) -> u64 {
        let used = u64::try_from(self.used.load(Ordering::Relaxed)).unwrap_or(0);
        used.max(self.mount.live_bytes())
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

    /// Shards of one database.
    pub(crate) fn shard_count(&self) -> usize {
        1 << self.shard_bits
    }

    /// Number of the first shard of a physical database.
    pub(crate) fn first_shard(&self, physical: u8) -> usize {
        usize::from(physical) << self.shard_bits
    }

    /// The physical database that a shard belongs to.
    pub(crate) fn physical_of(&self, index: usize) -> u8 {
        u8::try_from(index >> self.shard_bits).expect("16 databases")
    }

    /// A shard by its number, which counts through all databases.
    pub(crate) fn shard(&self, index: usize) -> &Mutex<Shard> {
        let database = self.databases[usize::from(self.physical_of(index))].get_or_init(|| {
            let new = |_| Mutex::new(Shard::new(Arc::clone(&self.hashers), self.shard_bits));
            (0..self.shard_count()).map(new).collect()
        });
        &database[index & (self.shard_count() - 1)]
    }

    /// Physical numbers of the databases that were ever used.
    pub(crate) fn in_use(&self) -> impl Iterator<Item = u8> + '_ {
        (0..DATABASES).filter(|db| self.databases[usize::from(*db)].get().is_some())
    }

    /// The shards of all databases that were ever used, with their numbers, in order.
    pub(crate) fn shards(&self) -> impl Iterator<Item = (usize, &Mutex<Shard>)> {
        self.in_use().flat_map(|physical| {
            let first = self.first_shard(physical);
            (first..first + self.shard_count()).map(|index| (index, self.shard(index)))
        })
    }

    // --- running work

    /// Runs `body` with its keys locked until it went through without a restart, then commits and waits
    /// for `level`.
    pub(crate) fn run<R>(
        &self,
        db: u8,
        level: Option<Durability>,
        keys: Keys<'_>,
        body: impl FnMut(&mut Work<'_>) -> Result<R>,
    ) -> Result<R> {
        let caller = Caller {
            db,
            level,
            client: 0,
            touches: true,
            restricted: false,
            told_busy: false,
        };
        let ran = self.run_as(caller, keys, body)?;
        self.finish(ran, level)
    }

    /// Runs `body` with its keys locked until it went through without a restart, and commits.
    pub(crate) fn run_as<R>(
        &self,
        caller: Caller,
        keys: Keys<'_>,
        mut body: impl FnMut(&mut Work<'_>) -> Result<R>,
    ) -> Result<Ran<R>> {
        let mut loaded = Vec::new();
        let mut all = false;
        for attempt in 0.. {
            let impatient = attempt >= RESTARTS_MAX;
            let mut work = Work::new(self, caller.db, std::mem::take(&mut loaded), impatient);
            work.client = caller.client;
            work.touches = caller.touches;
            work.restricted = caller.restricted;
            work.told_busy = caller.told_busy;
            let locked = Self::lock(&mut work, if all { Keys::Every } else { keys });
            let outcome = locked.and_then(|()| body(&mut work));
            if let Some(pending) = work.take_pending() {
                drop(work);
                all |= matches!(pending, Pending::Locks);
                loaded = self.load(pending)?;
                continue;
            }
            let value = outcome?;
            let commit = work.commit(None)?;
            let told = work.tell();
            drop(work);
            return Ok(Ran {
                value,
                commit,
                told,
            });
        }
        unreachable!("the loop ends by returning")
    }

    pub(crate) fn lock(work: &mut Work<'_>, keys: Keys<'_>) -> Result<()> {
        match keys {
            Keys::One(key) => work.hold_keys(&[key]),
            Keys::Many(keys) => work.hold_keys(keys),
            Keys::Open => Ok(()),
            Keys::All => work.hold_all(),
            Keys::Every => work.hold_every(),
        }
    }

    /// What follows a commit once no lock is held: others hear of it, and it becomes as durable as asked.
    pub(crate) fn finish<R>(&self, ran: Ran<R>, level: Option<Durability>) -> Result<R> {
        let Told { wakes, ready } = ran.told;
        drop(wakes);
        if !ready.is_empty() {
            self.serve(ready);
        }
        self.relieve();
        if let Some(commit) = &ran.commit {
            self.mount.settle(commit, level)?;
        }
        Ok(ran.value)
    }

    /// Waits until everything committed so far is as durable as asked.
    pub(crate) fn settle_all(&self, level: Option<Durability>) -> Result<()> {
        Ok(self.mount.settle_up_to(self.mount.last_seq(), level)?)
    }

    /// Whether anybody wants to hear of such events.
    pub(crate) fn notifies(&self, class: Class) -> bool {
        self.server.events.wants(class)
    }

    /// Refuses a command that may grow the data when memory is used up.
    pub(crate) fn check_room_for(&self, command: &Command, args: &[&[u8]]) -> Result<()> {
        self.rules.check_keys(command, args)?;
        if command.has(command::GROW) {
            self.rules.check_capacity(self)?;
            self.check_room()
        } else {
            Ok(())
        }
    }

    /// Refuses a command while a script that locks everything has run for too long.
    #[cfg(not(feature = "lua"))]
    #[expect(
        clippy::unnecessary_wraps,
        clippy::unused_self,
        reason = "there are no scripts in this build"
    )]
    pub(crate) fn check_not_busy(&self, _command: &Command) -> Result<()> {
        Ok(())
    }

    /// Notes that a key was used; the state of its access counter before.
    pub(crate) fn note_use(&self, entry: &mut Entry, now: u64) -> u8 {
        let lfu = self.evictor.counts().then(|| self.evictor.lfu());
        let mut access = entry.access();
        access.note(now, lfu, || self.mount.random());
        entry.set_access(access);
        entry.warm()
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
        shard.tidy_deadlines(now);
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

    /// Removes overdue keys and fields of one shard and logs that.
    pub(crate) fn expire(&self, index: usize, now: u64) -> Result<()> {
        if index >> self.shard_bits >= usize::from(DATABASES) {
            return Ok(());
        }
        let mut keys = Vec::new();
        let due = {
            let mut shard = self.shard(index).lock();
            shard.timer = None;
            let due = shard.expiry.take_due(now, EXPIRE_BATCH);
            for entry in due.iter().filter_map(|at| shard.table.find_hashed(*at)) {
                let deadline = entry.next_deadline();
                if deadline != 0 && deadline <= now {
                    keys.push(Key::from(entry.key()));
                }
            }
            due
        };
        // If the databases are swapped meanwhile, the keys are not found and come up once more.
        let db = self.swapped.logical(self.physical_of(index));
        let keys: Vec<&[u8]> = keys.iter().map(|key| &**key).collect();
        let outcome = self.run(db, Some(Durability::Memory), Keys::Many(&keys), |work| {
            let mut sum = Expired::default();
            for key in &keys {
                let expired = work.expire(key, EXPIRE_FIELDS)?;
                sum.keys += expired.keys;
                sum.fields += expired.fields;
            }
            Ok(sum)
        });
        let mut shard = self.shard(index).lock();
        let shard = &mut *shard;
        for probe in due {
            if let Some(entry) = shard.table.find_hashed(probe) {
                let deadline = entry.next_deadline();
                if deadline != 0 {
                    shard.expiry.add(now, deadline, probe);
                }
            }
        }
        let expired = outcome?;
        shard.stats.expired += expired.keys;
        shard.stats.expired_fields += expired.fields;
        if let Some(next) = shard.expiry.next() {
            self.arm(shard, index, next);
        }
        Ok(())
    }

    // --- counting

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        for (_, shard) in self.shards() {
            let shard = shard.lock();
            stats.keys += shard.table.len() as u64;
            stats.cold_keys += shard
                .table
                .iter()
                .filter(|entry| entry.value().is_cold())
                .count() as u64;
            stats.used_bytes += shard.memory() as u64;
            stats.hits += shard.stats.hits;
            stats.misses += shard.stats.misses;
            stats.demoted += shard.stats.demoted;
            stats.promoted += shard.stats.promoted;
            stats.evicted += shard.stats.evicted;
            stats.expired += shard.stats.expired;
            stats.expired_fields += shard.stats.expired_fields;
        }
        stats.cold_reads = self.cold_reads.load(Ordering::Relaxed);
        stats.log_bytes = self.mount.live_bytes();
        let server = &self.server;
        stats.clients = server.clients.len() as u64;
        stats.clients_accepted = server.clients.accepted();
        stats.blocked_callers = server.blocked.count() as u64;
        stats.tracking_clients = server.tracking.clients() as u64;
        stats.tracked_keys = server.tracking.keys() as u64;
        stats
    }

    /// Counts from zero what is not counted in shards.
    pub(crate) fn reset_counters(&self) {
        self.cold_reads.store(0, Ordering::Relaxed);
        self.server.clients.reset_accepted();
    }

    /// Recomputes what is counted incrementally and says what disagrees.
    pub(crate) fn audit(&self) -> Result<(), String> {
        let mut live = 0;
        for (index, shard) in self.shards() {
            let shard = shard.lock();
            let mut used = 0;
            for entry in shard.table.iter() {
                used += entry.memory();
                live += entry
                    .home()
                    .records()
                    .map(storage::Address::log_bytes)
                    .sum::<u64>();
                if entry.home().is_none() != self.mount.is_memory() {
                    return Err(format!("{entry:?} is not in the log, or should not be"));
                }
                if self.shard_of(self.hashers.placement(entry.key()))
                    != index & (self.shard_count() - 1)
                {
                    return Err(format!("{entry:?} is in the wrong shard"));
                }
            }
            if !shard.expiry.audit() {
                return Err(format!("shard {index} miscounts its deadlines"));
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

/// Which physical database each logical one is.
#[derive(Debug)]
pub(crate) struct Swapped {
    map: [AtomicU8; DATABASES as usize],
    /// Held while a swap is logged and made, and while the map is copied for a checkpoint.
    pub(crate) change: Mutex<()>,
}

impl Default for Swapped {
    fn default() -> Self {
        let mut next = 0..DATABASES;
        Self {
            map: std::array::from_fn(|_| AtomicU8::new(next.next().unwrap_or(0))),
            change: Mutex::new(()),
        }
    }
}

impl Swapped {
    pub(crate) fn physical(&self, logical: u8) -> u8 {
        // Acquire pairs with the Release in `swap`; who holds a shard lock then sees what holds.
        self.map[usize::from(logical)].load(Ordering::Acquire)
    }

    pub(crate) fn logical(&self, physical: u8) -> u8 {
        let found = (0..DATABASES).find(|logical| self.physical(*logical) == physical);
        found.expect("the map is a permutation")
    }

    /// Exchanges two logical databases. The caller holds `change`, and all shards of both while sessions run.
    pub(crate) fn swap(&self, a: u8, b: u8) {
        let (first, second) = (self.physical(a), self.physical(b));
        self.map[usize::from(a)].store(second, Ordering::Release);
        self.map[usize::from(b)].store(first, Ordering::Release);
    }

    pub(crate) fn copy(&self) -> [u8; DATABASES as usize] {
        std::array::from_fn(|at| self.map[at].load(Ordering::Acquire))
    }

    /// Takes over a map; whether it is a permutation.
    pub(crate) fn restore(&self, map: [u8; DATABASES as usize]) -> bool {
        let mut seen = [false; DATABASES as usize];
        for physical in map {
            match seen.get_mut(usize::from(physical)) {
                Some(seen) if !*seen => *seen = true,
                _ => return false,
            }
        }
        for (slot, physical) in self.map.iter().zip(map) {
            slot.store(physical, Ordering::Release);
        }
        true
    }
}
