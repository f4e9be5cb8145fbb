//! The append-only log: one order of commits in preallocated segment files.
//!
//! A commit is copied into memory under the `head` lock, which fixes its number and place ([`Log::append`]), and reaches the file
//! and the disk later, from whichever caller needs it there first ([`Log::settle`]): group commit with leader and followers and
//! no thread of its own.
//!
//! Lock order: `sync` (leadership, a flag) -> `write` (file writes, in log order) -> `head` (memory only). Engine locks come before
//! all of them. Only `write` and the `sync` flag span I/O; `head` does not, so appending never waits for a disk except where a
//! segment ends.
//!
//! Invariants: bytes of commit n are written before those of n + 1; `last >= written >= durable`; after a failed write or sync
//! nothing is written again ([`Log::poison`]). Tested through the crash harness and `tests/store_*.rs`.

mod append;
mod frame;
mod read;
pub(crate) mod recover;
pub(crate) mod scan;
mod segment;
mod settle;
pub(crate) mod tail;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;

pub use frame::{Commit, Frame};
pub(crate) use read::SegmentBytes;
pub(crate) use segment::{Segment, SegmentTable, id_of, path_of};

use super::address::Seq;
use super::clock::{Clock, Random};
use super::error::{Error, ErrorKind, Result};
use super::process::Process;
use super::sync::{Condvar, Mutex};
use super::vfs::Vfs;

/// Settings of the log, all with defaults in [`super::StoreBuilder`].
#[derive(Clone, Debug)]
pub(crate) struct LogOptions {
    pub(crate) segment_bytes: u64,
    /// Commits of level `Memory` write once this much waits.
    pub(crate) buffer_bytes: u64,
    /// How long a sync leader waits for company when the previous group had some.
    pub(crate) group_window: Duration,
}

/// The log of one store.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) dir: PathBuf,
    pub(crate) uuid: [u8; 16],
    pub(crate) incarnation: u64,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<Random>,
    pub(crate) segments: SegmentTable,
    options: LogOptions,
    head: Mutex<Head>,
    write: Mutex<Writer>,
    sync: Mutex<SyncState>,
    synced: Condvar,
    /// Highest commit in memory, in the file, and on disk.
    last: AtomicU64,
    written: AtomicU64,
    durable: AtomicU64,
    failure: OnceLock<String>,
    /// The process that opened the log.
    owner: Process,
    closed: std::sync::atomic::AtomicBool,
    /// A segment was filled since the last upkeep.
    pub(crate) filled: std::sync::atomic::AtomicBool,
    pub(crate) counters: Counters,
}

/// The end of the log, in memory.
#[derive(Debug)]
struct Head {
    /// `None` until the first commit of this opening.
    segment: Option<Arc<Segment>>,
    /// Where the next frame goes.
    offset: u64,
    next_seq: Seq,
    next_segment: u32,
    pending: Pending,
    /// Emptied buffers for the next `pending`.
    spare: Pending,
}

/// Bytes that are in the order but not yet in the file.
#[derive(Debug, Default)]
struct Pending {
    start: u64,
    bytes: u64,
    chunks: Vec<Chunk>,
}

#[derive(Debug)]
enum Chunk {
    Copied(Vec<u8>),
    Shared(Bytes),
}

impl Chunk {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// State of the file-writing side; its lock keeps writes in log order.
#[derive(Debug, Default)]
struct Writer {
    /// Bytes of the head segment that are in the file.
    end: u64,
}

#[derive(Debug, Default)]
struct SyncState {
    leading: bool,
    /// Commits in the group of the previous sync: how much company to expect.
    last_group: u64,
    /// Callers that wait for the running sync.
    waiting: u64,
    last_sync: Duration,
}

/// Counts since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) bytes_written: AtomicU64,
    pub(crate) segments_created: AtomicU64,
    pub(crate) segments_removed: AtomicU64,
    pub(crate) bytes_relocated: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        // Statistics only: no other memory depends on the value.
        counter.fetch_add(n, Ordering::Relaxed);
    }
}

/// Where the log stood when it was opened.
#[derive(Debug)]
pub(crate) struct LogStart {
    pub(crate) next_seq: Seq,
    pub(crate) next_segment: u32,
    pub(crate) incarnation: u64,
    pub(crate) uuid: [u8; 16],
}

impl Log {
    pub(crate) fn new(
        vfs: Arc<dyn Vfs>,
        dir: PathBuf,
        clock: Arc<dyn Clock>,
        random: Arc<Random>,
        options: LogOptions,
        segments: SegmentTable,
        start: &LogStart,
    ) -> Self {
        let last = start.next_seq - 1;
        Self {
            vfs,
            dir,
            uuid: start.uuid,
            incarnation: start.incarnation,
            clock,
            random,
            segments,
            options,
            head: Mutex::new(Head {
                segment: None,
                offset: 0,
                next_seq: start.next_seq,
                next_segment: start.next_segment,
                pending: Pending::default(),
                spare: Pending::default(),
            }),
            write: Mutex::new(Writer::default()),
            sync: Mutex::new(SyncState::default()),
            synced: Condvar::new(),
            last: AtomicU64::new(last),
            written: AtomicU64::new(last),
            durable: AtomicU64::new(last),
            failure: OnceLock::new(),
            owner: Process::current(),
            filled: std::sync::atomic::AtomicBool::new(false),
            closed: std::sync::atomic::AtomicBool::new(false),
            counters: Counters::default(),
        }
    }

    /// Highest commit number handed out. Under an engine's lock this covers every commit of that engine.
    pub(crate) fn last_seq(&self) -> Seq {
        // Acquire pairs with the Release in `append`: whoever sees the number sees what was published with it.
        self.last.load(Ordering::Acquire)
    }

    pub(crate) fn written_seq(&self) -> Seq {
        self.written.load(Ordering::Acquire)
    }

    pub(crate) fn durable_seq(&self) -> Seq {
        self.durable.load(Ordering::Acquire)
    }

    /// Stops all writing for the life of this handle.
    #[cold]
    pub(crate) fn poison(&self, cause: &Error) {
        let _first_wins = self.failure.set(cause.to_string());
        // Waiters must not sleep on a sync that will never come.
        let _state = self.sync.lock();
        self.synced.notify_all();
    }

    pub(crate) fn check_alive(&self) -> Result<()> {
        if let Some(cause) = self.failure.get() {
            return Err(ErrorKind::Poisoned {
                cause: cause.clone(),
            }
            .into());
        }
        // Acquire pairs with the Release in `close`.
        if self.closed.load(Ordering::Acquire) {
            return Err(ErrorKind::Closed.into());
        }
        Ok(())
    }

    /// A forked child shares the file offsets and the lock of its parent: it must not write.
    pub(crate) fn check_process(&self) -> Result<()> {
        if self.owner.is_current() {
            return Ok(());
        }
        let parent = self.owner.id();
        Err(ErrorKind::Forked { parent }.into())
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.failure.get().is_some()
    }

    /// Refuses everything that writes from now on.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// The place after the newest commit: (segment, offset, next commit number). `None` before the first commit of this opening.
    pub(crate) fn position(&self) -> (Option<u32>, u64, Seq) {
        let head = self.head.lock();
        (
            head.segment.as_ref().map(|s| s.id),
            head.offset,
            head.next_seq,
        )
    }

    pub(crate) fn next_segment(&self) -> u32 {
        self.head.lock().next_segment
    }
}
