//! A unit of work: the shards it holds, what it changed, how to take that back, and what goes to the log.
//!
//! Every command and every transaction is one `Work`. Changes are made in memory under the locks, then
//! logged as one frame with one record per changed key, then published by noting the addresses. Whatever
//! is not committed is undone on drop, so an error, a restart or a panic leaves no trace.
//!
//! Lock order: see [`super`]. A shard below the highest one held is only tried; if that fails the work
//! restarts with all shards locked.
//!
//! This file holds the types and what reads; `change` is the primitives that change keys, `commit` how a
//! work ends.

mod change;
mod commit;
pub(crate) mod event;
mod fields;
mod functions;

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

pub(crate) use self::change::Edit;
use self::event::{Class, News, Waiting};
pub(crate) use self::fields::Expired;
use super::engine::Engine;
use super::entry::{Entry, Slot};
use super::key::Key;
use super::libraries::{Change, Libraries};
use super::shard::Shard;
use super::table::{Probe, Table};
use crate::cold::DEMOTE_BYTES_MIN;
use crate::error::{Error, Result};
use crate::storage::Address;
use crate::value::hash::{Hash, Live};
use crate::value::zset::Zset;
use crate::value::{Collection, Kind, Object, Undo};

/// How often a caller that waits for a lock looks whether a script has it for too long.
#[cfg(feature = "lua")]
const BUSY_LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(20);

/// See the module documentation.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about who runs this and how"
)]
pub struct Work<'a> {
    pub(crate) engine: &'a Engine,
    /// The time of everything in this work, in ms since the Unix epoch.
    pub(crate) now: u64,
    /// The database that keys belong to, as callers number it.
    db: u8,
    /// The same as the shards and the log number it.
    physical: u8,
    held: Held<'a>,
    touched: SmallVec<[Touched; 1]>,
    flushed: Vec<Flushed>,
    /// Logical databases to exchange.
    swaps: Vec<(u8, u8)>,
    /// Libraries of functions as they are after this work.
    #[cfg_attr(
        not(feature = "lua"),
        allow(
            dead_code,
            reason = "builds without scripts keep libraries as they are"
        )
    )]
    libraries: Option<Arc<Libraries>>,
    library_changes: Vec<Change>,
    /// Why the work must not be committed, if it must not.
    doomed: Option<Box<str>>,
    news: News,
    waiting: Option<Box<Waiting>>,
    /// Number of the client on whose behalf this runs; 0 without one.
    pub(crate) client: u64,
    /// Whether what is read counts as used.
    pub(crate) touches: bool,
    /// Whether the rights of the client are limited.
    pub(crate) restricted: bool,
    /// The key that was looked for last, with its hashes.
    last: Option<(Key, Probe)>,
    /// Whether whoever runs this is told of a script that takes long instead of waiting for its locks.
    pub(crate) told_busy: bool,
    pending: Option<Pending>,
    loaded: Vec<Loaded>,
    /// Read cold values under the lock instead of starting over once more.
    impatient: bool,
    /// The command at work only reads, so that it tells of keys it does not find.
    pub(crate) reads: bool,
}

/// Locked shards by number, in order; nearly always one.
type Held<'a> = SmallVec<[(usize, MutexGuard<'a, Shard>); 1]>;

/// Why a work has to start over.
#[derive(Debug)]
pub(crate) enum Pending {
    /// A shard was taken by somebody else; lock all of them in order.
    Locks,
    /// These values have to be read from the log first.
    Cold(Vec<ColdRef>),
    /// The database became another one before its first lock was had.
    Swapped,
}

/// A value to read while no lock is held.
#[derive(Debug)]
pub(crate) struct ColdRef {
    pub(crate) shard: usize,
    pub(crate) key: Box<[u8]>,
    pub(crate) kind: Kind,
    pub(crate) chain: Vec<Address>,
}

/// A value that was read; it counts while the key's home is still `chain`.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) shard: usize,
    pub(crate) key: Box<[u8]>,
    pub(crate) chain: Vec<Address>,
    pub(crate) object: Object,
}

/// What one work did to one key.
#[derive(Debug)]
struct Touched {
    shard: usize,
    probe: Probe,
    key: Key,
    /// Whether the whole slot was replaced or removed; `old` is what was there.
    replaced: bool,
    old: Option<Slot>,
    old_expire_at: u64,
    /// When the key or a part of it was due next; 0 if never.
    old_deadline: u64,
    /// Whether a part of the value changed.
    edited: bool,
    undo: SmallVec<[Undo; 1]>,
    /// The changes of parts, as they go to the log; empty where nothing is logged.
    delta: Vec<u8>,
    /// Whether changes go to the log.
    logged: bool,
    records: Records,
}

/// Indexes in the frame of what was logged for a key.
#[derive(Clone, Copy, Debug, Default)]
struct Records {
    image: Option<usize>,
    delta: Option<usize>,
    expire: Option<usize>,
}

/// The state of one database before its first flush in a work.
#[derive(Debug)]
struct Flushed {
    physical: u8,
    tables: Vec<Table<Box<Entry>>>,
    touched: SmallVec<[Touched; 1]>,
}

enum Place {
    Hot { held: usize, probe: Probe },
    Loaded(usize),
}

impl std::fmt::Debug for Work<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work")
            .field("touched", &self.touched.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Work<'a> {
    pub(crate) fn new(engine: &'a Engine, db: u8, loaded: Vec<Loaded>, impatient: bool) -> Self {
        Self {
            engine,
            now: engine.mount.now().as_millis(),
            db,
            physical: engine.swapped.physical(db),
            held: SmallVec::new(),
            touched: SmallVec::new(),
            flushed: Vec::new(),
            swaps: Vec::new(),
            libraries: None,
            library_changes: Vec::new(),
            doomed: None,
            news: News::default(),
            waiting: None,
            last: None,
            client: 0,
            touches: true,
            restricted: false,
            told_busy: false,
            pending: None,
            loaded,
            impatient,
            reads: false,
        }
    }

    /// The database that keys belong to.
    pub(crate) fn db(&self) -> u8 {
        self.db
    }

    /// From here on keys belong to another database.
    pub(crate) fn select(&mut self, db: u8) {
        (self.db, self.physical) = (db, self.physical_of(db));
    }

    /// Which database has that number, once what this work swaps is swapped.
    fn physical_of(&self, db: u8) -> u8 {
        let before = self.swaps.iter().rev().fold(db, |db, (a, b)| match db {
            db if db == *a => *b,
            db if db == *b => *a,
            db => db,
        });
        self.engine.swapped.physical(before)
    }

    /// Lets `body` work on the keys of another database.
    pub(crate) fn at_db<R>(
        &mut self,
        db: u8,
        body: impl FnOnce(&mut Self) -> Result<R>,
    ) -> Result<R> {
        let before = (self.db, self.physical);
        (self.db, self.physical) = (db, self.physical_of(db));
        let outcome = body(self);
        (self.db, self.physical) = before;
        outcome
    }

    /// Locks every shard of the database, in order.
    pub(crate) fn hold_all(&mut self) -> Result<()> {
        self.local_shards()
            .try_for_each(|index| self.hold(index).map(drop))
    }

    /// Locks every shard of all databases that were ever used, in order.
    pub(crate) fn hold_every(&mut self) -> Result<()> {
        let engine = self.engine;
        engine
            .shards()
            .try_for_each(|(index, _)| self.hold(index).map(drop))
    }

    /// Numbers of the shards of the database.
    pub(crate) fn local_shards(&self) -> std::ops::Range<usize> {
        let first = self.engine.first_shard(self.physical);
        first..first + self.engine.shard_count()
    }

    /// Number of the shard that a key of the database belongs to.
    pub(crate) fn shard_of(&self, placement: u64) -> usize {
        self.local_shards().start + self.engine.shard_of(placement)
    }

    /// Locks the shards of `keys`, in order.
    pub(crate) fn hold_keys(&mut self, keys: &[&[u8]]) -> Result<()> {
        if let [key] = keys {
            return self.place(key).map(drop);
        }
        let mut shards: Vec<usize> = keys
            .iter()
            .map(|key| self.shard_of(self.engine.hashers.placement(key)))
            .collect();
        shards.sort_unstable();
        shards.dedup();
        shards
            .into_iter()
            .try_for_each(|index| self.hold(index).map(drop))
    }

    /// Locks one shard, or asks for a restart; its position in `held`.
    fn hold(&mut self, index: usize) -> Result<usize> {
        if let [(only, _)] = &self.held[..]
            && *only == index
        {
            return Ok(0);
        }
        match self.held.binary_search_by_key(&index, |(shard, _)| *shard) {
            Ok(at) => Ok(at),
            Err(at) => {
                let shard = self.engine.shard(index);
                let guard = if at == self.held.len() {
                    self.wait_for_shard(shard, index)?
                } else if let Some(guard) = shard.try_lock() {
                    guard
                } else {
                    self.pending = Some(Pending::Locks);
                    return Err(Error::Restart);
                };
                self.held.insert(at, (index, guard));
                // A swap holds all shards of both databases: from here on the number stays true.
                if self.physical_of(self.db) != self.physical {
                    self.pending = Some(Pending::Swapped);
                    return Err(Error::Restart);
                }
                Ok(at)
            }
        }
    }

    /// Both hashes of a key; a command mostly asks for the same one again and again.
    fn probe(&mut self, key: &[u8]) -> Probe {
        if let Some((last, probe)) = &self.last
            && **last == *key
        {
            return *probe;
        }
        let probe = self.engine.hashers.probe(key);
        self.last = Key::in_place(key).map(|key| (key, probe));
        probe
    }

    #[cfg_attr(
        not(feature = "lua"),
        expect(
            clippy::unnecessary_wraps,
            clippy::unused_self,
            reason = "only scripts keep a lock for long"
        )
    )]
    fn wait_for_shard(
        &self,
        shard: &'a Mutex<Shard>,
        index: usize,
    ) -> Result<MutexGuard<'a, Shard>> {
        #[cfg(feature = "lua")]
        if self.told_busy {
            loop {
                if let Some(guard) = shard.try_lock_for(BUSY_LOOK_EVERY) {
                    return Ok(guard);
                }
                self.engine.check_not_busy_at(index)?;
            }
        }
        let _ = index;
        Ok(shard.lock())
    }

    /// Numbers of the shards that are locked.
    #[cfg(feature = "lua")]
    pub(crate) fn held_shards(&self) -> impl Iterator<Item = usize> {
        self.held.iter().map(|(index, _)| *index)
    }

    /// Whether a key that this changed takes more than `bytes` now, and more than before.
    pub(crate) fn grew_beyond(&self, bytes: u64) -> bool {
        self.touched.iter().any(|touched| {
            let (_, shard) = &self.held[position(&self.held, touched.shard)];
            let entry = shard.table.find(touched.probe, &touched.key);
            entry.is_some_and(|entry| {
                let before = match &touched.old {
                    Some(slot) => slot.counted,
                    None => entry.slot.counted,
                };
                let now = entry.memory();
                now as u64 > bytes && now > before
            })
        })
    }

    fn place(&mut self, key: &[u8]) -> Result<(usize, Probe)> {
        let probe = self.probe(key);
        let held = self.hold(self.shard_of(probe.placement))?;
        Ok((held, probe))
    }

    /// A locked shard, by number.
    pub(crate) fn shard(&mut self, index: usize) -> Result<&mut Shard> {
        let held = self.hold(index)?;
        Ok(&mut self.held[held].1)
    }

    /// Why the work must start over, if it must.
    pub(crate) fn take_pending(&mut self) -> Option<Pending> {
        self.pending.take()
    }
    // --- reading

    /// The key if it exists; its value may be cold.
    pub(crate) fn entry(&mut self, key: &[u8]) -> Result<Option<&Entry>> {
        let now = self.now;
        let (held, probe) = self.place(key)?;
        Ok(self.held[held].1.live(probe, key, now))
    }

    /// Whether the key exists; counts a hit or a miss.
    pub(crate) fn exists(&mut self, key: &[u8]) -> Result<bool> {
        let now = self.now;
        let (held, probe) = self.place(key)?;
        let shard = &mut self.held[held].1;
        let found = shard.live(probe, key, now).is_some();
        if found {
            shard.stats.hits += 1;
        } else {
            shard.stats.misses += 1;
            self.tell_miss(key);
        }
        Ok(found)
    }

    fn tell_miss(&mut self, key: &[u8]) {
        if self.reads {
            self.notify(Class::MISS, "keymiss", key);
        }
    }

    /// The type of the key's value.
    pub(crate) fn kind(&mut self, key: &[u8]) -> Result<Option<Kind>> {
        Ok(self.entry(key)?.map(|entry| entry.slot.object.kind()))
    }

    /// The value, read from the log if it is cold.
    pub(crate) fn object(&mut self, key: &[u8]) -> Result<Option<&Object>> {
        let now = self.now;
        match self.resolve(key, false)? {
            None => Ok(None),
            Some(Place::Loaded(at)) => Ok(Some(&self.loaded[at].object)),
            Some(Place::Hot { held, probe }) => Ok(self.held[held]
                .1
                .live(probe, key, now)
                .map(|entry| &entry.slot.object)),
        }
    }

    /// Lets `body` look at values without that counting as use.
    pub(crate) fn quietly<R>(&mut self, body: impl FnOnce(&mut Self) -> R) -> R {
        let touches = std::mem::replace(&mut self.touches, false);
        let reads = std::mem::replace(&mut self.reads, false);
        let outcome = body(self);
        (self.touches, self.reads) = (touches, reads);
        outcome
    }

    /// Notes that a key was used, whatever it holds; whether it exists.
    pub(crate) fn refresh(&mut self, key: &[u8]) -> Result<bool> {
        let found = self.exists(key)?;
        let (now, engine) = (self.now, self.engine);
        let (held, probe) = self.place(key)?;
        if let Some(entry) = self.held[held].1.live_mut(probe, key, now) {
            engine.note_use(&mut entry.slot, now);
        }
        Ok(found)
    }

    /// The collection at `key`.
    pub(crate) fn read<T: Collection>(&mut self, key: &[u8]) -> Result<Option<&T>> {
        if let Some((held, probe, ())) = self.use_if(key, |slot| T::of(&slot.object).map(|_| ()))? {
            let entry = self.held[held].1.table.find(probe, key);
            return Ok(entry.and_then(|entry| T::of(&entry.slot.object)));
        }
        self.expect_kind(key, T::KIND)?;
        let object = self.object(key)?;
        object
            .map(|object| T::of(object).ok_or(Error::WrongType))
            .transpose()
    }

    /// Counts the use of a live key if `look` makes something of it, with one search where the ordinary way takes
    /// several; else nothing is noted.
    fn use_if<R>(
        &mut self,
        key: &[u8],
        look: impl FnOnce(&Slot) -> Option<R>,
    ) -> Result<Option<(usize, Probe, R)>> {
        let (now, engine, touches) = (self.now, self.engine, self.touches);
        let (held, probe) = self.place(key)?;
        let shard = &mut *self.held[held].1;
        let Some(entry) = shard.live_mut(probe, key, now) else {
            return Ok(None);
        };
        let Some(seen) = look(&entry.slot) else {
            return Ok(None);
        };
        if touches {
            engine.note_use(&mut entry.slot, now);
        }
        shard.stats.hits += 1;
        Ok(Some((held, probe, seen)))
    }

    /// The hash at `key`, without overdue fields; `None` if it has no others.
    pub(crate) fn hash(&mut self, key: &[u8]) -> Result<Option<Live<'_>>> {
        let now = self.now;
        let hash = self.read::<Hash>(key)?.map(|hash| hash.live(now));
        Ok(hash.filter(|hash| hash.len() > 0))
    }

    /// The sorted set at `key`.
    pub(crate) fn zset(&mut self, key: &[u8]) -> Result<Option<&Zset>> {
        self.read(key)
    }

    /// Refuses a key of another type without reading its value.
    pub(crate) fn expect_kind(&mut self, key: &[u8], kind: Kind) -> Result<()> {
        match self.kind(key)? {
            Some(found) if found != kind => Err(Error::WrongType),
            _ => Ok(()),
        }
    }

    /// Asks for all cold strings among `keys` at once, so that a command over many keys starts over once.
    pub(crate) fn prefetch_strings(&mut self, keys: &[&[u8]]) -> Result<()> {
        let mut wanted = Vec::new();
        for key in keys {
            let now = self.now;
            let (held, probe) = self.place(key)?;
            let shard = self.held[held].0;
            let known = |loaded: &Loaded, entry: &Entry| {
                loaded.shard == shard
                    && *loaded.key == **key
                    && entry.slot.home.is_chain(&loaded.chain)
            };
            if let Some(entry) = self.held[held].1.live(probe, key, now)
                && matches!(
                    entry.slot.object,
                    Object::Cold {
                        kind: Kind::String,
                        ..
                    }
                )
                && !self.loaded.iter().any(|loaded| known(loaded, entry))
            {
                wanted.push(cold_ref(shard, entry));
            }
        }
        if wanted.is_empty() || self.impatient {
            return Ok(());
        }
        self.pending = Some(Pending::Cold(wanted));
        Err(Error::Restart)
    }

    /// Finds a key's value and brings it into memory where it is used twice or `install` asks for it.
    fn resolve(&mut self, key: &[u8], install: bool) -> Result<Option<Place>> {
        let now = self.now;
        let (held, probe) = self.place(key)?;
        let (index, shard) = &mut self.held[held];
        let (index, shard) = (*index, &mut **shard);
        let engine = self.engine;
        let touches = self.touches;
        let note_use = |slot: &mut Slot| {
            if touches {
                engine.note_use(slot, now)
            } else {
                slot.heat()
            }
        };
        let Some(entry) = shard.live_mut(probe, key, now) else {
            shard.stats.misses += 1;
            self.tell_miss(key);
            return Ok(None);
        };
        let Object::Cold { kind, len, .. } = entry.slot.object else {
            note_use(&mut entry.slot);
            shard.stats.hits += 1;
            return Ok(Some(Place::Hot { held, probe }));
        };
        let known = |loaded: &Loaded| {
            loaded.shard == index && *loaded.key == *key && entry.slot.home.is_chain(&loaded.chain)
        };
        let at = match self.loaded.iter().position(known) {
            Some(at) => at,
            None if self.impatient => {
                let wanted = cold_ref(index, entry);
                let object = self.engine.read_cold(&wanted)?;
                self.loaded.push(Loaded {
                    shard: index,
                    key: wanted.key,
                    chain: wanted.chain,
                    object,
                });
                self.loaded.len() - 1
            }
            None => {
                self.pending = Some(Pending::Cold(vec![cold_ref(index, entry)]));
                return Err(Error::Restart);
            }
        };
        debug_assert_eq!(self.loaded[at].object.kind(), kind);
        let seen_before = note_use(&mut entry.slot) > 0;
        if !install && !seen_before && len as usize >= DEMOTE_BYTES_MIN {
            shard.stats.hits += 1;
            return Ok(Some(Place::Loaded(at)));
        }
        entry.slot.object = self.loaded.swap_remove(at).object;
        shard.stats.hits += 1;
        shard.stats.promoted += 1;
        shard.recount(probe, key);
        Ok(Some(Place::Hot { held, probe }))
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        if !self.touched.is_empty() || !self.flushed.is_empty() {
            self.rollback();
        }
        for (_, shard) in &mut self.held {
            self.engine.report_used(shard);
        }
    }
}

fn cold_ref(shard: usize, entry: &Entry) -> ColdRef {
    ColdRef {
        shard,
        key: (*entry.key).into(),
        kind: entry.slot.object.kind(),
        chain: entry.slot.home.chain(),
    }
}

fn position(held: &[(usize, MutexGuard<'_, Shard>)], shard: usize) -> usize {
    held.binary_search_by_key(&shard, |(index, _)| *index)
        .expect("a touched shard stays locked")
}
