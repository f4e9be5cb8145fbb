//! The crash harness: an engine supplies operations and a model, and gets every durability test there is.
//!
//! | function | what it tries |
//! |---|---|
//! | [`model()`] | random operations with reopening, checkpoints and collection, against the model |
//! | [`crash_images`] | every state that a power cut at any operation may leave, and power cuts during recovery |
//! | [`replay`] | that the same seed writes the same bytes |
//! | [`io_errors`] | every I/O call failing once or for ever, full disks, failing syncs that drop data |
//! | [`rot()`] | every byte flipped, blocks zeroed and swapped, every truncation |
//! | [`kill()`] | real processes, killed while several threads commit |
//!
//! Invariant: a run is a function of its seed; whatever is violated panics with the seed, the place of the cut and the state it
//! met, which is all that a replay needs. Feature `test-util` only.

mod crash;
pub mod decode;
mod errors;
mod kill;
mod model;
mod rot;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub use crash::{CrashOptions, CrashReport, crash_images, replay};
pub use errors::{ErrorOptions, ErrorReport, io_errors};
pub use kill::{KillOptions, KillReport, is_killed_child, kill, kill_in};
pub use model::{ModelOptions, ModelReport, model};
pub use rot::{RotOptions, RotReport, rot};

use super::builder::StoreBuilder;
use super::clock::{Clock, ManualClock, Random, Timestamp};
use super::error::{Error, ErrorKind};
use super::store::Store;
use super::vfs::Vfs;

/// An engine under test: how to open it, change it and look at it.
pub trait Workload: Sync {
    /// A handle of the engine.
    type Engine;
    /// What a user sees of the engine, as plain data. It must not depend on the time: show deadlines, not what is due.
    type Model: Clone + PartialEq + fmt::Debug;

    /// Changes the store's settings; the harness has chosen the smallest segments, so that edge cases come soon.
    fn configure(&self, builder: StoreBuilder) -> StoreBuilder {
        builder
    }

    /// The state of an engine that was never used.
    fn empty(&self) -> Self::Model;

    /// Mounts the engine; several names on one store must be independent of each other.
    ///
    /// # Errors
    ///
    /// As the engine says.
    fn open(&self, store: &Store, name: &str) -> Result<Self::Engine, Failure>;

    /// Does one random operation, at most one commit, and changes the model alike. It draws from `run.random` alone, so that equal
    /// seeds on equal models give equal operations.
    ///
    /// # Errors
    ///
    /// As the engine says: after [`Failure::Unknown`] the model is as if the operation happened, after any other failure as if
    /// it did not.
    fn step(
        &self,
        engine: &Self::Engine,
        run: &Run<'_>,
        model: &mut Self::Model,
    ) -> Result<Ack, Failure>;

    /// Reads everything a user can see.
    ///
    /// # Errors
    ///
    /// As the engine says.
    fn observe(&self, engine: &Self::Engine) -> Result<Self::Model, Failure>;
}

/// What a [`Workload::step`] may use.
#[derive(Copy, Clone, Debug)]
pub struct Run<'a> {
    /// The only source of chance.
    pub random: &'a Random,
    /// The store's clock; a step may advance it.
    pub clock: &'a ManualClock,
    /// The store.
    pub store: &'a Store,
}

/// What the success of an operation promises.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ack {
    /// Nothing was committed.
    Unchanged,
    /// Committed; lost with the process.
    Memory,
    /// Survives the end of the process.
    Os,
    /// Survives a power cut.
    Disk,
}

/// Why an operation failed.
#[derive(Clone, Debug)]
pub enum Failure {
    /// Nothing happened.
    Refused(String),
    /// It may or may not be found after reopening.
    Unknown(String),
    /// Damage was detected.
    Damaged(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Unknown(why) => write!(f, "unknown outcome: {why}"),
            Self::Damaged(why) => write!(f, "damaged: {why}"),
        }
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let text = error.to_string();
        match error.kind() {
            ErrorKind::OutcomeUnknown { .. } => Self::Unknown(text),
            ErrorKind::Corrupt { .. } | ErrorKind::UnsupportedFormat { .. } => Self::Damaged(text),
            _ => Self::Refused(text),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

/// `count` times the number in the environment variable `UP_TEST_SCALE`, which is 1 where it is not set: the same tests run for
/// seconds on every change and for hours before a release.
pub fn scaled(count: u64) -> u64 {
    let scale = std::env::var("UP_TEST_SCALE")
        .ok()
        .and_then(|text| text.parse().ok());
    count.saturating_mul(scale.unwrap_or(1))
}

/// Directory of the store on simulated disks.
const DIR: &str = "/sim/store";
/// Name the engine is mounted by.
const NAME: &str = "engine";

fn builder<W: Workload>(
    workload: &W,
    vfs: Arc<dyn Vfs>,
    clock: &ManualClock,
    seed: u64,
) -> StoreBuilder {
    let builder = Store::builder(Path::new(DIR))
        .vfs(vfs)
        .clock(Arc::new(clock.clone()))
        .random_seed(seed)
        .segment_bytes(16 * 1024)
        .checkpoint_bytes(40 * 1024)
        .background(false);
    workload.configure(builder)
}

/// Everything a run did to the engine: one entry per commit, the first for the empty engine.
#[derive(Debug)]
struct History<M> {
    entries: Vec<Entry<M>>,
}

#[derive(Debug)]
struct Entry<M> {
    model: M,
    now: Timestamp,
    /// Operations of the disk before the commit was begun.
    begun: usize,
    /// Operations of the disk when it was promised to survive a power cut.
    durable: Option<usize>,
}

impl<M: Clone + PartialEq + fmt::Debug> History<M> {
    fn new(empty: M, now: Timestamp) -> Self {
        Self {
            entries: vec![Entry {
                model: empty,
                now,
                begun: 0,
                durable: Some(0),
            }],
        }
    }

    fn last(&self) -> &Entry<M> {
        self.entries
            .last()
            .expect("the empty engine is always there")
    }

    fn begin(&mut self, model: M, now: Timestamp, at: usize) {
        self.entries.push(Entry {
            model,
            now,
            begun: at,
            durable: None,
        });
    }

    fn mark_durable(&mut self, at: usize) {
        let last = self
            .entries
            .last_mut()
            .expect("the empty engine is always there");
        last.durable.get_or_insert(at);
    }

    /// First and last entry that may be found after a cut at disk operation `cut`.
    fn allowed(&self, cut: usize) -> (usize, usize) {
        let lo = self
            .entries
            .iter()
            .rposition(|e| e.durable.is_some_and(|at| at <= cut));
        let hi = self.entries.iter().rposition(|e| e.begun <= cut);
        (lo.unwrap_or(0), hi.unwrap_or(0))
    }

    /// The newest entry from `lo` to `hi` that looks like `seen`.
    fn find(&self, seen: &M, (lo, hi): (usize, usize)) -> Option<usize> {
        (lo..=hi).rev().find(|at| self.entries[*at].model == *seen)
    }
}

/// Names what is being tried if something panics below, an assertion of the engine included.
struct Trying<F: Fn() -> String>(F);

impl<F: Fn() -> String> Drop for Trying<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = format!("while trying: {}\n", (self.0)());
            let _lost = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
        }
    }
}

/// One random thing the host does between operations.
fn host_action(store: &Store, random: &Random, history_durable: &mut bool) -> Result<(), Failure> {
    match random.below(40) {
        0 => store.checkpoint()?,
        1 | 2 => {
            store.maintain(std::time::Duration::from_millis(1))?;
        }
        3 => {
            store.wait_durable(store.token().seq)?;
            *history_durable = true;
        }
        _ => {}
    }
    Ok(())
}

fn clock_at(now: Timestamp) -> ManualClock {
    ManualClock::new(now)
}

fn start_clock() -> ManualClock {
    ManualClock::default()
}

fn now(clock: &ManualClock) -> Timestamp {
    clock.now()
}
