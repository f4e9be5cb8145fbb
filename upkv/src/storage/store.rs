//! The store as its users hold it: mounting engines, waiting, closing.
//!
//! Lock order: `registry` before every engine lock (mounting applies records under it); engines never call back into the store.

use std::any::Any;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::address::{Durability, MountId, Seq, Token};
use super::builder::{OpenReport, StoreBuilder};
use super::clock::{Clock, Timestamp};
use super::error::{Error, Result};
use super::lock::LockGuard;
use super::maintain::Maintenance;
use super::manifest::NAME_BYTES_MAX;
use super::mount::{Core, Mount};
use super::participant::Participant;
use super::registry::Registry;
use super::sync::{Mutex, RwLock, Signal};
use super::vfs::OsVfs;

/// Options for [`Store::mount_participant`].
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct MountOptions {
    /// The engine's default level; it holds unless the store was given one.
    pub durability: Option<Durability>,
    /// A level the host asked for on this mount; it wins over the store's.
    pub durability_override: Option<Durability>,
}

impl MountOptions {
    /// An engine default.
    pub fn with_default(durability: Durability) -> Self {
        Self {
            durability: Some(durability),
            durability_override: None,
        }
    }
}

pub(crate) struct Inner {
    pub(crate) core: Arc<Core>,
    pub(crate) registry: Mutex<Registry>,
    /// The mounted engines, apart from `registry` so that timers do not wait for a checkpoint.
    pub(super) participants: RwLock<Vec<(MountId, Arc<dyn Participant>)>>,
    pub(crate) maintenance: Mutex<Maintenance>,
    pub(crate) checkpoint_bytes: u64,
    pub(crate) segment_bytes: u64,
    pub(super) durability: Option<Durability>,
    pub(super) background: Option<bool>,
    pub(super) thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    pub(crate) stopping: AtomicBool,
    pub(super) report: OpenReport,
    pub(super) lock: Mutex<Option<LockGuard>>,
}

/// A directory, or memory, with one log that several engines share.
///
/// Cheap to clone; the last handle closes it. Engines are mounted on it by kind and name.
///
/// # Examples
///
/// ```
/// use upkv::storage::Store;
/// let store = Store::memory()?;
/// assert_eq!(store.token().seq, 0);
/// # Ok::<(), upkv::storage::Error>(())
/// ```
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("dir", &self.inner.core.log.dir)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in `dir` with default settings.
    ///
    /// # Errors
    ///
    /// As [`StoreBuilder::open`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::builder(dir).open()
    }

    /// Settings for the store in `dir`.
    pub fn builder(dir: impl AsRef<Path>) -> StoreBuilder {
        StoreBuilder::new(dir.as_ref(), Arc::new(OsVfs))
    }

    /// A store without files: the same engines, the same transactions, nothing kept.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub fn memory() -> Result<Self> {
        Self::memory_builder().open()
    }

    /// Settings for a store without files.
    pub fn memory_builder() -> StoreBuilder {
        StoreBuilder::memory()
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.inner.core
    }

    /// Mounts an engine: for authors of engines, who wrap it in a `mount` of their own. Restores it from the checkpoint and
    /// replays what came after. Mounting the same kind and name again returns the engine that is mounted.
    ///
    /// # Errors
    ///
    /// `Misuse` for an empty name or one over 255 bytes, or if the mounted engine is of another type; `Corrupt` if its data cannot
    /// be read.
    pub fn mount_participant<P: Participant>(
        &self,
        kind: u8,
        name: &str,
        options: MountOptions,
        make: impl FnOnce(Mount) -> Arc<P>,
    ) -> Result<Arc<P>> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(Error::misuse(format!(
                "mount name of {} bytes is not in 1..={NAME_BYTES_MAX}",
                name.len()
            )));
        }
        let core = &self.inner.core;
        core.log.check_alive()?;
        core.log.check_process()?;
        let mut registry = self.inner.registry.lock();
        let at = registry.intern(&core.log, kind, name)?;
        if let Some(mounted) = registry.engines[at].participant.clone() {
            let any: Arc<dyn Any + Send + Sync> = mounted;
            return any.downcast().map_err(|_| {
                Error::misuse(format!(
                    "{name:?} of kind {kind} is mounted as another type"
                ))
            });
        }
        let durability = options
            .durability_override
            .or(self.inner.durability)
            .or(options.durability)
            .unwrap_or(Durability::Interval(Duration::from_secs(1)));
        let engine = &registry.engines[at];
        let mount = Mount {
            core: core.clone(),
            id: engine.id,
            live: engine.live.clone(),
            durability,
        };
        let participant = make(mount);
        registry.recover(&core.log, engine, &*participant)?;
        let engine = &mut registry.engines[at];
        engine.participant = Some(participant.clone());
        engine.pending = Vec::new();
        self.inner
            .participants
            .write()
            .push((engine.id, participant.clone()));
        drop(registry);
        core.note_interval(durability);
        if matches!(durability, Durability::Interval(_)) && self.inner.background.is_none() {
            self.start_thread()?;
        }
        Ok(participant)
    }

    /// Waits until commit `seq` is on disk.
    ///
    /// # Errors
    ///
    /// `Misuse` for a commit that was never made; `OutcomeUnknown` if the sync failed.
    pub fn wait_durable(&self, seq: Seq) -> Result<()> {
        let log = &self.inner.core.log;
        if seq > log.last_seq() {
            return Err(Error::misuse(format!(
                "commit {seq} does not exist, the newest is {}",
                log.last_seq()
            )));
        }
        log.sync(seq)
    }

    /// Whether both handles are of one open store.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// The newest commit as a token.
    pub fn token(&self) -> Token {
        self.inner.core.token(self.inner.core.log.last_seq())
    }

    /// What opening found.
    pub fn report(&self) -> &OpenReport {
        &self.inner.report
    }

    /// The store's clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.core.clock
    }

    /// Waits until `signal` is notified after `ticket` was taken, or `deadline`; meanwhile timers that come due are run, so that a
    /// waiting host needs no thread for them. May return early without reason.
    ///
    /// # Errors
    ///
    /// Those of the timers that were run.
    pub fn wait(
        &self,
        signal: &Arc<Signal>,
        ticket: u64,
        deadline: Option<Timestamp>,
    ) -> Result<()> {
        let next = self.inner.core.next_timer();
        let until = match (deadline, next) {
            (Some(deadline), Some(next)) => Some(deadline.min(next)),
            (one, other) => one.or(other),
        };
        self.inner.core.clock.wait(signal, ticket, until);
        self.fire_timers()
    }

    /// Stops the thread, syncs, takes a checkpoint if the log has grown, and releases the directory. Handles that are left answer
    /// `Closed` when they write.
    ///
    /// # Errors
    ///
    /// The first failure; the store is closed all the same.
    pub fn close(&self) -> Result<()> {
        self.inner.close()
    }

    pub(super) fn start_thread(&self) -> Result<()> {
        let mut thread = self.inner.thread.lock();
        if thread.is_some() {
            return Ok(());
        }
        let weak = Arc::downgrade(&self.inner);
        let spawned = std::thread::Builder::new()
            .name("up-store".to_owned())
            .spawn(move || super::maintain::run(&weak))
            .map_err(|e| Error::io("spawn a thread for", &self.inner.core.log.dir, e))?;
        self.inner.core.background.store(true, Ordering::Release);
        *thread = Some(spawned);
        Ok(())
    }

    pub(crate) fn from_weak(weak: &Weak<Inner>) -> Option<Self> {
        Some(Self {
            inner: weak.upgrade()?,
        })
    }
}

impl Inner {
    pub(crate) fn participants(&self) -> Vec<(MountId, Arc<dyn Participant>)> {
        self.participants.read().clone()
    }

    pub(crate) fn report(&self) -> &OpenReport {
        &self.report
    }

    fn close(&self) -> Result<()> {
        let Some(lock) = self.lock.lock().take() else {
            return Ok(());
        };
        if let Err(error) = self.core.log.check_process() {
            // The thread runs in the parent alone, and the parent's files are not to be touched.
            drop(self.thread.lock().take());
            self.core.log.close();
            return Err(error);
        }
        self.stopping.store(true, Ordering::Release);
        self.core.wake.notify();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            let _panicked = thread.join();
        }
        self.core.background.store(false, Ordering::Release);
        let result = self.settle_all();
        self.core.log.close();
        drop(lock);
        let participants = self.participants.read().clone();
        for (_, participant) in participants {
            participant.closed();
        }
        result
    }

    fn settle_all(&self) -> Result<()> {
        self.core.log.check_alive()?;
        // A store in memory keeps nothing.
        if self.core.memory {
            return Ok(());
        }
        self.core.sync_all()?;
        if self.checkpoint_worthwhile() {
            self.checkpoint()?;
        }
        // Nothing may follow the position that the manifest calls clean.
        self.core.log.close();
        self.core.sync_all()?;
        self.core.log.trim();
        let mut registry = self.registry.lock();
        let last = self.core.log.last_seq();
        if registry.manifest.clean_seq != Some(last) {
            registry.manifest.clean_seq = Some(last);
            registry
                .manifest
                .save(&self.core.log.vfs, &self.core.log.dir)?;
        }
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Best effort: whoever wants to know the outcome calls `close`.
        let _unreported = self.close();
    }
}
