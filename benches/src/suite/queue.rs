//! Queues: publishing, and receiving with acknowledgement, one message a call.

use std::time::Duration;

use upkv::Durability;

use super::{Bench, higher};
use crate::Result;
use crate::engine::log::bare::BareLog;
use crate::engine::log::{Level, LogEngine};
use crate::engine::queue::QueueEngine;
#[cfg(feature = "peers-queue")]
use crate::engine::queue::effectum::Effectum;
use crate::engine::queue::upqueue::UpQueue;
use crate::measure::{Contender, nanos_per, rate_of_counted};
use crate::report::Goal;
use crate::workload::value;

const BODY: usize = 100;

/// Measures the family.
pub fn run(bench: &mut Bench) -> Result<()> {
    against_syncs(bench)?;
    many_producers(bench)?;
    against_peers(bench)?;
    cycles(bench)
}

fn publish_rate(queue: &dyn QueueEngine, count: u64, body: &[u8]) -> Result<f64> {
    Ok(1e9 / nanos_per(count, |_| queue.publish(body))?)
}

fn consume_rate(queue: &dyn QueueEngine, count: u64) -> Result<f64> {
    Ok(count as f64 * 1e9 / nanos_per(1, |_| queue.consume(count))?)
}

fn against_syncs(bench: &mut Bench) -> Result<()> {
    let dir = bench.fresh_dir("queue")?;
    let count = bench.effort.pick(400, 80);
    let body = value(1, BODY);
    let ours = UpQueue::on_disk(&dir.join("ours"), Durability::Disk)?;
    let bare = BareLog::growing(&dir.join("bare"))?;
    bench.row(
        higher(
            "publish, 100 B, Disk, 1 producer, against a sync each",
            "1/s",
            Goal::RatioAtLeast(1.0 / 1.15),
        ),
        Contender::new(ours.name(), || publish_rate(&ours, count, &body)),
        vec![Contender::new(bare.name(), || {
            Ok(1e9 / nanos_per(count, |_| bare.append(&body, Level::Disk))?)
        })],
    )?;
    ours.close()?;
    bench.drop_dir("queue")
}

fn many_producers(bench: &mut Bench) -> Result<()> {
    const PRODUCERS: u64 = 64;
    let dir = bench.fresh_dir("queue")?;
    let each = bench.effort.pick(200, 40);
    let body = value(2, BODY);
    let ours = UpQueue::on_disk(&dir.join("ours"), Durability::Disk)?;
    let alone = UpQueue::on_disk(&dir.join("alone"), Durability::Disk)?;
    bench.row(
        higher(
            "publish, 100 B, Disk, 64 producers, against 1",
            "1/s",
            Goal::RatioAtLeast(25.0),
        ),
        Contender::new(ours.name(), || {
            rate_of_counted(PRODUCERS, each, |_, _| ours.publish(&body))
        }),
        vec![Contender::new("up Disk, 1 producer", || {
            publish_rate(&alone, each, &body)
        })],
    )?;
    ours.close()?;
    alone.close()?;
    bench.drop_dir("queue")
}

/// The peer does not sync on each commit, so ours runs at the level that survives the process and not the power.
fn against_peers(bench: &mut Bench) -> Result<()> {
    let dir = bench.fresh_dir("queue")?;
    let count = bench.effort.pick(2_000, 300);
    let body = value(3, BODY);
    let ours = UpQueue::on_disk(&dir.join("ours"), Durability::Os)?;
    #[cfg(feature = "peers-queue")]
    let effectum = Effectum::create(&dir.join("effectum.db"))?;
    bench.row(
        higher(
            "publish, 100 B, Os, 1 producer",
            "1/s",
            Goal::RatioAtLeast(10.0),
        ),
        Contender::new(ours.name(), || publish_rate(&ours, count, &body)),
        vec![
            #[cfg(feature = "peers-queue")]
            Contender::new(effectum.name(), || publish_rate(&effectum, count, &body)),
        ],
    )?;
    // What the row above has published is the backlog of this one.
    bench.row(
        higher(
            "receive and acknowledge a backlog, Os, 1 consumer",
            "1/s",
            Goal::RatioAtLeast(10.0),
        ),
        Contender::new(ours.name(), || consume_rate(&ours, count)),
        vec![
            #[cfg(feature = "peers-queue")]
            Contender::new(effectum.name(), || consume_rate(&effectum, count)),
        ],
    )?;
    ours.close()?;
    #[cfg(feature = "peers-queue")]
    drop(effectum);
    bench.drop_dir("queue")
}

fn cycles(bench: &mut Bench) -> Result<()> {
    let dir = bench.fresh_dir("queue")?;
    let count = bench.effort.pick(200_000, 20_000);
    let body = value(4, BODY);
    let interval = Durability::Interval(Duration::from_secs(1));
    let queues = [
        (
            UpQueue::in_memory()?,
            "in memory",
            Goal::AtLeast(1_500_000.0),
        ),
        (
            UpQueue::on_disk(&dir.join("memory"), Durability::Memory)?,
            "Memory",
            Goal::None,
        ),
        (
            UpQueue::on_disk(&dir.join("os"), Durability::Os)?,
            "Os",
            Goal::AtLeast(600_000.0),
        ),
        (
            UpQueue::on_disk(&dir.join("interval"), interval)?,
            "Interval(1s)",
            Goal::None,
        ),
    ];
    for (queue, label, goal) in &queues {
        let cycle = |_| {
            queue.publish(&body)?;
            queue.consume(1)
        };
        bench.row(
            higher(
                format!("publish, receive, acknowledge, 100 B, {label}, 1 thread"),
                "cycles/s",
                *goal,
            ),
            Contender::new("up", || Ok(1e9 / nanos_per(count, cycle)?)),
            Vec::new(),
        )?;
        queue.close()?;
    }
    bench.drop_dir("queue")
}
