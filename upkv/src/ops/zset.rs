//! Sorted sets: changes, intervals, and set algebra.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;

use super::check_size;
use crate::error::{Error, Result};
use crate::keyspace::work::event::Class;
use crate::keyspace::work::{Editor, Work};
use crate::value::set::Set;
use crate::value::zset::{LexBound, ScoreBound, Zset};
use crate::value::{Kind, Object};

/// A member that left its set, with the score it had.
pub(crate) type Scored = (Bytes, f64);

/// Conditions of ZADD.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command, set or not"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AddIf {
    pub(crate) absent: bool,
    pub(crate) present: bool,
    pub(crate) greater: bool,
    pub(crate) less: bool,
}

/// What ZADD did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Added {
    pub(crate) added: usize,
    pub(crate) changed: usize,
}

/// Whether a member with score `present` may get `score`.
fn allows(when: AddIf, present: Option<f64>, score: f64) -> bool {
    match present {
        None => !when.present,
        Some(present) => {
            !(when.absent || (when.greater && score <= present) || (when.less && score >= present))
        }
    }
}

/// Adds or updates members.
pub(crate) fn add(
    work: &mut impl Editor,
    key: &[u8],
    when: AddIf,
    items: &[(f64, &[u8])],
) -> Result<Added> {
    check_size(key)?;
    for (score, member) in items {
        check_size(member)?;
        check_score(*score)?;
    }
    let mut done = Added::default();
    if items.is_empty() {
        return Ok(done);
    }
    let Some(mut edit) = work.edit_of::<Zset>(key, !when.present)? else {
        return Ok(done);
    };
    for (score, member) in items {
        // Without conditions one search is enough.
        if when != AddIf::default() && !allows(when, edit.score(member), *score) {
            continue;
        }
        match edit.set(member, *score) {
            None => done.added += 1,
            // -0 and 0 are one score.
            Some(present) if is_same(present, *score) => {}
            Some(_) => done.changed += 1,
        }
    }
    if done.added + done.changed > 0 {
        work.notify(Class::ZSET, "zadd", key);
    }
    Ok(done)
}

#[expect(clippy::float_cmp, reason = "a score is the same or it is not")]
fn is_same(a: f64, b: f64) -> bool {
    a == b
}

fn check_score(score: f64) -> Result<()> {
    if score.is_nan() {
        Err(Error::NotFloat)
    } else {
        Ok(())
    }
}

/// Adds to a member's score; the sum, or `None` if the conditions forbid it.
pub(crate) fn incr(
    work: &mut Work<'_>,
    key: &[u8],
    when: AddIf,
    change: f64,
    member: &[u8],
) -> Result<Option<f64>> {
    check_size(key)?;
    check_size(member)?;
    check_score(change)?;
    let present = work.zset(key)?.and_then(|zset| zset.score(member));
    let sum = present.unwrap_or(0.0) + change;
    if when.absent && present.is_some() {
        // Nothing is added, whatever the sum would be.
        return Ok(None);
    }
    if sum.is_nan() {
        return Err(Error::refused("ERR resulting score is not a number (NaN)"));
    }
    if !allows(when, present, sum) {
        return Ok(None);
    }
    if !present.is_some_and(|present| is_same(present, sum)) {
        let mut edit = work.edit_zset(key, true)?.expect("created when missing");
        edit.set(member, sum);
        work.notify(Class::ZSET, "zincr", key);
    }
    Ok(Some(sum))
}

/// Removes members; the number that existed.
pub(crate) fn remove<'m>(
    work: &mut Work<'_>,
    key: &[u8],
    members: impl IntoIterator<Item = &'m [u8]>,
) -> Result<usize> {
    let Some(mut edit) = work.edit_zset(key, false)? else {
        return Ok(0);
    };
    let removed = members
        .into_iter()
        .filter(|member| edit.remove(member))
        .count();
    if removed > 0 {
        work.notify(Class::ZSET, "zrem", key);
        work.drop_if_empty(key)?;
    }
    Ok(removed)
}

/// Removes and returns the members with ranks that `ranks` picks, lowest first; `event` names that.
pub(crate) fn take_range(
    work: &mut Work<'_>,
    key: &[u8],
    event: &'static str,
    ranks: impl Fn(&Zset) -> Range<usize>,
) -> Result<Vec<Scored>> {
    let Some(mut edit) = work.edit_zset(key, false)? else {
        return Ok(Vec::new());
    };
    let taken = collect(&edit, ranks(&edit), false);
    for (member, _) in &taken {
        edit.remove(member);
    }
    if !taken.is_empty() {
        work.notify(Class::ZSET, event, key);
        work.drop_if_empty(key)?;
    }
    Ok(taken)
}

/// Removes and returns up to `count` members from one end, nearest to that end first.
pub(crate) fn pop(
    work: &mut Work<'_>,
    key: &[u8],
    count: usize,
    highest: bool,
) -> Result<Vec<Scored>> {
    let event = if highest { "zpopmax" } else { "zpopmin" };
    let mut taken = take_range(work, key, event, |zset| {
        let len = zset.len();
        if highest {
            len.saturating_sub(count)..len
        } else {
            0..count.min(len)
        }
    })?;
    if highest {
        taken.reverse();
    }
    Ok(taken)
}

/// A way to name an interval of a sorted set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum By {
    /// First and last rank, negative from the end.
    Rank(i64, i64),
    Score(ScoreBound, ScoreBound),
    Lex(LexBound, LexBound),
}

/// An interval, its direction and a portion of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Interval {
    /// Bounds from low to high; ranks count from the end where reading starts.
    pub(crate) by: By,
    pub(crate) reverse: bool,
    /// Items to skip, and how many to take; a negative skip takes nothing, a negative take everything.
    pub(crate) limit: Option<(i64, i64)>,
}

impl Interval {
    /// Ranks, lowest score first, that the interval covers.
    pub(crate) fn ranks(&self, zset: &Zset) -> Range<usize> {
        let len = zset.len();
        let ranks = match &self.by {
            By::Rank(start, end) => {
                let ranks = clamp_ranks(len, *start, *end);
                if self.reverse {
                    len - ranks.end..len - ranks.start
                } else {
                    ranks
                }
            }
            By::Score(min, max) => zset.ranks_by_score(*min, *max),
            By::Lex(min, max) => zset.ranks_by_lex(min, max),
        };
        let Some((skip, take)) = self.limit else {
            return ranks;
        };
        let Ok(skip) = usize::try_from(skip) else {
            return 0..0;
        };
        let take = usize::try_from(take).unwrap_or(usize::MAX);
        if self.reverse {
            let end = ranks.end.saturating_sub(skip).max(ranks.start);
            end.saturating_sub(take).max(ranks.start)..end
        } else {
            let start = ranks.start.saturating_add(skip).min(ranks.end);
            start..start.saturating_add(take).min(ranks.end)
        }
    }

    /// The members in reading order.
    pub(crate) fn read(&self, work: &mut Work<'_>, key: &[u8]) -> Result<Vec<Scored>> {
        let zset = work.zset(key)?;
        Ok(zset.map_or_else(Vec::new, |zset| {
            collect(zset, self.ranks(zset), self.reverse)
        }))
    }
}

fn clamp_ranks(len: usize, start: i64, end: i64) -> Range<usize> {
    let Ok(len) = i64::try_from(len) else {
        return 0..0;
    };
    let from_end = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
    let (start, end) = (from_end(start).max(0), from_end(end).min(len - 1));
    match (usize::try_from(start), usize::try_from(end)) {
        (Ok(start), Ok(end)) if start <= end => start..end + 1,
        _ => 0..0,
    }
}

fn collect(zset: &Zset, ranks: Range<usize>, reverse: bool) -> Vec<Scored> {
    let items = zset.iter(ranks);
    let copy =
        |item: crate::value::zset::Item<'_>| (Bytes::copy_from_slice(item.member), item.score);
    if reverse {
        items.rev().map(copy).collect()
    } else {
        items.map(copy).collect()
    }
}

/// Refuses keys that are neither sorted sets nor sets, without reading them.
pub(crate) fn expect_scored(work: &mut Work<'_>, keys: &[&[u8]]) -> Result<()> {
    for key in keys {
        if !matches!(work.kind(key)?, None | Some(Kind::Zset | Kind::Set)) {
            return Err(Error::WrongType);
        }
    }
    Ok(())
}

/// Members of a sorted set, or of a set, whose members count as 1 each; nothing without the key.
fn scored(work: &mut Work<'_>, key: &[u8]) -> Result<Vec<Scored>> {
    if work.kind(key)? == Some(Kind::Set) {
        let members = super::set::members(work, key)?.into_iter();
        return Ok(members.map(|member| (member, 1.0)).collect());
    }
    let members = work
        .zset(key)?
        .map(|zset| collect(zset, 0..usize::MAX, false));
    Ok(members.unwrap_or_default())
}

/// The number of members that [`scored`] would find.
fn scored_len(work: &mut Work<'_>, key: &[u8]) -> Result<usize> {
    Ok(match work.kind(key)? {
        Some(Kind::Set) => work.read::<Set>(key)?.map_or(0, Set::len),
        _ => work.zset(key)?.map_or(0, Zset::len),
    })
}

/// Replaces `key` by a sorted set of these members, which `event` names, or removes it when there are none.
pub(crate) fn store(
    work: &mut Work<'_>,
    key: &[u8],
    event: &'static str,
    items: &[Scored],
) -> Result<()> {
    check_size(key)?;
    if items.is_empty() {
        return super::keys::delete(work, key).map(drop);
    }
    let mut zset = Zset::new(work.engine.hashers.clone());
    for (member, score) in items {
        zset.set(member, *score);
    }
    work.put(key, Object::Zset(Box::new(zset)), 0)?;
    work.notify(Class::ZSET, event, key);
    Ok(())
}

/// How the scores of a member in several sets become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Aggregate {
    #[default]
    Sum,
    Min,
    Max,
    /// In how many sets the member is, each counted with its weight.
    Count,
}

impl Aggregate {
    fn join(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Sum | Self::Count => {
                let sum = a + b;
                // inf + -inf counts as 0 here, as in Redis.
                if sum.is_nan() { 0.0 } else { sum }
            }
            Self::Min => a.min(b),
            Self::Max => a.max(b),
        }
    }
}

/// Which members of several sets are in the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algebra {
    Union,
    Inter,
    Diff,
}

/// Union, intersection or difference, ordered by score and member.
pub(crate) fn combine(
    work: &mut Work<'_>,
    algebra: Algebra,
    keys: &[&[u8]],
    weights: &[f64],
    aggregate: Aggregate,
) -> Result<Vec<Scored>> {
    let mut found: HashMap<Bytes, (f64, usize), ahash::RandomState> = HashMap::default();
    let mut order: Vec<usize> = (0..keys.len()).collect();
    if algebra != Algebra::Diff {
        // The smallest first, as Redis does: the order decides how sums are rounded.
        let sizes = keys.iter().map(|key| scored_len(work, key));
        let sizes = sizes.collect::<Result<Vec<usize>>>()?;
        order.sort_by_key(|at| sizes[*at]);
    }
    for (turn, at) in order.into_iter().enumerate() {
        let weight = weights.get(at).copied().unwrap_or(1.0);
        for (member, score) in scored(work, keys[at])? {
            let weighted = if aggregate == Aggregate::Count {
                weight
            } else {
                score * weight
            };
            // The sum makes 0 of -0, which would come before it.
            // In an intersection only the first counts as 0 where it is no number; others make the sum none.
            let weighted = if weighted.is_nan() && (turn == 0 || algebra == Algebra::Union) {
                0.0
            } else {
                weighted + 0.0
            };
            match found.get_mut(&member) {
                Some((score, sets)) => {
                    *score = aggregate.join(*score, weighted);
                    *sets += 1;
                }
                None if turn == 0 || algebra == Algebra::Union => {
                    found.insert(member, (weighted, 1));
                }
                None => {}
            }
        }
    }
    let kept = |sets: usize| match algebra {
        Algebra::Union => true,
        Algebra::Inter => sets == keys.len(),
        Algebra::Diff => sets == 1,
    };
    let mut result: Vec<Scored> = found
        .into_iter()
        .filter(|(_, (_, sets))| kept(*sets))
        .map(|(member, (score, _))| (member, score))
        .collect();
    result.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
    Ok(result)
}

/// Number of members that all sets have, sorted or not, counted up to `limit` if that is not 0.
///
/// # Complexity
///
/// O(sets times the smallest), or fewer members of it once `limit` are found.
pub(crate) fn intersection_len(work: &mut Work<'_>, keys: &[&[u8]], limit: usize) -> Result<usize> {
    /// Members of the smallest set that are looked at together.
    const PAGE_MEMBERS: usize = 256;
    let limit = if limit == 0 { usize::MAX } else { limit };
    let mut smallest: Option<(usize, &[u8])> = None;
    for key in keys {
        let len = scored_len(work, key)?;
        if smallest.is_none_or(|(least, _)| len < least) {
            smallest = Some((len, key));
        }
    }
    let Some((_, smallest)) = smallest.filter(|(len, _)| *len > 0) else {
        return Ok(0);
    };
    let (mut found, mut cursor) = (0, Some(0));
    while let Some(from) = cursor.filter(|_| found < limit) {
        let mut page: Vec<Bytes> = Vec::new();
        cursor = if work.kind(smallest)? == Some(Kind::Set) {
            let take = |member: &[u8]| page.push(Bytes::copy_from_slice(member));
            let set = work.read::<Set>(smallest)?;
            set.and_then(|set| set.scan(from, PAGE_MEMBERS, take))
        } else {
            let take = |item: crate::value::zset::Item<'_>| {
                page.push(Bytes::copy_from_slice(item.member));
            };
            let zset = work.zset(smallest)?;
            zset.and_then(|zset| zset.scan(from, PAGE_MEMBERS, take))
        };
        for key in keys.iter().filter(|key| **key != smallest) {
            if work.kind(key)? == Some(Kind::Set) {
                let set = work.read::<Set>(key)?;
                page.retain(|member| set.is_some_and(|set| set.contains(member)));
            } else {
                let zset = work.zset(key)?;
                page.retain(|member| zset.is_some_and(|zset| zset.score(member).is_some()));
            }
        }
        found += page.len();
    }
    Ok(found.min(limit))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::keyspace::table::Hashers;

    fn letters() -> Zset {
        let mut zset = Zset::new(Arc::new(Hashers::for_tests()));
        for (score, member) in [(1.0, "a"), (2.0, "b"), (3.0, "c"), (4.0, "d")] {
            zset.set(member.as_bytes(), score);
        }
        zset
    }

    #[test]
    fn intervals_pick_ranks() {
        let zset = letters();
        let rank = |start, end, reverse| {
            Interval {
                by: By::Rank(start, end),
                reverse,
                limit: None,
            }
            .ranks(&zset)
        };
        assert_eq!(rank(0, -1, false), 0..4);
        assert_eq!(rank(0, 0, true), 3..4);
        assert_eq!(rank(-2, -1, true), 0..2);
        assert_eq!(rank(3, 1, false), 0..0);
        assert_eq!(rank(i64::MIN, i64::MAX, false), 0..4);
        let all = || {
            let bound = |score| ScoreBound {
                score,
                exclusive: false,
            };
            By::Score(bound(f64::NEG_INFINITY), bound(f64::INFINITY))
        };
        let limited = |skip, take, reverse| {
            Interval {
                by: all(),
                reverse,
                limit: Some((skip, take)),
            }
            .ranks(&zset)
        };
        assert_eq!(limited(1, 2, false), 1..3);
        assert_eq!(limited(1, 2, true), 1..3);
        assert_eq!(limited(0, 1, true), 3..4);
        assert_eq!(limited(1, -1, true), 0..3);
        assert_eq!(limited(-1, 5, false), 0..0);
        assert_eq!(limited(9, 1, true), 0..0);
    }
}
