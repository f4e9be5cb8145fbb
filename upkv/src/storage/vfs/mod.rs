//! The seam between the store and a disk: every file name, byte, sync and lock goes through [`Vfs`] and [`VfsFile`].
//!
//! Invariant: the store names `std::fs` nowhere else. The real disk is [`OsVfs`], files in memory are [`MemVfs`]; recording and
//! failing disks for tests stand behind the feature `test-util`. Dispatch is dynamic, once per system call, never per read of a
//! mapped range.

mod inode;
pub(crate) mod mem;
mod os;

pub use mem::MemVfs;
pub use os::OsVfs;

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use super::mapped::Map;

/// How to open a file.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum OpenHow {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// A new file, for reading and writing; an existing one is an error.
    Create,
}

/// A file of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Name without the directory.
    pub name: String,
    /// Bytes.
    pub len: u64,
}

/// What tells one directory from every other one in this process, whatever path leads to it: device and inode on a real disk.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirId(pub u64, pub u64);

/// A disk: names, directories, locks.
pub trait Vfs: Send + Sync + fmt::Debug {
    /// Opens a file: never through a symbolic link, never inherited by child processes, new files with mode 0600.
    ///
    /// # Errors
    ///
    /// `NotFound`, `AlreadyExists` for [`OpenHow::Create`], or what the disk says.
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Arc<dyn VfsFile>>;

    /// Renames a file, replacing the target as one step. The new name survives a power cut after [`sync_dir`](Self::sync_dir).
    ///
    /// # Errors
    ///
    /// `NotFound`, or what the disk says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a name; open files and maps of it go on working.
    ///
    /// # Errors
    ///
    /// `NotFound`, or what the disk says.
    fn unlink(&self, path: &Path) -> io::Result<()>;

    /// Gives a file a second name.
    ///
    /// # Errors
    ///
    /// `NotFound`, `AlreadyExists`, or what the disk says.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// The regular files of a directory, by name; nothing else in it is mentioned.
    ///
    /// # Errors
    ///
    /// `NotFound`, or what the disk says.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;

    /// Makes a directory and what is missing above it, mode 0700, durable when this returns; nothing happens if it exists.
    ///
    /// # Errors
    ///
    /// What the disk says, for example that a file of that name is in the way.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Locks a file for this handle alone and writes the process id into it; dropping the value unlocks.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if someone else holds it, or what the disk says, `Unsupported` included.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>>;

    /// Whether a file or directory of that name exists.
    fn exists(&self, path: &Path) -> bool;

    /// Bytes that can still be written on the disk of `dir`.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;

    /// What identifies an existing directory.
    ///
    /// # Errors
    ///
    /// `NotFound`, or what the disk says.
    fn identity(&self, dir: &Path) -> io::Result<DirId>;
}

/// An open file. All calls take offsets; there is no cursor, so threads may share it.
pub trait VfsFile: Send + Sync + fmt::Debug {
    /// Writes all the buffers, one after another, from offset `off`; retries interrupted and partial writes inside.
    ///
    /// # Errors
    ///
    /// What the disk says; then an unknown part of the bytes may have been written.
    fn write_at(&self, off: u64, bufs: &[IoSlice<'_>]) -> io::Result<()>;

    /// Reads from offset `off` until `out` is full or the file ends; returns the bytes read.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn read_at(&self, off: u64, out: &mut [u8]) -> io::Result<usize>;

    /// Length in bytes.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Extends the file to `len` bytes with blocks that are really there, so that later writes need no space; what is added
    /// reads as zeros. A longer file stays as it is.
    ///
    /// # Errors
    ///
    /// `StorageFull`, or what the disk says.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Cuts or extends the file to `len` bytes, without allocating.
    ///
    /// # Errors
    ///
    /// What the disk says.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes data and length durable; the name needs [`Vfs::sync_dir`].
    ///
    /// # Errors
    ///
    /// What the disk says. After an error the state of everything written since the last sync is unknown: do not retry.
    fn sync_data(&self) -> io::Result<()>;

    /// Says that the bytes written in this range will be synced before long, so that the disk may start on them now. Promises
    /// nothing and cannot fail.
    fn expect_sync(&self, _from: u64, _len: u64) {}

    /// A view of the first `len` bytes, which must never be written again.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the file is shorter, or what the disk says.
    fn map(&self, len: usize) -> io::Result<Map>;
}

/// The same tests for every disk that is supposed to behave like a real one.
#[cfg(test)]
pub(crate) mod conformance {
    use super::*;

    fn kind<T>(result: io::Result<T>) -> io::ErrorKind {
        result.err().expect("this call must fail").kind()
    }

    /// Drives `vfs` inside `root`, which must not exist yet.
    pub(crate) fn check(vfs: &Arc<dyn Vfs>, root: &Path) {
        let dir = root.join("a/b");
        let file = dir.join("one");
        assert!(!vfs.exists(&dir));
        assert_eq!(kind(vfs.list(&dir)), io::ErrorKind::NotFound);
        assert_eq!(kind(vfs.identity(&dir)), io::ErrorKind::NotFound);
        assert_eq!(
            kind(vfs.open(&file, OpenHow::Create)),
            io::ErrorKind::NotFound
        );
        vfs.create_dir(&dir).unwrap();
        vfs.create_dir(&dir).unwrap();
        assert!(vfs.exists(&dir) && vfs.free_bytes(&dir).unwrap() > 0);
        assert_eq!(
            vfs.identity(&dir).unwrap(),
            vfs.identity(&root.join("a/b/")).unwrap()
        );
        assert_ne!(vfs.identity(&dir).unwrap(), vfs.identity(root).unwrap());
        names(vfs, &dir, &file);
        bytes(vfs, &dir);
        locks(vfs, &dir);
    }

    fn names(vfs: &Arc<dyn Vfs>, dir: &Path, file: &Path) {
        for how in [OpenHow::Read, OpenHow::Write] {
            assert_eq!(kind(vfs.open(file, how)), io::ErrorKind::NotFound);
        }
        let one = vfs.open(file, OpenHow::Create).unwrap();
        assert_eq!(
            kind(vfs.open(file, OpenHow::Create)),
            io::ErrorKind::AlreadyExists
        );
        one.write_at(0, &[IoSlice::new(b"12345")]).unwrap();
        vfs.sync_dir(dir).unwrap();
        assert_eq!(
            vfs.list(dir).unwrap(),
            [Entry {
                name: "one".into(),
                len: 5
            }]
        );
        let two = dir.join("two");
        vfs.link(file, &two).unwrap();
        assert_eq!(kind(vfs.link(file, &two)), io::ErrorKind::AlreadyExists);
        vfs.rename(file, &dir.join("three")).unwrap();
        assert_eq!(kind(vfs.rename(file, &two)), io::ErrorKind::NotFound);
        let names: Vec<String> = vfs.list(dir).unwrap().into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["three", "two"]);
        vfs.open(file, OpenHow::Create).unwrap();
        vfs.rename(file, &dir.join("three")).unwrap();
        assert_eq!(
            vfs.list(dir).unwrap()[0].len,
            0,
            "renaming replaced the target"
        );
        vfs.unlink(&dir.join("three")).unwrap();
        vfs.unlink(&two).unwrap();
        assert_eq!(kind(vfs.unlink(&two)), io::ErrorKind::NotFound);
        let mut out = [0; 5];
        assert_eq!(
            one.read_at(0, &mut out).unwrap(),
            5,
            "open files outlive their names"
        );
        assert_eq!(&out, b"12345");
    }

    fn bytes(vfs: &Arc<dyn Vfs>, dir: &Path) {
        let path = dir.join("bytes");
        let file = vfs.open(&path, OpenHow::Create).unwrap();
        assert!(file.is_empty().unwrap());
        file.allocate(10_000).unwrap();
        assert_eq!(file.len().unwrap(), 10_000);
        file.allocate(100).unwrap();
        assert_eq!(file.len().unwrap(), 10_000, "allocating never shortens");
        let many: Vec<[u8; 3]> = (0..2_000_u16).map(|i| [i.to_le_bytes()[0], 7, 8]).collect();
        let bufs: Vec<IoSlice<'_>> = many.iter().map(|b| IoSlice::new(b)).collect();
        file.write_at(100, &bufs).unwrap();
        file.write_at(
            20_000,
            &[IoSlice::new(b"end"), IoSlice::new(b""), IoSlice::new(b"!")],
        )
        .unwrap();
        file.sync_data().unwrap();
        let again = vfs.open(&path, OpenHow::Write).unwrap();
        let mut out = vec![9; 30_000];
        assert_eq!(again.read_at(0, &mut out).unwrap(), 20_004);
        assert_eq!(out[..100], [0; 100]);
        assert_eq!(out[100..6_100], many.concat());
        assert_eq!(&out[19_998..20_004], b"\0\0end!");
        assert_eq!(again.read_at(30_000, &mut out).unwrap(), 0, "past the end");
        assert_eq!(kind(file.map(20_005)), io::ErrorKind::UnexpectedEof);
        let map = file.map(6_100).unwrap();
        file.write_at(6_100, &[IoSlice::new(b"behind")]).unwrap();
        file.set_len(6_102).unwrap();
        assert_eq!(map.as_slice(), &out[..6_100]);
        assert_eq!(again.len().unwrap(), 6_102, "handles share the file");
        assert_eq!(again.read_at(6_099, &mut out).unwrap(), 3);
        assert_eq!(out[..3], [8, b'b', b'e']);
        let read_only = vfs.open(&path, OpenHow::Read).unwrap();
        assert!(read_only.write_at(6_101, &[IoSlice::new(b"x")]).is_err());
        vfs.unlink(&path).unwrap();
        assert_eq!(map.get(6_099, 1), Some(&[8][..]));
    }

    fn locks(vfs: &Arc<dyn Vfs>, dir: &Path) {
        let path = dir.join("LOCK");
        let held = vfs.lock(&path).unwrap();
        assert_eq!(kind(vfs.lock(&path)), io::ErrorKind::WouldBlock);
        let mut out = [0; 20];
        let n = vfs
            .open(&path, OpenHow::Read)
            .unwrap()
            .read_at(0, &mut out)
            .unwrap();
        let pid = std::str::from_utf8(&out[..n]).unwrap().trim();
        assert_eq!(pid, std::process::id().to_string());
        drop(held);
        drop(vfs.lock(&path).unwrap());
    }
}
