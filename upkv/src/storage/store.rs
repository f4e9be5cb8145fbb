//! The store: opening, mounting engines, closing.
//!
//! Lock order: `registry` before every engine lock (mounting applies records under it); engines never call back into the store.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::address::{Durability, MountId, Seq, Token};
use super::checkpoint::{Checkpoint, SectionRef};
use super::clock::{Clock, Random, SystemClock, Timestamp};
use super::error::{Error, ErrorKind, Result};
use super::live::LiveTable;
use super::lock::{LockError, LockGuard, acquire};
use super::log::recover::{Known, recover};
use super::log::{Log, LogOptions, LogStart, SegmentBytes};
use super::manifest::{Manifest, NAME_BYTES_MAX};
use super::mount::{Core, Mount};
use super::participant::{Participant, Section};
use super::sync::{Mutex, RwLock, Signal};
use super::vfs::{MemVfs, OsVfs, Vfs};

/// Settings for opening a store.
///
/// # Examples
///
/// ```
/// use upkv::storage::{Durability, Store};
/// let dir = std::env::temp_dir().join(format!("up-doc-builder-{}", std::process::id()));
/// let store = Store::builder(&dir).durability(Durability::Disk).background(false).open()?;
/// assert_eq!(store.report().frames, 0);
/// store.close()?;
/// # std::fs::remove_dir_all(&dir).ok();
/// # Ok::<(), upkv::storage::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until it is opened"]
pub struct StoreBuilder {
    dir: PathBuf,
    vfs: Arc<dyn Vfs>,
    clock: Arc<dyn Clock>,
    seed: Option<u64>,
    durability: Option<Durability>,
    segment_bytes: u64,
    checkpoint_bytes: u64,
    buffer_bytes: u64,
    group_window: Duration,
    background: Option<bool>,
    memory: bool,
}

const SEGMENT_BYTES_MIN: u64 = 16 * 1024;
const SEGMENT_BYTES_MAX: u64 = 1 << 30;

impl StoreBuilder {
    fn new(dir: &Path, vfs: Arc<dyn Vfs>) -> Self {
        Self {
            dir: dir.to_path_buf(),
            vfs,
            clock: Arc::new(SystemClock::new()),
            seed: None,
            durability: None,
            segment_bytes: 64 << 20,
            checkpoint_bytes: 256 << 20,
            buffer_bytes: 1 << 20,
            group_window: Duration::from_millis(1),
            background: None,
            memory: false,
        }
    }

    /// Level of all engines that are mounted without one of their own choice. Default: each engine's own default.
    pub fn durability(mut self, level: Durability) -> Self {
        self.durability = Some(level);
        self
    }

    /// Size of a log segment; default 64 MiB, 16 KiB to 1 GiB. A larger commit gets a larger segment.
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// A checkpoint is taken after this much log; default 256 MiB. Bounds the work of opening.
    pub fn checkpoint_bytes(mut self, bytes: u64) -> Self {
        self.checkpoint_bytes = bytes;
        self
    }

    /// Commits of level `Memory` are written once this many bytes wait; default 1 MiB.
    pub fn buffer_bytes(mut self, bytes: u64) -> Self {
        self.buffer_bytes = bytes;
        self
    }

    /// Upper bound on how long a sync waits for commits of writers that shared the previous one; default 1 ms. It never waits longer
    /// than the previous sync took, and a lone writer never waits.
    pub fn group_window(mut self, window: Duration) -> Self {
        self.group_window = window;
        self
    }

    /// Whether a thread runs [`Store::maintain`]. Default: from the first engine at level `Interval` on. Without one, the host calls
    /// `maintain`, and an overdue interval sync is done by the next commit.
    pub fn background(mut self, on: bool) -> Self {
        self.background = Some(on);
        self
    }

    /// The source of time; default [`SystemClock`].
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Seeds all random numbers; default from the operating system.
    pub fn random_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The disk; default the operating system's.
    pub fn vfs(mut self, vfs: Arc<dyn Vfs>) -> Self {
        self.vfs = vfs;
        self
    }

    /// Opens the store, creating it if the directory holds none. All recovery of the log happens here.
    ///
    /// # Errors
    ///
    /// `Locked` if another handle has it open; `Corrupt` with file and offset if bytes that were durable are damaged; and
    /// `UnsupportedFormat`, with nothing changed; `StorageFull`; `Misuse` for settings out of range.
    ///
    /// # Complexity
    ///
    /// Linear in the log since the last checkpoint.
    pub fn open(self) -> Result<Store> {
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            return Err(Error::misuse(format!(
                "segment_bytes {} is not in {SEGMENT_BYTES_MIN}..={SEGMENT_BYTES_MAX}",
                self.segment_bytes
            )));
        }
        let started = self.clock.monotonic();
        let random = Arc::new(self.seed.map_or_else(Random::from_os, Random::seeded));
        let (vfs, dir) = (self.vfs.clone(), self.dir.clone());
        vfs.create_dir(&dir)
            .map_err(|e| Error::io("create", &dir, e))?;
        let lock = acquire(&vfs, &dir).map_err(|e| match e {
            LockError::Held { pid } => ErrorKind::Locked { pid }.into(),
            LockError::Io(source) => Error::io("lock", &dir.join("LOCK"), source),
        })?;
        let mut manifest = match Manifest::load(&vfs, &dir)? {
            Some(manifest) => manifest,
            None => create(&vfs, &dir, &random)?,
        };
        let (base, skipped) = newest_checkpoint(&vfs, &dir, &manifest)?;
        let known = Known {
            uuid: manifest.uuid,
            clean_seq: manifest.clean_seq,
            checkpoint: base.as_ref(),
        };
        let recovered = recover(&vfs, &dir, &random, &known)?;
        if !recovered.clean {
            manifest.incarnation = random.next_u64();
            manifest.clean_seq = None;
            manifest.save(&vfs, &dir)?;
        }
        let report = OpenReport {
            frames: recovered.frames,
            frame_bytes: recovered.frame_bytes,
            bytes_cut: recovered.bytes_cut,
            frames_rewritten: recovered.frames_rewritten,
            checkpoint: base.as_ref().map(|c| c.id),
            checkpoints_damaged: skipped,
            clean: recovered.clean,
            last_seq: recovered.next_seq - 1,
            took: self.clock.monotonic().saturating_sub(started),
        };
        let floor = replay_floor(&vfs, &dir, &manifest, base.as_ref());
        let options = LogOptions {
            segment_bytes: self.segment_bytes,
            buffer_bytes: self.buffer_bytes,
            group_window: self.group_window,
        };
        let start = LogStart {
            next_seq: recovered.next_seq,
            next_segment: recovered.next_segment,
            incarnation: manifest.incarnation,
            uuid: manifest.uuid,
        };
        let log = Log::new(
            vfs,
            dir,
            self.clock.clone(),
            random.clone(),
            options,
            recovered.segments,
            &start,
        );
        let core = Core::new(log, self.clock, random, manifest.hash_seed, self.memory);
        let registry = Registry::new(manifest, base, recovered.sections, floor);
        let inner = Inner {
            core: Arc::new(core),
            registry: Mutex::new(registry),
            participants: RwLock::default(),
            maintenance: Mutex::new(super::maintain::Maintenance::default()),
            checkpoint_bytes: self.checkpoint_bytes,
            segment_bytes: self.segment_bytes,
            durability: self.durability,
            background: self.background,
            thread: Mutex::new(None),
            stopping: AtomicBool::new(false),
            report,
            lock: Mutex::new(Some(lock)),
        };
        let store = Store {
            inner: Arc::new(inner),
        };
        store.inner.core.log.keep_reserve();
        if self.background == Some(true) {
            store.start_thread()?;
        }
        Ok(store)
    }
}

fn create(vfs: &Arc<dyn Vfs>, dir: &Path, random: &Random) -> Result<Manifest> {
    for sub in ["seg", "ckp"] {
        let sub = dir.join(sub);
        let entries = if vfs.exists(&sub) {
            vfs.list(&sub).map_err(|e| Error::io("list", &sub, e))?
        } else {
            Vec::new()
        };
        // A store always has its manifest before its first segment: these belong to a store whose manifest is gone.
        if let Some(entry) = entries.first() {
            let what = format!("the manifest is missing and {} is there", entry.name);
            return Err(Error::corrupt(dir.join("MANIFEST"), 0, what));
        }
        vfs.create_dir(&sub)
            .map_err(|e| Error::io("create", &sub, e))?;
    }
    let mut uuid = [0; 16];
    uuid[..8].copy_from_slice(&random.next_u64().to_le_bytes());
    uuid[8..].copy_from_slice(&random.next_u64().to_le_bytes());
    let manifest = Manifest {
        uuid,
        hash_seed: random.next_u64(),
        incarnation: random.next_u64(),
        clean_seq: Some(0),
        mounts: Vec::new(),
        checkpoints: Vec::new(),
        next_checkpoint: 1,
    };
    manifest.save(vfs, dir)?;
    if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
        vfs.sync_dir(parent)
            .map_err(|e| Error::io("sync", parent, e))?;
    }
    Ok(manifest)
}

/// The newest checkpoint that verifies, and how many newer ones did not.
fn newest_checkpoint(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    manifest: &Manifest,
) -> Result<(Option<Checkpoint>, u64)> {
    let mut damaged = 0;
    let mut first_error = None;
    for id in manifest.checkpoints.iter().rev() {
        match Checkpoint::load(vfs, dir, *id, manifest.uuid) {
            Ok(checkpoint) => return Ok((Some(checkpoint), damaged)),
            Err(error) if error.is_corrupt() => {
                damaged += 1;
                first_error.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    // Without any, the log alone would bring back what was collected: refuse.
    first_error.map_or(Ok((None, 0)), Err)
}

/// First segment that any retained checkpoint replays from.
fn replay_floor(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    manifest: &Manifest,
    base: Option<&Checkpoint>,
) -> u32 {
    let Some(base) = base else { return 0 };
    // A checkpoint that does not even have a header cannot be used for recovery, so it holds nothing back.
    let others = manifest.checkpoints.iter().filter(|id| **id != base.id);
    others
        .filter_map(|id| Checkpoint::replay_from(vfs, dir, *id, manifest.uuid).ok())
        .map(|from| from.segment)
        .fold(base.from.segment, u32::min)
}

/// What opening found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenReport {
    /// Commits found after the checkpoint.
    pub frames: u64,
    /// Their bytes.
    pub frame_bytes: u64,
    /// Bytes of a torn tail that were cut off: never acknowledged as durable.
    pub bytes_cut: u64,
    /// Commits that were copied to a new, synced segment because they were written but not known to be synced.
    pub frames_rewritten: u64,
    /// Number of the checkpoint used.
    pub checkpoint: Option<u64>,
    /// Newer checkpoints that did not verify.
    pub checkpoints_damaged: u64,
    /// Whether the store had been closed cleanly.
    pub clean: bool,
    /// Newest commit.
    pub last_seq: Seq,
    /// Time the opening of the log took; engines load when they are mounted.
    pub took: Duration,
}

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
    participants: RwLock<Vec<(MountId, Arc<dyn Participant>)>>,
    pub(crate) maintenance: Mutex<super::maintain::Maintenance>,
    pub(crate) checkpoint_bytes: u64,
    pub(crate) segment_bytes: u64,
    durability: Option<Durability>,
    background: Option<bool>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    pub(crate) stopping: AtomicBool,
    report: OpenReport,
    lock: Mutex<Option<LockGuard>>,
}

/// The engines of the store, mounted or not.
pub(crate) struct Registry {
    pub(crate) manifest: Manifest,
    pub(crate) engines: Vec<Engine>,
    pub(crate) base: Option<Arc<Checkpoint>>,
    /// First segment that a retained checkpoint replays from; nothing from there on is collected.
    pub(crate) floor: u32,
}

/// One engine of the store.
pub(crate) struct Engine {
    pub(crate) id: MountId,
    pub(crate) kind: u8,
    pub(crate) name: String,
    pub(crate) participant: Option<Arc<dyn Participant>>,
    pub(crate) live: Arc<LiveTable>,
    /// Commits that the engine has not taken in, because it is not mounted.
    pub(crate) pending: Vec<SectionRef>,
}

impl Registry {
    fn new(
        manifest: Manifest,
        base: Option<Checkpoint>,
        sections: Vec<(u16, SectionRef)>,
        floor: u32,
    ) -> Self {
        let mut engines: Vec<Engine> = manifest
            .mounts
            .iter()
            .map(|(id, kind, name)| Engine {
                id: MountId(*id),
                kind: *kind,
                name: name.clone(),
                participant: None,
                live: Arc::default(),
                pending: base
                    .as_ref()
                    .and_then(|base| base.part(MountId(*id)))
                    .map_or_else(Vec::new, |part| part.pending.clone()),
            })
            .collect();
        for (mount, section) in sections {
            if let Some(engine) = engines.iter_mut().find(|e| e.id.0 == mount) {
                engine.pending.push(section);
            }
        }
        Self {
            manifest,
            engines,
            base: base.map(Arc::new),
            floor,
        }
    }
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
        let builder = StoreBuilder::new(Path::new("/memory"), Arc::new(MemVfs::new()));
        StoreBuilder {
            memory: true,
            durability: Some(Durability::Memory),
            segment_bytes: 4 << 20,
            checkpoint_bytes: 64 << 20,
            ..builder
        }
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
        let mut registry = self.inner.registry.lock();
        let at = match registry
            .engines
            .iter()
            .position(|e| e.kind == kind && e.name == name)
        {
            Some(at) => at,
            None => self.intern(&mut registry, kind, name)?,
        };
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
        self.recover_participant(&registry, engine, &*participant)?;
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

    fn intern(&self, registry: &mut Registry, kind: u8, name: &str) -> Result<usize> {
        let id = u16::try_from(registry.engines.len())
            .map_err(|_| Error::misuse("a store holds at most 65,535 engines"))?;
        let log = &self.inner.core.log;
        let mut manifest = registry.manifest.clone();
        manifest.mounts.push((id, kind, name.to_owned()));
        manifest.save(&log.vfs, &log.dir)?;
        registry.manifest = manifest;
        registry.engines.push(Engine {
            id: MountId(id),
            kind,
            name: name.to_owned(),
            participant: None,
            live: Arc::default(),
            pending: Vec::new(),
        });
        Ok(registry.engines.len() - 1)
    }

    fn recover_participant(
        &self,
        registry: &Registry,
        engine: &Engine,
        participant: &dyn Participant,
    ) -> Result<()> {
        let log = &self.inner.core.log;
        let mut folded = 0;
        if let Some(base) = &registry.base
            && let Some(part) = base.part(engine.id)
        {
            participant.restore(&mut base.reader(part))?;
            folded = part.folded;
        }
        for section in engine.pending.iter().filter(|section| section.seq > folded) {
            let damaged = || {
                let path = super::log::path_of(&log.dir, section.segment);
                Error::corrupt(
                    path,
                    u64::from(section.offset),
                    "a commit to replay cannot be read",
                )
            };
            let segment = log.segments.get(section.segment).ok_or_else(damaged)?;
            let map = segment.map().ok_or_else(damaged)?;
            let header =
                super::format::verified_frame(map.as_slice(), segment.salt, section.offset)
                    .filter(|header| header.seq == section.seq)
                    .ok_or_else(damaged)?;
            let frame = SegmentBytes::new(
                segment.clone(),
                section.offset as usize,
                header.len as usize,
            )
            .ok_or_else(damaged)?;
            let frame: &[u8] = frame.as_ref();
            participant.apply(&Section::new(
                section.seq,
                frame,
                section.segment,
                section.offset,
                engine.id,
            ))?;
        }
        for (segment, _) in engine.live.all() {
            if !log.segments.contains(segment) {
                let path = super::log::path_of(&log.dir, segment);
                return Err(Error::corrupt(
                    path,
                    0,
                    "a segment with live records is missing",
                ));
            }
        }
        participant.recovered()
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

    fn start_thread(&self) -> Result<()> {
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
