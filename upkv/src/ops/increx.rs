//! Counters with bounds: what INCREX does to a value and to its deadline.
//!
//! Invariant: a step that its bounds forbid changes neither the value nor the deadline.

use bytes::Bytes;

use super::string::{self, expire_at};
use super::{absolute, check_size, keys};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::keyspace::work::event::Class;
use crate::number::{self, DecimalError};
use crate::options::Deadline;
use crate::value::{Fresh, Object};

/// By how much to count, and between which bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step<'a> {
    Int {
        by: i64,
        least: i64,
        most: i64,
    },
    /// Texts, because decimals are added exactly; a bound that is not there is the type's.
    Float {
        by: &'a [u8],
        least: Option<&'a [u8]>,
        most: Option<&'a [u8]>,
    },
}

/// What else INCREX asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct How {
    /// Whether a step beyond a bound goes up to it.
    pub(crate) saturate: bool,
    /// The deadline to set; `None` leaves it.
    pub(crate) deadline: Option<Deadline>,
    /// Whether only a key without deadline gets one.
    pub(crate) if_no_deadline: bool,
}

/// The value after a step, and by how much it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stepped {
    Int(i64, i64),
    Float(String, String),
}

/// Counts, unless the bounds forbid it.
pub(crate) fn step(work: &mut Work<'_>, key: &[u8], step: Step<'_>, how: How) -> Result<Stepped> {
    check_size(key)?;
    let now = work.now;
    let at = how
        .deadline
        .map(|deadline| absolute(deadline, now, 0, "increx"))
        .transpose()?;
    let (event, stepped) = match step {
        Step::Int { by, least, most } => {
            let before = string::integer(work, key)?;
            let Some(after) = int_step(before, by, least, most, how.saturate)? else {
                return Ok(Stepped::Int(before, 0));
            };
            let stepped = Stepped::Int(after, after - before);
            ("incrby", stepped)
        }
        Step::Float { by, least, most } => {
            let value = string::get(work, key)?.unwrap_or_else(|| Bytes::from_static(b"0"));
            let before = number::decimal_add(&value, b"0").map_err(|error| match error {
                DecimalError::NotAFloat => Error::NotFloat,
                DecimalError::NotFinite => Error::refused("ERR value cannot be Infinity"),
            })?;
            let Some(after) = float_step(&before, by, least, most, how.saturate)? else {
                return Ok(Stepped::Float(before, "0".to_owned()));
            };
            let change = number::decimal_add(after.as_bytes(), negated(&before).as_bytes());
            let change = change.map_err(|_| overflow())?;
            ("incrbyfloat", Stepped::Float(after, change))
        }
    };
    let kept = expire_at(work, key)?;
    let at = at.filter(|_| !(how.if_no_deadline && kept != 0));
    if at.is_some_and(|at| at != 0 && at <= now) {
        keys::delete(work, key)?;
        return Ok(stepped);
    }
    let value = match &stepped {
        Stepped::Int(after, _) => Object::Int(*after).into(),
        Stepped::Float(after, _) => Fresh::plain(after.as_bytes()),
    };
    work.put(key, value, at.unwrap_or(kept))?;
    work.notify(Class::STRING, event, key);
    match at {
        Some(0) if kept != 0 => work.notify(Class::GENERIC, "persist", key),
        Some(1..) => work.notify(Class::GENERIC, "expire", key),
        _ => {}
    }
    Ok(stepped)
}

#[cold]
fn overflow() -> Error {
    Error::refused("ERR applied increment would overflow")
}

/// The value after a step; `None` if it would leave the bounds.
fn int_step(before: i64, by: i64, least: i64, most: i64, saturate: bool) -> Result<Option<i64>> {
    let after = i128::from(before) + i128::from(by);
    let bounded = after.clamp(least.into(), most.into());
    if bounded != after && !saturate {
        return Ok(None);
    }
    let after = i64::try_from(bounded).map_err(|_| overflow())?;
    after.checked_sub(before).ok_or_else(overflow)?;
    Ok(Some(after))
}

/// As [`int_step`] for decimals.
fn float_step(
    before: &str,
    by: &[u8],
    least: Option<&[u8]>,
    most: Option<&[u8]>,
    saturate: bool,
) -> Result<Option<String>> {
    let value = |text: &[u8]| number::parse_f64(text).ok_or(Error::NotFloat);
    let sum = number::decimal_add(before.as_bytes(), by);
    // A sum that no double holds is beyond the largest one, on the side of the step.
    let reached = match &sum {
        Ok(sum) => value(sum.as_bytes())?,
        Err(_) => f64::INFINITY.copysign(value(by)?),
    };
    let lowest = least.map_or(Ok(f64::MIN), value)?;
    let highest = most.map_or(Ok(f64::MAX), value)?;
    let bound = if reached < lowest.max(f64::MIN) {
        least
            .filter(|_| lowest.is_finite())
            .map_or_else(|| f64::MIN.to_string().into(), <[u8]>::to_vec)
    } else if reached > highest.min(f64::MAX) {
        most.filter(|_| highest.is_finite())
            .map_or_else(|| f64::MAX.to_string().into(), <[u8]>::to_vec)
    } else {
        return Ok(sum.ok());
    };
    if !saturate {
        return Ok(None);
    }
    let bound = number::decimal_add(&bound, b"0");
    bound.map(Some).map_err(|_| Error::NotFloat)
}

/// The text of the opposite number.
fn negated(text: &str) -> String {
    text.strip_prefix('-')
        .map_or_else(|| format!("-{text}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_stop_at_bounds() {
        let all = (i64::MIN, i64::MAX);
        for (before, by, (least, most), saturate, after) in [
            (11, 1, (0, 12), false, Some(12)),
            (12, 1, (0, 12), false, None),
            (12, 50, (0, 20), true, Some(20)),
            (20, -50, (3, 30), true, Some(3)),
            (20, 1, (i64::MIN, 10), true, Some(10)),
            (i64::MAX, 1, all, false, None),
            (i64::MAX, 1, all, true, Some(i64::MAX)),
            (8, i64::MIN, all, true, Some(i64::MIN + 8)),
        ] {
            let found = int_step(before, by, least, most, saturate).expect("fits");
            assert_eq!(found, after, "{before} {by} {least} {most}");
        }
        assert!(int_step(i64::MIN, 5, 0, i64::MAX, true).is_err());
    }

    #[test]
    fn decimals_stop_at_bounds() {
        let step = |before, by: &str, least: Option<&str>, most: Option<&str>, saturate| {
            let (least, most) = (least.map(str::as_bytes), most.map(str::as_bytes));
            float_step(before, by.as_bytes(), least, most, saturate).expect("decimals")
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(step("1.5", "0.1", None, None, false), text("1.6"));
        assert_eq!(step("1.6", "0.1", None, Some("1.65"), false), None);
        assert_eq!(step("1.6", "0.1", None, Some("1.65"), true), text("1.65"));
        assert_eq!(step("1", "-9", Some("1e-7"), None, true), text("0.0000001"));
        let most = step("1", "1.7e308", None, None, false).expect("fits");
        assert_eq!(step(&most, "1.7e308", None, Some("inf"), false), None);
        let largest = number::decimal_add(f64::MAX.to_string().as_bytes(), b"0").ok();
        assert_eq!(step(&most, "1.7e308", None, Some("inf"), true), largest);
    }
}
