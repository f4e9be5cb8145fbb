//! Which of two servers a database behaves like, and how large things may become.
//!
//! Everything that depends on either asks [`Rules`], which an engine is given when it is made and keeps.

use crate::command::{Command, GROW, Reply, WRITE};
use crate::error::{Error, Result};
use crate::keyspace::engine::{DATABASES, Engine};
use crate::keyspace::work::Work;

/// Whose commands a database follows where Redis and Upstash differ.
///
/// # Examples
///
/// ```
/// use upkv::{Db, DbOptions, Profile, Store};
/// let options = DbOptions::new().profile(Profile::Upstash);
/// let db = Db::mount_with(&Store::memory()?, "cache", options)?;
/// let mut session = db.session();
/// assert!(session.command(["SELECT", "1"]).is_err(), "there is one database only");
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// Redis 7.2, with the commands of later versions.
    #[default]
    Redis,
    /// Upstash Redis. What is different is listed in `docs/commands.md`.
    Upstash,
}

/// How large requests and data may become. Nothing is limited unless it is asked for.
///
/// # Examples
///
/// ```
/// use upkv::{Db, DbOptions, Limits, Store};
/// let options = DbOptions::new().limits(Limits::new().key_bytes(4));
/// let db = Db::mount_with(&Store::memory()?, "cache", options)?;
/// db.command(["SET", "user", "ada"])?;
/// let refused = db.command(["SET", "users", "ada"]).unwrap_err();
/// let text = "ERR max key size exceeded. Limit: 4 bytes, Actual: 5 bytes";
/// assert_eq!(refused.to_string(), text);
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Limits {
    request_bytes: Option<u64>,
    key_bytes: Option<u64>,
    record_bytes: Option<u64>,
    database_bytes: Option<u64>,
    pending_entries: Option<usize>,
    connections: Option<usize>,
}

impl Limits {
    /// No limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those that Upstash documents: requests of 10 MB, keys of 32 KB, records of 100 MB, and 1,000 pending entries
    /// of a consumer. What a plan buys, size and connections, is not limited.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::Limits;
    /// let limits = Limits::upstash().database_bytes(256 << 20);
    /// assert_ne!(limits, Limits::new());
    /// ```
    pub fn upstash() -> Self {
        Self::new()
            .request_bytes(10 << 20)
            .key_bytes(32 << 10)
            .record_bytes(100 << 20)
            .pending_entries(1_000)
    }

    /// Bytes of all arguments of a command.
    pub fn request_bytes(mut self, bytes: u64) -> Self {
        self.request_bytes = Some(bytes);
        self
    }

    /// Bytes of a key that a command writes to. A longer one can still be read and removed.
    pub fn key_bytes(mut self, bytes: u64) -> Self {
        self.key_bytes = Some(bytes);
        self
    }

    /// Bytes that a key and its value take in memory. A command that would make them more is refused; inside
    /// transactions and scripts one that might, by the size of its arguments.
    pub fn record_bytes(mut self, bytes: u64) -> Self {
        self.record_bytes = Some(bytes);
        self
    }

    /// Bytes that the database takes in memory, or in its log without what is out of date, whichever is more; with that
    /// many, commands that may grow it are refused.
    pub fn database_bytes(mut self, bytes: u64) -> Self {
        self.database_bytes = Some(bytes);
        self
    }

    /// [`Limits::database_bytes`] as the engine counts.
    pub(crate) fn capacity(self) -> Option<i64> {
        let bytes = self.database_bytes?;
        Some(i64::try_from(bytes).unwrap_or(i64::MAX))
    }

    /// Entries of a stream that one consumer of a group may have pending.
    pub fn pending_entries(mut self, count: usize) -> Self {
        self.pending_entries = Some(count);
        self
    }

    /// [`crate::Connection`]s at the same time, beside `maxclients`.
    pub fn connections(mut self, count: usize) -> Self {
        self.connections = Some(count);
        self
    }
}

/// What an engine was told about its behaviour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    profile: Profile,
    pub(crate) limits: Limits,
    /// Whether nothing is limited, and replies are those of Redis.
    plain: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self::new(Profile::default(), Limits::default())
    }
}

impl Rules {
    pub(crate) fn profile(&self) -> Profile {
        self.profile
    }

    pub(crate) fn is_upstash(&self) -> bool {
        self.profile == Profile::Upstash
    }

    pub(crate) fn new(profile: Profile, limits: Limits) -> Self {
        Self {
            profile,
            limits,
            plain: profile == Profile::Redis && limits == Limits::default(),
        }
    }

    /// Whether nothing is limited, and replies are those of Redis.
    pub(crate) fn are_plain(&self) -> bool {
        self.plain
    }

    /// How many databases clients may select.
    pub(crate) fn databases(&self) -> u8 {
        if self.is_upstash() { 1 } else { DATABASES }
    }

    /// Whether a command is UNLINK without keys, which Upstash answers with 0.
    pub(crate) fn removes_nothing(&self, args: &[&[u8]]) -> bool {
        self.is_upstash() && matches!(args, [name] if name.eq_ignore_ascii_case(b"unlink"))
    }

    /// Refuses a command whose arguments are too long altogether.
    pub(crate) fn check_request(&self, args: &[&[u8]]) -> Result<()> {
        let Some(limit) = self.limits.request_bytes else {
            return Ok(());
        };
        let bytes = bytes_of(args);
        if bytes <= limit {
            return Ok(());
        }
        Err(exceeded("max request size", limit, bytes))
    }

    /// Refuses a command that writes to a key whose name is too long.
    pub(crate) fn check_keys(&self, command: &Command, args: &[&[u8]]) -> Result<()> {
        let Some(limit) = self.limits.key_bytes else {
            return Ok(());
        };
        if !command.has(WRITE) || matches!(command.name, "del" | "unlink") {
            return Ok(());
        }
        for key in command.keys(args) {
            let bytes = bytes_of(&[key]);
            if bytes > limit {
                return Err(exceeded("max key size", limit, bytes));
            }
        }
        Ok(())
    }

    /// Refuses growth of a database that is too large.
    pub(crate) fn check_capacity(&self, engine: &Engine) -> Result<()> {
        match self.limits.database_bytes {
            Some(limit) if engine.size() >= limit => {
                Err(Error::refused("ERR DB capacity quota exceeded"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a command whose arguments, added to a value they are for, might make it too large.
    pub(crate) fn check_records(
        &self,
        work: &mut Work<'_>,
        command: &Command,
        args: &[&[u8]],
    ) -> Result<()> {
        let Some(limit) = self.limits.record_bytes.filter(|_| command.has(GROW)) else {
            return Ok(());
        };
        let added = bytes_of(args);
        for key in command.keys(args) {
            let taken = work.entry(key)?.map_or(0, |entry| entry.memory() as u64);
            if taken.saturating_add(added) > limit {
                return Err(record_exceeded());
            }
        }
        Ok(())
    }

    /// Refuses what made a value too large.
    pub(crate) fn check_growth(&self, work: &mut Work<'_>) -> Result<()> {
        match self.limits.record_bytes {
            Some(limit) if work.grew_beyond(limit) => Err(record_exceeded()),
            _ => Ok(()),
        }
    }

    /// Refuses a delivery that a consumer has no room for.
    pub(crate) fn check_pending(
        &self,
        [key, group, consumer]: [&[u8]; 3],
        pending: usize,
        more: usize,
    ) -> Result<()> {
        let Some(limit) = self.limits.pending_entries else {
            return Ok(());
        };
        if pending.saturating_add(more) <= limit {
            return Ok(());
        }
        let [key, group, consumer] = [key, group, consumer].map(String::from_utf8_lossy);
        Err(Error::refused_with(format!(
            "ERR XReadGroup is cancelled. Pending Entries List limit per consumer is about to be reached. \
             Limit: {limit}, Current PEL size: {pending}, Requested Read: {more}, Key: {key}, Group: {group}, \
             Consumer: {consumer}."
        )))
    }

    /// Why one connection more than there are is refused, if it is.
    pub(crate) fn check_connection(&self, open: usize, max_clients: usize) -> Result<()> {
        if self.limits.connections.is_some_and(|limit| open > limit) {
            return Err(Error::refused("ERR max concurrent connections exceeded"));
        }
        if open > max_clients {
            return Err(Error::refused("ERR max number of clients reached"));
        }
        Ok(())
    }

    /// The reply of a command as the profile shapes it.
    pub(crate) fn shape(&self, command: &Command, reply: Reply) -> Reply {
        let is_flat = || {
            matches!(
                command.name,
                "smembers" | "xinfo|consumers" | "xinfo|groups" | "zpopmax" | "zpopmin"
            )
        };
        if self.is_upstash() && is_flat() {
            flat(reply)
        } else {
            reply
        }
    }
}

/// The same as lists only, as RESP2 writes it.
fn flat(reply: Reply) -> Reply {
    match reply {
        Reply::Array(items) | Reply::Set(items) => {
            Reply::Array(items.into_iter().map(flat).collect())
        }
        Reply::Map(pairs) | Reply::Pairs(pairs) => {
            let items = pairs.into_iter().flat_map(|(key, value)| [key, value]);
            Reply::Array(items.collect())
        }
        other => other,
    }
}

fn bytes_of(args: &[&[u8]]) -> u64 {
    args.iter().map(|arg| arg.len() as u64).sum()
}

#[cold]
fn exceeded(what: &str, limit: u64, actual: u64) -> Error {
    Error::refused_with(format!(
        "ERR {what} exceeded. Limit: {limit} bytes, Actual: {actual} bytes"
    ))
}

#[cold]
fn record_exceeded() -> Error {
    Error::refused("ERR max single record size exceeded")
}
