//! Values as bytes in Redis' own format.

use super::keys;
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::keyspace::work::event::Class;
use crate::rdb::{self, Refused};

/// The value of a key; `None` without one.
pub(crate) fn dump(work: &mut Work<'_>, key: &[u8]) -> Result<Option<Vec<u8>>> {
    let now = work.now;
    let Some(value) = work.value(key)? else {
        return Ok(None);
    };
    match rdb::value(value, now) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(rdb::dump(&value))),
        Err(kind) => Err(Error::refused_with(format!(
            "ERR values of type {} have no dump format",
            kind.name()
        ))),
    }
}

/// Sets a key, whatever it holds, to a value with a deadline in ms, or none (0); whether it exists then, because the deadline
/// may have passed, and the value may have nothing left.
pub(crate) fn restore(
    work: &mut Work<'_>,
    key: &[u8],
    payload: &[u8],
    deadline: u64,
) -> Result<bool> {
    let value = rdb::restore(payload).map_err(|refused| match refused {
        Refused::Footer => Error::refused("ERR DUMP payload version or checksum are wrong"),
        Refused::Value => Error::refused("ERR Bad data format"),
    })?;
    let fresh = rdb::fresh(&value, &work.engine.hashers, work.now)
        .map_err(|_| Error::refused("ERR Bad data format"))?;
    if (deadline != 0 && deadline <= work.now) || fresh.is_empty_collection() {
        if work.remove(key)? {
            work.notify(Class::GENERIC, "del", key);
        }
        return Ok(false);
    }
    keys::as_new(work, key, |work| work.put(key, fresh, deadline))?;
    Ok(true)
}
