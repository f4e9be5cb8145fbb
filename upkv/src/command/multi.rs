//! Chapter: transactions. MULTI, EXEC, DISCARD, WATCH, UNWATCH.
//!
//! EXEC locks the shards of everything queued, runs it, and logs one frame. As in Redis, a command that
//! fails while it runs is an item of the reply and stops nothing. Commands of the session itself run once, even if
//! the rest has to start over.

use std::sync::Arc;
use std::time::Duration;

use super::args::{self, Args};
use super::counting::Ended;
use super::reply::Reply;
use super::row::{ALL, Command, EACH, EVERY, Handler, NO_KEYS, RUNS, WRITE, rows, session};
use super::run_in;
use super::session::Session;
use crate::error::{Error, Result};
use crate::keyspace::engine::Keys;
use crate::keyspace::work::Work;

pub(super) static ROWS: &[Command] = rows! { "transactions";
    "discard" 1 CONTROL | FAST | NOSCRIPT | LOADING | STALE, NO_KEYS, session(discard), "2.0.0", "O(1)",
        "Drops a transaction";
    "exec" 1 CONTROL | NOSCRIPT | LOADING | STALE, NO_KEYS, session(exec), "1.2.0", "that of what is queued",
        "Runs a transaction";
    "multi" 1 CONTROL | FAST | NOSCRIPT | LOADING | STALE, NO_KEYS, session(multi), "1.2.0", "O(1)",
        "Starts a transaction";
    "unwatch" 1 FAST | NOSCRIPT | LOADING | STALE, NO_KEYS, session(unwatch), "2.2.0", "O(1)",
        "Forgets the watched keys";
    "watch" -2 CONTROL | FAST | NOSCRIPT | LOADING | STALE, EACH, session(watch), "2.2.0", "O(keys)",
        "Makes the next transaction depend on keys";
};

#[derive(Debug, Default)]
pub(super) struct Queue {
    commands: Vec<Vec<Box<[u8]>>>,
    /// A command was refused while queueing; EXEC refuses the whole.
    broken: bool,
    writes: bool,
}

impl Queue {
    /// Whether anything queued may change data.
    pub(super) fn writes(&self) -> bool {
        self.writes
    }
}

#[derive(Debug)]
pub(super) struct Watch {
    db: u8,
    key: Box<[u8]>,
    version: u64,
}

impl Session {
    /// Queues a command inside MULTI.
    pub(super) fn enqueue(&mut self, command: &Command, args: &Args<'_>) -> Result<Reply> {
        let room = self.db.engine.check_room_for(command, args);
        let Some(queue) = &mut self.queue else {
            return Err(Error::refused("ERR EXEC without MULTI"));
        };
        if let Err(error) = room {
            queue.broken = true;
            return Err(error);
        }
        queue.writes |= command.has(WRITE | RUNS) || command.name.ends_with("publish");
        queue
            .commands
            .push(args.iter().map(|arg| (*arg).into()).collect());
        self.client.facts().queued = Some(queue.commands.len());
        Ok(Reply::Status("QUEUED"))
    }

    /// Notes that a command could not be queued; a malformed EXEC ends the transaction.
    pub(super) fn refuse(&mut self, args: &Args<'_>, error: Error) -> Error {
        let is_exec = |name: &&[u8]| name.eq_ignore_ascii_case(b"EXEC");
        if args.first().is_some_and(is_exec) {
            self.end_queue();
            self.forget_watched();
            return discarded(&error);
        }
        match &mut self.queue {
            Some(queue) => queue.broken = true,
            // What was said about the next command was about this one.
            None if !args.first().is_some_and(|name| args::is(name, "CLIENT")) => {
                self.tracking.caching = false;
            }
            None => {}
        }
        error
    }

    fn watch_key(&mut self, key: &[u8]) -> Result<()> {
        let (engine, db) = (&self.db.engine, self.db.index);
        let known = |watch: &Watch| watch.db == db && *watch.key == *key;
        if self.watched.iter().any(known) {
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

    pub(super) fn forget_watched(&mut self) {
        self.client.facts().watched = 0;
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

    /// Ends MULTI; what was queued.
    pub(super) fn end_queue(&mut self) -> Option<Queue> {
        self.client.facts().queued = None;
        self.queue.take()
    }

    /// Refuses a queued command that the user has no right to any longer.
    fn check_queued(&self, command: &Command, line: &Args<'_>) -> Result<()> {
        match &self.account {
            Some(account) if !account.is_unrestricted() => self.check_rights(command, line),
            _ => Ok(()),
        }
    }

    /// Runs one command of a transaction. `done` is what it answered if it is not to run again when the rest has to, with the
    /// database after it.
    fn run_queued(
        &mut self,
        work: &mut Work<'_>,
        command: &'static Command,
        line: &Args<'_>,
        done: &mut Option<(Reply, u8)>,
    ) -> Result<Reply> {
        if done.is_none()
            && let Err(error) = self.check_queued(command, line)
        {
            *done = Some((Reply::from(&error), self.db.index));
        }
        // The keys are locked, so no change can slip in between this and the read.
        self.remember(&self.tracked_keys(command, line));
        match (command.handler, done) {
            (_, Some((reply, db))) => {
                work.select(*db);
                Ok(reply.clone())
            }
            (Handler::Session(handler), done) => {
                let reply = handler(self, line).unwrap_or_else(|error| Reply::from(&error));
                work.select(self.db.index);
                *done = Some((reply.clone(), self.db.index));
                Ok(reply)
            }
            _ if self.pings_as_subscriber(command) => super::pubsub::ping(line),
            (Handler::Data(_) | Handler::Direct { .. } | Handler::Container, _) => {
                run_in(work, command, line)
            }
        }
    }

    fn run_queue(&mut self, commands: &[Vec<Box<[u8]>>]) -> Result<Reply> {
        let lines: Vec<Vec<&[u8]>> = commands
            .iter()
            .map(|line| line.iter().map(|arg| &**arg).collect())
            .collect();
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
        let declared = declared.unwrap_or(Keys::Many(&keys));
        let (engine, caller) = (Arc::clone(&self.db.engine), self.caller());
        let clock = engine.mount.clock();
        let watched = std::mem::take(&mut self.watched);
        // What commands of the session answered, and refusals, with the database after them: they happen once.
        let mut done: Vec<Option<(Reply, u8)>> = vec![None; lines.len()];
        // What ran at the last attempt, how long it took, and how it ended.
        let mut noted: Vec<(Duration, Ended)> = Vec::new();
        self.in_exec = true;
        let ran = engine.run_as(caller, declared, |work| {
            if has_fired(work, &watched)? {
                return Ok(Reply::NullArray);
            }
            noted.clear();
            let mut replies = Vec::with_capacity(lines.len());
            for (line, done) in lines.iter().zip(&mut done) {
                let command = Command::find(line)?;
                let started = clock.monotonic();
                let outcome = self.run_queued(work, command, line, done);
                let took = clock.monotonic().saturating_sub(started);
                match outcome {
                    Err(error @ (Error::Restart | Error::Storage(_))) => return Err(error),
                    Err(error) => {
                        noted.push((took, Ended::Failed(error.to_string())));
                        replies.push(Reply::from(&error));
                    }
                    Ok(reply) => {
                        noted.push((took, ended(command, &reply)));
                        replies.push(reply);
                    }
                }
            }
            Ok(Reply::Array(replies))
        });
        self.in_exec = false;
        self.watched = watched;
        let reply = engine.finish(ran?, caller.level)?;
        let now = clock.monotonic();
        for (line, (took, ended)) in lines.iter().zip(&noted) {
            self.count(Command::find(line)?, line, now, *took, ended);
        }
        if self.db.engine.server.monitor.is_used() && reply != Reply::NullArray {
            self.show_monitor(&[b"exec"]);
            for line in &lines {
                self.feed_monitor(Command::find(line)?, line);
            }
        }
        Ok(reply)
    }
}

/// How a queued command ended that answered.
fn ended(command: &Command, reply: &Reply) -> Ended {
    match (command.handler, reply) {
        (Handler::Session(_), Reply::Error(line)) => Ended::Failed(line.clone()),
        (_, reply) => Ended::with(reply),
    }
}

fn discarded(cause: &Error) -> Error {
    let line = cause.to_string();
    let cause = line.strip_prefix("ERR ").unwrap_or(&line);
    Error::refused_with(format!(
        "EXECABORT Transaction discarded because of: {cause}"
    ))
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
                .is_some_and(|entry| entry.is_expired(now));
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
    session.client.facts().queued = Some(0);
    Ok(Reply::OK)
}

fn watch(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    if session.queue.is_some() {
        return Err(Error::refused("ERR WATCH inside MULTI is not allowed"));
    }
    for key in &args[1..] {
        session.watch_key(key)?;
    }
    session.client.facts().watched = session.watched.len();
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
    let queue = session.end_queue();
    queue.ok_or_else(|| Error::refused("ERR DISCARD without MULTI"))?;
    session.forget_watched();
    Ok(Reply::OK)
}

fn exec(session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    let queue = session.end_queue();
    let queue = queue.ok_or_else(|| Error::refused("ERR EXEC without MULTI"))?;
    let outcome = if queue.broken {
        Err(Error::refused(
            "EXECABORT Transaction discarded because of previous errors.",
        ))
    } else {
        match session.run_queue(&queue.commands) {
            // It waited for a script that takes long.
            Err(error @ Error::Refused(_)) => Err(discarded(&error)),
            outcome => outcome,
        }
    };
    session.forget_watched();
    session.tracking.caching = false;
    session.keep_to_memory()?;
    outcome
}
