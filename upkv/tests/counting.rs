//! What INFO, SLOWLOG and MONITOR tell of commands that ran, alone, in transactions and in scripts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use upkv::{Connection, Db, ManualClock, Reply, Session, Store, Timestamp};

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

fn info(session: &mut Session, section: &str) -> BTreeMap<String, String> {
    let Reply::Verbatim(text) = run(session, &format!("INFO {section}")) else {
        panic!("not a text");
    };
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Calls and failures of a command.
fn counted(session: &mut Session, command: &str) -> (u64, u64) {
    let stats = info(session, "commandstats");
    let Some(line) = stats.get(&format!("cmdstat_{command}")) else {
        return (0, 0);
    };
    let number = |name: &str| {
        let field = line.split(',').find_map(|field| field.strip_prefix(name));
        field.expect("a field").parse().expect("a number")
    };
    (number("calls="), number("failed_calls="))
}

fn errors(session: &mut Session) -> u64 {
    let stats = info(session, "stats");
    stats["total_error_replies"].parse().expect("a number")
}

fn processed(session: &mut Session) -> u64 {
    let stats = info(session, "stats");
    stats["total_commands_processed"].parse().expect("a number")
}

#[test]
fn commands_of_a_transaction_are_counted_one_by_one() {
    let (db, _) = database();
    let mut session = db.session();
    run(&mut session, "SET s abc");
    run(&mut session, "CONFIG RESETSTAT");
    for line in ["MULTI", "SET a 1", "INCR s", "GET a", "SELECT 0", "EXEC"] {
        run(&mut session, line);
    }
    // RESETSTAT, MULTI, EXEC, and the four.
    assert_eq!(processed(&mut session), 7);
    assert_eq!(counted(&mut session, "set"), (1, 0));
    assert_eq!(counted(&mut session, "get"), (1, 0));
    assert_eq!(counted(&mut session, "incr"), (1, 1));
    assert_eq!(counted(&mut session, "select"), (1, 0));
    assert_eq!(counted(&mut session, "exec"), (1, 0));
    assert_eq!(errors(&mut session), 1);
    // What a watch stopped did not run.
    run(&mut session, "WATCH a");
    run(&mut db.session(), "SET a 2");
    run(&mut session, "MULTI");
    run(&mut session, "GET a");
    assert_eq!(run(&mut session, "EXEC"), Reply::NullArray);
    assert_eq!(counted(&mut session, "get"), (1, 0));
}

#[cfg(feature = "lua")]
#[test]
fn commands_that_scripts_call_are_counted_and_their_errors_once() {
    let (db, _) = database();
    let mut session = db.session();
    run(&mut session, "SET s abc");
    let cases = [
        ("return redis.call('incr','s')", (1, 1), (1, 1), 1),
        ("redis.pcall('incr','s') return 1", (1, 1), (1, 0), 1),
        ("return redis.pcall('incr','s')", (1, 1), (1, 1), 1),
        ("redis.pcall('nosuch','s') return 1", (0, 0), (1, 0), 1),
        ("return redis.error_reply('MINE own')", (0, 0), (1, 1), 1),
        (
            "redis.call('get','a') return redis.call('select',1)",
            (0, 0),
            (1, 0),
            0,
        ),
    ];
    for (script, incr, eval, wrong) in cases {
        run(&mut session, "CONFIG RESETSTAT");
        session.command(["EVAL", script, "0"]).expect("a reply");
        let seen = (
            counted(&mut session, "incr"),
            counted(&mut session, "eval"),
            errors(&mut session),
        );
        assert_eq!(seen, (incr, eval, wrong), "{script}");
    }
    assert_eq!(counted(&mut session, "get"), (1, 0));
    assert_eq!(counted(&mut session, "select"), (1, 0));
}

#[test]
fn slow_commands_are_shown_without_secrets_and_those_of_a_transaction_too() {
    let (db, _) = database();
    let mut session = db.session();
    run(&mut session, "CONFIG SET slowlog-log-slower-than 0");
    run(&mut session, "SLOWLOG RESET");
    for line in [
        "ACL SETUSER bob on >pw",
        "HELLO 2 AUTH bob pw SETNAME me",
        "HELLO 2 AUTH default x",
        "CONFIG SET masterauth secret hz 10",
        "MULTI",
        "SET a 1",
        "EXEC",
    ] {
        session.command(line.split(' ')).ok();
        if line.contains("bob pw") {
            session = db.session();
        }
    }
    run(&mut session, "CONFIG SET slowlog-log-slower-than -1");
    let Reply::Array(entries) = run(&mut session, "SLOWLOG GET -1") else {
        panic!("not a list");
    };
    let shown = |entry: &Reply| {
        let Reply::Array(fields) = entry else {
            panic!("not an entry");
        };
        let Reply::Array(args) = &fields[3] else {
            panic!("no arguments");
        };
        let word = |arg: &Reply| match arg {
            Reply::Bulk(word) => word.as_str().expect("text").to_owned(),
            other => panic!("not a word: {other:?}"),
        };
        args.iter().map(word).collect::<Vec<_>>().join(" ")
    };
    let mut lines: Vec<String> = entries.iter().map(shown).collect();
    lines.reverse();
    assert_eq!(
        lines,
        [
            "SLOWLOG RESET",
            "ACL SETUSER (redacted) (redacted) (redacted)",
            "HELLO 2 AUTH (redacted) (redacted) SETNAME me",
            "HELLO 2 AUTH (redacted) (redacted)",
            "CONFIG SET masterauth (redacted) hz 10",
            "MULTI",
            "SET a 1",
        ]
    );
}

#[test]
fn figures_about_clients_and_traffic_follow_what_happens() {
    let (db, clock) = database();
    let mut session = db.session();
    let mut connection = Connection::new(db.session());
    let output = connection.output();
    connection.feed(b"WATCH a b\r\nSUBSCRIBE c\r\nPSUBSCRIBE p*\r\n");
    let sent = output.take().len();
    let clients = info(&mut session, "clients");
    for (field, value) in [
        ("connected_clients", "2"),
        ("maxclients", "10000"),
        ("pubsub_clients", "1"),
        ("watching_clients", "1"),
        ("total_watched_keys", "2"),
        ("blocked_clients", "0"),
    ] {
        assert_eq!(clients[field], value, "{field}");
    }
    let stats = info(&mut session, "stats");
    assert_eq!(stats["total_net_input_bytes"], "39");
    assert_eq!(stats["total_net_output_bytes"], sent.to_string());
    assert_eq!(stats["pubsub_channels"], "1");
    assert_eq!(stats["pubsub_patterns"], "1");
    assert_eq!(stats["instantaneous_ops_per_sec"], "0");
    clock.advance(Duration::from_secs(1));
    let stats = info(&mut session, "stats");
    assert_eq!(stats["instantaneous_ops_per_sec"], "5");
    run(&mut session, "CONFIG SET maxclients 2");
    drop(Connection::new(db.session()));
    assert_eq!(info(&mut session, "stats")["rejected_connections"], "1");
    run(&mut session, "CONFIG RESETSTAT");
    assert_eq!(info(&mut session, "stats")["rejected_connections"], "0");
}

#[test]
fn refusals_are_counted_by_what_they_are_about() {
    let (db, _) = database();
    let mut session = db.session();
    run(&mut session, "ACL SETUSER bob on >pw +get ~mine:*");
    let mut bob = db.session();
    bob.command(["AUTH", "bob", "wrong"]).expect_err("refused");
    run(&mut bob, "AUTH bob pw");
    bob.command(["GET", "other"]).expect_err("refused");
    bob.command(["SET", "mine:a", "1"]).expect_err("refused");
    bob.command(["SET", "mine:a", "1"]).expect_err("refused");
    let stats = info(&mut session, "stats");
    for (field, count) in [("auth", "1"), ("cmd", "2"), ("key", "1"), ("channel", "0")] {
        assert_eq!(
            stats[&format!("acl_access_denied_{field}")],
            count,
            "{field}"
        );
    }
}

#[test]
fn the_mean_time_to_live_is_estimated() {
    let (db, _) = database();
    let mut session = db.session();
    for number in 0..200 {
        run(&mut session, &format!("SET plain:{number} v"));
        run(&mut session, &format!("SET due:{number} v PX 5000000"));
    }
    let line = info(&mut session, "keyspace")["db0"].clone();
    assert_eq!(line, "keys=400,expires=200,avg_ttl=5000000");
}
