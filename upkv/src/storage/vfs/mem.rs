//! Files in memory: the disk of a store without one, and the base of the simulated disk.
//!
//! Invariant: every name leads to one inode, and an inode lives as long as a name, an open file or a map of it.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::inode::Inode;
use super::{DirId, Entry, OpenHow, Vfs, VfsFile};
use crate::storage::mapped::Map;
use crate::storage::sync::{AtomicU64, Mutex, Ordering};

/// A disk in memory. Clones share it; two values made by [`new`](Self::new) share nothing.
///
/// # Examples
///
/// ```
/// use std::path::Path;
/// use upkv::storage::vfs::{MemVfs, OpenHow, Vfs};
/// let disk = MemVfs::new();
/// disk.create_dir(Path::new("data"))?;
/// disk.open(Path::new("data/a"), OpenHow::Create)?.allocate(10)?;
/// assert_eq!(disk.list(Path::new("data"))?[0].len, 10);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemVfs {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    id: u64,
    names: Mutex<Names>,
}

#[derive(Debug, Default)]
struct Names {
    files: BTreeMap<PathBuf, Arc<Inode>>,
    dirs: BTreeMap<PathBuf, u64>,
    locked: BTreeSet<PathBuf>,
    last_inode: u64,
}

/// An open file of a [`MemVfs`].
#[derive(Clone, Debug)]
pub(crate) struct MemFile {
    pub(crate) inode: Arc<Inode>,
    writable: bool,
}

struct MemLock {
    shared: Arc<Shared>,
    path: PathBuf,
}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.shared.names.lock().locked.remove(&self.path);
    }
}

impl MemVfs {
    /// An empty disk.
    pub fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let id = LAST.fetch_add(1, Ordering::Relaxed);
        Self {
            shared: Arc::new(Shared {
                id,
                names: Mutex::default(),
            }),
        }
    }

    pub(crate) fn open_mem(&self, path: &Path, how: OpenHow) -> io::Result<MemFile> {
        let path = normal(path);
        let mut names = self.shared.names.lock();
        let writable = how != OpenHow::Read;
        match (names.files.get(&path), how) {
            (Some(_), OpenHow::Create) => Err(io::ErrorKind::AlreadyExists.into()),
            (Some(inode), _) => Ok(MemFile {
                inode: Arc::clone(inode),
                writable,
            }),
            (None, OpenHow::Create) => {
                let inode = names.create(path)?;
                Ok(MemFile { inode, writable })
            }
            (None, _) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Every file by name, with its content; for tests that build or damage whole disks.
    #[cfg(any(test, feature = "test-util"))]
    pub fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let names = self.shared.names.lock();
        names
            .files
            .iter()
            .map(|(path, inode)| (path.clone(), inode.to_vec()))
            .collect()
    }

    /// Every file by name, with the number and the content of its inode.
    #[cfg(any(test, feature = "test-util"))]
    pub(crate) fn inodes(&self) -> BTreeMap<PathBuf, (u64, Vec<u8>)> {
        let names = self.shared.names.lock();
        let entry =
            |(path, inode): (&PathBuf, &Arc<Inode>)| (path.clone(), (inode.number, inode.to_vec()));
        names.files.iter().map(entry).collect()
    }

    /// Every directory.
    #[cfg(any(test, feature = "test-util"))]
    pub(crate) fn dirs(&self) -> Vec<PathBuf> {
        self.shared.names.lock().dirs.keys().cloned().collect()
    }

    /// Another disk with the same names and content; nothing on it is open, mapped or locked.
    #[cfg(any(test, feature = "test-util"))]
    #[must_use]
    pub fn copy(&self) -> Self {
        let copy = Self::new();
        let dirs: Vec<PathBuf> = self.shared.names.lock().dirs.keys().cloned().collect();
        {
            let mut names = copy.shared.names.lock();
            for dir in dirs {
                names
                    .create_dirs(&dir)
                    .expect("directories in memory can be made");
            }
        }
        for (path, content) in self.contents() {
            copy.put(&path, content);
        }
        copy
    }

    /// Puts a file with this content, and its directories, on the disk, replacing one of that name.
    ///
    /// # Panics
    ///
    /// If a directory is where the file should be, or the reverse.
    #[cfg(any(test, feature = "test-util"))]
    pub fn put(&self, path: &Path, content: Vec<u8>) {
        let path = normal(path);
        let mut names = self.shared.names.lock();
        if let Some(parent) = path.parent() {
            names
                .create_dirs(parent)
                .expect("directories in memory can be made");
        }
        names.files.remove(&path);
        let inode = names.create(path).expect("its directory exists");
        inode.replace(content);
    }
}

impl Default for MemVfs {
    fn default() -> Self {
        Self::new()
    }
}

/// The path without `.` and repeated separators; links do not exist here, so `..` needs no disk to resolve.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

impl Names {
    fn next_inode(&mut self) -> u64 {
        self.last_inode += 1;
        self.last_inode
    }

    fn is_dir(&self, dir: &Path) -> bool {
        // The root, and the directory a relative path starts from, exist from the beginning.
        dir.parent().is_none() || self.dirs.contains_key(dir)
    }

    fn create(&mut self, path: PathBuf) -> io::Result<Arc<Inode>> {
        if !path.parent().is_some_and(|dir| self.is_dir(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if self.dirs.contains_key(&path) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let inode = Arc::new(Inode::new(self.next_inode()));
        self.files.insert(path, Arc::clone(&inode));
        Ok(inode)
    }

    fn create_dirs(&mut self, dir: &Path) -> io::Result<()> {
        for dir in dir.ancestors().filter(|dir| dir.parent().is_some()) {
            if self.files.contains_key(dir) {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            if !self.dirs.contains_key(dir) {
                let number = self.next_inode();
                self.dirs.insert(dir.to_path_buf(), number);
            }
        }
        Ok(())
    }
}

impl Vfs for MemVfs {
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Arc<dyn VfsFile>> {
        Ok(Arc::new(self.open_mem(path, how)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (normal(from), normal(to));
        let mut names = self.shared.names.lock();
        if !names.files.contains_key(&from) || !to.parent().is_some_and(|dir| names.is_dir(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if names.dirs.contains_key(&to) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if let Some(inode) = names.files.remove(&from) {
            names.files.insert(to, inode);
        }
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        match self.shared.names.lock().files.remove(&normal(path)) {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (normal(from), normal(to));
        let mut names = self.shared.names.lock();
        let inode = names
            .files
            .get(&from)
            .cloned()
            .ok_or(io::ErrorKind::NotFound)?;
        if names.files.contains_key(&to) || names.dirs.contains_key(&to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !to.parent().is_some_and(|dir| names.is_dir(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        names.files.insert(to, inode);
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let dir = normal(dir);
        let names = self.shared.names.lock();
        if !names.is_dir(&dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut entries: Vec<Entry> = names
            .files
            .iter()
            .filter(|(path, _)| path.parent() == Some(dir.as_path()))
            .filter_map(|(path, inode)| {
                let name = path.file_name()?.to_str()?.to_owned();
                Some(Entry {
                    name,
                    len: inode.len(),
                })
            })
            .collect();
        entries.sort_unstable();
        Ok(entries)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.shared.names.lock().create_dirs(&normal(dir))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let found = self.shared.names.lock().is_dir(&normal(dir));
        if found {
            Ok(())
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let path = normal(path);
        let inode = {
            let mut names = self.shared.names.lock();
            if names.locked.contains(&path) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let inode = match names.files.get(&path) {
                Some(inode) => Arc::clone(inode),
                None => names.create(path.clone())?,
            };
            names.locked.insert(path.clone());
            inode
        };
        let lock = MemLock {
            shared: Arc::clone(&self.shared),
            path,
        };
        let pid = format!("{}\n", std::process::id());
        inode.set_len(0)?;
        inode.write(0, pid.as_bytes())?;
        Ok(Box::new(lock))
    }

    fn exists(&self, path: &Path) -> bool {
        let path = normal(path);
        let names = self.shared.names.lock();
        names.is_dir(&path) || names.files.contains_key(&path)
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        // What the process can still get is not known here; the caller's own limits hold.
        Ok(1 << 46)
    }

    fn identity(&self, dir: &Path) -> io::Result<DirId> {
        let dir = normal(dir);
        let names = self.shared.names.lock();
        match names.dirs.get(&dir) {
            Some(number) => Ok(DirId(self.device(), *number)),
            None if dir.parent().is_none() => Ok(DirId(self.device(), 0)),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl MemVfs {
    fn device(&self) -> u64 {
        // Device numbers of real disks use the low bits.
        (1 << 63) | self.shared.id
    }
}

impl MemFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.writable {
            Ok(())
        } else {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }
}

impl VfsFile for MemFile {
    fn write_at(&self, mut off: u64, bufs: &[IoSlice<'_>]) -> io::Result<()> {
        self.check_writable()?;
        for buf in bufs {
            self.inode.write(off, buf)?;
            off += buf.len() as u64;
        }
        Ok(())
    }

    fn read_at(&self, off: u64, out: &mut [u8]) -> io::Result<usize> {
        Ok(self.inode.read(off, out))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.inode.len())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        if self.inode.len() < len {
            self.inode.set_len(len)
        } else {
            Ok(())
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        self.inode.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn map(&self, len: usize) -> io::Result<Map> {
        self.inode.map(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaves_like_a_disk() {
        let vfs: Arc<dyn Vfs> = Arc::new(MemVfs::new());
        super::super::conformance::check(&vfs, Path::new("root"));
        super::super::conformance::check(&vfs, Path::new("/absolute/root"));
    }

    #[test]
    fn mapping_does_not_copy_and_protects_its_range() {
        let vfs = MemVfs::new();
        let file = vfs.open_mem(Path::new("f"), OpenHow::Create).unwrap();
        file.write_at(0, &[IoSlice::new(b"0123456789")]).unwrap();
        let (a, b) = (file.map(8).unwrap(), file.map(10).unwrap());
        assert_eq!(a.as_slice().as_ptr(), b.as_slice().as_ptr());
        for result in [file.write_at(9, &[IoSlice::new(b"x")]), file.set_len(9)] {
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
        file.write_at(10, &[IoSlice::new(b"x")]).unwrap();
        assert_eq!(b.as_slice(), b"0123456789");
        assert!(
            file.write_at(9, &[IoSlice::new(b"x")]).is_err(),
            "still mapped"
        );
        drop((a, b));
        assert_eq!(vfs.contents()[Path::new("f")], b"0123456789x");
        file.set_len(3).unwrap();
        file.write_at(0, &[IoSlice::new(b"x")]).unwrap();
        assert_eq!(vfs.contents()[Path::new("f")], b"x12");
    }

    #[test]
    fn disks_are_separate_and_clones_are_not() {
        let (a, b) = (MemVfs::new(), MemVfs::new());
        a.put(Path::new("d/f"), b"x".to_vec());
        b.create_dir(Path::new("d")).unwrap();
        assert!(a.clone().exists(Path::new("d/f")) && !b.exists(Path::new("d/f")));
        assert_ne!(
            a.identity(Path::new("d")).unwrap(),
            b.identity(Path::new("d")).unwrap()
        );
    }

    #[test]
    fn offsets_beyond_memory_are_refused() {
        let file = MemVfs::new()
            .open_mem(Path::new("f"), OpenHow::Create)
            .unwrap();
        assert!(file.write_at(u64::MAX, &[IoSlice::new(b"xy")]).is_err());
        assert!(file.set_len(u64::MAX).is_err());
        assert_eq!(file.len().unwrap(), 0);
    }
}
