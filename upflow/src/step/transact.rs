//! Steps whose effects and result are one commit, and operations on an engine inside a host's own transaction.
//!
//! Invariant: a step's result is recorded at most once, and only in a frame that also holds its effects.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use serde::Serialize;
use upkv::Durability;
use upkv::storage::{self, Commit, Enlist, Frame, MountId, Staged, Store};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::inner::{Inner, MAIL_MAX, check_name, push};
use crate::journal::fold::{Run, State};
use crate::journal::record::{Entry, Fact};
use crate::payload;
use crate::replay::path::{OpId, Position};
use crate::run::Start;
use crate::scheduler::Job;
use crate::step::StepContext;

/// Proof that a result was staged; what a [`Ctx::transact`](crate::Ctx::transact) closure returns.
#[derive(Debug)]
#[must_use = "a step is done only if its closure returns this"]
pub struct Completed<T> {
    result: PhantomData<fn() -> T>,
}

/// One attempt of a step whose effects commit with its result.
///
/// # Examples
///
/// The effects of the step in a database and its result become one commit; a crash leaves both or neither.
///
/// ```
/// use upflow::{Engine, Start};
/// use upkv::{Db, Store};
///
/// let store = Store::memory()?;
/// let db = Db::mount(&store, "cache")?;
/// let flows = Engine::mount(&store, "flows")?;
/// let counter = db.clone();
/// flows.register("count", 1, move |ctx: upflow::Ctx, (): ()| {
///     let counter = counter.clone();
///     async move {
///         ctx.transact("count", move |step| {
///             counter.transaction(|tx| {
///                 let n = tx.incr("n")?;
///                 Ok(tx.enlist(step)?.complete(step, &n)?)
///             })
///         }).await
///     }
/// })?;
/// let run = flows.start::<i64>("count", Start::id("c-1"))?;
/// assert_eq!(run.result()?, 1);
/// assert_eq!(db.get("n")?.as_deref(), Some(&b"1"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct StepTransaction {
    store: Store,
    ticket: Arc<Ticket>,
    step: StepContext,
}

/// What identifies the attempt to the engine.
struct Ticket {
    inner: Arc<Inner>,
    uid: u64,
    at: Position,
    op: OpId,
    attempt: u32,
    level: Durability,
    committed: AtomicBool,
}

impl fmt::Debug for StepTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepTransaction")
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

impl StepTransaction {
    pub(crate) fn new(
        store: Store,
        inner: &Arc<Inner>,
        job: &Job,
        step: StepContext,
        level: Durability,
    ) -> Self {
        let ticket = Ticket {
            inner: Arc::clone(inner),
            uid: job.uid,
            at: job.at.clone(),
            op: job.op.clone(),
            attempt: job.attempt,
            level,
            committed: AtomicBool::new(false),
        };
        Self {
            store,
            ticket: Arc::new(ticket),
            step,
        }
    }

    pub(crate) fn is_committed(&self) -> bool {
        self.ticket.committed.load(Ordering::Acquire)
    }

    /// What the step may know of itself.
    pub fn context(&self) -> &StepContext {
        &self.step
    }

    /// A transaction over engines that have none of their own, such as queues: what `f` stages and the value it returns commit as one.
    ///
    /// # Errors
    ///
    /// What `f` returned, or why the commit was refused; nothing happened then.
    pub fn transaction<T: Serialize, E: From<storage::Error>>(
        &self,
        f: impl FnOnce(&mut StepScope<'_>) -> Result<T, E>,
    ) -> Result<Completed<T>, E> {
        let mut scope = StepScope {
            step: self,
            transaction: storage::Transaction::new(),
        };
        let value = f(&mut scope)?;
        let done = scope.enlist(self)?.complete(self, &value)?;
        scope.transaction.commit(&self.store, self.ticket.level)?;
        Ok(done)
    }
}

impl Enlist for StepTransaction {
    type Staged = StagedFlows;

    fn mount_id(&self) -> MountId {
        self.ticket.inner.mount.id()
    }

    fn belongs_to(&self, store: &Store) -> bool {
        self.store.is_same(store)
    }

    fn stage(&self) -> StagedFlows {
        StagedFlows::new(&self.ticket.inner)
    }
}

impl Enlist for Engine {
    type Staged = StagedFlows;

    fn mount_id(&self) -> MountId {
        self.inner().mount.id()
    }

    fn belongs_to(&self, store: &Store) -> bool {
        self.store().is_same(store)
    }

    fn stage(&self) -> StagedFlows {
        StagedFlows::new(self.inner())
    }
}

/// The transaction of [`StepTransaction::transaction`].
#[derive(Debug)]
pub struct StepScope<'a> {
    step: &'a StepTransaction,
    transaction: storage::Transaction,
}

impl StepScope<'_> {
    /// The staged operations of `engine`; they commit with the step.
    ///
    /// # Errors
    ///
    /// If the engine is mounted on another store.
    pub fn enlist<E: Enlist>(&mut self, engine: &E) -> storage::Result<&mut E::Staged> {
        self.transaction.enlist(&self.step.store, engine)
    }
}

/// Operations of an engine that commit with a transaction: `tx.enlist(&flows)?`.
pub struct StagedFlows {
    inner: Arc<Inner>,
    ops: Vec<StagedOp>,
}

enum StagedOp {
    Complete {
        ticket: Arc<Ticket>,
        result: Bytes,
    },
    Start {
        id: Box<str>,
        workflow: Box<str>,
        version: u32,
        input: Bytes,
    },
    Notify {
        run: Box<str>,
        event: Box<str>,
        data: Bytes,
    },
}

impl fmt::Debug for StagedFlows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StagedFlows")
            .field("operations", &self.ops.len())
            .finish_non_exhaustive()
    }
}

impl StagedFlows {
    fn new(inner: &Arc<Inner>) -> Self {
        Self {
            inner: Arc::clone(inner),
            ops: Vec::new(),
        }
    }

    /// Records `result` as what `step` returned, when the transaction commits.
    ///
    /// # Errors
    ///
    /// If the result cannot be written as a payload, or the step belongs to another engine.
    pub fn complete<T: Serialize>(
        &mut self,
        step: &StepTransaction,
        result: &T,
    ) -> storage::Result<Completed<T>> {
        if !Arc::ptr_eq(&self.inner, &step.ticket.inner) {
            return Err(storage::Error::misuse("the step belongs to another engine"));
        }
        let result = payload::encode(&*self.inner.options.codec, result)?;
        let ticket = Arc::clone(&step.ticket);
        self.ops.push(StagedOp::Complete { ticket, result });
        Ok(Completed {
            result: PhantomData,
        })
    }

    /// Starts a run when the transaction commits, unless a run with this id is active then.
    ///
    /// # Errors
    ///
    /// As [`Engine::start`].
    pub fn start(&mut self, workflow: &str, start: Start) -> storage::Result<()> {
        let prepared = start.prepare(&self.inner, workflow)?;
        let (id, version, input) = prepared;
        self.ops.push(StagedOp::Start {
            id,
            workflow: workflow.into(),
            version,
            input,
        });
        Ok(())
    }

    /// Sends an event to a run when the transaction commits; refused then if the run is not active.
    ///
    /// # Errors
    ///
    /// If a name is empty or too long, or the data cannot be written as a payload.
    pub fn notify<T: Serialize + ?Sized>(
        &mut self,
        run: &str,
        event: &str,
        data: &T,
    ) -> storage::Result<()> {
        check_name("event name", event)?;
        let data = payload::encode(&*self.inner.options.codec, data)?;
        self.ops.push(StagedOp::Notify {
            run: run.into(),
            event: event.into(),
            data,
        });
        Ok(())
    }

    /// The level a record must hold at before its run sees it.
    fn level(&self, entry: &Entry) -> Durability {
        let ticket = self.ops.iter().find_map(|op| match op {
            StagedOp::Complete { ticket, .. } if ticket.uid == entry.run => Some(ticket),
            _ => None,
        });
        ticket.map_or(self.inner.mount.durability(), |ticket| ticket.level)
    }

    /// The records of everything staged, or why something is refused.
    fn entries(&self, state: &State) -> storage::Result<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut started: Vec<(&str, u64)> = Vec::new();
        for op in &self.ops {
            let Some((uid, fact)) = self.fact(op, state, &mut started)? else {
                continue;
            };
            let mut entry = self.inner.entry(state, uid, fact);
            let earlier = entries.iter().filter(|other| other.run == uid).count();
            entry.index += u32::try_from(earlier).unwrap_or(u32::MAX);
            entries.push(entry);
        }
        Ok(entries)
    }

    /// What one staged operation records, and of which run. `started` are the runs that the ones before it start.
    fn fact<'a>(
        &self,
        op: &'a StagedOp,
        state: &State,
        started: &mut Vec<(&'a str, u64)>,
    ) -> storage::Result<Option<(u64, Fact)>> {
        let known = |id: &str| {
            let new = started.iter().find(|(other, _)| *other == id);
            let active = |uid: &u64| state.runs.get(uid).is_some_and(Run::is_active);
            new.map(|(_, uid)| *uid)
                .or_else(|| state.by_id(id).filter(active))
        };
        match op {
            StagedOp::Complete { ticket, result } => {
                if !state.is_running(ticket.uid, &ticket.at, ticket.attempt) {
                    let what = format!(
                        "{} is not wanted any more: its run was cancelled",
                        ticket.op
                    );
                    return Err(storage::Error::misuse(what));
                }
                let (op, result) = (ticket.op.clone(), result.clone());
                Ok(Some((ticket.uid, Fact::StepDone { op, result })))
            }
            StagedOp::Start {
                id,
                workflow,
                version,
                input,
            } => {
                if known(id).is_some() {
                    return Ok(None);
                }
                let uid = state.next_run + started.len() as u64;
                started.push((id, uid));
                let fact = Fact::Start {
                    id: id.clone(),
                    workflow: workflow.clone(),
                    version: *version,
                    seed: self.inner.mount.random(),
                    input: input.clone(),
                };
                Ok(Some((uid, fact)))
            }
            StagedOp::Notify { run, event, data } => {
                let uid = known(run).ok_or_else(|| Error::NoSuchRun(run.clone()))?;
                let target = state.runs.get(&uid);
                if target.is_some_and(|run| run.mail.len() >= MAIL_MAX) {
                    let what = format!("{run:?} has a full mailbox");
                    return Err(Error::WrongState(what.into()).into());
                }
                let (event, data) = (event.clone(), data.clone());
                Ok(Some((uid, Fact::MailIn { event, data })))
            }
        }
    }
}

impl Staged for StagedFlows {
    fn mount_id(&self) -> MountId {
        self.inner.mount.id()
    }

    fn commit(
        &mut self,
        frame: &mut Frame,
        rest: &mut dyn FnMut(&mut Frame) -> storage::Result<Commit>,
    ) -> storage::Result<Commit> {
        let inner = Arc::clone(&self.inner);
        let mut state = inner.state.lock();
        let entries = self.entries(&state)?;
        let indexes: Vec<usize> = entries
            .iter()
            .map(|entry| push(frame, &inner.mount, entry))
            .collect();
        let commit = rest(frame)?;
        for (entry, index) in entries.iter().zip(indexes) {
            inner.publish(&mut state, entry, &commit, index, self.level(entry));
        }
        for op in &self.ops {
            if let StagedOp::Complete { ticket, .. } = op {
                state.take_running(ticket.uid, &ticket.at, ticket.attempt);
                ticket.committed.store(true, Ordering::Release);
            }
        }
        // Queued here and not in `committed`: should the host fail to settle, the runs must go on all the same.
        for entry in &entries {
            inner.enqueue(&mut state, entry.run);
        }
        Ok(commit)
    }

    fn committed(&mut self) {
        self.inner.ready.notify();
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
