//! The handle of an engine: registering workflows, starting, notifying and cancelling runs, working on them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use upkv::Store;
use upkv::storage::{Commit, MountOptions};

use crate::builder::Builder;
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::inner::{Body, Inner, MAIL_MAX, Options, check_name};
use crate::journal::fold::{Run, State, Status};
use crate::journal::record::Fact;
use crate::outcome::StepError;
use crate::payload;
use crate::run::{RunHandle, RunState, Start};
use crate::scheduler::Workers;

/// Number of this kind of engine in a store.
const KIND: u8 = 4;

/// Durable workflows in this process. Cheap to clone; worker threads end with the last handle.
///
/// Do not keep a handle inside a registered workflow: it would keep the engine open for ever. A body reaches other runs through its
/// [`Ctx`].
///
/// # Examples
///
/// ```
/// use upflow::{Engine, Start, StepError};
/// let engine = Engine::memory()?;
/// engine.register("greet", 1, |ctx: upflow::Ctx, name: String| async move {
///     let text = ctx.run("text", move || Ok::<_, StepError>(format!("hello {name}"))).await?;
///     let answer: String = ctx.event("answer").await?;
///     Ok(format!("{text}: {answer}"))
/// })?;
/// let run = engine.start::<String>("greet", Start::id("g-1").input("ada"))?;
/// engine.notify("g-1", "answer", "hi")?;
/// assert_eq!(run.result()?, "hello ada: hi");
/// # Ok::<(), upflow::Error>(())
/// ```
#[derive(Clone)]
pub struct Engine {
    handle: Arc<Handle>,
}

struct Handle {
    // Dropped first: its threads use the other two.
    workers: Mutex<Workers>,
    inner: Arc<Inner>,
    store: Store,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("store", self.store())
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens the engine in a store of its own in `path`. All recovery happens here; runs go on when their workflows are registered and
    /// somebody works on them.
    ///
    /// # Errors
    ///
    /// As [`Builder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder(path).open()
    }

    /// An engine without files: the same engine, nothing kept.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub fn memory() -> Result<Self> {
        Self::options().open()
    }

    /// Settings for an engine in a store of its own in `path`.
    pub fn builder(path: impl AsRef<Path>) -> Builder {
        Builder::new(Some(path.as_ref()))
    }

    /// Settings for an engine on a store that other engines share.
    pub fn options() -> Builder {
        Builder::new(None)
    }

    /// Mounts the engine called `name` on a store that other engines share.
    ///
    /// # Errors
    ///
    /// As [`Builder::mount`].
    pub fn mount(store: &Store, name: &str) -> Result<Self> {
        Self::options().mount(store, name)
    }

    pub(crate) fn mount_with(
        store: &Store,
        name: &str,
        mount: MountOptions,
        options: Options,
    ) -> Result<Self> {
        let make = |mount| Arc::new(Inner::new(mount, options));
        let inner = store.mount_participant(KIND, name, mount, make)?;
        let workers = Mutex::new(Workers::new(&inner));
        let handle = Handle {
            workers,
            inner,
            store: store.clone(),
        };
        Ok(Self {
            handle: Arc::new(handle),
        })
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.handle.inner
    }

    /// The store below.
    pub fn store(&self) -> &Store {
        &self.handle.store
    }

    /// Says what runs of workflow `name` in this version do. Runs of it that wait for the registration go on.
    ///
    /// A run keeps the version it was started with: register changed code under a new number, and keep the old one as long as it has
    /// runs.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the name is not 1 to 256 bytes, or this version is registered already.
    pub fn register<I, O, F, Fut>(&self, name: &str, version: u32, body: F) -> Result<()>
    where
        I: DeserializeOwned,
        O: Serialize,
        F: Fn(Ctx, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, StepError>> + Send + 'static,
    {
        check_name("workflow name", name)?;
        let inner = self.inner();
        let codec = Arc::clone(&inner.options.codec);
        let body: Body = Arc::new(move |ctx, input| {
            let input = payload::decode(&*codec, input)?;
            let future = body(ctx, input);
            let codec = Arc::clone(&codec);
            Ok(Box::pin(async move {
                let value = future.await?;
                payload::encode(&*codec, &value).map_err(StepError::from)
            }))
        });
        {
            let mut workflows = inner.workflows.write();
            let key = (Box::from(name), version);
            if workflows.contains_key(&key) {
                let text = format!("workflow {name:?} version {version} is registered already");
                return Err(Error::invalid(text));
            }
            workflows.insert(key, body);
        }
        let mut state = inner.state.lock();
        let waiting: Vec<u64> = state
            .runs
            .iter_mut()
            .filter(|(_, run)| {
                run.live.unregistered && &*run.workflow == name && run.version == version
            })
            .map(|(uid, run)| {
                run.live.unregistered = false;
                *uid
            })
            .collect();
        for uid in waiting {
            inner.enqueue(&mut state, uid);
        }
        Ok(())
    }

    /// Starts `count` threads that work on runs, in addition to those started before. They end with the last handle of the engine.
    ///
    /// Without threads, runs go on during [`RunHandle::result`], [`poll`](Self::poll) and [`run_until_idle`](Self::run_until_idle).
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the system refuses a thread.
    pub fn start_workers(&self, count: usize) -> Result<()> {
        let mut workers = self.handle.workers.lock();
        workers.start(self.store(), count)
    }

    /// Does one thing that is ready, such as executing a step or taking a run to its next wait; `false` if nothing is ready.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`]; the run concerned is tried again later.
    ///
    /// # Blocking
    ///
    /// For as long as a step takes.
    pub fn poll(&self) -> Result<bool> {
        self.inner().poll(self.store())
    }

    /// Does everything that is ready now. Timers that are not due yet are not waited for.
    ///
    /// # Errors
    ///
    /// As [`poll`](Self::poll).
    ///
    /// # Blocking
    ///
    /// For as long as the steps take.
    pub fn run_until_idle(&self) -> Result<()> {
        while self.poll()? {}
        Ok(())
    }

    /// Starts a run of the workflow, unless one with this id is active: then that one is returned, and its handle says so. An id may be
    /// used again after its run ended.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownWorkflow`], [`Error::Invalid`] for an id that is empty or over 256 bytes, [`Error::Payload`] or
    /// [`Error::TooLarge`] for the input (64 MiB), [`Error::Storage`].
    ///
    /// # Durability
    ///
    /// The start holds at the engine's level when this returns.
    pub fn start<R: DeserializeOwned>(&self, workflow: &str, start: Start) -> Result<RunHandle<R>> {
        let inner = self.inner();
        let (id, version, input) = start.prepare(inner, workflow)?;
        let (uid, commit) = {
            let mut state = inner.state.lock();
            if let Some(uid) = state.by_id(&id)
                && let Some(run) = state.runs.get(&uid)
                && run.is_active()
            {
                let unsettled = run.live.unsettled.clone();
                drop(state);
                // The caller may rely on the start that it learns of.
                if let Some((commit, level)) = unsettled {
                    inner.mount.settle(&commit, Some(level))?;
                }
                return Ok(RunHandle::new(self.clone(), uid, id, true));
            }
            let uid = state.next_run;
            let seed = inner.mount.random();
            let (workflow, id) = (workflow.into(), id.clone());
            let fact = Fact::Start {
                id,
                workflow,
                version,
                seed,
                input,
            };
            let entry = inner.entry(&state, uid, fact);
            let commit = inner.commit(&mut state, &[entry], inner.mount.durability())?;
            inner.enqueue(&mut state, uid);
            (uid, commit)
        };
        inner.mount.settle(&commit, None)?;
        Ok(RunHandle::new(self.clone(), uid, id, false))
    }

    /// A handle of the newest run with this id.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchRun`].
    pub fn run<R: DeserializeOwned>(&self, id: &str) -> Result<RunHandle<R>> {
        let state = self.inner().state.lock();
        let uid = state.by_id(id).ok_or_else(|| Error::NoSuchRun(id.into()))?;
        drop(state);
        Ok(RunHandle::new(self.clone(), uid, id.into(), true))
    }

    /// Puts an event into a run's mailbox, where it stays until the body waits for an event of that name.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchRun`]; [`Error::WrongState`] if the run has ended or its mailbox holds 100,000 events; [`Error::Invalid`] for an
    /// event name that is empty or over 256 bytes; as [`start`](Self::start) for the data.
    ///
    /// # Durability
    ///
    /// The event holds at the engine's level when this returns.
    pub fn notify<T: Serialize + ?Sized>(&self, run: &str, event: &str, data: &T) -> Result<()> {
        check_name("event name", event)?;
        let inner = self.inner();
        let data = payload::encode(&*inner.options.codec, data)?;
        let event = event.into();
        self.change(run, |target| {
            if !target.is_active() {
                return Err(ended(run));
            }
            if target.mail.len() >= MAIL_MAX {
                let text = format!("{run:?} has {MAIL_MAX} events in its mailbox, the limit");
                return Err(Error::WrongState(text.into()));
            }
            Ok(Some(Fact::MailIn { event, data }))
        })
    }

    /// Asks a run to end: what it waits for returns [`crate::StepErrorKind::Cancelled`], and what it asks for after that still works, so
    /// that it can clean up, for the engine's grace period. `false` if it had ended or was asked before.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchRun`].
    ///
    /// # Durability
    ///
    /// The request holds at the engine's level when this returns.
    pub fn cancel(&self, run: &str) -> Result<bool> {
        let mut done = false;
        self.change(run, |target| {
            if !target.is_active() || target.cancel_requested.is_some() {
                return Ok(None);
            }
            done = true;
            // A blocked body cannot clean up.
            Ok(Some(if target.blocked.is_some() {
                Fact::Cancelled
            } else {
                Fact::CancelRequested
            }))
        })?;
        Ok(done)
    }

    /// Ends a run now, whatever it is doing, without cleaning up. `false` if it had ended.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchRun`].
    pub fn kill(&self, run: &str) -> Result<bool> {
        let mut done = false;
        self.change(run, |target| {
            done = target.is_active();
            Ok(done.then_some(Fact::Cancelled))
        })?;
        Ok(done)
    }

    /// Has a blocked or failed run go on where it stopped: its successful results are kept, its failed steps are attempted again, and the
    /// body is replayed with the code that is registered now.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchRun`]; [`Error::WrongState`] for a run that is neither blocked nor failed, or was cancelled, or whose id is in use
    /// by a newer run.
    pub fn resume(&self, run: &str) -> Result<()> {
        self.change(run, |target| {
            let stopped = target.blocked.is_some() || target.status == Status::Failed;
            if stopped && target.cancel_requested.is_none() {
                return Ok(Some(Fact::Resumed));
            }
            let state = RunState::of(target);
            Err(Error::WrongState(
                format!("{run:?} cannot be resumed, it is {state:?}").into(),
            ))
        })
    }

    /// Starts a run with a new id from the input of an ended one.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchRun`], [`Error::WrongState`] if the run has not ended, and as [`start`](Self::start).
    pub fn restart<R: DeserializeOwned>(&self, run: &str, new_id: &str) -> Result<RunHandle<R>> {
        let inner = self.inner();
        let (uid, workflow) = {
            let state = inner.state.lock();
            let uid = state
                .by_id(run)
                .ok_or_else(|| Error::NoSuchRun(run.into()))?;
            let found = &state.runs[&uid];
            if found.is_active() {
                return Err(Error::WrongState(format!("{run:?} has not ended").into()));
            }
            (uid, Arc::clone(&found.workflow))
        };
        let Fact::Start { input, .. } = inner.read(uid, 0)?.fact else {
            return Err(Error::NoSuchRun(run.into()));
        };
        let input: serde_json::Value = payload::decode(&*inner.options.codec, input)?;
        self.start(&workflow, Start::id(new_id).input(&input))
    }

    /// Appends one fact to the newest run with this id, wakes it and waits until the fact holds.
    fn change(&self, id: &str, decide: impl FnOnce(&Run) -> Result<Option<Fact>>) -> Result<()> {
        let inner = self.inner();
        let commit: Commit = {
            let mut guard = inner.state.lock();
            let state: &mut State = &mut guard;
            let uid = state.by_id(id).ok_or_else(|| Error::NoSuchRun(id.into()))?;
            let Some(fact) = decide(&state.runs[&uid])? else {
                return Ok(());
            };
            let entry = inner.entry(state, uid, fact);
            let commit = inner.commit(state, &[entry], inner.mount.durability())?;
            inner.enqueue(state, uid);
            inner.arm(state, uid);
            commit
        };
        inner.mount.settle(&commit, None)?;
        inner.changed.notify();
        Ok(())
    }

    /// Threads that work on runs.
    pub fn workers(&self) -> usize {
        self.inner().workers.load(Ordering::SeqCst)
    }
}

fn ended(run: &str) -> Error {
    Error::WrongState(format!("{run:?} has ended").into())
}
