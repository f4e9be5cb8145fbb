//! Verifying a whole store.
//!
//! Invariant: nothing is changed, and no bytes are taken for a frame that were not one at this very place, because checksums are
//! salted with segment and offset.

use std::path::Path;

use super::checkpoint::Checkpoint;
use super::error::{Error, Result};
use super::format::{ALIGN, FrameHeader, SEGMENT_HEADER, verified_frame};
use super::manifest::Manifest;
use super::store::Store;

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

/// What [`walk`] comes across.
pub(super) enum Found {
    Frame(u32, FrameHeader),
    /// Bytes from..to that are neither frames nor zeros.
    Damage(u64, u64),
}

/// Visits all frames from `from` on, skipping over what is not one.
pub(super) fn walk(bytes: &[u8], salt: u64, from: u64, mut visit: impl FnMut(Found)) {
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
