//! Sets: changes of members, picking, and set algebra.

use std::collections::HashSet;

use bytes::Bytes;

use super::check_size;
use crate::error::Result;
use crate::keyspace::work::event::Class;
use crate::keyspace::work::{Edit, Editor, Work};
use crate::ops::zset::Algebra;
use crate::value::set::Set;
use crate::value::{Collection, Kind, Undo};

impl Edit<'_, Set> {
    /// Adds a member; whether it is new.
    pub(crate) fn add(&mut self, member: &[u8]) -> bool {
        let Some(undo) = self.value.add(member) else {
            return false;
        };
        self.note(Undo::Set(undo), |delta| Set::log_add(delta, member));
        true
    }

    /// Removes a member; whether it existed.
    pub(crate) fn remove(&mut self, member: &[u8]) -> bool {
        let Some(undo) = self.value.remove(member) else {
            return false;
        };
        self.note(Undo::Set(undo), |delta| Set::log_remove(delta, member));
        true
    }
}

/// Adds members; the number that are new.
pub(crate) fn add<'m>(
    work: &mut impl Editor,
    key: &[u8],
    members: impl IntoIterator<Item = &'m [u8]> + Clone,
) -> Result<usize> {
    check_size(key)?;
    members.clone().into_iter().try_for_each(check_size)?;
    if members.clone().into_iter().next().is_none() {
        return Ok(0);
    }
    let mut edit = work
        .edit_of::<Set>(key, true)?
        .expect("created when missing");
    let new = members
        .into_iter()
        .filter(|member| edit.add(member))
        .count();
    if new > 0 {
        work.notify(Class::SET, "sadd", key);
    }
    Ok(new)
}

/// Removes members; the number that existed.
pub(crate) fn remove<'m>(
    work: &mut Work<'_>,
    key: &[u8],
    members: impl IntoIterator<Item = &'m [u8]>,
) -> Result<usize> {
    take(work, key, "srem", members)
}

fn take<'m>(
    work: &mut Work<'_>,
    key: &[u8],
    event: &'static str,
    members: impl IntoIterator<Item = &'m [u8]>,
) -> Result<usize> {
    let Some(mut edit) = work.edit_of::<Set>(key, false)? else {
        return Ok(0);
    };
    let removed = members
        .into_iter()
        .filter(|member| edit.remove(member))
        .count();
    if removed > 0 {
        work.notify(Class::SET, event, key);
        work.drop_if_empty(key)?;
    }
    Ok(removed)
}

/// Moves a member to another set; whether the first one had it.
pub(crate) fn shift(work: &mut Work<'_>, from: &[u8], to: &[u8], member: &[u8]) -> Result<bool> {
    if work.read::<Set>(from)?.is_none() {
        return Ok(false);
    }
    work.expect_kind(to, Kind::Set)?;
    check_size(to)?;
    let has = work
        .read::<Set>(from)?
        .is_some_and(|set| set.contains(member));
    if !has || from == to {
        return Ok(has);
    }
    remove(work, from, [member])?;
    add(work, to, [member])?;
    Ok(true)
}

/// Removes and returns up to `count` random members.
///
/// # Complexity
///
/// O(count); O(members) where a large part of them is taken.
pub(crate) fn pop(work: &mut Work<'_>, key: &[u8], count: usize) -> Result<Vec<Bytes>> {
    let mount = work.engine.mount.clone();
    let Some(set) = work.read::<Set>(key)? else {
        return Ok(Vec::new());
    };
    let taken = distinct(set, count, || mount.random());
    take(work, key, "spop", taken.iter().map(|member| &**member))?;
    Ok(taken)
}

/// Up to `count` distinct random members.
pub(crate) fn distinct(set: &Set, count: usize, mut random: impl FnMut() -> u64) -> Vec<Bytes> {
    let copy = |member: std::borrow::Cow<'_, [u8]>| Bytes::from(member.into_owned());
    // Few of many are drawn until enough differ; else all are shuffled.
    if count.saturating_mul(3) < set.len() {
        let mut drawn: HashSet<Bytes, ahash::RandomState> = HashSet::default();
        let mut found = Vec::with_capacity(count);
        while found.len() < count {
            let Some(member) = set.pick(random()).map(copy) else {
                break;
            };
            if drawn.insert(member.clone()) {
                found.push(member);
            }
        }
        return found;
    }
    let mut all: Vec<Bytes> = set.iter().map(copy).collect();
    for at in 0..count.min(all.len()) {
        let left = (all.len() - at) as u64;
        let other = at + usize::try_from(random() % left).unwrap_or(0);
        all.swap(at, other);
    }
    all.truncate(count);
    all
}

pub(super) fn members(work: &mut Work<'_>, key: &[u8]) -> Result<Vec<Bytes>> {
    let set = work.read::<Set>(key)?;
    let copy = |member: std::borrow::Cow<'_, [u8]>| Bytes::from(member.into_owned());
    Ok(set.map_or_else(Vec::new, |set| set.iter().map(copy).collect()))
}

/// Union, intersection or difference, in no particular order.
///
/// # Complexity
///
/// Intersection: O(sets times the smallest); union: O(all members); difference: for each set, O(the smaller of it
/// and of what is left).
pub(crate) fn combine(work: &mut Work<'_>, algebra: Algebra, keys: &[&[u8]]) -> Result<Vec<Bytes>> {
    for key in keys {
        work.expect_kind(key, Kind::Set)?;
    }
    match algebra {
        Algebra::Union => {
            let mut found: HashSet<Bytes, ahash::RandomState> = HashSet::default();
            for key in keys {
                found.extend(members(work, key)?);
            }
            Ok(found.into_iter().collect())
        }
        Algebra::Inter => intersect(work, keys),
        Algebra::Diff => {
            let Some((first, others)) = keys.split_first() else {
                return Ok(Vec::new());
            };
            let mut left: HashSet<Bytes, ahash::RandomState> =
                members(work, first)?.into_iter().collect();
            for key in others {
                let Some(set) = work.read::<Set>(key)? else {
                    continue;
                };
                if set.len() < left.len() {
                    for member in set.iter() {
                        left.remove(&*member);
                    }
                } else {
                    left.retain(|member| !set.contains(member));
                }
            }
            Ok(left.into_iter().collect())
        }
    }
}

/// Members that all sets have.
fn intersect(work: &mut Work<'_>, keys: &[&[u8]]) -> Result<Vec<Bytes>> {
    let mut smallest: Option<(usize, &[u8])> = None;
    for key in keys {
        let len = work.read::<Set>(key)?.map_or(0, Set::len);
        if smallest.is_none_or(|(least, _)| len < least) {
            smallest = Some((len, key));
        }
    }
    let Some((_, smallest)) = smallest.filter(|(len, _)| *len > 0) else {
        return Ok(Vec::new());
    };
    let mut found = members(work, smallest)?;
    for key in keys {
        let set = work.read::<Set>(key)?;
        found.retain(|member| set.is_some_and(|set| set.contains(member)));
    }
    Ok(found)
}

/// Replaces `key` by a set of these members, which `event` names, or removes it when there are none.
pub(crate) fn store(
    work: &mut Work<'_>,
    key: &[u8],
    event: &'static str,
    members: &[Bytes],
) -> Result<()> {
    check_size(key)?;
    if members.is_empty() {
        return super::keys::delete(work, key).map(drop);
    }
    let mut set = Set::create(&work.engine.hashers);
    for member in members {
        set.add(member);
    }
    work.put(key, set.into_object(), 0)?;
    work.notify(Class::SET, event, key);
    Ok(())
}
