//! Chapter: hashes.

use super::args::{self, Args, ScanOf};
use super::reply::Reply;
use super::row::{Command, ONE, data, direct, rows};
use crate::error::{Error, Result};
use crate::glob;
use crate::keyspace::direct::Direct;
use crate::keyspace::engine::{Caller, Engine};
use crate::keyspace::work::Work;
use crate::number;
use crate::ops::hash;
use crate::value::hash::Live;

pub(super) static ROWS: &[Command] = rows! { "hash";
    "hdel" -3 WRITE | FAST, ONE, data(hdel), "2.0.0", "O(fields)",
        "Removes fields";
    "hexists" 3 READ | FAST, ONE, data(hexists), "2.0.0", "O(1)",
        "Tells whether a field exists";
    "hget" 3 READ | FAST, ONE, data(hget), "2.0.0", "O(1)",
        "Reads a field";
    "hgetall" 2 READ, ONE, data(hgetall), "2.0.0", "O(n)",
        "Reads all fields and values";
    "hincrby" 4 WRITE | GROW | FAST, ONE, data(hincrby), "2.0.0", "O(1)",
        "Adds an integer to a field";
    "hincrbyfloat" 4 WRITE | GROW | FAST, ONE, data(hincrbyfloat), "2.6.0", "O(digits)",
        "Adds a decimal to a field";
    "hkeys" 2 READ, ONE, data(hkeys), "2.0.0", "O(n)",
        "Reads all fields";
    "hlen" 2 READ | FAST, ONE, data(hlen), "2.0.0", "O(1)",
        "Counts fields";
    "hmget" -3 READ | FAST, ONE, data(hmget), "2.0.0", "O(fields)",
        "Reads some fields";
    "hmset" -4 WRITE | GROW | FAST, ONE, data(hmset), "2.0.0", "O(fields)",
        "Sets fields";
    "hrandfield" -2 READ, ONE, data(hrandfield), "6.2.0", "O(n) with a positive count, else O(count)",
        "Picks random fields";
    "hscan" -3 READ, ONE, data(hscan), "2.8.0", "O(COUNT), O(512) while small",
        "Iterates over fields";
    "hset" -4 WRITE | GROW | FAST, ONE, direct(hset_directly, hset), "2.0.0", "O(fields)",
        "Sets fields";
    "hsetnx" 4 WRITE | GROW | FAST, ONE, data(hsetnx), "2.0.0", "O(1)",
        "Sets a field that does not exist";
    "hstrlen" 3 READ | FAST, ONE, data(hstrlen), "3.2.0", "O(1)",
        "Tells the length of a field's value";
    "hvals" 2 READ, ONE, data(hvals), "2.0.0", "O(n)",
        "Reads all values";
};

fn pairs<'a>(
    args: &'a Args<'a>,
    command: &str,
) -> Result<impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone> {
    if !args.len().is_multiple_of(2) {
        let text = format!("ERR wrong number of arguments for '{command}' command");
        return Err(Error::refused_with(text));
    }
    Ok(args[2..].chunks_exact(2).map(|pair| (pair[0], pair[1])))
}

pub(super) fn hset(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    hash::set(work, args[1], pairs(args, "hset")?).map(Reply::count)
}

fn hset_directly(engine: &Engine, caller: Caller, args: &Args<'_>) -> Result<Direct<Reply>> {
    let pairs = pairs(args, "hset")?;
    let done = engine.change_directly(caller, args[1], |work| hash::set(work, args[1], pairs));
    Ok(done?.map(Reply::count))
}

pub(super) fn hmset(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    hash::set(work, args[1], pairs(args, "hmset")?).map(|_| Reply::OK)
}

pub(super) fn hsetnx(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    hash::set_if_absent(work, args[1], args[2], args[3]).map(Reply::flag)
}

pub(super) fn hget(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let value = work.hash(args[1])?.and_then(|hash| hash.get(args[2]));
    Ok(value.map_or(Reply::Null, Reply::bulk_copy))
}

pub(super) fn hmget(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let hash = work.hash(args[1])?;
    let values = args[2..].iter().map(|field| {
        let value = hash.and_then(|hash| hash.get(field));
        value.map_or(Reply::Null, Reply::bulk_copy)
    });
    Ok(Reply::Array(values.collect()))
}

pub(super) fn hgetall(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let hash = work.hash(args[1])?;
    let pairs = hash.into_iter().flat_map(Live::iter);
    Ok(Reply::Map(
        pairs
            .map(|(f, v)| (Reply::bulk_copy(f), Reply::bulk_copy(v)))
            .collect(),
    ))
}

pub(super) fn hkeys(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let hash = work.hash(args[1])?;
    let fields = hash.into_iter().flat_map(Live::iter);
    Ok(Reply::Array(
        fields.map(|(field, _)| Reply::bulk_copy(field)).collect(),
    ))
}

pub(super) fn hvals(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let hash = work.hash(args[1])?;
    let values = hash.into_iter().flat_map(Live::iter);
    Ok(Reply::Array(
        values.map(|(_, value)| Reply::bulk_copy(value)).collect(),
    ))
}

pub(super) fn hlen(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    Ok(Reply::count(work.hash(args[1])?.map_or(0, Live::len)))
}

pub(super) fn hexists(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let hash = work.hash(args[1])?;
    Ok(Reply::flag(
        hash.is_some_and(|hash| hash.get(args[2]).is_some()),
    ))
}

pub(super) fn hstrlen(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let value = work.hash(args[1])?.and_then(|hash| hash.get(args[2]));
    Ok(Reply::count(value.map_or(0, <[u8]>::len)))
}

pub(super) fn hdel(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    hash::remove(work, args[1], args[2..].iter().copied()).map(Reply::count)
}

pub(super) fn hincrby(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let change = args::int(args[3])?;
    hash::incr_by(work, args[1], args[2], change).map(Reply::Int)
}

pub(super) fn hincrbyfloat(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let change = args::float(args[3])?;
    if !change.is_finite() {
        return Err(Error::refused("ERR value is NaN or Infinity"));
    }
    hash::incr_by_float(work, args[1], args[2], args[3]).map(Reply::bulk)
}

pub(super) fn hrandfield(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let mount = work.engine.mount.clone();
    let [_, key, options @ ..] = args else {
        return Err(Error::syntax());
    };
    let Some((count, rest)) = options.split_first() else {
        let picked = work.hash(key)?.and_then(|hash| hash.pick(mount.random()));
        return Ok(picked.map_or(Reply::Null, |(field, _)| Reply::bulk_copy(field)));
    };
    let count = args::random_count(count)?;
    let with_values = match rest {
        [] => false,
        [option] if args::is(option, "WITHVALUES") => true,
        _ => return Err(Error::syntax()),
    };
    if with_values && count.unsigned_abs() > i64::MAX.unsigned_abs() / 2 {
        return Err(Error::refused("ERR value is out of range"));
    }
    let Some(hash) = work.hash(key)? else {
        return Ok(Reply::Array(Vec::new()));
    };
    let mut picked: Vec<(&[u8], &[u8])> = Vec::new();
    if count < 0 && hash.has_overdue() {
        let all: Vec<_> = hash.iter().collect();
        let at = |random: u64| usize::try_from(random % all.len() as u64).unwrap_or(0);
        picked.extend((0..args::repetitions(count)?).map(|_| all[at(mount.random())]));
    } else if count < 0 {
        picked.extend((0..args::repetitions(count)?).map_while(|_| hash.pick(mount.random())));
    } else {
        picked.extend(hash.iter());
        shuffle_prefix(&mut picked, count.unsigned_abs(), || mount.random());
    }
    let pair = |(f, v): (&[u8], &[u8])| (Reply::bulk_copy(f), Reply::bulk_copy(v));
    Ok(if with_values {
        Reply::Pairs(picked.into_iter().map(pair).collect())
    } else {
        Reply::Array(
            picked
                .into_iter()
                .map(|(field, _)| Reply::bulk_copy(field))
                .collect(),
        )
    })
}

/// Keeps `count` distinct random items.
pub(super) fn shuffle_prefix<T>(items: &mut Vec<T>, count: u64, mut random: impl FnMut() -> u64) {
    let keep = usize::try_from(count)
        .unwrap_or(usize::MAX)
        .min(items.len());
    for at in 0..keep {
        let left = (items.len() - at) as u64;
        let other = at + usize::try_from(random() % left).unwrap_or(0);
        items.swap(at, other);
    }
    items.truncate(keep);
}

pub(super) fn hscan(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let cursor = args::cursor(args[2])?;
    // The key is looked at before the options, as Redis does.
    let Some(hash) = work.hash(args[1])? else {
        return Ok(Reply::scanned(None, Vec::new()));
    };
    let options = args::scan_options(&args[3..], ScanOf::Hash)?;
    let mut items = Vec::new();
    let next = hash.scan(cursor, options.count, |field, value| {
        if options
            .pattern
            .is_none_or(|pattern| glob::matches(pattern, field))
        {
            items.push(Reply::bulk_copy(field));
            if options.values {
                items.push(Reply::bulk_copy(value));
            }
        }
    });
    Ok(Reply::scanned(next, items))
}

/// A score as the scan family prints it.
pub(super) fn score_text(score: f64) -> Reply {
    Reply::bulk(number::format_f64(score))
}
