//! What commands do, on typed arguments and one unit of work; the typed API and the command table share it.
//!
//! Invariant: a function that returns an error has changed nothing, except that the whole work may have
//! to start over ([`crate::Error::Restart`]), which undoes everything.

pub(crate) mod bits;
pub(crate) mod content;
pub(crate) mod dump;
pub(crate) mod field_ttl;
pub(crate) mod geo;
pub(crate) mod hash;
pub(crate) mod hll;
pub(crate) mod increx;
pub(crate) mod json;
pub(crate) mod keys;
pub(crate) mod lcs;
pub(crate) mod list;
pub(crate) mod object;
pub(crate) mod set;
pub(crate) mod sort;
pub(crate) mod stream;
pub(crate) mod stream_claim;
pub(crate) mod stream_group;
pub(crate) mod stream_lag;
pub(crate) mod string;
pub(crate) mod zset;

use crate::error::{Error, Result};
use crate::options::Deadline;
use crate::value::STRING_BYTES_MAX;

/// Refuses keys and values over the documented limit.
pub(crate) fn check_size(bytes: &[u8]) -> Result<()> {
    if bytes.len() > STRING_BYTES_MAX {
        Err(Error::TooLarge)
    } else {
        Ok(())
    }
}

/// The absolute deadline in ms that `deadline` stands for; `kept` is the present one.
///
/// `command` is named in the refusal of a deadline that is zero or out of range.
pub(crate) fn absolute(deadline: Deadline, now: u64, kept: u64, command: &str) -> Result<u64> {
    let refused = || Error::refused_with(format!("ERR invalid expire time in '{command}' command"));
    let at = match deadline {
        Deadline::Clear => return Ok(0),
        Deadline::Keep => return Ok(kept),
        Deadline::In(0) | Deadline::At(0) => return Err(refused()),
        Deadline::In(span) => now.checked_add(span).ok_or_else(refused)?,
        Deadline::At(at) => at,
    };
    if i64::try_from(at).is_err() {
        Err(refused())
    } else {
        Ok(at)
    }
}
