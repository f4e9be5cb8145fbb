//! Chapter: taking from the ends of sorted sets, and counting what they share.

use super::args::{self, Args};
use super::reply::Reply;
use super::row::{COUNTED, COUNTED_SECOND, Command, ONE, data, range, rows};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::keyspace::work::event::Wait;
use crate::number;
use crate::ops::zset::{self, Scored};
use crate::value::Kind;

pub(super) static ROWS: &[Command] = rows! { "sorted-set";
    "bzmpop" -5 WRITE | BLOCKING, COUNTED_SECOND, data(bzmpop), "7.0.0", "O(keys + m log n)",
        "Takes members of the first set that has some, or waits";
    "bzpopmax" -3 WRITE | BLOCKING | FAST, range(1, -2, 1), data(bzpopmax), "5.0.0", "O(keys + log n)",
        "Takes the highest member of the first set that has one, or waits";
    "bzpopmin" -3 WRITE | BLOCKING | FAST, range(1, -2, 1), data(bzpopmin), "5.0.0", "O(keys + log n)",
        "Takes the lowest member of the first set that has one, or waits";
    "zintercard" -3 READ, COUNTED, data(zintercard), "7.0.0", "O(keys times the smallest set)",
        "Counts the members of all sets";
    "zmpop" -4 WRITE, COUNTED, data(zmpop), "7.0.0", "O(keys + m log n)",
        "Takes members of the first set that has some";
    "zpopmax" -2 WRITE | FAST, ONE, data(zpopmax), "5.0.0", "O(log n) a member",
        "Takes the highest members";
    "zpopmin" -2 WRITE | FAST, ONE, data(zpopmin), "5.0.0", "O(log n) a member",
        "Takes the lowest members";
};

fn zpopmin(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    pop_one_or_counted(work, args, false)
}

fn zpopmax(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    pop_one_or_counted(work, args, true)
}

fn pop_one_or_counted(work: &mut Work<'_>, args: &Args<'_>, highest: bool) -> Result<Reply> {
    let count = match args {
        [_, _] => None,
        [_, _, count] => Some(args::positive(count)?),
        _ => return Err(Error::syntax()),
    };
    let taken = zset::pop(work, args[1], count.unwrap_or(1), highest)?;
    if count.is_some() {
        return Ok(super::zset::pairs(taken));
    }
    // Without a count the answer is flat in both protocols.
    let flat = taken
        .into_iter()
        .flat_map(|(m, score)| [Reply::bulk(m), Reply::Double(score)]);
    Ok(Reply::Array(flat.collect()))
}

/// Takes up to `count` members of the first set that is not empty.
fn pop_first<'k>(
    work: &mut Work<'_>,
    keys: &'k Args<'_>,
    count: usize,
    highest: bool,
) -> Result<Option<(&'k [u8], Vec<Scored>)>> {
    for key in keys {
        let taken = zset::pop(work, key, count, highest)?;
        if !taken.is_empty() {
            return Ok(Some((key, taken)));
        }
    }
    Ok(None)
}

fn wait(work: &mut Work<'_>, keys: &Args<'_>, timeout_ms: Option<u64>) -> Result<Reply> {
    work.wait_for(Wait {
        keys: keys.iter().map(|key| (*key).into()).collect(),
        kind: Kind::Zset,
        timeout_ms,
        empty: Reply::NullArray,
    })
}

fn bzpopmin(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    blocking_pop(work, args, false)
}

fn bzpopmax(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    blocking_pop(work, args, true)
}

fn blocking_pop(work: &mut Work<'_>, args: &Args<'_>, highest: bool) -> Result<Reply> {
    let keys = &args[1..args.len() - 1];
    let timeout = args::timeout(args[args.len() - 1])?;
    let Some((key, taken)) = pop_first(work, keys, 1, highest)? else {
        return wait(work, keys, timeout);
    };
    let mut items = vec![Reply::bulk_copy(key)];
    for (member, score) in taken {
        items.extend([Reply::bulk(member), Reply::Double(score)]);
    }
    Ok(Reply::Array(items))
}

/// `numkeys key...` and what follows.
fn keys_of<'a>(rest: &'a Args<'a>) -> Result<(&'a Args<'a>, &'a Args<'a>)> {
    let (count, rest) = rest.split_first().ok_or_else(Error::syntax)?;
    let count = at_least_one(count, "ERR numkeys should be greater than 0")?;
    rest.split_at_checked(count).ok_or_else(Error::syntax)
}

fn at_least_one(text: &[u8], refusal: &'static str) -> Result<usize> {
    let count = number::parse_i64(text).and_then(|count| usize::try_from(count).ok());
    count
        .filter(|count| *count > 0)
        .ok_or_else(|| Error::refused(refusal))
}

/// Keys, whether the highest are wanted, and how many.
struct Several<'a> {
    keys: &'a Args<'a>,
    highest: bool,
    count: usize,
}

fn several<'a>(rest: &'a Args<'a>) -> Result<Several<'a>> {
    let (keys, rest) = keys_of(rest)?;
    let (end, rest) = rest.split_first().ok_or_else(Error::syntax)?;
    let highest = if args::is(end, "MAX") {
        true
    } else if args::is(end, "MIN") {
        false
    } else {
        return Err(Error::syntax());
    };
    let count = match rest {
        [] => 1,
        [option, count, rest @ ..] if args::is(option, "COUNT") => {
            let count = at_least_one(count, "ERR count should be greater than 0")?;
            if !rest.is_empty() {
                return Err(Error::syntax());
            }
            count
        }
        _ => return Err(Error::syntax()),
    };
    Ok(Several {
        keys,
        highest,
        count,
    })
}

/// The key, and pairs nested in both protocols.
fn popped(key: &[u8], taken: Vec<Scored>) -> Reply {
    let pair =
        |(member, score): Scored| Reply::Array(vec![Reply::bulk(member), Reply::Double(score)]);
    let pairs = taken.into_iter().map(pair).collect();
    Reply::Array(vec![Reply::bulk_copy(key), Reply::Array(pairs)])
}

fn zmpop(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let wanted = several(&args[1..])?;
    let found = pop_first(work, wanted.keys, wanted.count, wanted.highest)?;
    Ok(found.map_or(Reply::NullArray, |(key, taken)| popped(key, taken)))
}

fn bzmpop(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    // What is given last is looked at first, as Redis does.
    let wanted = several(&args[2..])?;
    let timeout = args::timeout(args[1])?;
    match pop_first(work, wanted.keys, wanted.count, wanted.highest)? {
        Some((key, taken)) => Ok(popped(key, taken)),
        None => wait(work, wanted.keys, timeout),
    }
}

fn zintercard(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let (keys, rest) = args::counted_keys(&args[1..], "zintercard")?;
    // Types are checked before the options, as Redis does.
    zset::expect_scored(work, keys)?;
    let limit = args::limit_option(rest)?;
    zset::intersection_len(work, keys, limit).map(Reply::count)
}
