//! The recording disk.
//!
//! Invariant: the log of operations, applied in order to the base, gives the present content; operation and log entry happen
//! under one lock. Nobody writes or cuts a range that is mapped: here that is a panic, not an error, because it is a bug.

use std::any::Any;
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::image::CrashPoint;
use crate::storage::mapped::Map;
use crate::storage::sync::Mutex;
use crate::storage::vfs::mem::{MemFile, normal};
use crate::storage::vfs::{DirId, Entry, MemVfs, OpenHow, Vfs, VfsFile};

/// A disk in memory that records every change and every sync. Clones share it.
///
/// # Examples
///
/// ```
/// use std::io::IoSlice;
/// use std::path::Path;
/// use upkv::storage::fault::SimVfs;
/// use upkv::storage::vfs::{OpenHow, Vfs};
/// let disk = SimVfs::new();
/// let file = disk.open(Path::new("a"), OpenHow::Create)?;
/// file.write_at(0, &[IoSlice::new(b"x")])?;
/// file.sync_data()?;
/// // Without a sync of the directory the name itself may be lost.
/// let point = disk.crash_point(disk.operations());
/// assert!(!point.image(&[false; 1]).disk().exists(Path::new("a")));
/// assert!(point.image(&[true; 1]).disk().exists(Path::new("a")));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SimVfs {
    disk: MemVfs,
    recorder: Arc<Mutex<Recorder>>,
}

#[derive(Debug)]
struct Recorder {
    base: Arc<Base>,
    log: Vec<Operation>,
}

/// What was durable before the recording began.
#[derive(Debug, Default)]
pub(super) struct Base {
    pub(super) files: BTreeMap<PathBuf, (u64, Vec<u8>)>,
    pub(super) dirs: Vec<PathBuf>,
}

/// One recorded change or sync. Inodes tell files apart, whatever their names.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    /// A name now means this file, atomically with the removal of another name if it was renamed.
    Name {
        path: PathBuf,
        inode: u64,
        removed: Option<PathBuf>,
    },
    /// A name is gone.
    Unlink {
        path: PathBuf,
    },
    /// A directory exists from now on; making one is durable.
    CreateDir {
        dir: PathBuf,
    },
    Write {
        inode: u64,
        offset: u64,
        bytes: Bytes,
    },
    /// The length changed, by a call or by writing past the end.
    Length {
        inode: u64,
        from: u64,
        to: u64,
    },
    SyncData {
        inode: u64,
    },
    SyncDir {
        dir: PathBuf,
    },
}

#[derive(Debug)]
struct SimFile {
    file: MemFile,
    recorder: Arc<Mutex<Recorder>>,
}

impl SimVfs {
    /// An empty disk.
    pub fn new() -> Self {
        Self::over(MemVfs::new())
    }

    /// Records on top of `disk`, all of whose present content counts as durable.
    pub fn over(disk: MemVfs) -> Self {
        let base = Arc::new(Base {
            files: disk.inodes(),
            dirs: disk.dirs(),
        });
        Self {
            disk,
            recorder: Arc::new(Mutex::new(Recorder {
                base,
                log: Vec::new(),
            })),
        }
    }

    /// Operations recorded so far; a power cut may come after each of them.
    pub fn operations(&self) -> usize {
        self.recorder.lock().log.len()
    }

    /// The disk as it is now, as after a crash of the process alone.
    pub fn present(&self) -> MemVfs {
        self.disk.copy()
    }

    /// What a power cut after the first `cut` operations may leave.
    pub fn crash_point(&self, cut: usize) -> CrashPoint {
        let recorder = self.recorder.lock();
        let log = recorder.log.get(..cut).unwrap_or(&recorder.log).to_vec();
        CrashPoint::new(Arc::clone(&recorder.base), log)
    }
}

impl Default for SimVfs {
    fn default() -> Self {
        Self::new()
    }
}

impl Vfs for SimVfs {
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Arc<dyn VfsFile>> {
        let mut recorder = self.recorder.lock();
        let file = self.disk.open_mem(path, how)?;
        if how == OpenHow::Create {
            let (path, inode) = (normal(path), file.inode.number);
            recorder.log.push(Operation::Name {
                path,
                inode,
                removed: None,
            });
        }
        Ok(Arc::new(SimFile {
            file,
            recorder: Arc::clone(&self.recorder),
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut recorder = self.recorder.lock();
        let inode = self.disk.open_mem(from, OpenHow::Read)?.inode.number;
        self.disk.rename(from, to)?;
        let removed = Some(normal(from));
        recorder.log.push(Operation::Name {
            path: normal(to),
            inode,
            removed,
        });
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut recorder = self.recorder.lock();
        self.disk.unlink(path)?;
        recorder.log.push(Operation::Unlink { path: normal(path) });
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut recorder = self.recorder.lock();
        let inode = self.disk.open_mem(from, OpenHow::Read)?.inode.number;
        self.disk.link(from, to)?;
        recorder.log.push(Operation::Name {
            path: normal(to),
            inode,
            removed: None,
        });
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut recorder = self.recorder.lock();
        if !self.disk.exists(dir) {
            self.disk.create_dir(dir)?;
            recorder.log.push(Operation::CreateDir { dir: normal(dir) });
        }
        self.disk.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut recorder = self.recorder.lock();
        self.disk.sync_dir(dir)?;
        recorder.log.push(Operation::SyncDir { dir: normal(dir) });
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        // The lock file means nothing after a crash, so it is not recorded.
        self.disk.lock(path)
    }

    fn exists(&self, path: &Path) -> bool {
        self.disk.exists(path)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.disk.free_bytes(dir)
    }

    fn identity(&self, dir: &Path) -> io::Result<DirId> {
        self.disk.identity(dir)
    }
}

impl SimFile {
    fn change_length(
        &self,
        recorder: &mut Recorder,
        to: u64,
        change: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let inode = &self.file.inode;
        let from = inode.len();
        assert!(
            to >= inode.mapped(),
            "a file is cut to {to} bytes, {} are mapped",
            inode.mapped()
        );
        change()?;
        if from != to {
            recorder.log.push(Operation::Length {
                inode: inode.number,
                from,
                to,
            });
        }
        Ok(())
    }
}

impl VfsFile for SimFile {
    fn write_at(&self, off: u64, bufs: &[IoSlice<'_>]) -> io::Result<()> {
        let mut recorder = self.recorder.lock();
        let inode = &self.file.inode;
        let bytes: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        if bytes.is_empty() {
            return Ok(());
        }
        assert!(
            off >= inode.mapped(),
            "byte {off} is written, {} are mapped",
            inode.mapped()
        );
        let (number, from) = (inode.number, inode.len());
        self.file.write_at(off, &[IoSlice::new(&bytes)])?;
        let to = inode.len();
        let bytes = Bytes::from(bytes);
        recorder.log.push(Operation::Write {
            inode: number,
            offset: off,
            bytes,
        });
        if from != to {
            recorder.log.push(Operation::Length {
                inode: number,
                from,
                to,
            });
        }
        Ok(())
    }

    fn read_at(&self, off: u64, out: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(off, out)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut recorder = self.recorder.lock();
        let to = len.max(self.file.inode.len());
        self.change_length(&mut recorder, to, || self.file.allocate(len))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut recorder = self.recorder.lock();
        self.change_length(&mut recorder, len, || self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut recorder = self.recorder.lock();
        recorder.log.push(Operation::SyncData {
            inode: self.file.inode.number,
        });
        Ok(())
    }

    fn map(&self, len: usize) -> io::Result<Map> {
        let _recorder = self.recorder.lock();
        self.file.map(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaves_like_a_disk() {
        let vfs: Arc<dyn Vfs> = Arc::new(SimVfs::new());
        crate::storage::vfs::conformance::check(&vfs, Path::new("root"));
    }

    #[test]
    #[should_panic(expected = "are mapped")]
    fn writing_into_a_mapped_range_is_a_bug() {
        let file = SimVfs::new().open(Path::new("f"), OpenHow::Create).unwrap();
        file.write_at(0, &[IoSlice::new(b"sealed")]).unwrap();
        let _map = file.map(6).unwrap();
        let _panics = file.write_at(5, &[IoSlice::new(b"x")]);
    }

    #[test]
    fn present_is_the_process_crash() {
        let sim = SimVfs::new();
        let file = sim.open(Path::new("f"), OpenHow::Create).unwrap();
        file.write_at(0, &[IoSlice::new(b"unsynced")]).unwrap();
        let copy = sim.present();
        file.set_len(0).unwrap();
        assert_eq!(copy.contents()[Path::new("f")], b"unsynced");
    }
}
