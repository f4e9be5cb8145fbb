//! Read-only views: lists of runs, and everything about one.

use std::collections::BTreeMap;

use upkv::Timestamp;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::journal::fold::{Run, Status};
use crate::journal::record::{Entry, Fact};
use crate::outcome::StepError;
use crate::replay::path::{OpId, Position};
use crate::run::RunState;

/// One run in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunInfo {
    /// Its id.
    pub id: Box<str>,
    /// Its workflow.
    pub workflow: Box<str>,
    /// The version it was started with.
    pub version: u32,
    /// Where it stands.
    pub state: RunState,
    /// When it was started.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Records in its journal.
    pub records: usize,
    /// Events that nobody has received.
    pub mail: usize,
    /// When its earliest wait ends, as far as a time ends it.
    pub next_wake: Option<Timestamp>,
}

/// Which runs to list. All of them by default.
///
/// # Examples
///
/// ```
/// use upflow::Filter;
/// let failed_orders = Filter::new().failed().workflow("order").count(50);
/// # let _ = failed_orders;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Filter {
    status: Option<Status>,
    blocked: bool,
    workflow: Option<Box<str>>,
    after: Option<u64>,
    count: usize,
}

impl Default for Filter {
    fn default() -> Self {
        Self::new()
    }
}

impl Filter {
    /// All runs, 100 at a time.
    pub fn new() -> Self {
        Self {
            status: None,
            blocked: false,
            workflow: None,
            after: None,
            count: 100,
        }
    }

    /// Runs that have not ended.
    pub fn active(mut self) -> Self {
        self.status = Some(Status::Active);
        self
    }

    /// Runs that are blocked.
    pub fn blocked(mut self) -> Self {
        self.blocked = true;
        self
    }

    /// Runs that failed: the dead letters.
    pub fn failed(mut self) -> Self {
        self.status = Some(Status::Failed);
        self
    }

    /// Runs that completed.
    pub fn completed(mut self) -> Self {
        self.status = Some(Status::Completed);
        self
    }

    /// Runs that were cancelled.
    pub fn cancelled(mut self) -> Self {
        self.status = Some(Status::Cancelled);
        self
    }

    /// Runs of this workflow.
    pub fn workflow(mut self, name: &str) -> Self {
        self.workflow = Some(name.into());
        self
    }

    /// Goes on after a page.
    pub fn after(mut self, cursor: u64) -> Self {
        self.after = Some(cursor);
        self
    }

    /// Runs a page; default 100.
    pub fn count(mut self, count: usize) -> Self {
        self.count = count;
        self
    }

    fn fits(&self, run: &Run) -> bool {
        self.status.is_none_or(|status| status == run.status)
            && (!self.blocked || run.blocked.is_some())
            && self
                .workflow
                .as_ref()
                .is_none_or(|name| **name == *run.workflow)
    }
}

/// A page of runs, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// The runs.
    pub runs: Vec<RunInfo>,
    /// For [`Filter::after`]; `None` after the last page.
    pub cursor: Option<u64>,
}

/// Everything about one run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Inspection {
    /// The run.
    pub run: RunInfo,
    /// Its operations in the order they were first recorded. Steps that are executing for the first time are not recorded.
    pub operations: Vec<OpInfo>,
    /// Names of the events that nobody has received, oldest first.
    pub mail: Vec<Box<str>>,
    /// What it failed with.
    pub error: Option<StepError>,
}

/// One recorded operation.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OpInfo {
    /// Which one.
    pub op: OpId,
    /// How far it is.
    pub state: OpState,
    /// Its failed attempts so far: when, and why.
    pub errors: Vec<(Timestamp, StepError)>,
}

/// How far an operation is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpState {
    /// It waits for this time, `Timestamp::MAX` if only an event can end the wait.
    Waiting(Timestamp),
    /// An attempt failed; the next one is due at this time.
    Retrying(Timestamp),
    /// It completed at this time.
    Done(Timestamp),
    /// It failed for good at this time.
    Failed(Timestamp),
}

fn info(run: &Run, grace: std::time::Duration) -> RunInfo {
    RunInfo {
        id: (&*run.id).into(),
        workflow: (&*run.workflow).into(),
        version: run.version,
        state: RunState::of(run),
        started: run.started,
        ended: (!run.is_active()).then_some(run.ended),
        records: run.journal.len(),
        mail: run.mail.len(),
        next_wake: run.next_deadline(grace),
    }
}

impl Engine {
    /// A page of the runs that fit, oldest first.
    ///
    /// # Examples
    ///
    /// ```
    /// use upflow::{Engine, Filter, Start};
    /// let engine = Engine::memory()?;
    /// engine.register("fail", 1, |_ctx: upflow::Ctx, (): ()| async move { Err::<(), _>("no".into()) })?;
    /// engine.start::<()>("fail", Start::id("f-1"))?;
    /// engine.run_until_idle()?;
    /// let dead = engine.list(&Filter::new().failed());
    /// assert_eq!(&*dead.runs[0].id, "f-1");
    /// assert_eq!(engine.inspect("f-1")?.error.unwrap().message(), "no");
    /// # Ok::<(), upflow::Error>(())
    /// ```
    ///
    /// # Complexity
    ///
    /// Linear in the runs looked at.
    pub fn list(&self, filter: &Filter) -> Page {
        let inner = self.inner();
        let state = inner.state.lock();
        let from = filter.after.map_or(0, |after| after.saturating_add(1));
        let mut fitting = state.runs.range(from..).filter(|(_, run)| filter.fits(run));
        let mut page = Page {
            runs: Vec::new(),
            cursor: None,
        };
        let mut last = None;
        for (uid, run) in fitting.by_ref().take(filter.count) {
            page.runs.push(info(run, inner.options.cancel_grace));
            last = Some(*uid);
        }
        page.cursor = last.filter(|_| fitting.next().is_some());
        page
    }

    /// The runs that failed and can be resumed or restarted.
    pub fn dead_letters(&self) -> Page {
        self.list(&Filter::new().failed())
    }

    /// Everything about the newest run with this id.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchRun`], and [`Error::Storage`] if its journal cannot be read.
    ///
    /// # Complexity
    ///
    /// Linear in the run's journal, which is read.
    pub fn inspect(&self, id: &str) -> Result<Inspection> {
        let inner = self.inner();
        let (uid, run, mail) = {
            let state = inner.state.lock();
            let uid = state.by_id(id).ok_or_else(|| Error::NoSuchRun(id.into()))?;
            let run = &state.runs[&uid];
            let mail = run.mail.iter().map(|(event, _)| event.clone()).collect();
            (uid, info(run, inner.options.cancel_grace), mail)
        };
        let mut view = View::default();
        for index in 0..run.records {
            view.take(inner.read(uid, index)?);
        }
        Ok(Inspection {
            run,
            operations: view.operations,
            mail,
            error: view.error,
        })
    }
}

#[derive(Default)]
struct View {
    operations: Vec<OpInfo>,
    at: BTreeMap<Position, usize>,
    error: Option<StepError>,
}

impl View {
    fn take(&mut self, entry: Entry) {
        let time = entry.time;
        match entry.fact {
            Fact::StepDone { op, .. }
            | Fact::TimerFired { op }
            | Fact::Recv { op, .. }
            | Fact::Sent { op, .. } => drop(self.set(op, OpState::Done(time))),
            Fact::StepFailed {
                op,
                retry_at,
                error,
                ..
            } => {
                let state = retry_at.map_or(OpState::Failed(time), OpState::Retrying);
                self.set(op, state).push((time, error));
            }
            Fact::TimerSet { op, until, .. } => drop(self.set(op, OpState::Waiting(until))),
            Fact::Failed { error } => self.error = Some(error),
            Fact::Resumed => self.error = None,
            _ => {}
        }
    }

    fn set(&mut self, op: OpId, state: OpState) -> &mut Vec<(Timestamp, StepError)> {
        let next = self.operations.len();
        let at = *self.at.entry(op.path.position()).or_insert(next);
        if at == next {
            self.operations.push(OpInfo {
                op,
                state,
                errors: Vec::new(),
            });
        }
        let info = &mut self.operations[at];
        info.state = state;
        &mut info.errors
    }
}
