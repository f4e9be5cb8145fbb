//! Starting runs and following them.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use upkv::Timestamp;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::inner::Inner;
use crate::journal::fold::{Run, Status};
use crate::journal::record::{Fact, Reason};
use crate::payload;

/// Longest run id, in bytes.
const ID_BYTES_MAX: usize = 256;

/// What to start a run with.
///
/// # Examples
///
/// ```
/// use upflow::Start;
/// let named = Start::id("order-42").input(&("lamp", 2)).version(1);
/// let anonymous = Start::new();
/// # let _ = (named, anonymous);
/// ```
#[derive(Debug, Default)]
#[must_use = "it starts nothing by itself"]
pub struct Start {
    id: Option<String>,
    version: Option<u32>,
    input: Option<serde_json::Result<serde_json::Value>>,
}

impl Start {
    /// A run with a random id and no input.
    pub fn new() -> Self {
        Self::default()
    }

    /// A run with this id, 1 to 256 bytes. While a run is active there is no second one with its id.
    pub fn id(id: impl Into<String>) -> Self {
        Self {
            id: Some(id.into()),
            ..Self::default()
        }
    }

    /// What the body is called with; default the unit value.
    pub fn input<T: Serialize + ?Sized>(mut self, input: &T) -> Self {
        self.input = Some(serde_json::to_value(input));
        self
    }

    /// The version of the workflow; default the newest that is registered. A run keeps its version.
    pub fn version(mut self, version: u32) -> Self {
        self.version = Some(version);
        self
    }

    /// Checks everything and gives id, version and input bytes.
    pub(crate) fn prepare(self, inner: &Inner, workflow: &str) -> Result<(Box<str>, u32, Bytes)> {
        let unknown = |version: Option<u32>| {
            let name = version.map_or(workflow.to_owned(), |v| format!("{workflow} version {v}"));
            Error::UnknownWorkflow(name.into())
        };
        let newest = {
            let workflows = inner.workflows.read();
            let of_name = workflows.keys().filter(|(name, _)| **name == *workflow);
            let mut wanted =
                of_name.filter(|(_, v)| self.version.is_none_or(|wanted| wanted == *v));
            wanted.next_back().map(|(_, version)| *version)
        };
        let version = newest.ok_or_else(|| unknown(self.version))?;
        let id = match self.id {
            Some(id) => id,
            None => format!(
                "run_{:016x}{:016x}",
                inner.mount.random(),
                inner.mount.random()
            ),
        };
        if id.is_empty() || id.len() > ID_BYTES_MAX {
            let text = format!("run id of {} bytes is not in 1..={ID_BYTES_MAX}", id.len());
            return Err(Error::invalid(text));
        }
        let input = self.input.transpose().map_err(|e| {
            Error::Payload(format!("the input cannot be written as JSON: {e}").into())
        })?;
        let input = payload::encode(&*inner.options.codec, &input.unwrap_or_default())?;
        Ok((id.into(), version, input))
    }
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunState {
    /// It goes on, or waits for a time, an event or a step.
    Running,
    /// It is parked until [`Engine::resume`].
    Blocked(Reason),
    /// Its workflow is not registered in this process in the run's version; it goes on as soon as it is.
    Unregistered,
    /// It was asked to end and is cleaning up.
    Cancelling,
    /// Its body returned a result.
    Completed,
    /// Its body returned an error, or panicked too often. See [`Engine::resume`] and [`Engine::restart`].
    Failed,
    /// It ended because it was asked to.
    Cancelled,
}

impl RunState {
    pub(crate) fn of(run: &Run) -> Self {
        match (run.status, &run.blocked) {
            (Status::Completed, _) => Self::Completed,
            (Status::Failed, _) => Self::Failed,
            (Status::Cancelled, _) => Self::Cancelled,
            (Status::Active, Some(reason)) => Self::Blocked(reason.clone()),
            (Status::Active, None) if run.live.unregistered => Self::Unregistered,
            (Status::Active, None) if run.cancel_requested.is_some() => Self::Cancelling,
            (Status::Active, None) => Self::Running,
        }
    }

    /// Whether the run is over.
    pub fn is_ended(&self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// A run that was started: ask it for its state, wait for its result.
pub struct RunHandle<R> {
    engine: Engine,
    uid: u64,
    id: Box<str>,
    already_active: bool,
    result: PhantomData<fn() -> R>,
}

impl<R> fmt::Debug for RunHandle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunHandle")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl<R> Clone for RunHandle<R> {
    fn clone(&self) -> Self {
        let (engine, id) = (self.engine.clone(), self.id.clone());
        let already_active = self.already_active;
        Self {
            engine,
            uid: self.uid,
            id,
            already_active,
            result: PhantomData,
        }
    }
}

impl<R: DeserializeOwned> RunHandle<R> {
    pub(crate) fn new(engine: Engine, uid: u64, id: Box<str>, already_active: bool) -> Self {
        Self {
            engine,
            uid,
            id,
            already_active,
            result: PhantomData,
        }
    }

    /// The run's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the run was active before, so that starting it again did nothing.
    pub fn already_active(&self) -> bool {
        self.already_active
    }

    /// Where the run stands.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchRun`] if it ended so long ago that it was removed.
    pub fn state(&self) -> Result<RunState> {
        let state = self.engine.inner().state.lock();
        state
            .runs
            .get(&self.uid)
            .map(RunState::of)
            .ok_or_else(|| Error::NoSuchRun(self.id.clone()))
    }

    /// Waits for the run to end and gives what its body returned.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`], [`Error::Cancelled`], and [`Error::Blocked`] for a run that cannot end unless somebody resumes it or registers
    /// its workflow; [`Error::Payload`] if the result is not an `R`.
    ///
    /// # Durability
    ///
    /// The result holds at the engine's level.
    ///
    /// # Blocking
    ///
    /// Until the run ends. Without worker threads this thread does the engine's work meanwhile.
    pub fn result(&self) -> Result<R> {
        loop {
            if let Some(result) = self.wait(None)? {
                return Ok(result);
            }
        }
    }

    /// As [`result`](Self::result), for at most `span`; `None` if the run has not ended then.
    ///
    /// # Errors
    ///
    /// As [`result`](Self::result).
    ///
    /// # Blocking
    ///
    /// As [`result`](Self::result), for about `span`.
    pub fn result_within(&self, span: Duration) -> Result<Option<R>> {
        let deadline = self.engine.inner().mount.now().saturating_add(span);
        self.wait(Some(deadline))
    }

    /// The result if the run has ended. Does not wait.
    ///
    /// # Errors
    ///
    /// As [`result`](Self::result).
    pub fn try_result(&self) -> Result<Option<R>> {
        let inner = self.engine.inner();
        let (state, unsettled, last) = {
            let state = inner.state.lock();
            let run = state.runs.get(&self.uid);
            let run = run.ok_or_else(|| Error::NoSuchRun(self.id.clone()))?;
            (
                RunState::of(run),
                run.live.unsettled.clone(),
                run.journal.len() - 1,
            )
        };
        match &state {
            RunState::Running | RunState::Cancelling => return Ok(None),
            RunState::Blocked(reason) => return Err(Error::Blocked(reason.to_string().into())),
            RunState::Unregistered => {
                return Err(Error::Blocked("its workflow is not registered".into()));
            }
            RunState::Completed | RunState::Failed | RunState::Cancelled => {}
        }
        // The end is in the journal; it is told to nobody before it holds.
        if let Some((commit, level)) = unsettled {
            inner.mount.settle(&commit, Some(level))?;
        }
        match inner.read(self.uid, last)?.fact {
            Fact::Completed { result } => payload::decode(&*inner.options.codec, result).map(Some),
            Fact::Failed { error } => Err(Error::Failed(Box::new(error))),
            Fact::Cancelled => Err(Error::Cancelled),
            // Resumed in between.
            _ => Ok(None),
        }
    }

    fn wait(&self, deadline: Option<Timestamp>) -> Result<Option<R>> {
        let inner = self.engine.inner();
        loop {
            let (changed, ready) = (inner.changed.ticket(), inner.ready.ticket());
            if let Some(result) = self.try_result()? {
                return Ok(Some(result));
            }
            if deadline.is_some_and(|at| inner.mount.now() >= at) {
                return Ok(None);
            }
            let store = self.engine.store();
            if inner.workers.load(std::sync::atomic::Ordering::SeqCst) > 0 {
                store.wait(&inner.changed, changed, deadline)?;
                // A store that stopped writing ends no run any more.
                store.maintain(Duration::ZERO)?;
            } else if !inner.poll(store)? {
                store.wait(&inner.ready, ready, deadline)?;
            }
        }
    }
}
