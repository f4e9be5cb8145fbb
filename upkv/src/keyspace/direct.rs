//! The short way to set a single string: without a [`super::work::Work`], because once its record is in the log nothing
//! can fail any more, so that nothing has to be undone.
//!
//! Whoever listens, tracks or waits is served by the ordinary way; then, and where the present value is only in the
//! log, the short way answers [`Direct::Ordinary`] and has done nothing.

use super::access::Access;
use super::engine::{Caller, Engine};
use super::entry::{Entry, Home, Slot};
use super::key::Key;
use super::table::Probe;
use crate::error::{Error, Result};
use crate::keyspace::shard::Shard;
use crate::number;
use crate::ops::check_size;
use crate::persist::record;
use crate::value::{Kind, Object};

/// What came of the short way.
#[derive(Debug, PartialEq)]
pub(crate) enum Direct<R> {
    Done(R),
    /// Nothing was done; the ordinary way has to be gone.
    Ordinary,
}

impl<R> Direct<R> {
    pub(crate) fn map<S>(self, convert: impl FnOnce(R) -> S) -> Direct<S> {
        match self {
            Self::Done(value) => Direct::Done(convert(value)),
            Self::Ordinary => Direct::Ordinary,
        }
    }
}

impl Engine {
    /// Sets a string, whatever the key held, without a deadline.
    pub(crate) fn set_directly(
        &self,
        caller: Caller,
        key: &[u8],
        value: &[u8],
    ) -> Result<Direct<()>> {
        check_size(key)?;
        check_size(value)?;
        self.replace_directly(caller, key, |_| {
            Ok(Direct::Done((Object::string(value), 0, ())))
        })
    }

    /// Adds to the integer at a key; the sum.
    pub(crate) fn add_directly(
        &self,
        caller: Caller,
        key: &[u8],
        change: i64,
    ) -> Result<Direct<i64>> {
        check_size(key)?;
        self.replace_directly(caller, key, |slot| {
            let (value, expire_at) = match slot.map(|slot| (&slot.object, slot.expire_at)) {
                None => (0, 0),
                Some((Object::Int(value), at)) => (*value, at),
                Some((Object::Bytes(text), at)) => {
                    (number::parse_i64(text).ok_or(Error::NotInteger)?, at)
                }
                Some((object, _)) if object.kind() != Kind::String => return Err(Error::WrongType),
                Some(_) => return Ok(Direct::Ordinary),
            };
            let sum = value.checked_add(change).ok_or(Error::Overflow)?;
            Ok(Direct::Done((Object::Int(sum), expire_at, sum)))
        })
    }

    /// Puts what `next` makes of the present slot in its place. The deadline is 0 or that of the present slot.
    fn replace_directly<R>(
        &self,
        caller: Caller,
        key: &[u8],
        next: impl Fn(Option<&Slot>) -> Result<Direct<(Object, u64, R)>>,
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
        let Some(mut shard) = self.shard(index).try_lock() else {
            return Ok(Direct::Ordinary);
        };
        if self.swapped.physical(caller.db) != physical || !shard.waiting.is_empty() {
            return Ok(Direct::Ordinary);
        }
        let slot = shard.live(probe, key, now).map(|entry| &entry.slot);
        let Direct::Done((object, expire_at, value)) = next(slot)? else {
            return Ok(Direct::Ordinary);
        };
        let (commit, home) = if self.mount.is_memory() {
            (self.mount.pass(), Home::default())
        } else {
            let mut frame = self.mount.frame();
            record::push_image(&mut frame, &self.mount, physical, key, expire_at, &object);
            let commit = self.mount.append(&mut frame)?;
            let at = commit.address(0);
            (commit, Home::at(at))
        };
        let mut slot = Slot::new(object, expire_at);
        slot.home = home;
        self.install(&mut shard, probe, key, slot, now);
        self.report_used(&mut shard);
        drop(shard);
        self.relieve();
        self.mount.settle(&commit, caller.level)?;
        Ok(Direct::Done(value))
    }

    /// Puts a slot in the place of the key's present one.
    fn install(&self, shard: &mut Shard, probe: Probe, key: &[u8], mut slot: Slot, now: u64) {
        let counts = self.evictor.counts();
        slot.access = Access::new(now, counts);
        slot.home.records().for_each(|at| self.mount.retain(at));
        if let Some(entry) = shard.table.find_mut(probe, key) {
            let before = &entry.slot;
            before.home.records().for_each(|at| self.mount.release(at));
            slot.inherit_heat(before);
            if counts {
                slot.access = before.access;
            }
            shard.used -= before.counted;
            entry.slot = slot;
            entry.slot.counted = entry.memory();
            shard.used += entry.slot.counted;
        } else {
            let key = Key::from(key);
            let mut entry = Box::new(Entry { key, slot });
            entry.slot.counted = entry.memory();
            shard.used += entry.slot.counted;
            shard.table.insert_new(probe, entry);
        }
        shard.changed(key);
    }
}
