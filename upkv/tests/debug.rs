//! DEBUG and SHUTDOWN: what they do beside answering.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use upkv::{Connection, Db, DbOptions, ManualClock, Reply, Session, Store, Timestamp};

fn database() -> (Db, ManualClock) {
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    let store = Store::memory_builder()
        .clock(Arc::new(clock.clone()))
        .background(false);
    let db = Db::mount(&store.open().expect("a store"), "kv").expect("mounts");
    (db, clock)
}

fn run(session: &mut Session, line: &str) -> Reply {
    session.command(line.split(' ')).expect(line)
}

fn maintain(db: &Db) {
    db.store()
        .maintain(Duration::from_secs(1))
        .expect("maintains");
}

#[test]
fn sleep_holds_up_its_client_only_and_ends_by_the_clock_or_by_a_word() {
    let (db, clock) = database();
    let (mut sleeper, mut other) = (db.session(), db.session());
    let id = sleeper.id().to_string();
    let context = &mut Context::from_waker(Waker::noop());
    {
        let mut sleep = pin!(sleeper.command_async(["DEBUG", "SLEEP", "1.5"]));
        assert!(sleep.as_mut().poll(context).is_pending());
        assert_eq!(run(&mut other, "SET a 1"), Reply::Status("OK"));
        clock.advance(Duration::from_millis(1_499));
        maintain(&db);
        assert!(sleep.as_mut().poll(context).is_pending());
        clock.advance(Duration::from_millis(1));
        maintain(&db);
        assert!(matches!(
            sleep.as_mut().poll(context),
            Poll::Ready(Ok(Reply::Status("OK")))
        ));
    }
    let mut sleep = pin!(sleeper.command_async(["DEBUG", "SLEEP", "1e9"]));
    assert!(sleep.as_mut().poll(context).is_pending());
    assert_eq!(
        run(&mut other, &format!("CLIENT UNBLOCK {id}")),
        Reply::Int(1)
    );
    assert!(sleep.as_mut().poll(context).is_ready());
}

#[test]
fn what_is_overdue_stays_while_active_expiry_is_off() {
    let (db, clock) = database();
    let mut session = db.session();
    run(&mut session, "DEBUG SET-ACTIVE-EXPIRE 0");
    for number in 0..20 {
        run(&mut session, &format!("SET key:{number} v PX 10"));
    }
    clock.advance(Duration::from_mins(1));
    maintain(&db);
    assert_eq!(db.stats().expired, 0);
    assert_eq!(db.get("key:1").expect("reads"), None);
    run(&mut session, "DEBUG SET-ACTIVE-EXPIRE 1");
    maintain(&db);
    assert_eq!((db.stats().expired, db.stats().keys), (20, 0));
    run(&mut session, "SET later v PX 10");
    clock.advance(Duration::from_mins(1));
    maintain(&db);
    assert_eq!(db.stats().expired, 21);
}

#[test]
fn a_reload_reads_everything_from_the_log_and_loses_nothing() {
    let dir = std::env::temp_dir().join(format!("upkv-debug-{}", std::process::id()));
    let store = Store::open(&dir).expect("a store");
    let options = DbOptions::new().durability(upkv::Durability::Memory);
    let db = Db::mount_with(&store, "kv", options).expect("mounts");
    let mut session = db.session();
    for line in [
        "HSET h f v",
        "ZADD z 1.5 a",
        "RPUSH l a b",
        "SADD s 1 2",
        "XADD x 1-1 f v",
        "JSON.SET j $ [1,2]",
    ] {
        run(&mut session, line);
    }
    db.set("text", "x".repeat(5_000)).expect("set");
    let digest = run(&mut session, "DEBUG DIGEST");
    let demoted = db.stats().demoted;
    run(&mut session, "DEBUG RELOAD");
    assert!(db.stats().demoted > demoted, "values are read anew");
    assert_eq!(run(&mut session, "DEBUG DIGEST"), digest);
    run(&mut session, "JSON.NUMINCRBY j $[0] 1");
    assert_ne!(run(&mut session, "DEBUG DIGEST"), digest);
    drop((session, db));
    store.close().expect("closed");
    std::fs::remove_dir_all(&dir).expect("removed");
}

#[test]
fn an_object_is_described_in_one_line() {
    let (db, clock) = database();
    let mut session = db.session();
    run(&mut session, "SET a hello");
    clock.advance(Duration::from_secs(3));
    let Reply::Text(line) = run(&mut session, "DEBUG OBJECT a") else {
        panic!("not a line");
    };
    let (place, facts) = line.split_once(" refcount").expect("a place first");
    assert!(place.starts_with("Value at:0x"), "{line}");
    let clock = 1_700_000_000_u64 % (1 << 24);
    let expected = format!(":1 encoding:embstr serializedlength:6 lru:{clock} lru_seconds_idle:3");
    assert_eq!(facts, expected);
}

#[test]
fn shutdown_closes_its_client_without_a_reply_and_tells_the_host() {
    let (db, _) = database();
    let mut connection = Connection::new(db.session());
    let output = connection.output();
    assert_eq!(db.shutdown_request(), None);
    assert!(!connection.feed(b"SHUTDOWN SAVE NOW\r\nPING\r\n"));
    assert_eq!(output.take(), b"");
    let asked = db.shutdown_request().expect("told");
    assert_eq!(
        (asked.save, asked.now, asked.force),
        (Some(true), true, false)
    );
    // The host has not ended yet, so another client may take it back, once.
    let mut other = db.session();
    assert_eq!(run(&mut other, "SHUTDOWN ABORT"), Reply::Status("OK"));
    assert_eq!(db.shutdown_request(), None);
    assert!(other.command(["SHUTDOWN", "ABORT"]).is_err());
    assert!(!other.is_closing());
}
