//! The short way to set a single string: without a [`super::work::Work`], because once its record is in the log nothing
//! can fail any more, so that nothing has to be undone.
//!
//! Whoever listens, tracks or waits is served by the ordinary way; then, and where the present value is only in the
//! log, the short way answers [`Direct::Ordinary`] and has done nothing.

use super::access::Access;
use super::engine::{Caller, Engine};
use super::entry::{Entry, Home};
use super::table::Probe;
use crate::error::{Error, Result};
use crate::keyspace::shard::Shard;
use crate::number;
use crate::ops::check_size;
use crate::persist::record;
use crate::value::{Fresh, Kind, Object, Seen};

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
            Ok(Direct::Done((Fresh::string(value), 0, ())))
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
        self.replace_directly(caller, key, |entry| {
            let (value, expire_at) = match entry {
                None => (0, 0),
                Some(entry) => match entry.value() {
                    Seen::Object(Object::Int(value)) => (*value, entry.expire_at()),
                    seen if seen.kind() != Kind::String => return Err(Error::WrongType),
                    seen if seen.is_cold() => return Ok(Direct::Ordinary),
                    // The text of an integer would be held as one, unless it was edited in place.
                    seen => {
                        let text = seen
                            .text(&mut itoa::Buffer::new())
                            .and_then(number::parse_i64);
                        (text.ok_or(Error::NotInteger)?, entry.expire_at())
                    }
                },
            };
            let sum = value.checked_add(change).ok_or(Error::Overflow)?;
            Ok(Direct::Done((Object::Int(sum).into(), expire_at, sum)))
        })
    }

    /// Puts what `next` makes of the present slot in its place. The deadline is 0 or that of the present slot.
    fn replace_directly<'v, R>(
        &self,
        caller: Caller,
        key: &[u8],
        next: impl Fn(Option<&Entry>) -> Result<Direct<(Fresh<'v>, u64, R)>>,
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
        let Direct::Done((fresh, expire_at, value)) = next(shard.live(probe, key, now))? else {
            return Ok(Direct::Ordinary);
        };
        let (commit, home) = if self.mount.is_memory() {
            (self.mount.pass(), None)
        } else {
            let mut frame = self.mount.frame();
            let (mount, seen) = (&self.mount, fresh.seen());
            record::push_image(&mut frame, mount, physical, key, expire_at, seen);
            let commit = self.mount.append(&mut frame)?;
            let at = commit.address(0);
            (commit, Some(Home::at(at)))
        };
        self.install(&mut shard, probe, key, fresh, expire_at, home, now);
        self.report_used(&mut shard);
        drop(shard);
        self.relieve();
        self.mount.settle(&commit, caller.level)?;
        Ok(Direct::Done(value))
    }

    /// Gives a key a value, a deadline and a place in the log, where it may have had others.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a fact of its own about one key"
    )]
    fn install(
        &self,
        shard: &mut Shard,
        probe: Probe,
        key: &[u8],
        value: Fresh<'_>,
        expire_at: u64,
        home: Option<Home>,
        now: u64,
    ) {
        let counts = self.evictor.counts();
        let records = home.iter().flat_map(Home::records);
        records.for_each(|at| self.mount.retain(at));
        if let Some(entry) = shard.table.find_mut(probe, key) {
            let before = entry.memory();
            entry.set_value(value);
            entry.set_expire_at(expire_at);
            if let Some(home) = home {
                let before = std::mem::replace(entry.home_mut(), home);
                before.records().for_each(|at| self.mount.release(at));
            }
            if !counts {
                entry.set_access(Access::new(now, counts));
            }
            shard.used = shard.used + entry.memory() - before;
        } else {
            let mut entry = match home {
                Some(home) => Entry::at(key, value, expire_at, home),
                None => Entry::new(key, value, expire_at),
            };
            entry.set_access(Access::new(now, counts));
            shard.used += entry.memory();
            shard.table.insert_new(probe, entry);
        }
        shard.changed(key);
    }
}
