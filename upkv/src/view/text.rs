//! Strings beyond reading and writing one: all or nothing, removal on a condition, what two have in common.

use std::ops::Range;

use crate::db::{Db, plain};
use crate::error::Result;
use crate::keyspace::engine::Keys;
use crate::ops;
use crate::ops::lcs::Lcs;
use crate::options::SetOptions;
use crate::value::owned::Value;

impl Db {
    /// Sets several strings in one commit if none of the keys exists; whether they were set.
    ///
    /// # Errors
    ///
    /// As [`Db::set`]; nothing is set then.
    ///
    /// # Complexity
    ///
    /// O(keys).
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// assert!(db.set_many_if_absent([("a", "1"), ("b", "2")])?);
    /// assert!(!db.set_many_if_absent([("b", "3"), ("c", "4")])?);
    /// assert!(!db.exists("c")?);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn set_many_if_absent<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<bool> {
        let owned: Vec<(K, V)> = pairs.into_iter().collect();
        let keys: Vec<&[u8]> = owned.iter().map(|(key, _)| key.as_ref()).collect();
        self.engine.check_room()?;
        self.engine
            .run(self.index, self.level, Keys::Many(&keys), |work| {
                for key in &keys {
                    if work.entry(key)?.is_some() {
                        return Ok(false);
                    }
                }
                for (key, value) in &owned {
                    let how = plain(SetOptions::new(), false);
                    ops::string::set(work, key.as_ref(), value.as_ref(), how)?;
                }
                Ok(true)
            })
    }

    /// Removes a key if it holds exactly `expected`; whether that happened. A lock is given back like that: only by who has it.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`], [`crate::Error::Storage`].
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "locks")?;
    /// db.set("lock", "mine")?;
    /// assert!(!db.compare_and_delete("lock", "other")?);
    /// assert!(db.compare_and_delete("lock", "mine")?);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn compare_and_delete(
        &self,
        key: impl AsRef<[u8]>,
        expected: impl AsRef<[u8]>,
    ) -> Result<bool> {
        let (key, expected) = (key.as_ref(), expected.as_ref());
        self.engine
            .run(self.index, self.level, Keys::One(key), |work| {
                let value = ops::string::get(work, key)?;
                if value.is_none_or(|value| value != expected) {
                    return Ok(false);
                }
                ops::keys::delete(work, key)
            })
    }

    /// The longest sequence of bytes that two strings have in common, in order, though not side by side.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`]; [`crate::Error::Refused`] if it takes more than 512 MiB to find out;
    /// [`crate::Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(n times m) in time and memory.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "texts")?;
    /// db.set_many([("a", "ohmytext"), ("b", "mynewtext")])?;
    /// assert_eq!(db.common("a", "b")?, "mytext");
    /// assert_eq!(db.common_parts("a", "b")?, [(2..4, 0..2), (4..8, 5..9)]);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn common(&self, a: impl AsRef<[u8]>, b: impl AsRef<[u8]>) -> Result<Value> {
        self.compare(a.as_ref(), b.as_ref(), |found, a| {
            Value::from(found.text(a))
        })
    }

    /// Where the parts of [`Db::common`] are in both strings, first to last.
    ///
    /// # Errors
    ///
    /// As [`Db::common`].
    ///
    /// # Complexity
    ///
    /// As [`Db::common`].
    pub fn common_parts(
        &self,
        a: impl AsRef<[u8]>,
        b: impl AsRef<[u8]>,
    ) -> Result<Vec<(Range<usize>, Range<usize>)>> {
        self.compare(a.as_ref(), b.as_ref(), |found, _| {
            found.matches().iter().rev().cloned().collect()
        })
    }

    fn compare<R>(&self, a: &[u8], b: &[u8], read: impl Fn(&Lcs, &[u8]) -> R) -> Result<R> {
        let (first, second) =
            self.engine
                .run(self.index, self.level, Keys::Many(&[a, b]), |work| {
                    Ok((ops::string::get(work, a)?, ops::string::get(work, b)?))
                })?;
        // No lock is held over what takes so long.
        let (first, second) = (first.unwrap_or_default(), second.unwrap_or_default());
        Ok(read(&Lcs::of(&first, &second)?, &first))
    }
}
