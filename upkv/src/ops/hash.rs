//! Hashes: changes of fields. Deadlines of fields are in [`super::field_ttl`].

use super::check_size;
use crate::error::{Error, Result};
use crate::keyspace::work::event::Class;
use crate::keyspace::work::{Editor, Work};
use crate::number::{self, DecimalError};
use crate::value::hash::Hash;

/// Refuses fields and values over the documented limit.
pub(super) fn check_pairs<'f>(pairs: impl IntoIterator<Item = (&'f [u8], &'f [u8])>) -> Result<()> {
    pairs.into_iter().try_for_each(|(field, value)| {
        check_size(field)?;
        check_size(value)
    })
}

/// Sets fields; the number that are new.
pub(crate) fn set<'f>(
    work: &mut impl Editor,
    key: &[u8],
    pairs: impl IntoIterator<Item = (&'f [u8], &'f [u8])> + Clone,
) -> Result<usize> {
    check_size(key)?;
    check_pairs(pairs.clone())?;
    if pairs.clone().into_iter().next().is_none() {
        return Ok(0);
    }
    let edit = work.edit_of::<Hash>(key, true)?;
    let mut edit = edit.expect("created when missing");
    let new = pairs
        .into_iter()
        .filter(|(field, value)| !edit.set(field, value))
        .count();
    work.notify(Class::HASH, "hset", key);
    Ok(new)
}

/// Sets a field that does not exist; whether it was set.
pub(crate) fn set_if_absent(
    work: &mut Work<'_>,
    key: &[u8],
    field: &[u8],
    value: &[u8],
) -> Result<bool> {
    if work
        .hash(key)?
        .is_some_and(|hash| hash.get(field).is_some())
    {
        return Ok(false);
    }
    set(work, key, [(field, value)]).map(|_| true)
}

/// Removes fields; the number that existed.
pub(crate) fn remove<'f>(
    work: &mut Work<'_>,
    key: &[u8],
    fields: impl IntoIterator<Item = &'f [u8]>,
) -> Result<usize> {
    let Some(mut edit) = work.edit_hash(key, false)? else {
        return Ok(0);
    };
    let removed = fields
        .into_iter()
        .filter(|field| edit.remove(field))
        .count();
    if removed > 0 {
        work.notify(Class::HASH, "hdel", key);
        work.drop_if_empty(key)?;
    }
    Ok(removed)
}

/// Sets the result of a sum: the field keeps its deadline.
fn set_sum(work: &mut Work<'_>, key: &[u8], field: &[u8], text: &[u8]) -> Result<()> {
    check_size(key)?;
    check_size(field)?;
    let mut edit = work.edit_hash(key, true)?.expect("created when missing");
    edit.set_kept(field, text);
    Ok(())
}

/// Adds to a field that holds an integer; the sum.
pub(crate) fn incr_by(work: &mut Work<'_>, key: &[u8], field: &[u8], change: i64) -> Result<i64> {
    let present = match work.hash(key)?.and_then(|hash| hash.get(field)) {
        None => 0,
        Some(text) => {
            let not_integer = || Error::refused("ERR hash value is not an integer");
            number::parse_i64(text).ok_or_else(not_integer)?
        }
    };
    let sum = present.checked_add(change).ok_or(Error::Overflow)?;
    set_sum(work, key, field, sum.to_string().as_bytes())?;
    work.notify(Class::HASH, "hincrby", key);
    Ok(sum)
}

/// Adds to a field that holds a decimal; the new text.
pub(crate) fn incr_by_float(
    work: &mut Work<'_>,
    key: &[u8],
    field: &[u8],
    change: &[u8],
) -> Result<String> {
    let present = work
        .hash(key)?
        .and_then(|hash| hash.get(field))
        .unwrap_or(b"0");
    if number::parse_f64(present).is_none() {
        return Err(Error::refused("ERR hash value is not a float"));
    }
    let sum = number::decimal_add(present, change).map_err(|error| match error {
        DecimalError::NotAFloat => Error::NotFloat,
        DecimalError::NotFinite => Error::refused("ERR increment would produce NaN or Infinity"),
    })?;
    set_sum(work, key, field, sum.as_bytes())?;
    work.notify(Class::HASH, "hincrbyfloat", key);
    Ok(sum)
}
