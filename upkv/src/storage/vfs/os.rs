//! The real disk.
//!
//! Invariant: files have mode 0600 and directories 0700, no file is reached through a symbolic link, none is inherited by a
//! child process, and a write either is complete or is an error.

use std::any::Any;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;

use super::{DirId, Entry, OpenHow, Vfs, VfsFile};
use crate::storage::mapped::Map;

/// The files of the operating system.
#[derive(Copy, Clone, Debug, Default)]
pub struct OsVfs;

#[derive(Debug)]
struct OsFile(File);

struct OsLock(File);

impl Drop for OsLock {
    fn drop(&mut self) {
        // Closing is not enough: a child process shares the lock from its fork until its exec closes the file.
        let _unlocked_by_closing = self.0.unlock();
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // The standard library adds O_CLOEXEC itself.
    options
        .read(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

impl Vfs for OsVfs {
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Arc<dyn VfsFile>> {
        let file = match how {
            OpenHow::Read => options().open(path),
            OpenHow::Write => options().write(true).open(path),
            OpenHow::Create => options().write(true).create_new(true).open(path),
        }?;
        Ok(Arc::new(OsFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for item in fs::read_dir(dir)? {
            let item = item?;
            // A name that is not UTF-8 is none of ours; a file removed meanwhile is not there.
            let Ok(name) = item.file_name().into_string() else {
                continue;
            };
            match item.metadata() {
                Ok(about) if about.is_file() => entries.push(Entry {
                    name,
                    len: about.len(),
                }),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        entries.sort_unstable();
        Ok(entries)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        if let Some(parent) = dir.parent() {
            if !parent.as_os_str().is_empty() {
                self.create_dir(parent)?;
            }
            match DirBuilder::new().mode(0o700).create(dir) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
                other => other?,
            }
            let parent = if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            };
            return self.sync_dir(parent);
        }
        Err(io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let file = options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(e)) => return Err(e),
        }
        let lock = OsLock(file);
        let pid = format!("{}\n", std::process::id());
        lock.0.set_len(0)?;
        lock.0.write_all_at(pid.as_bytes(), 0)?;
        Ok(Box::new(lock))
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let about = rustix::fs::statvfs(dir)?;
        Ok(about.f_bavail.saturating_mul(about.f_frsize))
    }

    fn identity(&self, dir: &Path) -> io::Result<DirId> {
        let about = fs::metadata(dir)?;
        Ok(DirId(about.dev(), about.ino()))
    }
}

impl VfsFile for OsFile {
    fn write_at(&self, mut off: u64, bufs: &[IoSlice<'_>]) -> io::Result<()> {
        if let [one] = bufs {
            return self.0.write_all_at(one, off);
        }
        // A system call takes at most 1024 buffers. The copy is of the slice headers: `advance_slices` edits them.
        let mut all = bufs.to_vec();
        let mut left = all.as_mut_slice();
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            let batch = &left[..left.len().min(1024)];
            match write_some(&self.0, off, batch) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    off += n as u64;
                    IoSlice::advance_slices(&mut left, n);
                }
                Err(e) if matches!(e.kind(), io::ErrorKind::Interrupted) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn read_at(&self, off: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < out.len() {
            match self.0.read_at(&mut out[done..], off + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let has = self.len()?;
        if has >= len {
            return Ok(());
        }
        match reserve(&self.0, len) {
            Err(e) if e.kind() == io::ErrorKind::Unsupported => self.fill_zeros(has, len),
            other => other,
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    /// Linux writes back what is dirty in a range that it is told to drop, and drops only what is clean already.
    #[cfg(target_os = "linux")]
    fn expect_sync(&self, from: u64, len: u64) {
        use rustix::fs::{Advice, fadvise};
        // Advice that is not taken costs nothing but the time it would have saved.
        let _not_taken = fadvise(
            &self.0,
            from,
            std::num::NonZeroU64::new(len),
            Advice::DontNeed,
        );
    }

    fn map(&self, len: usize) -> io::Result<Map> {
        Map::of_file(&self.0, len)
    }
}

impl OsFile {
    fn fill_zeros(&self, from: u64, to: u64) -> io::Result<()> {
        const ZEROS: &[u8; 1 << 16] = &[0; 1 << 16];
        let mut at = from;
        while at < to {
            let n = usize::try_from(to - at).map_or(ZEROS.len(), |n| n.min(ZEROS.len()));
            self.0.write_all_at(&ZEROS[..n], at)?;
            at += n as u64;
        }
        Ok(())
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn write_some(file: &File, off: u64, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    Ok(rustix::io::pwritev(file, bufs, off)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn write_some(file: &File, off: u64, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    file.write_at(&bufs[0], off)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn reserve(file: &File, len: u64) -> io::Result<()> {
    loop {
        match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, len) {
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                return Err(io::ErrorKind::Unsupported.into());
            }
            other => return Ok(other?),
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn reserve(_file: &File, _len: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn scratch(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("up-osvfs-{name}-{}", std::process::id()))
    }

    #[test]
    fn behaves_like_a_disk() {
        let root = scratch("conformance");
        super::super::conformance::check(&(Arc::new(OsVfs) as Arc<dyn Vfs>), &root);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn modes_are_private_and_links_are_not_followed() {
        let root = scratch("modes");
        OsVfs.create_dir(&root).unwrap();
        let file = root.join("file");
        OsVfs.open(&file, OpenHow::Create).unwrap();
        std::os::unix::fs::symlink(&file, root.join("link")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&root), mode(&file)), (0o700, 0o600));
        assert!(OsVfs.open(&root.join("link"), OpenHow::Read).is_err());
        assert!(OsVfs.lock(&root.join("link")).is_err());
        assert_eq!(
            OsVfs.list(&root).unwrap().len(),
            1,
            "a link is no regular file"
        );
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn zero_filling_stands_in_for_allocation() {
        let root = scratch("zeros");
        OsVfs.create_dir(&root).unwrap();
        let path = root.join("file");
        let file = OsFile(options().write(true).create_new(true).open(&path).unwrap());
        file.write_at(0, &[IoSlice::new(b"keep")]).unwrap();
        file.fill_zeros(4, 200_000).unwrap();
        let mut out = vec![1; 200_001];
        assert_eq!(file.read_at(0, &mut out).unwrap(), 200_000);
        assert_eq!(&out[..4], b"keep");
        assert!(out[4..200_000].iter().all(|b| *b == 0));
        fs::remove_dir_all(&root).unwrap();
    }
}
