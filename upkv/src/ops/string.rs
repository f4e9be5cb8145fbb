//! Strings and counters.

use bytes::Bytes;

use super::keys;
use super::{absolute, check_size};
use crate::error::{Error, Result};
use crate::keyspace::entry::Entry;
use crate::keyspace::work::Work;
use crate::keyspace::work::event::Class;
use crate::number::{self, DecimalError};
use crate::options::{Condition, Deadline};
use crate::value::{Fresh, Kind, Object, Seen, text};

/// What a SET asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Set<'c> {
    pub(crate) condition: SetIf<'c>,
    pub(crate) deadline: Deadline,
    /// Whether the old value is wanted; it must then be a string.
    pub(crate) get: bool,
}

/// The condition of a SET, including those only the command offers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SetIf<'c> {
    Plain(Condition),
    /// The key holds exactly these bytes.
    Equals(&'c [u8]),
    /// The key is missing or holds other bytes.
    Differs(&'c [u8]),
    /// The key holds bytes with this digest.
    DigestEquals(&'c [u8]),
    /// The key is missing or holds bytes with another digest.
    DigestDiffers(&'c [u8]),
}

impl SetIf<'_> {
    /// Whether a value meets a condition on its bytes; conditions on the key alone are always met.
    pub(crate) fn is_met(self, value: Option<&[u8]>) -> bool {
        let is = |expected: &[u8]| {
            value.is_some_and(|value| digest(value).as_bytes().eq_ignore_ascii_case(expected))
        };
        match self {
            Self::Plain(_) => true,
            Self::Equals(expected) => value == Some(expected),
            Self::Differs(unwanted) => value != Some(unwanted),
            Self::DigestEquals(expected) => is(expected),
            Self::DigestDiffers(unwanted) => !is(unwanted),
        }
    }
}

/// The XXH3 hash of a string, in hexadecimal.
pub(crate) fn digest(value: &[u8]) -> String {
    format!("{:016x}", twox_hash::XxHash3_64::oneshot(value))
}

/// What a SET did.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) written: bool,
    pub(crate) previous: Option<Bytes>,
}

/// The string at `key`.
pub(crate) fn get(work: &mut Work<'_>, key: &[u8]) -> Result<Option<Bytes>> {
    work.expect_kind(key, Kind::String)?;
    match work.value(key)? {
        None => Ok(None),
        Some(value) => value.string_bytes().map(Some).ok_or(Error::WrongType),
    }
}

pub(crate) fn set(work: &mut Work<'_>, key: &[u8], value: &[u8], how: Set<'_>) -> Result<Written> {
    check_size(key)?;
    check_size(value)?;
    let expire_at = absolute(how.deadline, work.now, expire_at(work, key)?, "set")?;
    let by_value = !matches!(how.condition, SetIf::Plain(_));
    let previous = if how.get || by_value {
        get(work, key)?
    } else {
        None
    };
    let met = match how.condition {
        SetIf::Plain(Condition::Always) => true,
        SetIf::Plain(Condition::IfAbsent) => work.entry(key)?.is_none(),
        SetIf::Plain(Condition::IfPresent) => work.entry(key)?.is_some(),
        compared => compared.is_met(previous.as_deref()),
    };
    if met {
        put_or_expire(work, key, value, expire_at)?;
        if matches!(how.deadline, Deadline::In(_) | Deadline::At(_)) && expire_at > work.now {
            work.notify(Class::GENERIC, "expire", key);
        }
    }
    Ok(Written {
        written: met,
        previous,
    })
}

/// Sets a value whose deadline may have passed already; then the key is gone.
fn put_or_expire(work: &mut Work<'_>, key: &[u8], value: &[u8], expire_at: u64) -> Result<()> {
    if expire_at != 0 && expire_at <= work.now {
        keys::delete(work, key).map(drop)
    } else {
        work.put(key, Fresh::string(value), expire_at)?;
        work.notify(Class::STRING, "set", key);
        Ok(())
    }
}

/// The deadline of a live key; 0 without one.
pub(crate) fn expire_at(work: &mut Work<'_>, key: &[u8]) -> Result<u64> {
    Ok(work.entry(key)?.map_or(0, Entry::expire_at))
}

/// Reads and removes.
pub(crate) fn get_del(work: &mut Work<'_>, key: &[u8]) -> Result<Option<Bytes>> {
    let value = get(work, key)?;
    if value.is_some() {
        keys::delete(work, key)?;
    }
    Ok(value)
}

/// Reads and changes the deadline: `None` leaves it.
pub(crate) fn get_ex(
    work: &mut Work<'_>,
    key: &[u8],
    deadline: Option<Deadline>,
) -> Result<Option<Bytes>> {
    let now = work.now;
    let at = deadline
        .map(|deadline| absolute(deadline, now, 0, "getex"))
        .transpose()?;
    let value = get(work, key)?;
    if let (Some(_), Some(at)) = (&value, at) {
        if at == 0 {
            keys::persist(work, key)?;
        } else if at <= now {
            keys::delete(work, key)?;
        } else {
            work.set_expire_at(key, at)?;
            work.notify(Class::GENERIC, "expire", key);
        }
    }
    Ok(value)
}

/// The integer at `key`, 0 if it is missing.
pub(super) fn integer(work: &mut Work<'_>, key: &[u8]) -> Result<i64> {
    work.expect_kind(key, Kind::String)?;
    match work.value(key)? {
        None => Ok(0),
        Some(Seen::Object(Object::Int(value))) => Ok(*value),
        Some(value) => {
            let mut digits = itoa::Buffer::new();
            let text = value.text(&mut digits);
            let text = text.map(number::parse_i64).ok_or(Error::WrongType)?;
            text.ok_or(Error::NotInteger)
        }
    }
}

pub(crate) fn incr_by(work: &mut Work<'_>, key: &[u8], change: i64) -> Result<i64> {
    check_size(key)?;
    let value = integer(work, key)?
        .checked_add(change)
        .ok_or(Error::Overflow)?;
    let expire_at = expire_at(work, key)?;
    work.put(key, Object::Int(value), expire_at)?;
    work.notify(Class::STRING, "incrby", key);
    Ok(value)
}

/// Adds a decimal text; the new text.
pub(crate) fn incr_by_float(work: &mut Work<'_>, key: &[u8], change: &[u8]) -> Result<Bytes> {
    check_size(key)?;
    let value = get(work, key)?.unwrap_or_else(|| Bytes::from_static(b"0"));
    if number::parse_f64(&value).is_none() {
        return Err(Error::NotFloat);
    }
    let sum = number::decimal_add(&value, change).map_err(|error| match error {
        DecimalError::NotAFloat => Error::NotFloat,
        DecimalError::NotFinite => Error::refused("ERR increment would produce NaN or Infinity"),
    })?;
    let sum = Bytes::from(sum.into_bytes());
    let expire_at = expire_at(work, key)?;
    work.put(key, Fresh::plain(&sum), expire_at)?;
    work.notify(Class::STRING, "incrbyfloat", key);
    Ok(sum)
}

/// Appends; the new length.
pub(crate) fn append(work: &mut Work<'_>, key: &[u8], suffix: &[u8]) -> Result<usize> {
    let at = len(work, key)?;
    if at == 0 && work.entry(key)?.is_none() {
        check_size(key)?;
        check_size(suffix)?;
        work.put(key, Fresh::string(suffix), 0)?;
        work.notify(Class::STRING, "append", key);
        return Ok(suffix.len());
    }
    let len = write(work, key, at, 0, suffix)?;
    work.notify(Class::STRING, "append", key);
    Ok(len)
}

/// Replaces `removed` bytes at `at` by `bytes`, padding with zero bytes; the new length. Keeps the deadline.
///
/// # Complexity
///
/// O(bytes changed) in memory and in the log, unless bytes move.
pub(crate) fn write(
    work: &mut Work<'_>,
    key: &[u8],
    at: usize,
    removed: usize,
    bytes: &[u8],
) -> Result<usize> {
    check_size(key)?;
    let most = work.engine.server.config.string_bytes_max();
    let before = len(work, key)?;
    let start = at.min(before);
    let removed = removed.min(before - start);
    let after = (before - removed)
        .checked_add(at - start)
        .and_then(|len| len.checked_add(bytes.len()))
        .filter(|len| *len <= most)
        .ok_or(Error::TooLarge)?;
    if before >= text::SPLICE_BYTES_MIN && after >= text::SPLICE_BYTES_MIN {
        work.splice(key, at, removed, bytes)?;
        return Ok(after);
    }
    let value = get(work, key)?.unwrap_or_default();
    let mut content = Vec::with_capacity(after);
    content.extend_from_slice(&value[..start]);
    content.resize(at, 0);
    content.extend_from_slice(bytes);
    content.extend_from_slice(&value[start + removed..]);
    let expire_at = expire_at(work, key)?;
    work.put(key, Object::shared(content.into()), expire_at)?;
    Ok(after)
}

pub(crate) fn len(work: &mut Work<'_>, key: &[u8]) -> Result<usize> {
    work.expect_kind(key, Kind::String)?;
    let entry = work.entry(key)?;
    Ok(entry
        .and_then(|entry| entry.value().string_len())
        .unwrap_or(0))
}

/// The bytes from `start` to `end` inclusive; negative positions count from the end.
pub(crate) fn range(work: &mut Work<'_>, key: &[u8], start: i64, end: i64) -> Result<Bytes> {
    let Some(value) = get(work, key)? else {
        return Ok(Bytes::new());
    };
    Ok(clamp_range(value.len(), start, end).map_or(Bytes::new(), |range| value.slice(range)))
}

/// The part of `0..len` that an inclusive range with negative positions covers, if any.
fn clamp_range(len: usize, start: i64, end: i64) -> Option<std::ops::Range<usize>> {
    if start < 0 && end < 0 && start > end {
        return None;
    }
    let len = i64::try_from(len).ok()?;
    let from_end = |at: i64| {
        if at < 0 {
            at.saturating_add(len).max(0)
        } else {
            at
        }
    };
    let (start, end) = (from_end(start), from_end(end).min(len - 1));
    if start > end || len == 0 {
        return None;
    }
    Some(usize::try_from(start).ok()?..usize::try_from(end).ok()? + 1)
}

/// Overwrites from `offset` on, padding with zero bytes; the new length.
pub(crate) fn set_range(
    work: &mut Work<'_>,
    key: &[u8],
    offset: i64,
    bytes: &[u8],
) -> Result<usize> {
    check_size(key)?;
    let offset =
        usize::try_from(offset).map_err(|_| Error::refused("ERR offset is out of range"))?;
    let before = len(work, key)?;
    if bytes.is_empty() {
        return Ok(before);
    }
    let len = write(work, key, offset, bytes.len(), bytes)?;
    work.notify(Class::STRING, "setrange", key);
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::clamp_range;

    #[test]
    fn ranges_clamp_as_in_redis() {
        for (start, end, expected) in [
            (0, -1, Some(0..5)),
            (1, 2, Some(1..3)),
            (-3, -1, Some(2..5)),
            (-1, -3, None),
            (-100, 2, Some(0..3)),
            (-100, -50, Some(0..1)),
            (3, 100, Some(3..5)),
            (5, 10, None),
            (i64::MIN, i64::MAX, Some(0..5)),
        ] {
            assert_eq!(clamp_range(5, start, end), expected, "{start} {end}");
        }
        assert_eq!(clamp_range(0, 0, -1), None);
    }
}
