//! One opener per directory: an in-process table of opened directories, and a lock file against other processes.
//!
//! Invariant: a directory is in the table exactly while a guard for it lives. Advisory locks belong to a process or to a
//! file handle depending on the system, and neither kind reliably stops a second open in the same process; the table does.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::sync::Mutex;
use super::vfs::{DirId, OpenHow, Vfs};

/// Name of the lock file in a store's directory.
pub(crate) const LOCK_FILE: &str = "LOCK";

static OPENED: Mutex<BTreeSet<DirId>> = Mutex::new(BTreeSet::new());

/// Holds a directory; dropping it lets the next opener in.
pub(crate) struct LockGuard {
    dir: DirId,
    file: Option<Box<dyn Any + Send + Sync>>,
}

/// Why a directory could not be locked.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Someone else has it open.
    Held {
        /// Process id of the holder, where it could be read.
        pid: Option<u32>,
    },
    /// The disk refused; `Unsupported` where it has no locks.
    Io(io::Error),
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { pid: Some(pid) } => write!(f, "locked by process {pid}"),
            Self::Held { pid: None } => f.write_str("locked by another process"),
            Self::Io(_) => f.write_str("cannot lock the directory"),
        }
    }
}

impl std::error::Error for LockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Held { .. } => None,
            Self::Io(e) => Some(e),
        }
    }
}

impl From<io::Error> for LockError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

/// Locks an existing directory for this handle alone; never waits.
///
/// # Errors
///
/// [`LockError::Held`] if it is open elsewhere, in this process or another; [`LockError::Io`] if the disk refuses.
pub(crate) fn acquire(vfs: &Arc<dyn Vfs>, dir: &Path) -> Result<LockGuard, LockError> {
    let id = vfs.identity(dir)?;
    if !OPENED.lock().insert(id) {
        return Err(LockError::Held {
            pid: Some(std::process::id()),
        });
    }
    // From here on the guard takes the table entry out again.
    let mut guard = LockGuard {
        dir: id,
        file: None,
    };
    let path = dir.join(LOCK_FILE);
    match vfs.lock(&path) {
        Ok(file) => {
            guard.file = Some(file);
            Ok(guard)
        }
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Err(LockError::Held {
            pid: holder(vfs, &path),
        }),
        Err(e) => Err(e.into()),
    }
}

fn holder(vfs: &Arc<dyn Vfs>, path: &Path) -> Option<u32> {
    let mut text = [0; 16];
    let n = vfs
        .open(path, OpenHow::Read)
        .ok()?
        .read_at(0, &mut text)
        .ok()?;
    std::str::from_utf8(text.get(..n)?)
        .ok()?
        .trim()
        .parse()
        .ok()
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        // The file first: whoever finds the table entry gone must find the file unlocked.
        self.file = None;
        OPENED.lock().remove(&self.dir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::vfs::{MemVfs, OsVfs};

    #[test]
    fn another_path_to_the_same_directory_is_locked_too() {
        let root = std::env::temp_dir().join(format!("up-lock-{}", std::process::id()));
        let vfs: Arc<dyn Vfs> = Arc::new(OsVfs);
        let dir = root.join("data");
        vfs.create_dir(&dir).unwrap();
        std::os::unix::fs::symlink(&dir, root.join("alias")).unwrap();
        let guard = acquire(&vfs, &dir).unwrap();
        for path in [dir.clone(), root.join("alias"), root.join("data/../data")] {
            match acquire(&vfs, &path) {
                Err(LockError::Held { pid }) => assert_eq!(pid, Some(std::process::id())),
                other => panic!("{}: {other:?}", path.display()),
            }
        }
        drop(guard);
        acquire(&vfs, &root.join("alias")).unwrap();
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_foreign_lock_names_its_process() {
        let vfs: Arc<dyn Vfs> = Arc::new(MemVfs::new());
        let dir = Path::new("data");
        vfs.create_dir(dir).unwrap();
        let foreign = vfs.lock(&dir.join(LOCK_FILE)).unwrap();
        let file = vfs.open(&dir.join(LOCK_FILE), OpenHow::Write).unwrap();
        file.set_len(0).unwrap();
        file.write_at(0, &[io::IoSlice::new(b"4711\n")]).unwrap();
        let error = acquire(&vfs, dir).unwrap_err();
        assert!(
            matches!(error, LockError::Held { pid: Some(4711) }),
            "{error}"
        );
        assert_eq!(error.to_string(), "locked by process 4711");
        drop(foreign);
        acquire(&vfs, dir).unwrap();
    }

    #[test]
    fn a_missing_directory_is_an_io_error_and_leaves_nothing_behind() {
        let vfs: Arc<dyn Vfs> = Arc::new(MemVfs::new());
        assert!(matches!(
            acquire(&vfs, Path::new("none")),
            Err(LockError::Io(_))
        ));
        vfs.create_dir(Path::new("none")).unwrap();
        acquire(&vfs, Path::new("none")).unwrap();
    }
}
