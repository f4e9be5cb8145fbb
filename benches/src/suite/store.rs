//! The store beneath all engines: what a commit costs at each level, how commits share syncs, how fast a log is read back.

use std::path::Path;
use std::time::{Duration, Instant};

use upkv::storage::Durability;

use super::{Bench, higher, lower};
use crate::Result;
use crate::engine::log::bare::BareLog;
use crate::engine::log::store::StoreLog;
use crate::engine::log::{Level, LogEngine};
use crate::measure::{Contender, nanos_per, rate_of_counted};
use crate::report::Goal;
use crate::workload::value;

const NO_CHECKPOINT: u64 = 1 << 40;

/// Measures the family.
pub fn run(bench: &mut Bench) -> Result<()> {
    one_writer(bench)?;
    cost_without_sync(bench)?;
    shared_syncs(bench)?;
    recovery(bench)?;
    reopen(bench)
}

fn micros(log: &dyn LogEngine, count: u64, body: &[u8], level: Level) -> Result<f64> {
    Ok(nanos_per(count, |_| log.append(body, level))? / 1000.0)
}

fn one_writer(bench: &mut Bench) -> Result<()> {
    let dir = bench.fresh_dir("one-writer")?;
    let count = bench.effort.pick(400, 100);
    let body = value(1, 100);
    let ours = StoreLog::open(&dir.join("store"), NO_CHECKPOINT)?;
    let growing = BareLog::growing(&dir.join("growing"))?;
    let allocated = BareLog::allocated(&dir.join("allocated"), 64 << 20)?;
    bench.row(
        lower(
            "commit of 100 B, Disk, 1 writer, against an append loop",
            "us",
            Goal::RatioAtMost(1.1),
        ),
        Contender::new("up", || micros(&ours, count, &body, Level::Disk)),
        vec![Contender::new(growing.name(), || {
            micros(&growing, count, &body, Level::Disk)
        })],
    )?;
    bench.row(
        lower(
            "commit of 100 B, Disk, 1 writer, against writes into an allocated file",
            "us",
            Goal::None,
        ),
        Contender::new("up", || micros(&ours, count, &body, Level::Disk)),
        vec![Contender::new(allocated.name(), || {
            micros(&allocated, count, &body, Level::Disk)
        })],
    )?;
    ours.store().close()?;
    bench.drop_dir("one-writer")
}

fn cost_without_sync(bench: &mut Bench) -> Result<()> {
    let dir = bench.fresh_dir("no-sync")?;
    let count = bench.effort.pick(300_000, 50_000);
    let body = value(2, 100);
    let ours = StoreLog::open(&dir.join("store"), NO_CHECKPOINT)?;
    let growing = BareLog::growing(&dir.join("growing"))?;
    bench.row(
        lower("commit of 100 B, Os, 1 writer", "us", Goal::AtMost(1.5)),
        Contender::new("up", || micros(&ours, count, &body, Level::Os)),
        vec![Contender::new("bare write", || {
            micros(&growing, count, &body, Level::Os)
        })],
    )?;
    for (name, level) in [
        ("Memory", Durability::Memory),
        ("Interval(1s)", Durability::Interval(Duration::from_secs(1))),
    ] {
        bench.row(
            lower(
                format!("commit of 100 B, {name}, 1 writer"),
                "us",
                Goal::None,
            ),
            Contender::new("up", || {
                Ok(nanos_per(count, |_| ours.append_at(&body, level))? / 1000.0)
            }),
            Vec::new(),
        )?;
    }
    ours.store().close()?;
    bench.drop_dir("no-sync")
}

fn shared_syncs(bench: &mut Bench) -> Result<()> {
    const WRITERS: u64 = 64;
    let dir = bench.fresh_dir("shared-syncs")?;
    let each = bench.effort.pick(200, 50);
    let body = value(3, 100);
    let ours = StoreLog::open(&dir.join("store"), NO_CHECKPOINT)?;
    let write =
        |log: &dyn LogEngine| rate_of_counted(WRITERS, each, |_, _| log.append(&body, Level::Disk));
    bench.row(
        higher(
            "commits per sync, Disk, 64 writers",
            "commits",
            Goal::AtLeast(30.0),
        ),
        Contender::new("up", || {
            let before = ours.store().stats();
            write(&ours)?;
            let after = ours.store().stats();
            let (commits, syncs) = (after.commits - before.commits, after.syncs - before.syncs);
            Ok(commits as f64 / syncs.max(1) as f64)
        }),
        Vec::new(),
    )?;
    let bare = BareLog::growing(&dir.join("growing"))?;
    bench.row(
        higher("commits of 100 B, Disk, 64 writers", "1/s", Goal::None),
        Contender::new("up", || write(&ours)),
        vec![Contender::new(bare.name(), || write(&bare))],
    )?;
    ours.store().close()?;
    bench.drop_dir("shared-syncs")
}

/// The state that a kill leaves: everything synced, nothing checkpointed, not closed.
fn crashed_image(dir: &Path, bytes: u64, body: &[u8]) -> Result<u64> {
    let live = dir.join("live");
    let log = StoreLog::open(&live, NO_CHECKPOINT)?;
    let count = bytes / body.len() as u64;
    for _ in 0..count {
        log.append_at(body, Durability::Memory)?;
    }
    log.store().wait_durable(log.store().token().seq)?;
    // The durable address travels in the next commit; without one the whole log would count as a tail of unknown safety.
    log.append(body, Level::Disk)?;
    copy(&live, &dir.join("image"))?;
    log.store().close()?;
    drop(log);
    std::fs::remove_dir_all(live)?;
    Ok(count + 1)
}

/// Copies a store's directory; the copies are in the page cache and on disk afterwards, so that no sync of the opening pays for them.
fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
            std::fs::File::open(target)?.sync_all()?;
        }
    }
    Ok(())
}

fn recovery(bench: &mut Bench) -> Result<()> {
    for (size, goal) in [(1024, Goal::AtLeast(1.0)), (100, Goal::None)] {
        let dir = bench.fresh_dir("recovery")?;
        let body = value(4, size);
        bench.progress("writing a log to recover");
        let count = crashed_image(&dir, bench.effort.pick(512 << 20, 96 << 20), &body)?;
        let image = dir.join("image");
        // Each run opens a copy of its own: opening writes to what it recovers.
        let open = || -> Result<(f64, f64)> {
            let work = dir.join("work");
            copy(&image, &work)?;
            let start = Instant::now();
            let log = StoreLog::open(&work, NO_CHECKPOINT)?;
            let took = start.elapsed();
            if log.count() != count {
                return Err(format!("{} of {count} records came back", log.count()).into());
            }
            let report = log.store().report();
            let scanned = report.frame_bytes as f64 / report.took.as_secs_f64();
            let replayed = report.frame_bytes as f64 / took.as_secs_f64();
            log.store().close()?;
            drop(log);
            std::fs::remove_dir_all(work)?;
            Ok((scanned / 1e9, replayed / 1e9))
        };
        bench.row(
            higher(
                format!("recovery scan from page cache, records of {size} B"),
                "GB/s",
                goal,
            ),
            Contender::new("up", || Ok(open()?.0)),
            Vec::new(),
        )?;
        bench.row(
            higher(
                format!("recovery scan and replay into an engine, records of {size} B"),
                "GB/s",
                Goal::None,
            ),
            Contender::new("up", || Ok(open()?.1)),
            Vec::new(),
        )?;
        bench.drop_dir("recovery")?;
    }
    Ok(())
}

fn reopen(bench: &mut Bench) -> Result<()> {
    let dir = bench.fresh_dir("reopen")?;
    let millis = |name: &str| -> Result<f64> {
        let start = Instant::now();
        let log = StoreLog::open(&dir.join(name), NO_CHECKPOINT)?;
        let took = start.elapsed();
        log.store().close()?;
        Ok(took.as_secs_f64() * 1000.0)
    };
    let log = StoreLog::open(&dir.join("full"), NO_CHECKPOINT)?;
    let body = value(5, 1024);
    for _ in 0..bench.effort.pick(200_000, 50_000) {
        log.append_at(&body, Durability::Memory)?;
    }
    log.store().checkpoint()?;
    log.store().close()?;
    drop(log);
    bench.row(
        lower("open, empty store", "ms", Goal::AtMost(5.0)),
        Contender::new("up", || millis("empty")),
        Vec::new(),
    )?;
    bench.row(
        lower("open, closed cleanly after a checkpoint", "ms", Goal::None),
        Contender::new("up", || millis("full")),
        Vec::new(),
    )?;
    bench.drop_dir("reopen")
}
