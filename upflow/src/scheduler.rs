//! Workers: threads or a host that calls, taking runs to drive and steps to execute.
//!
//! Invariant: a step executes outside every lock; its outcome counts only while its run still waits for that attempt.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::JoinHandle;

use bytes::Bytes;
use upkv::storage::{Signal, Store};
use upkv::{Clock, Timestamp};

use crate::error::{Error, Result};
use crate::executor::Task;
use crate::inner::Inner;
use crate::journal::record::Fact;
use crate::outcome::{StepError, StepErrorKind};
use crate::replay::path::{OpId, Position};
use crate::retry::StepOptions;
use crate::step::transact::StepTransaction;
use crate::step::{BoxFuture, StepBody, StepContext};

/// One attempt of one step.
pub(crate) struct Job {
    pub(crate) uid: u64,
    pub(crate) at: Position,
    pub(crate) op: OpId,
    pub(crate) attempt: u32,
    pub(crate) body: StepBody,
    pub(crate) options: StepOptions,
    pub(crate) run_id: Arc<str>,
    pub(crate) key: u128,
    pub(crate) cancel: Arc<AtomicBool>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "attempt {} of {} of run {:?}",
            self.attempt, self.op, self.run_id
        )
    }
}

impl Inner {
    /// Does one thing that is ready; `false` if nothing is.
    pub(crate) fn poll(self: &Arc<Self>, store: &Store) -> Result<bool> {
        if self.state.lock().tasks.is_empty() {
            // A deadline in the past: this only runs the timers that are due.
            let past = Some(Timestamp::from_millis(0));
            store.wait(&self.ready, self.ready.ticket(), past)?;
        }
        let task = self.state.lock().tasks.pop_front();
        match task {
            None => Ok(false),
            Some(Task::Drive(uid)) => self.drive(uid).map(|()| true),
            Some(Task::Step(job)) => self.execute(store, &job).map(|()| true),
        }
    }

    fn execute(self: &Arc<Self>, store: &Store, job: &Job) -> Result<()> {
        let clock = self.mount.clock();
        let deadline = job
            .options
            .timeout
            .map(|span| clock.now().saturating_add(span));
        let step = StepContext {
            run_id: Arc::clone(&job.run_id),
            key: job.key,
            attempt: job.attempt,
            deadline,
            cancel: Arc::clone(&job.cancel),
            clock: Arc::clone(clock),
        };
        let result = match &job.body {
            StepBody::Sync(body) => {
                let result = catch_unwind(AssertUnwindSafe(|| body(&step)));
                let late = deadline.is_some_and(|at| clock.now() >= at);
                if late && matches!(result, Ok(Ok(_))) {
                    Ok(Err(timeout(job)))
                } else {
                    result
                }
            }
            StepBody::Async(body) => catch_unwind(AssertUnwindSafe(|| {
                block_on(body(step), &**clock, deadline).unwrap_or_else(|| Err(timeout(job)))
            })),
            StepBody::Transact(body) => {
                let level = job.options.durability.unwrap_or(self.mount.durability());
                let transaction = StepTransaction::new(store.clone(), self, job, step, level);
                let result = catch_unwind(AssertUnwindSafe(|| body(&transaction)));
                if transaction.is_committed() {
                    // The result is recorded, whatever the closure did after that.
                    return Ok(());
                }
                result.map(|result| result.and_then(|()| Err(uncommitted())))
            }
        };
        let result = result.unwrap_or_else(|panic| Err(StepError::from_panic(&*panic)));
        self.record(job, result)
    }

    /// Records what an attempt came to, if anybody still wants to know.
    fn record(&self, job: &Job, result: Result<Bytes, StepError>) -> Result<()> {
        let mut state = self.state.lock();
        if !state.take_running(job.uid, &job.at, job.attempt) {
            return Ok(());
        }
        let op = job.op.clone();
        let fact = match result {
            Ok(result) => Fact::StepDone { op, result },
            Err(error) => {
                let retry_at = self.next_attempt(job, &error);
                Fact::StepFailed {
                    op,
                    attempt: job.attempt,
                    retry_at,
                    error,
                }
            }
        };
        let level = job.options.durability.unwrap_or(self.mount.durability());
        let entry = self.entry(&state, job.uid, fact);
        let committed = self.commit(&mut state, &[entry], level);
        self.enqueue(&mut state, job.uid);
        committed?;
        Ok(())
    }

    fn next_attempt(&self, job: &Job, error: &StepError) -> Option<Timestamp> {
        let final_kind = matches!(
            error.kind(),
            StepErrorKind::NonRetryable | StepErrorKind::Cancelled
        );
        if final_kind || job.attempt > job.options.retries {
            return None;
        }
        let mut pause = job.options.backoff.delay(job.attempt, self.mount.random());
        if let StepErrorKind::RetryAfter(span) = error.kind() {
            pause = pause.max(span);
        }
        Some(self.mount.now().saturating_add(pause))
    }
}

fn timeout(job: &Job) -> StepError {
    let span = job.options.timeout.unwrap_or_default();
    StepError::new(
        StepErrorKind::Timeout,
        format!("the attempt took longer than {span:?}"),
    )
}

fn uncommitted() -> StepError {
    StepError::non_retryable("the step returned without committing its result in a transaction")
}

struct Notify(Arc<Signal>);

impl Wake for Notify {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

/// Drives a step's future on this thread; `None` if the deadline came first.
fn block_on<T>(
    mut future: BoxFuture<T>,
    clock: &dyn Clock,
    deadline: Option<Timestamp>,
) -> Option<T> {
    let signal = Signal::new();
    let waker = Waker::from(Arc::new(Notify(Arc::clone(&signal))));
    let mut cx = Context::from_waker(&waker);
    loop {
        let ticket = signal.ticket();
        if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
            return Some(value);
        }
        if deadline.is_some_and(|at| clock.now() >= at) {
            return None;
        }
        clock.wait(&signal, ticket, deadline);
    }
}

/// Threads that work on an engine's runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Workers {
    inner: Arc<Inner>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    pub(crate) fn new(inner: &Arc<Inner>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        Self {
            inner: Arc::clone(inner),
            stop,
            threads: Vec::new(),
        }
    }

    pub(crate) fn start(&mut self, store: &Store, count: usize) -> Result<()> {
        let workers = self;
        for number in 0..count {
            let (store, inner) = (store.clone(), Arc::clone(&workers.inner));
            let stop = Arc::clone(&workers.stop);
            let spawned = std::thread::Builder::new()
                .name(format!("upflow-{number}"))
                .spawn(move || work(&store, &inner, &stop))
                .map_err(|e| Error::invalid(format!("a worker thread cannot be started: {e}")))?;
            workers.threads.push(spawned);
            workers.inner.workers.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.inner.ready.notify();
        self.inner
            .workers
            .fetch_sub(self.threads.len(), Ordering::SeqCst);
        let this = std::thread::current().id();
        for thread in self.threads.drain(..) {
            // A step may hold the last handle; its own thread then ends by itself.
            if thread.thread().id() != this {
                let _panicked = thread.join();
            }
        }
    }
}

fn work(store: &Store, inner: &Arc<Inner>, stop: &AtomicBool) {
    /// Pause after a failure that may pass, such as a full disk.
    const PAUSE: std::time::Duration = std::time::Duration::from_millis(500);
    while !stop.load(Ordering::SeqCst) {
        let ticket = inner.ready.ticket();
        match inner.poll(store) {
            Ok(true) => {}
            Ok(false) => {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                // Timers that fail are met again by the next poll.
                let _reported_there = store.wait(&inner.ready, ticket, None);
            }
            Err(_) if store.maintain(std::time::Duration::ZERO).is_err() => {
                // Poisoned or closed: those who wait for results must learn of it.
                inner.changed.notify();
                return;
            }
            Err(_) => {
                let until = inner.mount.now().saturating_add(PAUSE);
                inner.mount.clock().wait(&inner.ready, ticket, Some(until));
            }
        }
    }
}
