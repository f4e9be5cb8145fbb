//! Changes of hash fields inside a work, and clearing away what is overdue: keys and fields.

use super::event::Class;
use super::{Edit, Work};
use crate::error::Result;
use crate::value::hash::Hash;
use crate::value::{Object, Undo};

/// What [`Work::expire`] removed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expired {
    pub(crate) keys: u64,
    pub(crate) fields: u64,
}

impl Work<'_> {
    /// Removes a key that is overdue, or up to `max` fields of it that are.
    pub(crate) fn expire(&mut self, key: &[u8], max: usize) -> Result<Expired> {
        let now = self.now;
        let (held, probe) = self.place(key)?;
        let Some(entry) = self.held[held].1.table.find(probe, key) else {
            return Ok(Expired::default());
        };
        if !entry.is_expired(now) {
            let fields = self.drop_overdue_parts(key, max)?;
            return Ok(Expired { keys: 0, fields });
        }
        let by_itself = entry.expire_at() != 0 && entry.expire_at() <= now;
        self.remove(key)?;
        if by_itself {
            self.notify(Class::EXPIRED, "expired", key);
        } else {
            self.notify(Class::HASH, "hexpired", key);
            self.notify(Class::GENERIC, "del", key);
        }
        Ok(Expired { keys: 1, fields: 0 })
    }

    /// Removes up to `max` overdue fields of the hash at `key`, if it is one; their number.
    ///
    /// The key goes with the last one, which happens only where a cold hash did not tell before.
    pub(super) fn drop_overdue_parts(&mut self, key: &[u8], max: usize) -> Result<u64> {
        let now = self.now;
        let due = |first: u64| first != 0 && first <= now;
        if !self
            .entry(key)?
            .is_some_and(|entry| due(entry.value().parts().first))
        {
            return Ok(0);
        }
        if self.resolve(key, true)?.is_none() {
            return Ok(0);
        }
        let (held, probe) = self.place(key)?;
        let at = self.touch(held, probe, key);
        let Some(entry) = self.held[held].1.live_mut(probe, key, now) else {
            return Ok(0);
        };
        let Object::Hash(hash) = entry.object_mut() else {
            return Ok(0);
        };
        let overdue: Vec<_> = hash.due(now).take(max).cloned().collect();
        let mut edit = Edit {
            value: &mut **hash,
            notes: &mut self.touched[at].notes,
        };
        for field in &overdue {
            edit.remove(field);
        }
        if !overdue.is_empty() {
            self.notify(Class::HASH, "hexpired", key);
            self.drop_if_empty(key)?;
        }
        Ok(overdue.len() as u64)
    }
}

impl Edit<'_, Hash> {
    /// Sets a field, which loses its deadline; whether it existed.
    pub(crate) fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        let undo = self.value.set(field, value);
        let existed = undo.existed();
        self.note(Undo::Hash(undo), |delta| {
            Hash::log_set(delta, field, value, false);
        });
        existed
    }

    /// Sets a field, which keeps its deadline.
    pub(crate) fn set_kept(&mut self, field: &[u8], value: &[u8]) {
        let keeps = self.value.deadline(field) != 0;
        let undo = self.value.set_kept(field, value);
        self.note(Undo::Hash(undo), |delta| {
            Hash::log_set(delta, field, value, keeps);
        });
    }

    /// Sets (or with 0 clears) the deadline of a field; whether that changed anything.
    pub(crate) fn set_deadline(&mut self, field: &[u8], at: u64) -> bool {
        let Some(undo) = self.value.set_deadline(field, at) else {
            return false;
        };
        self.note(Undo::Hash(undo), |delta| {
            Hash::log_deadline(delta, field, at);
        });
        true
    }

    /// Removes a field; whether it existed.
    pub(crate) fn remove(&mut self, field: &[u8]) -> bool {
        let Some(undo) = self.value.remove(field) else {
            return false;
        };
        self.note(Undo::Hash(undo), |delta| Hash::log_remove(delta, field));
        true
    }
}
