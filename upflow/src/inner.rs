//! The engine behind its handles: state under one lock, records in, wake-ups out.
//!
//! Lock order: a run's `replay` is never held while the engine's `state` is taken by the same thread, and user code is never called
//! with `state` held.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use upkv::storage::{self, Commit, Durability, Frame, Mount, Signal};

use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::executor::Task;
use crate::journal::fold::{State, Turn};
use crate::journal::record::{Entry, Fact};
use crate::outcome::StepError;
use crate::payload::Codec;
use crate::replay::NAME_BYTES_MAX;
use crate::retry::Backoff;
use crate::step::BoxFuture;

/// A registered body: context and input to the future that is the run.
pub(crate) type Body =
    Arc<dyn Fn(Ctx, Bytes) -> Result<BoxFuture<Result<Bytes, StepError>>, StepError> + Send + Sync>;

/// Events that may wait in one run's mailbox.
pub(crate) const MAIL_MAX: usize = 100_000;
/// Records one run may have: its body runs again over all of them.
pub(crate) const JOURNAL_MAX: usize = 100_000;

/// Settings of an engine.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) codec: Arc<dyn Codec>,
    pub(crate) keep_ended: usize,
    pub(crate) keep_ended_for: Duration,
    pub(crate) cancel_grace: Duration,
    pub(crate) resident_runs: usize,
    pub(crate) body_retries: u32,
    pub(crate) body_backoff: Backoff,
}

pub(crate) struct Inner {
    pub(crate) mount: Mount,
    pub(crate) options: Options,
    pub(crate) state: Mutex<State>,
    pub(crate) workflows: RwLock<BTreeMap<(Box<str>, u32), Body>>,
    /// Work is ready, or a nearer timer was set.
    pub(crate) ready: Arc<Signal>,
    /// A run ended, was blocked or went on.
    pub(crate) changed: Arc<Signal>,
    /// Threads that work on runs.
    pub(crate) workers: AtomicUsize,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("mount", &self.mount.id())
            .finish_non_exhaustive()
    }
}

/// Adds a record to a commit; returns its index there.
pub(crate) fn push(frame: &mut Frame, mount: &Mount, entry: &Entry) -> usize {
    let (head, payload) = entry.encode();
    frame.push_shared(mount, entry.fact.kind(), &head, payload)
}

/// Refuses a name that is empty or too long.
pub(crate) fn check_name(what: &str, name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        let text = format!(
            "{what} of {} bytes is not in 1..={NAME_BYTES_MAX}",
            name.len()
        );
        return Err(Error::invalid(text));
    }
    Ok(())
}

impl Inner {
    pub(crate) fn new(mount: Mount, options: Options) -> Self {
        Self {
            mount,
            options,
            state: Mutex::default(),
            workflows: RwLock::default(),
            ready: Signal::new(),
            changed: Signal::new(),
            workers: AtomicUsize::new(0),
        }
    }

    /// The next record of a run.
    pub(crate) fn entry(&self, state: &State, uid: u64, fact: Fact) -> Entry {
        let index = state
            .runs
            .get(&uid)
            .map_or(0, crate::journal::fold::Run::next_index);
        Entry {
            run: uid,
            index,
            time: self.mount.now(),
            fact,
        }
    }

    /// Commits records and takes them in. Called with the lock of `state` held.
    pub(crate) fn commit(
        &self,
        state: &mut State,
        entries: &[Entry],
        level: Durability,
    ) -> storage::Result<Commit> {
        let mut frame = self.mount.frame();
        for entry in entries {
            push(&mut frame, &self.mount, entry);
        }
        let commit = self.mount.append(&mut frame)?;
        for (index, entry) in entries.iter().enumerate() {
            self.publish(state, entry, &commit, index, level);
        }
        Ok(commit)
    }

    /// Takes in record `index` of a commit that has its place.
    pub(crate) fn publish(
        &self,
        state: &mut State,
        entry: &Entry,
        commit: &Commit,
        index: usize,
        level: Durability,
    ) {
        state
            .fold(&self.mount, entry, commit.address(index))
            .expect("records are numbered under the lock they are folded under");
        let Some(run) = state.runs.get_mut(&entry.run) else {
            return;
        };
        let level = match run.live.unsettled.take() {
            Some((_, before)) if rank(before) > rank(level) => before,
            _ => level,
        };
        run.live.unsettled = Some((commit.clone(), level));
    }

    /// Has somebody look after the run soon.
    pub(crate) fn enqueue(&self, state: &mut State, uid: u64) {
        let Some(run) = state.runs.get_mut(&uid) else {
            return;
        };
        match run.live.turn {
            Turn::Idle => {
                run.live.turn = Turn::Queued;
                state.tasks.push_back(Task::Drive(uid));
                self.ready.notify();
            }
            Turn::Driven => run.live.turn = Turn::DrivenAgain,
            Turn::Queued | Turn::DrivenAgain => {}
        }
    }

    /// Makes the store's timer agree with the run's next deadline.
    pub(crate) fn arm(&self, state: &mut State, uid: u64) {
        let Some(run) = state.runs.get_mut(&uid) else {
            return;
        };
        let wanted = run.next_deadline(self.options.cancel_grace);
        if run.live.timer.map(|(_, at)| at) == wanted {
            return;
        }
        if let Some((id, _)) = run.live.timer.take() {
            self.mount.cancel_timer(id);
        }
        if let Some(at) = wanted {
            run.live.timer = Some((self.mount.set_timer(at, uid), at));
            // Whoever sleeps until the next timer must learn of a nearer one.
            self.ready.notify();
        }
    }

    /// The record at `index` of a run's journal.
    pub(crate) fn read(&self, uid: u64, index: usize) -> Result<Entry> {
        let address = || {
            let state = self.state.lock();
            state
                .runs
                .get(&uid)
                .and_then(|run| run.journal.get(index))
                .copied()
        };
        let mut at = address();
        loop {
            let Some(here) = at else {
                return Err(Error::NoSuchRun(format!("number {uid}").into()));
            };
            match self.mount.read(here) {
                Ok(body) => return Ok(Entry::decode(&body).map_err(storage::Error::from)?),
                Err(error) => {
                    // Garbage collection may have moved the record in between.
                    at = address();
                    if at == Some(here) {
                        return Err(error.into());
                    }
                }
            }
        }
    }

    /// Removes ended runs that are too many or too old, at most `most`; whether more are waiting.
    pub(crate) fn retire(&self, state: &mut State, most: usize) -> storage::Result<bool> {
        let now = self.mount.now();
        for _ in 0..most {
            let Some(uid) = state.ended.front().copied() else {
                return Ok(false);
            };
            let Some(run) = state.runs.get(&uid) else {
                return Ok(false);
            };
            let old = now.saturating_since(run.ended) > self.options.keep_ended_for;
            // One that somebody still settles is left for the next time.
            let busy = run.live.turn != Turn::Idle;
            if busy || !(old || state.ended.len() > self.options.keep_ended) {
                return Ok(false);
            }
            let entry = self.entry(state, uid, Fact::Tombstone);
            let mut frame = self.mount.frame();
            frame.mark_freeing();
            push(&mut frame, &self.mount, &entry);
            let commit = self.mount.append(&mut frame)?;
            self.publish(state, &entry, &commit, 0, self.mount.durability());
        }
        Ok(true)
    }
}

/// Levels by what they survive.
fn rank(level: Durability) -> (u8, std::cmp::Reverse<Duration>) {
    let rank = match level {
        Durability::Memory => 0,
        Durability::Os => 1,
        Durability::Interval(every) => return (2, std::cmp::Reverse(every)),
        _ => 3,
    };
    (rank, std::cmp::Reverse(Duration::ZERO))
}
