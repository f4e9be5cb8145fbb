//! The queues as a pure state machine: facts in, state out. No clock, no lock, no I/O.
//!
//! Invariants: a message is in exactly one of ready, resting, leased, dead; `due` holds exactly the resting and the leased ones by
//! their moments; counts equal contents. Live operation and recovery run the same `fold`.

pub(crate) mod deduplication;
pub(crate) mod lane;

use std::collections::{BTreeMap, BTreeSet};

use ahash::AHashMap;
use upkv::storage::{Address, Mount, Timestamp};

use crate::backoff::Backoff;
use crate::journal::record::{Fact, Publish};
use crate::message::MessageId;
use crate::options::QueueOptions;
use deduplication::Deduplication;
use lane::Lane;

/// Where a message stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// In its line, at a place that the line gave out.
    Ready(u64),
    /// Delayed, or between two deliveries.
    Resting(Timestamp),
    /// With a consumer until a moment; the number tells leases of this opening apart.
    Leased(Timestamp, u64),
    Dead(Box<Grave>),
}

/// Why and when a message was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grave {
    pub(crate) at: Timestamp,
    pub(crate) reason: Box<str>,
}

/// What is kept in memory of one message.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) at: Address,
    pub(crate) lane: u32,
    pub(crate) epoch: u64,
    pub(crate) deliveries: u32,
    pub(crate) retries: Option<u32>,
    pub(crate) priority: u8,
    pub(crate) backoff: Option<Box<Backoff>>,
    pub(crate) stage: Stage,
    /// Whether the message outlives the process, so that its deliveries must be counted across crashes.
    pub(crate) lasting: bool,
}

/// All queues of one engine.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) lanes: Vec<Lane>,
    pub(crate) names: BTreeMap<Box<str>, u32>,
    pub(crate) entries: AHashMap<u64, Entry>,
    pub(crate) due: BTreeSet<(Timestamp, u64)>,
    pub(crate) deduplication: Deduplication,
    /// Above every number in the log.
    pub(crate) next_number: u64,
    /// Leases of this opening.
    pub(crate) leases: u64,
    /// A queue whose lines have too many gaps.
    untidy: Option<u32>,
}

impl Stage {
    /// Ready; its place follows when it enters its line.
    pub(crate) const READY: Self = Self::Ready(0);

    pub(crate) fn is_ready(&self) -> bool {
        matches!(self, Self::Ready(_))
    }
}

impl State {
    pub(crate) fn lane(&self, name: &str) -> Option<&Lane> {
        self.names.get(name).map(|id| &self.lanes[*id as usize])
    }

    /// The message, if it is there and of this id.
    pub(crate) fn entry(&self, id: MessageId) -> Option<&Entry> {
        let entry = self.entries.get(&id.number)?;
        (entry.epoch == id.epoch).then_some(entry)
    }

    /// Deliveries that a message gets.
    pub(crate) fn allowed(&self, entry: &Entry) -> u32 {
        let options = &self.lanes[entry.lane as usize].options;
        entry
            .retries
            .map_or(options.max_deliveries, |retries| retries.saturating_add(1))
    }

    pub(crate) fn rest(&self, entry: &Entry) -> std::time::Duration {
        let backoff = entry.backoff.as_deref();
        let backoff = backoff.unwrap_or(&self.lanes[entry.lane as usize].options.backoff);
        backoff.after(entry.deliveries)
    }

    /// Takes in a fact whose record has its place. An error means that the log contradicts itself.
    pub(crate) fn fold(
        &mut self,
        mount: &Mount,
        fact: &Fact,
        at: Address,
    ) -> Result<(), &'static str> {
        match fact {
            Fact::Publish(message) => self.publish(mount, message, at)?,
            Fact::Move(message) => {
                let entry = self.entries.get_mut(&message.id.number);
                let entry = entry.ok_or("a message moved that is not there")?;
                mount.release(entry.at);
                mount.retain(at);
                entry.at = at;
            }
            Fact::Deliver { until, numbers } => {
                for number in numbers {
                    self.leases += 1;
                    let lease = self.leases;
                    let entry = self.shift(*number, Stage::Leased(*until, lease), false)?;
                    entry.deliveries = entry.deliveries.saturating_add(1);
                }
            }
            Fact::Ack { numbers } | Fact::Remove { numbers } => {
                for number in numbers {
                    let entry = self.take(*number)?;
                    mount.release(entry.at);
                }
            }
            Fact::Retry { number, at } => {
                self.shift(*number, Stage::Resting(*at), false)?;
            }
            Fact::Release { number } => {
                let entry = self.shift(*number, Stage::READY, true)?;
                entry.deliveries = entry.deliveries.saturating_sub(1);
            }
            Fact::Extend { number, until } => {
                let entry = self.entries.get(number).ok_or("an unknown message")?;
                let Stage::Leased(_, lease) = entry.stage else {
                    return Err("a lease was extended that is not there");
                };
                self.shift(*number, Stage::Leased(*until, lease), false)?;
            }
            Fact::Bury { number, at, reason } => {
                let grave = Grave {
                    at: *at,
                    reason: reason.clone(),
                };
                self.shift(*number, Stage::Dead(Box::new(grave)), false)?;
            }
            Fact::Redrive { numbers } => {
                for number in numbers {
                    self.shift(*number, Stage::READY, false)?.deliveries = 0;
                }
            }
            Fact::Lane {
                id,
                name,
                paused,
                options,
            } => self.configure(*id, name, *paused, *options)?,
        }
        self.tidy();
        Ok(())
    }

    fn publish(
        &mut self,
        mount: &Mount,
        message: &Publish,
        at: Address,
    ) -> Result<(), &'static str> {
        let number = message.id.number;
        if message.lane as usize >= self.lanes.len() {
            return Err("a message in an unknown queue");
        }
        if self.entries.contains_key(&number) {
            return Err("a message number twice");
        }
        mount.retain(at);
        self.next_number = self.next_number.max(number + 1);
        if let Some((key, until)) = &message.deduplication {
            self.deduplication.insert(key, message.id, *until);
        }
        let delayed = message.not_before > message.published;
        let mut entry = Entry {
            at,
            lane: message.lane,
            epoch: message.id.epoch,
            deliveries: 0,
            retries: message.retries,
            priority: message.priority,
            backoff: message.backoff.map(Box::new),
            lasting: true,
            stage: if delayed {
                Stage::Resting(message.not_before)
            } else {
                Stage::READY
            },
        };
        self.enter(number, &mut entry, false);
        self.entries.insert(number, entry);
        Ok(())
    }

    fn configure(
        &mut self,
        id: u32,
        name: &str,
        paused: bool,
        options: QueueOptions,
    ) -> Result<(), &'static str> {
        let index = id as usize;
        if index == self.lanes.len() && !self.names.contains_key(name) {
            self.names.insert(name.into(), id);
            self.lanes.push(Lane::new(name));
        }
        let lane = self.lanes.get_mut(index).ok_or("queues out of order")?;
        if &*lane.name != name {
            return Err("a queue under another name");
        }
        lane.paused = paused;
        lane.options = options;
        Ok(())
    }

    /// Puts a message of the given stage where it belongs.
    pub(crate) fn enter(&mut self, number: u64, entry: &mut Entry, front: bool) {
        enter(&mut self.lanes, &mut self.due, number, entry, front);
    }

    pub(crate) fn shift(
        &mut self,
        number: u64,
        stage: Stage,
        front: bool,
    ) -> Result<&mut Entry, &'static str> {
        let entry = self.entries.get_mut(&number).ok_or("an unknown message")?;
        self.untidy = leave(&mut self.lanes, &mut self.due, number, entry).or(self.untidy);
        entry.stage = stage;
        enter(&mut self.lanes, &mut self.due, number, entry, front);
        Ok(entry)
    }

    /// Closes the gaps in the lines of a queue once they are most of a line.
    pub(crate) fn tidy(&mut self) {
        let Some(lane) = self.untidy.take() else {
            return;
        };
        let entries = &mut self.entries;
        self.lanes[lane as usize].tidy(|number, place| {
            if let Some(entry) = entries.get_mut(&number) {
                entry.stage = Stage::Ready(place);
            }
        });
    }

    fn take(&mut self, number: u64) -> Result<Entry, &'static str> {
        let entry = self.entries.remove(&number).ok_or("an unknown message")?;
        self.untidy = leave(&mut self.lanes, &mut self.due, number, &entry).or(self.untidy);
        Ok(entry)
    }

    /// The messages of these facts are lost with the process, and so are their deliveries.
    pub(crate) fn forget_crashes(&mut self, facts: &[Fact]) {
        for fact in facts {
            if let Fact::Publish(message) = fact
                && let Some(entry) = self.entries.get_mut(&message.id.number)
            {
                entry.lasting = false;
            }
        }
    }

    /// Numbers that are due, with whether each was leased; at most `most`.
    pub(crate) fn due(&self, now: Timestamp, most: usize) -> Vec<(u64, bool)> {
        let due = self.due.iter().take_while(|(at, _)| *at <= now).take(most);
        let leased = |number: &u64| matches!(self.entries[number].stage, Stage::Leased(..));
        due.map(|(_, number)| (*number, leased(number))).collect()
    }

    /// When something is due next.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let message = self.due.first().map(|(at, _)| *at);
        let deduplication = self.deduplication.next_expiry();
        message.into_iter().chain(deduplication).min()
    }
}

fn enter(
    lanes: &mut [Lane],
    due: &mut BTreeSet<(Timestamp, u64)>,
    number: u64,
    entry: &mut Entry,
    front: bool,
) {
    let lane = &mut lanes[entry.lane as usize];
    match &mut entry.stage {
        Stage::Ready(place) => *place = lane.push_ready(entry.priority, number, front),
        Stage::Resting(at) => {
            lane.resting += 1;
            due.insert((*at, number));
        }
        Stage::Leased(until, _) => {
            lane.leased += 1;
            due.insert((*until, number));
        }
        Stage::Dead(_) => {
            lane.dead.insert(number);
        }
    }
}

/// Undoes [`enter`]. The queue, if its lines are untidy now.
fn leave(
    lanes: &mut [Lane],
    due: &mut BTreeSet<(Timestamp, u64)>,
    number: u64,
    entry: &Entry,
) -> Option<u32> {
    let lane = &mut lanes[entry.lane as usize];
    match &entry.stage {
        Stage::Ready(place) => {
            lane.forget_ready(entry.priority, number, *place);
            return lane.is_untidy().then_some(entry.lane);
        }
        Stage::Resting(at) => {
            lane.resting -= 1;
            due.remove(&(*at, number));
        }
        Stage::Leased(until, _) => {
            lane.leased -= 1;
            due.remove(&(*until, number));
        }
        Stage::Dead(_) => {
            lane.dead.remove(&number);
        }
    }
    None
}
