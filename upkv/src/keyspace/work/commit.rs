//! How a work ends: its changes become one frame and are published, or are taken back.

use smallvec::SmallVec;

use super::{Flushed, Touched, Work, position};
use crate::error::{Error, Result};
use crate::keyspace::entry::{Entry, Home};
use crate::persist::record;
use crate::storage::{self, Commit, Frame};

impl Work<'_> {
    /// Logs all changes as one frame, with those of `others`, and publishes them. `None` if nothing changed.
    pub(crate) fn commit(
        &mut self,
        others: Option<&mut storage::Transaction>,
    ) -> Result<Option<Commit>> {
        let engine = self.engine;
        if let Some(reason) = self.doomed.take() {
            return Err(Error::Aborted(reason));
        }
        let mut frame = engine.mount.frame();
        // In a store without files nobody would ever read what this engine logs.
        let logged = !engine.mount.is_memory();
        if logged {
            self.fill(&mut frame);
        }
        let changing = (!self.library_changes.is_empty()).then(|| engine.libraries.change.lock());
        let commit = if let Some(others) = others.filter(|others| !others.is_empty()) {
            // Interactive transactions cannot swap databases.
            let unlogged = !logged && self.changes_anything();
            Some(others.commit_around(&mut frame, &mut |frame| {
                if unlogged && frame.is_empty() {
                    return Ok(engine.mount.pass());
                }
                engine.mount.append(frame)
            })?)
        } else {
            let _changing = (!self.swaps.is_empty()).then(|| engine.swapped.change.lock());
            let commit = if !frame.is_empty() {
                Some(engine.mount.append(&mut frame)?)
            } else if !logged && self.changes_anything() {
                Some(engine.mount.pass())
            } else {
                None
            };
            for (a, b) in std::mem::take(&mut self.swaps) {
                self.publish_swap(a, b);
            }
            commit
        };
        engine
            .libraries
            .apply(&std::mem::take(&mut self.library_changes));
        drop(changing);
        self.publish(commit.as_ref());
        Ok(commit.filter(|commit| commit.seq > 0))
    }

    /// Whether there is anything to publish.
    fn changes_anything(&self) -> bool {
        let changed = |touched: &Touched| {
            touched.notes.replaced || touched.notes.edited || {
                let held = position(&self.held, touched.shard);
                let entry = self.held[held].1.table.find(touched.probe, &touched.key);
                entry.map_or(0, Entry::expire_at) != touched.old_expire_at
            }
        };
        !self.flushed.is_empty()
            || !self.swaps.is_empty()
            || !self.library_changes.is_empty()
            || self.touched.iter().any(changed)
    }

    /// Pushes one record per changed key.
    fn fill(&mut self, frame: &mut Frame) {
        let mount = &self.engine.mount;
        let mut freeing = true;
        for flushed in &self.flushed {
            record::push_flush(frame, mount, flushed.physical);
        }
        for (a, b) in &self.swaps {
            record::push_swap(frame, mount, *a, *b);
            freeing = false;
        }
        for change in &self.library_changes {
            record::push_library(frame, mount, &change.name, change.code());
            freeing &= change.library.is_none();
        }
        for touched in &mut self.touched {
            let held = position(&self.held, touched.shard);
            let db = self.engine.physical_of(touched.shard);
            let entry = self.held[held].1.table.find(touched.probe, &touched.key);
            let Some(entry) = entry else {
                if touched
                    .old
                    .as_ref()
                    .is_some_and(|old| !old.home().is_none())
                {
                    record::push_delete(frame, mount, db, &touched.key);
                }
                continue;
            };
            let (key, expire_at) = (entry.key(), entry.expire_at());
            let notes = &touched.notes;
            if notes.replaced || (notes.edited && entry.home().wants_image()) {
                let index = record::push_image(frame, mount, db, key, expire_at, entry.value());
                touched.records.image = Some(index);
                freeing = false;
                continue;
            }
            if notes.edited {
                let kind = entry.kind();
                let index = record::push_delta(frame, mount, db, kind, key, &notes.delta);
                touched.records.delta = Some(index);
                freeing = false;
            }
            if expire_at != touched.old_expire_at {
                let index = record::push_expire(frame, mount, db, key, expire_at);
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
        for flushed in std::mem::take(&mut self.flushed) {
            self.publish_flush(&flushed);
        }
        let address = |index: usize| {
            commit
                .map(|commit| commit.address(index))
                .expect("a pushed record was committed")
        };
        let mount = &self.engine.mount;
        let Self {
            engine,
            touched,
            held,
            news,
            now,
            ..
        } = self;
        for touched in &mut *touched {
            let at = position(held, touched.shard);
            let shard = &mut *held[at].1;
            let records = touched.records;
            let mut changed = touched.notes.replaced || touched.notes.edited;
            if let Some(old) = &touched.old {
                old.home().records().for_each(|at| mount.release(at));
            }
            let mut memory = 0;
            let found = shard.table.find_mut(touched.probe, &touched.key);
            let deadline = found.map(|entry| {
                changed |= entry.expire_at() != touched.old_expire_at;
                if let Some(index) = records.image {
                    let at = address(index);
                    let before = std::mem::replace(entry.home_mut(), Home::at(at));
                    before.records().for_each(|at| mount.release(at));
                    mount.retain(at);
                }
                if let Some(index) = records.delta {
                    entry.home_mut().push_delta(address(index));
                    mount.retain(address(index));
                }
                if let Some(index) = records.expire {
                    mount.retain(address(index));
                    if let Some(before) = entry.home_mut().set_expiry(address(index)) {
                        mount.release(before);
                    }
                }
                memory = entry.memory();
                entry.next_deadline()
            });
            shard.used = shard.used + memory - touched.old_memory;
            if let Some(deadline) = deadline {
                let before = touched.old_deadline;
                if deadline != 0 && (before == 0 || deadline < before) {
                    engine.list_deadline(shard, touched.shard, *now, deadline, touched.probe);
                }
            }
            if changed {
                shard.changed(&touched.key);
                news.changed(engine, shard, touched.shard, &touched.key);
            }
        }
        touched.clear();
    }

    /// Exchanges two databases; their keys changed for whoever watches one that is there in either.
    fn publish_swap(&mut self, a: u8, b: u8) {
        let engine = self.engine;
        let of = |db| engine.first_shard(engine.swapped.physical(db));
        let (low, high) = (of(a).min(of(b)), of(a).max(of(b)));
        for step in 0..engine.shard_count() {
            let low = position(&self.held, low + step);
            let high = position(&self.held, high + step);
            let (before, after) = self.held.split_at_mut(high);
            let (first_index, second_index) = (before[low].0, after[0].0);
            let (first, second) = (&mut before[low].1, &mut after[0].1);
            // Watchers follow the number they gave.
            std::mem::swap(&mut first.watched, &mut second.watched);
            std::mem::swap(&mut first.waiting, &mut second.waiting);
            let (one, other) = (&mut **first, &mut **second);
            let watched = one.watched.iter_mut().chain(&mut other.watched);
            for (key, watched) in watched {
                let there = one.table.get(key).is_some() || other.table.get(key).is_some();
                watched.version += u64::from(there);
            }
            // Both numbers change hands, so each shard has the waiters of the database it becomes.
            let (low_db, high_db) = (
                engine.physical_of(first_index),
                engine.physical_of(second_index),
            );
            let becomes = |physical| {
                if engine.swapped.logical(physical) == a {
                    b
                } else {
                    a
                }
            };
            for (shard, db) in [(&*one, becomes(low_db)), (&*other, becomes(high_db))] {
                let there = |key: &[u8]| shard.table.get(key).is_some();
                self.news.ready_where(shard, db, there);
            }
        }
        engine.swapped.swap(a, b);
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
                old.home().records().for_each(|at| mount.release(at));
            }
            let shard = &mut self.held[held].1;
            shard.changed(&touched.key);
            let (index, key) = (touched.shard, &touched.key);
            self.news.changed(self.engine, shard, index, key);
        }
        let db = self.engine.swapped.logical(flushed.physical);
        let first = position(&self.held, self.engine.first_shard(flushed.physical));
        for ((_, shard), table) in self.held[first..].iter_mut().zip(&flushed.tables) {
            shard.expiry.clear();
            // What came since the flush is counted when it is published.
            shard.used = 0;
            for entry in table.iter() {
                entry.home().records().for_each(|at| mount.release(at));
            }
            for (key, watched) in &mut shard.watched {
                watched.version += u64::from(table.get(key).is_some());
            }
            let was_there = |key: &[u8]| table.get(key).is_some();
            self.news.ready_where(shard, db, was_there);
        }
    }

    pub(super) fn rollback(&mut self) {
        let engine = self.engine;
        let mut touched = std::mem::take(&mut self.touched);
        let flushed = std::mem::take(&mut self.flushed);
        for flushed in &flushed {
            // What came after the flush goes with the table it was made in.
            touched.retain(|touched| engine.physical_of(touched.shard) != flushed.physical);
        }
        self.take_back(touched);
        for flushed in flushed {
            let first = position(&self.held, engine.first_shard(flushed.physical));
            for ((_, shard), table) in self.held[first..].iter_mut().zip(flushed.tables) {
                shard.table = table;
            }
            self.take_back(flushed.touched);
        }
    }

    fn take_back(&mut self, touched: SmallVec<[Touched; 1]>) {
        for touched in touched.into_iter().rev() {
            let held = position(&self.held, touched.shard);
            let shard = &mut *self.held[held].1;
            let table = &mut shard.table;
            let Touched {
                key,
                probe,
                notes,
                old,
                old_memory,
                old_expire_at,
                ..
            } = touched;
            if notes.replaced {
                match (table.find_mut(probe, &key), old) {
                    (Some(entry), Some(old)) => *entry = old,
                    (Some(_), None) => drop(table.take(probe, &key)),
                    (None, Some(old)) => table.insert_new(probe, old),
                    (None, None) => {}
                }
            }
            if let Some(entry) = table.find_mut(probe, &key) {
                for undo in notes.undo.iter().rev() {
                    entry.object_mut().undo(undo);
                }
                entry.set_expire_at(old_expire_at);
            }
            // The same content may take other space than before.
            shard.recount(probe, &key, old_memory);
        }
    }
}
