//! Power cuts at every operation of the disk, and again while the store recovers from them.
//!
//! The rule: what is found equals the model after some commit, not older than the last one promised to be on disk and not newer
//! than the last one begun. Once the store has opened, what it found stays.

use std::sync::Arc;

use super::{
    Ack, Entry, History, NAME, Run, Trying, Workload, builder, clock_at, host_action, now,
    start_clock,
};
use crate::storage::clock::Random;
use crate::storage::fault::{Image, SimVfs};
use crate::storage::vfs::{MemVfs, Vfs};

/// Size of a [`crash_images`] run.
#[derive(Copy, Clone, Debug)]
pub struct CrashOptions {
    /// Seed of the first run.
    pub first_seed: u64,
    /// Runs.
    pub seeds: u64,
    /// Operations a run.
    pub steps: usize,
    /// States of the disk to open per run, spread over all its cuts.
    pub images: usize,
    /// Of these, one in so many is recovered under recording and cut again; 0 for none.
    pub nested_one_in: usize,
}

/// What a [`crash_images`] run did.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct CrashReport {
    /// States opened.
    pub images: u64,
    /// States opened of disks that were cut during recovery.
    pub nested: u64,
    /// Commits found that were not promised.
    pub surplus: u64,
}

/// Cuts the power everywhere.
///
/// # Panics
///
/// If the store does not open, lost something promised, shows something never committed, or does not work afterwards.
pub fn crash_images<W: Workload>(workload: &W, options: &CrashOptions) -> CrashReport {
    let mut report = CrashReport::default();
    for seed in options.first_seed..options.first_seed + options.seeds {
        let (sim, history) = record(workload, seed, options.steps);
        let random = Random::seeded(seed ^ 0xc4a5);
        let cuts = sim.operations() + 1;
        let per_cut = (options.images / cuts).max(8);
        // If there are too many cuts even for eight states each, a random stride passes over some.
        let stride = (cuts * per_cut).div_ceil(options.images.max(1)).max(1);
        let mut cut = usize::try_from(random.below(stride as u64)).unwrap_or(0);
        while cut < cuts {
            for image in sim.crash_point(cut).images(&random, per_cut) {
                let _trying = Trying(|| format!("seed {seed}, cut {cut} of {cuts}, {image:?}"));
                let bounds = history.allowed(cut);
                report.images += 1;
                let nested =
                    options.nested_one_in > 0 && random.below(options.nested_one_in as u64) == 0;
                let found = if nested {
                    recover_twice(workload, &history, bounds, &image, &random, &mut report)
                } else {
                    verify(
                        workload,
                        &history,
                        bounds,
                        Arc::new(image.disk().clone()),
                        &random,
                    )
                };
                report.surplus += (found - bounds.0) as u64;
            }
            cut += stride;
        }
    }
    report
}

/// Runs the same seed twice: only an engine whose files follow from its operations alone, and not from the order of a hash table,
/// the time or chance, writes the same bytes again, and only its failures can be replayed exactly.
///
/// # Panics
///
/// If the two runs differ.
pub fn replay<W: Workload>(workload: &W, seed: u64, steps: usize) {
    let (one, _) = record(workload, seed, steps);
    let (two, _) = record(workload, seed, steps);
    assert_eq!(
        one.operations(),
        two.operations(),
        "seed {seed}: operations of the disk"
    );
    let same = one.present().contents() == two.present().contents();
    assert!(same, "seed {seed} wrote different bytes the second time");
}

/// Runs the workload on a recording disk.
fn record<W: Workload>(workload: &W, seed: u64, steps: usize) -> (SimVfs, History<W::Model>) {
    let _trying = Trying(|| format!("seed {seed}, before any power cut"));
    let random = Random::seeded(seed);
    let clock = start_clock();
    let sim = SimVfs::new();
    let mut history = History::new(workload.empty(), now(&clock));
    let store = builder(workload, Arc::new(sim.clone()), &clock, random.next_u64()).open();
    let store = store.unwrap_or_else(|e| panic!("the store does not open: {e}"));
    let engine = workload
        .open(&store, NAME)
        .unwrap_or_else(|e| panic!("{e}"));
    for step in 0..steps {
        let begun = sim.operations();
        let mut model = history.last().model.clone();
        let run = Run {
            random: &random,
            clock: &clock,
            store: &store,
        };
        let ack = workload.step(&engine, &run, &mut model);
        let ack = ack.unwrap_or_else(|e| panic!("step {step}: {e}"));
        if ack > Ack::Unchanged {
            history.begin(model, now(&clock), begun);
        }
        let mut durable = ack == Ack::Disk;
        if durable {
            history.mark_durable(sim.operations());
        }
        host_action(&store, &random, &mut durable).unwrap_or_else(|e| panic!("{e}"));
        if durable {
            history.mark_durable(sim.operations());
        }
    }
    if random.below(4) == 0 {
        store
            .close()
            .unwrap_or_else(|e| panic!("the store does not close: {e}"));
        history.mark_durable(sim.operations());
    } else {
        // What dropping the handles writes is part of the recording too.
        drop(engine);
        drop(store);
    }
    (sim, history)
}

/// Opens the disk and says which entry of the history it shows; then goes on working with it.
fn verify<W: Workload>(
    workload: &W,
    history: &History<W::Model>,
    bounds: (usize, usize),
    disk: Arc<dyn Vfs>,
    random: &Random,
) -> usize {
    let clock = clock_at(history.entries[bounds.1].now);
    let store = builder(workload, Arc::clone(&disk), &clock, random.next_u64()).open();
    let store = store.unwrap_or_else(|e| panic!("the store does not open: {e}"));
    let engine = workload
        .open(&store, NAME)
        .unwrap_or_else(|e| panic!("{e}"));
    let found = judge(workload, history, bounds, &engine);
    let mut model = history.entries[found].model.clone();
    let run = Run {
        random,
        clock: &clock,
        store: &store,
    };
    for _ in 0..2 {
        workload
            .step(&engine, &run, &mut model)
            .unwrap_or_else(|e| panic!("afterwards: {e}"));
    }
    let check = store.check().unwrap_or_else(|e| panic!("check: {e}"));
    assert!(check.problems.is_empty(), "check: {:?}", check.problems);
    drop(engine);
    if random.below(2) == 0 {
        store
            .close()
            .unwrap_or_else(|e| panic!("the store does not close: {e}"));
    }
    drop(store);
    let store = builder(workload, disk, &clock, random.next_u64()).open();
    let store = store.unwrap_or_else(|e| panic!("the store does not open again: {e}"));
    let engine = workload
        .open(&store, NAME)
        .unwrap_or_else(|e| panic!("again: {e}"));
    let seen = workload
        .observe(&engine)
        .unwrap_or_else(|e| panic!("again: {e}"));
    assert_eq!(seen, model, "after two more operations and reopening");
    found
}

fn judge<W: Workload>(
    workload: &W,
    history: &History<W::Model>,
    bounds: (usize, usize),
    engine: &W::Engine,
) -> usize {
    let seen = workload.observe(engine).unwrap_or_else(|e| panic!("{e}"));
    history.find(&seen, bounds).unwrap_or_else(|| {
        let (lo, hi) = bounds;
        let anywhere = history
            .entries
            .iter()
            .position(|Entry { model, .. }| *model == seen);
        panic!(
            "found commit {anywhere:?}, allowed are {lo} to {hi}\nfound   {seen:?}\nwanted  {:?}",
            history.entries[lo].model
        )
    })
}

/// Recovers on a recording disk, then cuts the power during that recovery and after it.
fn recover_twice<W: Workload>(
    workload: &W,
    history: &History<W::Model>,
    bounds: (usize, usize),
    image: &Image,
    random: &Random,
    report: &mut CrashReport,
) -> usize {
    const CUTS: usize = 6;
    let sim = SimVfs::over(image.disk().copy());
    let clock = clock_at(history.entries[bounds.1].now);
    let store = builder(workload, Arc::new(sim.clone()), &clock, random.next_u64()).open();
    let store = store.unwrap_or_else(|e| panic!("the store does not open: {e}"));
    let engine = workload
        .open(&store, NAME)
        .unwrap_or_else(|e| panic!("{e}"));
    let opened = sim.operations();
    let found = judge(workload, history, bounds, &engine);
    for _ in 0..CUTS {
        let cut = usize::try_from(random.below(opened as u64 + 1)).unwrap_or(0);
        let bounds = if cut == opened {
            (found, found)
        } else {
            bounds
        };
        for again in sim.crash_point(cut).images(random, 4) {
            let _trying = Trying(|| format!("second cut {cut} of {opened}, {again:?}"));
            report.nested += 1;
            let disk: MemVfs = again.disk().clone();
            verify(workload, history, bounds, Arc::new(disk), random);
        }
    }
    found
}
