//! A unit of work: the shards it holds, what it changed, how to take that back, and what goes to the log.
//!
//! Every command and every transaction is one `Work`. Changes are made in memory under the locks, then
//! logged as one frame with one record per changed key, then published by noting the addresses. Whatever
//! is not committed is undone on drop, so an error, a restart or a panic leaves no trace.
//!
//! Lock order: see [`super`]. A shard below the highest one held is only tried; if that fails the work
//! restarts with all shards locked.

use std::ops::Deref;

use parking_lot::MutexGuard;

use super::engine::Engine;
use super::entry::{Entry, Home, Slot};
use super::shard::Shard;
use super::table::{Probe, Table};
use crate::error::{Error, Result};
use crate::persist::record;
use crate::storage::{self, Address, Commit, Frame};
use crate::value::hash::Hash;
use crate::value::zset::Zset;
use crate::value::{Kind, Object, Undo};

/// Strings shorter than this stay in memory: dropping them would gain nothing.
pub(crate) const DEMOTE_BYTES_MIN: usize = 64;

/// See the module documentation.
pub struct Work<'a> {
    pub(crate) engine: &'a Engine,
    /// The time of everything in this work, in ms since the Unix epoch.
    pub(crate) now: u64,
    held: Vec<(usize, MutexGuard<'a, Shard>)>,
    touched: Vec<Touched>,
    flushed: Option<Flushed>,
    pending: Option<Pending>,
    loaded: Vec<Loaded>,
    /// Read cold values under the lock instead of starting over once more.
    impatient: bool,
}

/// Why a work has to start over.
#[derive(Debug)]
pub(crate) enum Pending {
    /// A shard was taken by somebody else; lock all of them in order.
    Locks,
    /// These values have to be read from the log first.
    Cold(Vec<ColdRef>),
}

/// A value to read while no lock is held.
#[derive(Debug)]
pub(crate) struct ColdRef {
    pub(crate) key: Box<[u8]>,
    pub(crate) kind: Kind,
    pub(crate) chain: Vec<Address>,
}

/// A value that was read; it counts while the key's home is still `chain`.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) key: Box<[u8]>,
    pub(crate) chain: Vec<Address>,
    pub(crate) object: Object,
}

/// What one work did to one key.
#[derive(Debug)]
struct Touched {
    shard: usize,
    probe: Probe,
    key: Box<[u8]>,
    /// Whether the whole slot was replaced or removed; `old` is what was there.
    replaced: bool,
    old: Option<Slot>,
    old_expire_at: u64,
    undo: Vec<Undo>,
    delta: Vec<u8>,
    records: Records,
}

/// Indexes in the frame of what was logged for a key.
#[derive(Clone, Copy, Debug, Default)]
struct Records {
    image: Option<usize>,
    delta: Option<usize>,
    expire: Option<usize>,
}

/// The state before the first flush of a work.
#[derive(Debug)]
struct Flushed {
    tables: Vec<Table<Box<Entry>>>,
    touched: Vec<Touched>,
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
    pub(crate) fn new(engine: &'a Engine, loaded: Vec<Loaded>, impatient: bool) -> Self {
        Self {
            engine,
            now: engine.mount.now().as_millis(),
            held: Vec::new(),
            touched: Vec::new(),
            flushed: None,
            pending: None,
            loaded,
            impatient,
        }
    }

    /// Locks every shard, in order.
    pub(crate) fn hold_all(&mut self) -> Result<()> {
        (0..self.engine.shards.len()).try_for_each(|index| self.hold(index).map(drop))
    }

    /// Locks the shards of `keys`, in order.
    pub(crate) fn hold_keys(&mut self, keys: &[&[u8]]) -> Result<()> {
        if let [key] = keys {
            let index = self.engine.shard_of(self.engine.hashers.placement(key));
            return self.hold(index).map(drop);
        }
        let mut shards: Vec<usize> = keys
            .iter()
            .map(|key| self.engine.shard_of(self.engine.hashers.placement(key)))
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
                let shard = &self.engine.shards[index];
                let guard = if at == self.held.len() {
                    shard.lock()
                } else if let Some(guard) = shard.try_lock() {
                    guard
                } else {
                    self.pending = Some(Pending::Locks);
                    return Err(Error::Restart);
                };
                self.held.insert(at, (index, guard));
                Ok(at)
            }
        }
    }

    fn place(&mut self, key: &[u8]) -> Result<(usize, Probe)> {
        let probe = self.engine.hashers.probe(key);
        let held = self.hold(self.engine.shard_of(probe.placement))?;
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
        }
        Ok(found)
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

    /// The hash at `key`.
    pub(crate) fn hash(&mut self, key: &[u8]) -> Result<Option<&Hash>> {
        self.expect_kind(key, Kind::Hash)?;
        match self.object(key)? {
            None => Ok(None),
            Some(Object::Hash(hash)) => Ok(Some(hash)),
            Some(_) => Err(Error::WrongType),
        }
    }

    /// The sorted set at `key`.
    pub(crate) fn zset(&mut self, key: &[u8]) -> Result<Option<&Zset>> {
        self.expect_kind(key, Kind::Zset)?;
        match self.object(key)? {
            None => Ok(None),
            Some(Object::Zset(zset)) => Ok(Some(zset)),
            Some(_) => Err(Error::WrongType),
        }
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
            let known = |loaded: &Loaded, entry: &Entry| {
                *loaded.key == **key && entry.slot.home.is_chain(&loaded.chain)
            };
            let now = self.now;
            let (held, probe) = self.place(key)?;
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
                wanted.push(cold_ref(entry));
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
        let shard = &mut *self.held[held].1;
        let Some(entry) = shard.live_mut(probe, key, now) else {
            shard.stats.misses += 1;
            return Ok(None);
        };
        let Object::Cold { kind, len } = entry.slot.object else {
            entry.slot.warm();
            shard.stats.hits += 1;
            return Ok(Some(Place::Hot { held, probe }));
        };
        let known =
            |loaded: &Loaded| *loaded.key == *key && entry.slot.home.is_chain(&loaded.chain);
        let at = match self.loaded.iter().position(known) {
            Some(at) => at,
            None if self.impatient => {
                let wanted = cold_ref(entry);
                let object = self.engine.read_cold(&wanted)?;
                self.loaded.push(Loaded {
                    key: wanted.key,
                    chain: wanted.chain,
                    object,
                });
                self.loaded.len() - 1
            }
            None => {
                self.pending = Some(Pending::Cold(vec![cold_ref(entry)]));
                return Err(Error::Restart);
            }
        };
        debug_assert_eq!(self.loaded[at].object.kind(), kind);
        let seen_before = entry.slot.warm() > 0;
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

    // --- changing

    /// Sets the whole value and deadline of a key, whatever it was.
    pub(crate) fn put(&mut self, key: &[u8], object: Object, expire_at: u64) -> Result<()> {
        self.put_slot(key, Slot::new(object, expire_at))
    }

    /// As [`Work::put`] for a string that was edited in place.
    pub(crate) fn put_raw(&mut self, key: &[u8], object: Object, expire_at: u64) -> Result<()> {
        let mut slot = Slot::new(object, expire_at);
        slot.raw = true;
        self.put_slot(key, slot)
    }

    fn put_slot(&mut self, key: &[u8], mut slot: Slot) -> Result<()> {
        let (held, probe) = self.place(key)?;
        let at = self.touch(held, probe, key);
        let shard = &mut self.held[held].1;
        let touched = &mut self.touched[at];
        let before = if let Some(entry) = shard.table.find_mut(probe, key) {
            slot.inherit_heat(&entry.slot);
            Some(std::mem::replace(&mut entry.slot, slot))
        } else {
            let key = key.into();
            shard.table.insert_new(probe, Box::new(Entry { key, slot }));
            None
        };
        touched.replace(before);
        Ok(())
    }

    /// Removes a key; whether it existed.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Result<bool> {
        let now = self.now;
        let (held, probe) = self.place(key)?;
        if self.held[held].1.table.find(probe, key).is_none() {
            return Ok(false);
        }
        let at = self.touch(held, probe, key);
        let before = self.held[held]
            .1
            .table
            .take(probe, key)
            .map(|entry| entry.slot);
        let existed = before.as_ref().is_some_and(|slot| !slot.is_expired(now));
        self.touched[at].replace(before);
        Ok(existed)
    }

    /// Sets (or with 0 clears) the deadline of a key that exists.
    pub(crate) fn set_expire_at(&mut self, key: &[u8], expire_at: u64) -> Result<()> {
        let now = self.now;
        let (held, probe) = self.place(key)?;
        self.touch(held, probe, key);
        if let Some(entry) = self.held[held].1.live_mut(probe, key, now) {
            entry.slot.expire_at = expire_at;
        }
        Ok(())
    }

    /// The hash at `key`, to be changed; created if `create`. Call [`Work::drop_if_empty`] after removals.
    pub(crate) fn edit_hash(&mut self, key: &[u8], create: bool) -> Result<Option<Edit<'_, Hash>>> {
        self.expect_kind(key, Kind::Hash)?;
        let new = || Object::Hash(Box::new(Hash::new(self.engine.hashers.clone())));
        let new = create.then(new);
        let Some((object, touched)) = self.edit(key, new)? else {
            return Ok(None);
        };
        match object {
            Object::Hash(value) => Ok(Some(Edit { value, touched })),
            _ => Err(Error::WrongType),
        }
    }

    /// The sorted set at `key`, to be changed; created if `create`.
    pub(crate) fn edit_zset(&mut self, key: &[u8], create: bool) -> Result<Option<Edit<'_, Zset>>> {
        self.expect_kind(key, Kind::Zset)?;
        let new = || Object::Zset(Box::new(Zset::new(self.engine.hashers.clone())));
        let new = create.then(new);
        let Some((object, touched)) = self.edit(key, new)? else {
            return Ok(None);
        };
        match object {
            Object::Zset(value) => Ok(Some(Edit { value, touched })),
            _ => Err(Error::WrongType),
        }
    }

    fn edit(
        &mut self,
        key: &[u8],
        new: Option<Object>,
    ) -> Result<Option<(&mut Object, &mut Touched)>> {
        let now = self.now;
        if self.resolve(key, true)?.is_none() {
            let Some(new) = new else { return Ok(None) };
            self.put(key, new, 0)?;
        }
        let (held, probe) = self.place(key)?;
        let at = self.touch(held, probe, key);
        let entry = self.held[held].1.live_mut(probe, key, now);
        Ok(entry.map(|entry| (&mut entry.slot.object, &mut self.touched[at])))
    }

    /// Removes the key if its collection has become empty.
    pub(crate) fn drop_if_empty(&mut self, key: &[u8]) -> Result<()> {
        if self
            .entry(key)?
            .is_some_and(|entry| entry.slot.object.is_empty_collection())
        {
            self.remove(key)?;
        }
        Ok(())
    }

    /// Removes every key; the number removed.
    pub(crate) fn flush(&mut self) -> Result<usize> {
        self.hold_all()?;
        let bits = self.engine.shard_bits;
        let mut count = 0;
        let mut tables = Vec::with_capacity(self.held.len());
        for (_, shard) in &mut self.held {
            count += shard.table.len();
            let fresh = Table::new(self.engine.hashers.clone(), bits);
            tables.push(std::mem::replace(&mut shard.table, fresh));
        }
        let touched = std::mem::take(&mut self.touched);
        // A second flush drops only what this work itself created since the first.
        if self.flushed.is_none() {
            self.flushed = Some(Flushed { tables, touched });
        }
        Ok(count)
    }

    /// Notes that a key is about to change; its position in `touched`.
    fn touch(&mut self, held: usize, probe: Probe, key: &[u8]) -> usize {
        let known = self
            .touched
            .iter()
            .rposition(|touched| touched.probe.random == probe.random && *touched.key == *key);
        if let Some(at) = known {
            return at;
        }
        let (shard, guard) = &self.held[held];
        let old_expire_at = guard
            .table
            .find(probe, key)
            .map_or(0, |entry| entry.slot.expire_at);
        self.touched.push(Touched {
            shard: *shard,
            probe,
            key: key.into(),
            replaced: false,
            old: None,
            old_expire_at,
            undo: Vec::new(),
            delta: Vec::new(),
            records: Records::default(),
        });
        self.touched.len() - 1
    }

    // --- ending

    /// Logs all changes as one frame, with those of `others`, and publishes them. `None` if nothing changed.
    pub(crate) fn commit(
        &mut self,
        others: Option<&mut storage::Transaction>,
    ) -> Result<Option<Commit>> {
        let engine = self.engine;
        let mut frame = engine.mount.frame();
        self.fill(&mut frame);
        let commit = match others.filter(|others| !others.is_empty()) {
            Some(others) => {
                Some(others.commit_around(&mut frame, &mut |frame| engine.mount.append(frame))?)
            }
            None if frame.is_empty() => None,
            None => Some(engine.mount.append(&mut frame)?),
        };
        self.publish(commit.as_ref());
        Ok(commit.filter(|commit| commit.seq > 0))
    }

    /// Pushes one record per changed key.
    fn fill(&mut self, frame: &mut Frame) {
        let mount = &self.engine.mount;
        let mut freeing = true;
        if self.flushed.is_some() {
            record::push_flush(frame, mount);
        }
        for touched in &mut self.touched {
            let held = position(&self.held, touched.shard);
            let entry = self.held[held].1.table.find(touched.probe, &touched.key);
            let Some(entry) = entry else {
                if touched.old.as_ref().is_some_and(|old| !old.home.is_none()) {
                    record::push_delete(frame, mount, &touched.key);
                }
                continue;
            };
            let slot = &entry.slot;
            let changed = !touched.delta.is_empty();
            if touched.replaced || (changed && slot.home.wants_image()) {
                let index =
                    record::push_image(frame, mount, &entry.key, slot.expire_at, &slot.object);
                touched.records.image = Some(index);
                freeing = false;
                continue;
            }
            if changed {
                let kind = slot.object.kind();
                let index = record::push_delta(frame, mount, kind, &entry.key, &touched.delta);
                touched.records.delta = Some(index);
                freeing = false;
            }
            if slot.expire_at != touched.old_expire_at {
                let index = record::push_expire(frame, mount, &entry.key, slot.expire_at);
                touched.records.expire = Some(index);
                freeing = false;
            }
        }
        if freeing {
            frame.mark_freeing();
        }
    }

    /// Makes the changes permanent in memory: homes, live bytes, counts, deadlines, watchers.
    fn publish(&mut self, commit: Option<&Commit>) {
        if let Some(flushed) = self.flushed.take() {
            self.publish_flush(&flushed);
        }
        let address = |index: usize| {
            commit
                .map(|commit| commit.address(index))
                .expect("a pushed record was committed")
        };
        let mount = &self.engine.mount;
        for touched in std::mem::take(&mut self.touched) {
            let held = position(&self.held, touched.shard);
            let shard = &mut *self.held[held].1;
            let records = touched.records;
            let changed = touched.replaced
                || records.delta.is_some()
                || records.image.is_some()
                || records.expire.is_some();
            if let Some(old) = &touched.old {
                old.home.records().for_each(|at| mount.release(at));
                shard.discount(old);
            }
            if let Some(entry) = shard.table.find_mut(touched.probe, &touched.key) {
                let home = &mut entry.slot.home;
                if let Some(index) = records.image {
                    let at = address(index);
                    home.records().for_each(|at| mount.release(at));
                    *home = Home::at(at);
                    mount.retain(at);
                }
                if let Some(index) = records.delta {
                    home.push_delta(address(index));
                    mount.retain(address(index));
                }
                if let Some(index) = records.expire {
                    mount.retain(address(index));
                    if let Some(before) = home.set_expiry(address(index)) {
                        mount.release(before);
                    }
                }
                let deadline = entry.slot.expire_at;
                let before = touched.old_expire_at;
                if deadline != 0 && (before == 0 || deadline < before) {
                    self.engine.list_deadline(
                        shard,
                        touched.shard,
                        self.now,
                        deadline,
                        touched.probe,
                    );
                }
                shard.recount(touched.probe, &touched.key);
            }
            if changed {
                shard.changed(&touched.key);
            }
        }
    }

    #[expect(
        clippy::iter_over_hash_type,
        reason = "every watcher is told, the order shows nowhere"
    )]
    fn publish_flush(&mut self, flushed: &Flushed) {
        let mount = &self.engine.mount;
        for touched in &flushed.touched {
            let held = position(&self.held, touched.shard);
            if let Some(old) = &touched.old {
                old.home.records().for_each(|at| mount.release(at));
                self.held[held].1.discount(old);
            }
            self.held[held].1.changed(&touched.key);
        }
        for ((_, shard), table) in self.held.iter_mut().zip(&flushed.tables) {
            shard.expiry.clear();
            for entry in table.iter() {
                entry.slot.home.records().for_each(|at| mount.release(at));
                shard.discount(&entry.slot);
            }
            for (key, watched) in &mut shard.watched {
                watched.version += u64::from(table.get(key).is_some());
            }
        }
    }

    fn rollback(&mut self) {
        let touched = std::mem::take(&mut self.touched);
        match self.flushed.take() {
            None => self.take_back(touched),
            Some(flushed) => {
                for ((_, shard), table) in self.held.iter_mut().zip(flushed.tables) {
                    shard.table = table;
                }
                self.take_back(flushed.touched);
            }
        }
    }

    fn take_back(&mut self, touched: Vec<Touched>) {
        for touched in touched.into_iter().rev() {
            let held = position(&self.held, touched.shard);
            let shard = &mut *self.held[held].1;
            let table = &mut shard.table;
            let Touched {
                key,
                probe,
                replaced,
                old,
                old_expire_at,
                undo,
                ..
            } = touched;
            if replaced {
                match (table.find_mut(probe, &key), old) {
                    (Some(entry), Some(old)) => entry.slot = old,
                    (Some(_), None) => drop(table.take(probe, &key)),
                    (None, Some(slot)) => {
                        let entry = Entry {
                            key: key.clone(),
                            slot,
                        };
                        table.insert_new(probe, Box::new(entry));
                    }
                    (None, None) => {}
                }
            }
            if let Some(entry) = table.find_mut(probe, &key) {
                undo.iter()
                    .rev()
                    .for_each(|undo| entry.slot.object.undo(undo));
                entry.slot.expire_at = old_expire_at;
            }
            if !undo.is_empty() {
                // The same content may take other space than before.
                shard.recount(probe, &key);
            }
        }
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        if !self.touched.is_empty() || self.flushed.is_some() {
            self.rollback();
        }
        for (_, shard) in &mut self.held {
            self.engine.report_used(shard);
        }
    }
}

impl Touched {
    /// Keeps what was in the slot before the work's first replacement.
    fn replace(&mut self, before: Option<Slot>) {
        if !self.replaced {
            self.replaced = true;
            self.old = before;
        }
    }
}

fn cold_ref(entry: &Entry) -> ColdRef {
    ColdRef {
        key: entry.key.clone(),
        kind: entry.slot.object.kind(),
        chain: entry.slot.home.chain(),
    }
}

fn position(held: &[(usize, MutexGuard<'_, Shard>)], shard: usize) -> usize {
    held.binary_search_by_key(&shard, |(index, _)| *index)
        .expect("a touched shard stays locked")
}

/// A collection being changed: every change is noted for undo and for the log.
#[derive(Debug)]
pub(crate) struct Edit<'w, T> {
    value: &'w mut T,
    touched: &'w mut Touched,
}

impl<T> Deref for Edit<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
    }
}

impl Edit<'_, Hash> {
    /// Sets a field; whether it existed.
    pub(crate) fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        let undo = self.value.set(field, value);
        let existed = undo.existed();
        // A replaced slot is undone and logged as a whole.
        if !self.touched.replaced {
            self.touched.undo.push(Undo::Hash(undo));
            Hash::log_set(&mut self.touched.delta, field, value);
        }
        existed
    }

    /// Removes a field; whether it existed.
    pub(crate) fn remove(&mut self, field: &[u8]) -> bool {
        let Some(undo) = self.value.remove(field) else {
            return false;
        };
        if !self.touched.replaced {
            self.touched.undo.push(Undo::Hash(undo));
            Hash::log_remove(&mut self.touched.delta, field);
        }
        true
    }
}

impl Edit<'_, Zset> {
    /// Sets a member's score; the score before.
    pub(crate) fn set(&mut self, member: &[u8], score: f64) -> Option<f64> {
        let undo = self.value.set(member, score);
        let previous = undo.previous();
        if previous != Some(score) && !self.touched.replaced {
            self.touched.undo.push(Undo::Zset(undo));
            Zset::log_set(&mut self.touched.delta, member, score);
        }
        previous
    }

    /// Removes a member; whether it existed.
    pub(crate) fn remove(&mut self, member: &[u8]) -> bool {
        let Some(undo) = self.value.remove(member) else {
            return false;
        };
        if !self.touched.replaced {
            self.touched.undo.push(Undo::Zset(undo));
            Zset::log_remove(&mut self.touched.delta, member);
        }
        true
    }
}
