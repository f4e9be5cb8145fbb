//! Verifying a whole store, and saving what is valid of a damaged one.
//!
//! Invariant: `check` changes nothing; `salvage` never writes to its source, and never takes bytes for a frame that were not one at
//! this very place, because checksums are salted with segment and offset.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::{Checkpoint, path_of as checkpoint_path};
use super::clock::Random;
use super::error::{Error, Result};
use super::format::{ALIGN, FrameHeader, PAGE, SEGMENT_HEADER, SegmentHeader, verified_frame};
use super::log::recover::copy_frame;
use super::log::{id_of, path_of};
use super::manifest::Manifest;
use super::store::Store;
use super::vfs::{OpenHow, Vfs};

/// What [`Store::check`] read and found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct CheckReport {
    /// Segments read.
    pub segments: u64,
    /// Commits verified.
    pub frames: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Checkpoints verified.
    pub checkpoints: u64,
    /// What is damaged, one error per place.
    pub problems: Vec<Error>,
}

impl Store {
    /// Reads and verifies every file: manifest, checkpoints, every record of every segment. Serving goes on meanwhile.
    ///
    /// # Errors
    ///
    /// I/O errors; damage is listed in the report instead.
    ///
    /// # Complexity
    ///
    /// Linear in the bytes of the store.
    pub fn check(&self) -> Result<CheckReport> {
        let log = &self.inner.core.log;
        log.flush(log.last_seq())?;
        let mut report = CheckReport::default();
        let (checkpoints, uuid) = {
            let registry = self.inner.registry.lock();
            (
                registry.manifest.checkpoints.clone(),
                registry.manifest.uuid,
            )
        };
        match Manifest::load(&log.vfs, &log.dir) {
            Ok(Some(_)) => {}
            Ok(None) => {
                report.problems.push(Error::corrupt(
                    log.dir.join("MANIFEST"),
                    0,
                    "the file is missing",
                ));
            }
            Err(error) => report.problems.push(error),
        }
        for id in checkpoints {
            match Checkpoint::load(&log.vfs, &log.dir, id, uuid) {
                Ok(_) => report.checkpoints += 1,
                // A newer checkpoint may have replaced it since the list was read.
                Err(_)
                    if !self
                        .inner
                        .registry
                        .lock()
                        .manifest
                        .checkpoints
                        .contains(&id) => {}
                Err(error) => report.problems.push(error),
            }
        }
        for segment in log.segments.all() {
            report.segments += 1;
            if let Some(map) = segment.map() {
                report.segment(&segment.path, map.as_slice(), segment.salt);
                continue;
            }
            // The head is verified as far as it is written.
            let (_, end, _) = log.position();
            let mut bytes = vec![0; usize::try_from(end).unwrap_or(usize::MAX)];
            let read = segment
                .file
                .read_at(0, &mut bytes)
                .map_err(|e| Error::io("read", &segment.path, e))?;
            bytes.truncate(read);
            report.segment(&segment.path, &bytes, segment.salt);
        }
        Ok(report)
    }
}

impl CheckReport {
    /// Walks a whole segment; between frames only zeros may stand.
    fn segment(&mut self, path: &Path, bytes: &[u8], salt: u64) {
        walk(bytes, salt, SEGMENT_HEADER, |found| match found {
            Found::Frame(_, header) => {
                self.frames += 1;
                self.bytes += u64::from(header.len);
            }
            Found::Damage(from, _) => {
                self.problems
                    .push(Error::corrupt(path, from, "this is no valid commit"));
            }
        });
    }
}

enum Found {
    Frame(u32, FrameHeader),
    /// Bytes from..to that are neither frames nor zeros.
    Damage(u64, u64),
}

/// Visits all frames from `from` on, skipping over what is not one.
fn walk(bytes: &[u8], salt: u64, from: u64, mut visit: impl FnMut(Found)) {
    let mut at = from;
    let mut damage = None;
    while let Some(offset) = u32::try_from(at)
        .ok()
        .filter(|o| (*o as usize) < bytes.len())
    {
        let start = offset as usize;
        if let Some(header) = verified_frame(bytes, salt, offset) {
            if let Some(from) = damage.take() {
                visit(Found::Damage(from, at));
            }
            visit(Found::Frame(offset, header));
            at += u64::from(header.len);
            continue;
        }
        let unit = &bytes[start..bytes.len().min(start + usize::try_from(ALIGN).expect("16"))];
        if damage.is_none() && unit.iter().any(|b| *b != 0) {
            damage = Some(at);
        }
        at += ALIGN;
    }
    if let Some(from) = damage {
        visit(Found::Damage(from, at.min(bytes.len() as u64)));
    }
}

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
    for sub in [to.to_path_buf(), to.join("seg"), to.join("ckp")] {
        vfs.create_dir(&sub)
            .map_err(|e| Error::io("create", &sub, e))?;
        let entries = vfs.list(&sub).map_err(|e| Error::io("list", &sub, e))?;
        if let Some(entry) = entries.iter().find(|e| e.name != "seg" && e.name != "ckp") {
            return Err(Error::misuse(format!("the target holds {:?}", entry.name)));
        }
    }
    let mut report = SalvageReport::default();
    let base = manifest
        .checkpoints
        .iter()
        .rev()
        .find_map(|id| Checkpoint::load(vfs, from, *id, manifest.uuid).ok());
    report.checkpoint_used = base.is_some();
    let segments = readable_segments(vfs, from, &manifest, &mut report)?;
    let (first, start, seq) = match &base {
        Some(base) => (base.from.segment, base.from.offset, base.from.seq),
        None => (segments.first().map_or(0, |s| s.0.id), SEGMENT_HEADER, 1),
    };
    let whole = segments
        .first()
        .is_some_and(|(header, _)| header.first_seq == 1);
    let mut tail = Tail {
        next_seq: seq,
        body: Vec::new(),
        salt: Random::from_os().next_u64(),
        broken: base.is_none() && !whole,
    };
    let mut next_id = first;
    for (header, bytes) in &segments {
        let path = path_of(from, header.id);
        let mut keep = bytes.len() as u64;
        if header.id < first {
            note_damage(&path, bytes, header.salt, SEGMENT_HEADER, &mut report);
        } else {
            let at = if header.id == first {
                start
            } else {
                SEGMENT_HEADER
            };
            note_damage(
                &path,
                &bytes[..usize::try_from(at).unwrap_or(0).min(bytes.len())],
                header.salt,
                SEGMENT_HEADER,
                &mut report,
            );
            keep = tail.take(&path, header, bytes, at, &mut report);
        }
        if header.id < first || keep > SEGMENT_HEADER {
            let keep = usize::try_from(keep)
                .unwrap_or(bytes.len())
                .min(bytes.len());
            write_new(vfs, &path_of(to, header.id), &[&bytes[..keep]])?;
            report.segments_copied += 1;
            next_id = next_id.max(header.id + 1);
        }
    }
    if !tail.body.is_empty() {
        let header = SegmentHeader {
            uuid: manifest.uuid,
            id: next_id,
            salt: tail.salt,
            first_seq: tail.first_seq(report.frames_saved),
            incarnation: manifest.incarnation,
            capacity: (SEGMENT_HEADER + tail.body.len() as u64).max(PAGE),
        };
        write_new(
            vfs,
            &path_of(to, header.id),
            &[&header.encode(), &tail.body],
        )?;
    }
    let mut saved = manifest;
    saved.clean_seq = None;
    saved.checkpoints.clear();
    if let Some(base) = &base {
        let file = checkpoint_path(from, base.id);
        let bytes = read_all(vfs, &file)?;
        write_new(vfs, &checkpoint_path(to, base.id), &[&bytes])?;
        saved.checkpoints.push(base.id);
    }
    for sub in [to.join("seg"), to.join("ckp")] {
        vfs.sync_dir(&sub).map_err(|e| Error::io("sync", &sub, e))?;
    }
    saved.save(vfs, to)?;
    Ok(report)
}

/// The part of the log that is replayed: frames in order up to the first damage stay in place, those after it are numbered anew.
struct Tail {
    next_seq: u64,
    body: Vec<u8>,
    salt: u64,
    /// Past the first damage, or no checkpoint says where replay starts.
    broken: bool,
}

impl Tail {
    fn first_seq(&self, saved: u64) -> u64 {
        self.next_seq - saved
    }

    /// Takes in one segment; returns how much of it stays in place.
    fn take(
        &mut self,
        path: &Path,
        header: &SegmentHeader,
        bytes: &[u8],
        at: u64,
        report: &mut SalvageReport,
    ) -> u64 {
        let mut keep = at;
        walk(bytes, header.salt, at, |found| match found {
            Found::Frame(offset, frame) if !self.broken && frame.seq == self.next_seq => {
                keep = u64::from(offset) + u64::from(frame.len);
                self.next_seq += 1;
            }
            Found::Frame(_, frame) if !self.broken && frame.seq < self.next_seq => {}
            Found::Frame(offset, frame) => {
                self.broken = true;
                copy_frame(
                    bytes,
                    header.salt,
                    offset,
                    &frame,
                    self.next_seq,
                    0,
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
}

fn note_damage(path: &Path, bytes: &[u8], salt: u64, from: u64, report: &mut SalvageReport) {
    walk(bytes, salt, from, |found| {
        if let Found::Damage(from, to) = found {
            report.lost.push((path.to_path_buf(), from, to));
        }
    });
}

fn readable_segments(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    manifest: &Manifest,
    report: &mut SalvageReport,
) -> Result<Vec<(SegmentHeader, Vec<u8>)>> {
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
        let bytes = read_all(vfs, &path)?;
        match SegmentHeader::decode(&bytes) {
            Ok(header) if header.uuid == manifest.uuid && header.id == id => {
                out.push((header, bytes))
            }
            // Without its salt no frame of it can be verified.
            _ => report.lost.push((path, 0, bytes.len() as u64)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_behind_damage_and_zeros_are_none() {
        let frame = FrameHeader {
            len: 32,
            seq: 1,
            durable: 0,
            records: 0,
        };
        let mut bytes = vec![0; 4096 + 128];
        bytes[4096..4128].copy_from_slice(&frame.encode(9, 4096));
        bytes[4130] = 1;
        bytes[4160..4192].copy_from_slice(&frame.encode(9, 4160));
        let mut seen = Vec::new();
        walk(&bytes, 9, SEGMENT_HEADER, |found| {
            seen.push(match found {
                Found::Frame(offset, _) => (u64::from(offset), 0),
                Found::Damage(from, to) => (from, to),
            });
        });
        assert_eq!(seen, [(4096, 0), (4128, 4160), (4160, 0)]);
    }
}
