//! Every I/O call fails: once, for ever, half done, or as a sync that loses what it should have kept.
//!
//! The rules: an operation that is refused changed nothing; after an unknown outcome nothing is acknowledged any more until the
//! store is reopened; a healed disk always opens and shows a state that was promised; a full disk poisons nothing.

use std::sync::Arc;

use super::{
    Ack, Failure, History, NAME, Run, Trying, Workload, builder, host_action, now, start_clock,
};
use crate::storage::clock::{ManualClock, Random};
use crate::storage::fault::{Fault, FaultyVfs, OpKind, Plan};
use crate::storage::store::Store;
use crate::storage::vfs::MemVfs;

/// Size of an [`io_errors`] run.
#[derive(Copy, Clone, Debug)]
pub struct ErrorOptions {
    /// Runs, each for every call and every kind of failure, with the seeds 0, 1, 2 and so on.
    pub seeds: u64,
    /// Operations a run.
    pub steps: usize,
}

/// What an [`io_errors`] run did.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorReport {
    /// Runs in which at least one call failed.
    pub runs: u64,
    /// Calls that failed in them.
    pub failures: u64,
    /// Operations that were refused.
    pub refused: u64,
    /// Operations with an unknown outcome.
    pub unknown: u64,
}

const PLANS: [(&[OpKind], bool, Fault); 7] = [
    (&[], false, Fault::Io),
    (&[], true, Fault::Io),
    (OpKind::TAKES_SPACE, false, Fault::NoSpace),
    (OpKind::TAKES_SPACE, true, Fault::NoSpace),
    (&[OpKind::Write], false, Fault::Short),
    (&[OpKind::Sync], false, Fault::SyncDrops),
    (&[OpKind::Sync], true, Fault::SyncDrops),
];

/// Fails call n of the script for every n.
///
/// # Panics
///
/// If a rule above is broken.
pub fn io_errors<W: Workload>(workload: &W, options: ErrorOptions) -> ErrorReport {
    let mut report = ErrorReport::default();
    for seed in 0..options.seeds {
        for (kinds, forever, fault) in PLANS {
            for at in 0.. {
                let plan = Plan {
                    kinds,
                    at,
                    forever,
                    fault,
                };
                let _trying = Trying(|| format!("seed {seed}, {plan:?}"));
                let fired = one(workload, seed, options.steps, plan, &mut report);
                if fired == 0 {
                    break;
                }
                report.runs += 1;
                report.failures += fired;
            }
        }
    }
    report
}

/// One run under one plan; returns how many calls failed.
fn one<W: Workload>(
    workload: &W,
    seed: u64,
    steps: usize,
    plan: Plan,
    report: &mut ErrorReport,
) -> u64 {
    let random = Random::seeded(seed);
    let clock = start_clock();
    let disk = MemVfs::new();
    let faulty = FaultyVfs::new(Arc::new(disk.clone()));
    let mut history = History::new(workload.empty(), now(&clock));
    faulty.arm(plan);
    let store_seed = random.next_u64();
    let opened = builder(workload, Arc::new(faulty.clone()), &clock, store_seed).open();
    if let Ok(store) = opened
        && let Ok(engine) = workload.open(&store, NAME)
    {
        let mut script = Script {
            workload,
            faulty: &faulty,
            history: &mut history,
            report,
        };
        let unknown = script.run(&store, &engine, &clock, &random, steps);
        faulty.heal();
        if plan.fault == Fault::NoSpace && !unknown {
            script.resume(&store, &engine, &clock, &random);
        }
    }
    faulty.heal();
    let failures = faulty.fired();
    // Everything up to the last promise must be there, everything begun may be.
    let bounds = history.allowed(usize::MAX);
    let store = builder(workload, Arc::new(disk), &clock, store_seed).open();
    let store = store.unwrap_or_else(|e| panic!("the healed store does not open: {e}"));
    let engine = workload
        .open(&store, NAME)
        .unwrap_or_else(|e| panic!("healed: {e}"));
    let shown = workload
        .observe(&engine)
        .unwrap_or_else(|e| panic!("healed: {e}"));
    let found = history.find(&shown, bounds).unwrap_or_else(|| {
        let (lo, hi) = bounds;
        let wanted = &history.entries[lo].model;
        panic!("healed: allowed are commits {lo} to {hi}\nfound   {shown:?}\nwanted  {wanted:?}")
    });
    let check = store.check().unwrap_or_else(|e| panic!("healed: {e}"));
    assert!(check.problems.is_empty(), "healed: {:?}", check.problems);
    let mut model = history.entries[found].model.clone();
    let run = Run {
        random: &random,
        clock: &clock,
        store: &store,
    };
    workload
        .step(&engine, &run, &mut model)
        .unwrap_or_else(|e| panic!("healed: {e}"));
    failures
}

struct Script<'a, W: Workload> {
    workload: &'a W,
    faulty: &'a FaultyVfs,
    history: &'a mut History<W::Model>,
    report: &'a mut ErrorReport,
}

impl<W: Workload> Script<'_, W> {
    /// Returns whether some outcome became unknown.
    fn run(
        &mut self,
        store: &Store,
        engine: &W::Engine,
        clock: &ManualClock,
        random: &Random,
        steps: usize,
    ) -> bool {
        let mut unknown = false;
        for step in 0..steps {
            let before = self.history.last().model.clone();
            let mut model = before.clone();
            let run = Run {
                random,
                clock,
                store,
            };
            match self.workload.step(engine, &run, &mut model) {
                Ok(Ack::Unchanged) => {}
                Ok(ack) => {
                    assert!(
                        !unknown,
                        "step {step} is acknowledged after an unknown outcome"
                    );
                    self.history.begin(model, now(clock), step);
                    if ack == Ack::Disk {
                        self.history.mark_durable(step);
                    }
                }
                Err(Failure::Unknown(_)) => {
                    self.report.unknown += 1;
                    unknown = true;
                    self.history.begin(model, now(clock), step);
                }
                Err(Failure::Refused(_)) => {
                    self.report.refused += 1;
                    assert!(
                        model == before,
                        "step {step}: the model changed without a commit"
                    );
                    if let (false, Ok(seen)) = (unknown, self.workload.observe(engine)) {
                        assert_eq!(
                            seen, before,
                            "step {step} was refused and changed something"
                        );
                    }
                }
                Err(damaged) => panic!("step {step}: {damaged}, but nothing was damaged"),
            }
            let mut durable = false;
            // Whatever fails here concerns nobody's data; what it leaves behind is checked at the end.
            let _failed = host_action(store, random, &mut durable);
            if durable {
                assert!(!unknown, "step {step} is durable after an unknown outcome");
                self.history.mark_durable(step);
            }
        }
        unknown
    }

    /// A full disk that has room again takes operations without reopening.
    fn resume(&mut self, store: &Store, engine: &W::Engine, clock: &ManualClock, random: &Random) {
        if store.wait_durable(store.token().seq).is_err() {
            // A write of published bytes had no room: the store is poisoned, as after any failed write.
            return;
        }
        self.history.mark_durable(0);
        let mut model = self.history.last().model.clone();
        let run = Run {
            random,
            clock,
            store,
        };
        let fired = self.faulty.fired();
        match self.workload.step(engine, &run, &mut model) {
            Ok(Ack::Unchanged) => {}
            Ok(_) => self.history.begin(model, now(clock), usize::MAX),
            Err(e) => panic!("there is space again after {fired} failures: {e}"),
        }
    }
}
