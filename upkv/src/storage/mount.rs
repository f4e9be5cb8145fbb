//! An engine's handle to the store, and the parts of the store that engines share.
//!
//! Invariant: nothing here knows the engines, so an engine may own its [`Mount`] without a cycle.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;

use super::address::{Address, Durability, MountId, Seq, Token};
use super::clock::{Clock, Random, Timestamp};
use super::error::Result;
use super::live::LiveTable;
use super::log::{Commit, Frame, Log};
use super::store::{Inner, Store};
use super::sync::{Mutex, Signal};
use super::transaction::Hold;
use super::wheel::{TimerId, Wheel};

/// Share of maintenance that a commit does when no thread does it.
const UPKEEP: Duration = Duration::from_millis(5);

/// What all engines of a store share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) log: Log,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<Random>,
    pub(crate) hash_seed: u64,
    pub(crate) memory: bool,
    timers: Mutex<Wheel<(MountId, u64)>>,
    /// Woken when something became due earlier than known: a nearer timer, a first unsynced commit, closing.
    pub(crate) wake: Arc<Signal>,
    /// Deadline of the first timer in ms; `u64::MAX` without one. A hint for waking, the wheel decides.
    next_timer: AtomicU64,
    /// Shortest sync interval in use in ms; `u64::MAX` without one.
    interval_ms: AtomicU64,
    /// Monotonic ms of the last sync that covered everything then written.
    synced_ms: AtomicU64,
    /// Whether a thread keeps the interval, so that callers need not.
    pub(crate) background: std::sync::atomic::AtomicBool,
    /// For upkeep; empty until the store is put together.
    pub(crate) store: OnceLock<Weak<Inner>>,
}

impl Core {
    pub(crate) fn new(
        log: Log,
        clock: Arc<dyn Clock>,
        random: Arc<Random>,
        hash_seed: u64,
        memory: bool,
    ) -> Self {
        let timers = Mutex::new(Wheel::new(clock.now()));
        let now = millis(clock.monotonic());
        Self {
            log,
            clock,
            random,
            hash_seed,
            memory,
            timers,
            wake: Signal::new(),
            next_timer: AtomicU64::new(u64::MAX),
            interval_ms: AtomicU64::new(u64::MAX),
            synced_ms: AtomicU64::new(now),
            background: std::sync::atomic::AtomicBool::new(false),
            store: OnceLock::new(),
        }
    }

    /// Removes and returns the timers that are due.
    pub(crate) fn due_timers(&self, now: Timestamp) -> Vec<(Timestamp, (MountId, u64))> {
        let mut due = Vec::new();
        if self.next_timer.load(Ordering::Acquire) > now.as_millis() {
            return due;
        }
        let mut wheel = self.timers.lock();
        wheel.advance(now, &mut due);
        let next = wheel.next_deadline().map_or(u64::MAX, Timestamp::as_millis);
        self.next_timer.store(next, Ordering::Release);
        due
    }

    /// When the first timer is due.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        if self.next_timer.load(Ordering::Acquire) == u64::MAX {
            return None;
        }
        // The hint may be of a timer that was cancelled.
        let wheel = self.timers.lock();
        let next = wheel.next_deadline();
        let hint = next.map_or(u64::MAX, Timestamp::as_millis);
        self.next_timer.store(hint, Ordering::Release);
        next
    }

    pub(crate) fn note_interval(&self, level: Durability) {
        if let Durability::Interval(every) = level {
            self.interval_ms
                .fetch_min(millis(every).max(1), Ordering::AcqRel);
        }
    }

    /// Shortest sync interval in use.
    pub(crate) fn interval(&self) -> Option<Duration> {
        let every = self.interval_ms.load(Ordering::Acquire);
        (every != u64::MAX).then(|| Duration::from_millis(every))
    }

    /// How long the interval level still allows unsynced commits to wait; `None` if nothing needs syncing.
    pub(crate) fn sync_due_in(&self) -> Option<Duration> {
        let every = self.interval_ms.load(Ordering::Acquire);
        if every == u64::MAX || self.log.durable_seq() >= self.log.last_seq() {
            return None;
        }
        let since =
            millis(self.clock.monotonic()).saturating_sub(self.synced_ms.load(Ordering::Acquire));
        Some(Duration::from_millis(every.saturating_sub(since)))
    }

    /// Syncs everything and starts the interval anew.
    pub(crate) fn sync_all(&self) -> Result<()> {
        let now = millis(self.clock.monotonic());
        self.log.sync(self.log.last_seq())?;
        self.synced_ms.store(now, Ordering::Release);
        Ok(())
    }

    pub(crate) fn settle(&self, seq: Seq, level: Durability) -> Result<()> {
        self.log.settle(seq, level)?;
        if let Durability::Interval(_) = level
            && !self.background.load(Ordering::Acquire)
            && self.sync_due_in() == Some(Duration::ZERO)
        {
            self.sync_all()?;
        }
        if self.log.filled.load(Ordering::Relaxed) {
            self.keep_house();
        }
        Ok(())
    }

    /// Without a thread, whoever fills a segment does some of the maintenance, so that a host that never calls
    /// [`super::Store::maintain`] does not run out of space.
    #[cold]
    fn keep_house(&self) {
        if self.background.load(Ordering::Acquire) || Hold::is_held() {
            return;
        }
        let Some(store) = self.store.get().and_then(Store::from_weak) else {
            return;
        };
        self.log.filled.store(false, Ordering::Relaxed);
        // The commit holds whatever comes of this; a failure is met again by the next call of the host.
        if let Ok(progress) = store.maintain(UPKEEP)
            && progress.more
        {
            self.log.filled.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn token(&self, seq: Seq) -> Token {
        Token {
            incarnation: self.log.incarnation,
            seq,
        }
    }
}

pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// What an engine writes, reads and waits through. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Mount {
    pub(crate) core: Arc<Core>,
    pub(crate) id: MountId,
    pub(crate) live: Arc<LiveTable>,
    pub(crate) durability: Durability,
}

impl Mount {
    /// The engine's number in this store.
    pub fn id(&self) -> MountId {
        self.id
    }

    /// An empty commit to fill.
    pub fn frame(&self) -> Frame {
        Frame::new()
    }

    /// Gives the frame its place in the order. Call it under the engine's lock, then publish the change in memory; after an error
    /// nothing happened and nothing may be published.
    ///
    /// # Errors
    ///
    /// `StorageFull`, `Poisoned`, `Closed`, `TooLarge` over 1 GiB, or `Io`.
    ///
    /// # Blocking
    ///
    /// Memory only, except where a segment ends: then one sync of the old and the allocation of a new one.
    pub fn append(&self, frame: &mut Frame) -> Result<Commit> {
        self.core.log.append(frame)
    }

    /// Takes a place in the order for a change that is not logged: what a store without files holds, nobody reads back.
    pub fn pass(&self) -> Commit {
        debug_assert!(self.is_memory(), "what has files is logged");
        self.core.log.pass()
    }

    /// Waits until the commit holds at `level`, or at the engine's own level. Call it with no lock held.
    ///
    /// # Errors
    ///
    /// `OutcomeUnknown` if the bytes could not be written or synced.
    pub fn settle(&self, commit: &Commit, level: Option<Durability>) -> Result<()> {
        self.settle_up_to(commit.seq, level)
    }

    /// As [`Mount::settle`] for all commits up to a number.
    ///
    /// # Errors
    ///
    /// As [`Mount::settle`].
    pub fn settle_up_to(&self, seq: Seq, level: Option<Durability>) -> Result<()> {
        self.core.settle(seq, level.unwrap_or(self.durability))
    }

    /// Makes every commit so far survive a power loss.
    ///
    /// # Errors
    ///
    /// `Poisoned` or `Io` if the log cannot be synced.
    pub fn sync(&self) -> Result<()> {
        self.core.settle(self.core.log.last_seq(), Durability::Disk)
    }

    /// The body of the record at `at`, verified; a view into the mapped segment where that is sealed.
    ///
    /// # Errors
    ///
    /// `Corrupt` with file and offset if the bytes are not what was written.
    pub fn read(&self, at: Address) -> Result<Bytes> {
        self.core.log.read(at)
    }

    /// Counts the record as live: its segment is kept until it is released or moved.
    pub fn retain(&self, at: Address) {
        self.live.retain(at);
    }

    /// Counts the record as dead.
    pub fn release(&self, at: Address) {
        self.live.release(at);
    }

    /// Whether the record is in a sealed, mapped segment, so that reading it copies nothing and waits for no write.
    pub fn is_sealed(&self, at: Address) -> bool {
        self.core.log.is_sealed(at)
    }

    /// Bytes this engine holds live in the log.
    pub fn live_bytes(&self) -> u64 {
        self.live.all().iter().map(|(_, bytes)| bytes).sum()
    }

    /// Calls [`super::Participant::timer`] with `token` at `at` or soon after, never before.
    pub fn set_timer(&self, at: Timestamp, token: u64) -> TimerId {
        let mut wheel = self.core.timers.lock();
        let id = wheel.insert(at, (self.id, token));
        let before = self.core.next_timer.load(Ordering::Acquire);
        if at.as_millis() < before {
            self.core
                .next_timer
                .store(at.as_millis(), Ordering::Release);
            drop(wheel);
            self.core.wake.notify();
        }
        id
    }

    /// Forgets a timer; `false` if it fired already.
    pub fn cancel_timer(&self, id: TimerId) -> bool {
        self.core.timers.lock().cancel(id).is_some()
    }

    /// Wall time, which does not go back within one handle.
    pub fn now(&self) -> Timestamp {
        self.core.clock.now()
    }

    /// The store's clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.core.clock
    }

    /// A random number from the store's source. Never use it in `apply` or `restore`.
    pub fn random(&self) -> u64 {
        self.core.random.next_u64()
    }

    /// Newest commit number. Under the engine's own lock it covers all commits of this engine.
    pub fn last_seq(&self) -> Seq {
        self.core.log.last_seq()
    }

    /// Highest commit known durable.
    pub fn durable_seq(&self) -> Seq {
        self.core.log.durable_seq()
    }

    /// The token of commit `seq`.
    pub fn token(&self, seq: Seq) -> Token {
        self.core.token(seq)
    }

    /// The engine's default level.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// Whether the store has no files.
    pub fn is_memory(&self) -> bool {
        self.core.memory
    }

    /// Per-store seed, kept in the manifest: the only seed for hashes that reach a file.
    pub fn hash_seed(&self) -> u64 {
        self.core.hash_seed
    }
}
