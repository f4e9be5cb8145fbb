//! Chapter: strings compared, by content or by digest.

use super::args::{self, Args, DeadlineForm, Options};
use super::reply::Reply;
use super::row::{At, Command, ONE, TWO, data, rows};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::keyspace::work::event::Class;
use crate::ops::absolute;
use crate::ops::lcs::Lcs;
use crate::ops::string::{self, Set, SetIf};
use crate::options::{Condition, Deadline};
use crate::value::Kind;

pub(super) static ROWS: &[Command] = rows! { "string";
    "delex" -2 WRITE | FAST, ONE, data(delex), "8.4.0", "O(n) with a condition",
        "Removes a key if its value is, or is not, a given one";
    "digest" 2 READ | FAST, ONE, data(digest), "8.4.0", "O(n)",
        "The XXH3 hash of a string";
    "lcs" -3 READ, TWO, data(lcs), "7.0.0", "O(n times m)",
        "The longest common subsequence of two strings";
    "msetex" -4 WRITE | GROW, At::Custom(msetex_keys), data(msetex), "8.4.0", "O(keys)",
        "Sets strings with one deadline, all or none";
};

/// A digest given as text: sixteen characters, compared whatever their case.
pub(super) fn digest_text(text: &[u8]) -> Result<&[u8]> {
    let refused = || Error::refused("ERR must be exactly 16 hexadecimal characters");
    (text.len() == 16).then_some(text).ok_or_else(refused)
}

fn digest(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let value = string::get(work, args[1])?;
    Ok(Reply::bulk_or_null(
        value.map(|value| string::digest(&value)),
    ))
}

fn delex(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    if !matches!(args.len(), 2 | 4) {
        let text = "ERR wrong number of arguments for 'delex' command";
        return Err(Error::refused(text));
    }
    let Some(kind) = work.kind(args[1])? else {
        return Ok(Reply::Int(0));
    };
    if let [_, key, condition, expected] = args {
        if kind != Kind::String {
            return Err(Error::refused(
                "ERR Key should be of string type if conditions are specified",
            ));
        }
        let condition = String::from_utf8_lossy(condition).to_ascii_uppercase();
        let condition = match &condition[..] {
            "IFEQ" => SetIf::Equals(expected),
            "IFNE" => SetIf::Differs(expected),
            "IFDEQ" => SetIf::DigestEquals(digest_text(expected)?),
            "IFDNE" => SetIf::DigestDiffers(digest_text(expected)?),
            _ => {
                return Err(Error::refused(
                    "ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE",
                ));
            }
        };
        let value = string::get(work, key)?;
        if !condition.is_met(value.as_deref()) {
            return Ok(Reply::Int(0));
        }
    }
    let removed = work.remove(args[1])?;
    work.notify(Class::GENERIC, "del", args[1]);
    Ok(Reply::flag(removed))
}

fn lcs(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    for key in &args[1..3] {
        if work.kind(key)?.is_some_and(|kind| kind != Kind::String) {
            return Err(Error::refused(
                "ERR The specified keys must contain string values",
            ));
        }
    }
    let (mut only_len, mut ranges, mut with_len, mut min_len) = (false, false, false, 0);
    let mut options = Options::new(&args[3..]);
    while let Some(option) = options.next() {
        match &option[..] {
            "LEN" => only_len = true,
            "IDX" => ranges = true,
            "WITHMATCHLEN" => with_len = true,
            "MINMATCHLEN" => {
                min_len = usize::try_from(args::int(options.value()?)?.max(0)).unwrap_or(0);
            }
            _ => return Err(Error::syntax()),
        }
    }
    if only_len && ranges {
        return Err(Error::refused(
            "ERR If you want both the length and indexes, please just use IDX.",
        ));
    }
    let a = string::get(work, args[1])?.unwrap_or_default();
    let b = string::get(work, args[2])?.unwrap_or_default();
    let found = Lcs::of(&a, &b)?;
    if only_len {
        return Ok(Reply::count(found.len()));
    }
    if !ranges {
        return Ok(Reply::bulk(found.text(&a)));
    }
    let pair = |range: &std::ops::Range<usize>| {
        Reply::Array(vec![Reply::count(range.start), Reply::count(range.end - 1)])
    };
    let matches = found.matches().iter().filter(|(a, _)| a.len() >= min_len);
    let matches = matches.map(|(a, b)| {
        let mut items = vec![pair(a), pair(b)];
        if with_len {
            items.push(Reply::count(a.len()));
        }
        Reply::Array(items)
    });
    Ok(Reply::Map(vec![
        (
            Reply::bulk_copy(b"matches"),
            Reply::Array(matches.collect()),
        ),
        (Reply::bulk_copy(b"len"), Reply::count(found.len())),
    ]))
}

/// Every other argument after the count, as far as it goes.
fn msetex_keys(args: &Args<'_>) -> Vec<usize> {
    let count = args.get(1).and_then(|text| crate::number::parse_i64(text));
    let count = count.and_then(|count| usize::try_from(count).ok());
    (2..args.len())
        .step_by(2)
        .take(count.unwrap_or(0))
        .collect()
}

fn msetex(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let refused = || Error::refused("ERR invalid numkeys value");
    let count = args::int(args[1]).map_err(|_| refused())?;
    let count = i32::try_from(count).ok().filter(|count| *count > 0);
    let len = count.and_then(|count| usize::try_from(count).ok()?.checked_mul(2));
    let len = len.ok_or_else(refused)?;
    let arity = || Error::refused("ERR wrong number of key-value pairs");
    let (pairs, rest) = args[2..].split_at_checked(len).ok_or_else(arity)?;
    let mut when = Condition::Always;
    let mut form = DeadlineForm::default();
    let mut options = Options::new(rest);
    while let Some(option) = options.next() {
        match (&option[..], when) {
            ("NX", Condition::Always | Condition::IfAbsent) => when = Condition::IfAbsent,
            ("XX", Condition::Always | Condition::IfPresent) => when = Condition::IfPresent,
            _ => form.take(option, &mut options, &["KEEPTTL"])?,
        }
    }
    let deadline = form.deadline("msetex")?.unwrap_or(Deadline::Clear);
    absolute(deadline, work.now, 0, "msetex")?;
    for pair in pairs.chunks_exact(2) {
        let there = work.entry(pair[0])?.is_some();
        let met = match when {
            Condition::Always => true,
            Condition::IfAbsent => !there,
            Condition::IfPresent => there,
        };
        if !met {
            return Ok(Reply::Int(0));
        }
    }
    for pair in pairs.chunks_exact(2) {
        let how = Set {
            condition: SetIf::Plain(Condition::Always),
            deadline,
            get: false,
        };
        string::set(work, pair[0], pair[1], how)?;
    }
    Ok(Reply::Int(1))
}
