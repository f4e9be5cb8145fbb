//! What several sets have in common, and what moves between them.

use super::{Set, Target};
use crate::error::Result;
use crate::ops::set as ops;
use crate::ops::zset::{self, Algebra};
use crate::value::Kind;
use crate::value::owned::Value;

impl<T: Target> Set<'_, T> {
    /// Members of this set or of any other, in no order.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`], [`crate::Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(all members).
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "tags")?;
    /// db.members("a").add_many(["1", "2", "3"])?;
    /// db.members("b").add_many(["2", "3", "4"])?;
    /// assert_eq!(db.members("a").union(["b"])?.len(), 4);
    /// assert_eq!(db.members("a").difference(["b"])?, ["1"]);
    /// assert_eq!(db.members("a").intersection_len(["b"], 0)?, 2);
    /// assert_eq!(db.members("both").set_to_intersection(["a", "b"])?, 2);
    /// assert!(db.members("a").move_to("c", "1")?);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn union<K: AsRef<[u8]>>(&self, others: impl IntoIterator<Item = K>) -> Result<Vec<Value>> {
        self.combine(Algebra::Union, others)
    }

    /// Members that this set and all others have, in no order.
    ///
    /// # Errors
    ///
    /// As [`Set::union`].
    ///
    /// # Complexity
    ///
    /// O(sets times the smallest).
    pub fn intersection<K: AsRef<[u8]>>(
        &self,
        others: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Value>> {
        self.combine(Algebra::Inter, others)
    }

    /// Members of this set that no other has, in no order.
    ///
    /// # Errors
    ///
    /// As [`Set::union`].
    ///
    /// # Complexity
    ///
    /// O(all members).
    pub fn difference<K: AsRef<[u8]>>(
        &self,
        others: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Value>> {
        self.combine(Algebra::Diff, others)
    }

    /// How many members this set and all others have, counted up to `limit`, or all with 0.
    ///
    /// # Errors
    ///
    /// As [`Set::union`].
    ///
    /// # Complexity
    ///
    /// O(sets times the smallest).
    pub fn intersection_len<K: AsRef<[u8]>>(
        &self,
        others: impl IntoIterator<Item = K>,
        limit: usize,
    ) -> Result<usize> {
        let owned: Vec<K> = others.into_iter().collect();
        let keys = self.keys(&owned);
        self.target.run(&self.key, false, |work| {
            for key in &keys {
                work.expect_kind(key, Kind::Set)?;
            }
            zset::intersection_len(work, &keys, limit)
        })
    }

    fn combine<K: AsRef<[u8]>>(
        &self,
        algebra: Algebra,
        others: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Value>> {
        let owned: Vec<K> = others.into_iter().collect();
        let keys = self.keys(&owned);
        let found = self
            .target
            .run(&self.key, false, |work| ops::combine(work, algebra, &keys))?;
        Ok(found.into_iter().map(Value::from).collect())
    }

    fn keys<'k, K: AsRef<[u8]>>(&'k self, others: &'k [K]) -> Vec<&'k [u8]> {
        let others = others.iter().map(AsRef::as_ref);
        std::iter::once(&*self.key).chain(others).collect()
    }

    /// Replaces this key, whatever it holds, by the union of sets, in one commit; the number of members. Without any
    /// the key disappears.
    ///
    /// # Errors
    ///
    /// As [`Set::union`]; [`crate::Error::OutOfMemory`].
    pub fn set_to_union<K: AsRef<[u8]>>(
        &self,
        sources: impl IntoIterator<Item = K>,
    ) -> Result<usize> {
        self.set_to(Algebra::Union, "sunionstore", sources)
    }

    /// Replaces this key by the intersection of sets; see [`Set::set_to_union`].
    ///
    /// # Errors
    ///
    /// As [`Set::set_to_union`].
    pub fn set_to_intersection<K: AsRef<[u8]>>(
        &self,
        sources: impl IntoIterator<Item = K>,
    ) -> Result<usize> {
        self.set_to(Algebra::Inter, "sinterstore", sources)
    }

    /// Replaces this key by what the first of several sets has and the others have not; see [`Set::set_to_union`].
    ///
    /// # Errors
    ///
    /// As [`Set::set_to_union`].
    pub fn set_to_difference<K: AsRef<[u8]>>(
        &self,
        sources: impl IntoIterator<Item = K>,
    ) -> Result<usize> {
        self.set_to(Algebra::Diff, "sdiffstore", sources)
    }

    fn set_to<K: AsRef<[u8]>>(
        &self,
        algebra: Algebra,
        event: &'static str,
        sources: impl IntoIterator<Item = K>,
    ) -> Result<usize> {
        let owned: Vec<K> = sources.into_iter().collect();
        let sources: Vec<&[u8]> = owned.iter().map(AsRef::as_ref).collect();
        self.target.run(&self.key, true, |work| {
            let members = ops::combine(work, algebra, &sources)?;
            ops::store(work, &self.key, event, &members)?;
            Ok(members.len())
        })
    }

    /// Moves a member to another set, in one commit; whether this set had it.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`], [`crate::Error::OutOfMemory`], [`crate::Error::Storage`].
    pub fn move_to(&self, to: impl AsRef<[u8]>, member: impl AsRef<[u8]>) -> Result<bool> {
        let (to, member) = (to.as_ref(), member.as_ref());
        self.target.run(&self.key, true, |work| {
            ops::shift(work, &self.key, to, member)
        })
    }

    /// Takes up to `count` random members.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`], [`crate::Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(count); O(members) where a large part of them is taken.
    pub fn pop_many(&self, count: usize) -> Result<Vec<Value>> {
        let taken = self
            .target
            .run(&self.key, false, |work| ops::pop(work, &self.key, count))?;
        Ok(taken.into_iter().map(Value::from).collect())
    }
}
