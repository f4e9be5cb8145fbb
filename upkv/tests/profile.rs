//! The second profile and the limits, where replies alone do not tell: protocols, connections, and capacity.

use std::sync::Arc;
use std::time::Duration;

use upkv::{Connection, Db, DbOptions, Limits, ManualClock, Profile, Store, Timestamp};

fn db(options: DbOptions) -> Db {
    Db::mount_with(&Store::memory().expect("a store"), "kv", options).expect("mounts")
}

/// What a connection answers to a line, once it speaks the newer protocol.
fn ask(connection: &mut Connection, line: &str) -> String {
    connection.feed(format!("{line}\r\n").as_bytes());
    let bytes = connection.output().take();
    String::from_utf8_lossy(&bytes).replace("\r\n", " ")
}

#[test]
fn replies_of_the_newer_protocol_are_flat_where_upstash_has_them_so() {
    for (profile, expected) in [
        (
            Profile::Redis,
            [
                "~1 $1 m ",
                "*1 *2 $1 a ,1 ",
                "*1 *2 $1 b ,2 ",
                "*1 %6 ",
                "%1 $22 notify-keyspace-events $0  ",
            ],
        ),
        (
            Profile::Upstash,
            [
                "*1 $1 m ",
                "*2 $1 a ,1 ",
                "*2 $1 b ,2 ",
                "*1 *12 ",
                "*2 $22 notify-keyspace-events $0  ",
            ],
        ),
    ] {
        let db = db(DbOptions::new().profile(profile));
        let mut connection = Connection::new(db.session());
        ask(&mut connection, "HELLO 3");
        ask(&mut connection, "SADD s m");
        ask(&mut connection, "ZADD z 1 a 2 b");
        ask(&mut connection, "XGROUP CREATE t g 0 MKSTREAM");
        let lines = [
            "SMEMBERS s",
            "ZPOPMIN z 1",
            "ZPOPMAX z 1",
            "XINFO GROUPS t",
            "CONFIG GET notify-keyspace-events",
        ];
        for (line, expected) in lines.into_iter().zip(expected) {
            let found = ask(&mut connection, line);
            assert!(found.starts_with(expected), "{line}: {found}");
        }
    }
}

#[test]
fn scans_return_exactly_as_many_keys_as_asked_for() {
    let db = db(DbOptions::new().profile(Profile::Upstash));
    for n in 0..300 {
        db.set(format!("{}:{n}", if n % 3 == 0 { "a" } else { "b" }), "1")
            .expect("set");
    }
    let mut session = db.session();
    let mut cursor = String::from("0");
    let mut found = std::collections::BTreeSet::new();
    loop {
        let line = ["SCAN", &cursor, "MATCH", "a:*", "COUNT", "7"];
        let upkv::Reply::Array(reply) = session.command(line).expect("scanned") else {
            panic!("not a list");
        };
        let [upkv::Reply::Bulk(next), upkv::Reply::Array(keys)] = &reply[..] else {
            panic!("not a cursor and keys");
        };
        cursor = String::from_utf8_lossy(next).into_owned();
        found.extend(keys.iter().map(|key| format!("{key:?}")));
        if cursor == "0" {
            break;
        }
        assert_eq!(keys.len(), 7, "no short page before the end");
    }
    assert_eq!(found.len(), 100);
}

#[test]
fn a_full_database_takes_no_more_and_gives_everything_back() {
    let db = db(DbOptions::new().limits(Limits::new().database_bytes(2_000)));
    let refused =
        (0..100).find_map(|n| db.command(["SET", &format!("{n}"), &"x".repeat(100)]).err());
    let refused = refused.expect("the database fills").to_string();
    assert_eq!(refused, "ERR DB capacity quota exceeded");
    let run = |line: &[&str]| db.command(line).expect("not refused");
    let kept = upkv::Reply::Bulk("x".repeat(100).into());
    assert_eq!(run(&["GET", "0"]), kept);
    assert_eq!(run(&["EXPIRE", "0", "9"]), upkv::Reply::Int(1));
    let held = i64::try_from(db.len().expect("counts")).expect("few");
    let keys: Vec<String> = (0..held).map(|n| n.to_string()).collect();
    let line: Vec<&str> = ["DEL"]
        .into_iter()
        .chain(keys.iter().map(String::as_str))
        .collect();
    assert_eq!(run(&line), upkv::Reply::Int(held));
    assert_eq!(run(&["SET", "0", "1"]), upkv::Reply::Status("OK"));
    assert_eq!(run(&["GET", "0"]), upkv::Reply::Bulk("1".to_owned().into()));
}

#[test]
fn connections_beyond_a_limit_are_told_so_and_closed() {
    let limits = Limits::new().connections(2);
    let db = db(DbOptions::new().limits(limits));
    let mut first = Connection::new(db.session());
    let mut second = Connection::new(db.session());
    let mut third = Connection::new(db.session());
    let told = "-ERR max concurrent connections exceeded ";
    assert_eq!(ask(&mut third, "PING"), told);
    assert!(third.session().is_closing());
    assert_eq!(ask(&mut first, "PING"), "+PONG ");
    drop(third);
    assert_eq!(ask(&mut second, "CONFIG SET maxclients 1"), "+OK ");
    drop(first);
    let mut third = Connection::new(db.session());
    let told = "-ERR max number of clients reached ";
    assert_eq!(ask(&mut third, "PING"), told);
    assert_eq!(ask(&mut second, "PING"), "+PONG ");
}

#[test]
fn clients_that_ask_for_nothing_are_closed_after_the_timeout() {
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    let store = Store::memory_builder()
        .clock(Arc::new(clock.clone()))
        .background(false)
        .open()
        .expect("a store");
    let db = Db::mount(&store, "kv").expect("mounts");
    let mut idle = Connection::new(db.session());
    let mut listening = Connection::new(db.session());
    let mut busy = Connection::new(db.session());
    ask(&mut idle, "PING");
    ask(&mut listening, "SUBSCRIBE c");
    ask(&mut busy, "CONFIG SET timeout 10 tcp-keepalive 7");
    assert_eq!(busy.tcp_keepalive(), Some(Duration::from_secs(7)));
    clock.advance(Duration::from_secs(9));
    ask(&mut busy, "PING");
    clock.advance(Duration::from_secs(2));
    store.maintain(Duration::from_secs(1)).expect("maintained");
    assert!(idle.session().is_closing());
    assert!(!listening.session().is_closing() && !busy.session().is_closing());
    ask(&mut busy, "CONFIG SET timeout 0 tcp-keepalive 0");
    assert_eq!(busy.tcp_keepalive(), None);
    clock.advance(Duration::from_secs(1_000));
    store.maintain(Duration::from_secs(1)).expect("maintained");
    assert!(!busy.session().is_closing());
}
