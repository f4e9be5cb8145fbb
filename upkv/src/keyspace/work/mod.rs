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
mod read;

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

pub(crate) use self::change::{Before, Edit, Editor};
use self::event::{News, Waiting};
pub(crate) use self::fields::Expired;
use super::engine::Engine;
use super::entry::Entry;
use super::key::Key;
use super::libraries::{Change, Libraries};
use super::shard::Shard;
use super::table::{Probe, Table};
use crate::error::{Error, Result};
use crate::storage::Address;
use crate::value::{Kind, Object, Undo};

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
    /// What was there, if the whole entry was replaced or removed, which `notes` tells.
    old: Option<Entry>,
    /// Bytes the key took.
    old_memory: usize,
    old_expire_at: u64,
    /// When the key or a part of it was due next; 0 if never.
    old_deadline: u64,
    notes: Notes,
    records: Records,
}

/// How a value was changed.
#[derive(Debug)]
pub(in crate::keyspace) struct Notes {
    /// Whether the whole entry was replaced or removed.
    pub(in crate::keyspace) replaced: bool,
    /// Whether a part of the value changed.
    pub(in crate::keyspace) edited: bool,
    pub(in crate::keyspace) undo: SmallVec<[Undo; 1]>,
    /// The changes of parts, as they go to the log; empty where nothing is logged.
    pub(in crate::keyspace) delta: Vec<u8>,
    /// Whether changes go to the log.
    pub(in crate::keyspace) logged: bool,
}

impl Notes {
    pub(in crate::keyspace) fn new(engine: &Engine) -> Self {
        Self {
            replaced: false,
            edited: false,
            undo: SmallVec::new(),
            delta: Vec::new(),
            logged: !engine.mount.is_memory(),
        }
    }
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
    tables: Vec<Table<Entry>>,
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
                let now = entry.memory();
                now as u64 > bytes && now > touched.old_memory
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
        key: entry.key().into(),
        kind: entry.kind(),
        chain: entry.home().chain(),
    }
}

/// Where a key that was touched is in the list.
fn position_of(touched: &[Touched], shard: usize, probe: Probe, key: &[u8]) -> Option<usize> {
    touched.iter().rposition(|touched| {
        touched.probe.random == probe.random && touched.shard == shard && *touched.key == *key
    })
}

fn position(held: &[(usize, MutexGuard<'_, Shard>)], shard: usize) -> usize {
    held.binary_search_by_key(&shard, |(index, _)| *index)
        .expect("a touched shard stays locked")
}
