//! Saving what is valid of a damaged store.
//!
//! Invariant: the source is only read; one segment of it and one of the target are in memory at a time.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::{Found, walk};
use super::checkpoint::{Checkpoint, path_of as checkpoint_path};
use super::clock::Random;
use super::error::{Error, Result};
use super::format::{FrameHeader, PAGE, SEGMENT_HEADER, SegmentHeader};
use super::log::tail::Source;
use super::log::{id_of, path_of};
use super::manifest::Manifest;
use super::vfs::{OpenHow, Vfs};

/// What [`salvage`] saved and lost.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct SalvageReport {
    /// Segments copied as they are, damaged records included: reading those answers `Corrupt`, all others are served.
    pub segments_copied: u64,
    /// Commits after the first damage in the replayed part that were saved.
    pub frames_saved: u64,
    /// Damaged stretches: file, first byte, byte after the last.
    pub lost: Vec<(PathBuf, u64, u64)>,
    /// Whether a checkpoint was usable. Without one, keys deleted long ago may come back.
    pub checkpoint_used: bool,
}

/// Copies what is valid of the store in `from` to a new store in `to`, which must not exist or be empty. `from` is only read, and must
/// not be open.
///
/// # Errors
///
/// `Misuse` if `to` holds something; `Corrupt` if the manifest is unreadable, since nothing can be told apart without it; I/O
/// errors.
pub fn salvage(vfs: &Arc<dyn Vfs>, from: &Path, to: &Path) -> Result<SalvageReport> {
    let manifest = Manifest::load(vfs, from)?
        .ok_or_else(|| Error::corrupt(from.join("MANIFEST"), 0, "the file is missing"))?;
    prepare(vfs, to)?;
    let mut report = SalvageReport::default();
    let base = manifest
        .checkpoints
        .iter()
        .rev()
        .find_map(|id| Checkpoint::load(vfs, from, *id, manifest.uuid).ok());
    report.checkpoint_used = base.is_some();
    copy_log(vfs, from, to, &manifest, base.as_ref(), &mut report)?;
    let mut saved = manifest;
    saved.clean_seq = None;
    saved.checkpoints.clear();
    if let Some(base) = &base {
        let bytes = read_all(vfs, &checkpoint_path(from, base.id))?;
        write_new(vfs, &checkpoint_path(to, base.id), &[&bytes])?;
        saved.checkpoints.push(base.id);
    }
    for sub in [to.join("seg"), to.join("ckp")] {
        vfs.sync_dir(&sub).map_err(|e| Error::io("sync", &sub, e))?;
    }
    saved.save(vfs, to)?;
    Ok(report)
}

/// Makes the empty directories of the target.
fn prepare(vfs: &Arc<dyn Vfs>, to: &Path) -> Result<()> {
    for sub in [to.to_path_buf(), to.join("seg"), to.join("ckp")] {
        vfs.create_dir(&sub)
            .map_err(|e| Error::io("create", &sub, e))?;
        let entries = vfs.list(&sub).map_err(|e| Error::io("list", &sub, e))?;
        if let Some(entry) = entries.iter().find(|e| e.name != "seg" && e.name != "ckp") {
            return Err(Error::misuse(format!("the target holds {:?}", entry.name)));
        }
    }
    Ok(())
}

/// Copies segments up to the first damage behind the checkpoint as they are, and what is valid behind it into new ones.
fn copy_log(
    vfs: &Arc<dyn Vfs>,
    from: &Path,
    to: &Path,
    manifest: &Manifest,
    base: Option<&Checkpoint>,
    report: &mut SalvageReport,
) -> Result<()> {
    let segments = headers(vfs, from, manifest, report)?;
    let (first, start, seq) = match base {
        Some(base) => (base.from.segment, base.from.offset, base.from.seq),
        None => (segments.first().map_or(0, |s| s.id), SEGMENT_HEADER, 1),
    };
    let whole = segments.first().is_some_and(|header| header.first_seq == 1);
    let mut tail = Tail {
        next_seq: seq,
        body: Vec::new(),
        body_first_seq: seq,
        salt: Random::from_os().next_u64(),
        broken: base.is_none() && !whole,
        next_id: first,
        manifest,
    };
    for header in &segments {
        let path = path_of(from, header.id);
        let bytes = read_all(vfs, &path)?;
        let mut keep = bytes.len();
        if header.id < first {
            note_damage(&path, &bytes, header.salt, report);
        } else {
            let at = if header.id == first {
                start
            } else {
                SEGMENT_HEADER
            };
            let replayed = usize::try_from(at).unwrap_or(keep).min(keep);
            note_damage(&path, &bytes[..replayed], header.salt, report);
            keep = keep.min(tail.take(&path, header, &bytes, replayed, report));
        }
        if header.id < first || keep as u64 > SEGMENT_HEADER {
            write_new(vfs, &path_of(to, header.id), &[&bytes[..keep]])?;
            report.segments_copied += 1;
            // Segments behind the damage are not copied, so what is saved of them follows the last copied one.
            tail.next_id = tail.next_id.max(header.id + 1);
        }
        if tail.body.len() >= BODY_BYTES {
            tail.write(vfs, to)?;
        }
    }
    tail.write(vfs, to)
}

/// A segment of saved commits is written once it holds this much; one more segment's worth may come on top.
const BODY_BYTES: usize = 64 << 20;

/// The part of the log that is replayed: frames in order up to the first damage stay in place, those after it are numbered anew.
struct Tail<'a> {
    next_seq: u64,
    body: Vec<u8>,
    /// Number of the first commit in `body`.
    body_first_seq: u64,
    salt: u64,
    /// Past the first damage, or no checkpoint says where replay starts.
    broken: bool,
    /// Number of the next segment of saved commits.
    next_id: u32,
    manifest: &'a Manifest,
}

impl Tail<'_> {
    /// Takes in one segment from `at` on; returns how much of it stays in place.
    fn take(
        &mut self,
        path: &Path,
        header: &SegmentHeader,
        bytes: &[u8],
        at: usize,
        report: &mut SalvageReport,
    ) -> usize {
        let mut keep = at;
        walk(bytes, header.salt, at as u64, |found| match found {
            Found::Frame(offset, frame) if !self.broken && frame.seq == self.next_seq => {
                keep = offset as usize + frame.len as usize;
                self.next_seq += 1;
            }
            Found::Frame(_, frame) if !self.broken && frame.seq < self.next_seq => {}
            Found::Frame(offset, frame) => {
                self.broken = true;
                if self.body.is_empty() {
                    self.body_first_seq = self.next_seq;
                }
                let source = Source {
                    bytes,
                    salt: header.salt,
                };
                let seq = self.next_seq;
                source.copy_frame(
                    offset,
                    &FrameHeader {
                        seq,
                        durable: 0,
                        ..frame
                    },
                    self.salt,
                    &mut self.body,
                );
                self.next_seq += 1;
                report.frames_saved += 1;
            }
            Found::Damage(from, to) => {
                self.broken = true;
                report.lost.push((path.to_path_buf(), from, to));
            }
        });
        keep
    }

    /// Writes the saved commits, if any, as a segment.
    fn write(&mut self, vfs: &Arc<dyn Vfs>, to: &Path) -> Result<()> {
        if self.body.is_empty() {
            return Ok(());
        }
        let header = SegmentHeader {
            uuid: self.manifest.uuid,
            id: self.next_id,
            salt: self.salt,
            first_seq: self.body_first_seq,
            incarnation: self.manifest.incarnation,
            capacity: (SEGMENT_HEADER + self.body.len() as u64).max(PAGE),
        };
        let parts: [&[u8]; 2] = [&header.encode(), &self.body];
        write_new(vfs, &path_of(to, header.id), &parts)?;
        self.body.clear();
        self.next_id += 1;
        Ok(())
    }
}

fn note_damage(path: &Path, bytes: &[u8], salt: u64, report: &mut SalvageReport) {
    walk(bytes, salt, SEGMENT_HEADER, |found| {
        if let Found::Damage(from, to) = found {
            report.lost.push((path.to_path_buf(), from, to));
        }
    });
}

/// Headers of the segments that can be read at all, oldest first.
fn headers(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    manifest: &Manifest,
    report: &mut SalvageReport,
) -> Result<Vec<SegmentHeader>> {
    let seg = dir.join("seg");
    let entries = vfs.list(&seg).map_err(|e| Error::io("list", &seg, e))?;
    let mut ids: Vec<u32> = entries
        .iter()
        .filter_map(|entry| id_of(&entry.name))
        .collect();
    ids.sort_unstable();
    let mut out = Vec::with_capacity(ids.len());
    for id in ids {
        let path = path_of(dir, id);
        let file = vfs
            .open(&path, OpenHow::Read)
            .map_err(|e| Error::io("open", &path, e))?;
        let mut head = vec![0; usize::try_from(SEGMENT_HEADER).expect("a page")];
        let read = file
            .read_at(0, &mut head)
            .map_err(|e| Error::io("read", &path, e))?;
        match SegmentHeader::decode(&head[..read]) {
            Ok(header) if header.uuid == manifest.uuid && header.id == id => out.push(header),
            // Without its salt no frame of it can be verified.
            _ => {
                let len = file.len().map_err(|e| Error::io("read", &path, e))?;
                report.lost.push((path, 0, len));
            }
        }
    }
    Ok(out)
}

fn read_all(vfs: &Arc<dyn Vfs>, path: &Path) -> Result<Vec<u8>> {
    let file = vfs
        .open(path, OpenHow::Read)
        .map_err(|e| Error::io("open", path, e))?;
    let len = file.len().map_err(|e| Error::io("read", path, e))?;
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| Error::misuse("file too large"))?];
    let read = file
        .read_at(0, &mut bytes)
        .map_err(|e| Error::io("read", path, e))?;
    bytes.truncate(read);
    Ok(bytes)
}

fn write_new(vfs: &Arc<dyn Vfs>, path: &Path, parts: &[&[u8]]) -> Result<()> {
    let file = vfs
        .open(path, OpenHow::Create)
        .map_err(|e| Error::io("create", path, e))?;
    let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    file.write_at(0, &slices)
        .map_err(|e| Error::io("write", path, e))?;
    file.sync_data().map_err(|e| Error::io("sync", path, e))
}
