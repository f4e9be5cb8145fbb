//! Checkpoint files: the engines' states at one moment, so that opening replays only what came after.
//!
//! A checkpoint is a stream of checksummed blocks: per engine its number, the commit it is folded up to, its own bytes, and its live
//! bytes per segment; for an engine that is not mounted the same again, copied, with the sections it has not seen yet.
//!
//! Invariant: a file counts only if its last block is there and the manifest names it; it is synced before that.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::address::{MountId, Seq};
use super::checksum::{crc32c, crc32c_append, salt};
use super::error::{Error, ErrorKind, Result};
use super::format::{
    CHECKPOINT_MAGIC, HeaderError, MAJOR, MINOR, SUPPORTED, check_preamble, u16_at, u32_at, u64_at,
};
use super::mapped::Map;
use super::vfs::{OpenHow, Vfs, VfsFile};

const HEADER: usize = 80;
const BLOCK_HEADER: usize = 16;
/// Data is cut into blocks of at most this.
const BLOCK_BYTES: usize = 64 * 1024;

const MOUNT: u8 = 1;
const DATA: u8 = 2;
const LIVE: u8 = 3;
const PENDING: u8 = 4;
const END: u8 = 5;

/// A place in the log from which frames are replayed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplayFrom {
    pub(crate) segment: u32,
    pub(crate) offset: u64,
    pub(crate) seq: Seq,
}

/// A commit that holds records of some engine.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct SectionRef {
    pub(crate) seq: Seq,
    pub(crate) segment: u32,
    pub(crate) offset: u32,
}

/// File name of checkpoint `id`.
pub(crate) fn path_of(dir: &Path, id: u64) -> PathBuf {
    dir.join("ckp").join(format!("{id:016x}.ckp"))
}

/// Writes a checkpoint file from front to back.
pub(crate) struct Builder {
    file: Arc<dyn VfsFile>,
    path: PathBuf,
    id: u64,
    offset: u64,
    block: u32,
    buffer: Vec<u8>,
}

impl Builder {
    pub(crate) fn create(
        vfs: &Arc<dyn Vfs>,
        dir: &Path,
        id: u64,
        uuid: [u8; 16],
        from: ReplayFrom,
        floor: u32,
    ) -> Result<Self> {
        let path = path_of(dir, id);
        if vfs.exists(&path) {
            // Left behind by a crash before the manifest named it.
            vfs.unlink(&path)
                .map_err(|e| Error::io("unlink", &path, e))?;
        }
        let file = vfs
            .open(&path, OpenHow::Create)
            .map_err(|e| Error::io("create", &path, e))?;
        let mut head = Vec::with_capacity(HEADER);
        head.extend_from_slice(&CHECKPOINT_MAGIC);
        head.extend_from_slice(&MAJOR.to_le_bytes());
        head.extend_from_slice(&MINOR.to_le_bytes());
        head.extend_from_slice(&[0; 12]);
        head.extend_from_slice(&uuid);
        head.extend_from_slice(&id.to_le_bytes());
        head.extend_from_slice(&from.segment.to_le_bytes());
        head.extend_from_slice(&floor.to_le_bytes());
        head.extend_from_slice(&from.offset.to_le_bytes());
        head.extend_from_slice(&from.seq.to_le_bytes());
        let crc = crc32c(&head);
        head.extend_from_slice(&crc.to_le_bytes());
        head.resize(HEADER, 0);
        Ok(Self {
            file,
            path,
            id,
            offset: 0,
            block: 0,
            buffer: head,
        })
    }

    /// Starts the part of one engine; its data follows through a [`CheckpointWriter`].
    pub(crate) fn mount(&mut self, mount: MountId) -> CheckpointWriter<'_> {
        CheckpointWriter {
            builder: self,
            mount,
            begun: false,
            data: Vec::new(),
        }
    }

    pub(crate) fn live(&mut self, live: &[(u32, u64)]) -> Result<()> {
        let mut data = Vec::with_capacity(live.len() * 12);
        for (segment, bytes) in live {
            data.extend_from_slice(&segment.to_le_bytes());
            data.extend_from_slice(&bytes.to_le_bytes());
        }
        self.blocks(LIVE, &data, BLOCK_BYTES / 12 * 12)
    }

    pub(crate) fn pending(&mut self, pending: &[SectionRef]) -> Result<()> {
        let mut data = Vec::with_capacity(pending.len() * 16);
        for section in pending {
            data.extend_from_slice(&section.seq.to_le_bytes());
            data.extend_from_slice(&section.segment.to_le_bytes());
            data.extend_from_slice(&section.offset.to_le_bytes());
        }
        self.blocks(PENDING, &data, BLOCK_BYTES)
    }

    /// Completes and syncs the file. `last` is the newest commit that the checkpoint may have seen: the log must be durable up to it
    /// before the checkpoint is named.
    pub(crate) fn finish(mut self, vfs: &Arc<dyn Vfs>, last: Seq) -> Result<u64> {
        self.block(END, &last.to_le_bytes())?;
        self.spill()?;
        self.file
            .sync_data()
            .map_err(|e| Error::io("sync", &self.path, e))?;
        let dir = self.path.parent().unwrap_or(&self.path);
        vfs.sync_dir(dir).map_err(|e| Error::io("sync", dir, e))?;
        Ok(self.offset)
    }

    fn blocks(&mut self, kind: u8, data: &[u8], step: usize) -> Result<()> {
        data.chunks(step)
            .try_for_each(|chunk| self.block(kind, chunk))
    }

    fn block(&mut self, kind: u8, data: &[u8]) -> Result<()> {
        let len = u32::try_from(data.len()).expect("blocks are small");
        let crc = block_crc(kind, len, data) ^ salt(self.id, self.block, 0);
        let mut head = [0; BLOCK_HEADER];
        head[0] = kind;
        head[4..8].copy_from_slice(&len.to_le_bytes());
        head[8..12].copy_from_slice(&crc.to_le_bytes());
        self.buffer.extend_from_slice(&head);
        self.buffer.extend_from_slice(data);
        self.block += 1;
        if self.buffer.len() >= 16 * BLOCK_BYTES {
            self.spill()
        } else {
            Ok(())
        }
    }

    fn spill(&mut self) -> Result<()> {
        self.file
            .write_at(self.offset, &[IoSlice::new(&self.buffer)])
            .map_err(|e| Error::io("write", &self.path, e))?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

fn block_crc(kind: u8, len: u32, data: &[u8]) -> u32 {
    let mut head = [0; 8];
    head[0] = kind;
    head[4..8].copy_from_slice(&len.to_le_bytes());
    crc32c_append(crc32c(&head), data)
}

/// Where an engine writes its part of a checkpoint.
#[derive(Debug)]
pub struct CheckpointWriter<'a> {
    builder: &'a mut Builder,
    mount: MountId,
    begun: bool,
    data: Vec<u8>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl CheckpointWriter<'_> {
    /// Says up to which commit the state that follows is folded. Commits after it are applied again at the next opening.
    ///
    /// # Errors
    ///
    /// `Misuse` on a second call; I/O errors.
    pub fn begin(&mut self, folded: Seq) -> Result<()> {
        if self.begun {
            return Err(Error::misuse("a checkpoint begins once"));
        }
        self.begun = true;
        let mut head = [0; 10];
        head[0..2].copy_from_slice(&self.mount.0.to_le_bytes());
        head[2..10].copy_from_slice(&folded.to_le_bytes());
        self.builder.block(MOUNT, &head)
    }

    /// Appends bytes to this engine's part.
    ///
    /// # Errors
    ///
    /// `Misuse` before [`CheckpointWriter::begin`]; I/O errors.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        if !self.begun {
            return Err(Error::misuse("a checkpoint begins with begin()"));
        }
        while !bytes.is_empty() {
            let room = BLOCK_BYTES - self.data.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.data.extend_from_slice(now);
            bytes = later;
            if self.data.len() == BLOCK_BYTES {
                self.builder.block(DATA, &self.data)?;
                self.data.clear();
            }
        }
        Ok(())
    }

    pub(crate) fn end(self) -> Result<()> {
        if !self.begun {
            return Err(Error::misuse("a participant wrote no checkpoint"));
        }
        if self.data.is_empty() {
            Ok(())
        } else {
            self.builder.block(DATA, &self.data)
        }
    }
}

/// A verified checkpoint file.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) id: u64,
    pub(crate) from: ReplayFrom,
    /// First segment that opening from this checkpoint may read a commit of: that of `from`, or an earlier one with commits that an
    /// engine had not taken in.
    pub(crate) floor: u32,
    /// Newest commit the engines may have seen when it was written; durable before the checkpoint was named.
    pub(crate) last: Seq,
    pub(crate) parts: Vec<MountPart>,
    map: Map,
}

/// Where replay starts, and the first segment needed.
fn decode_header(path: &Path, bytes: &[u8], id: u64, uuid: [u8; 16]) -> Result<(ReplayFrom, u32)> {
    let damaged = |at: u64, what: &str| Error::corrupt(path, at, what);
    match check_preamble(bytes, CHECKPOINT_MAGIC) {
        Ok(()) => {}
        Err(HeaderError::Version(found)) => {
            return Err(ErrorKind::UnsupportedFormat {
                file: path.to_path_buf(),
                found,
                supported: SUPPORTED,
            }
            .into());
        }
        Err(_) => return Err(damaged(0, "this is no checkpoint")),
    }
    let short = || damaged(0, "the header is cut short");
    let head = bytes.get(..HEADER).ok_or_else(short)?;
    if u32_at(head, 72) != Some(crc32c(&head[..72])) {
        return Err(damaged(0, "header checksum does not match"));
    }
    if head[24..40] != uuid || u64_at(head, 40) != Some(id) {
        return Err(damaged(24, "the checkpoint belongs to another store"));
    }
    let from = ReplayFrom {
        segment: u32_at(head, 48).ok_or_else(short)?,
        offset: u64_at(head, 56).ok_or_else(short)?,
        seq: u64_at(head, 64).ok_or_else(short)?,
    };
    let floor = u32_at(head, 52).ok_or_else(short)?;
    Ok((from, floor.min(from.segment)))
}

/// One engine's part of a checkpoint.
#[derive(Debug)]
pub(crate) struct MountPart {
    pub(crate) mount: MountId,
    pub(crate) folded: Seq,
    data: Vec<(usize, usize)>,
    pub(crate) live: Vec<(u32, u64)>,
    pub(crate) pending: Vec<SectionRef>,
}

impl Checkpoint {
    /// Opens and verifies checkpoint `id` completely.
    pub(crate) fn load(vfs: &Arc<dyn Vfs>, dir: &Path, id: u64, uuid: [u8; 16]) -> Result<Self> {
        let path = path_of(dir, id);
        let file = vfs.open(&path, OpenHow::Read).map_err(|e| {
            if e.kind() == std::io::ErrorKind::NotFound {
                Error::corrupt(&path, 0, "the checkpoint is missing")
            } else {
                Error::io("open", &path, e)
            }
        })?;
        let len = file.len().map_err(|e| Error::io("read", &path, e))?;
        let len = usize::try_from(len).map_err(|_| Error::corrupt(&path, 0, "too long to map"))?;
        if len < HEADER {
            return Err(Error::corrupt(path, 0, "the checkpoint is cut short"));
        }
        let map = file.map(len).map_err(|e| Error::io("map", &path, e))?;
        Self::decode(&path, map, id, uuid)
    }

    /// First segment that checkpoint `id` needs, by its header alone.
    pub(crate) fn floor_of(vfs: &Arc<dyn Vfs>, dir: &Path, id: u64, uuid: [u8; 16]) -> Result<u32> {
        let path = path_of(dir, id);
        let file = vfs
            .open(&path, OpenHow::Read)
            .map_err(|e| Error::io("open", &path, e))?;
        let mut head = [0; HEADER];
        let read = file
            .read_at(0, &mut head)
            .map_err(|e| Error::io("read", &path, e))?;
        Ok(decode_header(&path, &head[..read], id, uuid)?.1)
    }

    pub(crate) fn decode(path: &Path, map: Map, id: u64, uuid: [u8; 16]) -> Result<Self> {
        let bytes = map.as_slice();
        let damaged = |at: usize, what: &str| Error::corrupt(path, at as u64, what);
        let (from, floor) = decode_header(path, bytes, id, uuid)?;
        let mut parts: Vec<MountPart> = Vec::new();
        let mut at = HEADER;
        let mut block = 0u32;
        let last = loop {
            let bad = || damaged(at, "block does not match its checksum");
            let header = bytes.get(at..at + BLOCK_HEADER).ok_or_else(bad)?;
            let kind = header[0];
            let len = u32_at(header, 4).ok_or_else(bad)?;
            let start = at + BLOCK_HEADER;
            let data = bytes
                .get(start..start.saturating_add(len as usize))
                .ok_or_else(bad)?;
            let crc = block_crc(kind, len, data) ^ salt(id, block, 0);
            if u32_at(header, 8) != Some(crc) || header[1..4] != [0; 3] || header[12..] != [0; 4] {
                return Err(bad());
            }
            match (kind, parts.last_mut()) {
                (MOUNT, _) => parts.push(MountPart {
                    mount: MountId(u16_at(data, 0).ok_or_else(bad)?),
                    folded: u64_at(data, 2).ok_or_else(bad)?,
                    data: Vec::new(),
                    live: Vec::new(),
                    pending: Vec::new(),
                }),
                (DATA, Some(part)) => part.data.push((start, data.len())),
                (LIVE, Some(part)) => {
                    for entry in data.chunks_exact(12) {
                        let segment = u32_at(entry, 0).ok_or_else(bad)?;
                        part.live.push((segment, u64_at(entry, 4).ok_or_else(bad)?));
                    }
                }
                (PENDING, Some(part)) => {
                    for entry in data.chunks_exact(16) {
                        part.pending.push(SectionRef {
                            seq: u64_at(entry, 0).ok_or_else(bad)?,
                            segment: u32_at(entry, 8).ok_or_else(bad)?,
                            offset: u32_at(entry, 12).ok_or_else(bad)?,
                        });
                    }
                }
                (END, _) => break u64_at(data, 0).ok_or_else(bad)?,
                _ => return Err(damaged(at, "unknown block")),
            }
            at = start + data.len();
            block += 1;
        };
        Ok(Self {
            id,
            from,
            floor,
            last,
            parts,
            map,
        })
    }

    pub(crate) fn part(&self, mount: MountId) -> Option<&MountPart> {
        self.parts.iter().find(|part| part.mount == mount)
    }

    /// Reads an engine's bytes.
    pub(crate) fn reader<'a>(&'a self, part: &'a MountPart) -> CheckpointReader<'a> {
        let remaining = part.data.iter().map(|(_, len)| *len).sum();
        CheckpointReader {
            map: &self.map,
            blocks: &part.data,
            at: 0,
            remaining,
        }
    }
}

/// An engine's part of a checkpoint as one stream of bytes, already verified.
#[derive(Debug)]
pub struct CheckpointReader<'a> {
    map: &'a Map,
    blocks: &'a [(usize, usize)],
    /// Bytes taken from the first of `blocks`.
    at: usize,
    remaining: usize,
}

impl<'a> CheckpointReader<'a> {
    /// Bytes left.
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// Fills `out`.
    ///
    /// # Errors
    ///
    /// `Corrupt` if fewer bytes are left.
    pub fn read_exact(&mut self, out: &mut [u8]) -> Result<()> {
        if out.len() > self.remaining {
            return Err(Error::corrupt(
                "checkpoint",
                0,
                "the part of an engine is cut short",
            ));
        }
        let mut filled = 0;
        while filled < out.len() {
            let chunk = self.chunk(out.len() - filled);
            out[filled..filled + chunk.len()].copy_from_slice(chunk);
            filled += chunk.len();
        }
        Ok(())
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    ///
    /// `Corrupt` if fewer bytes are left; nothing is allocated then.
    pub fn take(&mut self, n: usize) -> Result<Vec<u8>> {
        if n > self.remaining {
            return Err(Error::corrupt(
                "checkpoint",
                0,
                "the part of an engine is cut short",
            ));
        }
        let mut out = vec![0; n];
        self.read_exact(&mut out)?;
        Ok(out)
    }

    /// The next run of at most `most` bytes, without copying; empty at the end.
    pub fn chunk(&mut self, most: usize) -> &'a [u8] {
        while let Some(((start, len), rest)) = self.blocks.split_first() {
            if self.at == *len {
                self.blocks = rest;
                self.at = 0;
                continue;
            }
            let take = most.min(len - self.at);
            let bytes = self.map.get(start + self.at, take).unwrap_or_default();
            self.at += take;
            self.remaining -= take;
            return bytes;
        }
        &[]
    }
}
