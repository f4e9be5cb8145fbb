//! The primitives that change keys inside a work, each noting how to take it back.

use std::ops::Deref;

use super::event::Class;
use super::{Flushed, Notes, Records, Touched, Work, position, position_of};
use crate::error::{Error, Result};
use crate::keyspace::access::Access;
use crate::keyspace::entry::Entry;
use crate::keyspace::table::{Probe, Table};
use crate::value::hash::Hash;
use crate::value::zset::Zset;
use crate::value::{Collection, Fresh, Kind, Object, Undo, text};

impl Work<'_> {
    /// Sets the whole value and deadline of a key, whatever it was.
    pub(crate) fn put<'v>(
        &mut self,
        key: &[u8],
        value: impl Into<Fresh<'v>>,
        expire_at: u64,
    ) -> Result<()> {
        let (held, probe) = self.place(key)?;
        let at = self.touch(held, probe, key);
        let shard = &mut self.held[held].1;
        let touched = &mut self.touched[at];
        let counts = self.engine.evictor.counts();
        let mut new = Entry::new(key, value.into(), expire_at);
        new.set_access(Access::new(self.now, counts));
        let before = if let Some(entry) = shard.table.find_mut(probe, key) {
            new.inherit_heat(entry);
            if counts {
                new.set_access(entry.access());
            }
            Some(std::mem::replace(entry, new))
        } else {
            shard.table.insert_new(probe, new);
            None
        };
        let existed = before
            .as_ref()
            .is_some_and(|entry| !entry.is_expired(self.now));
        touched.replace(before);
        if !existed {
            self.notify(Class::NEW, "new", key);
        }
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
        let before = self.held[held].1.table.take(probe, key);
        let existed = before.as_ref().is_some_and(|entry| !entry.is_expired(now));
        self.touched[at].replace(before);
        Ok(existed)
    }

    /// Sets (or with 0 clears) the deadline of a key that exists.
    pub(crate) fn set_expire_at(&mut self, key: &[u8], expire_at: u64) -> Result<()> {
        let now = self.now;
        let (held, probe) = self.place(key)?;
        self.touch(held, probe, key);
        if let Some(entry) = self.held[held].1.live_mut(probe, key, now) {
            entry.set_expire_at(expire_at);
        }
        Ok(())
    }

    /// Sets what is known of the use of a key that this work has just put.
    pub(crate) fn set_access(&mut self, key: &[u8], access: Access) -> Result<()> {
        let now = self.now;
        let (held, probe) = self.place(key)?;
        if let Some(entry) = self.held[held].1.live_mut(probe, key, now) {
            entry.set_access(access);
        }
        Ok(())
    }

    /// The collection at `key`, to be changed; created if `create`. Call [`Work::drop_if_empty`] after removals.
    pub(crate) fn edit_of<T: Collection>(
        &mut self,
        key: &[u8],
        create: bool,
    ) -> Result<Option<Edit<'_, T>>> {
        let now = self.now;
        let due = |first: u64| first != 0 && first <= now;
        let ready = self.use_if(key, |entry| {
            let ready = T::of(entry.value()).is_some() && !due(entry.value().parts().first);
            ready.then(|| Before::of(entry))
        })?;
        let found = if let Some((held, probe, before)) = ready {
            let at = self.touch_as(held, probe, key, before);
            let entry = self.held[held].1.table.find_mut(probe, key);
            entry.map(|entry| (entry.object_mut(), &mut self.touched[at]))
        } else {
            self.expect_kind(key, T::KIND)?;
            let new = create.then(|| T::create(&self.engine.hashers).into_object());
            self.edit(key, new)?
        };
        let Some((object, touched)) = found else {
            return Ok(None);
        };
        let value = T::of_mut(object).ok_or(Error::WrongType)?;
        let notes = &mut touched.notes;
        Ok(Some(Edit { value, notes }))
    }

    /// Replaces a part of the large string at `key`; see [`text::splice`].
    pub(crate) fn splice(
        &mut self,
        key: &[u8],
        at: usize,
        removed: usize,
        with: &[u8],
    ) -> Result<()> {
        self.expect_kind(key, Kind::String)?;
        let Some((Object::Bytes(value), touched)) = self.edit(key, None)? else {
            return Err(Error::WrongType);
        };
        let undo = text::splice(value, at, removed, with);
        let notes = &mut touched.notes;
        let mut edit = Edit { value, notes };
        edit.note(Undo::Text(undo), |delta| {
            text::log(delta, at, removed, with);
        });
        Ok(())
    }

    /// The hash at `key`, to be changed; created if `create`.
    pub(crate) fn edit_hash(&mut self, key: &[u8], create: bool) -> Result<Option<Edit<'_, Hash>>> {
        self.edit_of(key, create)
    }

    /// The sorted set at `key`, to be changed; created if `create`.
    pub(crate) fn edit_zset(&mut self, key: &[u8], create: bool) -> Result<Option<Edit<'_, Zset>>> {
        self.edit_of(key, create)
    }

    pub(super) fn edit(
        &mut self,
        key: &[u8],
        new: Option<Object>,
    ) -> Result<Option<(&mut Object, &mut Touched)>> {
        let now = self.now;
        if self.resolve(key, true)?.is_some() {
            self.drop_overdue_parts(key, usize::MAX)?;
        }
        if self.entry(key)?.is_none() {
            let Some(new) = new else { return Ok(None) };
            self.put(key, new, 0)?;
        }
        let (held, probe) = self.place(key)?;
        let at = self.touch(held, probe, key);
        let entry = self.held[held].1.live_mut(probe, key, now);
        Ok(entry.map(|entry| (entry.object_mut(), &mut self.touched[at])))
    }

    /// Removes the key if its collection has become empty.
    pub(crate) fn drop_if_empty(&mut self, key: &[u8]) -> Result<()> {
        if self
            .entry(key)?
            .and_then(|entry| entry.value().object())
            .is_some_and(Object::is_empty_collection)
        {
            self.remove(key)?;
            self.notify(Class::GENERIC, "del", key);
        }
        Ok(())
    }

    /// Removes every key; the number removed.
    pub(crate) fn flush(&mut self) -> Result<usize> {
        let engine = self.engine;
        self.news.all_changed(engine);
        if !engine.in_use().any(|used| used == self.physical) {
            return Ok(0);
        }
        self.hold_all()?;
        let physical = self.physical;
        let mut count = 0;
        let mut tables = Vec::with_capacity(engine.shard_count());
        let shards = self.local_shards();
        let first = position(&self.held, shards.start);
        for (_, shard) in &mut self.held[first..first + shards.len()] {
            count += shard.table.len();
            let fresh = Table::new(engine.hashers.clone(), engine.shard_bits);
            tables.push(std::mem::replace(&mut shard.table, fresh));
        }
        let here = |touched: &Touched| engine.physical_of(touched.shard) == physical;
        let (touched, others) = std::mem::take(&mut self.touched)
            .into_iter()
            .partition(here);
        self.touched = others;
        // A second flush drops only what this work itself created since the first.
        if !self
            .flushed
            .iter()
            .any(|flushed| flushed.physical == physical)
        {
            self.flushed.push(Flushed {
                physical,
                tables,
                touched,
            });
        }
        Ok(count)
    }

    /// Exchanges two databases when the work commits; all keys of both count as changed for who watches them.
    pub(crate) fn swap(&mut self, a: u8, b: u8) -> Result<()> {
        self.at_db(a, Self::hold_all)?;
        self.at_db(b, Self::hold_all)?;
        if a != b {
            self.swaps.push((a, b));
            // What follows in the same work means the numbers as they will be.
            self.select(self.db());
        }
        Ok(())
    }

    /// Notes that a key is about to change; its position in `touched`.
    pub(super) fn touch(&mut self, held: usize, probe: Probe, key: &[u8]) -> usize {
        let (shard, locked) = &self.held[held];
        if let Some(at) = position_of(&self.touched, *shard, probe, key) {
            return at;
        }
        let entry = locked.table.find(probe, key);
        let before = entry.map_or_else(Before::default, Before::of);
        self.touch_as(held, probe, key, before)
    }

    /// As [`Work::touch`] for a key of which this is known, which holds only if it was not touched before.
    fn touch_as(&mut self, held: usize, probe: Probe, key: &[u8], before: Before) -> usize {
        let shard = self.held[held].0;
        if let Some(at) = position_of(&self.touched, shard, probe, key) {
            return at;
        }
        self.touched.push(Touched {
            shard,
            probe,
            key: key.into(),
            old: None,
            old_memory: before.memory,
            old_expire_at: before.expire_at,
            old_deadline: before.deadline,
            notes: Notes::new(self.engine),
            records: Records::default(),
        });
        self.touched.len() - 1
    }
}

/// What has to be known of a key as it was.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Before {
    pub(crate) expire_at: u64,
    /// When the key or a part of it was due next; 0 if never.
    pub(crate) deadline: u64,
    pub(crate) memory: usize,
}

impl Before {
    pub(crate) fn of(entry: &Entry) -> Self {
        Self {
            expire_at: entry.expire_at(),
            deadline: entry.next_deadline(),
            memory: entry.memory(),
        }
    }
}

impl Touched {
    /// Keeps the entry that was there before the work's first replacement.
    fn replace(&mut self, before: Option<Entry>) {
        if !self.notes.replaced {
            self.notes.replaced = true;
            self.old = before;
        }
    }
}

/// Where operations that change parts of one collection run: in a work, or in a short way that has no other purpose.
pub(crate) trait Editor {
    /// The collection at `key`, to be changed; created if `create`.
    fn edit_of<T: Collection>(&mut self, key: &[u8], create: bool) -> Result<Option<Edit<'_, T>>>;

    /// Notes a keyspace event; call it after a real change, with the name Redis uses.
    fn notify(&mut self, class: Class, name: &'static str, key: &[u8]);
}

impl Editor for Work<'_> {
    fn edit_of<T: Collection>(&mut self, key: &[u8], create: bool) -> Result<Option<Edit<'_, T>>> {
        Work::edit_of(self, key, create)
    }

    fn notify(&mut self, class: Class, name: &'static str, key: &[u8]) {
        Work::notify(self, class, name, key);
    }
}

/// A collection being changed: every change is noted for undo and for the log.
#[derive(Debug)]
pub(crate) struct Edit<'w, T> {
    pub(crate) value: &'w mut T,
    pub(in crate::keyspace) notes: &'w mut Notes,
}

impl<T> Deref for Edit<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
    }
}

impl<T> Edit<'_, T> {
    /// Notes a change that was just made: how to take it back, and what goes to the log.
    pub(crate) fn note(&mut self, undo: Undo, log: impl FnOnce(&mut Vec<u8>)) {
        // A replaced entry is undone and logged as a whole.
        if !self.notes.replaced {
            self.notes.edited = true;
            self.notes.undo.push(undo);
            if self.notes.logged {
                log(&mut self.notes.delta);
            }
        }
    }
}

impl Edit<'_, Zset> {
    /// Sets a member's score; the score before.
    pub(crate) fn set(&mut self, member: &[u8], score: f64) -> Option<f64> {
        let undo = self.value.set(member, score);
        let previous = undo.previous();
        if previous != Some(score) {
            self.note(Undo::Zset(undo), |delta| {
                Zset::log_set(delta, member, score);
            });
        }
        previous
    }

    /// Removes a member; whether it existed.
    pub(crate) fn remove(&mut self, member: &[u8]) -> bool {
        let Some(undo) = self.value.remove(member) else {
            return false;
        };
        self.note(Undo::Zset(undo), |delta| Zset::log_remove(delta, member));
        true
    }
}
