//! Chapter: sorted sets that are waited for. BZPOPMIN, BZPOPMAX, BZMPOP.
//!
//! A caller gets the first member of the first key that has one, or waits for all of them.

use super::args::{self, Args};
use super::reply::Reply;
use super::row::{COUNTED_SECOND, Command, data, range, rows};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::keyspace::work::event::Wait;
use crate::number;
use crate::ops::zset;
use crate::value::Kind;

pub(super) static ROWS: &[Command] = rows! { "sorted-set";
    "bzmpop" -5 WRITE | BLOCKING, COUNTED_SECOND, data(bzmpop), "7.0.0", "O(keys + log n a member)",
        "Takes members of the first set that has any, or waits";
    "bzpopmax" -3 WRITE | FAST | BLOCKING, range(1, -2, 1), data(bzpopmax), "5.0.0", "O(keys + log n)",
        "Takes the highest member, or waits";
    "bzpopmin" -3 WRITE | FAST | BLOCKING, range(1, -2, 1), data(bzpopmin), "5.0.0", "O(keys + log n)",
        "Takes the lowest member, or waits";
};

fn bzpopmin(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    pop(work, args, false)
}

fn bzpopmax(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    pop(work, args, true)
}

fn wait(work: &mut Work<'_>, keys: &[&[u8]], timeout_ms: Option<u64>) -> Result<Reply> {
    work.wait_for(Wait {
        keys: keys.iter().map(|key| (*key).into()).collect(),
        kind: Kind::Zset,
        timeout_ms,
        empty: Reply::NullArray,
    })
}

fn pop(work: &mut Work<'_>, args: &Args<'_>, highest: bool) -> Result<Reply> {
    let (keys, timeout) = (&args[1..args.len() - 1], args[args.len() - 1]);
    let timeout_ms = args::timeout(timeout)?;
    for key in keys {
        if let Some((member, score)) = zset::pop(work, key, 1, highest)?.pop() {
            return Ok(Reply::Array(vec![
                Reply::bulk_copy(key),
                Reply::bulk(member),
                Reply::Double(score),
            ]));
        }
    }
    wait(work, keys, timeout_ms)
}

fn at_least_one(text: &[u8], refusal: &'static str) -> Result<usize> {
    let count = number::parse_i64(text).filter(|count| *count > 0);
    let count = count.and_then(|count| usize::try_from(count).ok());
    count.ok_or_else(|| Error::refused(refusal))
}

fn bzmpop(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let timeout_ms = args::timeout(args[1])?;
    let numkeys = at_least_one(args[2], "ERR numkeys should be greater than 0")?;
    let (keys, rest) = args[3..]
        .split_at_checked(numkeys)
        .ok_or_else(Error::syntax)?;
    let (end, rest) = rest.split_first().ok_or_else(Error::syntax)?;
    let highest = args::is(end, "MAX");
    if !highest && !args::is(end, "MIN") {
        return Err(Error::syntax());
    }
    let most = match rest {
        [] => 1,
        [option, count] if args::is(option, "COUNT") => {
            at_least_one(count, "ERR count should be greater than 0")?
        }
        _ => return Err(Error::syntax()),
    };
    for key in keys {
        let taken = zset::pop(work, key, most, highest)?;
        if !taken.is_empty() {
            let pair =
                |(member, score)| Reply::Array(vec![Reply::bulk(member), Reply::Double(score)]);
            let taken = taken.into_iter().map(pair).collect();
            return Ok(Reply::Array(vec![
                Reply::bulk_copy(key),
                Reply::Array(taken),
            ]));
        }
    }
    wait(work, keys, timeout_ms)
}
