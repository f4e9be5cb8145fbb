//! Driving a run: settle, load, hand over, poll, act on new requests; again until there is nothing to do.
//!
//! Invariants: one thread drives a run at a time; the body sees only records that hold at the engine's level; requests are acted on
//! only after the whole journal was handed over without a divergence.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::context::{Ctx, Shared};
use crate::error::Result;
use crate::inner::{Inner, JOURNAL_MAX};
use crate::journal::fold::Turn;
use crate::journal::record::{Fact, Reason};
use crate::outcome::StepError;
use crate::replay::Replay;
use crate::scheduler::Job;
use crate::step::BoxFuture;

/// Something for a worker to do.
#[derive(Debug)]
pub(crate) enum Task {
    Drive(u64),
    Step(Box<Job>),
}

/// A body between polls. Can be dropped at any time: a replay builds it again.
pub(crate) struct Resident {
    pub(crate) shared: Arc<Shared>,
    future: BoxFuture<Result<Bytes, StepError>>,
    waker: Arc<RunWaker>,
    started: bool,
    pub(crate) seed: u64,
}

impl fmt::Debug for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resident")
            .field("run", &self.shared.run_id)
            .finish_non_exhaustive()
    }
}

/// Tells wake-ups by the driving thread from those by anybody else.
pub(crate) struct RunWaker {
    inner: Weak<Inner>,
    uid: u64,
    /// Mark of the thread that polls now; 0 for none.
    polling: AtomicU64,
    again: AtomicBool,
    foreign: AtomicBool,
}

fn thread_mark() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static MARK: u64 = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    MARK.with(|mark| *mark)
}

impl Wake for RunWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.polling.load(Ordering::Acquire) == thread_mark() {
            self.again.store(true, Ordering::Release);
            return;
        }
        self.foreign.store(true, Ordering::Release);
        if let Some(inner) = self.inner.upgrade() {
            let mut state = inner.state.lock();
            inner.enqueue(&mut state, self.uid);
        }
    }
}

/// What became of a body.
enum Advance {
    Waiting,
    Returned(Result<Bytes, StepError>),
    Blocked(Reason),
    Failed(StepError),
    Panicked(StepError),
}

/// Polls in a row without anything happening, after which a body that keeps waking itself is taken to wait for something else.
const IDLE_POLLS_MAX: u32 = 1_000;

impl Resident {
    fn poll(&mut self) -> Option<Advance> {
        let waker = Waker::from(Arc::clone(&self.waker));
        let mut cx = Context::from_waker(&waker);
        for _ in 0..IDLE_POLLS_MAX {
            self.waker.again.store(false, Ordering::Release);
            self.waker.polling.store(thread_mark(), Ordering::Release);
            let future = &mut self.future;
            let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut cx)));
            self.waker.polling.store(0, Ordering::Release);
            let mut replay = self.shared.replay.lock();
            if let Some(reason) = replay.divergence() {
                return Some(Advance::Blocked(reason));
            }
            if let Some(error) = replay.fault() {
                return Some(Advance::Failed(error));
            }
            match polled {
                Err(panic) => return Some(Advance::Panicked(StepError::from_panic(&*panic))),
                Ok(Poll::Ready(result)) => {
                    return Some(match replay.unrequested() {
                        Some(reason) => Advance::Blocked(reason),
                        None => Advance::Returned(result),
                    });
                }
                Ok(Poll::Pending) if !self.waker.again.load(Ordering::Acquire) => return None,
                Ok(Poll::Pending) => {}
            }
        }
        Some(Advance::Blocked(self.shared.replay.lock().foreign()))
    }

    /// Hands over everything loaded, one completion at a time.
    fn advance(&mut self) -> Advance {
        if !self.started {
            self.started = true;
            if let Some(end) = self.poll() {
                return end;
            }
        }
        loop {
            let delivered = self.shared.replay.lock().deliver();
            let Some(woken) = delivered else { break };
            self.waker.polling.store(thread_mark(), Ordering::Release);
            woken.into_iter().for_each(Waker::wake);
            if let Some(end) = self.poll() {
                return end;
            }
        }
        let replay = self.shared.replay.lock();
        if self.waker.foreign.load(Ordering::Acquire) {
            return Advance::Blocked(replay.foreign());
        }
        replay
            .foreign_await()
            .map_or(Advance::Waiting, Advance::Blocked)
    }
}

impl Inner {
    /// Brings a run as far as it gets.
    pub(crate) fn drive(self: &Arc<Self>, uid: u64) -> Result<()> {
        let mut resident = {
            let mut state = self.state.lock();
            let Some(run) = state.runs.get_mut(&uid) else {
                return Ok(());
            };
            run.live.turn = Turn::Driven;
            let resident = run.live.resident.take();
            state.residents -= usize::from(resident.is_some());
            resident
        };
        let result = self.drive_on(uid, &mut resident);
        // Dropped after the lock: dropping a body runs user code.
        let _gone = self.park(uid, resident, &result);
        result
    }

    fn drive_on(self: &Arc<Self>, uid: u64, resident: &mut Option<Box<Resident>>) -> Result<()> {
        loop {
            let (records, unsettled, active) = {
                let mut state = self.state.lock();
                let now = self.mount.now();
                let Some(run) = state.runs.get_mut(&uid) else {
                    return Ok(());
                };
                run.live.turn = Turn::Driven;
                let grace = self.options.cancel_grace;
                let overdue = run
                    .cancel_requested
                    .is_some_and(|at| at.saturating_add(grace) <= now);
                let mut active = run.is_active() && run.blocked.is_none();
                if active && (overdue || run.cancel_requested.is_some() && run.live.unregistered) {
                    let entry = self.entry(&state, uid, Fact::Cancelled);
                    self.commit(&mut state, &[entry], self.mount.durability())?;
                    active = false;
                }
                let Some(run) = state.runs.get_mut(&uid) else {
                    return Ok(());
                };
                if run.body_retry.is_some_and(|at| at > now) {
                    active = false;
                } else {
                    run.body_retry = None;
                }
                (run.journal.len(), run.live.unsettled.take(), active)
            };
            if let Some((commit, level)) = unsettled {
                self.mount.settle(&commit, Some(level))?;
            }
            if !active {
                *resident = None;
                self.changed.notify();
                return Ok(());
            }
            if resident.is_none() {
                *resident = self.start_body(uid)?;
            }
            let Some(body) = resident else {
                if self.is_over_or_unregistered(uid) {
                    return Ok(());
                }
                continue;
            };
            loop {
                let loaded = body.shared.replay.lock().loaded();
                if loaded >= records {
                    break;
                }
                let entry = self.read(uid, loaded)?;
                body.shared.replay.lock().load(entry);
            }
            match body.advance() {
                Advance::Waiting => {
                    if !self.act(uid, body)? {
                        return Ok(());
                    }
                }
                end => {
                    self.conclude(uid, body, end)?;
                    *resident = None;
                }
            }
        }
    }

    fn is_over_or_unregistered(&self, uid: u64) -> bool {
        let state = self.state.lock();
        state.runs.get(&uid).is_none_or(|run| run.live.unregistered)
    }

    /// Calls the registered body with the recorded input; `None` if that is not possible.
    fn start_body(self: &Arc<Self>, uid: u64) -> Result<Option<Box<Resident>>> {
        let entry = self.read(uid, 0)?;
        let Fact::Start {
            id,
            workflow,
            version,
            seed,
            input,
        } = entry.fact
        else {
            return Ok(None);
        };
        let body = self.workflows.read().get(&(workflow, version)).cloned();
        let Some(body) = body else {
            let mut state = self.state.lock();
            if let Some(run) = state.runs.get_mut(&uid) {
                run.live.unregistered = true;
            }
            return Ok(None);
        };
        let shared = Arc::new(Shared {
            replay: Mutex::new(Replay::new(seed, entry.time)),
            run_id: id.into(),
            codec: Arc::clone(&self.options.codec),
        });
        let ctx = Ctx {
            shared: Arc::clone(&shared),
        };
        let started = catch_unwind(AssertUnwindSafe(|| body(ctx, input)))
            .unwrap_or_else(|panic| Err(StepError::from_panic(&*panic)));
        let future = match started {
            Ok(future) => future,
            Err(error) => {
                let mut state = self.state.lock();
                let entry = self.entry(&state, uid, Fact::Failed { error });
                self.commit(&mut state, &[entry], self.mount.durability())?;
                return Ok(None);
            }
        };
        let waker = Arc::new(RunWaker {
            inner: Arc::downgrade(self),
            uid,
            polling: AtomicU64::new(0),
            again: AtomicBool::new(false),
            foreign: AtomicBool::new(false),
        });
        Ok(Some(Box::new(Resident {
            shared,
            future,
            waker,
            started: false,
            seed,
        })))
    }

    /// Records how a body ended, or why it cannot go on.
    fn conclude(&self, uid: u64, body: &Resident, end: Advance) -> Result<()> {
        let cancelled = body.shared.replay.lock().cancelled();
        let mut state = self.state.lock();
        let Some(run) = state.runs.get(&uid) else {
            return Ok(());
        };
        if !run.is_active() {
            return Ok(());
        }
        let fact = match end {
            Advance::Waiting => return Ok(()),
            Advance::Blocked(_) | Advance::Returned(_) | Advance::Failed(_) if cancelled => {
                Fact::Cancelled
            }
            Advance::Blocked(reason) => Fact::Blocked { reason },
            Advance::Returned(Ok(result)) => Fact::Completed { result },
            Advance::Returned(Err(error)) | Advance::Failed(error) => Fact::Failed { error },
            Advance::Panicked(error) => {
                let attempt = run.panics.saturating_add(1);
                if attempt > self.options.body_retries {
                    Fact::Failed { error }
                } else {
                    let pause = self
                        .options
                        .body_backoff
                        .delay(attempt, self.mount.random());
                    let retry_at = self.mount.now().saturating_add(pause);
                    Fact::BodyPanicked {
                        attempt,
                        retry_at,
                        error,
                    }
                }
            }
        };
        let entry = self.entry(&state, uid, fact);
        self.commit(&mut state, &[entry], self.mount.durability())?;
        self.retire(&mut state, 2)?;
        Ok(())
    }

    /// Leaves the run until something happens to it. Returns what has to be dropped outside the lock.
    fn park(
        &self,
        uid: u64,
        resident: Option<Box<Resident>>,
        result: &Result<()>,
    ) -> Option<Box<Resident>> {
        let mut state = self.state.lock();
        let keep = state.residents < self.options.resident_runs;
        let Some(run) = state.runs.get_mut(&uid) else {
            return resident;
        };
        let again = run.live.turn == Turn::DrivenAgain;
        run.live.turn = Turn::Idle;
        let mut dropped = None;
        match resident {
            Some(body) if result.is_ok() => {
                let mut replay = body.shared.replay.lock();
                let waits = replay.waiting();
                let running = &run.live.running;
                run.deadlines = waits
                    .iter()
                    .filter(|(at, _)| running.iter().all(|(other, _)| other != *at))
                    .filter_map(|(at, op)| Some(((*at).clone(), op.retry_at.or(op.until)?)))
                    .collect();
                drop(waits);
                drop(replay);
                if keep || !run.live.running.is_empty() {
                    run.live.resident = Some(body);
                    state.residents += 1;
                } else {
                    dropped = Some(body);
                }
            }
            other => dropped = other,
        }
        self.arm(&mut state, uid);
        // After a passing failure, such as a full disk, the run is tried again when the host goes on.
        let retry = matches!(result, Err(crate::Error::Storage(error)) if !error.is_poisoned());
        if again || retry {
            self.enqueue(&mut state, uid);
        }
        dropped
    }

    /// Whether a journal is so long that its run has to stop.
    pub(crate) fn journal_full(records: usize) -> Option<StepError> {
        (records >= JOURNAL_MAX).then(|| {
            StepError::non_retryable(format!(
                "the journal has {records} records, the limit is {JOURNAL_MAX}"
            ))
        })
    }
}
