//! Chapter: sets.

use super::args::{self, Args, ScanOf};
use super::reply::Reply;
use super::row::{COUNTED, Command, EACH, ONE, TWO, data, direct, rows};
use crate::error::{Error, Result};
use crate::glob;
use crate::keyspace::direct::Direct;
use crate::keyspace::engine::{Caller, Engine};
use crate::keyspace::work::Work;
use crate::number;
use crate::ops::set;
use crate::ops::zset::{self, Algebra};
use crate::value::Kind;
use crate::value::set::Set;

pub(super) static ROWS: &[Command] = rows! { "set";
    "sadd" -3 WRITE | GROW | FAST, ONE, direct(sadd_directly, sadd), "1.0.0", "O(members)",
        "Adds members";
    "scard" 2 READ | FAST, ONE, data(scard), "1.0.0", "O(1)",
        "Counts members";
    "sdiff" -2 READ, EACH, data(sdiff), "1.0.0", "O(n) in all members",
        "Members of the first set only";
    "sdiffstore" -3 WRITE | GROW, EACH, data(sdiffstore), "1.0.0", "O(n) in all members",
        "Stores a difference";
    "sinter" -2 READ, EACH, data(sinter), "1.0.0", "O(keys times the smallest set)",
        "Members of all sets";
    "sintercard" -3 READ, COUNTED, data(sintercard), "7.0.0", "O(keys times the smallest set)",
        "Counts the members of all sets";
    "sinterstore" -3 WRITE | GROW, EACH, data(sinterstore), "1.0.0", "O(keys times the smallest set)",
        "Stores an intersection";
    "sismember" 3 READ | FAST, ONE, data(sismember), "1.0.0", "O(1)",
        "Tells whether a member exists";
    "smembers" 2 READ, ONE, data(smembers), "1.0.0", "O(n)",
        "Reads all members";
    "smismember" -3 READ | FAST, ONE, data(smismember), "6.2.0", "O(members)",
        "Tells which members exist";
    "smove" 4 WRITE | FAST, TWO, data(smove), "1.0.0", "O(1)",
        "Moves a member to another set";
    "spop" -2 WRITE | FAST, ONE, data(spop), "1.0.0", "O(count)",
        "Takes random members";
    "srandmember" -2 READ, ONE, data(srandmember), "1.0.0", "O(count), O(n) for a large part of the set",
        "Picks random members";
    "srem" -3 WRITE | FAST, ONE, data(srem), "1.0.0", "O(members)",
        "Removes members";
    "sscan" -3 READ, ONE, data(sscan), "2.8.0", "O(COUNT), O(512) while small",
        "Iterates over members";
    "sunion" -2 READ, EACH, data(sunion), "1.0.0", "O(n) in all members",
        "Members of any set";
    "sunionstore" -3 WRITE | GROW, EACH, data(sunionstore), "1.0.0", "O(n) in all members",
        "Stores a union";
};

fn sadd(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    set::add(work, args[1], args[2..].iter().copied()).map(Reply::count)
}

fn sadd_directly(engine: &Engine, caller: Caller, args: &Args<'_>) -> Result<Direct<Reply>> {
    let members = args[2..].iter().copied();
    let done = engine.change_directly(caller, args[1], |work| set::add(work, args[1], members));
    Ok(done?.map(Reply::count))
}

fn srem(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    set::remove(work, args[1], args[2..].iter().copied()).map(Reply::count)
}

fn scard(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    Ok(Reply::count(work.read::<Set>(args[1])?.map_or(0, Set::len)))
}

fn sismember(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let set = work.read::<Set>(args[1])?;
    Ok(Reply::flag(set.is_some_and(|set| set.contains(args[2]))))
}

fn smismember(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let set = work.read::<Set>(args[1])?;
    let has = |member: &&[u8]| Reply::flag(set.is_some_and(|set| set.contains(member)));
    Ok(Reply::Array(args[2..].iter().map(has).collect()))
}

fn smembers(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let set = work.read::<Set>(args[1])?;
    let members = set.into_iter().flat_map(Set::iter);
    Ok(Reply::Set(
        members
            .map(|member| Reply::bulk(member.into_owned()))
            .collect(),
    ))
}

fn smove(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    set::shift(work, args[1], args[2], args[3]).map(Reply::flag)
}

fn spop(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    match args {
        [_, key] => {
            let taken = set::pop(work, key, 1)?;
            Ok(Reply::bulk_or_null(taken.into_iter().next()))
        }
        [_, key, count] => {
            let count = args::positive(count)?;
            Ok(listed(set::pop(work, key, count)?))
        }
        _ => Err(Error::syntax()),
    }
}

fn srandmember(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let mount = work.engine.mount.clone();
    let count = match args {
        [_, key] => {
            let picked = work
                .read::<Set>(key)?
                .and_then(|set| set.pick(mount.random()));
            return Ok(Reply::bulk_or_null(
                picked.map(std::borrow::Cow::into_owned),
            ));
        }
        [_, _, count] => args::random_count(count)?,
        _ => return Err(Error::syntax()),
    };
    let Some(set) = work.read::<Set>(args[1])? else {
        return Ok(Reply::Array(Vec::new()));
    };
    let many = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count >= 0 {
        let picked = set::distinct(set, many, || mount.random());
        return Ok(Reply::Array(picked.into_iter().map(Reply::bulk).collect()));
    }
    let picked = (0..args::repetitions(count)?).map_while(|_| set.pick(mount.random()));
    Ok(Reply::Array(
        picked
            .map(|member| Reply::bulk(member.into_owned()))
            .collect(),
    ))
}

fn sscan(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let cursor = args::cursor(args[2])?;
    // The key is looked at before the options, as Redis does.
    let Some(set) = work.read::<Set>(args[1])? else {
        return Ok(Reply::scanned(None, Vec::new()));
    };
    let options = args::scan_options(&args[3..], ScanOf::Set)?;
    let mut items = Vec::new();
    let next = set.scan(cursor, options.count, |member| {
        if options
            .pattern
            .is_none_or(|pattern| glob::matches(pattern, member))
        {
            items.push(Reply::bulk_copy(member));
        }
    });
    Ok(Reply::scanned(next, items))
}

// --- set algebra

fn listed(members: Vec<bytes::Bytes>) -> Reply {
    Reply::Set(members.into_iter().map(Reply::bulk).collect())
}

fn read_combined(work: &mut Work<'_>, args: &Args<'_>, algebra: Algebra) -> Result<Reply> {
    set::combine(work, algebra, &args[1..]).map(listed)
}

fn store_combined(
    work: &mut Work<'_>,
    args: &Args<'_>,
    algebra: Algebra,
    event: &'static str,
) -> Result<Reply> {
    let members = set::combine(work, algebra, &args[2..])?;
    set::store(work, args[1], event, &members)?;
    Ok(Reply::count(members.len()))
}

fn sunion(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    read_combined(work, args, Algebra::Union)
}

fn sinter(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    read_combined(work, args, Algebra::Inter)
}

fn sdiff(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    read_combined(work, args, Algebra::Diff)
}

fn sunionstore(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    store_combined(work, args, Algebra::Union, "sunionstore")
}

fn sinterstore(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    store_combined(work, args, Algebra::Inter, "sinterstore")
}

fn sdiffstore(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    store_combined(work, args, Algebra::Diff, "sdiffstore")
}

fn sintercard(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let positive = number::parse_i64(args[1]).and_then(|count| usize::try_from(count).ok());
    let count = positive
        .filter(|count| *count > 0)
        .ok_or_else(|| Error::refused("ERR numkeys should be greater than 0"))?;
    let too_many = || Error::refused("ERR Number of keys can't be greater than number of args");
    let (keys, rest) = args[2..].split_at_checked(count).ok_or_else(too_many)?;
    let limit = args::limit_option(rest)?;
    for key in keys {
        work.expect_kind(key, Kind::Set)?;
    }
    zset::intersection_len(work, keys, limit).map(Reply::count)
}
