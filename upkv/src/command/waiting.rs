//! Commands as futures, of a session and of a database itself.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::reply::Reply;
use super::row::{BLOCKING, Handler};
use super::session::{Session, Step};
use super::{Command, run};
use crate::db::Db;
use crate::error::Result;
use crate::keyspace::direct::Direct;
use crate::keyspace::engine::Caller;
use crate::server::blocked::Started;
use crate::server::pause::PauseWait;
use crate::server::waiter::Parked;

impl Db {
    /// As [`Db::command`] for tasks: the future waits where a blocking command blocks. It needs no runtime. Dropped while
    /// it waits, it waits no longer, and takes nothing;
    /// dropped after it was served and before it was polled again, it loses what it took, as a client does whose
    /// connection breaks at that moment.
    ///
    /// Deadlines of futures are timers of the store: they come due on its maintenance thread, or in
    /// [`crate::Store::maintain`] where it has none.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::Future;
    /// use std::pin::pin;
    /// use std::task::{Context, Poll, Waker};
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// let mut future = pin!(db.command_async(["SET", "a", "1"]));
    /// let reply = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    /// assert!(matches!(reply, Poll::Ready(Ok(upkv::Reply::Status("OK")))));
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn command_async<A: AsRef<[u8]>>(&self, args: impl IntoIterator<Item = A>) -> ReplyFuture {
        ReplyFuture {
            db: self.clone(),
            args: args.into_iter().map(|arg| arg.as_ref().into()).collect(),
            parked: None,
        }
    }
}

/// A command that may wait; see [`Db::command_async`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is polled"]
pub struct ReplyFuture {
    db: Db,
    args: Vec<Box<[u8]>>,
    parked: Option<Parked>,
}

impl Future for ReplyFuture {
    type Output = Result<Reply>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { db, args, parked } = &mut *self;
        if parked.is_none() {
            let args: Vec<&[u8]> = args.iter().map(|arg| &**arg).collect();
            match start(db, db.caller(), &args)? {
                Started::Done(reply) => return Poll::Ready(Ok(reply)),
                Started::Parked(waiter) => {
                    *parked = Some(Parked::new(&db.engine, &db.store, waiter));
                }
            }
        }
        let polled = parked.as_mut().map(|parked| parked.poll(context));
        let Some(Poll::Ready(outcome)) = polled else {
            return Poll::Pending;
        };
        *parked = None;
        Poll::Ready(outcome)
    }
}

/// Runs one command on its own, or leaves it waiting.
fn start(db: &Db, caller: Caller, args: &[&[u8]]) -> Result<Started> {
    let rules = &db.engine.rules;
    if !rules.are_plain() {
        rules.check_request(args)?;
        if rules.removes_nothing(args) {
            return Ok(Started::Done(Reply::Int(0)));
        }
    }
    let command = Command::find(args)?;
    start_found(db, caller, command, args)
}

fn start_found(
    db: &Db,
    caller: Caller,
    command: &'static Command,
    args: &[&[u8]],
) -> Result<Started> {
    db.engine.check_not_busy(command)?;
    if command.has(BLOCKING) {
        db.engine.check_room_for(command, args)?;
        return db.engine.start_waiting(caller, command, args);
    }
    run(&db.engine, caller, command, args).map(Started::Done)
}

/// Runs one command on its own; one that has to wait blocks the thread.
pub(crate) fn execute(db: &Db, args: &[&[u8]]) -> Result<Reply> {
    execute_as(db, db.caller(), args, || Ok(()))
}

/// The reply of a command that is done on the shortest way there is, if it is.
#[inline]
fn at_once(db: &Db, caller: Caller, command: &Command, args: &[&[u8]]) -> Result<Direct<Reply>> {
    let Handler::Direct { at_once, .. } = command.handler else {
        return Ok(Direct::Ordinary);
    };
    db.engine.check_not_busy(command)?;
    db.engine.check_room_for(command, args)?;
    at_once(&db.engine, caller, args)
}

/// As [`execute`] for a caller of another level; `before_wait` is called if the thread is going to block.
pub(super) fn execute_as(
    db: &Db,
    caller: Caller,
    args: &[&[u8]],
    before_wait: impl FnOnce() -> Result<()>,
) -> Result<Reply> {
    let started = if db.engine.rules.are_plain() {
        let command = Command::find(args)?;
        if let Direct::Done(reply) = at_once(db, caller, command, args)? {
            return Ok(reply);
        }
        start_found(db, caller, command, args)?
    } else {
        start(db, caller, args)?
    };
    match started {
        Started::Done(reply) => Ok(reply),
        Started::Parked(waiter) => {
            let parked = Parked::new(&db.engine, &db.store, waiter);
            before_wait()?;
            parked.wait()
        }
    }
}

/// A command that may wait; see [`Session::command_async`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is polled"]
pub struct CommandFuture<'s> {
    session: &'s mut Session,
    args: Vec<Box<[u8]>>,
    parked: Option<Parked>,
    pause: PauseWait,
}

impl<'s> CommandFuture<'s> {
    pub(super) fn new(session: &'s mut Session, args: Vec<Box<[u8]>>) -> Self {
        Self {
            pause: session.pause_wait(),
            session,
            args,
            parked: None,
        }
    }
}

impl Future for CommandFuture<'_> {
    type Output = Result<Reply>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self {
            session,
            args,
            parked,
            pause,
        } = &mut *self;
        if parked.is_none() {
            let args: Vec<&[u8]> = args.iter().map(|arg| &**arg).collect();
            if pause.poll(context, || session.paused_until(&args)) {
                return Poll::Pending;
            }
            match session.start(&args)? {
                Step::Done(reply) => return Poll::Ready(Ok(reply)),
                Step::Parked(waits) => *parked = Some(waits),
            }
        }
        let polled = parked.as_mut().map(|parked| parked.poll(context));
        let Some(Poll::Ready(outcome)) = polled else {
            return Poll::Pending;
        };
        *parked = None;
        session.client.set_parked(None);
        Poll::Ready(outcome)
    }
}

impl Drop for CommandFuture<'_> {
    fn drop(&mut self) {
        if self.parked.take().is_some() {
            self.session.client.set_parked(None);
        }
    }
}
