//! Chapter: waiting until earlier writes are safe.

use super::args::{self, Args};
use super::reply::Reply;
use super::row::{Command, NO_KEYS, data, rows};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::keyspace::work::event::Wait;
use crate::number;
use crate::value::Kind;

pub(super) static ROWS: &[Command] = rows! { "generic";
    "wait" 3 BLOCKING, NO_KEYS, data(wait), "3.0.0", "O(1)",
        "Waits for replicas, of which there are none";
    "waitaof" 4 BLOCKING, NO_KEYS, data(waitaof), "7.2.0", "O(1), after one sync of the log",
        "Waits until earlier writes survive a power loss";
};

/// A time in ms, 0 for ever.
fn timeout(text: &[u8], now: u64) -> Result<Option<u64>> {
    let millis = number::parse_i64(text)
        .ok_or_else(|| Error::refused("ERR timeout is not an integer or out of range"))?;
    let millis = u64::try_from(millis).map_err(|_| Error::refused("ERR timeout is negative"))?;
    if millis.saturating_add(now) > i64::MAX.cast_unsigned() {
        return Err(Error::refused("ERR timeout is out of range"));
    }
    Ok((millis > 0).then_some(millis))
}

/// Answers `reply` at once, or after the timeout if it falls short of what was asked for.
fn answer(
    work: &mut Work<'_>,
    enough: bool,
    timeout_ms: Option<u64>,
    reply: Reply,
) -> Result<Reply> {
    if enough {
        return Ok(reply);
    }
    work.wait_for(Wait {
        keys: Vec::new(),
        kind: Kind::String,
        timeout_ms,
        empty: reply,
    })
}

fn wait(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let replicas = args::int(args[1])?;
    let timeout_ms = timeout(args[2], work.now)?;
    answer(work, replicas <= 0, timeout_ms, Reply::Int(0))
}

fn waitaof(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let local = args::int(args[1])?;
    if !(0..=1).contains(&local) {
        return Err(Error::refused(
            "ERR value is out of range, value must between 0 and 1",
        ));
    }
    let replicas = args::positive(args[2])?;
    let timeout_ms = timeout(args[3], work.now)?;
    let mount = &work.engine.mount;
    if local > 0 && mount.is_memory() {
        return Err(Error::refused(
            "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
        ));
    }
    if local > 0 {
        mount.sync()?;
    }
    let safe = !mount.is_memory() && mount.durable_seq() >= mount.last_seq();
    let reply = Reply::Array(vec![Reply::flag(safe), Reply::Int(0)]);
    answer(work, replicas == 0, timeout_ms, reply)
}
