//! Every command with arguments nobody would give it: it answers or refuses, in bounded memory and time, and what it
//! refuses changes nothing.
#![cfg(all(feature = "test-util", feature = "engine"))]

mod common;
mod odd;

use common::Random;
use odd::{
    FILL, LARGE, PEAK_KIB, SLOWEST, Watch, args, assert_well_formed, digest, open, peak_kib, run,
    show,
};
use upkv::{Db, DbOptions, Eviction, Reply, Store};

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
            let started = Watch::start();
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
    db.command(["SADD", "set", &name]).expect("set");
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
        let (keys, channels) = (format!("~{pattern}"), format!("&{pattern}"));
        for line in [
            &["KEYS", pattern][..],
            &["SCAN", "0", "MATCH", pattern, "COUNT", "1000"],
            &["HSCAN", "h", "0", "MATCH", pattern],
            &["ZSCAN", "z", "0", "MATCH", pattern],
            &["SSCAN", "set", "0", "MATCH", pattern],
            &["PUBSUB", "CHANNELS", pattern],
            &["PUBSUB", "SHARDCHANNELS", pattern],
            &["CONFIG", "GET", pattern],
            &["ACL", "SETUSER", "ada", "+@all", &keys, &channels],
            &["ACL", "DRYRUN", "ada", "get", &name],
            &["SORT", "z", "ALPHA", "BY", pattern],
            &["PUBLISH", &name, "x"],
        ] {
            let started = Watch::start();
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
