//! Random operations against the model, with everything a host does in between.

use std::sync::Arc;

use super::{Ack, NAME, Run, Trying, Workload, builder, host_action, start_clock};
use crate::storage::clock::Random;
use crate::storage::store::Store;
use crate::storage::vfs::{MemVfs, Vfs};

/// Size of a [`model`] run.
#[derive(Copy, Clone, Debug)]
pub struct ModelOptions {
    /// Runs, with the seeds 0, 1, 2 and so on.
    pub seeds: u64,
    /// Operations a run.
    pub steps: usize,
}

/// What a [`model`] run did.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelReport {
    /// Commits made.
    pub commits: u64,
    /// Times the store was closed, or dropped, and opened again.
    pub reopened: u64,
    /// Checkpoints written.
    pub checkpoints: u64,
    /// Segments whose live records were moved, and that were removed.
    pub segments_removed: u64,
}

impl ModelReport {
    /// Adds what one handle of the store did.
    fn add(&mut self, store: &Store) {
        let stats = store.stats();
        self.checkpoints += stats.checkpoints;
        self.segments_removed += stats.segments_removed;
    }
}

/// Compares the engine with its model after each few operations and after each reopening.
///
/// # Panics
///
/// If they differ, or an operation fails.
pub fn model<W: Workload>(workload: &W, options: ModelOptions) -> ModelReport {
    let mut report = ModelReport::default();
    for seed in 0..options.seeds {
        run(workload, seed, options.steps, &mut report);
    }
    report
}

fn run<W: Workload>(workload: &W, seed: u64, steps: usize, report: &mut ModelReport) {
    let random = Random::seeded(seed);
    let clock = start_clock();
    let disk: Arc<dyn Vfs> = Arc::new(MemVfs::new());
    let open = || {
        let store = builder(workload, Arc::clone(&disk), &clock, random.next_u64()).open();
        let store = store.unwrap_or_else(|e| panic!("the store does not open: {e}"));
        let engine = workload.open(&store, NAME);
        (
            store,
            engine.unwrap_or_else(|e| panic!("the engine does not open: {e}")),
        )
    };
    let mut model = workload.empty();
    let (mut store, mut engine) = open();
    for number in 0..steps {
        let _trying = Trying(|| format!("seed {seed}, step {number} of the model test"));
        let run = Run {
            random: &random,
            clock: &clock,
            store: &store,
        };
        match workload.step(&engine, &run, &mut model) {
            Ok(Ack::Unchanged) => {}
            Ok(_) => report.commits += 1,
            Err(e) => panic!("{e}"),
        }
        let mut durable = false;
        host_action(&store, &random, &mut durable).unwrap_or_else(|e| panic!("{e}"));
        let reopen = random.below(100) == 0;
        if reopen {
            report.reopened += 1;
            report.add(&store);
            if random.below(2) == 0 {
                store
                    .close()
                    .unwrap_or_else(|e| panic!("the store does not close: {e}"));
            }
            drop(engine);
            drop(store);
            (store, engine) = open();
        }
        if reopen || random.below(16) == 0 || number + 1 == steps {
            let shown = workload.observe(&engine).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(shown, model, "after step {number}, reopened: {reopen}");
        }
    }
    report.add(&store);
    let check = store.check().unwrap_or_else(|e| panic!("{e}"));
    assert!(
        check.problems.is_empty(),
        "seed {seed}: {:?}",
        check.problems
    );
}
