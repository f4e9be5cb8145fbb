//! Sessions and connections as a server uses them: threads, tasks, limits, pauses, events, the monitor.

mod common;

use std::future::Future;
use std::io::{BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use common::Resp;
use upkv::{Connection, Db, ManualClock, Message, Reply, Session, Store, Timestamp};

fn database() -> (Db, ManualClock) {
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    let store = Store::memory_builder().clock(Arc::new(clock.clone()));
    let db = Db::mount(&store.open().expect("a store"), "kv").expect("mounts");
    (db, clock)
}

fn run(session: &mut Session, line: &str) -> Reply {
    session.command(line.split(' ')).expect(line)
}

fn refusal(session: &mut Session, line: &str) -> String {
    session
        .command(line.split(' '))
        .expect_err(line)
        .to_string()
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Verbatim(text) | Reply::Text(text) => text.clone(),
        other => panic!("not a text: {other:?}"),
    }
}

#[derive(Default)]
struct Count(AtomicU64);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn counting() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    (Arc::clone(&count), Waker::from(count))
}

fn messages(next: impl Fn() -> Option<Message>) -> Vec<(String, String)> {
    std::iter::from_fn(next)
        .map(|message| (message.channel.to_string(), message.payload.to_string()))
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(channel, payload): &(&str, &str)| (channel.to_string(), payload.to_string());
    expected.iter().map(owned).collect()
}

#[test]
fn keyspace_events_are_published_after_a_real_change() {
    let (db, clock) = database();
    let events = db.subscribe_patterns(["__key*__:*"]);
    let told = || messages(|| events.try_next().expect("not cut off"));
    let mut session = db.session();
    run(&mut session, "DEL k");
    db.set_keyspace_events("KEA").expect("known letters");
    run(&mut session, "DEL k");
    assert_eq!(told(), pairs(&[]), "nothing was changed");
    run(&mut session, "SELECT 3");
    run(&mut session, "ZADD z 1 a");
    run(&mut session, "ZREM z a");
    let removed = told();
    let del = pairs(&[("__keyspace@3__:z", "del"), ("__keyevent@3__:del", "z")]);
    assert_eq!(removed[removed.len() - 2..], del);
    run(&mut session, "SET k 1");
    run(&mut session, "PEXPIRE k 100");
    told();
    clock.advance(Duration::from_secs(1));
    db.store()
        .maintain(Duration::from_secs(1))
        .expect("maintained");
    let expired = [
        ("__keyspace@3__:k", "expired"),
        ("__keyevent@3__:expired", "k"),
    ];
    assert_eq!(told(), pairs(&expired));
    db.set_keyspace_events("Ex").expect("known letters");
    run(&mut session, "ZADD z 1 a");
    run(&mut session, "ZREM z a");
    assert_eq!(told(), pairs(&[]));
    assert!(db.set_keyspace_events("KEAq").is_err());
    assert_eq!(db.keyspace_events(), "xE");
}

#[test]
fn a_transaction_that_is_taken_back_publishes_nothing() {
    let (db, _) = database();
    db.set_keyspace_events("KEA").expect("known letters");
    let events = db.subscribe_patterns(["*"]);
    db.zset("z").add("a", 1.0).expect("added");
    messages(|| events.try_next().expect("not cut off"));
    let outcome = db.transaction(|tx| {
        tx.command(["ZREM", "z", "a"])?;
        tx.command(["PUBLISH", "news", "x"])?;
        tx.abort::<()>("no")
    });
    assert!(outcome.is_err());
    assert_eq!(events.try_next().expect("not cut off"), None);
    db.transaction(|tx| tx.command(["PUBLISH", "news", "x"]))
        .expect("commits");
    assert_eq!(events.next().expect("a message").payload, "x");
}

#[test]
fn subscribers_wait_in_threads_and_tasks() {
    let (db, clock) = database();
    let news = db.subscribe(["news"]);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| news.next().expect("a message").payload.to_string());
        assert_eq!(db.publish("news", "hello").expect("published"), 1);
        assert_eq!(waiting.join().expect("no panic"), "hello");
        let waiting = scope.spawn(|| news.next_within(Duration::from_millis(50)));
        while !waiting.is_finished() {
            clock.advance(Duration::from_millis(50));
            std::thread::yield_now();
        }
        assert_eq!(
            waiting.join().expect("no panic").expect("not cut off"),
            None
        );
    });
    let (count, waker) = counting();
    let mut next = pin!(news.next_async());
    let context = &mut Context::from_waker(&waker);
    assert!(next.as_mut().poll(context).is_pending());
    db.publish("other", "x").expect("published");
    assert_eq!(count.0.load(Ordering::SeqCst), 0);
    db.publish("news", "again").expect("published");
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert!(matches!(next.poll(context), Poll::Ready(Ok(message)) if message.payload == "again"));
    drop(news);
    assert_eq!(db.publish("news", "x").expect("published"), 0);
}

#[test]
fn messages_of_one_publisher_keep_their_order() {
    let (db, _) = database();
    let all = db.subscribe_patterns(["*"]);
    std::thread::scope(|scope| {
        for publisher in 0..3 {
            let db = &db;
            scope.spawn(move || {
                for n in 0..500 {
                    db.publish(format!("c{publisher}"), n.to_string())
                        .expect("published");
                }
            });
        }
    });
    let mut next = [0; 3];
    for (channel, payload) in messages(|| all.try_next().expect("not cut off")) {
        let publisher: usize = channel[1..].parse().expect("a number");
        assert_eq!(payload, next[publisher].to_string());
        next[publisher] += 1;
    }
    assert_eq!(next, [500; 3]);
}

#[test]
fn a_client_that_does_not_read_its_messages_is_cut_off() {
    let (db, _) = database();
    db.set_message_limit_bytes(10_000);
    let mut connection = Connection::new(db.session());
    let output = connection.output();
    assert!(connection.feed(b"SUBSCRIBE news\r\n"));
    output.take();
    let mut delivered = 0;
    for _ in 0..100 {
        delivered += db.publish("news", [b'x'; 1_000]).expect("published");
    }
    assert!((9..=11).contains(&delivered), "{delivered}");
    assert_eq!(
        output.wait(),
        None,
        "closed, and what it had not taken is dropped"
    );
    assert!(!connection.feed(b"PING\r\n"));
    let id = connection.session().id().to_string();
    drop(connection);
    let mut session = db.session();
    assert_eq!(
        text(&run(&mut session, &format!("CLIENT LIST ID {id}"))),
        ""
    );
}

#[test]
fn a_client_that_does_not_read_its_replies_is_cut_off() {
    let (db, _) = database();
    db.set("big", vec![b'x'; 1_000]).expect("set");
    let mut connection = Connection::new(db.session()).output_limit_bytes(5_000);
    let output = connection.output();
    assert!(connection.feed(&b"GET big\r\n".repeat(4)));
    assert_eq!(output.take().len(), 4 * 1_009);
    assert!(!connection.feed(&b"GET big\r\n".repeat(6)));
    assert_eq!(output.wait(), None);
}

#[test]
fn output_is_waited_for_in_threads_and_tasks() {
    let (db, _) = database();
    let mut connection = Connection::new(db.session());
    let output = connection.output();
    assert!(connection.feed(b"SUBSCRIBE news\r\n"));
    output.take();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| output.wait());
        db.publish("news", "x").expect("published");
        let bytes = waiting.join().expect("no panic").expect("open");
        assert_eq!(bytes, b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n");
    });
    let (count, waker) = counting();
    let context = &mut Context::from_waker(&waker);
    let mut next = pin!(output.wait_async());
    assert!(next.as_mut().poll(context).is_pending());
    assert!(connection.feed(b"PING\r\n"));
    assert!(count.0.load(Ordering::SeqCst) > 0);
    let pong = b"*2\r\n$4\r\npong\r\n$0\r\n\r\n".to_vec();
    assert_eq!(next.as_mut().poll(context), Poll::Ready(Some(pong)));
    assert!(next.as_mut().poll(context).is_pending());
    drop(connection);
    assert_eq!(next.as_mut().poll(context), Poll::Ready(None));
}

#[test]
fn an_invalidation_never_overtakes_the_reply_it_is_about() {
    const ROUNDS: usize = 2_000;
    let (db, _) = database();
    let mut connection = Connection::new(db.session());
    let output = connection.output();
    assert!(connection.feed(b"HELLO 3\r\nCLIENT TRACKING ON\r\n"));
    output.take();
    db.set("k", "0").expect("set");
    let bytes = std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..=ROUNDS {
                db.set("k", n.to_string()).expect("set");
            }
        });
        let writer = scope.spawn(|| {
            let mut all = Vec::new();
            while let Some(bytes) = output.wait() {
                all.extend_from_slice(&bytes);
            }
            all
        });
        for _ in 0..ROUNDS {
            assert!(connection.feed(b"GET k\r\n"));
        }
        while db.get("k").expect("read").expect("set") != *ROUNDS.to_string().as_str() {
            std::thread::yield_now();
        }
        assert!(connection.feed(b"PING\r\n"));
        drop(connection);
        writer.join().expect("no panic")
    });
    // What a client that caches would believe at the end: the last value read, unless it was told to forget it.
    let stream = String::from_utf8(bytes).expect("text");
    let mut cached = None;
    let mut lines = stream.split("\r\n");
    while let Some(line) = lines.next() {
        match line {
            ">2" => {
                let told: Vec<&str> = lines.by_ref().take(5).collect();
                assert_eq!(told, ["$10", "invalidate", "*1", "$1", "k"]);
                cached = None;
            }
            "" | "+PONG" => {}
            _ => cached = lines.next().map(String::from),
        }
    }
    assert!(
        cached.is_none_or(|value| value == ROUNDS.to_string()),
        "a stale value stays"
    );
}

#[test]
fn the_monitor_shows_commands_in_the_order_in_which_they_run() {
    let (db, _) = database();
    let mut watcher = db.session();
    let mut session = db.session();
    session.set_addresses("10.0.0.1:5000", "10.0.0.2:6379");
    assert_eq!(run(&mut watcher, "MONITOR"), Reply::Status("OK"));
    for line in [
        "SET a \"1\"",
        "AUTH default secret",
        "CLIENT LIST",
        "MULTI",
        "SELECT 2",
        "GET a",
        "EXEC",
    ] {
        run(&mut session, line);
    }
    session.command(["NONSENSE"]).expect_err("unknown");
    let lines: Vec<String> = std::iter::from_fn(|| watcher.next_push())
        .map(|line| text(&line))
        .collect();
    let expected = [
        r#"1700000000.000000 [0 10.0.0.1:5000] "SET" "a" "\"1\"""#,
        r#"1700000000.000000 [0 10.0.0.1:5000] "AUTH" "(redacted)" "(redacted)""#,
        r#"1700000000.000000 [0 10.0.0.1:5000] "MULTI""#,
        r#"1700000000.000000 [2 10.0.0.1:5000] "exec""#,
        r#"1700000000.000000 [2 10.0.0.1:5000] "SELECT" "2""#,
        r#"1700000000.000000 [2 10.0.0.1:5000] "GET" "a""#,
    ];
    assert_eq!(lines, expected);
    run(&mut watcher, "RESET");
    run(&mut session, "GET a");
    assert_eq!(watcher.next_push(), None);
}

#[test]
fn clients_are_listed_with_what_they_do() {
    let (db, clock) = database();
    let mut one = db.session();
    let mut two = db.session();
    one.set_addresses("10.0.0.1:5000", "10.0.0.2:6379");
    for line in [
        "CLIENT SETNAME me",
        "CLIENT SETINFO LIB-NAME lib",
        "CLIENT SETINFO LIB-VER 1.2",
        "SELECT 3",
    ] {
        run(&mut one, line);
    }
    run(&mut one, "HELLO 3");
    run(&mut one, "CLIENT TRACKING ON BCAST");
    run(&mut one, "SUBSCRIBE c");
    run(&mut one, "CLIENT NO-EVICT ON");
    run(&mut one, "MULTI");
    run(&mut one, "GET a");
    clock.advance(Duration::from_secs(7));
    let line = text(&run(&mut two, &format!("CLIENT LIST ID {}", one.id())));
    let field = |name: &str| {
        let mut fields = line
            .trim_end()
            .split(' ')
            .filter_map(|field| field.split_once('='));
        fields
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value.to_string())
    };
    for (name, expected) in [
        ("id", &*one.id().to_string()),
        ("addr", "10.0.0.1:5000"),
        ("laddr", "10.0.0.2:6379"),
        ("name", "me"),
        ("age", "7"),
        ("idle", "7"),
        ("flags", "PxtBe"),
        ("db", "3"),
        ("sub", "1"),
        ("psub", "0"),
        ("ssub", "0"),
        ("multi", "1"),
        ("cmd", "get"),
        ("user", "default"),
        ("redir", "0"),
        ("resp", "3"),
        ("lib-name", "lib"),
        ("lib-ver", "1.2"),
    ] {
        assert_eq!(field(name).as_deref(), Some(expected), "{name} in {line}");
    }
    let all = text(&run(&mut two, "CLIENT LIST"));
    assert_eq!(all.lines().count(), 2);
    assert_eq!(text(&run(&mut two, "CLIENT LIST TYPE pubsub")), line);
    assert!(text(&run(&mut two, "CLIENT INFO")).starts_with(&format!("id={} ", two.id())));
    drop(one);
    assert_eq!(text(&run(&mut two, "CLIENT LIST")).lines().count(), 1);
}

#[test]
fn a_killed_client_can_do_nothing_more() {
    let (db, _) = database();
    let (mut one, mut two) = (db.session(), db.session());
    run(&mut one, "SUBSCRIBE c");
    assert_eq!(
        run(&mut two, &format!("CLIENT KILL ID {}", one.id())),
        Reply::Int(1)
    );
    assert!(one.is_closing());
    assert_eq!(refusal(&mut one, "PING"), "ERR the connection is closed");
    assert_eq!(run(&mut two, "PUBLISH c x"), Reply::Int(0));
    drop(one);
    assert_eq!(run(&mut two, "PUBSUB CHANNELS"), Reply::Array(Vec::new()));
}

#[test]
fn a_pause_ends_by_the_clock_or_by_a_word() {
    let (db, clock) = database();
    let (mut one, mut two) = (db.session(), db.session());
    run(&mut one, "CLIENT PAUSE 100 WRITE");
    assert_eq!(run(&mut two, "GET a"), Reply::Null);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| run(&mut two, "INCR a"));
        clock.advance(Duration::from_millis(100));
        assert_eq!(waiting.join().expect("no panic"), Reply::Int(1));
    });
    run(&mut one, "CLIENT PAUSE 100 WRITE");
    let (count, waker) = counting();
    let context = &mut Context::from_waker(&waker);
    {
        let mut waiting = pin!(two.command_async(["INCR", "a"]));
        assert!(waiting.as_mut().poll(context).is_pending());
        run(&mut one, "CLIENT UNPAUSE");
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(matches!(
            waiting.poll(context),
            Poll::Ready(Ok(Reply::Int(2)))
        ));
    }
    run(&mut one, "CLIENT PAUSE 100");
    let mut waiting = pin!(two.command_async(["GET", "a"]));
    assert!(waiting.as_mut().poll(context).is_pending());
    clock.advance(Duration::from_millis(100));
    db.store()
        .maintain(Duration::from_secs(1))
        .expect("maintained");
    assert_eq!(count.0.load(Ordering::SeqCst), 2);
    assert!(matches!(
        waiting.poll(context),
        Poll::Ready(Ok(Reply::Bulk(_)))
    ));
}

#[test]
fn a_redirection_to_a_client_that_is_gone_is_told() {
    let (db, _) = database();
    let (mut one, mut two) = (db.session(), db.session());
    let two_id = two.id();
    run(&mut one, "HELLO 3");
    run(&mut two, "SUBSCRIBE __redis__:invalidate");
    run(&mut one, &format!("CLIENT TRACKING ON REDIRECT {two_id}"));
    assert_eq!(
        run(&mut one, "CLIENT GETREDIR"),
        Reply::Int(i64::try_from(two_id).expect("small"))
    );
    run(&mut one, "GET k");
    drop(two);
    db.set("k", "1").expect("set");
    let Some(Reply::Push(told)) = one.next_push() else {
        panic!("not told");
    };
    assert!(
        matches!(&told[..], [Reply::Bulk(word), Reply::Int(_)] if *word == "tracking-redir-broken")
    );
    let Reply::Map(info) = run(&mut one, "CLIENT TRACKINGINFO") else {
        panic!("not a map");
    };
    assert!(matches!(&info[0].1, Reply::Set(flags) if flags.len() == 2));
}

/// All the code that a server needs beside the crate.
fn serve(mut socket: UnixStream, db: &Db) {
    let mut connection = Connection::new(db.session());
    let output = connection.output();
    let mut writer = socket.try_clone().expect("a second handle");
    let sending = std::thread::spawn(move || {
        while let Some(bytes) = output.wait() {
            if writer.write_all(&bytes).is_err() {
                output.disconnect();
            }
        }
        writer.shutdown(Shutdown::Both).ok();
    });
    let mut bytes = [0; 4_096];
    while let Ok(count @ 1..) = socket.read(&mut bytes) {
        if !connection.feed(&bytes[..count]) {
            break;
        }
    }
    drop(connection);
    sending.join().expect("no panic");
}

#[test]
fn a_server_is_a_loop_around_sockets() {
    let (db, _) = database();
    let connect = || {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let db = db.clone();
        let serving = std::thread::spawn(move || serve(theirs, &db));
        (BufReader::new(ours), serving)
    };
    let ask = |socket: &mut BufReader<UnixStream>, line: &str| {
        socket.get_mut().write_all(line.as_bytes()).expect("sent");
        Resp::read(socket).show()
    };
    let (mut one, first) = connect();
    let (mut two, second) = connect();
    assert_eq!(ask(&mut one, "SET greeting 'hello world'\r\n"), "OK");
    assert_eq!(ask(&mut two, "GET greeting\r\n"), "\"hello world\"");
    assert_eq!(
        ask(&mut two, "SUBSCRIBE news\r\n"),
        "[\"subscribe\" \"news\" (int) 1]"
    );
    assert_eq!(ask(&mut one, "PUBLISH news x\r\n"), "(int) 1");
    assert_eq!(Resp::read(&mut two).show(), "[\"message\" \"news\" \"x\"]");
    let pipeline = "INCR n\r\n".repeat(1_000);
    one.get_mut().write_all(pipeline.as_bytes()).expect("sent");
    for n in 1..=1_000 {
        assert_eq!(Resp::read(&mut one), Resp::Int(n));
    }
    assert_eq!(ask(&mut one, "QUIT\r\n"), "OK");
    assert_eq!(one.read(&mut [0]).expect("the end"), 0, "the server closes");
    first.join().expect("no panic");
    drop(two);
    second.join().expect("no panic");
    assert_eq!(db.stats().clients, 0);
    assert_eq!(db.publish("news", "x").expect("published"), 0);
}

#[test]
fn parameters_limit_what_a_client_may_send_and_leave() {
    let (db, _) = database();
    let connect = || Connection::new(db.session());
    let mut admin = db.session();
    let set = |admin: &mut Session, name: &str, value: &str| {
        admin
            .command(["CONFIG", "SET", name, value])
            .expect("a value")
    };
    let mib = 1 << 20;
    let big = |len: usize| {
        let head = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${len}\r\n");
        [head.as_bytes(), &vec![b'x'; len], b"\r\n"].concat()
    };
    assert!(connect().feed(&big(mib + 1)));
    set(&mut admin, "proto-max-bulk-len", "1mb");
    assert!(connect().feed(&big(mib)));
    let mut refused = connect();
    let output = refused.output();
    assert!(!refused.feed(&big(mib + 1)));
    assert_eq!(
        output.take(),
        b"-ERR Protocol error: invalid bulk length\r\n"
    );
    set(&mut admin, "proto-max-bulk-len", "512mb");

    assert!(connect().feed(&big(2 * mib)[..mib + 100]));
    set(&mut admin, "client-query-buffer-limit", "1mb");
    assert!(!connect().feed(&big(2 * mib)[..mib + 100]));

    set(&mut admin, "client-output-buffer-limit", "normal 1000 0 0");
    assert!(!connect().feed(b"GET k\r\n"));
    let mut small = connect();
    assert!(small.feed(b"PING\r\n"));
    assert_eq!(small.output().take(), b"+PONG\r\n");
}
