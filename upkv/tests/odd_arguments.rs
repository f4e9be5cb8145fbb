//! Every command with arguments nobody would give it: it answers or refuses, in bounded memory and time, and what it
//! refuses changes nothing.
#![cfg(all(feature = "test-util", feature = "engine"))]

mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use common::Random;
use upkv::{Db, DbOptions, Error, Eviction, ManualClock, Reply, Session, Store};

/// No command on the few small values here takes longer, built without optimization and on a busy machine.
const SLOWEST: Duration = Duration::from_secs(20);
/// Strings may have 512 MiB, and a change of one may need the old and the new.
const PEAK_KIB: u64 = 4 << 20;
/// Strings above are removed before the next command.
const LARGE: usize = 1 << 16;

/// Keys of every type; commands that are not there yet leave theirs missing.
const FILL: &[&str] = &[
    "SET a 1",
    "SET b text",
    "HSET h f 1 g 2",
    "HPEXPIREAT h 70000000000000 FIELDS 1 f",
    "ZADD z 1 a 2 b",
    "GEOADD places 12.5 41.9 a 10.7 59.9 b",
    "PFADD sketch a b c",
    "JSON.SET doc $ {\"a\":[1,2,{\"b\":null}]}",
    "RPUSH list a b c 1",
    "SADD set a b 1",
    "XADD stream 1-1 f v",
    "XGROUP CREATE stream group 0",
];

const ODD: &[&[u8]] = &[
    b"",
    b"a",
    b"b",
    b"h",
    b"z",
    b"places",
    b"sketch",
    b"doc",
    b"list",
    b"set",
    b"stream",
    b"group",
    b"missing",
    b"0",
    b"1",
    b"2",
    b"3",
    b"-1",
    b"-0",
    b"+1",
    b"00",
    b"1-1",
    b"$",
    b".",
    b"$..*",
    b"m",
    b"AND",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"18446744073709551615",
    b"2147483647",
    b"2147483648",
    b"-2147483649",
    b"4294967295",
    b"4294967296",
    b"70368744177664",
    b"536870911",
    b"536870912",
    b"536870913",
    b"1.5",
    b"inf",
    b"-inf",
    b"nan",
    b"1e400",
    b"1e-400",
    b"*",
    b"*->f",
    b"[a-",
    b"[",
    b"(",
    b"(1",
    b"-",
    b"+",
    b"~",
    b"=",
    b"**********************b",
    b"\xff\x00\xfe",
    b"\r\n",
    b"{}",
    b"[[[[[[[[[[",
    b"u8",
    b"i64",
    b"#4294967295",
    b"FIELDS",
    b"NX",
    b"XX",
    b"GT",
    b"LT",
    b"CH",
    b"INCR",
    b"EX",
    b"PX",
    b"PXAT",
    b"KEEPTTL",
    b"PERSIST",
    b"FNX",
    b"LIMIT",
    b"BY",
    b"GET",
    b"SET",
    b"INCRBY",
    b"OVERFLOW",
    b"SAT",
    b"#",
    b"ALPHA",
    b"STORE",
    b"MATCH",
    b"COUNT",
    b"TYPE",
    b"WITHTYPE",
    b"SAMPLES",
    b"REPLACE",
    b"ABSTTL",
    b"DB",
    b"WEIGHTS",
    b"AGGREGATE",
    b"STREAMS",
    b"GROUP",
    b"MAXLEN",
    b"IDS",
    b"ACKED",
    b"FORCE",
    b">",
    b"18446744073709551615-18446744073709551615",
    b"MAX",
    b"MIN",
    b"BYSCORE",
    b"BYLEX",
    b"REV",
    b"WITHSCORES",
    b"IDX",
    b"LEN",
    b"FROMMEMBER",
    b"FROMLONLAT",
    b"BYRADIUS",
    b"BYBOX",
    b"ANY",
    b"ASC",
    b"WITHDIST",
    b"BIT",
    b"BYTE",
    b"LEFT",
    b"RIGHT",
    b"RANK",
    b"BLOCK",
    b"ID",
    b"ON",
    b"OFF",
];

fn args(line: &str) -> Vec<Vec<u8>> {
    line.split(' ').map(|word| word.as_bytes().into()).collect()
}

/// Runs a command as far as it goes without waiting; `None` if it would wait.
fn run(session: &mut Session, args: &[Vec<u8>]) -> Option<Result<Reply, Error>> {
    let context = &mut Context::from_waker(Waker::noop());
    match pin!(session.command_async(args)).poll(context) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

/// All that a client can see of the keys.
fn digest(db: &Db) -> Vec<(Vec<u8>, String)> {
    let read = |line: &str, key: &[u8]| {
        let word = |word: &str| match word {
            "key" => key.to_vec(),
            word => word.into(),
        };
        let line: Vec<Vec<u8>> = line.split(' ').map(word).collect();
        format!("{:?}", db.command(&line))
    };
    let entry = |key: Result<upkv::Value, Error>| {
        let key = key.expect("memory does not fail").into_vec();
        let kind = db.kind(&key).expect("memory does not fail");
        let contents = match kind.expect("listed").name() {
            "string" => read("GET key", &key),
            "hash" => read("HGETALL key", &key) + &read("HPEXPIRETIME key FIELDS 2 f g", &key),
            "zset" => read("ZRANGE key 0 -1 WITHSCORES", &key),
            "list" => read("LRANGE key 0 -1", &key),
            "set" => read("SMEMBERS key", &key),
            "stream" => read("XINFO STREAM key FULL", &key),
            _ => read("JSON.GET key", &key),
        };
        let deadline = read("PEXPIRETIME key", &key);
        (key, contents + &deadline)
    };
    let mut all: Vec<_> = db.keys("*").map(entry).collect();
    all.sort();
    all
}

/// What is left after one reply, if it is well-formed.
fn after_reply(bytes: &[u8], resp3: bool) -> Option<&[u8]> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let (line, mut rest) = (&bytes[1..end], &bytes[end + 2..]);
    let count = || std::str::from_utf8(line).ok()?.parse::<i64>().ok();
    match bytes[0] {
        b'+' | b'-' => Some(rest),
        b':' => count().map(|_| rest),
        b'$' | b'*' if !resp3 && count()? == -1 => Some(rest),
        b'$' => rest
            .get(usize::try_from(count()?).ok()?..)?
            .strip_prefix(b"\r\n"),
        b'=' if resp3 => rest
            .get(usize::try_from(count()?).ok()?..)?
            .strip_prefix(b"\r\n"),
        b'_' | b',' | b'#' | b'(' if resp3 => Some(rest),
        first @ (b'*' | b'~' | b'>' | b'%') if resp3 || first == b'*' => {
            let count = u64::try_from(count()?).ok()? * if first == b'%' { 2 } else { 1 };
            for _ in 0..count {
                rest = after_reply(rest, resp3)?;
            }
            Some(rest)
        }
        _ => None,
    }
}

fn assert_well_formed(reply: &Reply, shown: &str) {
    // What subscribes answers several messages, or none.
    let several = matches!(reply, Reply::Sequence(_));
    for resp3 in [false, true] {
        let mut wire = Vec::new();
        if resp3 {
            reply.write_resp3(&mut wire);
        } else {
            reply.write_resp2(&mut wire);
        }
        let mut rest = &wire[..];
        while several && !rest.is_empty() {
            rest = after_reply(rest, resp3).unwrap_or_else(|| panic!("{shown}: {reply:?}"));
        }
        let whole = several || after_reply(rest, resp3).is_some_and(<[u8]>::is_empty);
        assert!(whole, "RESP3 {resp3}: {shown}: {reply:?}");
    }
}

/// The most memory that this process had so far, where the system tells.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

fn show(line: &[Vec<u8>]) -> String {
    let words: Vec<String> = line
        .iter()
        .map(|arg| format!("{:?}", arg.escape_ascii().to_string()))
        .collect();
    words.join(" ")
}

fn open() -> Db {
    let builder = Store::memory_builder().clock(Arc::new(ManualClock::default()));
    let store = builder.background(false).open();
    Db::mount(&store.expect("a store"), "kv").expect("mounts")
}

#[test]
fn whatever_the_arguments_a_command_answers_or_changes_nothing() {
    let db = open();
    let mut random = Random(0x5851_f42d_4c95_7f2d);
    let rounds = upkv::storage::testing::scaled(50);
    let (mut answered, mut refused) = (0_u64, 0_u64);
    for round in 0..rounds {
        for info in upkv::commands() {
            // Sessions end by QUIT, wait, or listen: each command gets a fresh one.
            let mut session = db.session();
            db.command(["CLIENT", "UNPAUSE"]).ok();
            for line in FILL {
                let name = line.split(' ').nth(1).expect("a key");
                if db.kind(name).expect("memory does not fail").is_none() {
                    db.command(args(line)).ok();
                }
            }
            let mut line: Vec<Vec<u8>> = info
                .name
                .split('|')
                .map(|word| word.as_bytes().into())
                .collect();
            let wanted = info.arity.unsigned_abs() as usize;
            let extra = if info.arity < 0 { random.below(7) } else { 0 };
            while line.len() < wanted + extra {
                line.push(random.pick(ODD).into());
            }
            let shown = show(&line);
            let before = digest(&db);
            let started = Instant::now();
            let outcome = run(&mut session, &line);
            assert!(
                started.elapsed() < SLOWEST,
                "{shown}: {:?}",
                started.elapsed()
            );
            match &outcome {
                Some(Ok(reply)) => {
                    answered += 1;
                    assert_well_formed(reply, &shown);
                }
                Some(Err(error)) => {
                    refused += 1;
                    assert_well_formed(&Reply::from(error), &shown);
                    assert_eq!(
                        digest(&db),
                        before,
                        "refused, and yet changed: {shown}: {error}"
                    );
                }
                None => assert_eq!(digest(&db), before, "waits, and yet changed: {shown}"),
            }
            let peak = peak_kib();
            assert!(
                peak.is_none_or(|peak| peak < PEAK_KIB),
                "{peak:?} KiB: {shown}"
            );
            for key in db.keys("*") {
                let key = key.expect("memory does not fail");
                if matches!(db.memory_usage(&key), Ok(Some(size)) if size > LARGE) {
                    db.delete(&key).expect("memory does not fail");
                }
            }
        }
        assert!(db.audit().is_ok(), "round {round}: {:?}", db.audit());
    }
    let least = 10 * rounds;
    assert!(
        answered > least && refused > least,
        "{answered} answered, {refused} refused"
    );
}

#[test]
fn counts_stay_right_while_keys_are_evicted() {
    let options = DbOptions::new()
        .shards(2)
        .max_memory_bytes(1 << 20)
        .eviction(Eviction::AllkeysLfu);
    let store = Store::memory().expect("a store");
    let db = Db::mount_with(&store, "kv", options).expect("mounts");
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for round in 0..40 {
        for info in upkv::commands() {
            let mut session = db.session();
            for line in FILL {
                // At the limit it is refused.
                run(&mut session, &args(line)).map(Result::ok);
            }
            let mut line: Vec<Vec<u8>> = info
                .name
                .split('|')
                .map(|word| word.as_bytes().into())
                .collect();
            let wanted = info.arity.unsigned_abs() as usize;
            while line.len() < wanted + random.below(4) * usize::from(info.arity < 0) {
                line.push(random.pick(ODD).into());
            }
            run(&mut session, &line).map(Result::ok);
            db.command(["CLIENT", "UNPAUSE"]).ok();
        }
        assert!(db.audit().is_ok(), "round {round}: {:?}", db.audit());
    }
}

#[test]
fn no_pattern_takes_long() {
    let db = open();
    let name = "a".repeat(5_000);
    db.command(["SET", &name, "1"]).expect("set");
    db.command(["HSET", "h", &name, "1"]).expect("set");
    db.command(["ZADD", "z", "1", &name]).expect("set");
    let patterns = [
        "a*".repeat(1_000) + "b",
        "*".repeat(5_000) + "b",
        "*?".repeat(2_000) + "b",
        "[a-z]*".repeat(500) + "b",
        "*[^b]".repeat(500) + "b",
        "\\a*".repeat(500) + "\\",
        "[".repeat(5_000),
        "*".to_string() + &"[a".repeat(2_000),
    ];
    let mut listener = db.session();
    for pattern in &patterns {
        for line in [
            &["KEYS", pattern][..],
            &["SCAN", "0", "MATCH", pattern, "COUNT", "1000"],
            &["HSCAN", "h", "0", "MATCH", pattern],
            &["ZSCAN", "z", "0", "MATCH", pattern],
            &["PUBSUB", "CHANNELS", pattern],
            &["SORT", "z", "ALPHA", "BY", pattern],
            &["PUBLISH", &name, "x"],
        ] {
            let started = Instant::now();
            let reply = db.session().command(line);
            let shown = line[0];
            assert!(reply.is_ok(), "{shown}: {reply:?}");
            assert!(
                started.elapsed() < SLOWEST,
                "{shown}: {:?}",
                started.elapsed()
            );
        }
        listener
            .command(["PSUBSCRIBE", pattern])
            .expect("subscribed");
    }
}
