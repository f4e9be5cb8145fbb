//! The sorted set view.

use std::collections::VecDeque;
use std::ops::{Bound, Range, RangeBounds};

use bytes::Bytes;

use super::Target;
use crate::error::Result;
use crate::keyspace::quick::Quick;
use crate::keyspace::work::Work;
use crate::ops;
use crate::ops::zset::{AddIf, By, Interval};
use crate::value::owned::Value;
use crate::value::zset::{self, ScoreBound};

/// Members read per step of an iterator.
const PAGE_MEMBERS: usize = 128;

/// A member with its score.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// The member.
    pub member: Value,
    /// Its score; never NaN.
    pub score: f64,
}

impl From<ops::zset::Scored> for Scored {
    fn from((member, score): ops::zset::Scored) -> Self {
        Self {
            member: member.into(),
            score,
        }
    }
}

/// The sorted set at one key: members ordered by score, then bytes.
///
/// # Examples
///
/// ```
/// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
/// let board = db.zset("board");
/// board.add("ada", 10.0)?;
/// board.add("bob", 7.5)?;
/// let best = board.range(..).rev().next().expect("two members")?;
/// assert_eq!((best.member.as_str(), best.score), (Some("ada"), 10.0));
/// assert_eq!(board.rank("ada")?, Some(1));
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Zset<'t, T: Target> {
    pub(super) target: &'t T,
    pub(super) key: Box<[u8]>,
}

impl<'t, T: Target> Zset<'t, T> {
    pub(crate) fn new(target: &'t T, key: &[u8]) -> Self {
        Self {
            target,
            key: key.into(),
        }
    }

    /// Sets a member's score; whether the member is new.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`], [`crate::Error::NotFloat`] for NaN, [`crate::Error::TooLarge`],
    /// [`crate::Error::OutOfMemory`], [`crate::Error::Storage`].
    pub fn add(&self, member: impl AsRef<[u8]>, score: f64) -> Result<bool> {
        Ok(self.add_many([(member, score)])? == 1)
    }

    /// Sets the scores of several members in one commit; the number that are new.
    ///
    /// # Errors
    ///
    /// As [`Zset::add`].
    pub fn add_many<M: AsRef<[u8]>>(
        &self,
        members: impl IntoIterator<Item = (M, f64)>,
    ) -> Result<usize> {
        let owned: Vec<(M, f64)> = members.into_iter().collect();
        let items: Vec<(f64, &[u8])> = owned
            .iter()
            .map(|(m, score)| (*score, m.as_ref()))
            .collect();
        let when = AddIf::default();
        let add = |work: &mut Quick<'_>| ops::zset::add(work, &self.key, when, &items);
        if let Some(done) = self.target.run_quickly(&self.key, add)? {
            return Ok(done.added);
        }
        self.target.run(&self.key, true, |work| {
            Ok(ops::zset::add(work, &self.key, when, &items)?.added)
        })
    }

    /// Adds to a member's score, which starts at 0; the sum.
    ///
    /// # Errors
    ///
    /// As [`Zset::add`]; [`crate::Error::Refused`] if the sum is not a number.
    pub fn incr(&self, member: impl AsRef<[u8]>, change: f64) -> Result<f64> {
        let member = member.as_ref();
        self.target.run(&self.key, true, |work| {
            // Without conditions there is always a sum.
            let sum = ops::zset::incr(work, &self.key, AddIf::default(), change, member)?;
            Ok(sum.unwrap_or(change))
        })
    }

    /// A member's score.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`], [`crate::Error::Storage`].
    pub fn score(&self, member: impl AsRef<[u8]>) -> Result<Option<f64>> {
        let member = member.as_ref();
        self.target.run(&self.key, false, |work| {
            Ok(work.zset(&self.key)?.and_then(|zset| zset.score(member)))
        })
    }

    /// A member's rank, 0 for the lowest score.
    ///
    /// # Errors
    ///
    /// As [`Zset::score`].
    ///
    /// # Complexity
    ///
    /// O(log n).
    pub fn rank(&self, member: impl AsRef<[u8]>) -> Result<Option<usize>> {
        let member = member.as_ref();
        self.target.run(&self.key, false, |work| {
            Ok(work
                .zset(&self.key)?
                .and_then(|zset| zset.rank(member))
                .map(|found| found.0))
        })
    }

    /// Removes a member; whether it existed. The key disappears with its last member.
    ///
    /// # Errors
    ///
    /// As [`Zset::score`].
    pub fn remove(&self, member: impl AsRef<[u8]>) -> Result<bool> {
        let member = member.as_ref();
        self.target.run(&self.key, false, |work| {
            Ok(ops::zset::remove(work, &self.key, [member])? == 1)
        })
    }

    /// Number of members.
    ///
    /// # Errors
    ///
    /// As [`Zset::score`].
    pub fn len(&self) -> Result<usize> {
        self.target.run(&self.key, false, |work| {
            Ok(work.zset(&self.key)?.map_or(0, zset::Zset::len))
        })
    }

    /// Whether there are no members, that is, no such key.
    ///
    /// # Errors
    ///
    /// As [`Zset::score`].
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Number of members with scores in a range.
    ///
    /// # Errors
    ///
    /// As [`Zset::score`].
    ///
    /// # Complexity
    ///
    /// O(log n).
    pub fn count(&self, scores: impl RangeBounds<f64>) -> Result<usize> {
        let (min, max) = score_bounds(&scores);
        self.target.run(&self.key, false, |work| {
            Ok(work
                .zset(&self.key)?
                .map_or(0, |zset| zset.ranks_by_score(min, max).len()))
        })
    }

    /// Members with scores in a range, lowest first, read page by page from either end. A NaN bound
    /// selects nothing.
    pub fn range(&self, scores: impl RangeBounds<f64>) -> Members<'t, T> {
        let (min, max) = score_bounds(&scores);
        Members {
            zset: Self::new(self.target, &self.key),
            min,
            max,
            after: None,
            before: None,
            front: VecDeque::new(),
            back: VecDeque::new(),
            done: min.score.is_nan() || max.score.is_nan(),
        }
    }

    /// Members by rank, from `start` to `end` inclusive; negative ranks count from the end.
    ///
    /// # Errors
    ///
    /// As [`Zset::score`].
    pub fn range_by_rank(&self, start: i64, end: i64) -> Result<Vec<Scored>> {
        let interval = Interval {
            by: By::Rank(start, end),
            reverse: false,
            limit: None,
        };
        self.target.run(&self.key, false, |work| {
            Ok(interval
                .read(work, &self.key)?
                .into_iter()
                .map(Scored::from)
                .collect())
        })
    }

    /// Removes and returns up to `count` members with the lowest scores, lowest first.
    ///
    /// # Errors
    ///
    /// As [`Zset::score`].
    pub fn pop_min(&self, count: usize) -> Result<Vec<Scored>> {
        self.pop(count, false)
    }

    /// Removes and returns up to `count` members with the highest scores, highest first.
    ///
    /// # Errors
    ///
    /// As [`Zset::score`].
    pub fn pop_max(&self, count: usize) -> Result<Vec<Scored>> {
        self.pop(count, true)
    }

    fn pop(&self, count: usize, highest: bool) -> Result<Vec<Scored>> {
        self.target.run(&self.key, false, |work| {
            let taken = ops::zset::pop(work, &self.key, count, highest)?;
            Ok(taken.into_iter().map(Scored::from).collect())
        })
    }
}

pub(super) fn score_bounds(scores: &impl RangeBounds<f64>) -> (ScoreBound, ScoreBound) {
    let bound = |bound: Bound<&f64>, open: f64| match bound {
        Bound::Included(score) => ScoreBound {
            score: *score,
            exclusive: false,
        },
        Bound::Excluded(score) => ScoreBound {
            score: *score,
            exclusive: true,
        },
        Bound::Unbounded => ScoreBound {
            score: open,
            exclusive: false,
        },
    };
    (
        bound(scores.start_bound(), f64::NEG_INFINITY),
        bound(scores.end_bound(), f64::INFINITY),
    )
}

/// Iterator over members by score; see [`Zset::range`].
///
/// Pages continue behind the last member read, so members that stay are returned exactly once.
#[derive(Debug)]
pub struct Members<'t, T: Target> {
    zset: Zset<'t, T>,
    min: ScoreBound,
    max: ScoreBound,
    /// Last member read from the front, and from the back.
    after: Option<(f64, Bytes)>,
    before: Option<(f64, Bytes)>,
    front: VecDeque<(Bytes, f64)>,
    back: VecDeque<(Bytes, f64)>,
    done: bool,
}

impl<T: Target> Members<'_, T> {
    /// Reads the next page from one end of what is left.
    fn read(&mut self, from_back: bool) -> Result<()> {
        let page = self
            .zset
            .target
            .run(&self.zset.key, false, |work| self.page(work, from_back))?;
        self.done = page.is_empty();
        let Some((member, score)) = page.back().cloned() else {
            return Ok(());
        };
        let position = Some((score, member));
        if from_back {
            self.before = position;
            self.back = page;
        } else {
            self.after = position;
            self.front = page;
        }
        Ok(())
    }

    fn page(&self, work: &mut Work<'_>, from_back: bool) -> Result<VecDeque<(Bytes, f64)>> {
        let Some(zset) = work.zset(&self.zset.key)? else {
            return Ok(VecDeque::new());
        };
        let ranks = self.ranks(zset);
        let copy = |item: zset::Item<'_>| (Bytes::copy_from_slice(item.member), item.score);
        Ok(if from_back {
            zset.iter(ranks)
                .rev()
                .take(PAGE_MEMBERS)
                .map(copy)
                .collect()
        } else {
            zset.iter(ranks).take(PAGE_MEMBERS).map(copy).collect()
        })
    }

    /// Ranks that neither end has read yet.
    fn ranks(&self, zset: &zset::Zset) -> Range<usize> {
        let mut ranks = zset.ranks_by_score(self.min, self.max);
        if let Some((score, member)) = &self.after {
            ranks.start = ranks.start.max(zset.rank_after(*score, member));
        }
        if let Some((score, member)) = &self.before {
            ranks.end = ranks.end.min(zset.rank_of_position(*score, member));
        }
        ranks.start.min(ranks.end)..ranks.end
    }

    fn step(&mut self, from_back: bool) -> Option<Result<Scored>> {
        loop {
            let (near, far) = if from_back {
                (&mut self.back, &mut self.front)
            } else {
                (&mut self.front, &mut self.back)
            };
            if let Some(item) = near.pop_front() {
                return Some(Ok(item.into()));
            }
            if self.done {
                // What the other end has read ahead is next, its last item first.
                return far.pop_back().map(|item| Ok(item.into()));
            }
            if let Err(error) = self.read(from_back) {
                self.done = true;
                self.front.clear();
                self.back.clear();
                return Some(Err(error));
            }
        }
    }
}

impl<T: Target> Iterator for Members<'_, T> {
    type Item = Result<Scored>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(false)
    }
}

impl<T: Target> DoubleEndedIterator for Members<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(true)
    }
}
