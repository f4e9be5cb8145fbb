//! The short way to change parts of one collection: the same operations as in a [`super::work::Work`], with one search
//! for the key before them and one after them.
//!
//! It is gone where the collection is in memory and nobody listens, tracks or waits; else it answers
//! [`Direct::Ordinary`] and has done nothing. Whatever is not logged is taken back on drop.

use parking_lot::MutexGuard;

use super::direct::Direct;
use super::engine::{Caller, Engine};
use super::entry::Home;
use super::shard::Shard;
use super::table::Probe;
use super::work::event::Class;
use super::work::{Before, Edit, Editor, Notes};
use crate::error::{Error, Result};
use crate::persist::record;
use crate::storage::Commit;
use crate::value::Collection;

/// See the module documentation.
pub struct Quick<'e> {
    engine: &'e Engine,
    shard: MutexGuard<'e, Shard>,
    index: usize,
    probe: Probe,
    key: &'e [u8],
    now: u64,
    touches: bool,
    before: Before,
    notes: Notes,
}

impl Engine {
    /// Runs an operation on the collection at `key`, and commits; one that is missing is not made.
    pub(crate) fn change_directly<'e, R>(
        &'e self,
        caller: Caller,
        key: &'e [u8],
        body: impl FnOnce(&mut Quick<'e>) -> Result<R>,
    ) -> Result<Direct<R>> {
        let server = &self.server;
        if !server.events.is_quiet() || server.tracking.is_used() {
            return Ok(Direct::Ordinary);
        }
        let probe = self.hashers.probe(key);
        let now = self.mount.now().as_millis();
        let physical = self.swapped.physical(caller.db);
        let index = self.first_shard(physical) + self.shard_of(probe.placement);
        // Who waits for a lock may have to be told why; the ordinary way knows.
        let Some(shard) = self.shard(index).try_lock() else {
            return Ok(Direct::Ordinary);
        };
        if self.swapped.physical(caller.db) != physical || !shard.waiting.is_empty() {
            return Ok(Direct::Ordinary);
        }
        let mut quick = Quick {
            engine: self,
            shard,
            index,
            probe,
            key,
            now,
            touches: caller.touches,
            before: Before::default(),
            notes: Notes::new(self),
        };
        let value = match body(&mut quick) {
            Ok(value) => value,
            Err(Error::Restart) => return Ok(Direct::Ordinary),
            Err(error) => return Err(error),
        };
        let commit = quick.commit(physical)?;
        drop(quick);
        self.relieve();
        if let Some(commit) = commit {
            self.mount.settle(&commit, caller.level)?;
        }
        Ok(Direct::Done(value))
    }
}

impl std::fmt::Debug for Quick<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quick").finish_non_exhaustive()
    }
}

impl Editor for Quick<'_> {
    fn edit_of<T: Collection>(&mut self, key: &[u8], _create: bool) -> Result<Option<Edit<'_, T>>> {
        debug_assert_eq!(key, self.key, "the shard that is locked is that of one key");
        let now = self.now;
        let shard = &mut *self.shard;
        let entry = shard.table.find_mut(self.probe, key);
        let Some(entry) = entry.filter(|entry| !entry.is_expired(now)) else {
            return Err(Error::Restart);
        };
        let due = entry.value().parts().first;
        if T::of(entry.value()).is_none() || (due != 0 && due <= now) {
            return Err(Error::Restart);
        }
        if self.touches {
            self.engine.note_use(entry, now);
        }
        shard.stats.hits += 1;
        self.before = Before::of(entry);
        let value = T::of_mut(entry.object_mut()).expect("the type was just looked at");
        let notes = &mut self.notes;
        Ok(Some(Edit { value, notes }))
    }

    fn notify(&mut self, _class: Class, _name: &'static str, _key: &[u8]) {
        // Nobody listens: that was looked at first.
    }
}

impl Quick<'_> {
    /// Logs what was changed, if anything was, and publishes it.
    fn commit(&mut self, physical: u8) -> Result<Option<Commit>> {
        if !self.notes.edited {
            return Ok(None);
        }
        let (engine, key, shard) = (self.engine, self.key, &mut *self.shard);
        let entry = shard.table.find_mut(self.probe, key);
        let entry = entry.expect("what was edited is there while the lock is held");
        let mount = &engine.mount;
        let commit = if self.notes.logged {
            let mut frame = mount.frame();
            let whole = entry.home().wants_image();
            if whole {
                let (at, value) = (entry.expire_at(), entry.value());
                record::push_image(&mut frame, mount, physical, key, at, value);
            } else {
                let kind = entry.kind();
                record::push_delta(&mut frame, mount, physical, kind, key, &self.notes.delta);
            }
            let commit = mount.append(&mut frame)?;
            let at = commit.address(0);
            mount.retain(at);
            if whole {
                let before = std::mem::replace(entry.home_mut(), Home::at(at));
                before.records().for_each(|at| mount.release(at));
            } else {
                entry.home_mut().push_delta(at);
            }
            commit
        } else {
            mount.pass()
        };
        self.notes.edited = false;
        let (memory, deadline) = (entry.memory(), entry.next_deadline());
        shard.used = shard.used + memory - self.before.memory;
        let before = self.before.deadline;
        if deadline != 0 && (before == 0 || deadline < before) {
            engine.list_deadline(shard, self.index, self.now, deadline, self.probe);
        }
        shard.changed(key);
        engine.report_used(shard);
        Ok(Some(commit))
    }
}

impl Drop for Quick<'_> {
    fn drop(&mut self) {
        if !self.notes.edited {
            return;
        }
        let shard = &mut *self.shard;
        if let Some(entry) = shard.table.find_mut(self.probe, self.key) {
            for undo in self.notes.undo.iter().rev() {
                entry.object_mut().undo(undo);
            }
            // The same content may take other space than before.
            shard.used = shard.used + entry.memory() - self.before.memory;
        }
    }
}
