//! The manifest: who this store is, which engines it knows, which checkpoints are current.
//!
//! Invariant: the file is replaced whole (write aside, sync, rename, sync the directory), so it is always one version or the next.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::address::Seq;
use super::checksum::crc32c;
use super::codec::{Decode, Encode, SMALL_BYTES_MAX, decode_small, encode_small};
use super::error::{Error, ErrorKind, Result};
use super::format::{HeaderError, MAJOR, MANIFEST_MAGIC, MINOR, SUPPORTED, check_preamble, u32_at};
use super::vfs::{OpenHow, Vfs};

const HEADER: usize = 32;
/// Bound on the file: some 3,900 mounts with the longest names, or 40,000 with short ones.
const BYTES_MAX: u64 = (HEADER + SMALL_BYTES_MAX) as u64;
/// Longest mount name in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// Contents of the manifest file.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Manifest {
    pub(crate) uuid: [u8; 16],
    /// Seed of every hash that reaches a file.
    pub(crate) hash_seed: u64,
    /// Changes at each opening after an unclean stop.
    pub(crate) incarnation: u64,
    /// Last commit of a clean close.
    pub(crate) clean_seq: Option<Seq>,
    /// Engines by number: (number, kind, name).
    pub(crate) mounts: Vec<(u16, u8, String)>,
    /// Current checkpoints, oldest first, at most two.
    pub(crate) checkpoints: Vec<u64>,
    pub(crate) next_checkpoint: u64,
}

impl Manifest {
    fn path(dir: &Path) -> PathBuf {
        dir.join("MANIFEST")
    }

    fn encode(&self) -> Vec<u8> {
        let body = encode_small(self);
        let mut out = Vec::with_capacity(HEADER + body.len());
        out.extend_from_slice(&MANIFEST_MAGIC);
        out.extend_from_slice(&MAJOR.to_le_bytes());
        out.extend_from_slice(&MINOR.to_le_bytes());
        out.extend_from_slice(&[0; 12]);
        out.extend_from_slice(
            &u32::try_from(body.len())
                .expect("bounded by mounts")
                .to_le_bytes(),
        );
        out.extend_from_slice(&crc32c(&body).to_le_bytes());
        out.extend_from_slice(&body);
        out
    }

    pub(crate) fn decode(path: &Path, bytes: &[u8]) -> Result<Self> {
        match check_preamble(bytes, MANIFEST_MAGIC) {
            Ok(()) => {}
            Err(HeaderError::Version(found)) => {
                return Err(ErrorKind::UnsupportedFormat {
                    file: path.to_path_buf(),
                    found,
                    supported: SUPPORTED,
                }
                .into());
            }
            Err(HeaderError::Blank) => {
                return Err(Error::corrupt(path, 0, "the manifest is empty"));
            }
            Err(HeaderError::Damaged(what)) => return Err(Error::corrupt(path, 0, what)),
        }
        let damaged = |what: &'static str| Error::corrupt(path, 24, what);
        let len = u32_at(bytes, 24).ok_or_else(|| damaged("the header is cut short"))? as usize;
        let crc = u32_at(bytes, 28).ok_or_else(|| damaged("the header is cut short"))?;
        let body = bytes
            .get(HEADER..HEADER.saturating_add(len))
            .filter(|_| HEADER + len == bytes.len())
            .ok_or_else(|| damaged("the length does not match"))?;
        if crc32c(body) != crc {
            return Err(damaged("checksum does not match"));
        }
        decode_small(body).map_err(|bad| damaged_body(path, &bad))
    }

    /// The manifest of the store in `dir`, or `None` if there is none.
    pub(crate) fn load(vfs: &Arc<dyn Vfs>, dir: &Path) -> Result<Option<Self>> {
        let path = Self::path(dir);
        if !vfs.exists(&path) {
            return Ok(None);
        }
        let file = vfs
            .open(&path, OpenHow::Read)
            .map_err(|e| Error::io("open", &path, e))?;
        let len = file.len().map_err(|e| Error::io("read", &path, e))?;
        if len > BYTES_MAX {
            return Err(Error::corrupt(
                path,
                0,
                format!("{len} bytes is no manifest"),
            ));
        }
        let mut bytes = vec![0; usize::try_from(len).expect("bounded above")];
        let read = file
            .read_at(0, &mut bytes)
            .map_err(|e| Error::io("read", &path, e))?;
        bytes.truncate(read);
        Self::decode(&path, &bytes).map(Some)
    }

    /// Replaces the manifest durably.
    ///
    /// # Errors
    ///
    /// `TooLarge`, with nothing changed, if it would be more than can be read again; I/O errors.
    pub(crate) fn save(&self, vfs: &Arc<dyn Vfs>, dir: &Path) -> Result<()> {
        let bytes = self.encode();
        let given = (bytes.len() - HEADER) as u64;
        let limit = SMALL_BYTES_MAX as u64;
        if given > limit {
            let what = "manifest with the names of all mounts";
            return Err(ErrorKind::TooLarge { what, limit, given }.into());
        }
        replace(
            vfs,
            dir,
            &Self::path(dir),
            &dir.join("MANIFEST.new"),
            &[&bytes],
        )
    }
}

fn damaged_body(path: &Path, bad: &super::codec::Malformed) -> Error {
    Error::corrupt(path, HEADER as u64, bad.to_string())
}

/// Makes `path`, in the directory `dir`, a file with these bytes: write `aside`, sync, rename, sync the directory.
pub(crate) fn replace(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    path: &Path,
    aside: &Path,
    parts: &[&[u8]],
) -> Result<()> {
    if vfs.exists(aside) {
        vfs.unlink(aside)
            .map_err(|e| Error::io("unlink", aside, e))?;
    }
    let file = vfs
        .open(aside, OpenHow::Create)
        .map_err(|e| Error::io("create", aside, e))?;
    let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    file.write_at(0, &slices)
        .map_err(|e| Error::io("write", aside, e))?;
    file.sync_data().map_err(|e| Error::io("sync", aside, e))?;
    drop(file);
    vfs.rename(aside, path)
        .map_err(|e| Error::io("rename", path, e))?;
    vfs.sync_dir(dir).map_err(|e| Error::io("sync", dir, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::vfs::MemVfs;

    fn manifest(mounts: u16) -> Manifest {
        Manifest {
            uuid: [7; 16],
            hash_seed: 1,
            incarnation: 2,
            clean_seq: Some(3),
            mounts: (0..mounts)
                .map(|id| (id, 1, "m".repeat(NAME_BYTES_MAX)))
                .collect(),
            checkpoints: vec![4, 5],
            next_checkpoint: 6,
        }
    }

    #[test]
    fn what_could_not_be_read_again_is_refused_before_anything_changes() {
        let disk = MemVfs::new();
        let dir = Path::new("store");
        disk.create_dir(dir).unwrap();
        let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
        let fits = manifest(3_900);
        fits.save(&vfs, dir).unwrap();
        let before = disk.contents();
        let error = manifest(4_100).save(&vfs, dir).unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::TooLarge {
                    limit: 1_048_576,
                    ..
                }
            ),
            "{error}"
        );
        assert_eq!(disk.contents(), before);
        assert_eq!(Manifest::load(&vfs, dir).unwrap(), Some(fits));
    }
}
