//! Chapter: DEBUG, as far as tests of clients use it and it has a meaning here.
//!
//! Nothing here stops the host or writes where it has not asked for that, so what crashes a server on purpose, or prints
//! to its terminal, is not there.

use super::args::{self, Args};
use super::client::{lines_of_help, wrong_arguments};
use super::reply::Reply;
use super::row::{CONTAINER, Command, NO_KEYS, data, rows, session};
use super::session::Session;
use crate::error::{Error, Result};
use crate::keyspace::engine::Keys;
use crate::keyspace::work::Work;
use crate::keyspace::work::event::Wait;
use crate::ops::{self, content};
use crate::server::config::value::memory;
use crate::storage::{Durability, Timestamp};
use crate::value::{Fresh, Kind, Seen};
use crate::{number, rdb, sha1};

pub(super) static ROWS: &[Command] = rows! { "server";
    "debug" -2 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, CONTAINER, "1.0.0", "that of the subcommand",
        "Looks behind the data, for tests";
    "debug|change-repl-id" -2 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, data(accepted), "4.0.0", "O(1)",
        "Does nothing: there are no replicas";
    "debug|digest" -2 ADMIN | DANGEROUS | NOSCRIPT | EVERY, NO_KEYS, data(digest), "1.2.0", "O(n) in all values",
        "Digest of all keys, as Redis computes it";
    "debug|digest-value" -2 ADMIN | DANGEROUS | NOSCRIPT, NO_KEYS, data(digest_value), "5.0.0", "O(n) in the values",
        "Digests of values, as Redis computes them";
    "debug|error" -2 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, data(error), "3.0.0", "O(1)",
        "Answers an error";
    "debug|help" -2 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, data(help), "4.0.0", "O(1)",
        "Tells the subcommands";
    "debug|listpack" -2 ADMIN | DANGEROUS | NOSCRIPT, NO_KEYS, data(listpack), "7.0.0", "O(1)",
        "Tells the size of a small form";
    "debug|loadaof" -2 ADMIN | DANGEROUS | NOSCRIPT, NO_KEYS, session(reload), "1.2.0", "O(n)",
        "Makes everything durable and reads values from the log from there on";
    "debug|object" -2 ADMIN | DANGEROUS | NOSCRIPT, NO_KEYS, data(object), "1.0.0", "O(n) in the value",
        "Tells how a value is kept";
    "debug|populate" -2 ADMIN | DANGEROUS | NOSCRIPT | GROW, NO_KEYS, session(populate), "2.4.0", "O(count)",
        "Adds many keys";
    "debug|protocol" -2 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, session(protocol), "6.0.0", "O(1)",
        "Answers a value of a type";
    "debug|quicklist-packed-threshold" -2 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, data(threshold),
        "7.0.0", "O(1)", "Checks its argument: lists keep elements of all sizes alike";
    "debug|reload" -2 ADMIN | DANGEROUS | NOSCRIPT, NO_KEYS, session(reload), "1.0.0", "O(n)",
        "Makes everything durable and reads values from the log from there on";
    "debug|replicate" -2 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, data(replicate), "7.0.0", "O(1)",
        "Does nothing: there are no replicas";
    "debug|set-active-expire" -2 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, data(set_active_expire),
        "2.6.0", "O(shards)", "Stops or starts removing what is overdue and not asked for";
    "debug|sleep" -2 ADMIN | DANGEROUS | NOSCRIPT | BLOCKING | LOADING | STALE, NO_KEYS, data(sleep), "2.0.0", "O(1)",
        "Waits, which holds up this client only";
};

/// Keys that POPULATE adds in one commit.
const POPULATE_BATCH: u64 = 256;
/// Keys, and bytes of values, that POPULATE adds at most.
const POPULATE_KEYS_MAX: u64 = 1 << 24;
const POPULATE_BYTES_MAX: u64 = 1 << 28;

/// Refuses other numbers of arguments, the way Redis does it here.
fn expect(args: &Args<'_>, fits: impl FnOnce(usize) -> bool) -> Result<()> {
    if fits(args.len()) {
        Ok(())
    } else {
        Err(wrong_arguments("DEBUG", args[1]))
    }
}

fn accepted(_work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    expect(args, |count| count == 2).map(|()| Reply::OK)
}

fn replicate(_work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    expect(args, |count| count >= 3).map(|()| Reply::OK)
}

fn threshold(_work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    expect(args, |count| count == 3)?;
    let bytes = memory(args[2]).filter(|bytes| *bytes < 1 << 32);
    bytes.map(|_| Reply::OK).ok_or_else(|| {
        Error::refused("ERR argument must be a memory value bigger than 1 and smaller than 4gb")
    })
}

fn error(_work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    expect(args, |count| count == 3)?;
    let text = String::from_utf8_lossy(args[2]);
    Err(Error::refused_with(text.replace(['\r', '\n'], " ")))
}

fn digest(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    expect(args, |count| count == 2)?;
    let digest = content::digest_of_all(work)?;
    Ok(Reply::Text(sha1::hex(&digest)))
}

fn digest_value(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let digest = |key: &&[u8]| -> Result<Reply> {
        let digest = content::digest_of_value(work, key)?.unwrap_or_default();
        Ok(Reply::Text(sha1::hex(&digest)))
    };
    let digests: Result<Vec<_>> = args[2..].iter().map(digest).collect();
    digests.map(Reply::Array)
}

fn listpack(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    expect(args, |count| count == 3)?;
    match ops::object::encoding(work, args[2])? {
        None => Err(Error::NoSuchKey),
        Some("listpack" | "listpackex") => {
            let bytes = ops::object::memory(work, args[2])?.unwrap_or(0);
            Ok(Reply::Text(format!("Listpack of a key of {bytes} bytes")))
        }
        Some(_) => Err(Error::refused("ERR Not a listpack encoded object.")),
    }
}

fn object(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    expect(args, |count| count == 3)?;
    let key = args[2];
    let (now, counts) = (work.now, work.engine.evictor.counts());
    let encoding = ops::object::encoding(work, key)?.ok_or(Error::NoSuchKey)?;
    let references = ops::object::references(work, key)?.unwrap_or(1);
    let idle = if counts {
        0
    } else {
        ops::object::idle_seconds(work, key)?.unwrap_or(0)
    };
    let (place, length) = work.quietly(|work| -> Result<_> {
        let entry = work.entry(key)?.ok_or(Error::NoSuchKey)?;
        let place = entry.key().as_ptr().addr();
        let value = work.value(key)?.ok_or(Error::NoSuchKey)?;
        Ok((place, serialized_len(value, now)))
    })?;
    // The clock of Redis: seconds in 24 bits.
    let used = (now / 1_000).saturating_sub(u64::from(idle)) & 0xff_ffff;
    Ok(Reply::Text(format!(
        "Value at:{place:#x} refcount:{references} encoding:{encoding} serializedlength:{length} lru:{used} \
         lru_seconds_idle:{idle}"
    )))
}

/// Bytes of a value as DUMP writes it, without its type, version and checksum.
fn serialized_len(value: Seen<'_>, now: u64) -> usize {
    const FRAME_BYTES: usize = 11;
    match rdb::value(value, now) {
        Ok(value) => rdb::dump(&value).len().saturating_sub(FRAME_BYTES),
        Err(_) => value.encode().len(),
    }
}

fn set_active_expire(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    expect(args, |count| count == 3)?;
    // Whatever is no number counts as 0, as in Redis.
    let on = number::parse_i64(args[2]).is_some_and(|number| number != 0);
    let engine = work.engine;
    let was = engine.server.set_active_expiry(on);
    if on && !was {
        // Timers that came due meanwhile found the switch off.
        let now = Timestamp::from_millis(work.now);
        for physical in engine.in_use() {
            let first = engine.first_shard(physical);
            for index in first..first + engine.shard_count() {
                engine.mount.set_timer(now, index as u64);
            }
        }
    }
    Ok(Reply::OK)
}

fn sleep(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    expect(args, |count| count == 3)?;
    // As in Redis, what is no time is none.
    match args::timeout(args[2]) {
        Ok(Some(millis)) => work.wait_for(Wait {
            keys: Vec::new(),
            kind: Kind::String,
            timeout_ms: Some(millis),
            empty: Reply::OK,
        }),
        _ => Ok(Reply::OK),
    }
}

fn reload(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    let is_known = |word: &&[u8]| {
        ["MERGE", "NOFLUSH", "NOSAVE"]
            .iter()
            .any(|known| args::is(word, known))
    };
    if args::is(args[1], "loadaof") {
        expect(args, |count| count == 2)?;
    } else if !args[2..].iter().all(is_known) {
        return Err(Error::refused(
            "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
        ));
    }
    session.expect_no_transaction()?;
    let engine = &session.db.engine;
    engine.settle_all(Some(Durability::Disk))?;
    engine.demote_all().map(|()| Reply::OK)
}

fn populate(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    expect(args, |count| (3..=5).contains(&count))?;
    session.expect_no_transaction()?;
    let refused = || Error::refused("ERR value is out of range, must be positive");
    let count = args::positive(args[2])? as u64;
    let prefix = args.get(3).copied().unwrap_or(b"key");
    let size = args.get(4).map(|size| args::positive(size)).transpose()?;
    let size = size.filter(|size| *size > 0);
    let bytes = count.saturating_mul(size.unwrap_or(0) as u64 + prefix.len() as u64);
    if count > POPULATE_KEYS_MAX || bytes > POPULATE_BYTES_MAX {
        return Err(refused());
    }
    let caller = session.caller();
    let engine = &session.db.engine;
    let mut next = 0;
    while next < count && !session.is_closing() {
        let numbers = next..count.min(next + POPULATE_BATCH);
        next = numbers.end;
        let name = |number: u64| [prefix, b":", number.to_string().as_bytes()].concat();
        let names: Vec<(u64, Vec<u8>)> = numbers.map(|number| (number, name(number))).collect();
        let keys: Vec<&[u8]> = names.iter().map(|(_, key)| &key[..]).collect();
        engine.check_room()?;
        engine.run(caller.db, caller.level, Keys::Many(&keys), |work| {
            for (number, key) in &names {
                ops::check_size(key)?;
                if work.entry(key)?.is_none() {
                    let mut value = format!("value:{number}").into_bytes();
                    value.resize(size.unwrap_or(value.len()), 0);
                    work.put(key, Fresh::string(&value), 0)?;
                }
            }
            engine.rules.check_growth(work)
        })?;
    }
    Ok(Reply::OK)
}

fn protocol(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    expect(args, |count| count == 3)?;
    let text = |text: &str| Reply::bulk_copy(text.as_bytes());
    let numbers = || (0..3).map(Reply::Int).collect();
    let pair = |number: i64| (Reply::Int(number), Reply::Bool(number == 1));
    let word = String::from_utf8_lossy(args[2]).to_ascii_lowercase();
    Ok(match &*word {
        "string" => text("Hello World"),
        "integer" => Reply::Int(12_345),
        "double" => Reply::Decimal("3.141".into()),
        "null" => Reply::Null,
        "array" => Reply::Array(numbers()),
        "set" => Reply::Set(numbers()),
        "map" => Reply::Map((0..3).map(pair).collect()),
        "attrib" => {
            let popularity = Reply::Array(vec![text("key:123"), Reply::Int(90)]);
            let reply = text("Some real reply following the attribute");
            Reply::Attributed(vec![(text("key-popularity"), popularity)], Box::new(reply))
        }
        "push" if session.proto == 2 => {
            return Err(Error::refused("ERR RESP2 is not supported by this command"));
        }
        "push" => Reply::Sequence(vec![
            Reply::Push(vec![text("server-cpu-usage"), Reply::Int(42)]),
            text("Some real reply following the push reply"),
        ]),
        "verbatim" => Reply::Verbatim("This is a verbatim\nstring".into()),
        "true" => Reply::Bool(true),
        "false" => Reply::Bool(false),
        "bignum" => Reply::BigNumber("1234567999999999999999999999999999999".into()),
        _ => {
            return Err(Error::refused(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    })
}

fn help(_work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    expect(args, |count| count == 2)?;
    Ok(lines_of_help(&[
        "DEBUG CHANGE-REPL-ID: nothing, there are no replicas",
        "DEBUG DIGEST: digest of all keys and values",
        "DEBUG DIGEST-VALUE [key ...]: digests of values",
        "DEBUG ERROR text: an error with this text",
        "DEBUG LISTPACK key: size of a value in the small form",
        "DEBUG LOADAOF: as DEBUG RELOAD",
        "DEBUG OBJECT key: how a value is kept",
        "DEBUG POPULATE count [prefix [size]]: adds keys that are missing",
        "DEBUG PROTOCOL type: a value of a type of the protocol",
        "DEBUG QUICKLIST-PACKED-THRESHOLD size: checks its argument",
        "DEBUG RELOAD [MERGE] [NOFLUSH] [NOSAVE]: makes everything durable, and reads values anew when they are used",
        "DEBUG REPLICATE text: nothing, there are no replicas",
        "DEBUG SET-ACTIVE-EXPIRE 0|1: stops or starts removing keys that are overdue and not asked for",
        "DEBUG SLEEP seconds: waits",
        "DEBUG HELP: these lines",
    ]))
}
