//! Keyspace events: which ones a command fires, as a real server does, and those of time and of a full memory.

use std::sync::Arc;
use std::time::Duration;

use upkv::{Db, Eviction, ManualClock, Reply, Store, Subscription};

/// Commands and what a server with `notify-keyspace-events EAn` tells of each: event, key, database.
const EVENTS: &[(&str, &str)] = &[
    ("SET a 1", "new:a set:a"),
    ("SET a 2 EX 100", "set:a expire:a"),
    ("SET a 3 NX", ""),
    ("SETEX a 100 4", "set:a expire:a"),
    ("DEL a", "del:a"),
    ("GETSET b 1", "new:b set:b"),
    ("GETEX b EX 100", "expire:b"),
    ("GETEX b PERSIST", "persist:b"),
    ("GETEX b PERSIST", ""),
    ("GETEX b EXAT 1", "del:b"),
    ("MSET a 1 b 2", "new:a set:a new:b set:b"),
    ("MSETNX a 1 c 2", ""),
    ("APPEND a x", "append:a"),
    ("SETRANGE a 0 y", "setrange:a"),
    ("INCR n", "new:n incrby:n"),
    ("DECRBY n 2", "incrby:n"),
    ("INCRBYFLOAT n 1.5", "incrbyfloat:n"),
    ("GETDEL n", "del:n"),
    ("EXPIRE a 100", "expire:a"),
    ("EXPIRE a 100 NX", ""),
    ("PERSIST a", "persist:a"),
    ("PERSIST a", ""),
    ("EXPIRE a -1", "del:a"),
    ("RENAME b c", "new:c rename_from:b rename_to:c"),
    ("COPY c d", "new:d copy_to:d"),
    ("MOVE d 1", "new:d@1 move_from:d move_to:d@1"),
    ("DEL c missing", "del:c"),
    ("HSET h f 1 g 2", "new:h hset:h"),
    ("HSETNX h f 2", ""),
    ("HINCRBY h f 1", "hincrby:h"),
    ("HINCRBYFLOAT h f 1", "hincrbyfloat:h"),
    ("HDEL h missing", ""),
    ("HDEL h f", "hdel:h"),
    ("HDEL h g", "hdel:h del:h"),
    ("ZADD z 1 a 2 b", "new:z zadd:z"),
    ("ZADD z 1 a", ""),
    ("ZADD z 3 a", "zadd:z"),
    ("ZINCRBY z 1 a", "zincr:z"),
    ("ZINCRBY z 0 a", ""),
    ("ZREM z missing", ""),
    ("ZREM z a", "zrem:z"),
    ("ZPOPMIN z", "zpopmin:z del:z"),
    ("ZADD z 1 a 2 b 3 c 4 d", "new:z zadd:z"),
    ("ZREMRANGEBYRANK z 0 0", "zremrangebyrank:z"),
    ("ZREMRANGEBYSCORE z 2 2", "zremrangebyscore:z"),
    ("ZREMRANGEBYLEX z [c [c", "zremrangebylex:z"),
    ("ZRANGESTORE y z 0 -1", "new:y zrangestore:y"),
    ("ZUNIONSTORE y 1 z", "zunionstore:y"),
    ("ZINTERSTORE y 2 z missing", "del:y"),
    ("ZDIFFSTORE y 1 z", "new:y zdiffstore:y"),
    ("ZPOPMAX z", "zpopmax:z del:z"),
    ("UNLINK y", "del:y"),
];

/// Commands that servers before 7.4 do not have.
const NEWER: &[(&str, &str)] = &[
    ("HSETEX h EX 100 FIELDS 1 f 1", "new:h hset:h hexpire:h"),
    ("HSETEX h KEEPTTL FIELDS 1 f 2", "hset:h"),
    ("HSETEX h FNX FIELDS 1 f 2", ""),
    ("HEXPIRE h 100 NX FIELDS 1 f", ""),
    ("HEXPIRE h 100 FIELDS 2 f missing", "hexpire:h"),
    ("HPERSIST h FIELDS 1 f", "hpersist:h"),
    ("HPERSIST h FIELDS 1 f", ""),
    ("HGETEX h EX 10 FIELDS 1 f", "hexpire:h"),
    ("HGETEX h PERSIST FIELDS 1 f", "hpersist:h"),
    ("HGETEX h FIELDS 1 f", ""),
    ("HGETDEL h FIELDS 1 missing", ""),
    ("HGETDEL h FIELDS 1 f", "hdel:h del:h"),
    ("HSETEX h FIELDS 1 f 1", "new:h hset:h"),
    ("HEXPIRE h 0 FIELDS 1 f", "hdel:h del:h"),
];

/// What was told since the last look: event, key, and the database unless it is the first.
fn told(news: &Subscription) -> String {
    let mut told = Vec::new();
    while let Some(message) = news.try_next().expect("is open") {
        let channel = message.channel.to_string();
        let (head, event) = channel.split_once("__:").expect("an event channel");
        let db = head.trim_start_matches("__keyevent@");
        let db = if db == "0" {
            String::new()
        } else {
            format!("@{db}")
        };
        told.push(format!("{event}:{}{db}", message.payload));
    }
    told.join(" ")
}

fn listen(db: &Db) -> Subscription {
    db.set_keyspace_events("EAnm").expect("known letters");
    db.subscribe_patterns(["__keyevent@*__:*"])
}

#[test]
fn commands_fire_the_events_a_server_fires() {
    let db = Db::mount(&Store::memory().expect("a store"), "kv").expect("mounts");
    let news = listen(&db);
    for (command, expected) in EVENTS.iter().chain(NEWER) {
        db.command(command.split(' ')).expect(command);
        let found = told(&news);
        let found: Vec<&str> = found
            .split(' ')
            .filter(|one| !one.starts_with("keymiss"))
            .collect();
        assert_eq!(found.join(" "), *expected, "{command}");
    }
    db.command(["GET", "nowhere"]).expect("reads");
    assert_eq!(told(&news), "keymiss:nowhere");
    db.command(["OBJECT", "ENCODING", "nowhere"])
        .expect("reads");
    db.command(["INCR", "nowhere"]).expect("writes");
    assert_eq!(told(&news), "new:nowhere incrby:nowhere");
}

/// Commands of every type, recorded from a server.
const RECORDED: &str = include_str!("events.txt");

#[test]
fn commands_of_every_type_fire_the_events_a_server_fires() {
    let db = Db::mount(&Store::memory().expect("a store"), "kv").expect("mounts");
    let news = listen(&db);
    let mut lines = RECORDED.lines().filter(|line| !line.starts_with('#'));
    let mut different = Vec::new();
    while let Some(line) = lines.next() {
        let command = line.strip_prefix("> ").expect("a command");
        let expected = lines.next().expect("its events");
        db.command(command.split(' ')).expect(command);
        let found = told(&news);
        let found: Vec<&str> = found
            .split(' ')
            .filter(|one| !one.starts_with("keymiss"))
            .collect();
        let found = match found.join(" ") {
            none if none.is_empty() => "nothing".into(),
            some => some,
        };
        if found != expected {
            different.push(format!("{command}\n  {expected}\n  {found}"));
        }
    }
    assert!(
        different.is_empty(),
        "expected, found:\n{}",
        different.join("\n")
    );
}

#[test]
fn restored_values_are_new_and_remove_what_they_replace() {
    let db = Db::mount(&Store::memory().expect("a store"), "kv").expect("mounts");
    for line in [
        "RPUSH l a b",
        "SADD s a 1",
        "XADD x 1-1 f v",
        "HSET h f v",
        "ZADD z 1 a",
    ] {
        db.command(line.split(' ')).expect(line);
        let name = line.split(' ').nth(1).expect("a key");
        let Reply::Bulk(dump) = db.command(["DUMP", name]).expect("dumps") else {
            panic!("{line}: a value is dumped as text")
        };
        let news = listen(&db);
        let restore = |ttl: &str, key: &str, options: &[&str]| {
            let mut args = vec![b"RESTORE".to_vec(), key.into(), ttl.into(), dump.to_vec()];
            args.extend(options.iter().map(|option| option.as_bytes().to_vec()));
            db.command(args).expect("restores");
            told(&news)
        };
        assert_eq!(restore("0", "new", &[]), "new:new restore:new", "{line}");
        assert_eq!(
            restore("0", "new", &["REPLACE"]),
            "new:new restore:new",
            "{line}"
        );
        assert_eq!(
            restore("1", "new", &["REPLACE", "ABSTTL"]),
            "del:new",
            "{line}"
        );
        assert_eq!(restore("1", "new", &["ABSTTL"]), "", "{line}");
        drop(news);
        db.delete(name).expect("deletes");
    }
}

#[test]
fn time_and_a_full_memory_fire_events_too() {
    let clock = ManualClock::default();
    let store = Store::memory_builder()
        .clock(Arc::new(clock.clone()))
        .background(false)
        .open()
        .expect("a store");
    let db = Db::mount(&store, "kv").expect("mounts");
    db.set("s", "1").expect("sets");
    db.expire("s", Duration::from_millis(50)).expect("sets");
    let hash = db.hash("h");
    hash.set_many([("a", "1"), ("b", "2")]).expect("sets");
    hash.expire("a", Duration::from_millis(50)).expect("sets");
    db.hash("i").set("a", "1").expect("sets");
    db.hash("i")
        .expire("a", Duration::from_millis(50))
        .expect("sets");
    let news = listen(&db);
    clock.advance(Duration::from_secs(1));
    store.maintain(Duration::from_secs(1)).expect("maintains");
    let found = told(&news);
    let mut found: Vec<&str> = found.split(' ').collect();
    found.sort_unstable();
    assert_eq!(found, ["del:i", "expired:s", "hexpired:h", "hexpired:i"]);
    db.set_eviction(Eviction::AllkeysRandom).expect("known");
    db.set_max_memory_bytes(Some(1)).expect("evicts");
    assert_eq!(told(&news), "evicted:h");
    assert_eq!(db.stats().evicted, 1);
}
