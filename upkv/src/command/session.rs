//! A sequence of commands with transaction state: MULTI, EXEC, DISCARD, WATCH.
//!
//! EXEC locks the shards of everything queued, runs it, and logs one frame. As in Redis, a command that
//! fails while it runs is an item of the reply and stops nothing.

use std::sync::Arc;

use super::args::{self, Args};
use super::reply::Reply;
use super::row::{ALL, CONTROL, Command, EACH, EVERY, GROW, Handler, NO_KEYS, rows, session};
use super::{execute, execute_in};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::keyspace::engine::Keys;
use crate::keyspace::work::Work;

pub(super) static ROWS: &[Command] = rows! { "transactions";
    "discard" 1 CONTROL | FAST, NO_KEYS, session(discard), "2.0.0", "O(1)",
        "Drops a transaction";
    "exec" 1 CONTROL, NO_KEYS, session(exec), "1.2.0", "that of what is queued",
        "Runs a transaction";
    "multi" 1 CONTROL | FAST, NO_KEYS, session(multi), "1.2.0", "O(1)",
        "Starts a transaction";
    "select" 2 FAST, NO_KEYS, session(select), "1.0.0", "O(1)",
        "Changes the database";
    "unwatch" 1 FAST, NO_KEYS, session(unwatch), "2.2.0", "O(1)",
        "Forgets the watched keys";
    "watch" -2 CONTROL | FAST, EACH, session(watch), "2.2.0", "O(keys)",
        "Makes the next transaction depend on keys";
};

/// One client's view of a database: what it queued and what it watches.
///
/// # Examples
///
/// ```
/// use upkv::{Db, Reply, Store};
/// let db = Db::mount(&Store::memory()?, "cache")?;
/// let mut session = db.session();
/// session.command(["WATCH", "stock"])?;
/// session.command(["MULTI"])?;
/// assert_eq!(session.command(["INCR", "stock"])?, Reply::Status("QUEUED"));
/// assert_eq!(session.command(["EXEC"])?, Reply::Array(vec![Reply::Int(1)]));
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Debug)]
pub struct Session {
    pub(crate) db: Db,
    queue: Option<Queue>,
    watched: Vec<Watch>,
}

#[derive(Debug, Default)]
struct Queue {
    commands: Vec<Vec<Box<[u8]>>>,
    /// A command was refused while queueing; EXEC refuses the whole.
    broken: bool,
}

#[derive(Debug)]
struct Watch {
    db: u8,
    key: Box<[u8]>,
    version: u64,
}

impl Session {
    pub(crate) fn new(db: Db) -> Self {
        Self {
            db,
            queue: None,
            watched: Vec::new(),
        }
    }

    /// Runs, or inside MULTI queues, one command.
    ///
    /// # Errors
    ///
    /// What Redis would reply as an error line; [`Error::Storage`] if the store refuses or fails.
    ///
    /// # Durability
    ///
    /// EXEC is one commit: after a crash all of it is there or nothing.
    pub fn command<A: AsRef<[u8]>>(&mut self, args: impl IntoIterator<Item = A>) -> Result<Reply> {
        let owned: Vec<A> = args.into_iter().collect();
        let args: Vec<&[u8]> = owned.iter().map(AsRef::as_ref).collect();
        let command = match Command::find(&args) {
            Ok(command) => command,
            Err(error) => return Err(self.refuse(&args, error)),
        };
        if let Some(queue) = &mut self.queue
            && !command.has(CONTROL)
        {
            if command.has(GROW)
                && let Err(error) = self.db.engine.check_room()
            {
                queue.broken = true;
                return Err(error);
            }
            queue
                .commands
                .push(args.iter().map(|arg| (*arg).into()).collect());
            return Ok(Reply::Status("QUEUED"));
        }
        match command.handler {
            Handler::Session(handler) => handler(self, &args),
            Handler::Data(_) | Handler::Container => {
                execute(&self.db.engine, self.db.index, self.db.level, &args)
            }
        }
    }

    /// Notes that a command could not be queued; a malformed EXEC ends the transaction.
    fn refuse(&mut self, args: &[&[u8]], error: Error) -> Error {
        if args
            .first()
            .is_some_and(|name| name.eq_ignore_ascii_case(b"EXEC"))
        {
            self.queue = None;
            self.forget_watched();
            let line = error.to_string();
            let cause = line.strip_prefix("ERR ").unwrap_or(&line);
            return Error::refused_with(format!(
                "EXECABORT Transaction discarded because of: {cause}"
            ));
        }
        if let Some(queue) = &mut self.queue {
            queue.broken = true;
        }
        error
    }

    fn watch_key(&mut self, key: &[u8]) -> Result<()> {
        let (engine, db) = (&self.db.engine, self.db.index);
        if self
            .watched
            .iter()
            .any(|watch| watch.db == db && *watch.key == *key)
        {
            return Ok(());
        }
        let version = engine.run(db, None, Keys::One(key), |work| {
            // A key that is overdue already must not fire later, when it is cleaned up.
            if work.entry(key)?.is_none() {
                work.remove(key)?;
            }
            let index = work.shard_of(engine.hashers.placement(key));
            let watched = work.shard(index)?.watched.entry(key.into()).or_default();
            watched.sessions += 1;
            Ok(watched.version)
        })?;
        self.watched.push(Watch {
            db,
            key: key.into(),
            version,
        });
        Ok(())
    }

    fn forget_watched(&mut self) {
        for watch in self.watched.drain(..) {
            let engine = &self.db.engine;
            let done = engine.run(watch.db, None, Keys::One(&watch.key), |work| {
                let index = work.shard_of(engine.hashers.placement(&watch.key));
                let watchers = &mut work.shard(index)?.watched;
                if let Some(watched) = watchers.get_mut(&watch.key) {
                    watched.sessions -= 1;
                    if watched.sessions == 0 {
                        watchers.remove(&watch.key);
                    }
                }
                Ok(())
            });
            debug_assert!(done.is_ok(), "nothing is logged here: {done:?}");
        }
    }

    fn run_queue(&mut self, commands: &[Vec<Box<[u8]>>]) -> Result<Reply> {
        let lines: Vec<Vec<&[u8]>> = commands
            .iter()
            .map(|line| line.iter().map(|arg| &**arg).collect())
            .collect();
        let start = self.db.index;
        let mut keys: Vec<&[u8]> = Vec::new();
        let mut declared = None;
        for line in &lines {
            let command = Command::find(line)?;
            if command.has(EVERY) {
                declared = Some(Keys::Every);
            } else if command.has(ALL) && declared.is_none() {
                declared = Some(Keys::All);
            }
            keys.extend(command.keys(line));
        }
        let watched = std::mem::take(&mut self.watched);
        let declared = declared.unwrap_or(Keys::Many(&keys));
        let (engine, level) = (Arc::clone(&self.db.engine), self.db.level);
        let outcome = engine.run(start, level, declared, |work| {
            self.db.index = start;
            if has_fired(work, &watched)? {
                return Ok(Reply::NullArray);
            }
            let mut replies = Vec::with_capacity(lines.len());
            for line in &lines {
                let outcome = match Command::find(line)?.handler {
                    Handler::Session(handler) => {
                        let outcome = handler(self, line);
                        work.select(self.db.index);
                        outcome
                    }
                    Handler::Data(_) | Handler::Container => execute_in(work, line),
                };
                match outcome {
                    Err(error @ (Error::Restart | Error::Storage(_))) => return Err(error),
                    Err(error) => replies.push(Reply::from(&error)),
                    Ok(reply) => replies.push(reply),
                }
            }
            Ok(Reply::Array(replies))
        });
        self.watched = watched;
        outcome
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.forget_watched();
    }
}

/// Whether a watched key changed, or became overdue, since it was watched.
fn has_fired(work: &mut Work<'_>, watched: &[Watch]) -> Result<bool> {
    let now = work.now;
    for watch in watched {
        let fired = work.at_db(watch.db, |work| {
            let probe = work.engine.hashers.probe(&watch.key);
            let index = work.shard_of(probe.placement);
            let shard = work.shard(index)?;
            let overdue = shard
                .table
                .find(probe, &watch.key)
                .is_some_and(|e| e.slot.is_expired(now));
            let version = shard.watched.get(&watch.key).map(|watched| watched.version);
            Ok(overdue || version != Some(watch.version))
        })?;
        if fired {
            return Ok(true);
        }
    }
    Ok(false)
}

fn multi(session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    if session.queue.is_some() {
        return Err(Error::refused("ERR MULTI calls can not be nested"));
    }
    session.queue = Some(Queue::default());
    Ok(Reply::OK)
}

fn watch(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    if session.queue.is_some() {
        return Err(Error::refused("ERR WATCH inside MULTI is not allowed"));
    }
    for key in &args[1..] {
        session.watch_key(key)?;
    }
    Ok(Reply::OK)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn unwatch(session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    session.forget_watched();
    Ok(Reply::OK)
}

fn discard(session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    let queue = session.queue.take();
    queue.ok_or_else(|| Error::refused("ERR DISCARD without MULTI"))?;
    session.forget_watched();
    Ok(Reply::OK)
}

fn exec(session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    let queue = session.queue.take();
    let queue = queue.ok_or_else(|| Error::refused("ERR EXEC without MULTI"))?;
    let outcome = if queue.broken {
        Err(Error::refused(
            "EXECABORT Transaction discarded because of previous errors.",
        ))
    } else {
        session.run_queue(&queue.commands)
    };
    session.forget_watched();
    outcome
}

fn select(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    session.db.index = args::database(args[1])?;
    Ok(Reply::OK)
}
