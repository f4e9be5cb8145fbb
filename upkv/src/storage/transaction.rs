//! One commit across engines: each enlisted engine stages operations, and all of them become one frame or nothing.
//!
//! Lock order: engines commit in mount order, each holding its own lock around those after it; the log is innermost.

use std::any::Any;
use std::cell::Cell;
use std::marker::PhantomData;

use super::address::{Durability, MountId};
use super::error::{Error, Result};
use super::log::{Commit, Frame};
use super::store::Store;

/// Validated operations of one engine that wait for a transaction to commit.
pub trait Staged {
    /// The engine they belong to.
    fn mount_id(&self) -> MountId;

    /// Locks the engine, checks again what may have changed, pushes its records, calls `rest`, and publishes the change with the
    /// addresses in the commit. If anything fails, including `rest`, nothing of this engine changes.
    ///
    /// # Errors
    ///
    /// The engine's refusal, or what `rest` returned.
    fn commit(
        &mut self,
        frame: &mut Frame,
        rest: &mut dyn FnMut(&mut Frame) -> Result<Commit>,
    ) -> Result<Commit>;

    /// Called after all locks are released and the commit is settled: wake those who wait.
    fn committed(&mut self) {}

    /// For [`Transaction::enlist`].
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

/// An engine handle that can take part in a transaction.
pub trait Enlist {
    /// The operations it offers there.
    type Staged: Staged + 'static;

    /// The engine's number in its store.
    fn mount_id(&self) -> MountId;

    /// Whether the engine is mounted on `store`.
    fn belongs_to(&self, store: &Store) -> bool;

    /// An empty list of staged operations.
    fn stage(&self) -> Self::Staged;
}

thread_local! {
    static HOLDS: Cell<u32> = const { Cell::new(0) };
}

/// While it lives, commits of this thread do no maintenance: an engine takes one before it calls its user with a lock held, because
/// maintenance takes every engine's locks.
#[derive(Debug)]
pub struct Hold(PhantomData<*const ()>);

impl Hold {
    /// Starts to hold.
    #[must_use = "it holds as long as it lives"]
    pub fn new() -> Self {
        HOLDS.set(HOLDS.get() + 1);
        Self(PhantomData)
    }

    pub(crate) fn is_held() -> bool {
        HOLDS.get() > 0
    }
}

impl Default for Hold {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        HOLDS.set(HOLDS.get() - 1);
    }
}

/// A transaction under construction. Dropping it drops everything staged.
#[derive(Default)]
pub struct Transaction {
    staged: Vec<Box<dyn Staged>>,
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction")
            .field("engines", &self.staged.len())
            .finish()
    }
}

impl Transaction {
    /// An empty transaction.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether no engine takes part.
    pub fn is_empty(&self) -> bool {
        self.staged.is_empty()
    }

    /// The staged operations of `engine`, which takes part from now on.
    ///
    /// # Errors
    ///
    /// `Misuse` if the engine is mounted on another store than `store`.
    pub fn enlist<E: Enlist>(&mut self, store: &Store, engine: &E) -> Result<&mut E::Staged> {
        if !engine.belongs_to(store) {
            return Err(Error::misuse("the engine is mounted on another store"));
        }
        let id = engine.mount_id();
        let at = match self
            .staged
            .binary_search_by_key(&id, |staged| staged.mount_id())
        {
            Ok(at) => at,
            Err(at) => {
                self.staged.insert(at, Box::new(engine.stage()));
                at
            }
        };
        self.staged[at]
            .as_any_mut()
            .downcast_mut()
            .ok_or_else(|| Error::misuse("another kind of engine is enlisted under this number"))
    }

    /// Commits everything staged as one frame, around `body`, which pushes the caller's own records and appends: for an engine that
    /// holds its own locks already. The caller settles the commit and then calls [`Transaction::committed`].
    ///
    /// # Errors
    ///
    /// The first refusal; nothing happened then.
    pub fn commit_around(
        &mut self,
        frame: &mut Frame,
        body: &mut dyn FnMut(&mut Frame) -> Result<Commit>,
    ) -> Result<Commit> {
        fn nest(
            staged: &mut [Box<dyn Staged>],
            frame: &mut Frame,
            body: &mut dyn FnMut(&mut Frame) -> Result<Commit>,
        ) -> Result<Commit> {
            match staged.split_first_mut() {
                None => body(frame),
                Some((first, rest)) => first.commit(frame, &mut |frame| nest(rest, frame, body)),
            }
        }
        nest(&mut self.staged, frame, body)
    }

    /// Commits everything staged as one frame and waits until it holds at `level`.
    ///
    /// # Errors
    ///
    /// A refusal (nothing happened), or `OutcomeUnknown` if the commit could not be made to hold.
    pub fn commit(mut self, store: &Store, level: Durability) -> Result<Commit> {
        let core = store.core();
        let mut frame = Frame::new();
        let commit = self.commit_around(&mut frame, &mut |frame| core.log.append(frame))?;
        core.settle(commit.seq, level)?;
        self.committed();
        Ok(commit)
    }

    /// Tells every engine that the commit holds.
    pub fn committed(&mut self) {
        for staged in &mut self.staged {
            staged.committed();
        }
    }
}
