//! Sorted sets beyond scores one by one: conditions, several members, and ranges of names where all scores are equal.

use std::ops::{Bound, RangeBounds};

use super::{Scored, Target, Zset};
use crate::error::Result;
use crate::ops;
use crate::ops::zset::{AddIf, By, Interval};
use crate::value::owned::Value;
use crate::value::zset::{LexBound, Zset as Held};

/// When [`Zset::add_when`] sets a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScoreWhen {
    /// The member is new.
    Absent,
    /// The member is there.
    Present,
    /// The member is new, or its score is lower.
    Higher,
    /// The member is new, or its score is higher.
    Lower,
}

impl<T: Target> Zset<'_, T> {
    /// Sets a member's score under a condition; whether the member is new, or has another score now.
    ///
    /// # Errors
    ///
    /// As [`Zset::add`].
    ///
    /// # Complexity
    ///
    /// O(log n).
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::ScoreWhen;
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "scores")?;
    /// let best = db.zset("best");
    /// assert!(best.add_when("ada", 5.0, ScoreWhen::Higher)?);
    /// assert!(!best.add_when("ada", 4.0, ScoreWhen::Higher)?);
    /// assert!(!best.add_when("bob", 4.0, ScoreWhen::Present)?);
    /// assert_eq!(best.scores(["ada", "bob"])?, [Some(5.0), None]);
    /// assert_eq!(best.rank_from_highest("ada")?, Some(0));
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn add_when(&self, member: impl AsRef<[u8]>, score: f64, when: ScoreWhen) -> Result<bool> {
        let member = member.as_ref();
        let when = AddIf {
            absent: when == ScoreWhen::Absent,
            present: when == ScoreWhen::Present,
            greater: when == ScoreWhen::Higher,
            less: when == ScoreWhen::Lower,
        };
        self.target.run(&self.key, true, |work| {
            let done = ops::zset::add(work, &self.key, when, &[(score, member)])?;
            Ok(done.added + done.changed > 0)
        })
    }

    /// Removes several members in one commit; the number that were there.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`], [`crate::Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(log n) a member.
    pub fn remove_many<M: AsRef<[u8]>>(
        &self,
        members: impl IntoIterator<Item = M>,
    ) -> Result<usize> {
        let owned: Vec<M> = members.into_iter().collect();
        self.target.run(&self.key, false, |work| {
            ops::zset::remove(work, &self.key, owned.iter().map(AsRef::as_ref))
        })
    }

    /// The scores of several members, in their order.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`], [`crate::Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(members).
    pub fn scores<M: AsRef<[u8]>>(
        &self,
        members: impl IntoIterator<Item = M>,
    ) -> Result<Vec<Option<f64>>> {
        let owned: Vec<M> = members.into_iter().collect();
        self.target.run(&self.key, false, |work| {
            let zset = work.zset(&self.key)?;
            let score = |member: &M| zset.and_then(|zset| zset.score(member.as_ref()));
            Ok(owned.iter().map(score).collect())
        })
    }

    /// How many members have a higher score, or the same and a name that comes later; `None` without the member.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`], [`crate::Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(log n).
    pub fn rank_from_highest(&self, member: impl AsRef<[u8]>) -> Result<Option<usize>> {
        let member = member.as_ref();
        self.target.run(&self.key, false, |work| {
            let Some(zset) = work.zset(&self.key)? else {
                return Ok(None);
            };
            Ok(zset.rank(member).map(|(rank, _)| zset.len() - 1 - rank))
        })
    }

    /// Members with names in a range, in order, of a sorted set in which all scores are equal; with others it is not said which.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`], [`crate::Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(log n + m) for m members.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "index")?;
    /// let names = db.zset("names");
    /// names.add_many([("ada", 0.0), ("bob", 0.0), ("eve", 0.0)])?;
    /// assert_eq!(names.names("b".."e")?, ["bob"]);
    /// assert_eq!(names.count_names(.."bob")?, 1);
    /// assert_eq!(names.remove_names("bob"..)?, 2);
    /// assert_eq!(names.len()?, 1);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn names<B: AsRef<[u8]>>(&self, range: impl RangeBounds<B>) -> Result<Vec<Value>> {
        let interval = by_name(&range);
        self.target.run(&self.key, false, |work| {
            let found = interval.read(work, &self.key)?.into_iter();
            Ok(found.map(|item| Scored::from(item).member).collect())
        })
    }

    /// How many members [`Zset::names`] finds.
    ///
    /// # Errors
    ///
    /// As [`Zset::names`].
    ///
    /// # Complexity
    ///
    /// O(log n).
    pub fn count_names<B: AsRef<[u8]>>(&self, range: impl RangeBounds<B>) -> Result<usize> {
        let interval = by_name(&range);
        self.target.run(&self.key, false, |work| {
            let count = |zset: &Held| interval.ranks(zset).len();
            Ok(work.zset(&self.key)?.map_or(0, count))
        })
    }

    /// Removes the members that [`Zset::names`] finds; their number.
    ///
    /// # Errors
    ///
    /// As [`Zset::names`].
    ///
    /// # Complexity
    ///
    /// O(log n) a member.
    pub fn remove_names<B: AsRef<[u8]>>(&self, range: impl RangeBounds<B>) -> Result<usize> {
        let interval = by_name(&range);
        self.target.run(&self.key, false, |work| {
            let event = "zremrangebylex";
            let taken = ops::zset::take_range(work, &self.key, event, |zset| interval.ranks(zset))?;
            Ok(taken.len())
        })
    }
}

fn by_name<B: AsRef<[u8]>>(range: &impl RangeBounds<B>) -> Interval {
    let bound = |bound: Bound<&B>, open: LexBound| match bound {
        Bound::Included(name) => LexBound::Inclusive(name.as_ref().into()),
        Bound::Excluded(name) => LexBound::Exclusive(name.as_ref().into()),
        Bound::Unbounded => open,
    };
    let lowest = bound(range.start_bound(), LexBound::Lowest);
    let highest = bound(range.end_bound(), LexBound::Highest);
    Interval {
        by: By::Lex(lowest, highest),
        reverse: false,
        limit: None,
    }
}
