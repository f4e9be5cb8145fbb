//! Opening a store: its settings, and the steps from a directory to a running store.
//!
//! Invariant: nothing in the directory changes before its format is known to be ours and its lock is held.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::address::{Durability, Seq};
use super::checkpoint::Checkpoint;
use super::clock::{Clock, Random, SystemClock};
use super::error::{Error, ErrorKind, Result};
use super::lock::{LockError, LockGuard, acquire};
use super::log::recover::{Known, Recovered, recover};
use super::log::{Log, LogOptions, LogStart};
use super::maintain::Maintenance;
use super::manifest::Manifest;
use super::mount::Core;
use super::registry::Registry;
use super::store::{Inner, Store};
use super::sync::{Mutex, RwLock};
use super::vfs::{MemVfs, Vfs};

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
    pub(super) fn new(dir: &Path, vfs: Arc<dyn Vfs>) -> Self {
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

    /// Settings of a store without files.
    pub(super) fn memory() -> Self {
        Self {
            memory: true,
            durability: Some(Durability::Memory),
            segment_bytes: 4 << 20,
            checkpoint_bytes: 64 << 20,
            ..Self::new(Path::new("/memory"), Arc::new(MemVfs::new()))
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
    /// `maintain` when it suits; what is overdue, an interval sync or space to be given back, the next commits do, 5 ms at a time.
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
        let (vfs, dir) = (&self.vfs, &self.dir);
        vfs.create_dir(dir)
            .map_err(|e| Error::io("create", dir, e))?;
        let lock = acquire(vfs, dir).map_err(|e| match e {
            LockError::Held { pid } => ErrorKind::Locked { pid }.into(),
            LockError::Io(source) => Error::io("lock", &dir.join("LOCK"), source),
        })?;
        let mut manifest = match Manifest::load(vfs, dir)? {
            Some(manifest) => manifest,
            None => create(vfs, dir, &random)?,
        };
        let (base, damaged) = newest_checkpoint(vfs, dir, &manifest)?;
        let known = Known {
            uuid: manifest.uuid,
            clean_seq: manifest.clean_seq,
            checkpoint: base.as_ref(),
        };
        let recovered = recover(vfs, dir, &random, &known)?;
        if !recovered.clean {
            manifest.incarnation = random.next_u64();
            manifest.clean_seq = None;
            manifest.save(vfs, dir)?;
        }
        let report = OpenReport {
            frames: recovered.frames,
            frame_bytes: recovered.frame_bytes,
            bytes_cut: recovered.bytes_cut,
            frames_rewritten: recovered.frames_rewritten,
            checkpoint: base.as_ref().map(|c| c.id),
            checkpoints_damaged: damaged,
            clean: recovered.clean,
            last_seq: recovered.next_seq - 1,
            took: self.clock.monotonic().saturating_sub(started),
        };
        self.assemble(random, lock, manifest, base, recovered, report)
    }

    /// Puts the store together from what opening found.
    fn assemble(
        self,
        random: Arc<Random>,
        lock: LockGuard,
        manifest: Manifest,
        base: Option<Checkpoint>,
        recovered: Recovered,
        report: OpenReport,
    ) -> Result<Store> {
        let floor = replay_floor(&self.vfs, &self.dir, &manifest, base.as_ref());
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
            self.vfs,
            self.dir,
            self.clock.clone(),
            random.clone(),
            options,
            recovered.segments,
            &start,
        );
        let core = Core::new(log, self.clock, random, manifest.hash_seed, self.memory);
        let inner = Inner {
            core: Arc::new(core),
            registry: Mutex::new(Registry::new(manifest, base, recovered.sections, floor)),
            participants: RwLock::default(),
            maintenance: Mutex::new(Maintenance::default()),
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
        let weak = Arc::downgrade(&store.inner);
        store
            .inner
            .core
            .store
            .set(weak)
            .expect("a core is put into one store");
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

/// First segment that any retained checkpoint needs.
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
        .filter_map(|id| Checkpoint::floor_of(vfs, dir, *id, manifest.uuid).ok())
        .fold(base.floor, u32::min)
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
