//! Workflows: journaled steps per second, in one run and in many at once.

use std::time::Duration;

use upkv::Durability;

use super::{Bench, higher};
use crate::Result;
use crate::engine::flow::FlowEngine;
use crate::engine::flow::upflow::UpFlow;
use crate::engine::log::bare::BareLog;
use crate::engine::log::{Level, LogEngine};
use crate::measure::{Contender, nanos_per};
use crate::report::Goal;

const STEPS: u64 = 10;

/// Measures the family.
pub fn run(bench: &mut Bench) -> Result<()> {
    let interval = Durability::Interval(Duration::from_secs(1));
    let many = bench.effort.pick(1_000, 100);
    against_syncs(bench)?;
    against_peers(bench, Durability::Disk, 1, Goal::RatioAtLeast(10.0))?;
    against_peers(bench, Durability::Disk, 32, Goal::RatioAtLeast(100.0))?;
    let goal = Goal::AtLeast(200_000.0);
    alone(bench, "Interval(1s)", interval, many, goal)?;
    alone(bench, "Memory", Durability::Memory, many, Goal::None)
}

/// Steps per second of `runs` runs.
fn rate(flows: &dyn FlowEngine, runs: u64, steps: u64) -> Result<f64> {
    let nanos = nanos_per(1, |_| flows.run(runs, steps))?;
    Ok((runs * steps) as f64 * 1e9 / nanos)
}

fn against_syncs(bench: &mut Bench) -> Result<()> {
    let dir = bench.fresh_dir("flow")?;
    let steps = bench.effort.pick(300, 60);
    let ours = UpFlow::on_disk(&dir.join("ours"), Durability::Disk)?;
    let bare = BareLog::growing(&dir.join("bare"))?;
    bench.row(
        higher(
            format!("steps, Disk, 1 run of {steps} steps, against a sync each"),
            "1/s",
            Goal::RatioAtLeast(1.0 / 1.2),
        ),
        Contender::new(ours.name(), || rate(&ours, 1, steps)),
        vec![Contender::new(bare.name(), || {
            Ok(1e9 / nanos_per(steps, |_| bare.append(&[7; 128], Level::Disk))?)
        })],
    )?;
    ours.close()?;
    bench.drop_dir("flow")
}

fn against_peers(bench: &mut Bench, level: Durability, runs: u64, goal: Goal) -> Result<()> {
    let dir = bench.fresh_dir("flow")?;
    let ours = UpFlow::on_disk(&dir.join("ours"), level)?;
    #[cfg(feature = "peers-flow")]
    let duroxide = crate::engine::flow::duroxide::Duroxide::create(&dir.join("duroxide.db"))?;
    let peers = vec![
        #[cfg(feature = "peers-flow")]
        Contender::new(duroxide.name(), || rate(&duroxide, runs, STEPS)),
    ];
    let name = format!("steps, ours {level:?}, {runs} runs of {STEPS} steps");
    let ours_runs = runs * bench.effort.pick(4, 1);
    bench.row(
        higher(name, "1/s", goal),
        Contender::new(ours.name(), || {
            let waves = ours_runs / runs;
            let total = (0..waves)
                .map(|_| rate(&ours, runs, STEPS))
                .sum::<Result<f64>>()?;
            Ok(total / waves as f64)
        }),
        peers,
    )?;
    ours.close()?;
    #[cfg(feature = "peers-flow")]
    drop(duroxide);
    bench.drop_dir("flow")
}

fn alone(bench: &mut Bench, label: &str, level: Durability, runs: u64, goal: Goal) -> Result<()> {
    let dir = bench.fresh_dir("flow")?;
    let ours = UpFlow::on_disk(&dir.join("ours"), level)?;
    bench.row(
        higher(
            format!("steps, {label}, {runs} runs of {STEPS} steps"),
            "1/s",
            goal,
        ),
        Contender::new(ours.name(), || rate(&ours, runs, STEPS)),
        Vec::new(),
    )?;
    ours.close()?;
    bench.drop_dir("flow")
}
