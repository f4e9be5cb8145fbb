//! The handle of the engine: publishing, receiving, administration.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use upkv::Store;
use upkv::storage::{Commit, Durability, MountOptions, Timestamp};

use crate::backoff::millis;
use crate::builder::Builder;
use crate::dead::DeadLetters;
use crate::error::{Error, Result};
use crate::inner::Inner;
use crate::job::{Job, LeaseToken};
use crate::journal::record::Fact;
use crate::message::{Message, MessageId, Receipt, check_name};
use crate::options::{EngineOptions, QueueOptions};
use crate::state::{Entry, Stage, State};
use crate::stats::QueueStats;

/// The store's number for engines of this kind.
const KIND: u8 = 3;
/// Messages that one receive hands out, at most.
const RECEIVE_MAX: usize = 1_000;
/// Messages that one commit of an administrative call touches.
const CHUNK: usize = 1_000;

/// An engine with any number of named queues, mounted on a store.
///
/// Cheap to clone; all clones are the same engine and may be used from any thread. Calls block for as long as the durability level
/// asks; none needs a runtime, and no thread is started.
#[derive(Clone, Debug)]
pub struct Queue {
    store: Store,
    inner: Arc<Inner>,
}

/// The facts of a publish, and for each message its id and whether it is a duplicate.
pub(crate) type Prepared = (Vec<Fact>, Vec<(MessageId, bool)>);

/// A message picked for delivery.
struct Picked {
    number: u64,
    lease: u64,
    entry: Entry,
    until: Timestamp,
}

impl Queue {
    /// Opens a directory of its own with default settings.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`]: the directory is locked, damaged, of an unknown format, or cannot be created.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder(path).open()
    }

    /// Settings for a queue in a directory of its own.
    pub fn builder(path: impl AsRef<Path>) -> Builder {
        Builder::new(Some(path.as_ref()))
    }

    /// A queue without files.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub fn memory() -> Result<Self> {
        Builder::new(None).open()
    }

    /// Mounts the engine `name` on a store that other engines may share.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`]: an empty name or one over 255 bytes, a closed store, or damage in the log.
    pub fn mount(store: &Store, name: &str) -> Result<Self> {
        Self::mount_with(store, name, EngineOptions::new())
    }

    /// As [`Queue::mount`] with options. An engine that is mounted already keeps its options.
    ///
    /// # Errors
    ///
    /// As [`Queue::mount`].
    pub fn mount_with(store: &Store, name: &str, options: EngineOptions) -> Result<Self> {
        let mut mount = MountOptions::with_default(Durability::Disk);
        mount.durability_override = options.durability;
        let make = |mount| Arc::new(Inner::new(mount, options));
        Ok(Self {
            store: store.clone(),
            inner: store.mount_participant(KIND, name, mount, make)?,
        })
    }

    /// The store underneath.
    pub fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Closes the store, with every engine mounted on it.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] if the last commits cannot be written.
    pub fn close(&self) -> Result<()> {
        Ok(self.store.close()?)
    }

    // --- publishing

    /// Publishes one message; its queue appears if it is new.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`], [`Error::TooLarge`], [`Error::Full`]; [`Error::Storage`].
    ///
    /// # Durability
    ///
    /// That of the message, or of the engine: by default the message survives a power cut when this returns.
    pub fn publish(&self, message: Message) -> Result<Receipt> {
        self.publish_many([message]).map(|receipts| receipts[0])
    }

    /// Publishes several messages in one commit: all of them or none. One receipt each, in order.
    ///
    /// # Errors
    ///
    /// As [`Queue::publish`], for the first message that is refused; nothing is published then. The strongest level among the
    /// messages holds for all.
    pub fn publish_many(
        &self,
        messages: impl IntoIterator<Item = Message>,
    ) -> Result<Vec<Receipt>> {
        let messages: Vec<Message> = messages.into_iter().collect();
        messages.iter().try_for_each(Message::check)?;
        let level = strongest(
            messages.iter().map(|message| message.durability),
            &self.inner,
        );
        let mut state = self.inner.state.lock();
        let (facts, made) = self.inner.prepare(&mut state, messages)?;
        let commit = self.inner.commit(&mut state, &facts, false)?;
        self.inner.arm(&state);
        let ready = facts.iter().any(is_ready);
        if matches!(
            level.unwrap_or(self.inner.mount.durability()),
            Durability::Memory
        ) {
            state.forget_crashes(&facts);
        }
        drop(state);
        self.inner.remember(facts);
        if ready {
            self.inner.arrived.notify();
        }
        self.inner.mount.settle(&commit, level)?;
        let token = self.inner.mount.token(commit.seq);
        let receipt = |(id, deduplicated)| Receipt {
            id,
            deduplicated,
            token,
        };
        Ok(made.into_iter().map(receipt).collect())
    }

    // --- receiving

    /// Leases the next message of a queue, waiting for one up to `wait`; zero looks once. `None` if there is none, or the queue is
    /// paused or unknown.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a bad name; [`Error::Storage`].
    ///
    /// # Durability
    ///
    /// The delivery is counted before this returns, at level `Os`: a message that kills its process uses up its deliveries.
    pub fn receive(&self, queue: &str, wait: Duration) -> Result<Option<Job>> {
        Ok(self.receive_many(queue, 1, wait)?.pop())
    }

    /// Leases up to `most` messages, at most 1,000, in one commit; waits for the first only.
    ///
    /// # Errors
    ///
    /// As [`Queue::receive`].
    pub fn receive_many(&self, queue: &str, most: usize, wait: Duration) -> Result<Vec<Job>> {
        check_name(queue)?;
        let deadline = self.inner.mount.now().saturating_add(wait);
        loop {
            let ticket = self.inner.arrived.ticket();
            let jobs = self.take(queue, most.min(RECEIVE_MAX))?;
            if !jobs.is_empty() || wait.is_zero() || most == 0 {
                return Ok(jobs);
            }
            if self.inner.mount.now() >= deadline {
                return Ok(Vec::new());
            }
            self.store
                .wait(&self.inner.arrived, ticket, Some(deadline))?;
        }
    }

    /// What is ready now.
    fn take(&self, queue: &str, most: usize) -> Result<Vec<Job>> {
        if self.inner.is_due() {
            self.inner.run_due()?;
        }
        let (picked, commit) = {
            let mut state = self.inner.state.lock();
            let Some((picked, commit)) = self.lease(&mut state, queue, most)? else {
                return Ok(Vec::new());
            };
            self.inner.arm(&state);
            (picked, commit)
        };
        let mount = &self.inner.mount;
        // A delivery must outlive the process wherever its message does, or a message that kills it would come for ever.
        let counted = mount.durability() != Durability::Memory
            || (!mount.is_memory() && picked.iter().any(|picked| picked.entry.lasting));
        let level = if counted {
            Durability::Os
        } else {
            Durability::Memory
        };
        mount.settle(&commit, Some(level))?;
        let mut jobs = Vec::with_capacity(picked.len());
        for picked in picked {
            // A message cancelled in between has no record to read.
            if let Some(message) = self.inner.content(picked.number, picked.entry.at)? {
                let token = LeaseToken {
                    id: message.id,
                    lease: picked.lease,
                    opening: self.inner.opening,
                };
                let attempt = picked.entry.deliveries;
                jobs.push(Job::new(
                    self.clone(),
                    token,
                    message,
                    attempt,
                    picked.until,
                ));
            }
        }
        Ok(jobs)
    }

    fn lease(
        &self,
        state: &mut State,
        queue: &str,
        most: usize,
    ) -> Result<Option<(Vec<Picked>, Commit)>> {
        let Some(lane) = state.lane(queue) else {
            return Ok(None);
        };
        if lane.paused || lane.ready == 0 {
            return Ok(None);
        }
        let now = self.inner.mount.now();
        let until = now.saturating_add(lane.options.lease);
        let mut numbers = Vec::new();
        let mut facts = Vec::new();
        for number in lane.line() {
            if numbers.len() == most {
                break;
            }
            let entry = &state.entries[&number];
            if entry.deliveries >= state.allowed(entry) {
                // Its last delivery took the process with it.
                facts.push(Fact::Bury {
                    number,
                    at: now,
                    reason: "the process stopped during the last delivery".into(),
                });
            } else {
                numbers.push(number);
            }
        }
        if !numbers.is_empty() {
            facts.push(Fact::Deliver {
                until,
                numbers: numbers.clone(),
            });
        }
        if facts.is_empty() {
            return Ok(None);
        }
        let commit = self.inner.commit(state, &facts, true)?;
        let picked = numbers.into_iter().map(|number| {
            let entry = state.entries[&number].clone();
            let Stage::Leased(until, lease) = entry.stage else {
                unreachable!("leased by the commit above")
            };
            Picked {
                number,
                lease,
                entry,
                until,
            }
        });
        Ok(Some((picked.collect(), commit)))
    }

    /// Acknowledges a delivery by its token, for consumers that cannot keep the [`Job`].
    ///
    /// # Errors
    ///
    /// [`Error::LeaseLost`]; [`Error::Storage`].
    pub fn ack(&self, token: LeaseToken) -> Result<()> {
        self.answer(token, |_, _| Fact::Ack {
            numbers: vec![token.id.number],
        })
    }

    /// Starts the lease anew: it now ends `span` from now, at most 12 hours. The new end.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseLost`]; [`Error::Storage`].
    pub fn extend(&self, token: LeaseToken, span: Duration) -> Result<Timestamp> {
        let until = self
            .inner
            .mount
            .now()
            .saturating_add(span.min(crate::options::LEASE_MAX));
        self.answer(token, |_, _| Fact::Extend {
            number: token.id.number,
            until,
        })?;
        Ok(until)
    }

    /// Says that a delivery failed: the message rests as its backoff says, or for `rest`, or dies after its last delivery.
    pub(crate) fn nack(&self, token: LeaseToken, rest: Option<Duration>, why: &str) -> Result<()> {
        let now = self.inner.mount.now();
        self.answer(token, |state, entry| {
            if entry.deliveries >= state.allowed(entry) {
                bury(token.id.number, now, why)
            } else {
                let rest = rest.unwrap_or_else(|| state.rest(entry));
                Fact::Retry {
                    number: token.id.number,
                    at: now.saturating_add(rest.min(crate::backoff::REST_MAX)),
                }
            }
        })
    }

    pub(crate) fn bury(&self, token: LeaseToken, why: &str) -> Result<()> {
        let now = self.inner.mount.now();
        self.answer(token, |_, _| bury(token.id.number, now, why))
    }

    pub(crate) fn release(&self, token: LeaseToken) -> Result<()> {
        self.answer(token, |_, _| Fact::Release {
            number: token.id.number,
        })
    }

    fn answer(&self, token: LeaseToken, fact: impl FnOnce(&State, &Entry) -> Fact) -> Result<()> {
        let mut state = self.inner.state.lock();
        let entry = self.inner.leased(&state, token)?;
        let fact = fact(&state, entry);
        let level = match fact {
            Fact::Ack { .. } => self.inner.options.ack_durability,
            _ => None,
        };
        let woken = matches!(fact, Fact::Release { .. } | Fact::Retry { .. });
        let commit = self.inner.commit(&mut state, &[fact], true)?;
        self.inner.arm(&state);
        drop(state);
        if woken {
            self.inner.arrived.notify();
        }
        Ok(self.inner.mount.settle(&commit, level)?)
    }

    // --- administration

    /// Sets the options of a queue, which appears if it is new.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a value out of range; [`Error::Storage`].
    pub fn configure(&self, queue: &str, options: QueueOptions) -> Result<()> {
        options.check()?;
        self.change_lane(queue, |_, old| {
            *old = options;
        })
    }

    /// Stops handing out messages of a queue; they are still taken in. Holds until resumed, also across restarts.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a bad name; [`Error::Storage`].
    pub fn pause(&self, queue: &str) -> Result<()> {
        self.change_lane(queue, |paused, _| *paused = true)
    }

    /// Hands out messages of a queue again, the oldest first.
    ///
    /// # Errors
    ///
    /// As [`Queue::pause`].
    pub fn resume(&self, queue: &str) -> Result<()> {
        self.change_lane(queue, |paused, _| *paused = false)
    }

    fn change_lane(
        &self,
        queue: &str,
        change: impl FnOnce(&mut bool, &mut QueueOptions),
    ) -> Result<()> {
        check_name(queue)?;
        let mut state = self.inner.state.lock();
        let mut facts = Vec::new();
        let id = Inner::lane(&state, queue, &mut facts);
        let lane = state.lane(queue);
        let mut paused = lane.is_some_and(|lane| lane.paused);
        let mut options = lane.map_or_else(QueueOptions::new, |lane| lane.options);
        change(&mut paused, &mut options);
        let fact = Fact::Lane {
            id,
            name: queue.into(),
            paused,
            options,
        };
        let commit = self.inner.commit(&mut state, &[fact], false)?;
        drop(state);
        self.inner.arrived.notify();
        Ok(self.inner.mount.settle(&commit, None)?)
    }

    /// The names of all queues, sorted.
    pub fn list(&self) -> Vec<String> {
        let state = self.inner.state.lock();
        state.names.keys().map(ToString::to_string).collect()
    }

    /// What a queue holds; all zero if it is unknown.
    pub fn stats(&self, queue: &str) -> QueueStats {
        let state = self.inner.state.lock();
        state
            .lane(queue)
            .map_or_else(QueueStats::default, |lane| QueueStats {
                ready: lane.ready,
                delayed: lane.resting,
                leased: lane.leased,
                dead: lane.dead.len() as u64,
                paused: lane.paused,
            })
    }

    /// Takes a message out, wherever it is; a consumer that holds it loses its lease. Whether it was there.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn cancel(&self, id: MessageId) -> Result<bool> {
        self.on_message(id, |_| true, |numbers| Fact::Remove { numbers })
    }

    /// Takes all messages out of a queue but the dead letters; how many there were.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn purge(&self, queue: &str) -> Result<usize> {
        self.on_lane(
            queue,
            |entry| !is_dead(entry),
            |numbers| Fact::Remove { numbers },
        )
    }

    // --- dead letters

    /// The dead letters of a queue, oldest message first, read as the iterator moves.
    pub fn dead_letters(&self, queue: &str) -> DeadLetters {
        DeadLetters::new(self.clone(), queue)
    }

    /// Makes a dead letter a message again, with all its deliveries before it. Whether it was there.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn redrive(&self, id: MessageId) -> Result<bool> {
        self.on_message(id, is_dead, |numbers| Fact::Redrive { numbers })
    }

    /// [`Queue::redrive`] for all dead letters of a queue; how many there were.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn redrive_all(&self, queue: &str) -> Result<usize> {
        self.on_lane(queue, is_dead, |numbers| Fact::Redrive { numbers })
    }

    /// Removes a dead letter. Whether it was there.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn delete_dead(&self, id: MessageId) -> Result<bool> {
        self.on_message(id, is_dead, |numbers| Fact::Remove { numbers })
    }

    fn on_message(
        &self,
        id: MessageId,
        fits: impl FnOnce(&Entry) -> bool,
        fact: impl FnOnce(Vec<u64>) -> Fact,
    ) -> Result<bool> {
        let mut state = self.inner.state.lock();
        if !state.entry(id).is_some_and(fits) {
            return Ok(false);
        }
        let commit = self
            .inner
            .commit(&mut state, &[fact(vec![id.number])], true)?;
        self.inner.arm(&state);
        drop(state);
        self.inner.arrived.notify();
        self.inner.mount.settle(&commit, None)?;
        Ok(true)
    }

    fn on_lane(
        &self,
        queue: &str,
        fits: impl Fn(&Entry) -> bool,
        fact: impl Fn(Vec<u64>) -> Fact,
    ) -> Result<usize> {
        let mut state = self.inner.state.lock();
        let Some(lane) = state.names.get(queue).copied() else {
            return Ok(0);
        };
        let entries = state.entries.iter();
        let fitting = entries.filter(|(_, entry)| entry.lane == lane && fits(entry));
        let mut numbers: Vec<u64> = fitting.map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        let facts: Vec<Fact> = numbers
            .chunks(CHUNK)
            .map(|chunk| fact(chunk.to_vec()))
            .collect();
        if facts.is_empty() {
            return Ok(0);
        }
        let commit = self.inner.commit(&mut state, &facts, true)?;
        self.inner.arm(&state);
        drop(state);
        self.inner.arrived.notify();
        self.inner.mount.settle(&commit, None)?;
        Ok(numbers.len())
    }
}

fn is_dead(entry: &Entry) -> bool {
    matches!(entry.stage, Stage::Dead(_))
}

pub(crate) fn is_ready(fact: &Fact) -> bool {
    matches!(fact, Fact::Publish(message) if message.not_before <= message.published)
}

fn bury(number: u64, at: Timestamp, why: &str) -> Fact {
    let mut end = why.len().min(crate::journal::record::REASON_BYTES_MAX);
    while !why.is_char_boundary(end) {
        end -= 1;
    }
    Fact::Bury {
        number,
        at,
        reason: why[..end].into(),
    }
}

/// The strongest of the levels asked for; `None` stands for the engine's.
fn strongest(
    levels: impl Iterator<Item = Option<Durability>>,
    inner: &Inner,
) -> Option<Durability> {
    let rank = |level: Durability| match level {
        Durability::Memory => (0, 0),
        Durability::Os => (1, 0),
        // A shorter interval promises more.
        Durability::Interval(every) => (2, u64::MAX - millis(every)),
        _ => (3, 0),
    };
    levels
        .map(|level| level.unwrap_or(inner.mount.durability()))
        .max_by_key(|level| rank(*level))
}

impl Inner {
    /// The facts that publish `messages`, and for each its id and whether it is a duplicate.
    pub(crate) fn prepare(&self, state: &mut State, messages: Vec<Message>) -> Result<Prepared> {
        let now = self.mount.now();
        let mut facts = Vec::with_capacity(messages.len());
        let mut made: Vec<(MessageId, bool)> = Vec::with_capacity(messages.len());
        let window = self.options.deduplication_window;
        // Ids published by this call, which the state does not know yet.
        let mut own: AHashMap<Vec<u8>, MessageId> = AHashMap::new();
        let first_number = state.next_number;
        let mut added: BTreeMap<u32, u64> = BTreeMap::new();
        for message in messages {
            let earlier = |key: &[u8]| {
                let before = state.deduplication.find(key, now);
                before.or_else(|| own.get(key).copied())
            };
            if let Some(first) = message.deduplicates_by().and_then(earlier) {
                made.push((first, true));
                continue;
            }
            let lane = Self::lane(state, &message.queue, &mut facts);
            let more = added.entry(lane).or_insert(0);
            *more += 1;
            if let Err(full) = Self::check_room(state, &message.queue, *more) {
                state.next_number = first_number;
                return Err(full);
            }
            let id = self.next_id(state);
            if let Some(key) = message.deduplicates_by() {
                own.insert(key.to_vec(), id);
            }
            made.push((id, false));
            facts.push(Fact::Publish(Box::new(
                message.record(lane, id, now, window),
            )));
        }
        Ok((facts, made))
    }

    /// The message that `token` is a lease of.
    pub(crate) fn leased<'s>(&self, state: &'s State, token: LeaseToken) -> Result<&'s Entry> {
        let entry = state.entry(token.id);
        let holds = |entry: &&Entry| {
            token.opening == self.opening
                && matches!(entry.stage, Stage::Leased(_, lease) if lease == token.lease)
        };
        entry.filter(holds).ok_or(Error::LeaseLost(token.id))
    }

    fn is_due(&self) -> bool {
        let now = self.mount.now();
        let state = self.state.lock();
        state.next_due().is_some_and(|at| at <= now)
    }
}
