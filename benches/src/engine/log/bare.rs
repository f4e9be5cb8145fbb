//! The loop that no log can be faster than: write to the end of a file, `fdatasync`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Level, LogEngine};
use crate::Result;

/// A file and its end.
#[derive(Debug)]
pub struct BareLog {
    file: File,
    end: AtomicU64,
    name: &'static str,
}

impl BareLog {
    /// A file that grows with every write, as the simplest log does. Each sync also writes the new length.
    pub fn growing(path: &Path) -> Result<Self> {
        Self::create(path, "bare append+fdatasync", 0)
    }

    /// A file whose first `bytes` bytes were allocated before: no new length to write.
    pub fn allocated(path: &Path, bytes: u64) -> Result<Self> {
        Self::create(path, "bare write+fdatasync, allocated", bytes)
    }

    fn create(path: &Path, name: &'static str, bytes: u64) -> Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        if bytes > 0 {
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)?;
        }
        file.sync_all()?;
        let end = AtomicU64::new(0);
        Ok(Self { file, end, name })
    }
}

impl LogEngine for BareLog {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn append(&self, body: &[u8], level: Level) -> Result<()> {
        let at = self.end.fetch_add(body.len() as u64, Ordering::Relaxed);
        self.file.write_all_at(body, at)?;
        if level == Level::Disk {
            self.file.sync_data()?;
        }
        Ok(())
    }
}
