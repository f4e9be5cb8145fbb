//! Keys whatever they hold: names, copies, deadlines, payloads, and what is told about them.

use std::time::Duration;

use crate::db::Db;
use crate::error::{Error, Result};
use crate::keyspace::engine::{DATABASES, Keys};
use crate::ops;
use crate::ops::keys::ExpireIf;
use crate::options::{Condition, Deadline, SetOptions, millis};
use crate::storage::Timestamp;
use crate::value::owned::Value;

/// When [`Db::expire_when`] sets a deadline. A key without one counts as if it never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpireWhen {
    /// The key has none.
    Unset,
    /// The key has one.
    Set,
    /// The new one is later than the present one.
    Later,
    /// The new one is earlier than the present one.
    Sooner,
}

impl Db {
    /// Renames a key with value and deadline if `to` does not exist; whether that happened.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchKey`], [`Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(n) in the value, which is logged under the new name.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// db.set_many([("draft", "1"), ("final", "2")])?;
    /// assert!(!db.rename_if_absent("draft", "final")?);
    /// assert!(db.rename_if_absent("draft", "second")?);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn rename_if_absent(&self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<bool> {
        let (from, to) = (from.as_ref(), to.as_ref());
        self.engine
            .run(self.index, self.level, Keys::Many(&[from, to]), |work| {
                ops::keys::rename(work, from, to, true)
            })
    }

    /// Copies value and deadline to another key if that does not exist, or in any case with `replace`; whether that happened.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if both are one key; [`Error::TooLarge`], [`Error::OutOfMemory`], [`Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(n) in the value.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// db.members("tags").add_many(["a", "b"])?;
    /// assert!(db.copy("tags", "backup", false)?);
    /// assert!(!db.copy("tags", "backup", false)?);
    /// assert!(db.copy_to(1, "tags", "tags", true)?);
    /// assert!(db.move_to(1, "backup")?);
    /// assert_eq!((db.len()?, db.database(1)?.len()?), (1, 2));
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn copy(
        &self,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
        replace: bool,
    ) -> Result<bool> {
        self.copy_to(self.index, from, to, replace)
    }

    /// As [`Db::copy`] into another database of the mount; see [`Db::database`].
    ///
    /// # Errors
    ///
    /// As [`Db::copy`]; [`Error::Refused`] if there is no such database.
    ///
    /// # Complexity
    ///
    /// O(n) in the value.
    pub fn copy_to(
        &self,
        database: u8,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
        replace: bool,
    ) -> Result<bool> {
        let (from, to) = (from.as_ref(), to.as_ref());
        check_database(database)?;
        self.engine.check_room()?;
        self.engine
            .run(self.index, self.level, Keys::Many(&[from, to]), |work| {
                ops::keys::copy(work, from, to, database, replace)
            })
    }

    /// Moves a key into another database of the mount if it does not exist there; whether that happened.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if there is no such database, or it is this one; [`Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(n) in the value, which is logged once more.
    pub fn move_to(&self, database: u8, key: impl AsRef<[u8]>) -> Result<bool> {
        let key = key.as_ref();
        check_database(database)?;
        self.engine
            .run(self.index, self.level, Keys::One(key), |work| {
                ops::keys::move_to(work, key, database)
            })
    }

    /// The value of a key in Redis' `DUMP` format, which Redis and [`Db::restore`] take; without its deadline.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] for JSON documents, which that format cannot say; [`Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(n) in the value.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::SetOptions;
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// db.zset("board").add("ada", 1.5)?;
    /// let payload = db.dump("board")?.expect("added above");
    /// assert!(db.restore("copy", &payload, SetOptions::new())?);
    /// assert_eq!(db.zset("copy").score("ada")?, Some(1.5));
    /// assert!(!db.restore("copy", &payload, SetOptions::new().if_absent())?);
    /// assert!(db.restore("other", b"no payload", SetOptions::new()).is_err());
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn dump(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        let key = key.as_ref();
        self.engine
            .run(self.index, self.level, Keys::One(key), |work| {
                ops::dump::dump(work, key)
            })
    }

    /// Sets a key, whatever it holds, to a value that [`Db::dump`] or Redis wrote, under conditions and with a deadline; whether
    /// the conditions were met. If the deadline has passed already, the key is gone.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] for bytes that are no payload, or a time to live of zero; [`Error::TooLarge`],
    /// [`Error::OutOfMemory`], [`Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(n) in the value.
    pub fn restore(
        &self,
        key: impl AsRef<[u8]>,
        payload: impl AsRef<[u8]>,
        options: SetOptions,
    ) -> Result<bool> {
        let (key, payload) = (key.as_ref(), payload.as_ref());
        self.engine.check_room()?;
        self.engine
            .run(self.index, self.level, Keys::One(key), |work| {
                ops::check_size(key)?;
                let (now, kept) = (work.now, ops::string::expire_at(work, key)?);
                let deadline = ops::absolute(options.deadline, now, kept, "restore")?;
                let there = work.entry(key)?.is_some();
                let met = match options.condition {
                    Condition::Always => true,
                    Condition::IfAbsent => !there,
                    Condition::IfPresent => there,
                };
                if met && ops::dump::restore(work, key, payload, deadline)? {
                    work.notify(crate::keyspace::work::event::Class::GENERIC, "restore", key);
                }
                Ok(met)
            })
    }

    /// How Redis would call the way in which a value is kept, such as `listpack` or `skiplist`.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// db.set("n", "41")?;
    /// assert_eq!(db.encoding("n")?, Some("int"));
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn encoding(&self, key: impl AsRef<[u8]>) -> Result<Option<&'static str>> {
        let key = key.as_ref();
        self.engine
            .run(self.index, self.level, Keys::One(key), |work| {
                ops::object::encoding(work, key)
            })
    }

    /// Notes that keys are used, without reading them; how many exist.
    ///
    /// # Errors
    ///
    /// None in practice.
    ///
    /// # Complexity
    ///
    /// O(keys).
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// db.set("a", "1")?;
    /// assert_eq!(db.touch(["a", "b"])?, 1);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn touch<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Result<usize> {
        let owned: Vec<K> = keys.into_iter().collect();
        let keys: Vec<&[u8]> = owned.iter().map(AsRef::as_ref).collect();
        self.engine
            .run(self.index, self.level, Keys::Many(&keys), |work| {
                keys.iter()
                    .try_fold(0, |count, key| Ok(count + usize::from(work.refresh(key)?)))
            })
    }

    /// Some key, if there is one.
    ///
    /// # Errors
    ///
    /// None in practice.
    ///
    /// # Complexity
    ///
    /// O(shards).
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// assert_eq!(db.random_key()?, None);
    /// db.set("a", "1")?;
    /// assert_eq!(db.random_key()?.expect("set above"), "a");
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn random_key(&self) -> Result<Option<Value>> {
        let found = self
            .engine
            .run(self.index, self.level, Keys::All, ops::keys::random)?;
        Ok(found.map(Value::from))
    }

    /// Sets a deadline under a condition; whether it was set. A deadline that has passed removes the key.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use upkv::ExpireWhen;
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// db.set("a", "1")?;
    /// let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    /// assert!(db.expire_when("a", minutes(5), ExpireWhen::Unset)?);
    /// assert!(!db.expire_when("a", minutes(9), ExpireWhen::Sooner)?);
    /// assert!(db.expire_when("a", minutes(9), ExpireWhen::Later)?);
    /// assert!(db.deadline("a")?.is_some());
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn expire_when(
        &self,
        key: impl AsRef<[u8]>,
        span: Duration,
        when: ExpireWhen,
    ) -> Result<bool> {
        let key = key.as_ref();
        let when = ExpireIf {
            absent: when == ExpireWhen::Unset,
            present: when == ExpireWhen::Set,
            greater: when == ExpireWhen::Later,
            less: when == ExpireWhen::Sooner,
        };
        self.engine
            .run(self.index, self.level, Keys::One(key), |work| {
                let at = work.now.saturating_add(millis(span));
                let at = i64::try_from(at).unwrap_or(i64::MAX);
                ops::keys::expire_at(work, key, at, when)
            })
    }

    /// When a key disappears; `None` if it has no deadline, or does not exist.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub fn deadline(&self, key: impl AsRef<[u8]>) -> Result<Option<Timestamp>> {
        let key = key.as_ref();
        let at = self
            .engine
            .run(self.index, self.level, Keys::One(key), |work| {
                ops::string::expire_at(work, key)
            })?;
        Ok((at != 0).then(|| Timestamp::from_millis(at)))
    }

    /// Reads a string and sets its time to live.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`], [`Error::Storage`]; [`Error::Refused`] for a span of zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use upkv::Ttl;
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// db.set("session", "ada")?;
    /// assert_eq!(db.get_and_expire("session", Duration::from_secs(60))?.expect("set above"), "ada");
    /// assert!(matches!(db.ttl("session")?, Ttl::Left(_)));
    /// assert_eq!(db.get_and_persist("session")?.expect("set above"), "ada");
    /// assert_eq!(db.ttl("session")?, Ttl::Forever);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn get_and_expire(&self, key: impl AsRef<[u8]>, span: Duration) -> Result<Option<Value>> {
        self.get_ex(key.as_ref(), Deadline::In(millis(span)))
    }

    /// Reads a string and removes its deadline.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`], [`Error::Storage`].
    pub fn get_and_persist(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        self.get_ex(key.as_ref(), Deadline::Clear)
    }

    fn get_ex(&self, key: &[u8], deadline: Deadline) -> Result<Option<Value>> {
        self.engine
            .run(self.index, self.level, Keys::One(key), |work| {
                let value = ops::string::get_ex(work, key, Some(deadline))?;
                Ok(value.map(Value::from))
            })
    }
}

fn check_database(index: u8) -> Result<()> {
    if index < DATABASES {
        Ok(())
    } else {
        Err(Error::refused("ERR DB index is out of range"))
    }
}
