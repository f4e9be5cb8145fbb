//! The handle of a database: mounting, strings, keys, and the doors to views, sessions and transactions.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::builder::Builder;
use crate::command;
use crate::command::{Reply, Session};
use crate::error::{Error, Result};
use crate::keyspace::direct::Direct;
use crate::keyspace::engine::{Caller, DATABASES, Engine, Keys};
use crate::keyspace::entry::Entry;
use crate::keyspace::work::Work;
use crate::ops;
use crate::ops::keys::ExpireIf;
use crate::ops::string::{Set, SetIf};
use crate::options::{Condition, DbOptions, Deadline, SetOptions, millis};
use crate::server::shutdown::ShutdownRequest;
use crate::stats::Stats;
use crate::storage::{Durability, MountId, MountOptions, Store, Timestamp, Token};
use crate::transaction::{self, Transaction};
use crate::value::Kind;
use crate::value::owned::Value;
use crate::view::{
    Bits, Geo, Hash, HyperLogLog, Json, Keys as KeyIter, List, Set as SetView, Stream, Zset,
};

/// The store's number for engines of this kind.
const KIND: u8 = 1;
/// What a write survives unless the host says otherwise.
const DEFAULT_DURABILITY: Durability = Durability::Interval(Duration::from_secs(1));

/// A key-value database with Redis semantics, mounted on a store.
///
/// Cheap to clone; all clones are the same database and may be used from any thread. Calls block for as
/// long as the durability level asks; none needs a runtime.
///
/// # Examples
///
/// ```
/// use upkv::{Db, Store};
/// let store = Store::memory()?;
/// let db = Db::mount(&store, "cache")?;
/// db.set("user:1", "ada")?;
/// assert_eq!(db.get("user:1")?.expect("set above"), "ada");
/// assert_eq!(db.incr("visits")?, 1);
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Db {
    pub(crate) store: Store,
    pub(crate) engine: Arc<Engine>,
    /// Level of this handle; `None` is the mount's.
    pub(crate) level: Option<Durability>,
    /// Which of the databases of the mount keys belong to.
    pub(crate) index: u8,
}

impl Db {
    /// Mounts the database `name` on a store, with default options; creates it if it does not exist.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`]: an empty name or one over 255 bytes, or damage in the log.
    pub fn mount(store: &Store, name: &str) -> Result<Self> {
        Self::mount_with(store, name, DbOptions::new())
    }

    /// As [`Db::mount`] with options. If the database is mounted already, this is another handle to it and
    /// the options of the first mount hold.
    ///
    /// # Errors
    ///
    /// As [`Db::mount`].
    pub fn mount_with(store: &Store, name: &str, options: DbOptions) -> Result<Self> {
        let mut mount = MountOptions::with_default(DEFAULT_DURABILITY);
        mount.durability_override = options.durability;
        let make = |mount| Arc::new(Engine::new(mount, &options));
        let engine = store.mount_participant(KIND, name, mount, make)?;
        Ok(Self {
            store: store.clone(),
            engine,
            level: None,
            index: 0,
        })
    }

    /// Opens a directory of its own with default settings: a private store with one database in it.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`]: the directory is locked, damaged, or cannot be created.
    ///
    /// # Examples
    ///
    /// ```
    /// let dir = std::env::temp_dir().join(format!("upkv-doc-open-{}", std::process::id()));
    /// let db = upkv::Db::open(&dir)?;
    /// db.set("a", "1")?;
    /// db.close()?;
    /// let db = upkv::Db::open(&dir)?;
    /// assert_eq!(db.get("a")?.expect("kept"), "1");
    /// # db.close()?;
    /// # std::fs::remove_dir_all(&dir).ok();
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder(path).open()
    }

    /// Settings for a database in a directory of its own.
    pub fn builder(path: impl AsRef<Path>) -> Builder {
        Builder::new(path.as_ref())
    }

    /// The store underneath.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Another handle whose writes return when they hold at `level`.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::{Db, Durability, Store};
    /// let db = Db::mount(&Store::memory()?, "orders")?;
    /// db.with_durability(Durability::Disk).set("order:7", "paid")?;
    /// # Ok::<(), upkv::Error>(())
    /// ```
    #[must_use]
    pub fn with_durability(&self, level: Durability) -> Self {
        Self {
            level: Some(level),
            ..self.clone()
        }
    }

    /// A handle to another of the 16 databases of this mount, which share a log and can be changed together.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: `index` is 16 or more.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::{Db, Store};
    /// let db = Db::mount(&Store::memory()?, "cache")?;
    /// let sessions = db.database(1)?;
    /// sessions.set("a", "1")?;
    /// assert!(!db.exists("a")?);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn database(&self, index: u8) -> Result<Self> {
        if index >= DATABASES {
            return Err(Error::refused("ERR DB index is out of range"));
        }
        Ok(Self {
            index,
            ..self.clone()
        })
    }

    /// The position of the newest commit, which includes every write that has returned.
    pub fn token(&self) -> Token {
        self.store.token()
    }

    /// Waits until everything up to `token` survives a power loss.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] if the log cannot be synced.
    pub fn wait_durable(&self, token: Token) -> Result<()> {
        Ok(self.store.wait_durable(token.seq)?)
    }

    /// Closes the store, with every engine mounted on it.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] if the last commits cannot be written.
    pub fn close(&self) -> Result<()> {
        Ok(self.store.close()?)
    }

    // --- strings

    /// The string at `key`.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`]; [`Error::Storage`] if a cold value cannot be read.
    ///
    /// # Complexity
    ///
    /// O(1); copies no bytes, except for integers. A cold value costs at most one read, with no lock held.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        Ok(self.engine.get(self.index, key.as_ref())?.map(Value::from))
    }

    /// The strings at several keys, read at one moment; a key of another type reads as missing.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn get_many<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Value>>> {
        let owned: Vec<K> = keys.into_iter().collect();
        let keys: Vec<&[u8]> = owned.iter().map(AsRef::as_ref).collect();
        self.engine
            .run(self.index, self.level, Keys::Many(&keys), |work| {
                work.prefetch_strings(&keys)?;
                let read = |key: &&[u8]| match work.kind(key)? {
                    Some(Kind::String) => Ok(ops::string::get(work, key)?.map(Value::from)),
                    _ => Ok(None),
                };
                keys.iter().map(read).collect()
            })
    }

    /// Sets a string, whatever the key held; its deadline is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], [`Error::OutOfMemory`], [`Error::Storage`].
    ///
    /// # Durability
    ///
    /// That of the handle: by default a process crash loses nothing and a power loss at most one second.
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        let (key, value) = (key.as_ref(), value.as_ref());
        self.engine.check_room()?;
        match self.engine.set_directly(self.caller(), key, value)? {
            Direct::Done(()) => Ok(()),
            Direct::Ordinary => self.set_with(key, value, SetOptions::new()).map(drop),
        }
    }

    /// Sets a string under conditions and with a deadline; whether it was set.
    ///
    /// # Errors
    ///
    /// As [`Db::set`]; [`Error::Refused`] for a time to live of zero.
    pub fn set_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: SetOptions,
    ) -> Result<bool> {
        let (key, value) = (key.as_ref(), value.as_ref());
        self.grow(key, |work| {
            Ok(ops::string::set(work, key, value, plain(options, false))?.written)
        })
    }

    /// As [`Db::set_with`], and answers the string that was there before.
    ///
    /// # Errors
    ///
    /// As [`Db::set_with`]; [`Error::WrongType`] if the key held another type.
    pub fn swap(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: SetOptions,
    ) -> Result<Option<Value>> {
        let (key, value) = (key.as_ref(), value.as_ref());
        self.grow(key, |work| {
            let done = ops::string::set(work, key, value, plain(options, true))?;
            Ok(done.previous.map(Value::from))
        })
    }

    /// Sets several strings in one commit.
    ///
    /// # Errors
    ///
    /// As [`Db::set`]; nothing is set then.
    pub fn set_many<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<()> {
        let owned: Vec<(K, V)> = pairs.into_iter().collect();
        let keys: Vec<&[u8]> = owned.iter().map(|(key, _)| key.as_ref()).collect();
        self.engine.check_room()?;
        self.engine
            .run(self.index, self.level, Keys::Many(&keys), |work| {
                for (key, value) in &owned {
                    let how = plain(SetOptions::new(), false);
                    ops::string::set(work, key.as_ref(), value.as_ref(), how)?;
                }
                Ok(())
            })
    }

    /// Sets a string if `key` holds exactly `expected` (`None`: if it is missing); whether it was set.
    /// The deadline is kept.
    ///
    /// # Errors
    ///
    /// As [`Db::set`]; [`Error::WrongType`].
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// assert!(db.compare_and_set("leader", None, "a")?);
    /// assert!(!db.compare_and_set("leader", None, "b")?);
    /// assert!(db.compare_and_set("leader", Some(b"a"), "b")?);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn compare_and_set(
        &self,
        key: impl AsRef<[u8]>,
        expected: Option<&[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<bool> {
        let (key, value) = (key.as_ref(), value.as_ref());
        let condition = match expected {
            None => SetIf::Plain(Condition::IfAbsent),
            Some(bytes) => SetIf::Equals(bytes),
        };
        let how = Set {
            condition,
            deadline: Deadline::Keep,
            get: false,
        };
        self.grow(key, |work| {
            Ok(ops::string::set(work, key, value, how)?.written)
        })
    }

    /// Reads a string and removes the key.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`], [`Error::Storage`].
    pub fn get_del(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        let key = key.as_ref();
        self.run(key, |work| {
            Ok(ops::string::get_del(work, key)?.map(Value::from))
        })
    }

    /// Appends to a string, creating it; the new length in bytes.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`], [`Error::TooLarge`], [`Error::OutOfMemory`], [`Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(n) in the resulting length: the whole value is logged.
    pub fn append(&self, key: impl AsRef<[u8]>, suffix: impl AsRef<[u8]>) -> Result<usize> {
        let (key, suffix) = (key.as_ref(), suffix.as_ref());
        self.grow(key, |work| ops::string::append(work, key, suffix))
    }

    /// Length of a string in bytes, 0 if it is missing; needs no read of a cold value.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`].
    pub fn strlen(&self, key: impl AsRef<[u8]>) -> Result<usize> {
        let key = key.as_ref();
        self.run(key, |work| ops::string::len(work, key))
    }

    /// The bytes from `start` to `end` inclusive; negative positions count from the end.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`], [`Error::Storage`].
    pub fn get_range(&self, key: impl AsRef<[u8]>, start: i64, end: i64) -> Result<Value> {
        let key = key.as_ref();
        self.run(key, |work| {
            Ok(ops::string::range(work, key, start, end)?.into())
        })
    }

    /// Overwrites from `offset` on, padding with zero bytes; the new length.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`], [`Error::TooLarge`], [`Error::OutOfMemory`], [`Error::Storage`].
    pub fn set_range(
        &self,
        key: impl AsRef<[u8]>,
        offset: u64,
        bytes: impl AsRef<[u8]>,
    ) -> Result<usize> {
        let (key, bytes) = (key.as_ref(), bytes.as_ref());
        let offset = i64::try_from(offset).map_err(|_| Error::TooLarge)?;
        self.grow(key, |work| ops::string::set_range(work, key, offset, bytes))
    }

    /// Adds one to the integer at `key`, which starts at 0; the sum.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`], [`Error::NotInteger`], [`Error::Overflow`], [`Error::OutOfMemory`],
    /// [`Error::Storage`].
    pub fn incr(&self, key: impl AsRef<[u8]>) -> Result<i64> {
        self.incr_by(key, 1)
    }

    /// Subtracts one; see [`Db::incr`].
    ///
    /// # Errors
    ///
    /// As [`Db::incr`].
    pub fn decr(&self, key: impl AsRef<[u8]>) -> Result<i64> {
        self.incr_by(key, -1)
    }

    /// Adds `change`; see [`Db::incr`].
    ///
    /// # Errors
    ///
    /// As [`Db::incr`].
    pub fn incr_by(&self, key: impl AsRef<[u8]>, change: i64) -> Result<i64> {
        let key = key.as_ref();
        self.engine.check_room()?;
        match self.engine.add_directly(self.caller(), key, change)? {
            Direct::Done(sum) => Ok(sum),
            Direct::Ordinary => self.run(key, |work| ops::string::incr_by(work, key, change)),
        }
    }

    /// Adds to the decimal at `key`, exactly to 17 fractional digits; the sum.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`], [`Error::NotFloat`], [`Error::Refused`] if the sum is not finite.
    pub fn incr_by_float(&self, key: impl AsRef<[u8]>, change: f64) -> Result<f64> {
        let key = key.as_ref();
        let change = change.to_string();
        let sum = self.grow(key, |work| {
            ops::string::incr_by_float(work, key, change.as_bytes())
        })?;
        crate::number::parse_f64(&sum).ok_or(Error::NotFloat)
    }

    // --- keys

    /// Whether the key exists.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub fn exists(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let key = key.as_ref();
        self.run(key, |work| work.exists(key))
    }

    /// Removes a key; whether it existed.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let key = key.as_ref();
        self.run(key, |work| ops::keys::delete(work, key))
    }

    /// Removes several keys in one commit; the number that existed.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn delete_many<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Result<usize> {
        let owned: Vec<K> = keys.into_iter().collect();
        let keys: Vec<&[u8]> = owned.iter().map(AsRef::as_ref).collect();
        self.engine
            .run(self.index, self.level, Keys::Many(&keys), |work| {
                keys.iter().try_fold(0, |count, key| {
                    Ok(count + usize::from(ops::keys::delete(work, key)?))
                })
            })
    }

    /// The type of the key's value.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub fn kind(&self, key: impl AsRef<[u8]>) -> Result<Option<Kind>> {
        let key = key.as_ref();
        self.run(key, |work| work.kind(key))
    }

    /// Lets the key disappear after `span`; whether it exists. A span of zero removes it.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn expire(&self, key: impl AsRef<[u8]>, span: Duration) -> Result<bool> {
        let key = key.as_ref();
        self.run(key, |work| {
            let at = i64::try_from(work.now.saturating_add(millis(span))).unwrap_or(i64::MAX);
            ops::keys::expire_at(work, key, at, ExpireIf::default())
        })
    }

    /// Lets the key disappear at `deadline`; whether it exists. A deadline that has passed removes it.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn expire_at(&self, key: impl AsRef<[u8]>, deadline: Timestamp) -> Result<bool> {
        let key = key.as_ref();
        let at = i64::try_from(deadline.as_millis()).unwrap_or(i64::MAX);
        self.run(key, |work| {
            ops::keys::expire_at(work, key, at, ExpireIf::default())
        })
    }

    /// Removes the key's deadline; whether there was one.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn persist(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let key = key.as_ref();
        self.run(key, |work| ops::keys::persist(work, key))
    }

    /// How long the key and its deadline have left.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub fn ttl(&self, key: impl AsRef<[u8]>) -> Result<Ttl> {
        let key = key.as_ref();
        self.run(key, |work| {
            let now = work.now;
            Ok(match work.entry(key)?.map(Entry::expire_at) {
                None => Ttl::Missing,
                Some(0) => Ttl::Forever,
                Some(at) => Ttl::Left(Duration::from_millis(at - now)),
            })
        })
    }

    /// Renames a key with value and deadline, replacing what `to` held.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchKey`], [`Error::Storage`].
    pub fn rename(&self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        self.engine
            .run(self.index, self.level, Keys::Many(&[from, to]), |work| {
                ops::keys::rename(work, from, to, false).map(drop)
            })
    }

    /// Iterates over the keys that match a glob pattern; `*` matches all.
    ///
    /// Keys that exist throughout are returned at least once; the iterator holds no lock between steps.
    pub fn keys(&self, pattern: impl AsRef<[u8]>) -> KeyIter<'_> {
        KeyIter::new(self, pattern.as_ref())
    }

    /// Number of keys, overdue ones included until they are cleaned up.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub fn len(&self) -> Result<usize> {
        self.engine
            .run(self.index, self.level, Keys::All, ops::keys::count)
    }

    /// Whether there is no key.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Removes every key, in one commit.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn flush(&self) -> Result<()> {
        self.engine.run(self.index, self.level, Keys::All, |work| {
            work.flush().map(drop)
        })
    }

    // --- doors

    /// The bits of the string at `key`; does no work yet.
    pub fn bits(&self, key: impl AsRef<[u8]>) -> Bits<'_, Self> {
        Bits::new(self, key.as_ref())
    }

    /// The places in the sorted set at `key`; does no work yet.
    pub fn geo(&self, key: impl AsRef<[u8]>) -> Geo<'_, Self> {
        Geo::new(self, key.as_ref())
    }

    /// The HyperLogLog at `key`; does no work yet.
    pub fn hyperloglog(&self, key: impl AsRef<[u8]>) -> HyperLogLog<'_, Self> {
        HyperLogLog::new(self, key.as_ref())
    }

    /// The hash at `key`; does no work yet.
    pub fn hash(&self, key: impl AsRef<[u8]>) -> Hash<'_, Self> {
        Hash::new(self, key.as_ref())
    }

    /// The JSON document at `key`; does no work yet.
    pub fn json(&self, key: impl AsRef<[u8]>) -> Json<'_, Self> {
        Json::new(self, key.as_ref())
    }

    /// The list at `key`; does no work yet.
    pub fn list(&self, key: impl AsRef<[u8]>) -> List<'_, Self> {
        List::new(self, key.as_ref())
    }

    /// The set at `key`; does no work yet.
    pub fn members(&self, key: impl AsRef<[u8]>) -> SetView<'_, Self> {
        SetView::new(self, key.as_ref())
    }

    /// The stream at `key`; does no work yet.
    pub fn stream(&self, key: impl AsRef<[u8]>) -> Stream<'_, Self> {
        Stream::new(self, key.as_ref())
    }

    /// The sorted set at `key`; does no work yet.
    pub fn zset(&self, key: impl AsRef<[u8]>) -> Zset<'_, Self> {
        Zset::new(self, key.as_ref())
    }

    /// Runs a command given as text or bytes.
    ///
    /// # Errors
    ///
    /// What Redis would reply as an error line; [`Error::Storage`].
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::{Db, Reply, Store};
    /// let db = Db::mount(&Store::memory()?, "cache")?;
    /// assert_eq!(db.command(["SET", "a", "hello"])?, Reply::Status("OK"));
    /// let Reply::Bulk(part) = db.command(["GETRANGE", "a", "0", "1"])? else { panic!() };
    /// assert_eq!(part, "he");
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn command<A: AsRef<[u8]>>(&self, args: impl IntoIterator<Item = A>) -> Result<Reply> {
        let owned: command::Words<A> = args.into_iter().collect();
        // Few words are put into a list faster one by one than by an iterator that does not know how many come.
        let mut args: command::Words<&[u8]> = command::Words::with_capacity(owned.len());
        for arg in &owned {
            args.push(arg.as_ref());
        }
        command::execute(self, &args)
    }

    /// A sequence of commands with MULTI, EXEC and WATCH.
    pub fn session(&self) -> Session {
        Session::new(self.clone())
    }

    /// Runs `body` as one atomic, isolated change: all of it happens, in one commit, or nothing.
    ///
    /// `body` may be called again when a key it meets is in use elsewhere or its value must first be read
    /// from the log; so it must have no effects but those through its argument, and it must pass on errors
    /// of that argument. Other engines join with [`Transaction::enlist`].
    ///
    /// # Errors
    ///
    /// What `body` returned, then everything it did is undone; [`Error::Storage`] if the commit is refused.
    ///
    /// # Panics
    ///
    /// If `body` panics, after undoing what it did; the database stays usable.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::{Db, Error, Store};
    /// let db = Db::mount(&Store::memory()?, "shop")?;
    /// db.set("stock", "1")?;
    /// let sell = || {
    ///     db.transaction(|tx| {
    ///         if tx.decr("stock")? < 0 {
    ///             return tx.abort("sold out");
    ///         }
    ///         tx.incr("sold")
    ///     })
    /// };
    /// assert_eq!(sell()?, 1);
    /// assert!(matches!(sell(), Err(Error::Aborted(_))));
    /// assert_eq!(db.get("stock")?.expect("set above"), "0");
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn transaction<T>(&self, body: impl FnMut(&mut Transaction<'_>) -> Result<T>) -> Result<T> {
        transaction::run(self, body)
    }

    /// As [`Db::transaction`] for a closure with an error type of its own.
    ///
    /// # Errors
    ///
    /// As [`Db::transaction`].
    pub fn try_transaction<T, E: From<Error>>(
        &self,
        body: impl FnMut(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        transaction::run(self, body)
    }

    /// What a client asked of the host with `SHUTDOWN`, until `SHUTDOWN ABORT`. Look when a session is closing.
    pub fn shutdown_request(&self) -> Option<ShutdownRequest> {
        self.engine.server.shutdown_request()
    }

    /// Counters since the database was opened.
    ///
    /// # Complexity
    ///
    /// O(n): cold keys are counted one by one, one shard locked at a time.
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// Recomputes what is counted incrementally and describes the first disagreement; for tests.
    ///
    /// # Errors
    ///
    /// What disagrees.
    #[doc(hidden)]
    pub fn audit(&self) -> Result<(), String> {
        self.engine.audit()
    }

    /// Drops every value that the log holds from memory; for tests of the cold tier.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    #[doc(hidden)]
    pub fn demote_all(&self) -> Result<()> {
        self.engine.demote_all()
    }

    /// The database's number in its store; for engines that enlist.
    #[doc(hidden)]
    pub fn mount_id(&self) -> MountId {
        self.engine.mount.id()
    }

    /// Whether this database is mounted on `store`.
    pub fn belongs_to(&self, store: &Store) -> bool {
        std::sync::Arc::ptr_eq(&self.store.inner, &store.inner)
    }

    pub(crate) fn caller(&self) -> Caller {
        Caller {
            db: self.index,
            level: self
                .level
                .or_else(|| self.engine.server.config.durability()),
            client: 0,
            touches: true,
            restricted: false,
            told_busy: true,
        }
    }

    fn run<R>(&self, key: &[u8], body: impl FnMut(&mut Work<'_>) -> Result<R>) -> Result<R> {
        self.engine
            .run(self.index, self.level, Keys::One(key), body)
    }

    fn grow<R>(&self, key: &[u8], body: impl FnMut(&mut Work<'_>) -> Result<R>) -> Result<R> {
        self.engine.check_room()?;
        self.run(key, body)
    }
}

/// How long a key has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// There is no such key.
    Missing,
    /// The key has no deadline.
    Forever,
    /// The key disappears after this time.
    Left(Duration),
}

pub(crate) fn plain(options: SetOptions, get: bool) -> Set<'static> {
    Set {
        condition: SetIf::Plain(options.condition),
        deadline: options.deadline,
        get,
    }
}
