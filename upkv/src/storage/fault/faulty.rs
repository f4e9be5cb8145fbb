//! The disk that fails on plan.
//!
//! Invariant: every call on the disk and its files is counted once, in order, whether it fails or not, so "fail operation n" for
//! n = 0, 1, 2 and so on reaches every call that a deterministic run makes.

use std::any::Any;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use crate::storage::mapped::Map;
use crate::storage::sync::Mutex;
use crate::storage::vfs::{DirId, Entry, OpenHow, Vfs, VfsFile};

/// A kind of operation, for plans.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the call of that name")]
pub enum OpKind {
    Open,
    Create,
    Rename,
    Unlink,
    Link,
    List,
    CreateDir,
    SyncDir,
    Lock,
    FreeBytes,
    Identity,
    Write,
    Read,
    Len,
    Allocate,
    SetLen,
    Sync,
    Map,
}

impl OpKind {
    /// The operations that can run out of space.
    pub const TAKES_SPACE: &[Self] = &[
        Self::Create,
        Self::Rename,
        Self::Link,
        Self::CreateDir,
        Self::Write,
        Self::Allocate,
    ];
}

/// How an operation fails.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `EIO`; nothing is done.
    Io,
    /// `ENOSPC`; nothing is done.
    NoSpace,
    /// A write stores the first half of its bytes, then `EIO`; any other operation as [`Io`](Self::Io).
    Short,
    /// A sync answers `EIO` and the file falls back to what it was at its last sync, as a kernel that marks the pages clean and
    /// then drops them does; any other operation as [`Io`](Self::Io).
    SyncDrops,
    /// The process ends at once, with nothing unwound or flushed.
    Abort,
}

/// When to fail, and how.
#[derive(Copy, Clone, Debug)]
pub struct Plan {
    /// Only operations of these kinds count and fail; empty for all.
    pub kinds: &'static [OpKind],
    /// Number of the first operation that fails, from 0.
    pub at: u64,
    /// Whether all counted operations after it fail too.
    pub forever: bool,
    /// How.
    pub fault: Fault,
}

/// A disk around another one, with a [`Plan`] of failures. Clones share the plan.
///
/// # Examples
///
/// ```
/// use std::{path::Path, sync::Arc};
/// use upkv::storage::fault::{Fault, FaultyVfs, OpKind, Plan};
/// use upkv::storage::vfs::{MemVfs, OpenHow, Vfs};
/// let disk = FaultyVfs::new(Arc::new(MemVfs::new()));
/// disk.arm(Plan { kinds: &[OpKind::Create], at: 1, forever: false, fault: Fault::NoSpace });
/// disk.open(Path::new("a"), OpenHow::Create)?;
/// let error = disk.open(Path::new("b"), OpenHow::Create).unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
/// disk.open(Path::new("b"), OpenHow::Create)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FaultyVfs {
    inner: Arc<dyn Vfs>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    plan: Option<Plan>,
    /// Operations of the planned kinds since the plan was made.
    counted: u64,
    fired: u64,
}

#[derive(Debug)]
struct FaultyFile {
    inner: Arc<dyn VfsFile>,
    state: Arc<Mutex<State>>,
    /// What unsynced writes replaced, oldest first. Kept per handle: a store writes a file through one handle.
    replaced: Mutex<Vec<(u64, Vec<u8>)>>,
}

impl FaultyVfs {
    /// Passes everything on to `inner` until a plan is made.
    pub fn new(inner: Arc<dyn Vfs>) -> Self {
        Self {
            inner,
            state: Arc::default(),
        }
    }

    /// Makes a plan, replacing the last, and starts counting at 0.
    pub fn arm(&self, plan: Plan) {
        *self.state.lock() = State {
            plan: Some(plan),
            counted: 0,
            fired: 0,
        };
    }

    /// Ends the plan: the disk is healthy again, the counts stay.
    pub fn heal(&self) {
        self.state.lock().plan = None;
    }

    /// Operations that failed under the last plan.
    pub fn fired(&self) -> u64 {
        self.state.lock().fired
    }
}

fn next(state: &Mutex<State>, kind: OpKind) -> Option<Fault> {
    let mut state = state.lock();
    let plan = state.plan?;
    if !plan.kinds.is_empty() && !plan.kinds.contains(&kind) {
        return None;
    }
    let number = state.counted;
    state.counted += 1;
    let fails = number == plan.at || plan.forever && number > plan.at;
    if !fails {
        return None;
    }
    state.fired += 1;
    if plan.fault == Fault::Abort {
        std::process::abort();
    }
    Some(plan.fault)
}

fn check(state: &Mutex<State>, kind: OpKind) -> io::Result<()> {
    next(state, kind).map_or(Ok(()), |fault| Err(error(fault)))
}

fn error(fault: Fault) -> io::Error {
    match fault {
        Fault::NoSpace => Errno::NOSPC.into(),
        Fault::Io | Fault::Short | Fault::SyncDrops | Fault::Abort => Errno::IO.into(),
    }
}

impl Vfs for FaultyVfs {
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Arc<dyn VfsFile>> {
        let kind = if how == OpenHow::Create {
            OpKind::Create
        } else {
            OpKind::Open
        };
        check(&self.state, kind)?;
        let inner = self.inner.open(path, how)?;
        let (state, replaced) = (Arc::clone(&self.state), Mutex::default());
        Ok(Arc::new(FaultyFile {
            inner,
            state,
            replaced,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        check(&self.state, OpKind::Rename)?;
        self.inner.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        check(&self.state, OpKind::Unlink)?;
        self.inner.unlink(path)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        check(&self.state, OpKind::Link)?;
        self.inner.link(from, to)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        check(&self.state, OpKind::List)?;
        self.inner.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        check(&self.state, OpKind::CreateDir)?;
        self.inner.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        check(&self.state, OpKind::SyncDir)?;
        self.inner.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        check(&self.state, OpKind::Lock)?;
        self.inner.lock(path)
    }

    fn exists(&self, path: &Path) -> bool {
        self.inner.exists(path)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        check(&self.state, OpKind::FreeBytes)?;
        self.inner.free_bytes(dir)
    }

    fn identity(&self, dir: &Path) -> io::Result<DirId> {
        check(&self.state, OpKind::Identity)?;
        self.inner.identity(dir)
    }
}

impl FaultyFile {
    /// Notes what a write is about to replace.
    fn remember(&self, off: u64, len: usize) -> io::Result<()> {
        let mut old = vec![0; len];
        self.inner.read_at(off, &mut old)?;
        self.replaced.lock().push((off, old));
        Ok(())
    }

    /// Puts back what unsynced writes replaced; the length stays.
    fn drop_unsynced(&self) -> io::Result<()> {
        let len = self.inner.len()?;
        for (off, mut old) in self.replaced.lock().drain(..).rev() {
            let room = usize::try_from(len.saturating_sub(off)).unwrap_or(usize::MAX);
            old.truncate(room);
            self.inner.write_at(off, &[IoSlice::new(&old)])?;
        }
        Ok(())
    }
}

impl VfsFile for FaultyFile {
    fn write_at(&self, off: u64, bufs: &[IoSlice<'_>]) -> io::Result<()> {
        let bytes: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        if bytes.is_empty() {
            // No system call is made for it, so none can fail.
            return Ok(());
        }
        match next(&self.state, OpKind::Write) {
            None => {
                self.remember(off, bytes.len())?;
                self.inner.write_at(off, bufs)
            }
            Some(Fault::Short) => {
                let half = &bytes[..bytes.len() / 2];
                self.remember(off, half.len())?;
                self.inner.write_at(off, &[IoSlice::new(half)])?;
                Err(error(Fault::Short))
            }
            Some(fault) => Err(error(fault)),
        }
    }

    fn read_at(&self, off: u64, out: &mut [u8]) -> io::Result<usize> {
        check(&self.state, OpKind::Read)?;
        self.inner.read_at(off, out)
    }

    fn len(&self) -> io::Result<u64> {
        check(&self.state, OpKind::Len)?;
        self.inner.len()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        check(&self.state, OpKind::Allocate)?;
        self.inner.allocate(len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        check(&self.state, OpKind::SetLen)?;
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        match next(&self.state, OpKind::Sync) {
            None => {
                self.inner.sync_data()?;
                self.replaced.lock().clear();
                Ok(())
            }
            Some(fault) => {
                if fault == Fault::SyncDrops {
                    self.drop_unsynced()?;
                }
                Err(error(fault))
            }
        }
    }

    fn map(&self, len: usize) -> io::Result<Map> {
        check(&self.state, OpKind::Map)?;
        self.inner.map(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::vfs::MemVfs;

    fn plan(kinds: &'static [OpKind], at: u64, forever: bool, fault: Fault) -> Plan {
        Plan {
            kinds,
            at,
            forever,
            fault,
        }
    }

    #[test]
    fn behaves_like_a_disk_without_a_plan() {
        let vfs: Arc<dyn Vfs> = Arc::new(FaultyVfs::new(Arc::new(MemVfs::new())));
        crate::storage::vfs::conformance::check(&vfs, Path::new("root"));
    }

    #[test]
    fn failures_come_at_their_number_once_or_for_ever() {
        let vfs = FaultyVfs::new(Arc::new(MemVfs::new()));
        let file = vfs.open(Path::new("f"), OpenHow::Create).unwrap();
        for forever in [false, true] {
            vfs.arm(plan(&[], 1, forever, Fault::Io));
            let results: Vec<bool> = (0..4).map(|_| file.len().is_ok()).collect();
            assert_eq!(results, [true, false, !forever, !forever]);
            assert_eq!(vfs.fired(), if forever { 3 } else { 1 });
            vfs.heal();
            assert!(file.len().is_ok());
        }
    }

    #[test]
    fn a_short_write_leaves_its_first_half() {
        let vfs = FaultyVfs::new(Arc::new(MemVfs::new()));
        let file = vfs.open(Path::new("f"), OpenHow::Create).unwrap();
        vfs.arm(plan(&[OpKind::Write], 0, false, Fault::Short));
        assert!(
            file.write_at(0, &[IoSlice::new(b"ab"), IoSlice::new(b"cd")])
                .is_err()
        );
        let mut out = [0; 4];
        assert_eq!(file.read_at(0, &mut out).unwrap(), 2);
        assert_eq!(&out, b"ab\0\0");
    }

    #[test]
    fn a_dropping_sync_forgets_what_was_not_synced() {
        let vfs = FaultyVfs::new(Arc::new(MemVfs::new()));
        let file = vfs.open(Path::new("f"), OpenHow::Create).unwrap();
        file.write_at(0, &[IoSlice::new(b"synced")]).unwrap();
        file.sync_data().unwrap();
        vfs.arm(plan(&[OpKind::Sync], 0, false, Fault::SyncDrops));
        file.write_at(0, &[IoSlice::new(b"LOST")]).unwrap();
        file.write_at(2, &[IoSlice::new(b"lost too")]).unwrap();
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        let mut out = [9; 12];
        assert_eq!(
            file.read_at(0, &mut out).unwrap(),
            10,
            "the length is still there"
        );
        assert_eq!(&out[..10], b"synced\0\0\0\0");
    }
}
