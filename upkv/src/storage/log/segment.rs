//! Segment files and the table of those that exist.
//!
//! Invariant: a segment is written only while it is the head; sealing maps it, and from then on its bytes never change and the
//! file is never shortened. A reader holds an `Arc` of the segment, so dropping it from the table unmaps nothing under a reader.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::super::error::{Error, Result};
use super::super::mapped::Map;
use super::super::sync::RwLock;
use super::super::vfs::VfsFile;

/// One segment file.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: u32,
    pub(crate) salt: u64,
    pub(crate) capacity: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn VfsFile>,
    sealed: OnceLock<Map>,
}

impl Segment {
    pub(crate) fn new(
        header: &super::super::format::SegmentHeader,
        path: PathBuf,
        file: Arc<dyn VfsFile>,
    ) -> Self {
        Self {
            id: header.id,
            salt: header.salt,
            capacity: header.capacity,
            path,
            file,
            sealed: OnceLock::new(),
        }
    }

    /// Makes the first `used` bytes immutable and readable through the map.
    pub(crate) fn seal(&self, used: u64) -> Result<()> {
        let used = usize::try_from(used)
            .map_err(|_| Error::misuse("segment exceeds the address space"))?;
        let map = self
            .file
            .map(used)
            .map_err(|e| Error::io("map", &self.path, e))?;
        let _already = self.sealed.set(map);
        Ok(())
    }

    /// The sealed bytes, or `None` while this is the head.
    pub(crate) fn map(&self) -> Option<&Map> {
        self.sealed.get()
    }

    /// Bytes in use: all of a sealed segment, unknown (0) for the head.
    pub(crate) fn used(&self) -> u64 {
        self.map().map_or(0, |map| map.len() as u64)
    }
}

/// File name of segment `id`.
pub(crate) fn path_of(dir: &Path, id: u32) -> PathBuf {
    dir.join("seg").join(format!("{id:08x}.log"))
}

/// The segment number in a file name, if it is one.
pub(crate) fn id_of(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 8)
        .then(|| u32::from_str_radix(digits, 16).ok())
        .flatten()
}

/// All segments by number.
#[derive(Debug, Default)]
pub(crate) struct SegmentTable {
    segments: RwLock<BTreeMap<u32, Arc<Segment>>>,
}

impl SegmentTable {
    pub(crate) fn get(&self, id: u32) -> Option<Arc<Segment>> {
        self.segments.read().get(&id).cloned()
    }

    pub(crate) fn insert(&self, segment: Arc<Segment>) {
        self.segments.write().insert(segment.id, segment);
    }

    pub(crate) fn remove(&self, id: u32) -> Option<Arc<Segment>> {
        self.segments.write().remove(&id)
    }

    /// All segments, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Segment>> {
        self.segments.read().values().cloned().collect()
    }

    pub(crate) fn contains(&self, id: u32) -> bool {
        self.segments.read().contains_key(&id)
    }
}
