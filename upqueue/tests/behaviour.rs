//! What consumers and producers see: one behaviour a test, on a clock that the test moves.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use upkv::storage::{Clock, ManualClock, Timestamp};
use upqueue::{Backoff, Error, Job, Message, Queue, QueueOptions};

const SECOND: Duration = Duration::from_secs(1);
const NOW: Duration = Duration::ZERO;

fn queue() -> (Queue, ManualClock) {
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    let queue = builder(&clock).open().unwrap();
    (queue, clock)
}

fn builder(clock: &ManualClock) -> upqueue::Builder {
    let dir = std::env::temp_dir().join(format!(
        "upqueue-{}-{}",
        std::process::id(),
        std::thread::current()
            .name()
            .unwrap_or("main")
            .replace("::", "-")
    ));
    let _absent = std::fs::remove_dir_all(&dir);
    Queue::builder(dir).clock(Arc::new(clock.clone()))
}

fn receive(queue: &Queue) -> Option<Job> {
    queue.receive("q", NOW).unwrap()
}

fn body(job: &Job) -> String {
    String::from_utf8(job.body().to_vec()).unwrap()
}

fn bodies(queue: &Queue) -> Vec<String> {
    let jobs = queue.receive_many("q", 100, NOW).unwrap();
    let bodies = jobs.iter().map(body).collect();
    for job in jobs {
        job.release().unwrap();
    }
    bodies
}

#[test]
fn messages_come_in_order_of_priority_and_then_of_publishing() {
    let (queue, _) = queue();
    for (body, priority) in [("c", 4), ("e", 7), ("a", 0), ("d", 4), ("b", 3)] {
        queue
            .publish(Message::new("q", body).priority(priority))
            .unwrap();
    }
    assert_eq!(bodies(&queue), ["a", "b", "c", "d", "e"]);
    assert_eq!(
        bodies(&queue),
        ["a", "b", "c", "d", "e"],
        "released ones keep their place"
    );
}

#[test]
fn a_message_is_with_one_consumer_until_its_lease_ends() {
    let (queue, clock) = queue();
    queue.publish(Message::new("q", "m")).unwrap();
    let job = receive(&queue).unwrap();
    assert!(receive(&queue).is_none());
    clock.advance(29 * SECOND);
    assert!(receive(&queue).is_none());
    clock.advance(SECOND);
    let again = receive(&queue).unwrap();
    assert_eq!((job.id(), again.attempt()), (again.id(), 2));
    let token = job.receipt();
    assert!(matches!(job.ack(), Err(Error::LeaseLost(id)) if id == again.id()));
    assert!(matches!(
        queue.extend(token, SECOND),
        Err(Error::LeaseLost(_))
    ));
    again.ack().unwrap();
    assert_eq!(queue.stats("q"), upqueue::QueueStats::default());
}

#[test]
fn extending_starts_the_lease_anew() {
    let (queue, clock) = queue();
    queue.publish(Message::new("q", "m")).unwrap();
    let mut job = receive(&queue).unwrap();
    clock.advance(20 * SECOND);
    job.extend(60 * SECOND).unwrap();
    assert_eq!(job.deadline(), clock.now().saturating_add(60 * SECOND));
    clock.advance(59 * SECOND);
    assert!(receive(&queue).is_none());
    job.ack().unwrap();
}

#[test]
fn failures_rest_longer_and_longer_and_end_in_the_dead_letters() {
    let (queue, clock) = queue();
    let backoff = Backoff::exponential(SECOND).cap(3 * SECOND);
    let message = Message::new("q", "m").retries(3).backoff(backoff);
    let id = queue.publish(message).unwrap().id;
    let tick = Duration::from_millis(1);
    for rest in [1_u64, 2, 3] {
        receive(&queue).unwrap().nack("no").unwrap();
        clock.advance(Duration::from_millis(rest * 1_000 - 1));
        assert!(receive(&queue).is_none(), "after {rest} s");
        clock.advance(tick);
    }
    receive(&queue).unwrap().nack("no more").unwrap();
    clock.advance(1_000 * SECOND);
    assert!(receive(&queue).is_none());
    let dead: Vec<_> = queue.dead_letters("q").map(Result::unwrap).collect();
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (dead[0].id, &*dead[0].why, dead[0].attempts),
        (id, "no more", 4)
    );
    assert_eq!(dead[0].body, "m");
    assert!(queue.redrive(id).unwrap());
    assert!(!queue.redrive(id).unwrap(), "it is no dead letter any more");
    assert_eq!(receive(&queue).unwrap().attempt(), 1);
}

#[test]
fn a_rest_of_the_consumers_choice_and_giving_up_at_once() {
    let (queue, clock) = queue();
    queue.publish(Message::new("q", "m")).unwrap();
    receive(&queue)
        .unwrap()
        .nack_after(5 * SECOND, "later")
        .unwrap();
    clock.advance(4 * SECOND);
    assert!(receive(&queue).is_none());
    clock.advance(SECOND);
    let long = "w".repeat(5_000);
    receive(&queue).unwrap().dead_letter(&long).unwrap();
    let dead = queue.dead_letters("q").next().unwrap().unwrap();
    assert_eq!(dead.why.len(), 1_024);
    assert!(queue.delete_dead(dead.id).unwrap());
    assert!(queue.dead_letters("q").next().is_none());
}

#[test]
fn a_dropped_job_comes_back_uncounted_and_after_a_panic_counted() {
    let (queue, clock) = queue();
    queue.publish(Message::new("q", "m")).unwrap();
    drop(receive(&queue).unwrap());
    assert_eq!(receive(&queue).unwrap().attempt(), 1);
    let job = receive(&queue).unwrap();
    let panicked = std::thread::spawn(move || {
        let _job = job;
        panic!("the consumer fails");
    });
    assert!(panicked.join().is_err());
    assert!(receive(&queue).is_none(), "it rests");
    clock.advance(SECOND);
    assert_eq!(receive(&queue).unwrap().attempt(), 2);
}

#[test]
fn nothing_comes_before_its_time() {
    let (queue, clock) = queue();
    let at = clock.now().saturating_add(10 * SECOND);
    queue
        .publish(Message::new("q", "delay").delay(5 * SECOND))
        .unwrap();
    queue
        .publish(Message::new("q", "at").not_before(at).delay(SECOND))
        .unwrap();
    queue.publish(Message::new("q", "now")).unwrap();
    assert_eq!(queue.stats("q").delayed, 2);
    assert_eq!(bodies(&queue), ["now"]);
    clock.advance(5 * SECOND);
    assert_eq!(
        bodies(&queue),
        ["now", "delay"],
        "in the order they became due"
    );
    clock.advance(5 * SECOND);
    assert_eq!(
        bodies(&queue),
        ["delay", "now", "at"],
        "those given back stand where they were published"
    );
}

#[test]
fn a_deduplication_id_holds_for_its_window_whatever_became_of_the_first() {
    let (queue, clock) = queue();
    let message = || Message::new("q", "m").deduplication_id("order-1");
    let first = queue.publish(message()).unwrap();
    let second = queue.publish(message()).unwrap();
    assert!(!first.deduplicated && second.deduplicated);
    assert_eq!(first.id, second.id);
    receive(&queue).unwrap().ack().unwrap();
    clock.advance(Duration::from_secs(599));
    assert!(queue.publish(message()).unwrap().deduplicated);
    clock.advance(SECOND);
    assert!(!queue.publish(message()).unwrap().deduplicated);
    let twice = [
        message().deduplication_id("b"),
        message().deduplication_id("b"),
    ];
    let receipts = queue.publish_many(twice).unwrap();
    assert_eq!(receipts[0].id, receipts[1].id);
    assert!(!receipts[0].deduplicated && receipts[1].deduplicated);
}

#[test]
fn everything_is_found_again_after_closing() {
    let clock = ManualClock::new(Timestamp::from_millis(5_000));
    let queue = builder(&clock).open().unwrap();
    let dir = std::env::temp_dir().join(format!(
        "upqueue-{}-everything_is_found_again_after_closing",
        std::process::id()
    ));
    queue
        .configure("q", QueueOptions::new().lease(5 * SECOND))
        .unwrap();
    queue
        .publish(Message::new("q", "leased").header("a", "b"))
        .unwrap();
    queue
        .publish(Message::new("q", "ready").deduplication_id("d"))
        .unwrap();
    queue
        .publish(Message::new("q", "late").delay(SECOND))
        .unwrap();
    queue.publish(Message::new("other", "dead")).unwrap();
    let other = queue.receive("other", NOW).unwrap().unwrap();
    other.dead_letter("why").unwrap();
    queue.pause("other").unwrap();
    let leased = receive(&queue).unwrap();
    let token = leased.receipt();
    std::mem::forget(leased);
    queue.close().unwrap();
    drop(queue);

    let queue = Queue::builder(&dir)
        .clock(Arc::new(clock.clone()))
        .open()
        .unwrap();
    assert_eq!(queue.list(), ["other", "q"]);
    assert!(queue.stats("other").paused);
    assert_eq!(
        queue.dead_letters("other").next().unwrap().unwrap().why,
        "why"
    );
    assert!(
        queue
            .publish(Message::new("q", "x").deduplication_id("d"))
            .unwrap()
            .deduplicated
    );
    assert!(
        matches!(queue.ack(token), Err(Error::LeaseLost(_))),
        "of an earlier opening"
    );
    let job = receive(&queue).unwrap();
    assert_eq!(
        (body(&job), job.attempt(), job.header("A")),
        ("leased".into(), 2, Some("b"))
    );
    assert_eq!(job.deadline(), clock.now().saturating_add(5 * SECOND));
    job.ack().unwrap();
    assert_eq!(bodies(&queue), ["ready"]);
    clock.advance(SECOND);
    assert_eq!(bodies(&queue), ["ready", "late"]);
    queue.close().unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_message_that_stops_its_process_each_time_is_given_up() {
    let clock = ManualClock::new(Timestamp::from_millis(5_000));
    let first = builder(&clock).open().unwrap();
    let dir = std::env::temp_dir().join(format!(
        "upqueue-{}-a_message_that_stops_its_process_each_time_is_given_up",
        std::process::id()
    ));
    first
        .publish(Message::new("q", "poison").retries(2))
        .unwrap();
    first.close().unwrap();
    drop(first);
    for attempt in 1..=3 {
        let queue = Queue::builder(&dir)
            .clock(Arc::new(clock.clone()))
            .open()
            .unwrap();
        let job = receive(&queue).unwrap();
        assert_eq!(job.attempt(), attempt);
        std::mem::forget(job);
        queue.close().unwrap();
    }
    let queue = Queue::builder(&dir)
        .clock(Arc::new(clock.clone()))
        .open()
        .unwrap();
    assert!(receive(&queue).is_none());
    assert_eq!(queue.stats("q").dead, 1);
    queue.close().unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_waiting_consumer_is_woken_by_a_message_and_by_a_delay_that_ends() {
    let queue = Queue::memory().unwrap();
    let consumer = {
        let queue = queue.clone();
        std::thread::spawn(move || {
            let mut seen = Vec::new();
            while seen.len() < 2 {
                let job = queue.receive("q", Duration::from_mins(1)).unwrap().unwrap();
                seen.push(body(&job));
                job.ack().unwrap();
            }
            seen
        })
    };
    queue
        .publish(Message::new("q", "late").delay(Duration::from_millis(30)))
        .unwrap();
    queue.publish(Message::new("q", "now")).unwrap();
    assert_eq!(consumer.join().unwrap(), ["now", "late"]);
}

#[test]
fn paused_queues_take_in_and_hand_nothing_out() {
    let (queue, _) = queue();
    queue.pause("q").unwrap();
    queue.publish(Message::new("q", "m")).unwrap();
    assert!(receive(&queue).is_none());
    queue.resume("q").unwrap();
    assert!(receive(&queue).is_some());
}

#[test]
fn cancelling_and_purging_take_messages_out_wherever_they_are() {
    let (queue, _) = queue();
    let ids: Vec<_> = (0..6)
        .map(|i| queue.publish(Message::new("q", i.to_string())).unwrap().id)
        .collect();
    let job = receive(&queue).unwrap();
    assert!(queue.cancel(ids[0]).unwrap() && queue.cancel(ids[3]).unwrap());
    assert!(!queue.cancel(ids[3]).unwrap());
    assert!(matches!(job.ack(), Err(Error::LeaseLost(_))));
    assert_eq!(bodies(&queue), ["1", "2", "4", "5"]);
    assert_eq!(queue.purge("q").unwrap(), 4);
    assert_eq!(queue.purge("nobody").unwrap(), 0);
    assert!(receive(&queue).is_none());
}

#[test]
fn bad_input_is_refused_by_name_and_changes_nothing() {
    let (queue, _) = queue();
    queue
        .configure("q", QueueOptions::new().capacity(2))
        .unwrap();
    let refused = |message: Message| queue.publish(message).unwrap_err().to_string();
    assert_eq!(
        refused(Message::new("", "m")),
        "queue name of 0 bytes is not in 1..=256"
    );
    assert_eq!(
        refused(Message::new("n".repeat(257), "m")),
        "queue name of 257 bytes is not in 1..=256"
    );
    assert_eq!(
        refused(Message::new("q", "m").priority(8)),
        "priority 8 is not in 0..8"
    );
    assert_eq!(
        refused(Message::new("q", "m").deduplication_id("")),
        "deduplication id of 0 bytes is not in 1..=256"
    );
    assert_eq!(
        refused(Message::new("q", vec![0; (16 << 20) + 1])),
        "body of 16777217 is over the limit of 16777216"
    );
    assert_eq!(
        refused(Message::new("q", "m").header("h", "v".repeat(65_536))),
        "headers of 65537 is over the limit of 65536"
    );
    for (options, text) in [
        (
            QueueOptions::new().lease(NOW),
            "lease of 0ns is not in 1 ms..=43200s",
        ),
        (
            QueueOptions::new().max_deliveries(0),
            "max_deliveries 0 is not at least 1",
        ),
        (
            QueueOptions::new().capacity(0),
            "capacity 0 is not at least 1",
        ),
    ] {
        assert_eq!(queue.configure("q", options).unwrap_err().to_string(), text);
    }
    let three = (0..3).map(|_| Message::new("q", "m"));
    let full = queue.publish_many(three).unwrap_err();
    assert!(
        matches!(&full, Error::Full(name) if &**name == "q"),
        "{full}"
    );
    assert_eq!(queue.stats("q").ready, 0, "all or none");
    assert!(queue.receive("", NOW).is_err());
    assert!(queue.receive("unknown", NOW).unwrap().is_none());
    queue.publish(Message::new("q", Vec::new())).unwrap();
    assert!(receive(&queue).unwrap().body().is_empty());
}

#[test]
fn large_bodies_come_back_whole() {
    let (queue, _) = queue();
    let body: Vec<u8> = (0..300_000_u32).map(|i| i.to_le_bytes()[0]).collect();
    queue.publish(Message::new("q", body.clone())).unwrap();
    assert_eq!(receive(&queue).unwrap().body(), &body[..]);
}
