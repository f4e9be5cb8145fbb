//! Chapter: values as bytes in Redis' own format.

use super::args::{self, Args};
use super::reply::Reply;
use super::row::{Command, ONE, data, rows};
use crate::error::{Error, Result};
use crate::keyspace::access::Access;
use crate::keyspace::work::Work;
use crate::keyspace::work::event::Class;
use crate::ops::{check_size, keys};
use crate::rdb::{self, Refused};

pub(super) static ROWS: &[Command] = rows! { "generic";
    "dump" 2 READ, ONE, data(dump), "2.6.0", "O(n) in the value",
        "Returns a value in Redis' format";
    "restore" -4 WRITE | GROW | DANGEROUS, ONE, data(restore), "2.6.0", "O(n) in the value",
        "Sets a key to a value in Redis' format";
};

fn dump(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let now = work.now;
    let Some(value) = work.value(args[1])? else {
        return Ok(Reply::Null);
    };
    match rdb::value(value, now) {
        Ok(value) if value.is_empty() => Ok(Reply::Null),
        Ok(value) => Ok(Reply::bulk(bytes::Bytes::from(rdb::dump(&value)))),
        Err(kind) => Err(Error::refused_with(format!(
            "ERR values of type {} have no dump format",
            kind.name()
        ))),
    }
}

/// What RESTORE is told beside key and payload.
#[derive(Default)]
struct How {
    replace: bool,
    absolute: bool,
    idle_seconds: Option<u64>,
    frequency: Option<u8>,
}

fn options(rest: &Args<'_>) -> Result<How> {
    let mut how = How::default();
    let mut at = 0;
    while let Some(option) = rest.get(at) {
        let value = rest.get(at + 1);
        at += 1;
        match value {
            _ if args::is(option, "REPLACE") => how.replace = true,
            _ if args::is(option, "ABSTTL") => how.absolute = true,
            Some(value) if args::is(option, "IDLETIME") && how.frequency.is_none() => {
                let negative = |_| Error::refused("ERR Invalid IDLETIME value, must be >= 0");
                how.idle_seconds = Some(u64::try_from(args::int(value)?).map_err(negative)?);
                at += 1;
            }
            Some(value) if args::is(option, "FREQ") && how.idle_seconds.is_none() => {
                let outside = |_| Error::refused("ERR Invalid FREQ value, must be >= 0 and <= 255");
                how.frequency = Some(u8::try_from(args::int(value)?).map_err(outside)?);
                at += 1;
            }
            _ => return Err(Error::syntax()),
        }
    }
    Ok(how)
}

fn restore(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let (key, payload) = (args[1], args[3]);
    let how = options(&args[4..])?;
    check_size(key)?;
    if !how.replace && work.entry(key)?.is_some() {
        return Err(Error::refused("BUSYKEY Target key name already exists."));
    }
    let ttl = u64::try_from(args::int(args[2])?)
        .map_err(|_| Error::refused("ERR Invalid TTL value, must be >= 0"))?;
    let value = rdb::restore(payload).map_err(|refused| match refused {
        Refused::Footer => Error::refused("ERR DUMP payload version or checksum are wrong"),
        Refused::Value => Error::refused("ERR Bad data format"),
    })?;
    let object = rdb::fresh(&value, &work.engine.hashers, work.now)
        .map_err(|_| Error::refused("ERR Bad data format"))?;
    let deadline = match ttl {
        0 => 0,
        at if how.absolute => at,
        // No deadline is later than the last one there is.
        span => span.saturating_add(work.now).min(i64::MAX.cast_unsigned()),
    };
    if (deadline != 0 && deadline <= work.now) || object.is_empty_collection() {
        if work.remove(key)? {
            work.notify(Class::GENERIC, "del", key);
        }
        return Ok(Reply::OK);
    }
    keys::as_new(work, key, |work| work.put(key, object, deadline))?;
    let access = match (
        work.engine.evictor.counts(),
        how.frequency,
        how.idle_seconds,
    ) {
        (true, Some(frequency), _) => Some(Access::counted(work.now, frequency)),
        (false, _, Some(idle)) => Some(Access::idle_for(work.now, idle)),
        _ => None,
    };
    if let Some(access) = access {
        work.set_access(key, access)?;
    }
    work.notify(Class::GENERIC, "restore", key);
    Ok(Reply::OK)
}
