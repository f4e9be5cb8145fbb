//! What a run has used, and why it was stopped.
//!
//! Once a run is stopped it stays so: whatever catches the error in Lua raises it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::limits::ScriptLimits;
use crate::error::Error;
use crate::storage::Clock;

/// Instructions between two looks at the clock.
pub(super) const PERIOD: u32 = 1_000;

/// A script that runs, as other threads see it.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) is_function: bool,
    /// Name of the function, or digest of the script.
    pub(crate) name: Box<[u8]>,
    pub(crate) command: Vec<Box<[u8]>>,
    pub(crate) since: Duration,
    /// The shards that it has locked; `None` if others have to wait whatever they do.
    pub(crate) shards: Option<Box<[usize]>>,
    /// 0 runs, 1 has written, 2 is killed.
    phase: AtomicU8,
}

const WRITTEN: u8 = 1;
const KILLED: u8 = 2;

impl Running {
    pub(crate) fn new(
        is_function: bool,
        name: &[u8],
        command: &[&[u8]],
        since: Duration,
        shards: Option<Box<[usize]>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            is_function,
            name: name.into(),
            command: command.iter().map(|arg| (*arg).into()).collect(),
            since,
            shards,
            phase: AtomicU8::new(0),
        })
    }

    /// Stops it unless it has written; whether it stops.
    pub(crate) fn kill(&self) -> bool {
        let order = Ordering::AcqRel;
        let swapped = self
            .phase
            .compare_exchange(0, KILLED, order, Ordering::Acquire);
        swapped.is_ok() || swapped == Err(KILLED)
    }

    pub(crate) fn has_written(&self) -> bool {
        self.phase.load(Ordering::Acquire) == WRITTEN
    }

    /// Notes that it is about to write; false if it was killed before.
    fn note_write(&self) -> bool {
        let order = Ordering::AcqRel;
        let swapped = self
            .phase
            .compare_exchange(0, WRITTEN, order, Ordering::Acquire);
        swapped != Err(KILLED)
    }

    fn is_killed(&self) -> bool {
        self.phase.load(Ordering::Acquire) == KILLED
    }
}

/// Why a run was stopped.
#[derive(Debug)]
pub(super) enum Stop {
    Time,
    Instructions,
    Memory,
    Killed,
    /// The work failed, or has to start over.
    Work(Error),
}

/// See the module documentation.
#[derive(Debug)]
pub(super) struct Meter {
    stopped: AtomicBool,
    why: Mutex<Option<Stop>>,
    used: AtomicU64,
    /// Protocol of replies, as the script set it.
    pub(super) proto: AtomicU8,
    run: Mutex<Option<Run>>,
    most: AtomicU64,
    runs: AtomicU64,
    /// State of the random numbers, the same at every start.
    pub(super) random: AtomicU64,
}

#[derive(Debug)]
struct Run {
    limits: ScriptLimits,
    clock: Arc<dyn Clock>,
    until: Duration,
    running: Arc<Running>,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            stopped: AtomicBool::new(false),
            why: Mutex::new(None),
            used: AtomicU64::new(0),
            proto: AtomicU8::new(2),
            run: Mutex::new(None),
            most: AtomicU64::new(0),
            runs: AtomicU64::new(0),
            random: AtomicU64::new(0),
        }
    }

    pub(super) fn start(
        &self,
        limits: ScriptLimits,
        clock: &Arc<dyn Clock>,
        running: &Arc<Running>,
    ) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.stopped.store(false, Ordering::Relaxed);
        *self.why.lock() = None;
        self.used.store(0, Ordering::Relaxed);
        self.proto.store(2, Ordering::Relaxed);
        self.random.store(super::lib::math::SEED, Ordering::Relaxed);
        self.most
            .store(limits.memory_bytes as u64, Ordering::Relaxed);
        *self.run.lock() = Some(Run {
            limits,
            clock: Arc::clone(clock),
            until: running.since.saturating_add(limits.time),
            running: Arc::clone(running),
        });
    }

    /// Ends the run; why it was stopped, if it was.
    pub(super) fn finish(&self) -> Option<Stop> {
        *self.run.lock() = None;
        self.why.lock().take()
    }

    /// Stops the run; the first reason stays.
    pub(super) fn stop(&self, why: Stop) {
        self.stopped.store(true, Ordering::Relaxed);
        self.why.lock().get_or_insert(why);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Counts work that is not Lua's; false if the run is stopped. Looks at the clock once a period.
    pub(super) fn spend(&self, steps: u64) -> bool {
        let before = self.used.fetch_add(steps, Ordering::Relaxed);
        let period = u64::from(PERIOD);
        if before / period != before.saturating_add(steps) / period {
            self.look(before.saturating_add(steps));
        }
        !self.is_stopped()
    }

    fn look(&self, used: u64) {
        let why = match &*self.run.lock() {
            Some(run) if run.running.is_killed() => Stop::Killed,
            Some(run) if used > run.limits.instructions => Stop::Instructions,
            Some(run) if run.clock.monotonic() > run.until => Stop::Time,
            _ => return,
        };
        self.stop(why);
    }

    /// Notes a write; false if the run was killed before.
    pub(super) fn note_write(&self) -> bool {
        let running = self.run.lock().as_ref().map(|run| Arc::clone(&run.running));
        if running.is_none_or(|running| running.note_write()) {
            return true;
        }
        self.stop(Stop::Killed);
        false
    }

    pub(super) fn has_written(&self) -> bool {
        let run = self.run.lock();
        run.as_ref().is_some_and(|run| run.running.has_written())
    }

    /// Whether something of `bytes` may be built for the script; stops it otherwise.
    pub(super) fn fits(&self, bytes: usize) -> bool {
        if bytes as u64 <= self.most.load(Ordering::Relaxed) {
            return true;
        }
        self.stop(Stop::Memory);
        false
    }

    /// Number of the run among those of the state.
    pub(super) fn run_number(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// Time that a script can measure spans with.
    pub(super) fn clock(&self) -> Duration {
        let run = self.run.lock();
        run.as_ref()
            .map_or(Duration::ZERO, |run| run.clock.monotonic())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::SystemClock;

    #[test]
    fn a_run_ends_at_its_limits_and_by_a_kill_before_it_writes() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let limits = ScriptLimits::new().instructions(10_000);
        let meter = Meter::new();
        let running = Running::new(false, b"a", &[], clock.monotonic(), None);
        meter.start(limits, &clock, &running);
        assert!(meter.spend(9_999));
        assert!(!meter.spend(2_000));
        assert!(matches!(meter.finish(), Some(Stop::Instructions)));

        let running = Running::new(false, b"a", &[], clock.monotonic(), None);
        meter.start(limits, &clock, &running);
        assert!(meter.spend(10) && meter.note_write());
        assert!(!running.kill(), "it has written");
        assert!(meter.finish().is_none());

        let running = Running::new(false, b"a", &[], clock.monotonic(), None);
        meter.start(limits, &clock, &running);
        assert!(running.kill() && running.kill());
        assert!(!meter.note_write());
        assert!(matches!(meter.finish(), Some(Stop::Killed)));

        meter.start(
            limits,
            &clock,
            &Running::new(false, b"a", &[], clock.monotonic(), None),
        );
        assert!(meter.fits(64 << 20) && !meter.fits((64 << 20) + 1));
        assert!(matches!(meter.finish(), Some(Stop::Memory)));
    }
}
