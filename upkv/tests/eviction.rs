//! Eviction: every policy, its choice of victims, limits that change at run time, and exact counts.

use std::sync::Arc;
use std::time::Duration;

use upkv::{Db, DbOptions, Durability, Error, Eviction, ManualClock, Reply, Store, Timestamp};

const START: u64 = 1_700_000_000_000;

fn open(options: DbOptions) -> (ManualClock, Store, Db) {
    let clock = ManualClock::new(Timestamp::from_millis(START));
    let store = Store::memory_builder()
        .clock(Arc::new(clock.clone()))
        .background(false)
        .open()
        .expect("done");
    let db = Db::mount_with(&store, "kv", options).expect("done");
    (clock, store, db)
}

/// Fills the database with 200 keys of about 1 KiB, every other one with a deadline, then limits it to
/// about half and writes until the limit holds.
fn squeeze(policy: Eviction, touch: impl Fn(&ManualClock, &Db)) -> (ManualClock, Store, Db) {
    let options = DbOptions::new()
        .eviction(policy)
        .eviction_samples(16)
        .shards(16);
    let (clock, store, db) = open(options);
    for n in 0..200_u64 {
        db.set(format!("key:{n}"), "x".repeat(1_000)).expect("done");
        if n % 2 == 0 {
            db.expire(format!("key:{n}"), Duration::from_secs(10_000 + n))
                .expect("done");
        }
    }
    touch(&clock, &db);
    let used = db.stats().used_bytes;
    db.set_max_memory_bytes(Some(used / 2)).expect("done");
    let stats = db.stats();
    assert!(stats.used_bytes <= used / 2 + used / 50, "{stats:?}");
    assert_eq!(stats.keys + stats.evicted, 200, "{stats:?}");
    db.audit().expect("done");
    (clock, store, db)
}

fn left(db: &Db, range: impl Iterator<Item = u64>) -> usize {
    range
        .filter(|n| db.exists(format!("key:{n}")).expect("done"))
        .count()
}

#[test]
fn least_recently_used_keys_go_first() {
    let recent = |clock: &ManualClock, db: &Db| {
        clock.advance(Duration::from_secs(100));
        for n in 150..200 {
            db.get(format!("key:{n}")).unwrap();
        }
    };
    let (_clock, _store, db) = squeeze(Eviction::AllkeysLru, recent);
    assert_eq!(left(&db, 150..200), 50, "recently used keys stay");
    // Writers make room for themselves.
    for n in 0..100 {
        db.set(format!("new:{n}"), "x".repeat(1_000)).unwrap();
    }
    let stats = db.stats();
    assert!(
        stats.used_bytes <= db.max_memory_bytes().unwrap() + 4_000,
        "{stats:?}"
    );
    assert!(left(&db, 150..200) > 0 || stats.evicted > 150);
    db.audit().unwrap();
}

#[test]
fn least_frequently_used_keys_go_first() {
    let often = |_: &ManualClock, db: &Db| {
        for _ in 0..5 {
            for n in 150..200 {
                db.get(format!("key:{n}")).unwrap();
            }
        }
    };
    let (clock, _store, db) = squeeze(Eviction::AllkeysLfu, often);
    assert_eq!(left(&db, 150..200), 50, "often used keys stay");
    let frequency = db.frequency("key:199").unwrap().unwrap();
    assert!(frequency > 5);
    clock.advance(Duration::from_mins(2));
    assert_eq!(db.frequency("key:199").unwrap(), Some(frequency - 2));
    assert!(matches!(db.idle_time("key:199"), Err(Error::Refused(_))));
    assert_eq!(db.idle_time("missing").unwrap(), None);
}

#[test]
fn volatile_policies_spare_keys_without_a_deadline() {
    for policy in [
        Eviction::VolatileLru,
        Eviction::VolatileLfu,
        Eviction::VolatileRandom,
        Eviction::VolatileTtl,
    ] {
        let (_clock, _store, db) = squeeze(policy, |_, _| {});
        assert_eq!(
            left(&db, (0..200).filter(|n| n % 2 == 1)),
            100,
            "{policy:?}"
        );
        // Nothing is left to evict: writes are refused, removals are not.
        let used = db.stats().used_bytes;
        db.set_max_memory_bytes(Some(used / 4)).unwrap();
        assert_eq!(left(&db, (0..200).filter(|n| n % 2 == 0)), 0, "{policy:?}");
        assert!(matches!(db.set("new", "1"), Err(Error::OutOfMemory)));
        assert!(db.delete("key:1").unwrap());
        db.audit().unwrap();
    }
}

#[test]
fn nearest_deadlines_go_first() {
    let (_clock, _store, db) = squeeze(Eviction::VolatileTtl, |_, db| {
        for n in [3, 5, 7] {
            db.expire(format!("key:{n}"), Duration::from_secs(1))
                .unwrap();
        }
    });
    assert_eq!(left(&db, [3, 5, 7].into_iter()), 0);
    let near = left(&db, (0..50).filter(|n| n % 2 == 0));
    let far = left(&db, (150..200).filter(|n| n % 2 == 0));
    assert!(
        near < far || far == 0,
        "{near} of the nearest and {far} of the farthest are left"
    );
}

#[test]
fn other_keys_go_when_none_with_a_deadline_is_left() {
    let (_clock, _store, db) = squeeze(Eviction::OptimisticVolatile, |_, _| {});
    let plain = left(&db, (0..200).filter(|n| n % 2 == 1));
    assert!(
        plain > 90,
        "keys with a deadline go first, {plain} others are left"
    );
    db.set_max_memory_bytes(Some(20_000)).unwrap();
    assert!(left(&db, (0..200).filter(|n| n % 2 == 1)) < 20);
    db.set("new", "1").unwrap();
    db.audit().unwrap();
}

#[test]
fn any_key_may_go_at_random() {
    let (_clock, _store, db) = squeeze(Eviction::AllkeysRandom, |_, _| {});
    let (even, odd) = (0..200).partition::<Vec<u64>, _>(|n| n % 2 == 0);
    assert!(left(&db, even.into_iter()) < 100 && left(&db, odd.into_iter()) < 100);
}

#[test]
fn without_eviction_writes_are_refused_until_there_is_room() {
    let (_clock, _store, db) = open(DbOptions::new().shards(1));
    db.set("a", "x".repeat(10_000)).unwrap();
    db.set_max_memory_bytes(Some(5_000)).unwrap();
    for args in [
        &["SET", "b", "1"][..],
        &["LPUSH", "l", "1"],
        &["HSET", "h", "f", "1"],
        &["ZADD", "z", "1", "m"],
        &["HSETEX", "h", "FIELDS", "1", "f", "1"],
        &["COPY", "a", "b"],
        &["INCR", "n"],
        &["APPEND", "a", "1"],
    ] {
        let error = db.command(args).unwrap_err();
        if args[0] != "LPUSH" {
            assert!(matches!(error, Error::OutOfMemory), "{args:?}: {error}");
        }
    }
    db.command(["EXPIRE", "a", "100"]).unwrap();
    assert!(db.get("a").unwrap().is_some());
    db.delete("a").unwrap();
    db.set("b", "1").unwrap();
    db.set_max_memory_bytes(None).unwrap();
    db.set("a", "x".repeat(10_000)).unwrap();
    db.audit().unwrap();
}

#[test]
fn victims_stay_gone_and_other_databases_pay_too() {
    let dir = std::env::temp_dir().join(format!("upkv-evict-{}", std::process::id()));
    std::fs::remove_dir_all(&dir).ok();
    let options = DbOptions::new()
        .durability(Durability::Os)
        .eviction(Eviction::AllkeysLru)
        .max_memory_bytes(64_000)
        .shards(4);
    let store = Store::builder(&dir).background(false).open().unwrap();
    let db = Db::mount_with(&store, "kv", options).unwrap();
    let other = db.database(3).unwrap();
    db.command(["SWAPDB", "0", "3"]).unwrap();
    for n in 0..200 {
        let db = if n % 2 == 0 { &db } else { &other };
        db.set(format!("key:{n}"), "x".repeat(1_000)).unwrap();
    }
    let keys = |db: &Db, other: &Db| {
        let mut keys: Vec<String> = db.keys("*").map(|key| key.unwrap().to_string()).collect();
        keys.extend(other.keys("*").map(|key| key.unwrap().to_string()));
        keys.sort();
        keys
    };
    let before = keys(&db, &other);
    assert!(before.len() < 70, "{} keys are left", before.len());
    assert!(db.stats().evicted > 130);
    assert!(db.keys("*").count() > 5 && other.keys("*").count() > 5);
    db.audit().unwrap();
    store.close().unwrap();
    drop((db, other, store));
    let store = Store::builder(&dir).background(false).open().unwrap();
    let db = Db::mount_with(&store, "kv", options).unwrap();
    assert_eq!(keys(&db, &db.database(3).unwrap()), before);
    db.audit().unwrap();
    store.close().unwrap();
    std::fs::remove_dir_all(&dir).ok();
}

#[test]
fn counts_are_exact_through_every_kind_of_change() {
    let (clock, store, db) = open(DbOptions::new().shards(2));
    let mut state = 1_u32;
    let mut below = |limit: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % limit
    };
    for step in 0..4_000 {
        let key = format!("k{}", below(12));
        let other = format!("k{}", below(12));
        let field = format!("f{}", below(700));
        let text = "v".repeat(below(150) as usize);
        let line: Vec<&str> = match below(14) {
            0 => vec!["SET", &key, &text],
            1 => vec!["APPEND", &key, &text],
            2..=5 => vec!["HSET", &key, &field, &text],
            6 => vec!["HEXPIRE", &key, "1", "FIELDS", "1", &field],
            7 => vec!["HDEL", &key, &field],
            8 => vec!["ZADD", &key, "1", &field],
            9 => vec!["ZREM", &key, &field],
            10 => vec!["RENAME", &key, &other],
            11 => vec!["COPY", &key, &other, "REPLACE"],
            12 => vec!["PEXPIRE", &key, "50"],
            _ if below(8) == 0 => vec!["FLUSHDB"],
            _ => vec!["DEL", &key],
        };
        // Wrong types and missing keys are part of it.
        let _outcome = db.command(&line);
        if step % 50 == 0 {
            clock.advance(Duration::from_millis(200));
            store.maintain(Duration::from_secs(1)).unwrap();
        }
        db.audit().unwrap();
        let sum: usize = (0..12)
            .filter_map(|n| db.memory_usage(format!("k{n}")).unwrap())
            .sum();
        assert!(sum as u64 <= db.stats().used_bytes);
    }
    db.command(["FLUSHALL"]).unwrap();
    assert_eq!(db.stats().keys, 0);
    db.audit().unwrap();
}

#[test]
fn looking_at_a_key_is_no_use_of_it() {
    let (clock, _store, db) = open(DbOptions::new());
    db.set("a", "1").unwrap();
    clock.advance(Duration::from_secs(10));
    for args in [
        &["OBJECT", "ENCODING", "a"][..],
        &["OBJECT", "REFCOUNT", "a"],
        &["MEMORY", "USAGE", "a"],
        &["EXISTS", "a"],
        &["TYPE", "a"],
        &["TTL", "a"],
    ] {
        db.command(args).unwrap();
        assert_eq!(
            db.command(["OBJECT", "IDLETIME", "a"]).unwrap(),
            Reply::Int(10),
            "{args:?}"
        );
    }
    for args in [
        &["GET", "a"][..],
        &["TOUCH", "a"],
        &["INCR", "a"],
        &["SET", "a", "1"],
    ] {
        db.command(["TOUCH", "a"]).unwrap();
        clock.advance(Duration::from_secs(10));
        assert_eq!(
            db.command(["OBJECT", "IDLETIME", "a"]).unwrap(),
            Reply::Int(10),
            "{args:?}"
        );
        db.command(args).unwrap();
        assert_eq!(
            db.command(["OBJECT", "IDLETIME", "a"]).unwrap(),
            Reply::Int(0),
            "{args:?}"
        );
    }
    assert!(matches!(
        db.command(["OBJECT", "FREQ", "a"]),
        Err(Error::Refused(_))
    ));
    db.set_eviction(Eviction::VolatileLfu).unwrap();
    assert!(matches!(
        db.command(["OBJECT", "IDLETIME", "a"]),
        Err(Error::Refused(_))
    ));
    db.set("a", "x").unwrap();
    db.set("b", "1").unwrap();
    assert_eq!(db.command(["OBJECT", "FREQ", "b"]).unwrap(), Reply::Int(5));
    db.command(["TOUCH", "b"]).unwrap();
    assert_eq!(db.command(["OBJECT", "FREQ", "b"]).unwrap(), Reply::Int(6));
    assert_eq!(
        db.command(["OBJECT", "REFCOUNT", "b"]).unwrap(),
        Reply::Int(2_147_483_647)
    );
    db.set_max_memory_bytes(Some(1 << 30)).unwrap();
    assert_eq!(
        db.command(["OBJECT", "REFCOUNT", "b"]).unwrap(),
        Reply::Int(1)
    );
}

#[test]
fn deadlines_of_keys_that_are_gone_take_no_memory_for_long() {
    let (_clock, _store, db) = open(DbOptions::new().shards(1));
    for n in 0..20_000_u64 {
        let far = Duration::from_secs(1_000_000 + n * 100);
        db.set("a", "1").unwrap();
        db.expire("a", far).unwrap();
    }
    let stats = db.stats();
    assert!(stats.used_bytes < 200_000, "{stats:?}");
    db.audit().unwrap();
}
