//! The second profile and the limits, where replies alone do not tell: protocols, connections, and capacity.

use upkv::{Connection, Db, DbOptions, Limits, Profile, Store};

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
    assert!(db.command(["GET", "0"]).is_ok());
    assert!(db.command(["EXPIRE", "0", "9"]).is_ok());
    assert!(db.command(["DEL", "0", "1", "2", "3"]).is_ok());
    assert!(db.command(["SET", "0", "1"]).is_ok());
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
