//! The manifest: who this store is, which engines it knows, which checkpoints are current.
//!
//! Invariant: the file is replaced whole (write aside, sync, rename, sync the directory), so it is always one version or the next.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::address::Seq;
use super::checksum::crc32c;
use super::codec::{Decode, Encode, decode_small, encode_small};
use super::error::{Error, ErrorKind, Result};
use super::format::{HeaderError, MAJOR, MANIFEST_MAGIC, MINOR, SUPPORTED, check_preamble, u32_at};
use super::vfs::{OpenHow, Vfs};

const HEADER: usize = 32;
/// Bound on the file: 65,535 mounts with names of 255 bytes do not reach it.
const BYTES_MAX: u64 = 32 << 20;
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
    pub(crate) fn save(&self, vfs: &Arc<dyn Vfs>, dir: &Path) -> Result<()> {
        replace(
            vfs,
            dir,
            &Self::path(dir),
            &dir.join("MANIFEST.new"),
            &[&self.encode()],
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
