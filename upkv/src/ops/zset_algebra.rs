//! Set algebra over sorted sets and plain sets, whose members all have the score 1.

use std::collections::HashMap;

use bytes::Bytes;

use super::zset::{Scored, collect};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::value::Kind;
use crate::value::set::Set;
use crate::value::zset::Zset;

/// How the scores of a member in several sets become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Aggregate {
    #[default]
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn join(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Sum => {
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

/// One of the sets.
#[derive(Clone, Copy)]
enum Source<'w> {
    Missing,
    Zset(&'w Zset),
    Set(&'w Set),
}

impl<'w> Source<'w> {
    fn of(work: &'w mut Work<'_>, key: &[u8]) -> Result<Self> {
        if work.kind(key)? == Some(Kind::Set) {
            let set = work.read::<Set>(key)?;
            return Ok(set.map_or(Self::Missing, Self::Set));
        }
        Ok(work.zset(key)?.map_or(Self::Missing, Self::Zset))
    }

    fn len(self) -> usize {
        match self {
            Self::Missing => 0,
            Self::Zset(zset) => zset.len(),
            Self::Set(set) => set.len(),
        }
    }

    fn contains(self, member: &[u8]) -> bool {
        match self {
            Self::Missing => false,
            Self::Zset(zset) => zset.score(member).is_some(),
            Self::Set(set) => set.contains(member),
        }
    }

    fn members(self) -> Vec<Scored> {
        match self {
            Self::Missing => Vec::new(),
            Self::Zset(zset) => collect(zset, 0..usize::MAX, false),
            Self::Set(set) => set
                .iter()
                .map(|member| (Bytes::copy_from_slice(&member), 1.0))
                .collect(),
        }
    }
}

/// Refuses keys of other types without reading their values.
pub(crate) fn expect_sets(work: &mut Work<'_>, keys: &[&[u8]]) -> Result<()> {
    for key in keys {
        match work.kind(key)? {
            None | Some(Kind::Zset | Kind::Set) => {}
            Some(_) => return Err(Error::WrongType),
        }
    }
    Ok(())
}

/// Positions of the keys, smallest set first.
fn by_size(work: &mut Work<'_>, keys: &[&[u8]]) -> Result<Vec<(usize, usize)>> {
    let sizes = keys.iter().enumerate();
    let sizes = sizes.map(|(at, key)| Ok((Source::of(work, key)?.len(), at)));
    let mut sizes = sizes.collect::<Result<Vec<_>>>()?;
    sizes.sort_by_key(|(size, _)| *size);
    Ok(sizes)
}

/// Union, intersection or difference, ordered by score and member.
pub(crate) fn combine(
    work: &mut Work<'_>,
    algebra: Algebra,
    keys: &[&[u8]],
    weights: &[f64],
    aggregate: Aggregate,
) -> Result<Vec<Scored>> {
    let mut order = by_size(work, keys)?;
    if algebra == Algebra::Diff {
        // What comes first matters there; elsewhere the order decides how sums are rounded.
        order.sort_by_key(|(_, at)| *at);
    }
    let mut found: HashMap<Bytes, (f64, usize), ahash::RandomState> = HashMap::default();
    for (turn, (_, at)) in order.into_iter().enumerate() {
        let weight = weights.get(at).copied().unwrap_or(1.0);
        for (member, score) in Source::of(work, keys[at])?.members() {
            let weighted = score * weight;
            // The sum makes 0 of -0, which would come before it.
            let weighted = if weighted.is_nan() {
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

/// Number of members that all sets have, counted up to `limit` if that is not 0.
///
/// # Complexity
///
/// O(sets times the smallest).
pub(crate) fn intersection_len(work: &mut Work<'_>, keys: &[&[u8]], limit: usize) -> Result<usize> {
    let order = by_size(work, keys)?;
    let Some((1.., smallest)) = order.first().copied() else {
        return Ok(0);
    };
    let members = Source::of(work, keys[smallest])?.members();
    let mut members: Vec<Bytes> = members.into_iter().map(|item| item.0).collect();
    for key in keys {
        let source = Source::of(work, key)?;
        members.retain(|member| source.contains(member));
    }
    Ok(if limit == 0 {
        members.len()
    } else {
        members.len().min(limit)
    })
}
