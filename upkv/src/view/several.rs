//! Several fields of a hash, or members of a set, at once.

use super::{Hash, Set, Target};
use crate::error::{Error, Result};
use crate::ops;
use crate::value::owned::Value;
use crate::value::set as held;

impl<T: Target> Hash<'_, T> {
    /// Removes several fields in one commit; the number that existed. The key disappears with its last field.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`], [`Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(fields).
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// let user = db.hash("user");
    /// user.set_many([("name", "ada"), ("city", "london"), ("score", "1.5")])?;
    /// assert_eq!(user.incr_by_float("score", 0.25)?, 1.75);
    /// assert_eq!(user.value_len("name")?, 3);
    /// let mut names = user.names()?;
    /// names.sort();
    /// assert_eq!(names, ["city", "name", "score"]);
    /// assert_eq!(user.remove_many(["name", "city", "none"])?, 2);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn remove_many<F: AsRef<[u8]>>(
        &self,
        fields: impl IntoIterator<Item = F>,
    ) -> Result<usize> {
        let owned: Vec<F> = fields.into_iter().collect();
        self.target.run(&self.key, false, |work| {
            ops::hash::remove(work, &self.key, owned.iter().map(AsRef::as_ref))
        })
    }

    /// Adds to the decimal in a field, exactly to 17 fractional digits; the sum.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`], [`Error::NotFloat`]; [`Error::Refused`] if the value is no number, or the sum is not finite;
    /// [`Error::OutOfMemory`], [`Error::Storage`].
    pub fn incr_by_float(&self, field: impl AsRef<[u8]>, change: f64) -> Result<f64> {
        let field = field.as_ref();
        if !change.is_finite() {
            return Err(Error::NotFloat);
        }
        let change = change.to_string();
        let sum = self.target.run(&self.key, true, |work| {
            ops::hash::incr_by_float(work, &self.key, field, change.as_bytes())
        })?;
        crate::number::parse_f64(sum.as_bytes()).ok_or(Error::NotFloat)
    }

    /// Names of all fields, in no order.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`], [`Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(fields).
    pub fn names(&self) -> Result<Vec<Value>> {
        self.target.run(&self.key, false, |work| {
            let hash = work.hash(&self.key)?;
            let names = hash.iter().flat_map(|hash| hash.iter());
            Ok(names.map(|(name, _)| Value::copy(name)).collect())
        })
    }

    /// Length of a field's value in bytes; 0 without the field.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`], [`Error::Storage`].
    pub fn value_len(&self, field: impl AsRef<[u8]>) -> Result<usize> {
        let field = field.as_ref();
        self.target.run(&self.key, false, |work| {
            let hash = work.hash(&self.key)?;
            Ok(hash.and_then(|hash| hash.get(field)).map_or(0, <[u8]>::len))
        })
    }
}

impl<T: Target> Set<'_, T> {
    /// Removes several members in one commit; the number that were there. The key disappears with its last member.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`], [`Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(members).
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// let tags = db.members("tags");
    /// tags.add_many(["a", "b", "c"])?;
    /// assert_eq!(tags.contains_many(["c", "d"])?, [true, false]);
    /// assert_eq!(tags.remove_many(["a", "b", "d"])?, 2);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn remove_many<M: AsRef<[u8]>>(
        &self,
        members: impl IntoIterator<Item = M>,
    ) -> Result<usize> {
        let owned: Vec<M> = members.into_iter().collect();
        self.target.run(&self.key, false, |work| {
            ops::set::remove(work, &self.key, owned.iter().map(AsRef::as_ref))
        })
    }

    /// Whether the set has each of several members, in their order.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`], [`Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(members).
    pub fn contains_many<M: AsRef<[u8]>>(
        &self,
        members: impl IntoIterator<Item = M>,
    ) -> Result<Vec<bool>> {
        let owned: Vec<M> = members.into_iter().collect();
        self.target.run(&self.key, false, |work| {
            let set = work.read::<held::Set>(&self.key)?;
            let has = |member: &M| set.is_some_and(|set| set.contains(member.as_ref()));
            Ok(owned.iter().map(has).collect())
        })
    }
}
