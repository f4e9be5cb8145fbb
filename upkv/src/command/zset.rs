//! Chapter: sorted sets.

use super::args::{self, Args, Options, ScanOf};
use super::hash::{score_text, shuffle_prefix};
use super::reply::Reply;
use super::row::{COUNTED, Command, ONE, STORED, TWO, data, direct, rows};
use super::zset_add::{zadd, zadd_directly};
use crate::error::{Error, Result};
use crate::glob;
use crate::keyspace::work::Work;
use crate::number;
use crate::ops::zset::{self, AddIf, Aggregate, Algebra, By, Interval, Scored};
use crate::profile::Rules;
use crate::value::zset::{LexBound, ScoreBound, Zset};

pub(super) static ROWS: &[Command] = rows! { "sorted-set";
    "zadd" -4 WRITE | GROW | FAST, ONE, direct(zadd_directly, zadd), "1.2.0", "O(log n) a member",
        "Adds or updates members";
    "zcard" 2 READ | FAST, ONE, data(zcard), "1.2.0", "O(1)",
        "Counts members";
    "zcount" 4 READ | FAST, ONE, data(zcount), "2.0.0", "O(log n)",
        "Counts members by score";
    "zdiff" -3 READ, COUNTED, data(zdiff), "6.2.0", "O(n log n) in all members",
        "Members of the first set only";
    "zdiffstore" -4 WRITE | GROW, STORED, data(zdiffstore), "6.2.0", "O(n log n) in all members",
        "Stores a difference";
    "zincrby" 4 WRITE | GROW | FAST, ONE, data(zincrby), "1.2.0", "O(log n)",
        "Adds to a score";
    "zinter" -3 READ, COUNTED, data(zinter), "6.2.0", "O(n log n) in all members",
        "Members of all sets";
    "zinterstore" -4 WRITE | GROW, STORED, data(zinterstore), "2.0.0", "O(n log n) in all members",
        "Stores an intersection";
    "zlexcount" 4 READ | FAST, ONE, data(zlexcount), "2.8.9", "O(log n)",
        "Counts members by name";
    "zmscore" -3 READ | FAST, ONE, data(zmscore), "6.2.0", "O(members)",
        "Reads scores";
    "zrandmember" -2 READ, ONE, data(zrandmember), "6.2.0", "O(n) with a positive count, else O(log n) a pick",
        "Picks random members";
    "zrange" -4 READ, ONE, data(zrange), "1.2.0", "O(log n + m)",
        "Reads a range";
    "zrangebylex" -4 READ, ONE, data(zrangebylex), "2.8.9", "O(log n + m)",
        "Reads a range of names";
    "zrangebyscore" -4 READ, ONE, data(zrangebyscore), "1.0.5", "O(log n + m)",
        "Reads a range of scores";
    "zrangestore" -5 WRITE | GROW, TWO, data(zrangestore), "6.2.0", "O(log n + m log m)",
        "Stores a range";
    "zrank" -3 READ | FAST, ONE, data(zrank), "2.0.0", "O(log n)",
        "Tells a rank from the lowest";
    "zrem" -3 WRITE | FAST, ONE, data(zrem), "1.2.0", "O(log n) a member",
        "Removes members";
    "zremrangebylex" 4 WRITE, ONE, data(zremrangebylex), "2.8.9", "O(log n) a member",
        "Removes a range of names";
    "zremrangebyrank" 4 WRITE, ONE, data(zremrangebyrank), "2.0.0", "O(log n) a member",
        "Removes a range of ranks";
    "zremrangebyscore" 4 WRITE, ONE, data(zremrangebyscore), "1.2.0", "O(log n) a member",
        "Removes a range of scores";
    "zrevrange" -4 READ, ONE, data(zrevrange), "1.2.0", "O(log n + m)",
        "Reads a range from the highest";
    "zrevrangebylex" -4 READ, ONE, data(zrevrangebylex), "2.8.9", "O(log n + m)",
        "Reads a range of names backwards";
    "zrevrangebyscore" -4 READ, ONE, data(zrevrangebyscore), "2.2.0", "O(log n + m)",
        "Reads a range of scores backwards";
    "zrevrank" -3 READ | FAST, ONE, data(zrevrank), "2.0.0", "O(log n)",
        "Tells a rank from the highest";
    "zscan" -3 READ, ONE, data(zscan), "2.8.0", "O(COUNT + 896), O(128) while small",
        "Iterates over members";
    "zscore" 3 READ | FAST, ONE, data(zscore), "1.2.0", "O(1)",
        "Reads a score";
    "zunion" -3 READ, COUNTED, data(zunion), "6.2.0", "O(n log n) in all members",
        "Members of any set";
    "zunionstore" -4 WRITE | GROW, STORED, data(zunionstore), "2.0.0", "O(n log n) in all members",
        "Stores a union";
};

fn members(items: Vec<Scored>) -> Reply {
    Reply::Array(
        items
            .into_iter()
            .map(|(member, _)| Reply::bulk(member))
            .collect(),
    )
}

pub(super) fn pairs(items: Vec<Scored>) -> Reply {
    let pair = |(member, score)| (Reply::bulk(member), Reply::Double(score));
    Reply::Pairs(items.into_iter().map(pair).collect())
}

fn listed(items: Vec<Scored>, with_scores: bool) -> Reply {
    if with_scores {
        pairs(items)
    } else {
        members(items)
    }
}

pub(super) fn zincrby(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let change = args::float(args[2])?;
    let sum = zset::incr(work, args[1], AddIf::default(), change, args[3])?;
    Ok(sum.map_or(Reply::Null, Reply::Double))
}

pub(super) fn zscore(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let score = work.zset(args[1])?.and_then(|zset| zset.score(args[2]));
    Ok(score.map_or(Reply::Null, Reply::Double))
}

pub(super) fn zmscore(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let zset = work.zset(args[1])?;
    let scores = args[2..].iter().map(|member| {
        let score = zset.and_then(|zset| zset.score(member));
        score.map_or(Reply::Null, Reply::Double)
    });
    Ok(Reply::Array(scores.collect()))
}

pub(super) fn zcard(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    Ok(Reply::count(work.zset(args[1])?.map_or(0, Zset::len)))
}

pub(super) fn zcount(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let (min, max) = score_bounds(args[2], args[3])?;
    let ranks = work
        .zset(args[1])?
        .map(|zset| zset.ranks_by_score(min, max));
    Ok(Reply::count(ranks.map_or(0, |ranks| ranks.len())))
}

pub(super) fn zlexcount(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let (min, max) = lex_bounds(args[2], args[3])?;
    let ranks = work
        .zset(args[1])?
        .map(|zset| zset.ranks_by_lex(&min, &max));
    Ok(Reply::count(ranks.map_or(0, |ranks| ranks.len())))
}

pub(super) fn zrem(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    zset::remove(work, args[1], args[2..].iter().copied()).map(Reply::count)
}

pub(super) fn zrank(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    rank(work, args, false)
}

pub(super) fn zrevrank(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    rank(work, args, true)
}

fn rank(work: &mut Work<'_>, args: &Args<'_>, reverse: bool) -> Result<Reply> {
    let with_score = match args {
        [_, _, _] => false,
        [_, _, _, option] if args::is(option, "WITHSCORE") => true,
        [_, _, _, _] => return Err(Error::syntax()),
        _ => {
            let name = String::from_utf8_lossy(args[0]).to_ascii_lowercase();
            let text = format!("ERR wrong number of arguments for '{name}' command");
            return Err(Error::refused_with(text));
        }
    };
    let zset = work.zset(args[1])?;
    let found = zset.and_then(|zset| {
        let (rank, score) = zset.rank(args[2])?;
        Some((if reverse { zset.len() - 1 - rank } else { rank }, score))
    });
    Ok(match found {
        None if with_score => Reply::NullArray,
        None => Reply::Null,
        Some((rank, score)) if with_score => {
            Reply::Array(vec![Reply::count(rank), Reply::Double(score)])
        }
        Some((rank, _)) => Reply::count(rank),
    })
}

// --- ranges

fn score_bound(text: &[u8]) -> Result<ScoreBound> {
    let (exclusive, number) = match text {
        [b'(', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let refused = || Error::refused("ERR min or max is not a float");
    let score = number::parse_bound(number).ok_or_else(refused)?;
    Ok(ScoreBound { score, exclusive })
}

fn score_bounds(min: &[u8], max: &[u8]) -> Result<(ScoreBound, ScoreBound)> {
    Ok((score_bound(min)?, score_bound(max)?))
}

fn lex_bound(text: &[u8]) -> Result<LexBound> {
    match text {
        b"-" => Ok(LexBound::Lowest),
        b"+" => Ok(LexBound::Highest),
        [b'[', rest @ ..] => Ok(LexBound::Inclusive(rest.into())),
        [b'(', rest @ ..] => Ok(LexBound::Exclusive(rest.into())),
        _ => Err(Error::refused("ERR min or max not valid string range item")),
    }
}

fn lex_bounds(min: &[u8], max: &[u8]) -> Result<(LexBound, LexBound)> {
    Ok((lex_bound(min)?, lex_bound(max)?))
}

/// How a range command names its interval.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Rank,
    Score,
    Lex,
}

/// The options and bounds of a range command.
struct RangeCommand {
    interval: Interval,
    with_scores: bool,
}

/// Parses `start stop [options]`. A legacy command fixes form and direction; `rules` tell whether ranks may be limited.
fn range_command(
    rules: Rules,
    args: &Args<'_>,
    fixed: Option<(Form, bool)>,
    may_have_scores: bool,
) -> Result<RangeCommand> {
    let (mut form, mut reverse) = fixed.map_or((None, None), |(f, r)| (Some(f), Some(r)));
    let mut limit = None;
    let mut with_scores = false;
    let mut options = Options::new(&args[2..]);
    while let Some(option) = options.next() {
        match &option[..] {
            "WITHSCORES" if may_have_scores => with_scores = true,
            "LIMIT" => {
                let values = options.values(2)?;
                limit = Some((args::int(values[0])?, args::int(values[1])?));
            }
            "BYSCORE" if form.is_none() => form = Some(Form::Score),
            "BYLEX" if form.is_none() => form = Some(Form::Lex),
            "REV" if reverse.is_none() => reverse = Some(true),
            _ => return Err(Error::syntax()),
        }
    }
    let (form, reverse) = (form.unwrap_or(Form::Rank), reverse.unwrap_or(false));
    // A count of -1 means no limit, so Redis does not notice a LIMIT that has it.
    if form == Form::Rank && limit.is_some_and(|(_, take)| take == -1) {
        limit = None;
    }
    if limit.is_some() && form == Form::Rank && !rules.is_upstash() {
        return Err(Error::refused(
            "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
        ));
    }
    if with_scores && form == Form::Lex {
        return Err(Error::refused(
            "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
        ));
    }
    let (low, high) = if reverse && form != Form::Rank {
        (args[1], args[0])
    } else {
        (args[0], args[1])
    };
    let by = match form {
        Form::Rank => By::Rank(args::int(low)?, args::int(high)?),
        Form::Score => score_bounds(low, high).map(|(min, max)| By::Score(min, max))?,
        Form::Lex => lex_bounds(low, high).map(|(min, max)| By::Lex(min, max))?,
    };
    Ok(RangeCommand {
        interval: Interval { by, reverse, limit },
        with_scores,
    })
}

fn read_range(work: &mut Work<'_>, args: &Args<'_>, fixed: Option<(Form, bool)>) -> Result<Reply> {
    let range = range_command(work.engine.rules, &args[2..], fixed, true)?;
    let items = range.interval.read(work, args[1])?;
    Ok(listed(items, range.with_scores))
}

pub(super) fn zrange(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    read_range(work, args, None)
}

pub(super) fn zrevrange(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    read_range(work, args, Some((Form::Rank, true)))
}

pub(super) fn zrangebyscore(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    read_range(work, args, Some((Form::Score, false)))
}

pub(super) fn zrevrangebyscore(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    read_range(work, args, Some((Form::Score, true)))
}

pub(super) fn zrangebylex(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    read_range(work, args, Some((Form::Lex, false)))
}

pub(super) fn zrevrangebylex(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    read_range(work, args, Some((Form::Lex, true)))
}

pub(super) fn zrangestore(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let range = range_command(work.engine.rules, &args[3..], None, false)?;
    let items = range.interval.read(work, args[2])?;
    zset::store(work, args[1], "zrangestore", &items)?;
    Ok(Reply::count(items.len()))
}

fn remove_range(work: &mut Work<'_>, key: &[u8], by: By) -> Result<Reply> {
    let interval = Interval {
        by,
        reverse: false,
        limit: None,
    };
    let event = match &interval.by {
        By::Rank(..) => "zremrangebyrank",
        By::Score(..) => "zremrangebyscore",
        By::Lex(..) => "zremrangebylex",
    };
    let taken = zset::take_range(work, key, event, |zset| interval.ranks(zset))?;
    Ok(Reply::count(taken.len()))
}

pub(super) fn zremrangebyrank(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let by = By::Rank(args::int(args[2])?, args::int(args[3])?);
    remove_range(work, args[1], by)
}

pub(super) fn zremrangebyscore(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let (min, max) = score_bounds(args[2], args[3])?;
    remove_range(work, args[1], By::Score(min, max))
}

pub(super) fn zremrangebylex(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let (min, max) = lex_bounds(args[2], args[3])?;
    remove_range(work, args[1], By::Lex(min, max))
}

// --- picking

pub(super) fn zrandmember(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let mount = work.engine.mount.clone();
    let [_, key, options @ ..] = args else {
        return Err(Error::syntax());
    };
    let pick = |zset: &crate::value::zset::Zset| {
        let rank = usize::try_from(mount.random() % zset.len().max(1) as u64).unwrap_or(0);
        let item = zset.at(rank)?;
        Some((bytes::Bytes::copy_from_slice(item.member), item.score))
    };
    let Some((count, rest)) = options.split_first() else {
        let picked = work.zset(key)?.and_then(pick);
        return Ok(Reply::bulk_or_null(picked.map(|(member, _)| member)));
    };
    let count = args::random_count(count)?;
    let with_scores = match rest {
        [] => false,
        [option] if args::is(option, "WITHSCORES") => true,
        _ => return Err(Error::syntax()),
    };
    if with_scores && count.unsigned_abs() > i64::MAX.unsigned_abs() / 2 {
        return Err(Error::refused("ERR value is out of range"));
    }
    let Some(zset) = work.zset(key)? else {
        return Ok(Reply::Array(Vec::new()));
    };
    let mut picked: Vec<Scored> = Vec::new();
    if count < 0 {
        picked.extend((0..args::repetitions(count)?).map_while(|_| pick(zset)));
    } else {
        let copy = |item: crate::value::zset::Item<'_>| {
            (bytes::Bytes::copy_from_slice(item.member), item.score)
        };
        picked.extend(zset.iter(0..usize::MAX).map(copy));
        shuffle_prefix(&mut picked, count.unsigned_abs(), || mount.random());
    }
    Ok(listed(picked, with_scores))
}

pub(super) fn zscan(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let cursor = args::cursor(args[2])?;
    // The key is looked at before the options, as Redis does.
    let Some(zset) = work.zset(args[1])? else {
        return Ok(Reply::scanned(None, Vec::new()));
    };
    let options = args::scan_options(&args[3..], ScanOf::Zset)?;
    let mut items = Vec::new();
    let next = zset.scan(cursor, options.count, |item| {
        if options
            .pattern
            .is_none_or(|pattern| glob::matches(pattern, item.member))
        {
            items.push(Reply::bulk_copy(item.member));
            items.push(score_text(item.score));
        }
    });
    Ok(Reply::scanned(next, items))
}

// --- set algebra

/// Parses `numkeys key... [WEIGHTS ..] [AGGREGATE ..] [WITHSCORES]` and computes the result.
fn combine(
    work: &mut Work<'_>,
    rest: &Args<'_>,
    algebra: Algebra,
    command: &str,
    stores: bool,
) -> Result<(Vec<Scored>, bool)> {
    let (keys, rest) = args::counted_keys(rest, command)?;
    // Types are checked before the options, as Redis does.
    zset::expect_scored(work, keys)?;
    let mut weights = Vec::new();
    let mut aggregate = Aggregate::default();
    let mut with_scores = false;
    let mut options = Options::new(rest);
    while let Some(option) = options.next() {
        match &option[..] {
            "WEIGHTS" if algebra != Algebra::Diff => {
                weights.clear();
                for weight in options.values(keys.len())? {
                    let refused = || Error::refused("ERR weight value is not a float");
                    weights.push(number::parse_f64(weight).ok_or_else(refused)?);
                }
            }
            "AGGREGATE" if algebra != Algebra::Diff => {
                let name = options.value()?.to_ascii_uppercase();
                aggregate = match name.as_slice() {
                    b"SUM" => Aggregate::Sum,
                    b"MIN" => Aggregate::Min,
                    b"MAX" => Aggregate::Max,
                    b"COUNT" => Aggregate::Count,
                    _ => return Err(Error::syntax()),
                };
            }
            "WITHSCORES" if !stores => with_scores = true,
            _ => return Err(Error::syntax()),
        }
    }
    let items = zset::combine(work, algebra, keys, &weights, aggregate)?;
    Ok((items, with_scores))
}

fn read_combined(
    work: &mut Work<'_>,
    args: &Args<'_>,
    algebra: Algebra,
    command: &str,
) -> Result<Reply> {
    let (items, with_scores) = combine(work, &args[1..], algebra, command, false)?;
    Ok(listed(items, with_scores))
}

fn store_combined(
    work: &mut Work<'_>,
    args: &Args<'_>,
    algebra: Algebra,
    command: &'static str,
) -> Result<Reply> {
    let (items, _) = combine(work, &args[2..], algebra, command, true)?;
    zset::store(work, args[1], command, &items)?;
    Ok(Reply::count(items.len()))
}

pub(super) fn zunion(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    read_combined(work, args, Algebra::Union, "zunion")
}

pub(super) fn zinter(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    read_combined(work, args, Algebra::Inter, "zinter")
}

pub(super) fn zdiff(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    read_combined(work, args, Algebra::Diff, "zdiff")
}

pub(super) fn zunionstore(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    store_combined(work, args, Algebra::Union, "zunionstore")
}

pub(super) fn zinterstore(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    store_combined(work, args, Algebra::Inter, "zinterstore")
}

pub(super) fn zdiffstore(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    store_combined(work, args, Algebra::Diff, "zdiffstore")
}
