//! Waiting callers, with a blocking command of the tests' own: `TAKE key... ms` takes the least member of a sorted set.

mod threads;

use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::*;
use crate::command::row::{BLOCKING, READ, WRITE, data, range};
use crate::db::Db;
use crate::keyspace::work::event::Wait;
use crate::server::waiter::Parked;
use crate::storage::ManualClock;
use crate::storage::Store;
use crate::storage::sync::AtomicU64;

static TAKE: Command = Command {
    name: "take",
    arity: -3,
    flags: WRITE | BLOCKING,
    at: range(1, -2, 1),
    handler: data(take),
    since: "",
    complexity: "",
    summary: "",
    group: "",
};

/// Reads the least member and leaves it there, as readers of streams do.
static LOOK: Command = Command {
    name: "look",
    arity: -3,
    flags: READ | BLOCKING,
    at: range(1, -2, 1),
    handler: data(look),
    since: "",
    complexity: "",
    summary: "",
    group: "",
};

/// Takes from one key and puts into another.
static MOVE: Command = Command {
    name: "move",
    arity: 4,
    flags: WRITE | BLOCKING,
    at: range(1, 2, 1),
    handler: data(move_one),
    since: "",
    complexity: "",
    summary: "",
    group: "",
};

fn first(work: &mut Work<'_>, key: &[u8]) -> Result<Option<Reply>> {
    let Reply::Array(found) = crate::command::execute_in(work, &[b"ZRANGE", key, b"0", b"0"])?
    else {
        panic!("a list");
    };
    Ok(found.into_iter().next())
}

fn pop(work: &mut Work<'_>, key: &[u8]) -> Result<Option<Reply>> {
    let found = first(work, key)?;
    if let Some(Reply::Bulk(member)) = &found {
        crate::command::execute_in(work, &[b"ZREM", key, member])?;
    }
    Ok(found)
}

fn wait(work: &mut Work<'_>, keys: &[&[u8]], kind: Kind, millis: &[u8]) -> Result<Reply> {
    let millis = crate::number::parse_i64(millis).and_then(|millis| u64::try_from(millis).ok());
    work.wait_for(Wait {
        keys: keys.iter().map(|key| (*key).into()).collect(),
        kind,
        timeout_ms: millis.filter(|millis| *millis > 0),
        empty: Reply::NullArray,
    })
}

fn take(work: &mut Work<'_>, args: &[&[u8]]) -> Result<Reply> {
    let (keys, millis) = (&args[1..args.len() - 1], args[args.len() - 1]);
    for key in keys {
        if let Some(found) = pop(work, key)? {
            return Ok(found);
        }
    }
    wait(work, keys, Kind::Zset, millis)
}

fn look(work: &mut Work<'_>, args: &[&[u8]]) -> Result<Reply> {
    match first(work, args[1])? {
        Some(found) => Ok(found),
        None => wait(work, &args[1..2], Kind::Zset, args[2]),
    }
}

fn move_one(work: &mut Work<'_>, args: &[&[u8]]) -> Result<Reply> {
    work.expect_kind(args[2], Kind::Zset)?;
    let Some(Reply::Bulk(member)) = pop(work, args[1])? else {
        return wait(work, &args[1..2], Kind::Zset, args[3]);
    };
    crate::command::execute_in(work, &[b"ZADD", args[2], b"0", &member])?;
    Ok(Reply::Bulk(member))
}

struct Fixture {
    db: Db,
    clock: ManualClock,
}

fn fixture() -> Fixture {
    let clock = ManualClock::default();
    let store = Store::memory_builder()
        .clock(Arc::new(clock.clone()))
        .open();
    let store = store.expect("a store in memory");
    let db = Db::mount(&store, "kv").expect("mounts");
    Fixture { db, clock }
}

impl Fixture {
    fn start(&self, command: &'static Command, line: &str) -> Result<Started> {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.db
            .engine
            .start_waiting(self.db.caller(), command, &args)
    }

    fn park(&self, command: &'static Command, line: &str) -> Parked {
        match self.start(command, line).expect("no error") {
            Started::Parked(waiter) => Parked::new(&self.db.engine, &self.db.store, waiter),
            Started::Done(reply) => panic!("{line} is done: {reply:?}"),
        }
    }

    fn run(&self, line: &str) -> Reply {
        self.db.command(line.split(' ')).expect(line)
    }

    fn count(&self) -> usize {
        self.db.engine.server.blocked.count()
    }
}

fn member(text: &str) -> Reply {
    Reply::bulk_copy(text.as_bytes())
}

/// The outcome if there is one.
fn outcome(parked: &mut Parked) -> Option<Result<Reply>> {
    match parked.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

fn got(parked: &mut Parked) -> Option<Reply> {
    outcome(parked).map(|outcome| outcome.expect("no error"))
}

#[test]
fn waiters_are_served_in_order_and_several_at_once() {
    let f = fixture();
    let mut waiting: Vec<Parked> = (0..4).map(|_| f.park(&TAKE, "TAKE k other 0")).collect();
    assert_eq!(f.count(), 4);
    f.run("ZADD k 1 a 2 b");
    let replies: Vec<_> = waiting.iter_mut().map(got).collect();
    assert_eq!(replies, [Some(member("a")), Some(member("b")), None, None]);
    f.run("ZADD other 1 c");
    assert_eq!(got(&mut waiting[2]), Some(member("c")));
    assert_eq!(f.run("ZCARD other"), Reply::Int(0));
    waiting.clear();
    assert_eq!(f.count(), 0);
    f.run("ZADD k 1 a");
    assert_eq!(f.run("ZCARD k"), Reply::Int(1), "nobody waits any more");
    assert!(matches!(f.start(&TAKE, "TAKE k 0"), Ok(Started::Done(reply)) if reply == member("a")));
}

#[test]
fn a_transaction_that_takes_back_what_it_brought_wakes_nobody() {
    let f = fixture();
    let mut waiting = f.park(&TAKE, "TAKE k 0");
    let mut session = f.db.session();
    for line in ["MULTI", "ZADD k 1 a", "DEL k", "EXEC"] {
        session.command(line.split(' ')).expect(line);
    }
    assert_eq!(got(&mut waiting), None);
    for line in ["MULTI", "ZADD k 1 a", "ZADD k 0 b", "EXEC"] {
        session.command(line.split(' ')).expect(line);
    }
    assert_eq!(
        got(&mut waiting),
        Some(member("b")),
        "handed out after the whole"
    );
}

#[test]
fn keys_that_appear_by_other_ways_wake_too() {
    for (before, then) in [
        ("ZADD from 1 a", "RENAME from k"),
        ("ZADD from 1 a", "COPY from k"),
        ("ZADD from 1 a", "ZUNIONSTORE k 1 from"),
    ] {
        let f = fixture();
        f.run(before);
        let mut waiting = f.park(&TAKE, "TAKE k 0");
        f.run(then);
        assert_eq!(got(&mut waiting), Some(member("a")), "{then}");
    }
    let f = fixture();
    let other = f.db.database(3).expect("there are 16");
    other.command(["ZADD", "k", "1", "a"]).expect("added");
    let mut waiting = f.park(&TAKE, "TAKE k 0");
    f.run("SWAPDB 0 3");
    assert_eq!(got(&mut waiting), Some(member("a")));
    let mut waiting = f.park(&TAKE, "TAKE k 0");
    f.run("SWAPDB 0 3");
    assert_eq!(got(&mut waiting), None);
    f.run("ZADD k 1 b");
    assert_eq!(
        got(&mut waiting),
        Some(member("b")),
        "the wait is for a database by its number"
    );
}

#[test]
fn another_type_is_ignored_until_the_right_one_comes() {
    let f = fixture();
    let mut waiting = f.park(&TAKE, "TAKE k 0");
    f.run("SET k text");
    assert_eq!(got(&mut waiting), None);
    f.run("DEL k");
    f.run("ZADD k 1 a");
    assert_eq!(got(&mut waiting), Some(member("a")));
    f.run("SET k text");
    assert!(matches!(f.start(&TAKE, "TAKE k 0"), Err(Error::WrongType)));
    assert_eq!(f.count(), 1, "what was refused does not wait");
}

#[test]
fn serving_one_may_make_the_next_ready() {
    let f = fixture();
    let mut last = f.park(&TAKE, "TAKE c 0");
    let mut middle = f.park(&MOVE, "MOVE b c 0");
    let mut first = f.park(&MOVE, "MOVE a b 0");
    f.run("ZADD a 1 x");
    for waiting in [&mut first, &mut middle, &mut last] {
        assert_eq!(got(waiting), Some(member("x")));
    }
    assert_eq!(f.run("EXISTS a b c"), Reply::Int(0));
}

#[test]
fn an_error_when_served_goes_to_the_waiter_and_the_element_to_the_next() {
    let f = fixture();
    let mut first = f.park(&MOVE, "MOVE k to 0");
    let mut second = f.park(&TAKE, "TAKE k 0");
    f.run("SET to text");
    f.run("ZADD k 1 a");
    assert!(matches!(outcome(&mut first), Some(Err(Error::WrongType))));
    assert_eq!(got(&mut second), Some(member("a")));
    f.db.audit().expect("the counts agree");
}

#[test]
fn time_runs_out_by_the_clock() {
    let f = fixture();
    let mut waiting = f.park(&TAKE, "TAKE k 100");
    f.clock.advance(Duration::from_millis(99));
    assert_eq!(got(&mut waiting), None);
    f.clock.advance(Duration::from_millis(1));
    assert_eq!(got(&mut waiting), Some(Reply::NullArray));
    f.run("ZADD k 1 a");
    assert_eq!(f.run("ZCARD k"), Reply::Int(1));
}

#[test]
fn a_thread_waits_until_the_time_is_over() {
    let f = fixture();
    std::thread::scope(|scope| {
        let parked = f.park(&TAKE, "TAKE k 100");
        let waiting = scope.spawn(|| parked.wait());
        // Whether the thread sleeps already or not: it looks at the clock before it does.
        f.clock.advance(Duration::from_millis(100));
        assert_eq!(
            waiting.join().expect("no panic").expect("no error"),
            Reply::NullArray
        );
    });
}

#[derive(Default)]
struct Count(AtomicU64);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn tasks_are_woken_by_an_element_and_by_the_time() {
    let f = fixture();
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut context = Context::from_waker(&waker);
    let mut parked = f.park(&TAKE, "TAKE k 100");
    assert!(parked.poll(&mut context).is_pending());
    f.run("ZADD other 1 a");
    assert_eq!(count.0.load(Ordering::SeqCst), 0);
    f.run("ZADD k 1 a");
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert!(parked.poll(&mut context).is_ready());
    let mut parked = f.park(&TAKE, "TAKE k 100");
    assert!(parked.poll(&mut context).is_pending());
    f.clock.advance(Duration::from_millis(100));
    f.db.store()
        .maintain(Duration::from_secs(1))
        .expect("maintained");
    assert_eq!(count.0.load(Ordering::SeqCst), 2);
    assert!(matches!(
        parked.poll(&mut context),
        Poll::Ready(Ok(Reply::NullArray))
    ));
}

#[test]
fn a_future_that_is_dropped_takes_nothing() {
    let f = fixture();
    drop(f.park(&TAKE, "TAKE k 0"));
    let mut second = f.park(&TAKE, "TAKE k 0");
    f.run("ZADD k 1 a");
    assert_eq!(got(&mut second), Some(member("a")));
    let shard_count =
        f.db.engine
            .shards()
            .map(|(_, shard)| shard.lock().waiting.len());
    assert_eq!(
        shard_count.sum::<usize>(),
        1,
        "the queue of the second, which is still held"
    );
    drop(second);
    let left =
        f.db.engine
            .shards()
            .map(|(_, shard)| shard.lock().waiting.len());
    assert_eq!(left.sum::<usize>(), 0);
}

#[test]
fn others_end_a_wait() {
    let f = fixture();
    let mut waiting = f.park(&TAKE, "TAKE k 0");
    assert!(waiting.waiter().unblock(false));
    assert!(!waiting.waiter().unblock(true), "it has ended already");
    assert_eq!(got(&mut waiting), Some(Reply::NullArray));
    let mut waiting = f.park(&TAKE, "TAKE k 0");
    assert!(waiting.waiter().unblock(true));
    let error = outcome(&mut waiting)
        .expect("an outcome")
        .expect_err("an error");
    assert_eq!(
        error.to_string(),
        "UNBLOCKED client unblocked via CLIENT UNBLOCK"
    );
}

#[test]
fn closing_the_store_ends_every_wait() {
    let f = fixture();
    std::thread::scope(|scope| {
        let parked = f.park(&TAKE, "TAKE k 0");
        let mut early = f.park(&TAKE, "TAKE k 0");
        let news = f.db.subscribe(["news"]);
        let waiting = scope.spawn(|| parked.wait());
        let listening = scope.spawn(move || news.next());
        f.db.close().expect("closed");
        let closed = |error: Error| matches!(error, Error::Storage(_));
        assert!(closed(
            waiting.join().expect("no panic").expect_err("closed")
        ));
        assert!(closed(
            listening.join().expect("no panic").expect_err("closed")
        ));
        assert!(closed(
            outcome(&mut early)
                .expect("an outcome")
                .expect_err("closed")
        ));
        let mut late = f.park(&TAKE, "TAKE k 0");
        assert!(closed(
            outcome(&mut late).expect("an outcome").expect_err("closed")
        ));
    });
}

#[test]
fn sessions_wait_where_others_see_it_and_can_end_it() {
    use crate::command::Step;
    let f = fixture();
    let (mut one, mut two) = (f.db.session(), f.db.session());
    let args: [&[u8]; 3] = [b"TAKE", b"k", b"0"];
    let ids = [one.id().to_string(), "99999".into()];
    let flags =
        |session: &mut crate::Session| match session.command(["CLIENT", "LIST", "ID", &ids[0]]) {
            Ok(Reply::Verbatim(line)) => {
                let flags = line.split(' ').find(|field| field.starts_with("flags="));
                flags.expect("a field").to_string()
            }
            other => panic!("{other:?}"),
        };
    for (reason, ends) in [("TIMEOUT", true), ("ERROR", false)] {
        let Ok(Step::Parked(mut parked)) = one.start_waiting(&TAKE, &args) else {
            panic!("there is nothing to take");
        };
        assert_eq!(flags(&mut two), "flags=b");
        assert_eq!(f.db.stats().blocked_callers, 1);
        let unblock = ["CLIENT", "UNBLOCK", &ids[0], reason];
        assert_eq!(two.command(unblock).expect("no error"), Reply::Int(1));
        assert_eq!(two.command(unblock).expect("no error"), Reply::Int(0));
        assert_eq!(outcome(&mut parked).expect("it has ended").is_ok(), ends);
        drop(parked);
        one.client.set_parked(None);
    }
    assert_eq!(flags(&mut two), "flags=N");
    let Ok(Step::Parked(mut parked)) = one.start_waiting(&TAKE, &args) else {
        panic!("there is nothing to take");
    };
    two.command(["CLIENT", "KILL", "ID", &ids[0]])
        .expect("no error");
    assert_eq!(got(&mut parked), Some(Reply::NullArray));
    assert!(one.is_closing());
    two.command(["ZADD", "k", "1", "a"]).expect("added");
    assert_eq!(f.run("ZCARD k"), Reply::Int(1), "the dead take nothing");
}

#[test]
fn one_who_leaves_the_element_does_not_starve_others() {
    let f = fixture();
    let mut looking = f.park(&LOOK, "LOOK k 0");
    let mut taking = f.park(&TAKE, "TAKE k 0");
    f.run("ZADD k 1 a");
    assert_eq!(got(&mut looking), Some(member("a")));
    assert_eq!(got(&mut taking), Some(member("a")));
}

#[test]
fn a_value_in_the_cold_tier_serves_a_waiter() {
    let f = fixture();
    let long = "x".repeat(200);
    f.run(&format!("ZADD from 1 {long}"));
    let mut waiting = f.park(&TAKE, "TAKE k 0");
    f.db.demote_all().expect("demoted");
    f.run("RENAME from k");
    assert_eq!(got(&mut waiting), Some(member(&long)));
    f.db.audit().expect("the counts agree");
}
