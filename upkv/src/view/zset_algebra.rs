//! What several sorted sets have in common, and parts of one that are stored or removed.

use std::ops::RangeBounds;

use super::zset::score_bounds;
use super::{Scored, Target, Zset};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::ops::zset::{self as ops, By, Interval};
use crate::ops::zset::{Aggregate as Joined, Algebra};

/// How the scores of a member in several sorted sets become one, each multiplied by the weight of its set before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregate {
    /// Their sum.
    #[default]
    Sum,
    /// The lowest.
    Min,
    /// The highest.
    Max,
}

impl Aggregate {
    fn joined(self) -> Joined {
        match self {
            Self::Sum => Joined::Sum,
            Self::Min => Joined::Min,
            Self::Max => Joined::Max,
        }
    }
}

/// Union, intersection or difference of sorted sets, or sets, whose types are checked first.
fn combine(
    work: &mut Work<'_>,
    algebra: Algebra,
    keys: &[&[u8]],
    weights: &[f64],
    aggregate: Aggregate,
) -> Result<Vec<ops::Scored>> {
    if weights.iter().any(|weight| weight.is_nan()) {
        return Err(Error::NotFloat);
    }
    ops::expect_scored(work, keys)?;
    ops::combine(work, algebra, keys, weights, aggregate.joined())
}

impl<T: Target> Zset<'_, T> {
    /// Members of this sorted set or of any other, with the sums of their scores, lowest first. Members of plain sets count as
    /// 1 each.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`], [`Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(all members), and sorting what is found.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::Aggregate;
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "scores")?;
    /// db.zset("monday").add_many([("ada", 1.0), ("bob", 2.0)])?;
    /// db.zset("tuesday").add_many([("ada", 5.0)])?;
    /// let both = db.zset("monday").union(["tuesday"])?;
    /// assert_eq!((both[1].member.as_str(), both[1].score), (Some("ada"), 6.0));
    /// assert_eq!(db.zset("monday").difference(["tuesday"])?[0].member, "bob");
    /// assert_eq!(db.zset("monday").intersection_len(["tuesday"], 0)?, 1);
    /// let best = db.zset("best");
    /// assert_eq!(best.set_to_union([("monday", 1.0), ("tuesday", 0.1)], Aggregate::Max)?, 2);
    /// assert_eq!(best.score("ada")?, Some(1.0));
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn union<K: AsRef<[u8]>>(
        &self,
        others: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Scored>> {
        self.combine(Algebra::Union, others)
    }

    /// Members that this sorted set and all others have, with the sums of their scores, lowest first.
    ///
    /// # Errors
    ///
    /// As [`Zset::union`].
    ///
    /// # Complexity
    ///
    /// As [`Zset::union`].
    pub fn intersection<K: AsRef<[u8]>>(
        &self,
        others: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Scored>> {
        self.combine(Algebra::Inter, others)
    }

    /// Members of this sorted set that no other has, with their scores, lowest first.
    ///
    /// # Errors
    ///
    /// As [`Zset::union`].
    ///
    /// # Complexity
    ///
    /// As [`Zset::union`].
    pub fn difference<K: AsRef<[u8]>>(
        &self,
        others: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Scored>> {
        self.combine(Algebra::Diff, others)
    }

    fn combine<K: AsRef<[u8]>>(
        &self,
        algebra: Algebra,
        others: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Scored>> {
        let owned: Vec<K> = others.into_iter().collect();
        let keys = self.and(&owned);
        let found = self.target.run(&self.key, false, |work| {
            combine(work, algebra, &keys, &[], Aggregate::Sum)
        })?;
        Ok(found.into_iter().map(Scored::from).collect())
    }

    fn and<'k, K: AsRef<[u8]>>(&'k self, others: &'k [K]) -> Vec<&'k [u8]> {
        let others = others.iter().map(AsRef::as_ref);
        std::iter::once(&*self.key).chain(others).collect()
    }

    /// How many members this sorted set and all others have, counted up to `limit`, or all with 0.
    ///
    /// # Errors
    ///
    /// As [`Zset::union`].
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
        let keys = self.and(&owned);
        self.target.run(&self.key, false, |work| {
            ops::expect_scored(work, &keys)?;
            ops::intersection_len(work, &keys, limit)
        })
    }

    /// Replaces this key, whatever it holds, by the union of sorted sets, each with the weight of its scores, in one commit; the
    /// number of members. Without any the key disappears.
    ///
    /// # Errors
    ///
    /// As [`Zset::union`]; [`Error::NotFloat`] for a weight that is NaN, [`Error::OutOfMemory`].
    ///
    /// # Complexity
    ///
    /// As [`Zset::union`].
    pub fn set_to_union<K: AsRef<[u8]>>(
        &self,
        sources: impl IntoIterator<Item = (K, f64)>,
        aggregate: Aggregate,
    ) -> Result<usize> {
        self.set_to(Algebra::Union, "zunionstore", sources, aggregate)
    }

    /// Replaces this key by the intersection of sorted sets; see [`Zset::set_to_union`].
    ///
    /// # Errors
    ///
    /// As [`Zset::set_to_union`].
    ///
    /// # Complexity
    ///
    /// As [`Zset::union`].
    pub fn set_to_intersection<K: AsRef<[u8]>>(
        &self,
        sources: impl IntoIterator<Item = (K, f64)>,
        aggregate: Aggregate,
    ) -> Result<usize> {
        self.set_to(Algebra::Inter, "zinterstore", sources, aggregate)
    }

    /// Replaces this key by what the first of several sorted sets has and the others have not; see [`Zset::set_to_union`].
    ///
    /// # Errors
    ///
    /// As [`Zset::set_to_union`].
    ///
    /// # Complexity
    ///
    /// As [`Zset::union`].
    pub fn set_to_difference<K: AsRef<[u8]>>(
        &self,
        sources: impl IntoIterator<Item = K>,
    ) -> Result<usize> {
        let weighted = sources.into_iter().map(|key| (key, 1.0));
        self.set_to(Algebra::Diff, "zdiffstore", weighted, Aggregate::Sum)
    }

    fn set_to<K: AsRef<[u8]>>(
        &self,
        algebra: Algebra,
        event: &'static str,
        sources: impl IntoIterator<Item = (K, f64)>,
        aggregate: Aggregate,
    ) -> Result<usize> {
        let (owned, weights): (Vec<K>, Vec<f64>) = sources.into_iter().unzip();
        let keys: Vec<&[u8]> = owned.iter().map(AsRef::as_ref).collect();
        self.target.run(&self.key, true, |work| {
            let found = combine(work, algebra, &keys, &weights, aggregate)?;
            ops::store(work, &self.key, event, &found)?;
            Ok(found.len())
        })
    }

    /// Replaces this key, whatever it holds, by the members of another sorted set with scores in a range, in one commit; their
    /// number. Without any the key disappears.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`], [`Error::OutOfMemory`], [`Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(log n + m log m) for m members.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "scores")?;
    /// db.zset("all").add_many([("ada", 1.0), ("bob", 2.0), ("eve", 3.0)])?;
    /// assert_eq!(db.zset("good").set_to_range("all", 2.0..)?, 2);
    /// assert_eq!(db.zset("first").set_to_rank_range("all", 0, 0)?, 1);
    /// assert_eq!(db.zset("all").remove_range(..2.0)?, 1);
    /// assert_eq!(db.zset("all").remove_rank_range(-1, -1)?, 1);
    /// assert_eq!(db.zset("all").len()?, 1);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn set_to_range(
        &self,
        source: impl AsRef<[u8]>,
        scores: impl RangeBounds<f64>,
    ) -> Result<usize> {
        self.set_to_interval(source.as_ref(), by_score(&scores))
    }

    /// As [`Zset::set_to_range`] for members by rank, from `start` to `end` inclusive; negative ranks count from the end.
    ///
    /// # Errors
    ///
    /// As [`Zset::set_to_range`].
    ///
    /// # Complexity
    ///
    /// As [`Zset::set_to_range`].
    pub fn set_to_rank_range(
        &self,
        source: impl AsRef<[u8]>,
        start: i64,
        end: i64,
    ) -> Result<usize> {
        self.set_to_interval(source.as_ref(), By::Rank(start, end))
    }

    fn set_to_interval(&self, source: &[u8], by: By) -> Result<usize> {
        let interval = whole(by);
        self.target.run(&self.key, true, |work| {
            let found = interval.read(work, source)?;
            ops::store(work, &self.key, "zrangestore", &found)?;
            Ok(found.len())
        })
    }

    /// Removes members with scores in a range; their number.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`], [`Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(log n + m log n) for m members.
    pub fn remove_range(&self, scores: impl RangeBounds<f64>) -> Result<usize> {
        self.remove_interval(by_score(&scores), "zremrangebyscore")
    }

    /// Removes members by rank, from `start` to `end` inclusive; their number. Negative ranks count from the end.
    ///
    /// # Errors
    ///
    /// As [`Zset::remove_range`].
    ///
    /// # Complexity
    ///
    /// As [`Zset::remove_range`].
    pub fn remove_rank_range(&self, start: i64, end: i64) -> Result<usize> {
        self.remove_interval(By::Rank(start, end), "zremrangebyrank")
    }

    fn remove_interval(&self, by: By, event: &'static str) -> Result<usize> {
        let interval = whole(by);
        self.target.run(&self.key, false, |work| {
            let taken = ops::take_range(work, &self.key, event, |zset| interval.ranks(zset))?;
            Ok(taken.len())
        })
    }
}

fn by_score(scores: &impl RangeBounds<f64>) -> By {
    let (min, max) = score_bounds(scores);
    if min.score.is_nan() || max.score.is_nan() {
        // Nothing is between what has no order.
        return By::Rank(1, 0);
    }
    By::Score(min, max)
}

fn whole(by: By) -> Interval {
    Interval {
        by,
        reverse: false,
        limit: None,
    }
}
