//! A disk under construction from recorded operations.
//!
//! Invariant: data, lengths and names are kept apart, because they persist apart.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::sim::{Base, Operation};
use crate::storage::vfs::{MemVfs, Vfs};

/// The names, lengths and bytes that have persisted so far.
pub(super) struct State {
    names: BTreeMap<PathBuf, u64>,
    files: BTreeMap<u64, FileState>,
    dirs: BTreeSet<PathBuf>,
}

#[derive(Default)]
struct FileState {
    /// May be longer or shorter than the file: data and length persist apart.
    bytes: Vec<u8>,
    len: usize,
}

impl State {
    pub(super) fn new(base: &Base) -> Self {
        let mut state = Self {
            names: BTreeMap::new(),
            files: BTreeMap::new(),
            dirs: BTreeSet::new(),
        };
        state.dirs.extend(base.dirs.iter().cloned());
        for (path, (inode, bytes)) in &base.files {
            state.names.insert(path.clone(), *inode);
            state.files.insert(
                *inode,
                FileState {
                    len: bytes.len(),
                    bytes: bytes.clone(),
                },
            );
        }
        state
    }

    pub(super) fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Name {
                path,
                inode,
                removed,
            } => {
                if let Some(removed) = removed {
                    self.names.remove(removed);
                }
                self.names.insert(path.clone(), *inode);
            }
            Operation::Unlink { path } => {
                self.names.remove(path);
            }
            Operation::CreateDir { dir } => {
                self.dirs.insert(dir.clone());
            }
            Operation::Write {
                inode,
                offset,
                bytes,
            } => self.write(*inode, *offset, bytes),
            Operation::Length { inode, from, to } => {
                let file = self.files.entry(*inode).or_default();
                file.len = usize::try_from(*to).expect("lengths in memory fit");
                if to < from {
                    file.bytes.truncate(file.len);
                }
            }
            Operation::SyncData { .. } | Operation::SyncDir { .. } => {}
        }
    }

    pub(super) fn write(&mut self, inode: u64, offset: u64, bytes: &[u8]) {
        let file = self.files.entry(inode).or_default();
        let start = usize::try_from(offset).expect("offsets in memory fit");
        let end = start + bytes.len();
        if file.bytes.len() < end {
            file.bytes.resize(end, 0);
        }
        file.bytes[start..end].copy_from_slice(bytes);
    }

    pub(super) fn into_disk(mut self) -> MemVfs {
        let disk = MemVfs::new();
        for dir in &self.dirs {
            disk.create_dir(dir).expect("no file is in the way");
        }
        for (path, inode) in &self.names {
            let content = self.files.entry(*inode).or_default();
            let mut bytes = content.bytes.clone();
            bytes.resize(content.len, 0);
            disk.put(path, bytes);
        }
        disk
    }
}
