//! A sequence of commands with transaction state: MULTI, EXEC, DISCARD, WATCH.
//!
//! EXEC locks the shards of everything queued, runs it, and logs one frame. As in Redis, a command that
//! fails while it runs is an item of the reply and stops nothing.

use super::reply::Reply;
use super::table::Command;
use super::{execute, execute_in};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::keyspace::engine::Engine;
use crate::keyspace::work::Work;

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
    db: Db,
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
    key: Box<[u8]>,
    shard: usize,
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
        let checked = Command::find(&args).and_then(|command| {
            command.check_arguments(&args)?;
            Ok(command)
        });
        let command = match checked {
            Ok(command) => command,
            Err(error) => return Err(self.refuse(&args, error)),
        };
        if command.is_control() {
            return self.control(command.name, &args);
        }
        let Some(queue) = &mut self.queue else {
            return execute(&self.db.engine, self.db.level, &args);
        };
        if command.grows()
            && let Err(error) = self.db.engine.check_room()
        {
            queue.broken = true;
            return Err(error);
        }
        queue
            .commands
            .push(args.iter().map(|arg| (*arg).into()).collect());
        Ok(Reply::Status("QUEUED"))
    }

    /// Notes that a command could not be queued; a malformed EXEC ends the transaction.
    fn refuse(&mut self, args: &[&[u8]], error: Error) -> Error {
        if args
            .first()
            .is_some_and(|name| name.eq_ignore_ascii_case(b"EXEC"))
        {
            self.queue = None;
            self.unwatch();
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

    fn control(&mut self, name: &str, args: &[&[u8]]) -> Result<Reply> {
        match (name, self.queue.is_some()) {
            ("multi", true) => Err(Error::refused("ERR MULTI calls can not be nested")),
            ("multi", false) => {
                self.queue = Some(Queue::default());
                Ok(Reply::OK)
            }
            ("watch", true) => Err(Error::refused("ERR WATCH inside MULTI is not allowed")),
            ("watch", false) => {
                args[1..].iter().for_each(|key| self.watch(key));
                Ok(Reply::OK)
            }
            ("unwatch", true) => {
                if let Some(queue) = &mut self.queue {
                    queue.commands.push(vec![(*b"UNWATCH").into()]);
                }
                Ok(Reply::Status("QUEUED"))
            }
            ("unwatch", false) => {
                self.unwatch();
                Ok(Reply::OK)
            }
            ("discard", true) => {
                self.queue = None;
                self.unwatch();
                Ok(Reply::OK)
            }
            ("exec", true) => self.exec(),
            ("exec", false) => Err(Error::refused("ERR EXEC without MULTI")),
            _ => Err(Error::refused("ERR DISCARD without MULTI")),
        }
    }

    fn exec(&mut self) -> Result<Reply> {
        let queue = self.queue.take().unwrap_or_default();
        let outcome = if queue.broken {
            Err(Error::refused(
                "EXECABORT Transaction discarded because of previous errors.",
            ))
        } else {
            run_queue(&self.db, &queue.commands, &self.watched)
        };
        self.unwatch();
        outcome
    }

    fn watch(&mut self, key: &[u8]) {
        let engine = &self.db.engine;
        let probe = engine.hashers.probe(key);
        let index = engine.shard_of(probe.placement);
        if self.watched.iter().any(|watch| *watch.key == *key) {
            return;
        }
        let mut shard = engine.shards[index].lock();
        let watched = shard.watched.entry(key.into()).or_default();
        watched.sessions += 1;
        let version = watched.version;
        drop(shard);
        self.watched.push(Watch {
            key: key.into(),
            shard: index,
            version,
        });
        // A key that is overdue already must not fire later, when it is cleaned up.
        if let Err(error) = self.forget_overdue(key, index) {
            debug_assert!(
                matches!(error, Error::Storage(_)),
                "only the store can refuse: {error}"
            );
        }
    }

    /// Removes a watched key that is overdue and takes the version after that.
    fn forget_overdue(&mut self, key: &[u8], index: usize) -> Result<()> {
        let version = self
            .db
            .engine
            .run(None, crate::keyspace::engine::Keys::One(key), |work| {
                if work.entry(key)?.is_none() {
                    work.remove(key)?;
                }
                Ok(())
            });
        version?;
        let shard = self.db.engine.shards[index].lock();
        if let (Some(watch), Some(watched)) = (self.watched.last_mut(), shard.watched.get(key)) {
            watch.version = watched.version;
        }
        Ok(())
    }

    fn unwatch(&mut self) {
        for watch in self.watched.drain(..) {
            let mut shard = self.db.engine.shards[watch.shard].lock();
            if let Some(watched) = shard.watched.get_mut(&watch.key) {
                watched.sessions -= 1;
                if watched.sessions == 0 {
                    shard.watched.remove(&watch.key);
                }
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.unwatch();
    }
}

fn run_queue(db: &Db, commands: &[Vec<Box<[u8]>>], watched: &[Watch]) -> Result<Reply> {
    use crate::keyspace::engine::Keys;
    let lines: Vec<Vec<&[u8]>> = commands
        .iter()
        .map(|line| line.iter().map(|arg| &**arg).collect())
        .collect();
    let mut keys: Vec<&[u8]> = watched.iter().map(|watch| &*watch.key).collect();
    let mut all = false;
    for line in &lines {
        let command = Command::find(line)?;
        all |= command.needs_all();
        keys.extend(command.keys(line));
    }
    let keys = if all { Keys::All } else { Keys::Many(&keys) };
    let engine: &Engine = &db.engine;
    engine.run(db.level, keys, |work| {
        if has_fired(work, watched)? {
            return Ok(Reply::NullArray);
        }
        let mut replies = Vec::with_capacity(lines.len());
        for line in &lines {
            if line[0] == b"UNWATCH" {
                replies.push(Reply::OK);
                continue;
            }
            match execute_in(work, line) {
                Err(error @ (Error::Restart | Error::Storage(_))) => return Err(error),
                Err(error) => replies.push(Reply::from(&error)),
                Ok(reply) => replies.push(reply),
            }
        }
        Ok(Reply::Array(replies))
    })
}

/// Whether a watched key changed, or became overdue, since it was watched.
fn has_fired(work: &mut Work<'_>, watched: &[Watch]) -> Result<bool> {
    let now = work.now;
    for watch in watched {
        let probe = work.engine.hashers.probe(&watch.key);
        let shard = work.shard(watch.shard)?;
        let overdue = shard
            .table
            .find(probe, &watch.key)
            .is_some_and(|e| e.slot.is_expired(now));
        let version = shard.watched.get(&watch.key).map(|watched| watched.version);
        if overdue || version != Some(watch.version) {
            return Ok(true);
        }
    }
    Ok(false)
}
