//! Many producers and consumers: every message is acknowledged once, and nobody else holds it meanwhile.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use upkv::Store;
use upkv::storage::{Durability, Transaction};
use upqueue::{Error, Message, Queue};

const PRODUCERS: usize = 3;
const CONSUMERS: usize = 4;
const EACH: usize = 2_000;

#[test]
fn every_message_is_acknowledged_once() {
    let queue = Queue::memory().unwrap();
    let done = AtomicUsize::new(0);
    let (held, acked) = (Mutex::new(BTreeSet::new()), Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            let queue = &queue;
            scope.spawn(move || {
                for i in 0..EACH {
                    let message = Message::new("q", format!("{producer}-{i}"));
                    queue.publish(message).unwrap();
                }
            });
        }
        for consumer in 0..CONSUMERS {
            let (queue, done, held, acked) = (&queue, &done, &held, &acked);
            scope.spawn(move || {
                while done.load(Ordering::SeqCst) < PRODUCERS * EACH {
                    let wait = Duration::from_millis(20);
                    for (i, job) in queue
                        .receive_many("q", 8, wait)
                        .unwrap()
                        .into_iter()
                        .enumerate()
                    {
                        let id = job.id();
                        assert!(held.lock().unwrap().insert(id), "{id} is held twice");
                        assert!(held.lock().unwrap().remove(&id));
                        if (i + consumer) % 5 == 0 {
                            job.release().unwrap();
                        } else {
                            job.ack().unwrap();
                            assert!(acked.lock().unwrap().insert(id), "{id} came after its end");
                            done.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
    });
    assert_eq!(acked.into_inner().unwrap().len(), PRODUCERS * EACH);
    assert_eq!(queue.stats("q"), upqueue::QueueStats::default());
}

#[test]
fn a_transaction_with_a_lost_lease_does_nothing() {
    let store = Store::memory().unwrap();
    let queue = Queue::mount(&store, "jobs").unwrap();
    queue.publish(Message::new("in", "m")).unwrap();
    let job = queue.receive("in", Duration::ZERO).unwrap().unwrap();
    let token = job.receipt();
    job.release().unwrap();
    let mut tx = Transaction::new();
    let staged = tx.enlist(&store, &queue).unwrap();
    staged.publish(Message::new("out", "m")).unwrap();
    staged.ack_token(token);
    let error = Error::from(tx.commit(&store, Durability::Os).unwrap_err());
    assert!(error.to_string().contains("is lost"), "{error}");
    assert_eq!((queue.stats("in").ready, queue.stats("out").ready), (1, 0));
    let job = queue.receive("in", Duration::ZERO).unwrap().unwrap();
    let mut tx = Transaction::new();
    let staged = tx.enlist(&store, &queue).unwrap();
    staged.publish(Message::new("out", "m")).unwrap();
    staged.ack(job);
    tx.commit(&store, Durability::Os).unwrap();
    assert_eq!((queue.stats("in").ready, queue.stats("out").ready), (0, 1));
}

#[test]
fn an_engine_of_another_store_cannot_be_enlisted() {
    let (one, other) = (Store::memory().unwrap(), Queue::memory().unwrap());
    assert!(Transaction::new().enlist(&one, &other).is_err());
}
