//! Chapter: deadlines of hash fields.

use super::args::{self, Args};
use super::reply::Reply;
use super::row::{Command, ONE, data, rows};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::number;
use crate::ops::field_ttl::{self, FieldDeadline, SetIf, Touch, check_deadline};
use crate::ops::keys::ExpireIf;
use crate::value::Kind;

pub(super) static ROWS: &[Command] = rows! { "hash";
    "hexpire" -6 WRITE | FAST, ONE, data(hexpire), "7.4.0", "O(fields log n)",
        "Sets the time to live of fields in seconds";
    "hexpireat" -6 WRITE | FAST, ONE, data(hexpireat), "7.4.0", "O(fields log n)",
        "Sets the deadline of fields in seconds";
    "hexpiretime" -5 READ | FAST, ONE, data(hexpiretime), "7.4.0", "O(fields log n)",
        "Tells the deadline of fields in seconds";
    "hgetdel" -5 WRITE | FAST, ONE, data(hgetdel), "8.0.0", "O(fields log n)",
        "Reads and removes fields";
    "hgetex" -5 WRITE | FAST, ONE, data(hgetex), "8.0.0", "O(fields log n)",
        "Reads fields and sets their deadlines";
    "hpersist" -5 WRITE | FAST, ONE, data(hpersist), "7.4.0", "O(fields log n)",
        "Removes the deadline of fields";
    "hpexpire" -6 WRITE | FAST, ONE, data(hpexpire), "7.4.0", "O(fields log n)",
        "Sets the time to live of fields in milliseconds";
    "hpexpireat" -6 WRITE | FAST, ONE, data(hpexpireat), "7.4.0", "O(fields log n)",
        "Sets the deadline of fields in milliseconds";
    "hpexpiretime" -5 READ | FAST, ONE, data(hpexpiretime), "7.4.0", "O(fields log n)",
        "Tells the deadline of fields in milliseconds";
    "hpttl" -5 READ | FAST, ONE, data(hpttl), "7.4.0", "O(fields log n)",
        "Tells the time to live of fields in milliseconds";
    "hsetex" -6 WRITE | GROW | FAST, ONE, data(hsetex), "8.0.0", "O(fields log n)",
        "Sets fields with a deadline";
    "httl" -5 READ | FAST, ONE, data(httl), "7.4.0", "O(fields log n)",
        "Tells the time to live of fields in seconds";
};

/// The fields after `FIELDS n`, which must be all that follows.
fn fields<'a>(rest: &'a Args<'a>, bad_count: &'static str) -> Result<&'a Args<'a>> {
    let misplaced =
        || Error::refused("ERR Mandatory argument FIELDS is missing or not at the right position");
    let [word, count, fields @ ..] = rest else {
        return Err(misplaced());
    };
    if !args::is(word, "FIELDS") {
        return Err(misplaced());
    }
    let count = number::parse_i64(count).filter(|count| *count > 0);
    let count = count.ok_or_else(|| Error::refused(bad_count))?;
    if usize::try_from(count) != Ok(fields.len()) {
        return Err(Error::refused(
            "ERR The `numfields` parameter must match the number of arguments",
        ));
    }
    Ok(fields)
}

const NOT_POSITIVE: &str = "ERR Number of fields must be a positive integer";

/// A time in the unit and from the start that the command names, as a deadline in ms.
fn deadline(text: &[u8], seconds: bool, relative: bool, now: u64, command: &str) -> Result<u64> {
    let time = args::int(text)?;
    let negative = || Error::refused("ERR invalid expire time, must be >= 0");
    let time = u64::try_from(time).map_err(|_| negative())?;
    let millis = if seconds {
        time.checked_mul(1000)
    } else {
        Some(time)
    };
    let base = if relative { now } else { 0 };
    let at = millis.and_then(|millis| base.checked_add(millis));
    check_deadline(at, command)
}

fn expire_with(
    work: &mut Work<'_>,
    args: &Args<'_>,
    command: &str,
    seconds: bool,
    relative: bool,
) -> Result<Reply> {
    work.expect_kind(args[1], Kind::Hash)?;
    // Upstash takes a time before the present one, too, and removes the fields.
    let time = match args::int(args[2]) {
        Ok(..0) if work.engine.rules.is_upstash() => b"0",
        _ => args[2],
    };
    let at = deadline(time, seconds, relative, work.now, command)?;
    let mut when = ExpireIf::default();
    let mut rest = &args[3..];
    match rest[0].to_ascii_uppercase().as_slice() {
        b"NX" => when.absent = true,
        b"XX" => when.present = true,
        b"GT" => when.greater = true,
        b"LT" => when.less = true,
        _ => {}
    }
    if when != ExpireIf::default() {
        rest = &rest[1..];
    }
    let fields = fields(rest, "ERR Parameter `numFields` should be greater than 0")?;
    let done = field_ttl::expire_at(work, args[1], fields, at, when)?;
    let codes = done.into_iter().map(|code| Reply::Int(code as i64));
    Ok(Reply::Array(codes.collect()))
}

fn hexpire(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    expire_with(work, args, "hexpire", true, true)
}

fn hpexpire(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    expire_with(work, args, "hpexpire", false, true)
}

fn hexpireat(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    expire_with(work, args, "hexpireat", true, false)
}

fn hpexpireat(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    expire_with(work, args, "hpexpireat", false, false)
}

fn deadlines(
    work: &mut Work<'_>,
    args: &Args<'_>,
    convert: impl Fn(u64, u64) -> u64,
) -> Result<Reply> {
    work.expect_kind(args[1], Kind::Hash)?;
    let fields = fields(&args[2..], NOT_POSITIVE)?;
    let now = work.now;
    let found = field_ttl::deadlines(work, args[1], fields)?;
    let number = |deadline| match deadline {
        None => -2,
        Some(0) => -1,
        Some(at) => i64::try_from(convert(at, now)).unwrap_or(i64::MAX),
    };
    let numbers = found
        .into_iter()
        .map(|deadline| Reply::Int(number(deadline)));
    Ok(Reply::Array(numbers.collect()))
}

fn httl(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    deadlines(work, args, |at, now| (at - now).saturating_add(999) / 1000)
}

fn hpttl(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    deadlines(work, args, |at, now| at - now)
}

fn hexpiretime(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    deadlines(work, args, |at, _| at.saturating_add(999) / 1000)
}

fn hpexpiretime(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    deadlines(work, args, |at, _| at)
}

fn hpersist(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    work.expect_kind(args[1], Kind::Hash)?;
    let fields = fields(&args[2..], NOT_POSITIVE)?;
    let before = field_ttl::persist(work, args[1], fields)?;
    let number = |deadline| match deadline {
        None => -2,
        Some(0) => -1,
        Some(_) => 1,
    };
    let numbers = before
        .into_iter()
        .map(|deadline| Reply::Int(number(deadline)));
    Ok(Reply::Array(numbers.collect()))
}

fn values(found: Vec<Option<bytes::Bytes>>) -> Reply {
    Reply::Array(found.into_iter().map(Reply::bulk_or_null).collect())
}

fn hgetdel(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    work.expect_kind(args[1], Kind::Hash)?;
    let fields = fields(&args[2..], NOT_POSITIVE)?;
    field_ttl::get_del(work, args[1], fields).map(values)
}

/// Unit and start of a deadline form: whether in seconds, whether from now.
fn form(word: &[u8]) -> Option<(bool, bool)> {
    match word.to_ascii_uppercase().as_slice() {
        b"EX" => Some((true, true)),
        b"PX" => Some((false, true)),
        b"EXAT" => Some((true, false)),
        b"PXAT" => Some((false, false)),
        _ => None,
    }
}

fn hgetex(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    work.expect_kind(args[1], Kind::Hash)?;
    let mut rest = &args[2..];
    let mut touch = Touch::Leave;
    if args::is(rest[0], "PERSIST") {
        touch = Touch::Persist;
        rest = &rest[1..];
    } else if let Some((seconds, relative)) = form(rest[0]) {
        let at = deadline(rest[1], seconds, relative, work.now, "hgetex")?;
        touch = Touch::At(at);
        rest = &rest[2..];
        if rest.len() == 1 {
            return Err(wrong_arity("hgetex"));
        }
    }
    let fields = fields(rest, NOT_POSITIVE)?;
    field_ttl::get_ex(work, args[1], fields, touch).map(values)
}

fn hsetex(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let mut when = SetIf::Always;
    let mut leave = None;
    let mut rest = &args[2..];
    while let [word, after @ ..] = rest {
        if args::is(word, "FIELDS") {
            let pairs = pairs(after)?;
            let pairs = pairs.chunks_exact(2).map(|pair| (pair[0], pair[1]));
            let leave = leave.unwrap_or_default();
            return field_ttl::set_ex(work, args[1], pairs, when, leave).map(Reply::flag);
        }
        rest = after;
        if args::is(word, "FNX") || args::is(word, "FXX") {
            if when != SetIf::Always {
                return Err(Error::refused(
                    "ERR Only one of FXX or FNX arguments can be specified",
                ));
            }
            when = if args::is(word, "FNX") {
                SetIf::AllAbsent
            } else {
                SetIf::AllPresent
            };
            continue;
        }
        let keep = args::is(word, "KEEPTTL");
        let timed = form(word);
        if !keep && timed.is_none() {
            let text = format!("ERR unknown argument: {}", String::from_utf8_lossy(word));
            return Err(Error::refused_with(text));
        }
        if leave.is_some() {
            return Err(Error::refused(
                "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
            ));
        }
        leave = Some(FieldDeadline::Keep);
        if let Some((seconds, relative)) = timed {
            let [time, after @ ..] = rest else {
                return Err(Error::syntax());
            };
            rest = after;
            let at = deadline(time, seconds, relative, work.now, "hsetex")?;
            leave = Some(FieldDeadline::At(at));
        }
    }
    Err(wrong_arity("hsetex"))
}

/// The fields and values after `FIELDS`, which must be all that follows.
fn pairs<'a>(rest: &'a Args<'a>) -> Result<&'a Args<'a>> {
    let [count, pairs @ ..] = rest else {
        return Err(wrong_arity("hsetex"));
    };
    if pairs.len() < 2 {
        return Err(wrong_arity("hsetex"));
    }
    let count = number::parse_i64(count).filter(|count| (1..=i64::from(i32::MAX)).contains(count));
    let count = count.ok_or_else(|| Error::refused("ERR invalid number of fields"))?;
    let wanted = usize::try_from(count * 2).ok();
    if wanted != Some(pairs.len()) {
        return Err(wrong_arity("hsetex"));
    }
    Ok(pairs)
}

fn wrong_arity(command: &str) -> Error {
    Error::refused_with(format!(
        "ERR wrong number of arguments for '{command}' command"
    ))
}
