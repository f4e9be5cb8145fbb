//! Typed doors that wait, join several keys, or move keys: what they take, in which order, and what they refuse.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use upkv::{
    Aggregate, Db, Error, ExpireWhen, ListEnd, ManualClock, SetOptions, Store, StreamId, Timestamp,
    Ttl, ZsetEnd,
};

fn database() -> (Db, ManualClock) {
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    let store = Store::memory_builder()
        .clock(Arc::new(clock.clone()))
        .background(false);
    let db = Db::mount(&store.open().expect("a store"), "kv").expect("mounts");
    (db, clock)
}

fn poll<F: Future>(future: &mut Pin<&mut F>) -> Poll<F::Output> {
    future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
}

fn ready<T, F: Future<Output = upkv::Result<Option<T>>>>(future: &mut Pin<&mut F>) -> Option<T> {
    match poll(future) {
        Poll::Ready(outcome) => outcome.expect("no error"),
        Poll::Pending => panic!("it still waits"),
    }
}

fn maintain(db: &Db) {
    let done = db.store().maintain(Duration::from_secs(1));
    done.expect("maintains");
}

#[test]
fn readers_of_a_stream_wait_for_what_comes_after_an_id() {
    let (db, clock) = database();
    let log = db.stream("log");
    let old = log.add([("n", "0")]).expect("added");
    let mut from_start = pin!(log.read_waiting(StreamId::MIN, 10, None));
    assert_eq!(ready(&mut from_start).expect("there is one").len(), 1);
    let mut later = pin!(log.read_waiting(old, 1, None));
    let mut fresh = pin!(log.read_new_waiting(10, None));
    let mut timed = pin!(log.read_waiting(StreamId::MAX, 10, Some(Duration::from_millis(50))));
    assert!(poll(&mut later).is_pending() && poll(&mut fresh).is_pending());
    assert!(poll(&mut timed).is_pending());
    let new = log.add([("n", "1"), ("n", "2")]).expect("added");
    let read = ready(&mut later).expect("added above");
    assert_eq!((read.len(), read[0].id), (1, new));
    assert_eq!(read[0].fields.len(), 2);
    assert_eq!(ready(&mut fresh).expect("added above")[0].id, new);
    clock.advance(Duration::from_millis(50));
    maintain(&db);
    assert_eq!(ready(&mut timed), None);
    db.set("text", "x").expect("set");
    let wrong = db
        .stream("text")
        .read_waiting(StreamId::MIN, 1, None)
        .wait();
    assert!(matches!(wrong, Err(Error::WrongType)));
}

#[test]
fn several_streams_are_read_at_once() {
    let (db, _) = database();
    let none = Vec::<(&str, StreamId)>::new();
    assert!(db.read_streams(none, 1, None).wait().is_err());
    let wanted = [("a", StreamId::MIN), ("b", StreamId::MIN)];
    let mut both = pin!(db.read_streams(wanted, 5, None));
    assert!(poll(&mut both).is_pending());
    db.stream("b").add([("n", "1")]).expect("added");
    let read = ready(&mut both).expect("added above");
    assert_eq!((read.len(), read[0].0.as_str()), (1, Some("b")));
    db.stream("a").add([("n", "1")]).expect("added");
    let read = db.read_streams(wanted, 5, None).wait().expect("read");
    assert_eq!(read.expect("both").len(), 2);
}

#[test]
fn members_of_a_group_share_what_comes_and_hear_that_it_is_gone() {
    let (db, _) = database();
    let workers = db.stream("jobs").group("workers");
    assert!(workers.read_waiting("ada", 1, None).wait().is_err());
    workers.create(StreamId::MIN).expect("created");
    let mut ada = pin!(workers.read_waiting("ada", 1, None));
    let mut bob = pin!(workers.read_waiting("bob", 1, None));
    assert!(poll(&mut ada).is_pending() && poll(&mut bob).is_pending());
    let id = db.stream("jobs").add([("n", "1")]).expect("added");
    assert_eq!(ready(&mut ada).expect("who asked first")[0].id, id);
    assert!(poll(&mut bob).is_pending());
    assert_eq!(workers.pending(10).expect("read")[0].consumer, "ada");
    assert!(workers.destroy().expect("destroyed"));
    assert!(matches!(
        poll(&mut bob),
        Poll::Ready(Err(Error::Refused(_)))
    ));
}

#[test]
fn pops_over_several_keys_take_the_first_that_has_something() {
    let (db, clock) = database();
    let nothing = Some(Duration::from_millis(10));
    let mut first = pin!(db.pop_front_of(["a", "b"], None));
    let mut second = pin!(db.pop_back_of(["b", "c"], None));
    let mut timed = pin!(db.pop_front_of(["b"], nothing));
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    assert!(poll(&mut timed).is_pending());
    db.list("b").push_back_many(["1", "2"]).expect("pushed");
    let (key, element) = ready(&mut first).expect("pushed above");
    assert_eq!((key.as_str(), element.as_str()), (Some("b"), Some("1")));
    assert_eq!(ready(&mut second).expect("pushed above").1, "2");
    clock.advance(Duration::from_millis(10));
    maintain(&db);
    assert_eq!(ready(&mut timed), None);
    // Dropped before it is served, a wait takes nothing.
    {
        let mut dropped = pin!(db.pop_many_of(["a"], ListEnd::Front, 9, None));
        assert!(poll(&mut dropped).is_pending());
    }
    db.list("a")
        .push_back_many(["1", "2", "3"])
        .expect("pushed");
    let taken = db.pop_many_of(["z", "a"], ListEnd::Front, 2, None).wait();
    assert_eq!(taken.expect("no error").expect("pushed").1, ["1", "2"]);
    let one = db.pop_many_of(["a"], ListEnd::Front, 0, None).wait();
    assert_eq!(one.expect("no error").expect("pushed").1, ["3"]);
    db.set("a", "text").expect("set");
    let wrong = db.pop_front_of(["a"], None).wait();
    assert!(matches!(wrong, Err(Error::WrongType)));
    assert!(db.pop_front_of(Vec::<&str>::new(), None).wait().is_err());
}

#[test]
fn members_are_taken_from_either_end_of_several_sorted_sets() {
    let (db, _) = database();
    let mut lowest = pin!(db.pop_min_of(["a", "b"], None));
    let mut highest = pin!(db.pop_max_of(["b", "a"], None));
    let mut many = pin!(db.pop_many_scored_of(["a", "b"], ZsetEnd::Lowest, 5, None));
    assert!(poll(&mut lowest).is_pending() && poll(&mut highest).is_pending());
    assert!(poll(&mut many).is_pending());
    let members = [("w", 1.0), ("x", 2.0), ("y", 3.0), ("z", f64::INFINITY)];
    db.zset("b").add_many(members).expect("added");
    let (key, member) = ready(&mut lowest).expect("added above");
    assert_eq!((key.as_str(), member.score), (Some("b"), 1.0));
    assert_eq!(ready(&mut highest).expect("added above").1.member, "z");
    let (key, rest) = ready(&mut many).expect("added above");
    let rest: Vec<_> = rest.iter().map(|one| one.member.to_string()).collect();
    assert_eq!(
        (key.as_str(), rest),
        (Some("b"), vec!["x".into(), "y".into()])
    );
}

#[test]
fn elements_are_moved_between_ends_waiting_or_not() {
    use ListEnd::{Back, Front};
    let (db, _) = database();
    let from = db.list("from");
    let mut wait = pin!(from.shift_waiting(Back, "to", Front, None));
    assert!(poll(&mut wait).is_pending());
    from.push_back_many(["1", "2", "3"]).expect("pushed");
    assert_eq!(ready(&mut wait).expect("pushed"), "3");
    assert_eq!(
        from.shift(Front, "to", Back).expect("moved").expect("one"),
        "1"
    );
    let to: Vec<_> = db
        .list("to")
        .iter()
        .map(|item| item.expect("read"))
        .collect();
    assert_eq!(to, ["3", "1"]);
    assert_eq!(
        db.list("none").shift(Front, "to", Back).expect("nothing"),
        None
    );
}

#[test]
fn sorted_sets_are_joined_stored_and_cut() {
    let (db, _) = database();
    let a = db.zset("a");
    a.add_many([("x", 1.0), ("y", 2.0)]).expect("added");
    db.zset("b")
        .add_many([("y", 10.0), ("z", 20.0)])
        .expect("added");
    db.members("plain").add("x").expect("added");
    let shown = |found: Vec<upkv::Scored>| -> Vec<String> {
        let show = |one: &upkv::Scored| format!("{} {}", one.member, one.score);
        found.iter().map(show).collect()
    };
    assert_eq!(
        shown(a.union(["b", "plain"]).expect("read")),
        ["x 2", "y 12", "z 20"]
    );
    assert_eq!(shown(a.intersection(["b"]).expect("read")), ["y 12"]);
    assert_eq!(shown(a.difference(["b"]).expect("read")), ["x 1"]);
    assert_eq!(a.intersection_len(["plain"], 5).expect("read"), 1);
    let out = db.zset("out");
    let all = || out.range_by_rank(0, -1).expect("read");
    let sources = [("a", 2.0), ("b", 0.5)];
    assert_eq!(
        out.set_to_union(sources, Aggregate::Sum).expect("stored"),
        3
    );
    assert_eq!(shown(all()), ["x 2", "y 9", "z 10"]);
    assert_eq!(
        out.set_to_intersection(sources, Aggregate::Min)
            .expect("stored"),
        1
    );
    assert_eq!(shown(all()), ["y 4"]);
    assert_eq!(
        out.set_to_intersection(sources, Aggregate::Max)
            .expect("stored"),
        1
    );
    assert_eq!(shown(all()), ["y 5"]);
    assert_eq!(out.set_to_difference(["b", "a"]).expect("stored"), 1);
    assert_eq!(shown(all()), ["z 20"]);
    assert_eq!(out.set_to_range("b", 11.0..).expect("stored"), 1);
    assert_eq!(out.set_to_range("b", f64::NAN..).expect("stored"), 0);
    assert!(!db.exists("out").expect("read"), "nothing was stored");
    assert_eq!(out.set_to_rank_range("b", -1, -1).expect("stored"), 1);
    assert_eq!(out.remove_range(f64::NAN..).expect("removed"), 0);
    assert_eq!(out.remove_range(..=20.0).expect("removed"), 1);
    assert_eq!(a.remove_rank_range(0, 0).expect("removed"), 1);
    assert_eq!(shown(a.range_by_rank(0, -1).expect("read")), ["y 2"]);
    let refused = out.set_to_union([("a", f64::NAN)], Aggregate::Sum);
    assert!(matches!(refused, Err(Error::NotFloat)));
    db.set("text", "x").expect("set");
    assert!(matches!(a.union(["text"]), Err(Error::WrongType)));
    let refused = out.set_to_union([("text", 1.0)], Aggregate::Sum);
    assert!(matches!(refused, Err(Error::WrongType)));
    // In a transaction all of it is undone together.
    let given_up: upkv::Result<()> = db.transaction(|tx| {
        tx.zset("out").set_to_union([("b", 1.0)], Aggregate::Sum)?;
        tx.abort("enough")
    });
    assert!(given_up.is_err() && !db.exists("out").expect("read"));
}

#[test]
fn keys_are_moved_copied_and_restored_under_conditions() {
    let (db, clock) = database();
    let other = db.database(3).expect("a database");
    db.set("a", "1").expect("set");
    assert!(matches!(
        db.rename_if_absent("none", "b"),
        Err(Error::NoSuchKey)
    ));
    assert!(db.copy("a", "a", true).is_err());
    assert!(db.copy_to(16, "a", "b", true).is_err() && db.move_to(16, "a").is_err());
    assert!(db.move_to(0, "a").is_err());
    assert!(!db.move_to(3, "none").expect("nothing"));
    assert!(db.copy_to(3, "a", "a", false).expect("copied"));
    assert!(!db.move_to(3, "a").expect("taken there"));
    other.delete("a").expect("deleted");
    assert!(db.move_to(3, "a").expect("moved"));
    assert_eq!(other.get("a").expect("read").expect("moved"), "1");
    let payload = other.dump("a").expect("dumped").expect("moved");
    assert_eq!(db.dump("a").expect("read"), None);
    let present = SetOptions::new().if_present();
    assert!(!db.restore("a", &payload, present).expect("not met"));
    let minute = SetOptions::new().expire_in(Duration::from_mins(1));
    assert!(db.restore("a", &payload, minute).expect("restored"));
    assert!(
        db.restore("a", &payload, SetOptions::new().keep_ttl())
            .expect("restored")
    );
    let left = db.ttl("a").expect("read");
    assert_eq!(left, Ttl::Left(Duration::from_mins(1)));
    let at = db.deadline("a").expect("read").expect("set above");
    assert_eq!(at, Timestamp::from_millis(1_700_000_060_000));
    assert!(
        !db.expire_when("a", Duration::from_secs(9), ExpireWhen::Unset)
            .expect("read")
    );
    assert!(
        db.expire_when("a", Duration::from_secs(9), ExpireWhen::Set)
            .expect("set")
    );
    clock.advance(Duration::from_secs(9));
    assert_eq!(db.deadline("a").expect("read"), None);
    db.json("doc").set("$", "[1]").expect("set");
    assert!(matches!(db.dump("doc"), Err(Error::Refused(_))));
    assert_eq!(db.encoding("none").expect("read"), None);
    let zero = db.get_and_expire("doc", Duration::ZERO);
    assert!(matches!(zero, Err(Error::Refused(_) | Error::WrongType)));
}

#[test]
fn several_elements_fields_and_members_are_read_and_changed_at_once() {
    use ListEnd::{Back, Front};
    use upkv::ScoreWhen::{Absent, Higher, Lower, Present};
    let (db, _) = database();
    let list = db.list("list");
    list.push_back_many(["a", "b", "a", "c", "a"])
        .expect("pushed");
    assert_eq!(list.positions("a", Front, 0).expect("read"), [0, 2, 4]);
    assert_eq!(list.positions("a", Back, 2).expect("read"), [4, 2]);
    assert_eq!(list.range(i64::MIN, 0).expect("read"), ["a"]);
    assert_eq!(list.range(3, i64::MAX).expect("read"), ["c", "a"]);
    assert!(list.range(3, 2).expect("read").is_empty());
    assert_eq!(list.insert_after("c", "d").expect("put in"), Some(6));
    assert_eq!(list.insert_before("nothing", "d").expect("no pivot"), None);
    assert_eq!(list.push_front_if_present("z").expect("pushed"), Some(7));
    assert_eq!(
        db.list("none").insert_before("a", "b").expect("no list"),
        None
    );
    assert_eq!(
        db.list("none").push_front_if_present("a").expect("no list"),
        None
    );
    let hash = db.hash("hash");
    hash.set("n", "text").expect("set");
    assert!(matches!(
        hash.incr_by_float("n", 1.0),
        Err(Error::Refused(_))
    ));
    assert!(matches!(
        hash.incr_by_float("m", f64::NAN),
        Err(Error::NotFloat)
    ));
    assert_eq!(hash.value_len("none").expect("read"), 0);
    assert_eq!(hash.remove_many(["n"]).expect("removed"), 1);
    assert!(!db.exists("hash").expect("read"));
    let zset = db.zset("zset");
    zset.add_many([("a", 1.0), ("b", 2.0)]).expect("added");
    for (member, score, when, expected) in [
        ("a", 5.0, Absent, false),
        ("c", 5.0, Absent, true),
        ("d", 1.0, Present, false),
        ("a", 1.0, Present, false),
        ("a", 2.0, Present, true),
        ("b", 1.0, Higher, false),
        ("b", 1.0, Lower, true),
        ("e", 9.0, Lower, true),
    ] {
        let done = zset.add_when(member, score, when).expect("added");
        assert_eq!(done, expected, "{member} {when:?}");
    }
    assert_eq!(zset.rank_from_highest("e").expect("read"), Some(0));
    assert_eq!(zset.rank_from_highest("none").expect("read"), None);
    assert_eq!(zset.remove_many(["a", "none", "e"]).expect("removed"), 2);
    assert!(matches!(list.insert_before("a", ""), Ok(Some(_))));
    assert!(matches!(
        db.zset("list").scores(["a"]),
        Err(Error::WrongType)
    ));
    assert!(matches!(db.list("zset").range(0, 1), Err(Error::WrongType)));
    assert!(matches!(
        db.members("zset").contains_many(["a"]),
        Err(Error::WrongType)
    ));
    assert!(matches!(db.hash("zset").names(), Err(Error::WrongType)));
}
