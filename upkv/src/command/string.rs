//! Chapter: strings.

use parking_lot::Mutex;

use super::args::{self, Args, DeadlineForm, Options};
use super::reply::Reply;
use super::row::{Command, EACH, ONE, PAIRS, data, direct, rows};
use super::string_more::digest_text;

use crate::error::{Error, Result};
use crate::keyspace::direct::Direct;
use crate::keyspace::engine::{Caller, Engine};
use crate::keyspace::work::Work;
use crate::keyspace::work::event::Class;
use crate::ops::absolute;
use crate::ops::string::{self, Set, SetIf};
use crate::options::{Condition, Deadline};
use crate::value::Kind;

const PLAIN: Set<'static> = Set {
    condition: SetIf::Plain(Condition::Always),
    deadline: Deadline::Clear,
    get: false,
};

pub(super) static ROWS: &[Command] = rows! { "string";
    "append" 3 WRITE | GROW | FAST, ONE, data(append), "2.0.0", "O(n) in the resulting length",
        "Appends to a string";
    "decr" 2 WRITE | GROW | FAST, ONE, direct(decr_directly, decr), "1.0.0", "O(1)",
        "Subtracts one";
    "decrby" 3 WRITE | GROW | FAST, ONE, data(decrby), "1.0.0", "O(1)",
        "Subtracts an integer";
    "get" 2 READ | FAST, ONE, direct(get_directly, get), "1.0.0", "O(1)",
        "Reads a string";
    "getdel" 2 WRITE | FAST, ONE, data(getdel), "6.2.0", "O(1)",
        "Reads and removes a string";
    "getex" -2 WRITE | FAST, ONE, data(getex), "6.2.0", "O(1)",
        "Reads a string and sets its deadline";
    "getrange" 4 READ, ONE, data(getrange), "2.4.0", "O(length)",
        "Reads a part of a string";
    "getset" 3 WRITE | GROW | FAST, ONE, data(getset), "1.0.0", "O(1)",
        "Sets a string and answers the old one";
    "incr" 2 WRITE | GROW | FAST, ONE, direct(incr_directly, incr), "1.0.0", "O(1)",
        "Adds one";
    "incrby" 3 WRITE | GROW | FAST, ONE, data(incrby), "1.0.0", "O(1)",
        "Adds an integer";
    "incrbyfloat" 3 WRITE | GROW | FAST, ONE, data(incrbyfloat), "2.6.0", "O(digits)",
        "Adds a decimal";
    "mget" -2 READ | FAST, EACH, data(mget), "1.0.0", "O(keys)",
        "Reads strings";
    "mset" -3 WRITE | GROW, PAIRS, data(mset), "1.0.1", "O(keys)",
        "Sets strings";
    "msetnx" -3 WRITE | GROW, PAIRS, data(msetnx), "1.0.1", "O(keys)",
        "Sets strings if no key exists";
    "psetex" 4 WRITE | GROW, ONE, data(psetex), "2.6.0", "O(1)",
        "Sets a string with a time to live in milliseconds";
    "set" -3 WRITE | GROW, ONE, direct(set_directly, set), "1.0.0", "O(1)",
        "Sets a string";
    "setex" 4 WRITE | GROW, ONE, data(setex), "2.0.0", "O(1)",
        "Sets a string with a time to live in seconds";
    "setnx" 3 WRITE | GROW | FAST, ONE, data(setnx), "1.0.0", "O(1)",
        "Sets a string if the key does not exist";
    "setrange" 4 WRITE | GROW, ONE, data(setrange), "2.2.0", "O(n) in the resulting length",
        "Overwrites a part of a string";
    "strlen" 2 READ | FAST, ONE, data(strlen), "2.2.0", "O(1)",
        "Tells the length of a string";
    "substr" 4 READ, ONE, data(getrange), "1.0.0", "O(length)",
        "Reads a part of a string";
};

fn get_directly(engine: &Engine, caller: Caller, args: &Args<'_>) -> Result<Direct<Reply>> {
    if !caller.touches || engine.notifies(Class::MISS) {
        return Ok(Direct::Ordinary);
    }
    // Who waits for a lock may have to be told why; the ordinary way knows.
    let value = engine.get_directly(caller.db, args[1], Mutex::try_lock)?;
    Ok(value.map(Reply::bulk_or_null))
}

fn set_directly(engine: &Engine, caller: Caller, args: &Args<'_>) -> Result<Direct<Reply>> {
    let [_, key, value] = args else {
        return Ok(Direct::Ordinary);
    };
    let done = engine.set_directly(caller, key, value)?;
    Ok(done.map(|()| Reply::OK))
}

fn incr_directly(engine: &Engine, caller: Caller, args: &Args<'_>) -> Result<Direct<Reply>> {
    Ok(engine.add_directly(caller, args[1], 1)?.map(Reply::Int))
}

fn decr_directly(engine: &Engine, caller: Caller, args: &Args<'_>) -> Result<Direct<Reply>> {
    Ok(engine.add_directly(caller, args[1], -1)?.map(Reply::Int))
}

pub(super) fn get(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    string::get(work, args[1]).map(Reply::bulk_or_null)
}

pub(super) fn set(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let mut how = PLAIN;
    let mut condition: Option<String> = None;
    let mut form = DeadlineForm::default();
    let mut options = Options::new(&args[3..]);
    while let Some(option) = options.next() {
        match &option[..] {
            "NX" | "XX" | "IFEQ" | "IFNE" | "IFDEQ" | "IFDNE" => {
                if condition.as_ref().is_some_and(|before| *before != option) {
                    return Err(Error::syntax());
                }
                how.condition = match &option[..] {
                    "NX" => SetIf::Plain(Condition::IfAbsent),
                    "XX" => SetIf::Plain(Condition::IfPresent),
                    "IFEQ" => SetIf::Equals(options.value()?),
                    "IFNE" => SetIf::Differs(options.value()?),
                    "IFDEQ" => SetIf::DigestEquals(options.value()?),
                    _ => SetIf::DigestDiffers(options.value()?),
                };
                condition = Some(option);
            }
            "GET" => how.get = true,
            _ => form.take(option, &mut options, &["KEEPTTL"])?,
        }
    }
    how.deadline = form.deadline("set")?.unwrap_or(Deadline::Clear);
    // A deadline out of range is told before the value is looked at.
    absolute(how.deadline, work.now, 0, "set")?;
    if let SetIf::DigestEquals(text) | SetIf::DigestDiffers(text) = how.condition
        && work.kind(args[1])? == Some(Kind::String)
    {
        // What there is nothing to compare with is not looked at.
        digest_text(text)?;
    }
    let done = string::set(work, args[1], args[2], how)?;
    Ok(if how.get {
        Reply::bulk_or_null(done.previous)
    } else if done.written {
        Reply::OK
    } else {
        Reply::Null
    })
}

pub(super) fn getset(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let done = string::set(work, args[1], args[2], Set { get: true, ..PLAIN })?;
    Ok(Reply::bulk_or_null(done.previous))
}

pub(super) fn getdel(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    string::get_del(work, args[1]).map(Reply::bulk_or_null)
}

pub(super) fn getex(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let mut form = DeadlineForm::default();
    let mut options = Options::new(&args[2..]);
    while let Some(option) = options.next() {
        form.take(option, &mut options, &["PERSIST"])?;
    }
    // The key is looked at before the number, as Redis does.
    if string::get(work, args[1])?.is_none() {
        return Ok(Reply::Null);
    }
    let deadline = form.deadline("getex")?;
    string::get_ex(work, args[1], deadline).map(Reply::bulk_or_null)
}

pub(super) fn setnx(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let how = Set {
        condition: SetIf::Plain(Condition::IfAbsent),
        ..PLAIN
    };
    string::set(work, args[1], args[2], how).map(|done| Reply::flag(done.written))
}

pub(super) fn setex(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    set_for(work, args, true, "setex")
}

pub(super) fn psetex(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    set_for(work, args, false, "psetex")
}

fn set_for(work: &mut Work<'_>, args: &Args<'_>, seconds: bool, command: &str) -> Result<Reply> {
    let span = args::positive_span(args::int(args[2])?, seconds, true, command)?;
    let deadline = Deadline::At(absolute(span, work.now, 0, command)?);
    string::set(work, args[1], args[3], Set { deadline, ..PLAIN }).map(|_| Reply::OK)
}

pub(super) fn mget(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    work.prefetch_strings(&args[1..])?;
    let get = |key: &&[u8]| match work.kind(key)? {
        Some(Kind::String) => string::get(work, key).map(Reply::bulk_or_null),
        _ => Ok(Reply::Null),
    };
    args[1..]
        .iter()
        .map(get)
        .collect::<Result<_>>()
        .map(Reply::Array)
}

fn check_pairs(args: &Args<'_>, command: &str) -> Result<()> {
    if args.len().is_multiple_of(2) {
        let text = format!("ERR wrong number of arguments for '{command}' command");
        return Err(Error::refused_with(text));
    }
    Ok(())
}

pub(super) fn mset(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    check_pairs(args, "mset")?;
    for pair in args[1..].chunks_exact(2) {
        string::set(work, pair[0], pair[1], PLAIN)?;
    }
    Ok(Reply::OK)
}

pub(super) fn msetnx(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    check_pairs(args, "msetnx")?;
    for pair in args[1..].chunks_exact(2) {
        if work.entry(pair[0])?.is_some() {
            return Ok(Reply::Int(0));
        }
    }
    mset(work, args).map(|_| Reply::Int(1))
}

pub(super) fn append(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    string::append(work, args[1], args[2]).map(Reply::count)
}

pub(super) fn strlen(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    string::len(work, args[1]).map(Reply::count)
}

pub(super) fn getrange(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let (start, end) = (args::int(args[2])?, args::int(args[3])?);
    string::range(work, args[1], start, end).map(Reply::bulk)
}

pub(super) fn setrange(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let offset = args::int(args[2])?;
    string::set_range(work, args[1], offset, args[3]).map(Reply::count)
}

pub(super) fn incr(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    string::incr_by(work, args[1], 1).map(Reply::Int)
}

pub(super) fn decr(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    string::incr_by(work, args[1], -1).map(Reply::Int)
}

pub(super) fn incrby(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    string::incr_by(work, args[1], args::int(args[2])?).map(Reply::Int)
}

pub(super) fn decrby(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let change = args::int(args[2])?;
    let change = change
        .checked_neg()
        .ok_or_else(|| Error::refused("ERR decrement would overflow"))?;
    string::incr_by(work, args[1], change).map(Reply::Int)
}

pub(super) fn incrbyfloat(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    // Redis looks at the stored value's type first, then at the argument.
    work.expect_kind(args[1], Kind::String)?;
    args::float(args[2])?;
    string::incr_by_float(work, args[1], args[2]).map(Reply::bulk)
}
