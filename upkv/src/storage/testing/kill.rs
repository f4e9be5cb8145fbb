//! Real processes that are killed while several threads commit to a real directory.
//!
//! The test starts its own executable again as the child, which works on one store from several threads, an engine each, and
//! reports every acknowledged operation over its standard output. After the kill, what the parent finds must be what an equal engine
//! in memory shows after the same operations: all that were acknowledged, and perhaps those that were on their way.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::{Ack, Run, Trying, Workload, start_clock};
use crate::storage::clock::{Clock, ManualClock, Random, SystemClock};
use crate::storage::fault::{Fault, FaultyVfs, Plan};
use crate::storage::store::Store;
use crate::storage::sync::{Mutex, Signal};
use crate::storage::vfs::{OsVfs, Vfs};

const ENV: &str = "UP_TEST_KILL";
/// Operations that may be on their way in one thread: those not yet promised to survive the process.
const AHEAD_MAX: usize = 64;

/// Size of a [`kill()`] run.
#[derive(Copy, Clone, Debug)]
pub struct KillOptions {
    /// Processes to kill.
    pub kills: u64,
    /// Every so many kills the directory is emptied.
    pub fresh_every: u64,
    /// Threads in each.
    pub lanes: u64,
    /// Latest moment of a kill after the first acknowledged operation.
    pub after_ms_max: u64,
    /// Seed of the operations and the moments.
    pub seed: u64,
}

/// What a [`kill()`] run did.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct KillReport {
    /// Processes killed.
    pub kills: u64,
    /// Operations acknowledged before the kills.
    pub acknowledged: u64,
    /// Operations found that were not acknowledged.
    pub surplus: u64,
}

/// Kills a child at work, again and again, and looks at what is left.
///
/// `test` is the full name of the calling test, by which the executable runs it alone.
///
/// # Panics
///
/// If an acknowledged operation is lost, one is half done, or the store does not open.
pub fn kill<W: Workload>(workload: &W, test: &str, options: &KillOptions) -> KillReport {
    let name = format!("up-kill-{}-{}", std::process::id(), options.seed);
    let dir = std::env::temp_dir().join(name);
    let report = kill_in(workload, test, options, &dir, &mut || {});
    remove(&dir);
    report
}

/// As [`kill()`], in a directory of the caller's choice, who can do something to its disk after each kill, before the store is
/// opened again: cut its power, for example, if all operations of the workload are promised to survive that.
///
/// # Panics
///
/// As [`kill()`].
pub fn kill_in<W: Workload>(
    workload: &W,
    test: &str,
    options: &KillOptions,
    dir: &Path,
    after_kill: &mut dyn FnMut(),
) -> KillReport {
    if let Ok(order) = std::env::var(ENV) {
        work(workload, &order);
    }
    let random = Random::seeded(options.seed);
    let mut report = KillReport::default();
    let mut mirrors = Vec::new();
    for round in 0..options.kills {
        let _trying = Trying(|| format!("kill {round} with seed {}", options.seed));
        if round % options.fresh_every.max(1) == 0 {
            mirrors.clear();
            remove(dir);
            mirrors.extend((0..options.lanes).map(|_| Mirror::new(workload)));
        }
        let acknowledged = run_and_kill(dir, test, options, round, &random);
        after_kill();
        report.kills += 1;
        report.acknowledged += acknowledged.iter().map(|n| *n as u64).sum::<u64>();
        let store = open(workload, dir, Arc::new(OsVfs));
        for (lane, mirror) in (0..).zip(&mut mirrors) {
            let engine = workload.open(&store, &name(lane));
            let engine = engine.unwrap_or_else(|e| panic!("lane {lane}: {e}"));
            let seen = workload
                .observe(&engine)
                .unwrap_or_else(|e| panic!("lane {lane}: {e}"));
            let done = usize::try_from(lane)
                .map(|lane| acknowledged[lane])
                .expect("few lanes");
            let lane_random = Random::seeded(lane_seed(options.seed, round, lane));
            report.surplus += mirror.follow(workload, &seen, done, &lane_random);
        }
        let check = store.check().unwrap_or_else(|e| panic!("check: {e}"));
        assert!(check.problems.is_empty(), "check: {:?}", check.problems);
    }
    report
}

/// Whether this process is the child of [`kill()`]: set-up that only the parent needs is skipped there.
pub fn is_killed_child() -> bool {
    std::env::var_os(ENV).is_some()
}

/// The same engine, in memory, that does what the child did.
struct Mirror<W: Workload> {
    store: Store,
    engine: W::Engine,
    model: W::Model,
    clock: ManualClock,
}

impl<W: Workload> Mirror<W> {
    fn new(workload: &W) -> Self {
        let clock = start_clock();
        let builder = Store::memory_builder()
            .clock(Arc::new(clock.clone()))
            .background(false);
        let store = builder.open().unwrap_or_else(|e| panic!("{e}"));
        let engine = workload
            .open(&store, "mirror")
            .unwrap_or_else(|e| panic!("{e}"));
        Self {
            store,
            engine,
            model: workload.empty(),
            clock,
        }
    }

    /// Repeats the acknowledged operations, and then more until `seen` is reached; returns how many more.
    fn follow(
        &mut self,
        workload: &W,
        seen: &W::Model,
        acknowledged: usize,
        random: &Random,
    ) -> u64 {
        for step in 0..=acknowledged + AHEAD_MAX {
            if step >= acknowledged && self.model == *seen {
                return (step - acknowledged) as u64;
            }
            let run = Run {
                random,
                clock: &self.clock,
                store: &self.store,
            };
            let result = workload.step(&self.engine, &run, &mut self.model);
            result.unwrap_or_else(|e| panic!("mirror: {e}"));
        }
        panic!(
            "{acknowledged} operations were acknowledged, found is no state after them: {seen:?}"
        )
    }
}

fn name(lane: u64) -> String {
    format!("lane-{lane}")
}

fn lane_seed(seed: u64, round: u64, lane: u64) -> u64 {
    Random::seeded(seed ^ round << 32 ^ lane << 56).next_u64()
}

fn remove(dir: &Path) {
    // A leftover of an earlier run, or nothing.
    let _missing = std::fs::remove_dir_all(dir);
}

fn open<W: Workload>(workload: &W, dir: &Path, vfs: Arc<dyn Vfs>) -> Store {
    let builder = Store::builder(dir)
        .vfs(vfs)
        .clock(Arc::new(start_clock()))
        .segment_bytes(64 * 1024)
        .checkpoint_bytes(128 * 1024)
        .background(false);
    workload
        .configure(builder)
        .open()
        .unwrap_or_else(|e| panic!("the store does not open: {e}"))
}

/// Starts a child, kills it at a random moment, returns the operations acknowledged per lane.
fn run_and_kill(
    dir: &Path,
    test: &str,
    options: &KillOptions,
    round: u64,
    random: &Random,
) -> Vec<usize> {
    // A third of the children end themselves, at a random call to the disk.
    let abort_at = if random.below(3) == 0 {
        random.below(3_000)
    } else {
        u64::MAX
    };
    let order = [
        options.seed.to_string(),
        round.to_string(),
        options.lanes.to_string(),
        abort_at.to_string(),
        dir.display().to_string(),
    ]
    .join(",");
    let exe = std::env::current_exe().expect("the test runs from a file");
    let mut child = Command::new(exe)
        .args([test, "--exact", "--nocapture"])
        .env(ENV, order)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the test can start itself");
    let output = child.stdout.take().expect("standard output is piped");
    let mut acknowledged = vec![0; usize::try_from(options.lanes).expect("few lanes")];
    let mut lines = BufReader::new(output).lines();
    let child = Mutex::new(child);
    let started = Signal::new();
    let ticket = started.ticket();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            started.wait(ticket, Some(Duration::from_secs(20)));
            let moment = Duration::from_millis(1 + random.below(options.after_ms_max));
            pause(moment);
            stop(&mut child.lock());
        });
        while let Some(Ok(line)) = lines.next() {
            // Lines of the test runner have no mark; the last line may be cut.
            let Some((lane, step)) = line
                .split_once('@')
                .and_then(|(_, rest)| rest.split_once(' '))
            else {
                continue;
            };
            if let (Ok(lane), Some(Ok(step))) = (
                lane.parse::<usize>(),
                step.strip_suffix('.').map(str::parse::<usize>),
            ) {
                acknowledged[lane] = acknowledged[lane].max(step);
                started.notify();
            }
        }
        // A child that ended itself before its first operation is done: nothing to wait for.
        started.notify();
    });
    acknowledged
}

/// Waits for real: the moment of a kill is chance, nothing is synchronised by it.
fn pause(span: Duration) {
    let clock = SystemClock::new();
    let nobody = Signal::new();
    let end = clock.now().saturating_add(span);
    while clock.now() < end {
        clock.wait(&nobody, nobody.ticket(), Some(end));
    }
}

fn stop(child: &mut Child) {
    // It may have ended itself.
    let _ended = child.kill();
    child.wait().expect("the child is ours");
}

/// The child: works until it is killed.
fn work<W: Workload>(workload: &W, order: &str) -> ! {
    let mut parts = order.splitn(5, ',');
    let mut number = || -> u64 {
        parts
            .next()
            .and_then(|part| part.parse().ok())
            .expect("the parent wrote the order")
    };
    let (seed, round, lanes, abort_at) = (number(), number(), number(), number());
    let dir = PathBuf::from(parts.next().expect("the parent wrote the order"));
    let disk = FaultyVfs::new(Arc::new(OsVfs));
    disk.arm(Plan {
        kinds: &[],
        at: abort_at,
        forever: false,
        fault: Fault::Abort,
    });
    let store = open(workload, &dir, Arc::new(disk));
    let clock = start_clock();
    std::thread::scope(|scope| {
        for lane in 0..lanes {
            let (store, clock) = (&store, &clock);
            scope.spawn(move || {
                let random = Random::seeded(lane_seed(seed, round, lane));
                let engine = workload
                    .open(store, &name(lane))
                    .unwrap_or_else(|e| panic!("{e}"));
                let mut model = workload.observe(&engine).unwrap_or_else(|e| panic!("{e}"));
                for step in 1_u64.. {
                    let run = Run {
                        random: &random,
                        clock,
                        store,
                    };
                    let ack = workload.step(&engine, &run, &mut model);
                    if ack.unwrap_or_else(|e| panic!("{e}")) >= Ack::Os {
                        // One write per line: a kill cannot mix lines of two threads.
                        let line = format!("@{lane} {step}.\n");
                        std::io::stdout()
                            .write_all(line.as_bytes())
                            .expect("the parent listens");
                    }
                    if lane == 0 && step % 200 == 0 {
                        store.checkpoint().unwrap_or_else(|e| panic!("{e}"));
                    }
                    if lane == 1 && step % 50 == 0 {
                        store
                            .maintain(Duration::from_millis(1))
                            .unwrap_or_else(|e| panic!("{e}"));
                    }
                }
            });
        }
    });
    unreachable!("threads that never end have ended")
}
