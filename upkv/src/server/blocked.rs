//! Callers that wait for a key: parked in the key's shard, served by whoever makes the key ready.
//!
//! A blocking command that finds nothing is kept whole, in a queue per key that is under the lock of the key's
//! shard, so no change can slip in between looking and parking. After a commit that changed such a key, and with no
//! lock held, the commands parked there run again, oldest first, each as a work of its own.
//!
//! Lock order: shards, then the state of a waiter. The state is held from before a parked command runs until its
//! outcome is noted, so it is served once, or times out, or is cancelled, and never two of these. All keys of a parked
//! command are locked before its state.

use std::collections::VecDeque;
use std::sync::Arc;

use super::inbox::Wakes;
use super::waiter::{Outcome, Waiter};
use crate::command::{Command, Reply};
use crate::error::{Error, Result};
use crate::keyspace::engine::{Caller, Engine, Keys};
use crate::keyspace::shard::Shard;
use crate::keyspace::work::Work;
use crate::keyspace::work::event::{ReadyKey, Wait};
use crate::storage::Timestamp;
use crate::storage::sync::{AtomicUsize, Mutex, Ordering};
use crate::value::Kind;

/// What running a parked command again came to.
enum Tried {
    Served,
    /// There was nothing for it.
    Waits,
    /// Somebody else served it, or it is gone.
    Over,
}

/// The waiters of one shard by key, in the order in which they came.
pub(crate) type Queues =
    std::collections::HashMap<Box<[u8]>, VecDeque<Arc<Waiter>>, ahash::RandomState>;

/// How many commands are parked, and what wakes futures whose time is over.
#[derive(Debug, Default)]
pub(crate) struct Blocked {
    count: AtomicUsize,
    timed: Mutex<std::collections::BTreeMap<u64, Arc<Waiter>>>,
}

impl Blocked {
    /// Number of callers that wait.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Number of them that wait in a task, and not for ever.
    pub(crate) fn timers(&self) -> usize {
        self.timed.lock().len()
    }

    /// Notes a future whose time will be over when a timer comes due.
    pub(super) fn add_timer(&self, number: u64, waiter: &Arc<Waiter>) {
        self.timed.lock().insert(number, Arc::clone(waiter));
    }

    pub(super) fn forget_timer(&self, number: u64) {
        self.timed.lock().remove(&number);
    }

    /// The time of a future's wait may be over.
    pub(crate) fn timer(&self, number: u64, now: Timestamp) {
        let waiter = self.timed.lock().get(&number).cloned();
        if let Some(waiter) = waiter {
            waiter.expire(now);
            waiter.wake();
        }
    }
}

/// What became of a blocking command that was started.
pub(crate) enum Started {
    Done(Reply),
    Parked(Arc<Waiter>),
}

impl Engine {
    /// Runs a command that may wait, or parks it.
    ///
    /// A caller that waits already for one of its keys comes first, even when an element has just arrived.
    pub(crate) fn start_waiting(
        &self,
        caller: Caller,
        command: &'static Command,
        args: &[&[u8]],
    ) -> Result<Started> {
        let handler = crate::command::data_handler(command)?;
        let keys = command.keys(args);
        let mut serve_first = true;
        loop {
            let mut taken = None;
            let mut parked = None;
            let ran = self.run_as(caller, Keys::Many(&keys), |work| {
                if serve_first {
                    taken = work.taken_key(&keys)?;
                    if taken.is_some() {
                        return Ok(Reply::Null);
                    }
                }
                work.allow_waiting();
                let reply = crate::command::perform(work, command, handler, args)?;
                if let Some(wait) = work.take_wait() {
                    parked = Some(work.park(caller, command, args, wait)?);
                }
                Ok(reply)
            });
            let ran = match ran {
                Ok(ran) => ran,
                Err(error) => {
                    if let Some(waiter) = parked {
                        self.forget(&waiter);
                    }
                    return Err(error);
                }
            };
            let reply = self.finish(ran, caller.level)?;
            if let Some(key) = taken {
                // One round: then whoever is left there cannot be served.
                serve_first = self.serve(vec![(caller.db, key.into())]);
                continue;
            }
            return Ok(match parked {
                Some(waiter) => Started::Parked(waiter),
                None => Started::Done(reply),
            });
        }
    }

    /// Takes a waiter out of all queues. Its outcome is noted, or nobody serves it from here on.
    pub(super) fn forget(&self, waiter: &Arc<Waiter>) {
        waiter.end(Outcome::Gone);
        self.server.blocked.count.fetch_sub(1, Ordering::Relaxed);
        // The queue may have moved with its database; a swap moves queues under all locks of both.
        let keys: Vec<&[u8]> = waiter.keys.iter().map(|key| &**key).collect();
        let done = self.run(waiter.caller.db, None, Keys::Many(&keys), |work| {
            for key in keys.iter().copied() {
                let index = work.shard_of(self.hashers.placement(key));
                let queues = &mut work.shard(index)?.waiting;
                if let Some(queue) = queues.get_mut(key) {
                    queue.retain(|other| !Arc::ptr_eq(other, waiter));
                    if queue.is_empty() {
                        queues.remove(key);
                    }
                }
            }
            Ok(())
        });
        debug_assert!(done.is_ok(), "nothing is logged here: {done:?}");
    }

    /// Runs the commands that are parked at keys which may have become ready, and at those that become ready by
    /// that; whether any was served. No lock is held.
    pub(crate) fn serve(&self, ready: Vec<ReadyKey>) -> bool {
        let mut ready = VecDeque::from(ready);
        let mut served = false;
        while let Some((db, key)) = ready.pop_front() {
            for waiter in self.readers(db, &key) {
                served |= matches!(self.try_serve(&waiter, &mut ready), Tried::Served);
            }
            while let Some(waiter) = self.first_waiter(db, &key) {
                match self.try_serve(&waiter, &mut ready) {
                    Tried::Served => served = true,
                    Tried::Over => {}
                    Tried::Waits => break,
                }
            }
        }
        served
    }

    /// Whoever waits for entries of a stream; what one takes is there for the next.
    fn readers(&self, db: u8, key: &[u8]) -> Vec<Arc<Waiter>> {
        self.at_queue(db, key, |queue, found| {
            let may = |waiter: &&Arc<Waiter>| {
                waiter.kind == Kind::Stream && waiter.may_take(found) && waiter.is_waiting()
            };
            queue.iter().filter(may).cloned().collect()
        })
    }

    /// Whoever has waited longest for an element of the key, if it holds one.
    fn first_waiter(&self, db: u8, key: &[u8]) -> Option<Arc<Waiter>> {
        self.at_queue(db, key, |queue, found| {
            while queue.front().is_some_and(|first| !first.is_waiting()) {
                queue.pop_front();
            }
            let may = |waiter: &&Arc<Waiter>| {
                waiter.kind != Kind::Stream && waiter.may_take(found) && waiter.is_waiting()
            };
            queue.iter().find(may).cloned()
        })
    }

    fn at_queue<R: Default>(
        &self,
        db: u8,
        key: &[u8],
        look: impl Fn(&mut VecDeque<Arc<Waiter>>, Option<Kind>) -> R,
    ) -> R {
        let seen = self.run(db, None, Keys::One(key), |work| {
            let found = work.kind(key)?;
            let index = work.shard_of(self.hashers.placement(key));
            let queues = &mut work.shard(index)?.waiting;
            Ok(queues
                .get_mut(key)
                .map_or_else(R::default, |queue| look(queue, found)))
        });
        seen.unwrap_or_default()
    }

    fn try_serve(&self, waiter: &Arc<Waiter>, ready: &mut VecDeque<ReadyKey>) -> Tried {
        let args = waiter.args();
        let Ok(handler) = crate::command::data_handler(waiter.command) else {
            return Tried::Over;
        };
        let mut keys = waiter.command.keys(&args);
        keys.extend(waiter.keys.iter().map(|key| &**key));
        let mut claim = None;
        let ran = self.run_as(waiter.caller, Keys::Many(&keys), |work| {
            let state = waiter.state.lock();
            if state.outcome.is_some() {
                return Ok(Tried::Over);
            }
            let outcome = self
                .check_room_inside(waiter.command, &args)
                .and_then(|()| {
                    work.allow_waiting();
                    crate::command::perform(work, waiter.command, handler, &args)
                });
            if work.is_pending() {
                // The locks are taken anew, and they come before the state.
                return Err(outcome.err().unwrap_or(Error::Restart));
            }
            match outcome {
                Ok(_) if work.take_wait().is_some() => Ok(Tried::Waits),
                Ok(reply) => {
                    claim = Some((state, Ok(reply)));
                    Ok(Tried::Served)
                }
                Err(error) => {
                    claim = Some((state, Err(Error::Restart)));
                    Err(error)
                }
            }
        });
        let mut wakes = Wakes::default();
        let (tried, commit) = match (ran, &mut claim) {
            (Ok(mut ran), _) => {
                ready.extend(ran.told.ready.drain(..));
                wakes = ran.told.wakes;
                (ran.value, ran.commit)
            }
            (Err(error), Some((_, reply))) => {
                *reply = Err(error);
                (Tried::Served, None)
            }
            // Nothing was claimed: the waiter stays where it is.
            (Err(_), None) => (Tried::Waits, None),
        };
        if let Some((mut state, reply)) = claim {
            waiter.note(&mut state, Outcome::Served(reply, commit));
            wakes.add(state.waker.take());
        }
        drop(wakes);
        tried
    }
}

impl Work<'_> {
    /// A key that others wait for and that has something for them.
    fn taken_key<'k>(&mut self, keys: &[&'k [u8]]) -> Result<Option<&'k [u8]>> {
        for key in keys {
            let index = self.shard_of(self.engine.hashers.placement(key));
            if self.shard(index)?.waiting.is_empty() {
                continue;
            }
            let found = self.kind(key)?;
            let may = |waiter: &Arc<Waiter>| {
                waiter.kind != Kind::Stream && waiter.may_take(found) && waiter.is_waiting()
            };
            let queue = self.shard(index)?.waiting.get(*key);
            if queue.is_some_and(|queue| queue.iter().any(may)) {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    fn park(
        &mut self,
        caller: Caller,
        command: &'static Command,
        args: &[&[u8]],
        wait: Wait,
    ) -> Result<Arc<Waiter>> {
        let mut args: Vec<Box<[u8]>> = args.iter().map(|arg| (*arg).into()).collect();
        for (at, value) in self.take_rewrites() {
            if let Some(arg) = args.get_mut(at) {
                *arg = value;
            }
        }
        // Whoever serves it later holds no lock of a script.
        let caller = Caller {
            db: self.db(),
            told_busy: false,
            ..caller
        };
        let waiter = Waiter::new(caller, command, args, wait, self.now);
        let mut queues = Vec::with_capacity(waiter.keys.len());
        for key in &waiter.keys {
            let index = self.shard_of(self.engine.hashers.placement(key));
            self.shard(index)?;
            queues.push(index);
        }
        for (key, index) in waiter.keys.iter().zip(queues) {
            let queues = &mut self.shard(index)?.waiting;
            queues
                .entry(key.clone())
                .or_default()
                .push_back(Arc::clone(&waiter));
        }
        let server = &self.engine.server;
        server.blocked.count.fetch_add(1, Ordering::Relaxed);
        if server.is_closed() {
            waiter.end(Outcome::Closed);
        }
        Ok(waiter)
    }
}

impl Engine {
    /// The store was closed: nothing will come any more, so every wait ends.
    pub(crate) fn end_waits(&self) {
        // Whoever parks after this sees it; whoever parked before is found below.
        self.server.close();
        let mut waiters = Vec::new();
        for (_, shard) in self.shards() {
            let queues: Vec<Arc<Waiter>> =
                shard.lock().waiting.values().flatten().cloned().collect();
            waiters.extend(queues);
        }
        for waiter in waiters {
            waiter.end(Outcome::Closed);
            waiter.wake();
        }
    }
}

impl Shard {
    /// Whether anybody waits for the key.
    pub(crate) fn is_waited_for(&self, key: &[u8]) -> bool {
        !self.waiting.is_empty() && self.waiting.contains_key(key)
    }
}

#[cfg(test)]
mod tests;
