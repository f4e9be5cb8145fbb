//! The engine behind its handles: state under one lock, records in, wake-ups out.
//!
//! Lock order: `state` before `timer` and `recent`; nothing is read from the log and no caller is called with it held.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use upkv::storage::{self, Address, Commit, Durability, Frame, Mount, Signal, TimerId, Timestamp};

use crate::error::{Error, Result};
use crate::journal::record::{Fact, Publish};
use crate::message::MessageId;
use crate::options::{EngineOptions, QueueOptions};
use crate::recent::Recent;
use crate::state::{Stage, State};

/// Bodies from this size on are written from the caller's buffer.
const SHARED_BYTES: usize = 64 << 10;
/// Messages one pass of the timer handles before others get the lock.
const DUE_BATCH: usize = 1_024;

pub(crate) struct Inner {
    pub(crate) mount: Mount,
    pub(crate) options: EngineOptions,
    pub(crate) state: Mutex<State>,
    /// Locked after `state`, or alone.
    pub(crate) recent: Mutex<Recent>,
    pub(crate) timer: Mutex<Option<(Timestamp, TimerId)>>,
    /// A message became ready, or a nearer moment is due.
    pub(crate) arrived: Arc<Signal>,
    /// Part of the ids given out by this opening.
    pub(crate) epoch: u64,
    /// Tells leases of this opening from earlier ones.
    pub(crate) opening: u64,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("mount", &self.mount.id())
            .finish_non_exhaustive()
    }
}

/// Adds a record to a commit; returns its index there.
pub(crate) fn push(frame: &mut Frame, mount: &Mount, fact: &Fact) -> usize {
    let (head, body) = fact.encode();
    if body.len() >= SHARED_BYTES {
        frame.push_shared(mount, fact.kind(), &head, body)
    } else {
        frame.push(mount, fact.kind(), &[&head, &body])
    }
}

impl Inner {
    pub(crate) fn new(mount: Mount, options: EngineOptions) -> Self {
        let (epoch, opening) = (mount.token(0).incarnation, mount.random());
        Self {
            mount,
            options,
            state: Mutex::default(),
            recent: Mutex::default(),
            timer: Mutex::default(),
            arrived: Signal::new(),
            epoch,
            opening,
        }
    }

    /// Commits facts and takes them in. Called with the lock of `state` held.
    pub(crate) fn commit(
        &self,
        state: &mut State,
        facts: &[Fact],
        freeing: bool,
    ) -> storage::Result<Commit> {
        let mut frame = self.mount.frame();
        if freeing {
            frame.mark_freeing();
        }
        for fact in facts {
            push(&mut frame, &self.mount, fact);
        }
        let commit = self.mount.append(&mut frame)?;
        self.publish(state, facts, &commit, 0);
        Ok(commit)
    }

    /// Takes in the facts of a commit whose records begin at `first`.
    pub(crate) fn publish(&self, state: &mut State, facts: &[Fact], commit: &Commit, first: usize) {
        for (index, fact) in facts.iter().enumerate() {
            state
                .fold(&self.mount, fact, commit.address(first + index))
                .expect("facts are checked under the lock they are folded under");
        }
    }

    /// The queue of this name; the fact that makes it, where it is new, goes to `facts`.
    pub(crate) fn lane(state: &State, name: &str, facts: &mut Vec<Fact>) -> u32 {
        if let Some(id) = state.names.get(name) {
            return *id;
        }
        let made = facts.iter().find_map(|fact| match fact {
            Fact::Lane { id, name: new, .. } if &**new == name => Some(*id),
            _ => None,
        });
        made.unwrap_or_else(|| {
            let new = facts
                .iter()
                .filter(|fact| matches!(fact, Fact::Lane { .. }));
            let id =
                u32::try_from(state.lanes.len() + new.count()).expect("memory holds fewer queues");
            facts.push(Fact::Lane {
                id,
                name: name.into(),
                paused: false,
                options: QueueOptions::new(),
            });
            id
        })
    }

    /// Makes the store's timer agree with what is due next.
    pub(crate) fn arm(&self, state: &State) {
        let wanted = state.next_due();
        let mut timer = self.timer.lock();
        if timer.map(|(at, _)| at) == wanted {
            return;
        }
        // A timer that is too early costs one look; one that is too late would cost a message.
        if let (Some((at, _)), Some(wanted)) = (*timer, wanted)
            && at < wanted
        {
            return;
        }
        if let Some((_, id)) = timer.take() {
            self.mount.cancel_timer(id);
        }
        if let Some(at) = wanted {
            *timer = Some((at, self.mount.set_timer(at, 0)));
            // Whoever sleeps until the next timer must learn of a nearer one.
            self.arrived.notify();
        }
    }

    /// Moves on what is due: rested messages and lost leases become ready, or dead after their last delivery.
    pub(crate) fn run_due(&self) -> storage::Result<()> {
        loop {
            let mut state = self.state.lock();
            let now = self.mount.now();
            state.deduplication.expire(now);
            let due = state.due(now, DUE_BATCH);
            let more = due.len() == DUE_BATCH;
            let mut lost = Vec::new();
            let mut woken = false;
            for (number, leased) in due {
                let entry = &state.entries[&number];
                if leased && entry.deliveries >= state.allowed(entry) {
                    lost.push(Fact::Bury {
                        number,
                        at: now,
                        reason: "the lease of the last delivery ran out".into(),
                    });
                    continue;
                }
                // Not recorded: recovery comes to the same from the moment itself.
                state
                    .shift(number, Stage::READY, leased)
                    .expect("found under this lock");
                woken = true;
            }
            let buried = if lost.is_empty() {
                Ok(None)
            } else {
                self.commit(&mut state, &lost, true).map(Some)
            };
            self.arm(&state);
            drop(state);
            if woken {
                self.arrived.notify();
            }
            if let Some(commit) = buried? {
                self.mount.settle(&commit, Some(Durability::Os))?;
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Keeps what was published for who receives it soon.
    pub(crate) fn remember(&self, facts: Vec<Fact>) {
        let mut recent = self.recent.lock();
        for fact in facts {
            if let Fact::Publish(message) = fact {
                recent.insert(message);
            }
        }
    }

    /// A message that has just been leased; `None` if it was cancelled since.
    pub(crate) fn content(&self, number: u64, at: Address) -> Result<Option<Publish>> {
        let recent = self.recent.lock().take(number);
        match recent {
            Some(message) => Ok(Some(*message)),
            None => self.read(number, at),
        }
    }

    /// The record of a message, wherever it is by now; `None` if the message is gone.
    pub(crate) fn read(&self, number: u64, mut at: Address) -> Result<Option<Publish>> {
        loop {
            let error = match self.mount.read(at) {
                Ok(record) => return Ok(Some(decode(&record)?)),
                Err(error) => error,
            };
            // Garbage collection may have moved the record in between.
            match self.state.lock().entries.get(&number) {
                None => return Ok(None),
                Some(entry) if entry.at == at => return Err(error.into()),
                Some(entry) => at = entry.at,
            }
        }
    }

    pub(crate) fn next_id(&self, state: &mut State) -> MessageId {
        let number = state.next_number;
        state.next_number += 1;
        MessageId {
            number,
            epoch: self.epoch,
        }
    }

    /// Whether `lane` has room for `more` messages.
    pub(crate) fn check_room(state: &State, name: &str, more: u64) -> Result<()> {
        match state.lane(name) {
            Some(lane) if lane.waiting().saturating_add(more) > lane.options.capacity => {
                Err(Error::Full(name.into()))
            }
            _ => Ok(()),
        }
    }
}

fn decode(record: &Bytes) -> storage::Result<Publish> {
    Ok(Publish::decode_shared(record)?)
}
