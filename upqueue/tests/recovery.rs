//! What must hold across crashes and months: bounded deliveries, order after a redrive, bounded space.
#![cfg(feature = "test-util")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use upkv::storage::Durability;
use upkv::storage::vfs::MemVfs;
use upkv::{ManualClock, Store};
use upqueue::{Backoff, EngineOptions, Job, Message, Queue, QueueOptions};

fn open(disk: &MemVfs, level: Durability) -> (Store, Queue, ManualClock) {
    let clock = ManualClock::default();
    let store = Store::builder("/sim/store")
        .vfs(Arc::new(disk.clone()))
        .clock(Arc::new(clock.clone()))
        .background(false)
        .segment_bytes(1 << 20)
        .checkpoint_bytes(1 << 20)
        .open()
        .unwrap();
    let options = EngineOptions::new().durability(level);
    let queue = Queue::mount_with(&store, "jobs", options).unwrap();
    (store, queue, clock)
}

fn take(queue: &Queue, name: &str) -> Option<Job> {
    queue.receive(name, Duration::ZERO).unwrap()
}

#[test]
fn a_durable_message_of_an_engine_in_memory_cannot_kill_the_process_for_ever() {
    let mut disk = MemVfs::new();
    let (_store, queue, _) = open(&disk, Durability::Memory);
    let message = Message::new("q", "poison").retries(1);
    queue.publish(message.durability(Durability::Disk)).unwrap();
    disk = disk.copy();
    let mut starts = 0;
    for _ in 0..6 {
        let (_store, queue, _) = open(&disk, Durability::Memory);
        if let Some(job) = take(&queue, "q") {
            starts += 1;
            // A copy while the consumer holds it: what a crash of the process leaves.
            disk = disk.copy();
            std::mem::forget(job);
        } else {
            disk = disk.copy();
        }
    }
    assert_eq!(starts, 2);
}

#[test]
fn a_redriven_message_goes_behind_those_that_waited() {
    let disk = MemVfs::new();
    let (_store, queue, _) = open(&disk, Durability::Os);
    for (body, retries) in [("a", 9), ("b", 0), ("c", 9), ("d", 9)] {
        queue
            .publish(Message::new("q", body).retries(retries))
            .unwrap();
    }
    let held = queue.receive_many("q", 4, Duration::ZERO).unwrap();
    assert_eq!(held.len(), 4);
    let (_store, queue, _) = open(&disk.copy(), Durability::Os);
    // All four come back; b has no delivery left and dies in the middle of the line.
    let jobs = queue.receive_many("q", 2, Duration::ZERO).unwrap();
    let bodies: Vec<_> = jobs.iter().map(|job| job.body().clone()).collect();
    assert_eq!(bodies, ["a", "c"]);
    let dead: Vec<_> = queue.dead_letters("q").map(|d| d.unwrap().id).collect();
    assert_eq!(dead.len(), 1);
    assert!(queue.redrive(dead[0]).unwrap());
    assert_eq!(take(&queue, "q").unwrap().body(), "d");
}

#[test]
fn space_is_bounded_whatever_the_ages_of_the_messages() {
    const LATE: u64 = 150;
    let disk = MemVfs::new();
    let (store, queue, clock) = open(&disk, Durability::Os);
    let retried = QueueOptions::new()
        .max_deliveries(u32::MAX)
        .backoff(Backoff::none());
    queue.configure("retried", retried).unwrap();
    for _ in 0..20 {
        queue
            .publish(Message::new("retried", vec![2; 100]))
            .unwrap();
    }
    let mut peak = 0;
    for _ in 0..LATE {
        let late = Message::new("late", vec![1; 1_000]);
        queue
            .publish(late.delay(Duration::from_hours(24 * 365)))
            .unwrap();
        for _ in 0..200 {
            queue.publish(Message::new("hot", vec![3; 300])).unwrap();
            take(&queue, "hot").unwrap().ack().unwrap();
            take(&queue, "retried").unwrap().nack("again").unwrap();
        }
        clock.advance(Duration::from_secs(1));
        while store.maintain(Duration::from_secs(5)).unwrap().more {}
        let stats = store.stats();
        let used: u64 = stats.segments.iter().map(|one| one.used_bytes).sum();
        peak = peak.max(used);
    }
    let written = store.stats().bytes_written;
    assert!(written > 16 << 20, "{written} bytes are too few to tell");
    assert!(peak < 6 << 20, "{peak} bytes for 150 KB of messages");
    assert_eq!(queue.stats("late").delayed, LATE);
}
