//! Chapter: lists.

use super::args::{self, Args, Options};
use super::reply::Reply;
use super::row::{COUNTED, COUNTED_SECOND, Command, ONE, TWO, data, direct, range, rows};
use crate::error::{Error, Result};
use crate::keyspace::direct::Direct;
use crate::keyspace::engine::{Caller, Engine};
use crate::keyspace::work::Work;
use crate::keyspace::work::event::Wait;
use crate::number;
use crate::ops::list::{self, End};
use crate::value::Kind;
use crate::value::list::{Entry, List};

pub(super) static ROWS: &[Command] = rows! { "list";
    "blmove" 6 WRITE | GROW | BLOCKING, TWO, data(blmove), "6.2.0", "O(1)",
        "Moves an element to another list, or waits for one";
    "blmpop" -5 WRITE | BLOCKING, COUNTED_SECOND, data(blmpop), "7.0.0", "O(keys + elements)",
        "Takes elements of the first list that has some, or waits";
    "blpop" -3 WRITE | BLOCKING, range(1, -2, 1), data(blpop), "2.0.0", "O(keys)",
        "Takes the first element of the first list that has one, or waits";
    "brpop" -3 WRITE | BLOCKING, range(1, -2, 1), data(brpop), "2.0.0", "O(keys)",
        "Takes the last element of the first list that has one, or waits";
    "brpoplpush" 4 WRITE | GROW | BLOCKING, TWO, data(brpoplpush), "2.2.0", "O(1)",
        "Moves the last element to the front of another list, or waits for one";
    "lindex" 3 READ, ONE, data(lindex), "1.0.0", "O(n / node)",
        "Reads the element at a position";
    "linsert" 5 WRITE | GROW, ONE, data(linsert), "2.2.0", "O(n)",
        "Inserts before or after an element";
    "llen" 2 READ | FAST, ONE, data(llen), "1.0.0", "O(1)",
        "Counts elements";
    "lmove" 5 WRITE | GROW, TWO, data(lmove), "6.2.0", "O(1)",
        "Moves an element to another list";
    "lmpop" -4 WRITE, COUNTED, data(lmpop), "7.0.0", "O(keys + elements)",
        "Takes elements of the first list that has some";
    "lpop" -2 WRITE | FAST, ONE, data(lpop), "1.0.0", "O(elements)",
        "Takes the first elements";
    "lpos" -3 READ, ONE, data(lpos), "6.0.6", "O(n), O(MAXLEN) with that",
        "Finds the positions of an element";
    "lpush" -3 WRITE | GROW | FAST, ONE, direct(lpush_directly, lpush), "1.0.0", "O(elements)",
        "Prepends elements";
    "lpushx" -3 WRITE | GROW | FAST, ONE, data(lpushx), "2.2.0", "O(elements)",
        "Prepends elements to a list that exists";
    "lrange" 4 READ, ONE, data(lrange), "1.0.0", "O(n / node + elements)",
        "Reads the elements at some positions";
    "lrem" 4 WRITE, ONE, data(lrem), "1.0.0", "O(n)",
        "Removes elements by value";
    "lset" 4 WRITE | GROW, ONE, data(lset), "1.0.0", "O(n / node)",
        "Replaces the element at a position";
    "ltrim" 4 WRITE, ONE, data(ltrim), "1.0.0", "O(elements removed)",
        "Keeps the elements at some positions only";
    "rpop" -2 WRITE | FAST, ONE, data(rpop), "1.0.0", "O(elements)",
        "Takes the last elements";
    "rpoplpush" 3 WRITE | GROW, TWO, data(rpoplpush), "1.2.0", "O(1)",
        "Moves the last element to the front of another list";
    "rpush" -3 WRITE | GROW | FAST, ONE, direct(rpush_directly, rpush), "1.0.0", "O(elements)",
        "Appends elements";
    "rpushx" -3 WRITE | GROW | FAST, ONE, data(rpushx), "2.2.0", "O(elements)",
        "Appends elements to a list that exists";
};

// --- pushing and taking

fn push(work: &mut Work<'_>, args: &Args<'_>, end: End, create: bool) -> Result<Reply> {
    list::push(work, args[1], end, args[2..].iter().copied(), create).map(Reply::count)
}

fn push_directly(
    engine: &Engine,
    caller: Caller,
    args: &Args<'_>,
    end: End,
) -> Result<Direct<Reply>> {
    let elements = args[2..].iter().copied();
    let done = engine.change_directly(caller, args[1], |work| {
        list::push(work, args[1], end, elements, true)
    });
    Ok(done?.map(Reply::count))
}

fn lpush_directly(engine: &Engine, caller: Caller, args: &Args<'_>) -> Result<Direct<Reply>> {
    push_directly(engine, caller, args, End::Front)
}

fn rpush_directly(engine: &Engine, caller: Caller, args: &Args<'_>) -> Result<Direct<Reply>> {
    push_directly(engine, caller, args, End::Back)
}

fn lpush(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    push(work, args, End::Front, true)
}

fn rpush(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    push(work, args, End::Back, true)
}

fn lpushx(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    push(work, args, End::Front, false)
}

fn rpushx(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    push(work, args, End::Back, false)
}

fn lpop(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    pop(work, args, End::Front, "lpop")
}

fn rpop(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    pop(work, args, End::Back, "rpop")
}

fn pop(work: &mut Work<'_>, args: &Args<'_>, end: End, command: &str) -> Result<Reply> {
    match args {
        [_, key] => {
            let taken = list::pop(work, key, end, 1)?.unwrap_or_default();
            Ok(Reply::bulk_or_null(taken.into_iter().next().map(Vec::from)))
        }
        [_, key, count] => {
            let count = args::positive(count)?;
            let taken = list::pop(work, key, end, count)?;
            Ok(taken.map_or(Reply::NullArray, listed))
        }
        _ => Err(Error::refused_with(format!(
            "ERR wrong number of arguments for '{command}' command"
        ))),
    }
}

fn listed(elements: Vec<Box<[u8]>>) -> Reply {
    let bulk = |element: Box<[u8]>| Reply::bulk(Vec::from(element));
    Reply::Array(elements.into_iter().map(bulk).collect())
}

fn end_of(text: &[u8]) -> Result<End> {
    if args::is(text, "LEFT") {
        Ok(End::Front)
    } else if args::is(text, "RIGHT") {
        Ok(End::Back)
    } else {
        Err(Error::syntax())
    }
}

fn shift(work: &mut Work<'_>, keys: (&[u8], &[u8]), take: End, put: End) -> Result<Option<Reply>> {
    let moved = list::shift(work, keys.0, keys.1, take, put)?;
    Ok(moved.map(|element| Reply::bulk(Vec::from(element))))
}

fn lmove(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let (take, put) = (end_of(args[3])?, end_of(args[4])?);
    Ok(shift(work, (args[1], args[2]), take, put)?.unwrap_or(Reply::Null))
}

fn rpoplpush(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let moved = shift(work, (args[1], args[2]), End::Back, End::Front)?;
    Ok(moved.unwrap_or(Reply::Null))
}

/// Keys, the end that elements are taken from, and how many.
struct Several<'a> {
    keys: &'a Args<'a>,
    end: End,
    count: usize,
}

fn at_least_one(text: &[u8], refusal: &'static str) -> Result<usize> {
    let count = number::parse_i64(text).and_then(|count| usize::try_from(count).ok());
    count
        .filter(|count| *count > 0)
        .ok_or_else(|| Error::refused(refusal))
}

fn several<'a>(rest: &'a Args<'a>) -> Result<Several<'a>> {
    let (count, rest) = rest.split_first().ok_or_else(Error::syntax)?;
    let count = at_least_one(count, "ERR numkeys should be greater than 0")?;
    let (keys, rest) = rest.split_at_checked(count).ok_or_else(Error::syntax)?;
    let (end, rest) = rest.split_first().ok_or_else(Error::syntax)?;
    let end = end_of(end)?;
    // What COUNT is worth is read before what follows it.
    let (count, rest) = match rest {
        [option, count, rest @ ..] if args::is(option, "COUNT") => (
            at_least_one(count, "ERR count should be greater than 0")?,
            rest,
        ),
        rest => (1, rest),
    };
    if !rest.is_empty() {
        return Err(Error::syntax());
    }
    Ok(Several { keys, end, count })
}

/// Takes from the first list that is there; its key and the elements.
fn pop_first(work: &mut Work<'_>, wanted: &Several<'_>) -> Result<Option<Reply>> {
    for key in wanted.keys {
        if let Some(taken) = list::pop(work, key, wanted.end, wanted.count)? {
            return Ok(Some(Reply::Array(vec![
                Reply::bulk_copy(key),
                listed(taken),
            ])));
        }
    }
    Ok(None)
}

fn lmpop(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let wanted = several(&args[1..])?;
    Ok(pop_first(work, &wanted)?.unwrap_or(Reply::NullArray))
}

// --- waiting

fn wait(
    work: &mut Work<'_>,
    keys: &Args<'_>,
    timeout_ms: Option<u64>,
    empty: Reply,
) -> Result<Reply> {
    work.wait_for(Wait {
        keys: keys.iter().map(|key| (*key).into()).collect(),
        kind: Kind::List,
        timeout_ms,
        empty,
    })
}

fn blpop(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    blocking_pop(work, args, End::Front)
}

fn brpop(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    blocking_pop(work, args, End::Back)
}

fn blocking_pop(work: &mut Work<'_>, args: &Args<'_>, end: End) -> Result<Reply> {
    let keys = &args[1..args.len() - 1];
    let timeout = args::timeout(args[args.len() - 1])?;
    for key in keys {
        let taken = list::pop(work, key, end, 1)?.and_then(|mut taken| taken.pop());
        if let Some(element) = taken {
            return Ok(Reply::Array(vec![
                Reply::bulk_copy(key),
                Reply::bulk(Vec::from(element)),
            ]));
        }
    }
    wait(work, keys, timeout, Reply::NullArray)
}

fn blmove(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let (take, put) = (end_of(args[3])?, end_of(args[4])?);
    blocking_move(work, args, take, put, args[5])
}

fn brpoplpush(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    blocking_move(work, args, End::Back, End::Front, args[3])
}

fn blocking_move(
    work: &mut Work<'_>,
    args: &Args<'_>,
    take: End,
    put: End,
    timeout: &[u8],
) -> Result<Reply> {
    let timeout = args::timeout(timeout)?;
    match shift(work, (args[1], args[2]), take, put)? {
        Some(moved) => Ok(moved),
        None => wait(work, &args[1..2], timeout, Reply::Null),
    }
}

fn blmpop(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    // What is given last is looked at first, as Redis does.
    let wanted = several(&args[2..])?;
    let timeout = args::timeout(args[1])?;
    match pop_first(work, &wanted)? {
        Some(found) => Ok(found),
        None => wait(work, wanted.keys, timeout, Reply::NullArray),
    }
}

// --- reading and changing inside

fn llen(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    Ok(Reply::count(
        work.read::<List>(args[1])?.map_or(0, List::len),
    ))
}

fn lindex(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let Some(list) = work.read::<List>(args[1])? else {
        return Ok(Reply::Null);
    };
    let at = list::position(list.len(), args::int(args[2])?);
    let element = at.and_then(|at| list.get(at));
    Ok(element.map_or(Reply::Null, |element| Reply::bulk(element.into_owned())))
}

fn lrange(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let (start, end) = (args::int(args[2])?, args::int(args[3])?);
    let Some(list) = work.read::<List>(args[1])? else {
        return Ok(Reply::Array(Vec::new()));
    };
    let elements = list.iter(list::range(list.len(), start, end));
    Ok(Reply::Array(
        elements
            .map(|element| Reply::bulk(element.into_owned()))
            .collect(),
    ))
}

fn ltrim(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let (start, end) = (args::int(args[2])?, args::int(args[3])?);
    list::trim(work, args[1], start, end).map(|()| Reply::OK)
}

fn lset(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    // The key is looked at before the position, as Redis does.
    list::set(work, args[1], || args::int(args[2]), args[3]).map(|()| Reply::OK)
}

fn lrem(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let count = signed(args[2])?;
    list::remove(work, args[1], count, args[3]).map(Reply::count)
}

fn linsert(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let before = if args::is(args[2], "BEFORE") {
        true
    } else if args::is(args[2], "AFTER") {
        false
    } else {
        return Err(Error::syntax());
    };
    list::insert(work, args[1], before, args[3], args[4]).map(Reply::Int)
}

fn lpos(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let (mut rank, mut count, mut most) = (1, None, 0);
    let mut options = Options::new(&args[3..]);
    while let Some(option) = options.next() {
        let value = options.value()?;
        match &option[..] {
            "RANK" => rank = parse_rank(value)?,
            "COUNT" => count = Some(not_negative(value, "ERR COUNT can't be negative")?),
            "MAXLEN" => most = not_negative(value, "ERR MAXLEN can't be negative")?,
            _ => return Err(Error::syntax()),
        }
    }
    let most = if most == 0 { usize::MAX } else { most };
    let skip = usize::try_from(rank.unsigned_abs() - 1).unwrap_or(usize::MAX);
    let found = match work.read::<List>(args[1])? {
        Some(list) => list.positions(&Entry::new(args[2]), rank > 0, most),
        None => Vec::new(),
    };
    let mut found = found.into_iter().skip(skip).map(Reply::count);
    Ok(match count {
        None => found.next().unwrap_or(Reply::Null),
        Some(0) => Reply::Array(found.collect()),
        Some(count) => Reply::Array(found.take(count).collect()),
    })
}

/// A number that can be negated.
fn signed(text: &[u8]) -> Result<i64> {
    match args::int(text)? {
        i64::MIN => Err(Error::refused(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        )),
        value => Ok(value),
    }
}

fn parse_rank(text: &[u8]) -> Result<i64> {
    let rank = signed(text)?;
    if rank == 0 {
        return Err(Error::refused(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative \
             to start from the end of the list",
        ));
    }
    Ok(rank)
}

fn not_negative(text: &[u8], refusal: &'static str) -> Result<usize> {
    let number = number::parse_i64(text).and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| Error::refused(refusal))
}
