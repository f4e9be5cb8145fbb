//! Chapter: keys, whatever they hold.

use super::args::{self, Args, Options, ScanOf};
use super::reply::Reply;
use super::row::{Command, EACH, NO_KEYS, ONE, TWO, data, rows};
use crate::error::{Error, Result};
use crate::glob;
use crate::keyspace::work::Work;
use crate::ops::keys::{self, ExpireIf};
use crate::value::Kind;

pub(super) static ROWS: &[Command] = rows! { "generic";
    "copy" -3 WRITE | GROW, TWO, data(copy), "6.2.0", "O(n) in the value",
        "Copies a key";
    "del" -2 WRITE, EACH, data(del), "1.0.0", "O(keys); a large value is freed after the reply is known",
        "Removes keys";
    "exists" -2 READ | FAST, EACH, data(exists), "1.0.0", "O(keys)",
        "Counts existing keys";
    "expire" -3 WRITE | FAST, ONE, data(expire), "1.0.0", "O(1)",
        "Sets a time to live in seconds";
    "expireat" -3 WRITE | FAST, ONE, data(expireat), "1.2.0", "O(1)",
        "Sets a deadline in seconds";
    "expiretime" 2 READ | FAST, ONE, data(expiretime), "7.0.0", "O(1)",
        "Tells the deadline in seconds";
    "keys" 2 READ | ALL | DANGEROUS, NO_KEYS, data(keys), "1.0.0", "O(n), all shards locked",
        "Lists the keys that match a pattern";
    "move" 3 WRITE | FAST, ONE, data(move_key), "1.0.0", "O(n) in the value, which is logged once more",
        "Moves a key to another database";
    "persist" 2 WRITE | FAST, ONE, data(persist), "2.2.0", "O(1)",
        "Removes a deadline";
    "pexpire" -3 WRITE | FAST, ONE, data(pexpire), "2.6.0", "O(1)",
        "Sets a time to live in milliseconds";
    "pexpireat" -3 WRITE | FAST, ONE, data(pexpireat), "2.6.0", "O(1)",
        "Sets a deadline in milliseconds";
    "pexpiretime" 2 READ | FAST, ONE, data(pexpiretime), "7.0.0", "O(1)",
        "Tells the deadline in milliseconds";
    "pttl" 2 READ | FAST, ONE, data(pttl), "2.6.0", "O(1)",
        "Tells the time to live in milliseconds";
    "randomkey" 1 READ | ALL, NO_KEYS, data(randomkey), "1.0.0", "O(shards)",
        "Picks a random key";
    "rename" 3 WRITE, TWO, data(rename), "1.0.0", "O(n) in the value, which is logged under the new name",
        "Renames a key";
    "renamenx" 3 WRITE | FAST, TWO, data(renamenx), "1.0.0", "O(n) in the value",
        "Renames a key if the new name is free";
    "scan" -2 READ, NO_KEYS, data(scan), "2.8.0", "O(COUNT + 896)",
        "Iterates over keys";
    "touch" -2 READ | FAST, EACH, data(touch), "3.2.1", "O(keys)",
        "Counts existing keys and notes the access";
    "ttl" 2 READ | FAST, ONE, data(ttl), "1.0.0", "O(1)",
        "Tells the time to live in seconds";
    "type" 2 READ | FAST, ONE, data(type_of), "1.0.0", "O(1)",
        "Tells the type of a key";
    "unlink" -2 WRITE | FAST, EACH, data(del), "4.0.0", "O(keys)",
        "Removes keys";
};

pub(super) fn del(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let mut removed = 0;
    for key in &args[1..] {
        removed += usize::from(keys::delete(work, key)?);
    }
    Ok(Reply::count(removed))
}

pub(super) fn exists(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let mut found = 0;
    for key in &args[1..] {
        found += usize::from(work.exists(key)?);
    }
    Ok(Reply::count(found))
}

pub(super) fn touch(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let mut found = 0;
    for key in &args[1..] {
        found += usize::from(work.refresh(key)?);
    }
    Ok(Reply::count(found))
}

pub(super) fn type_of(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    Ok(Reply::Status(
        work.kind(args[1])?.map_or("none", Kind::name),
    ))
}

pub(super) fn rename(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    keys::rename(work, args[1], args[2], false).map(|_| Reply::OK)
}

pub(super) fn renamenx(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    keys::rename(work, args[1], args[2], true).map(Reply::flag)
}

pub(super) fn copy(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let mut replace = false;
    let mut to = work.db();
    let databases = work.engine.rules.databases();
    let mut options = Options::new(&args[3..]);
    while let Some(option) = options.next() {
        match &option[..] {
            "REPLACE" => replace = true,
            "DB" => to = args::database(options.value()?, databases)?,
            _ => return Err(Error::syntax()),
        }
    }
    keys::copy(work, args[1], args[2], to, replace).map(Reply::flag)
}

pub(super) fn move_key(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let to = args::database(args[2], work.engine.rules.databases())?;
    keys::move_to(work, args[1], to).map(Reply::flag)
}

pub(super) fn randomkey(work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    keys::random(work).map(Reply::bulk_or_null)
}

pub(super) fn keys(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let found = keys::matching(work, args[1])?;
    Ok(Reply::Array(found.into_iter().map(Reply::bulk).collect()))
}

pub(super) fn scan(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let cursor = args::cursor(args[1])?;
    let options = args::scan_options(&args[2..], ScanOf::Keys)?;
    let is_wanted = |key: &[u8], kind: Kind| {
        options
            .pattern
            .is_none_or(|pattern| glob::matches(pattern, key))
            && options
                .kind
                .is_none_or(|wanted| args::is(wanted, kind.name()))
    };
    let page = if work.engine.rules.is_upstash() {
        match options.pattern.and_then(glob::literal) {
            Some(key) => keys::scan_for(work, key, is_wanted)?,
            None => keys::scan_until(work, cursor, options.count, is_wanted)?,
        }
    } else {
        keys::scan(work, cursor, options.count, is_wanted)?
    };
    let mut items = Vec::with_capacity(page.keys.len());
    for (key, kind) in page.keys {
        items.push(Reply::bulk(key));
        if options.with_kind {
            items.push(Reply::bulk_copy(kind.name().as_bytes()));
        }
    }
    let next = (page.cursor != 0).then_some(page.cursor);
    Ok(Reply::scanned(next, items))
}

pub(super) fn expire(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    expire_with(work, args, "expire", true, true)
}

pub(super) fn pexpire(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    expire_with(work, args, "pexpire", false, true)
}

pub(super) fn expireat(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    expire_with(work, args, "expireat", true, false)
}

pub(super) fn pexpireat(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    expire_with(work, args, "pexpireat", false, false)
}

fn expire_with(
    work: &mut Work<'_>,
    args: &Args<'_>,
    command: &str,
    seconds: bool,
    relative: bool,
) -> Result<Reply> {
    let mut when = ExpireIf::default();
    for option in &args[3..] {
        match option.to_ascii_uppercase().as_slice() {
            b"NX" => when.absent = true,
            b"XX" => when.present = true,
            b"GT" => when.greater = true,
            b"LT" => when.less = true,
            _ => {
                let option = args::echo(option, option.len());
                return Err(Error::refused_with(format!(
                    "ERR Unsupported option {option}"
                )));
            }
        }
    }
    if when.absent && (when.present || when.greater || when.less) {
        return Err(Error::refused(
            "ERR NX and XX, GT or LT options at the same time are not compatible",
        ));
    }
    if when.greater && when.less {
        return Err(Error::refused(
            "ERR GT and LT options at the same time are not compatible",
        ));
    }
    let span = args::int(args[2])?;
    let refused = || Error::refused_with(format!("ERR invalid expire time in '{command}' command"));
    let millis = if seconds {
        span.checked_mul(1000).ok_or_else(refused)?
    } else {
        span
    };
    let base = if relative {
        i64::try_from(work.now).unwrap_or(i64::MAX)
    } else {
        0
    };
    let at = millis.checked_add(base).ok_or_else(refused)?;
    keys::expire_at(work, args[1], at, when).map(Reply::flag)
}

/// -2 without key, -1 without deadline, else what `convert` makes of deadline and time.
fn remaining(work: &mut Work<'_>, key: &[u8], convert: impl Fn(u64, u64) -> u64) -> Result<Reply> {
    let now = work.now;
    Ok(Reply::Int(match work.entry(key)? {
        None => -2,
        Some(entry) if entry.expire_at() == 0 => -1,
        Some(entry) => i64::try_from(convert(entry.expire_at(), now)).unwrap_or(i64::MAX),
    }))
}

pub(super) fn ttl(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    remaining(work, args[1], |at, now| {
        (at - now).saturating_add(500) / 1000
    })
}

pub(super) fn pttl(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    remaining(work, args[1], |at, now| at - now)
}

pub(super) fn expiretime(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    remaining(work, args[1], |at, _| at.saturating_add(500) / 1000)
}

pub(super) fn pexpiretime(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    remaining(work, args[1], |at, _| at)
}

pub(super) fn persist(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    keys::persist(work, args[1]).map(Reply::flag)
}
