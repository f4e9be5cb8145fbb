//! Random operations against the model, with everything a host does in between.

use std::sync::Arc;

use super::{Ack, NAME, Run, Trying, Workload, builder, host_action, start_clock};
use crate::storage::clock::Random;
use crate::storage::vfs::{MemVfs, Vfs};

/// Size of a [`model`] run.
#[derive(Copy, Clone, Debug)]
pub struct ModelOptions {
    /// Runs, with the seeds 0, 1, 2 and so on.
    pub seeds: u64,
    /// Operations a run.
    pub steps: usize,
}

/// Compares the engine with its model after each few operations and after each reopening; returns the commits made.
///
/// # Panics
///
/// If they differ, or an operation fails.
pub fn model<W: Workload>(workload: &W, options: ModelOptions) -> u64 {
    (0..options.seeds)
        .map(|seed| run(workload, seed, options.steps))
        .sum()
}

fn run<W: Workload>(workload: &W, seed: u64, steps: usize) -> u64 {
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
    let mut commits = 0;
    for number in 0..steps {
        let _trying = Trying(|| format!("seed {seed}, step {number} of the model test"));
        let run = Run {
            random: &random,
            clock: &clock,
            store: &store,
        };
        match workload.step(&engine, &run, &mut model) {
            Ok(Ack::Unchanged) => {}
            Ok(_) => commits += 1,
            Err(e) => panic!("{e}"),
        }
        let mut durable = false;
        host_action(&store, &random, &mut durable).unwrap_or_else(|e| panic!("{e}"));
        let reopen = random.below(100) == 0;
        if reopen {
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
    let report = store.check().unwrap_or_else(|e| panic!("{e}"));
    assert!(
        report.problems.is_empty(),
        "seed {seed}: {:?}",
        report.problems
    );
    commits
}
