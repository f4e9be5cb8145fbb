//! What keys take in memory adds up to what the database counts, whatever happened to them.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::Random;
use upkv::{Db, Error, ManualClock, Reply, Store, Timestamp};

fn open() -> (ManualClock, Store, Db) {
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    let store = Store::memory_builder()
        .clock(Arc::new(clock.clone()))
        .background(false)
        .open()
        .expect("a store");
    let db = Db::mount(&store, "kv").expect("mounts");
    (clock, store, db)
}

/// A command that changes one of a few keys of each type.
fn line(r: &mut Random) -> String {
    let (key, n) = (r.below(4), r.below(3_000));
    let long = "x".repeat(r.below(150));
    match r.below(24) {
        0 => format!("SET s{key} {n}{long}"),
        1 => format!("APPEND s{key} {n}{long}"),
        2 => format!("SETRANGE s{key} {n} {n}"),
        3 | 4 => format!("HSET h{key} {n} {n}{long} a{n} 1"),
        5 => format!("HDEL h{key} {n} a{}", n / 2),
        6 | 7 => format!("SADD set{key} {n} {}", n + 1),
        8 => format!("SADD set{key} m{n}{long}"),
        9 => format!("SREM set{key} {n} m{n}"),
        10 => format!("SPOP set{key} {}", r.below(5)),
        11 | 12 => format!("ZADD z{key} {n} {n} {key} m{n}"),
        13 => format!("ZREM z{key} {n} m{n}"),
        14 => format!("ZPOPMIN z{key} {}", r.below(5)),
        15 => format!("RPUSH l{key} {n} {n}{long}"),
        16 => format!("LPOP l{key} {}", r.below(4)),
        17 => format!("LREM l{key} 0 {n}"),
        18 => format!("XADD x{key} * f {n} g {n}{long}"),
        19 => format!("XTRIM x{key} MAXLEN {n}"),
        20 => format!("JSON.SET j{key} $ {{\"a\":[{n},\"{long}\"]}}"),
        21 => format!("RENAME h{key} h{}", r.below(4)),
        22 => format!("COPY z{key} z{} REPLACE", r.below(4)),
        _ => format!(
            "DEL {}{key}",
            ["s", "h", "set", "z", "l", "x", "j"][r.below(7)]
        ),
    }
}

/// What `MEMORY USAGE` tells of all keys.
fn of_keys(db: &Db) -> u64 {
    let Reply::Array(keys) = db.command(["KEYS", "*"]).expect("listed") else {
        panic!("not a list");
    };
    let usage = |key: &Reply| {
        let Reply::Bulk(key) = key else {
            panic!("not a key");
        };
        let usage = db.command([&b"MEMORY"[..], b"USAGE", key]);
        let Ok(Reply::Int(bytes)) = usage else {
            panic!("no size: {usage:?}");
        };
        u64::try_from(bytes).expect("not negative")
    };
    keys.iter().map(usage).sum()
}

#[test]
fn keys_take_together_what_the_database_counts() {
    let (_, _, db) = open();
    let mut r = Random(9);
    for step in 0..6_000 {
        let line = line(&mut r);
        // Some find nothing, or another type; that changes nothing.
        drop(db.command(line.split(' ')));
        if step % 500 == 0 {
            assert_eq!(of_keys(&db), db.stats().used_bytes, "{line}");
        }
    }
    db.audit().expect("the counts agree");
    assert_eq!(of_keys(&db), db.stats().used_bytes);
    db.command(["FLUSHALL"]).expect("emptied");
    assert_eq!(db.stats().used_bytes, 0);
}

#[test]
fn counts_agree_after_what_is_taken_back_and_what_expires() {
    let (clock, store, db) = open();
    let mut r = Random(4);
    for step in 0..400 {
        let lines: Vec<String> = (0..10).map(|_| line(&mut r)).collect();
        let content = |db: &Db| {
            let of = |command: &str, key: &str| db.command([command, key]).expect("told");
            let keys = (0..4).map(|key| {
                (
                    of("SCARD", &format!("set{key}")),
                    of("HLEN", &format!("h{key}")),
                )
            });
            keys.collect::<Vec<_>>()
        };
        let before = content(&db);
        let outcome = db.transaction(|tx| {
            for line in &lines {
                if let Err(error @ Error::Restart) = tx.command(line.split(' ')) {
                    return Err(error);
                }
            }
            if step % 2 == 0 {
                Err::<(), _>(Error::Aborted("on purpose".into()))
            } else {
                Ok(())
            }
        });
        if outcome.is_err() {
            assert_eq!(content(&db), before);
        }
        db.audit().expect("the counts agree");
        let key = format!("{}{}", ["s", "h", "set", "z"][r.below(4)], r.below(4));
        drop(db.command(["PEXPIRE", &key, "700"]));
        clock.advance(Duration::from_millis(100));
        if step % 10 == 0 {
            store.maintain(Duration::from_secs(1)).expect("maintained");
        }
    }
    db.audit().expect("the counts agree");
}
