//! A command that waits: what is kept of it, how the wait ends, and the caller's side of it.
//!
//! Invariant: a wait ends once, with one outcome, whoever ends it first.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::TIMER_BIT;
use crate::command::{Command, Reply};
use crate::error::{Error, Result};
use crate::keyspace::engine::{Caller, Engine};
use crate::keyspace::work::event::Wait;
use crate::storage::sync::{Mutex, MutexGuard};
use crate::storage::{Commit, ErrorKind, Signal, Store, TimerId, Timestamp};
use crate::value::Kind;

/// A parked command.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(super) caller: Caller,
    pub(super) command: &'static Command,
    pub(super) args: Vec<Box<[u8]>>,
    pub(super) keys: Vec<Box<[u8]>>,
    pub(super) kind: Kind,
    pub(super) deadline: Option<Timestamp>,
    pub(super) empty: Reply,
    pub(super) state: Mutex<State>,
    pub(super) signal: Arc<Signal>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) outcome: Option<Outcome>,
    pub(super) waker: Option<Waker>,
}

/// Why a parked command waits no longer.
#[derive(Debug)]
pub(super) enum Outcome {
    Served(Result<Reply>, Option<Commit>),
    /// The time is over, or another client ended the wait.
    Empty,
    /// Another client ended the wait with an error.
    Unblocked,
    /// The caller does not wait any more, or took the outcome.
    Gone,
    /// The store was closed.
    Closed,
}

impl Waiter {
    pub(super) fn new(
        caller: Caller,
        command: &'static Command,
        args: Vec<Box<[u8]>>,
        wait: Wait,
        now: u64,
    ) -> Arc<Self> {
        let mut keys = wait.keys;
        keys.sort_unstable();
        keys.dedup();
        let deadline = wait.timeout_ms;
        let deadline = deadline.map(|span| Timestamp::from_millis(now.saturating_add(span)));
        Arc::new(Self {
            caller,
            command,
            args,
            keys,
            kind: wait.kind,
            deadline,
            empty: wait.empty,
            state: Mutex::default(),
            signal: Signal::new(),
        })
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.state.lock().outcome.is_none()
    }

    pub(super) fn args(&self) -> Vec<&[u8]> {
        self.args.iter().map(|arg| &**arg).collect()
    }

    /// Whether a key that now holds `found` may have something for it.
    pub(super) fn may_take(&self, found: Option<Kind>) -> bool {
        // Who reads as a member of a group has to hear that the group is gone.
        found == Some(self.kind) || self.command.name == "xreadgroup"
    }

    pub(super) fn end(&self, outcome: Outcome) -> bool {
        let mut state = self.state.lock();
        if state.outcome.is_some() {
            return false;
        }
        self.note(&mut state, outcome);
        true
    }

    pub(super) fn note(&self, state: &mut MutexGuard<'_, State>, outcome: Outcome) {
        state.outcome = Some(outcome);
        self.signal.notify();
    }

    /// Ends the wait on behalf of another client; whether there was one to end.
    pub(crate) fn unblock(&self, with_error: bool) -> bool {
        let outcome = if with_error {
            Outcome::Unblocked
        } else {
            Outcome::Empty
        };
        let ended = self.end(outcome);
        self.wake();
        ended
    }

    pub(super) fn wake(&self) {
        let waker = self.state.lock().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ends the wait if its time is over.
    pub(super) fn expire(&self, now: Timestamp) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.end(Outcome::Empty);
        }
    }
}

/// A caller's hold on its parked command; dropping it ends the wait.
pub(crate) struct Parked {
    engine: Arc<Engine>,
    store: Store,
    waiter: Arc<Waiter>,
    timer: Option<(u64, TimerId)>,
}

impl std::fmt::Debug for Parked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parked").finish_non_exhaustive()
    }
}

impl Parked {
    pub(crate) fn new(engine: &Arc<Engine>, store: &Store, waiter: Arc<Waiter>) -> Self {
        Self {
            engine: Arc::clone(engine),
            store: store.clone(),
            waiter,
            timer: None,
        }
    }

    pub(crate) fn waiter(&self) -> &Arc<Waiter> {
        &self.waiter
    }

    /// The outcome, if there is one.
    fn take(&self) -> Option<Result<Reply>> {
        let waiter = &self.waiter;
        let mut state = waiter.state.lock();
        let outcome = match &state.outcome {
            None => return None,
            Some(_) => state.outcome.replace(Outcome::Gone),
        };
        drop(state);
        Some(match outcome? {
            Outcome::Served(reply, commit) => self.settle(reply, commit.as_ref()),
            Outcome::Empty | Outcome::Gone => Ok(waiter.empty.clone()),
            Outcome::Closed => Err(Error::Storage(ErrorKind::Closed.into())),
            Outcome::Unblocked => Err(Error::refused(
                "UNBLOCKED client unblocked via CLIENT UNBLOCK",
            )),
        })
    }

    fn settle(&self, reply: Result<Reply>, commit: Option<&Commit>) -> Result<Reply> {
        if let (Ok(_), Some(commit)) = (&reply, commit) {
            self.engine.mount.settle(commit, self.waiter.caller.level)?;
        }
        reply
    }

    /// Blocks the thread until the command is served or its time is over.
    pub(crate) fn wait(self) -> Result<Reply> {
        loop {
            let ticket = self.waiter.signal.ticket();
            self.waiter.expire(self.engine.mount.now());
            if let Some(reply) = self.take() {
                return reply;
            }
            // Timers that come due meanwhile are run here, so that keys expire while everybody waits.
            self.store
                .wait(&self.waiter.signal, ticket, self.waiter.deadline)?;
        }
    }

    /// The same for a task.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Reply>> {
        self.waiter.expire(self.engine.mount.now());
        if let Some(deadline) = self.waiter.deadline
            && self.timer.is_none()
        {
            let number = self.engine.server.next_timer();
            self.engine.server.blocked.add_timer(number, &self.waiter);
            let timer = self.engine.mount.set_timer(deadline, TIMER_BIT | number);
            self.timer = Some((number, timer));
        }
        let mut state = self.waiter.state.lock();
        if state.outcome.is_none() {
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        drop(state);
        self.take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.engine.forget(&self.waiter);
        if let Some((number, timer)) = self.timer {
            self.engine.mount.cancel_timer(timer);
            self.engine.server.blocked.forget_timer(number);
        }
    }
}
