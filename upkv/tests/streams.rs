//! Streams beyond single commands: waiting for entries, protocols, events, restarts.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use upkv::{Db, ManualClock, Reply, Result, Store, StreamId, StreamTrim, Timestamp};

fn mounted() -> Db {
    Db::mount(&Store::memory().expect("a store"), "kv").expect("mounts")
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn run(db: &Db, line: &str) -> String {
    shown(db.command(words(line)))
}

fn shown(reply: Result<Reply>) -> String {
    match reply {
        Ok(reply) => {
            let mut wire = Vec::new();
            reply.write_resp2(&mut wire);
            String::from_utf8_lossy(&wire).replace("\r\n", " ")
        }
        Err(error) => error.reply_line(),
    }
}

fn poll<F: Future<Output = Result<Reply>>>(future: Pin<&mut F>) -> Option<String> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(reply) => Some(shown(reply)),
        Poll::Pending => None,
    }
}

#[test]
fn every_reader_gets_what_comes_after_it_began_to_wait() {
    let db = mounted();
    run(&db, "XADD s 1 f old");
    let mut first = pin!(db.command_async(words("XREAD BLOCK 0 STREAMS s other $ 0")));
    let mut second = pin!(db.command_async(words("XREAD COUNT 1 BLOCK 0 STREAMS s $")));
    assert_eq!((poll(first.as_mut()), poll(second.as_mut())), (None, None));
    run(&db, "XDEL s 1");
    assert_eq!(poll(first.as_mut()), None);
    run(&db, "XADD s 2 f new");
    let expected = "*1 *2 $1 s *1 *2 $3 2-0 *2 $1 f $3 new ";
    assert_eq!(poll(first.as_mut()).as_deref(), Some(expected));
    assert_eq!(poll(second.as_mut()).as_deref(), Some(expected));
}

#[test]
fn now_stays_where_it_was_when_the_stream_is_made_anew() {
    let db = mounted();
    run(&db, "XADD s 5 f old");
    let mut reader = pin!(db.command_async(words("XREAD BLOCK 0 STREAMS s $")));
    assert_eq!(poll(reader.as_mut()), None);
    run(&db, "DEL s");
    run(&db, "XADD s 3 f low");
    assert_eq!(poll(reader.as_mut()), None);
    run(&db, "XADD s 6 f high");
    let expected = "*1 *2 $1 s *1 *2 $3 6-0 *2 $1 f $4 high ";
    assert_eq!(poll(reader.as_mut()).as_deref(), Some(expected));
}

#[test]
fn waiting_consumers_share_entries_in_the_order_in_which_they_came() {
    let db = mounted();
    run(&db, "XGROUP CREATE s g $ MKSTREAM");
    let line = |name: &str| format!("XREADGROUP GROUP g {name} COUNT 1 BLOCK 0 STREAMS s >");
    let (one, two) = (line("one"), line("two"));
    let mut first = pin!(db.command_async(words(&one)));
    let mut second = pin!(db.command_async(words(&two)));
    assert_eq!((poll(first.as_mut()), poll(second.as_mut())), (None, None));
    run(&db, "XADD s 1 f v");
    assert!(poll(first.as_mut()).is_some());
    assert_eq!(poll(second.as_mut()), None);
    run(&db, "XADD s 2 f v");
    assert!(poll(second.as_mut()).is_some());
    assert_eq!(
        run(&db, "XPENDING s g"),
        "*4 :2 $3 1-0 $3 2-0 *2 *2 $3 one $1 1 *2 $3 two $1 1 "
    );
}

#[test]
fn waiting_consumers_hear_that_their_group_is_gone() {
    for (change, expected) in [
        ("DEL s", "NOGROUP No such key 's'"),
        ("XGROUP DESTROY s g", "NOGROUP No such key 's'"),
        ("SET s text", "WRONGTYPE"),
        ("FLUSHALL", "NOGROUP No such key 's'"),
        ("RENAME s elsewhere", "NOGROUP No such key 's'"),
    ] {
        let db = mounted();
        run(&db, "XGROUP CREATE s g $ MKSTREAM");
        let line = "XREADGROUP GROUP g c BLOCK 0 STREAMS s >";
        let mut waiting = pin!(db.command_async(words(line)));
        assert_eq!(poll(waiting.as_mut()), None);
        run(&db, change);
        let reply = poll(waiting.as_mut()).expect("an answer");
        assert!(reply.starts_with(expected), "{change}: {reply}");
    }
}

#[test]
fn history_does_not_wait() {
    let db = mounted();
    run(&db, "XGROUP CREATE s g $ MKSTREAM");
    let line = "XREADGROUP GROUP g c BLOCK 0 STREAMS s 0";
    let mut waiting = pin!(db.command_async(words(line)));
    assert_eq!(poll(waiting.as_mut()).as_deref(), Some("*1 *2 $1 s *0 "));
}

#[test]
fn replies_are_maps_in_the_newer_protocol() {
    let db = mounted();
    run(&db, "XADD s 1 f v");
    run(&db, "XGROUP CREATE s g 0");
    let wire = |line: &str| {
        let mut wire = Vec::new();
        let reply = db.command(words(line)).expect("answers");
        reply.write_resp3(&mut wire);
        String::from_utf8_lossy(&wire).replace("\r\n", " ")
    };
    let entry = "*1 *2 $3 1-0 *2 $1 f $1 v ";
    assert_eq!(wire("XREAD STREAMS s 0"), format!("%1 $1 s {entry}"));
    assert_eq!(
        wire("XREADGROUP GROUP g c STREAMS s >"),
        format!("%1 $1 s {entry}")
    );
    assert!(wire("XINFO STREAM s").starts_with("%10 $6 length :1 "));
    assert!(wire("XINFO GROUPS s").starts_with("*1 %6 $4 name $1 g "));
    assert!(wire("XINFO CONSUMERS s g").starts_with("*1 %4 $4 name $1 c "));
    assert_eq!(wire("XREAD STREAMS s 1"), "_ ");
}

#[test]
fn a_stream_survives_its_store() {
    let dir = std::env::temp_dir().join(format!("upkv-streams-{}", std::process::id()));
    let lines = [
        "XINFO STREAM s FULL COUNT 0",
        "XPENDING s g",
        "XRANGE s - +",
    ];
    let picture = |db: &Db| lines.map(|line| run(db, line));
    let before = {
        let db = Db::mount(&Store::open(&dir).expect("opens"), "kv").expect("mounts");
        for ms in 1..300 {
            run(&db, &format!("XADD s {ms} name value-{ms}"));
        }
        run(&db, "XGROUP CREATE s g 5");
        run(&db, "XREADGROUP GROUP g one COUNT 20 STREAMS s >");
        run(&db, "XCLAIM s g two 0 7 8");
        run(&db, "XACK s g 9");
        run(&db, "XDEL s 10 299");
        run(&db, "XTRIM s MAXLEN 280");
        run(&db, "XGROUP CREATE s gone 0");
        run(&db, "XGROUP DESTROY s gone");
        let before = picture(&db);
        db.close().expect("closes");
        before
    };
    let db = Db::mount(&Store::open(&dir).expect("opens"), "kv").expect("mounts");
    assert_eq!(picture(&db), before);
    assert!(run(&db, "XADD s 299 f v").contains("equal or smaller"));
    db.close().expect("closes");
    std::fs::remove_dir_all(&dir).ok();
}

#[test]
fn the_typed_door_pages_from_both_ends() {
    let db = mounted();
    let stream = db.stream("s");
    for ms in 1..=500 {
        stream
            .add_at(StreamId::new(ms, 0), [("n", ms.to_string())])
            .expect("grows");
    }
    let id = |entry: Result<upkv::StreamEntry>| entry.expect("reads").id.ms;
    let all: Vec<u64> = stream.range(..).map(id).collect();
    assert_eq!(all, (1..=500).collect::<Vec<_>>());
    let back: Vec<u64> = stream.range(..).rev().map(id).collect();
    assert_eq!(back, (1..=500).rev().collect::<Vec<_>>());
    let (low, high) = (StreamId::new(10, 0), StreamId::new(400, 0));
    let mut both = stream.range(low..high);
    let mut seen = Vec::new();
    while let Some(entry) = both.next() {
        seen.push(id(entry));
        seen.extend(both.next_back().map(id));
    }
    seen.sort_unstable();
    assert_eq!(seen, (10..400).collect::<Vec<_>>());
    assert_eq!(stream.range(high..low).count(), 0);
    let trim = StreamTrim::max_len(150).approximate();
    assert_eq!(stream.trim(trim).expect("trims"), 300);
    assert_eq!(stream.delete([StreamId::new(301, 0)]).expect("deletes"), 1);
    let info = stream.info().expect("reads").expect("a stream");
    assert_eq!((info.len, info.added, info.first_id.ms), (199, 500, 302));
    db.transaction(|tx| {
        let jobs = tx.stream("jobs");
        jobs.add_and_trim([("a", "b")], StreamTrim::max_len(1))?;
        let group = jobs.group("g");
        group.create_at_end()?;
        assert_eq!(group.read("c", 5)?.len(), 0);
        jobs.add([("a", "c")])?;
        let taken = group.read("c", 5)?;
        assert_eq!(group.read_again("c", StreamId::MIN, 5)?.len(), 1);
        assert_eq!(
            group
                .claim("d", std::time::Duration::ZERO, [taken[0].id])?
                .len(),
            1
        );
        assert_eq!(group.pending(9)?[0].deliveries, 3);
        Ok(())
    })
    .expect("commits");
    assert!(db.stream("jobs").group("g").destroy().expect("destroys"));
    assert!(stream.add(Vec::<(&str, &str)>::new()).is_err());
}

#[test]
fn readers_of_a_group_take_over_what_others_left_idle() {
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    let store = Store::memory_builder()
        .clock(Arc::new(clock.clone()))
        .open();
    let db = Db::mount(&store.expect("a store"), "kv").expect("mounts");
    for id in 1..=4 {
        run(&db, &format!("XADD s {id}-0 a {id}"));
    }
    run(&db, "XGROUP CREATE s g 0");
    run(&db, "XREADGROUP GROUP g c1 COUNT 2 STREAMS s >");
    let read = |line: &str| run(&db, &format!("XREADGROUP GROUP g {line} STREAMS s >"));
    clock.advance(std::time::Duration::from_millis(31));
    assert_eq!(
        read("c2 COUNT 1 CLAIM 0"),
        "*1 *2 $1 s *1 *4 $3 1-0 *2 $1 a $1 1 :31 :1 "
    );
    clock.advance(std::time::Duration::from_millis(34));
    // The longest idle first, then new ones, all within one count.
    assert_eq!(
        read("c2 COUNT 3 CLAIM 0"),
        "*1 *2 $1 s *3 *4 $3 2-0 *2 $1 a $1 2 :65 :1 *4 $3 1-0 *2 $1 a $1 1 :34 :2 *4 $3 3-0 *2 $1 a $1 3 :0 :0 "
    );
    assert_eq!(
        run(&db, "XPENDING s g"),
        "*4 :3 $3 1-0 $3 3-0 *1 *2 $2 c2 $1 3 "
    );
    run(&db, "XDEL s 2-0");
    clock.advance(std::time::Duration::from_millis(9));
    // What was deleted is passed over, and whoever needs no acknowledgements still owns what was pending.
    assert_eq!(
        read("c3 NOACK CLAIM 9"),
        "*1 *2 $1 s *3 *4 $3 1-0 *2 $1 a $1 1 :9 :3 *4 $3 3-0 *2 $1 a $1 3 :9 :1 *4 $3 4-0 *2 $1 a $1 4 :0 :0 "
    );
    assert_eq!(
        run(&db, "XPENDING s g"),
        "*4 :3 $3 1-0 $3 3-0 *2 *2 $2 c2 $1 1 *2 $2 c3 $1 2 "
    );
    assert_eq!(read("c3 CLAIM 9"), "*-1 ");
    assert_eq!(
        run(&db, "XREADGROUP GROUP g c3 CLAIM 0 STREAMS s 0"),
        "*1 *2 $1 s *2 *2 $3 1-0 *2 $1 a $1 1 *2 $3 3-0 *2 $1 a $1 3 "
    );
    for (line, refused) in [
        ("c CLAIM -1", "ERR min-idle-time must be a positive integer"),
        (
            "c CLAIM x",
            "ERR min-idle-time is not an integer or out of range",
        ),
        (
            "c CLAIM",
            "ERR min-idle-time is not an integer or out of range",
        ),
    ] {
        assert_eq!(read(line), refused);
    }
    assert_eq!(
        run(&db, "XREAD CLAIM 1 STREAMS s 0"),
        "ERR The CLAIM option is only supported by XREADGROUP. You called XREAD instead."
    );
}
