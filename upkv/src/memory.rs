//! Memory from the host's side: limits that may change at run time, and what single keys take.

use std::time::Duration;

use crate::db::Db;
use crate::error::{Error, Result};
use crate::keyspace::engine::Keys;
use crate::ops::object;
use crate::options::Eviction;

impl Db {
    /// Sets or removes the limit of [`crate::DbOptions::max_memory_bytes`], for all databases of the mount, and
    /// evicts down to it as far as the policy allows.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] if evictions cannot be logged; the limit holds nevertheless.
    ///
    /// # Complexity
    ///
    /// O(shards), and O(samples) a key that has to go.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::{Db, Error, Eviction, Store};
    /// let db = Db::mount(&Store::memory()?, "cache")?;
    /// db.set("a", "1")?;
    /// db.set_max_memory_bytes(Some(1))?;
    /// assert!(matches!(db.set("b", "2"), Err(Error::OutOfMemory)));
    /// db.set_eviction(Eviction::AllkeysLru)?;
    /// assert!(!db.exists("a")?);
    /// db.set("b", "2")?;
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn set_max_memory_bytes(&self, bytes: Option<u64>) -> Result<()> {
        self.engine.set_max_memory(bytes)
    }

    /// The limit in use.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// assert_eq!(db.max_memory_bytes(), None);
    /// db.set_max_memory_bytes(Some(1 << 20))?;
    /// assert_eq!(db.max_memory_bytes(), Some(1 << 20));
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn max_memory_bytes(&self) -> Option<u64> {
        let max = self.engine.evictor.max()?;
        u64::try_from(max).ok()
    }

    /// Changes what happens above the limit; see [`crate::DbOptions::eviction`]. Between policies that time and
    /// policies that count accesses, what was noted of keys means little until they are used again.
    ///
    /// # Errors
    ///
    /// As [`Db::set_max_memory_bytes`].
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::{Db, Eviction, Store};
    /// let db = Db::mount(&Store::memory()?, "cache")?;
    /// db.set_eviction(Eviction::VolatileTtl)?;
    /// assert_eq!(db.eviction(), Eviction::VolatileTtl);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn set_eviction(&self, policy: Eviction) -> Result<()> {
        self.engine.set_policy(policy)
    }

    /// The policy in use.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::{Db, Eviction, Store};
    /// let db = Db::mount(&Store::memory()?, "cache")?;
    /// assert_eq!(db.eviction(), Eviction::NoEviction);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn eviction(&self) -> Eviction {
        self.engine.evictor.policy()
    }

    /// Changes how many keys are sampled to find one to evict, at least one; see
    /// [`crate::DbOptions::eviction_samples`].
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// db.set_eviction_samples(10);
    /// assert_eq!(db.eviction_samples(), 10);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn set_eviction_samples(&self, count: usize) {
        self.engine.set_eviction_samples(count);
    }

    /// The number of keys sampled.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// assert_eq!(db.eviction_samples(), 5);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn eviction_samples(&self) -> usize {
        self.engine.evictor.samples()
    }

    /// Bytes that a key and its value keep in memory (`MEMORY USAGE`); `None` if there is no such key. Of a cold
    /// value only what is left in memory counts.
    ///
    /// # Errors
    ///
    /// None in practice.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// db.set("a", "x".repeat(1_000))?;
    /// assert!(db.memory_usage("a")?.is_some_and(|bytes| bytes > 1_000));
    /// assert_eq!(db.memory_usage("b")?, None);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn memory_usage(&self, key: impl AsRef<[u8]>) -> Result<Option<usize>> {
        let key = key.as_ref();
        self.engine.run(self.index, None, Keys::One(key), |work| {
            object::memory(work, key)
        })
    }

    /// How long a key was not used, in whole seconds (`OBJECT IDLETIME`); `None` if there is no such key.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] under a policy that counts accesses instead.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// db.set("a", "1")?;
    /// assert!(db.idle_time("a")?.is_some_and(|idle| idle < Duration::from_secs(60)));
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn idle_time(&self, key: impl AsRef<[u8]>) -> Result<Option<Duration>> {
        let key = key.as_ref();
        let idle = self.engine.run(self.index, None, Keys::One(key), |work| {
            object::idle_seconds(work, key)
        })?;
        Ok(idle.map(|seconds| Duration::from_secs(u64::from(seconds))))
    }

    /// How often a key is used, on a logarithmic scale from 0 to 255 that falls by one a minute without use
    /// (`OBJECT FREQ`); `None` if there is no such key.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] under a policy that does not count accesses.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::{Db, DbOptions, Eviction, Store};
    /// let options = DbOptions::new().eviction(Eviction::AllkeysLfu);
    /// let db = Db::mount_with(&Store::memory()?, "cache", options)?;
    /// db.set("a", "1")?;
    /// assert_eq!(db.frequency("a")?, Some(5));
    /// db.get("a")?;
    /// assert_eq!(db.frequency("a")?, Some(6));
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn frequency(&self, key: impl AsRef<[u8]>) -> Result<Option<u8>> {
        let key = key.as_ref();
        let count = self.engine.run(self.index, None, Keys::One(key), |work| {
            object::frequency(work, key)
        })?;
        Ok(count.map(|count| u8::try_from(count).unwrap_or(u8::MAX)))
    }
}

/// Refusals that tell which kind of policy would be needed.
#[cold]
pub(crate) fn not_counted() -> Error {
    Error::refused(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
         switching between policies at runtime LRU and LFU data will take some time to adjust.",
    )
}

#[cold]
pub(crate) fn not_timed() -> Error {
    Error::refused(
        "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching \
         between policies at runtime LRU and LFU data will take some time to adjust.",
    )
}
