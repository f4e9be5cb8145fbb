//! Chapter: values as bytes in Redis' own format.

use bytes::Bytes;

use super::args::{self, Args};
use super::reply::Reply;
use super::row::{Command, ONE, data, rows};
use crate::error::{Error, Result};
use crate::keyspace::access::Access;
use crate::keyspace::work::Work;
use crate::keyspace::work::event::Class;
use crate::ops::{self, check_size};

pub(super) static ROWS: &[Command] = rows! { "generic";
    "dump" 2 READ, ONE, data(dump), "2.6.0", "O(n) in the value",
        "Returns a value in Redis' format";
    "restore" -4 WRITE | GROW | DANGEROUS, ONE, data(restore), "2.6.0", "O(n) in the value",
        "Sets a key to a value in Redis' format";
};

fn dump(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let payload = ops::dump::dump(work, args[1])?;
    Ok(payload.map_or(Reply::Null, |payload| Reply::bulk(Bytes::from(payload))))
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
    let deadline = match ttl {
        0 => 0,
        at if how.absolute => at,
        // No deadline is later than the last one there is.
        span => span.saturating_add(work.now).min(i64::MAX.cast_unsigned()),
    };
    if !ops::dump::restore(work, key, payload, deadline)? {
        return Ok(Reply::OK);
    }
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
