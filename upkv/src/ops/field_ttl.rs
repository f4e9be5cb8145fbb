//! Deadlines of hash fields, and the commands that read or write fields together with them.

use std::collections::HashSet;

use bytes::Bytes;

use super::check_size;
use super::hash::check_pairs;
use super::keys::ExpireIf;
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::keyspace::work::event::Class;

/// Latest deadline of a field, in ms since the Unix epoch.
pub(crate) const DEADLINE_MAX: u64 = (1 << 46) - 1;

/// What setting a field's deadline did. The numbers are those that HEXPIRE replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(crate) enum FieldExpired {
    NoField = -2,
    /// The condition was not met.
    Refused = 0,
    Set = 1,
    /// The time had passed: the field was removed.
    Removed = 2,
}

/// Sets the deadline of fields that meet a condition.
pub(crate) fn expire_at(
    work: &mut Work<'_>,
    key: &[u8],
    fields: &[&[u8]],
    at: u64,
    when: ExpireIf,
) -> Result<Vec<FieldExpired>> {
    let now = work.now;
    let Some(mut edit) = work.edit_hash(key, false)? else {
        return Ok(vec![FieldExpired::NoField; fields.len()]);
    };
    let mut done = Vec::with_capacity(fields.len());
    for field in fields {
        let present = edit.deadline(field);
        done.push(if edit.get(field).is_none() {
            FieldExpired::NoField
        } else if !when.allows((present != 0).then_some(present), at) {
            FieldExpired::Refused
        } else if at <= now {
            edit.remove(field);
            FieldExpired::Removed
        } else {
            edit.set_deadline(field, at);
            FieldExpired::Set
        });
    }
    if done.contains(&FieldExpired::Set) {
        work.notify(Class::HASH, "hexpire", key);
    }
    if done.contains(&FieldExpired::Removed) {
        work.notify(Class::HASH, "hdel", key);
        work.drop_if_empty(key)?;
    }
    Ok(done)
}

/// The deadlines of fields: `None` without such a field, 0 without a deadline.
pub(crate) fn deadlines(
    work: &mut Work<'_>,
    key: &[u8],
    fields: &[&[u8]],
) -> Result<Vec<Option<u64>>> {
    let hash = work.hash(key)?;
    let of = |field: &&[u8]| hash.and_then(|hash| hash.deadline(field));
    Ok(fields.iter().map(of).collect())
}

/// Removes deadlines; as [`deadlines`], what there was before.
pub(crate) fn persist(
    work: &mut Work<'_>,
    key: &[u8],
    fields: &[&[u8]],
) -> Result<Vec<Option<u64>>> {
    let Some(mut edit) = work.edit_hash(key, false)? else {
        return Ok(vec![None; fields.len()]);
    };
    let mut changed = false;
    let mut before = Vec::with_capacity(fields.len());
    for field in fields {
        let deadline = edit.get(field).map(|_| edit.deadline(field));
        changed |= edit.set_deadline(field, 0);
        before.push(deadline);
    }
    if changed {
        work.notify(Class::HASH, "hpersist", key);
    }
    Ok(before)
}

/// What HGETEX does to the deadlines of the fields it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    Leave,
    Persist,
    At(u64),
}

fn read(work: &mut Work<'_>, key: &[u8], fields: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
    let hash = work.hash(key)?;
    let of = |field: &&[u8]| hash.and_then(|hash| hash.get(field));
    let found = fields
        .iter()
        .map(|field| of(field).map(Bytes::copy_from_slice));
    Ok(found.collect())
}

/// Reads fields and changes their deadlines.
pub(crate) fn get_ex(
    work: &mut Work<'_>,
    key: &[u8],
    fields: &[&[u8]],
    touch: Touch,
) -> Result<Vec<Option<Bytes>>> {
    let mut values = read(work, key, fields)?;
    if values.iter().any(Option::is_some) {
        match touch {
            Touch::Leave => {}
            Touch::Persist => drop(persist(work, key, fields)?),
            Touch::At(at) => {
                expire_at(work, key, fields, at, ExpireIf::default())?;
                let mut seen = HashSet::new();
                for (field, value) in fields.iter().zip(&mut values) {
                    // A field that is gone at once is read once.
                    if at <= work.now && !seen.insert(field) {
                        *value = None;
                    }
                }
            }
        }
    }
    Ok(values)
}

/// Reads and removes fields.
pub(crate) fn get_del(
    work: &mut Work<'_>,
    key: &[u8],
    fields: &[&[u8]],
) -> Result<Vec<Option<Bytes>>> {
    let mut values = read(work, key, fields)?;
    if values.iter().any(Option::is_some) {
        let mut edit = work.edit_hash(key, false)?.expect("it has fields");
        for (field, value) in fields.iter().zip(&mut values) {
            // A field named twice is read once.
            if !edit.remove(field) {
                *value = None;
            }
        }
        work.notify(Class::HASH, "hdel", key);
        work.drop_if_empty(key)?;
    }
    Ok(values)
}

/// When HSETEX takes place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SetIf {
    #[default]
    Always,
    /// None of the fields exists.
    AllAbsent,
    /// All of the fields exist.
    AllPresent,
}

/// The deadlines that HSETEX leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FieldDeadline {
    #[default]
    Clear,
    Keep,
    At(u64),
}

/// Sets fields with a deadline, all or none; whether they were set.
pub(crate) fn set_ex<'f>(
    work: &mut Work<'_>,
    key: &[u8],
    pairs: impl IntoIterator<Item = (&'f [u8], &'f [u8])> + Clone,
    when: SetIf,
    deadline: FieldDeadline,
) -> Result<bool> {
    check_size(key)?;
    check_pairs(pairs.clone())?;
    if pairs.clone().into_iter().next().is_none() {
        return Ok(false);
    }
    let hash = work.hash(key)?;
    let exists = |(field, _): (&[u8], _)| hash.is_some_and(|hash| hash.get(field).is_some());
    let met = match when {
        SetIf::Always => true,
        SetIf::AllAbsent => !pairs.clone().into_iter().any(exists),
        SetIf::AllPresent => pairs.clone().into_iter().all(exists),
    };
    if !met {
        return Ok(false);
    }
    if matches!(deadline, FieldDeadline::At(at) if at <= work.now) {
        let fields = pairs.into_iter().map(|(field, _)| field);
        super::hash::remove(work, key, fields)?;
        return Ok(true);
    }
    let mut edit = work.edit_hash(key, true)?.expect("created when missing");
    for (field, value) in pairs {
        match deadline {
            FieldDeadline::Keep => edit.set_kept(field, value),
            _ => drop(edit.set(field, value)),
        }
        if let FieldDeadline::At(at) = deadline {
            edit.set_deadline(field, at);
        }
    }
    work.notify(Class::HASH, "hset", key);
    if matches!(deadline, FieldDeadline::At(_)) {
        work.notify(Class::HASH, "hexpire", key);
    }
    Ok(true)
}

/// Refuses a deadline later than a field can have.
pub(crate) fn check_deadline(at: Option<u64>, command: &str) -> Result<u64> {
    at.filter(|at| *at <= DEADLINE_MAX).ok_or_else(|| {
        Error::refused_with(format!("ERR invalid expire time in '{command}' command"))
    })
}
