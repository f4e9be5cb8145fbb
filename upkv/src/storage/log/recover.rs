//! Opening the log: find the segments, walk the frames after the checkpoint, judge the end.
//!
//! A bad frame is a torn tail if nothing behind it vouches for it, and corruption otherwise: each frame carries the highest commit
//! that was durable when it was written, a segment's header is written only after all commits before it were durable, and a
//! checkpoint is named only after the log is durable up to it.
//!
//! Invariant: recovery may itself be cut anywhere and repeated; a segment ends where the next one's first commit begins.

use std::path::Path;
use std::sync::Arc;

use super::super::address::Seq;
use super::super::checkpoint::{Checkpoint, ReplayFrom, SectionRef};
use super::super::clock::Random;
use super::super::error::{Error, ErrorKind, Result};
use super::super::format::{FrameHeader, HeaderError, SEGMENT_HEADER, SUPPORTED, SegmentHeader};
use super::super::participant::records_of;
use super::super::vfs::{OpenHow, Vfs, VfsFile};
use super::scan::{is_blank, scan};
use super::tail::Newest;
use super::{Segment, SegmentTable, id_of, path_of};

/// What recovery found.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) segments: SegmentTable,
    pub(crate) next_seq: Seq,
    pub(crate) next_segment: u32,
    /// Commits after the replay start, by engine number.
    pub(crate) sections: Vec<(u16, SectionRef)>,
    pub(crate) frames: u64,
    pub(crate) frame_bytes: u64,
    pub(crate) bytes_cut: u64,
    pub(crate) frames_rewritten: u64,
    /// Whether the last stop was clean.
    pub(crate) clean: bool,
}

/// What the log is checked against.
pub(crate) struct Known<'a> {
    pub(crate) uuid: [u8; 16],
    pub(crate) clean_seq: Option<Seq>,
    pub(crate) checkpoint: Option<&'a Checkpoint>,
}

/// A segment file that has a header.
pub(super) struct Found {
    pub(super) header: SegmentHeader,
    pub(super) segment: Segment,
    pub(super) file_len: u64,
}

pub(crate) fn recover(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    random: &Random,
    known: &Known<'_>,
) -> Result<Recovered> {
    let mut found = find(vfs, dir, known)?;
    let from = replay_from(dir, known, &found)?;
    let mut out = Recovered {
        segments: SegmentTable::default(),
        next_seq: from.seq,
        next_segment: found
            .last()
            .map_or(from.segment, |f| f.header.id + 1)
            .max(from.segment),
        sections: Vec::new(),
        frames: 0,
        frame_bytes: 0,
        bytes_cut: 0,
        frames_rewritten: 0,
        clean: false,
    };
    let replayed = found.partition_point(|f| f.header.id < from.segment);
    let tail = found.split_off(replayed);
    for old in found {
        old.segment.seal(old.file_len)?;
        out.segments.insert(Arc::new(old.segment));
    }
    let vouched = known
        .clean_seq
        .max(known.checkpoint.map(|c| c.last))
        .unwrap_or(0);
    if tail.is_empty() {
        require(from.seq > vouched, &path_of(dir, from.segment), 0, from.seq)?;
    }
    let mut expected_id = from.segment;
    let mut tail = tail.into_iter().peekable();
    while let Some(this) = tail.next() {
        let in_order = this.header.id == expected_id;
        require(in_order, &path_of(dir, expected_id), 0, out.next_seq)?;
        let no_gap = this.header.first_seq <= out.next_seq;
        require(no_gap, &this.segment.path, 0, out.next_seq)?;
        expected_id += 1;
        let start = if this.header.id == from.segment {
            from.offset
        } else {
            SEGMENT_HEADER
        };
        match tail.peek().map(|next| next.header.first_seq) {
            Some(stop) => middle(this, start, stop, &mut out)?,
            None => Newest::read(this, start, &out, vouched, known)?
                .take_in(vfs, dir, random, &mut out)?,
        }
    }
    if out.next_seq == from.seq && out.segments.all().is_empty() {
        out.clean = true;
    }
    Ok(out)
}

/// Where replay starts: at the checkpoint, or at the first commit ever made.
fn replay_from(dir: &Path, known: &Known<'_>, found: &[Found]) -> Result<ReplayFrom> {
    if let Some(checkpoint) = known.checkpoint {
        return Ok(checkpoint.from);
    }
    let (segment, seq) = found
        .first()
        .map_or((0, 1), |first| (first.header.id, first.header.first_seq));
    if seq != 1 {
        let what = format!("the log begins at commit {seq} and there is no checkpoint before it");
        return Err(Error::corrupt(path_of(dir, segment), 0, what));
    }
    Ok(ReplayFrom {
        segment,
        offset: SEGMENT_HEADER,
        seq,
    })
}

/// Opens all segments that have a header, oldest first. A newest file without one was never used and is removed.
fn find(vfs: &Arc<dyn Vfs>, dir: &Path, known: &Known<'_>) -> Result<Vec<Found>> {
    let seg = dir.join("seg");
    let entries = vfs.list(&seg).map_err(|e| Error::io("list", &seg, e))?;
    let mut ids: Vec<u32> = entries
        .iter()
        .filter_map(|entry| id_of(&entry.name))
        .collect();
    ids.sort_unstable();
    let newest = ids.last().copied();
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let path = path_of(dir, id);
        let file = vfs
            .open(&path, OpenHow::Write)
            .map_err(|e| Error::io("open", &path, e))?;
        let file_len = file.len().map_err(|e| Error::io("read", &path, e))?;
        let mut head = vec![0; usize::try_from(file_len.min(SEGMENT_HEADER)).expect("a page")];
        let read = file
            .read_at(0, &mut head)
            .map_err(|e| Error::io("read", &path, e))?;
        head.truncate(read);
        let header = match SegmentHeader::decode(&head) {
            Ok(header) => header,
            Err(HeaderError::Version(found)) => {
                return Err(ErrorKind::UnsupportedFormat {
                    file: path,
                    found,
                    supported: SUPPORTED,
                }
                .into());
            }
            // The header is synced before the first frame is written, so without frames nothing is lost with it.
            Err(_) if Some(id) == newest && has_no_frames(&*file, &path)? => {
                vfs.unlink(&path)
                    .map_err(|e| Error::io("unlink", &path, e))?;
                continue;
            }
            Err(HeaderError::Blank) => {
                return Err(Error::corrupt(path, 0, "the header is missing"));
            }
            Err(HeaderError::Damaged(what)) => return Err(Error::corrupt(path, 0, what)),
        };
        if header.uuid != known.uuid {
            return Err(Error::corrupt(
                path,
                24,
                "the segment belongs to another store",
            ));
        }
        if header.id != id {
            return Err(Error::corrupt(
                path,
                40,
                format!("the header says segment {}", header.id),
            ));
        }
        let segment = Segment::new(&header, path, file);
        found.push(Found {
            header,
            segment,
            file_len,
        });
    }
    Ok(found)
}

fn has_no_frames(file: &dyn VfsFile, path: &Path) -> Result<bool> {
    let mut buffer = vec![0; 1 << 20];
    let mut at = SEGMENT_HEADER;
    loop {
        let read = file
            .read_at(at, &mut buffer)
            .map_err(|e| Error::io("read", path, e))?;
        if read == 0 {
            return Ok(true);
        }
        if !is_blank(&buffer[..read]) {
            return Ok(false);
        }
        at += read as u64;
    }
}

/// Takes in a segment that has a successor: all its frames up to the successor's first must be there.
fn middle(this: Found, start: u64, stop: Seq, out: &mut Recovered) -> Result<()> {
    let Found {
        segment, file_len, ..
    } = this;
    let io = |op, e| Error::io(op, &segment.path, e);
    let len = usize::try_from(file_len).map_err(|_| Error::misuse("segment too large"))?;
    let map = segment.file.map(len).map_err(|e| io("map", e))?;
    let end = scan(
        map.as_slice(),
        segment.salt,
        start,
        out.next_seq,
        stop,
        |offset, header| {
            out.visit(map.as_slice(), segment.id, offset, header);
            Ok::<(), Error>(())
        },
    )?;
    let whole = end.next_seq == stop && end.end <= file_len;
    require(whole, &segment.path, end.end.min(file_len), end.next_seq)?;
    drop(map);
    if end.end < file_len {
        // Unused space, or what a recovery had copied to the successor when it was cut before it could shorten this file.
        let set = segment.file.set_len(end.end);
        set.map_err(|e| io("truncate", e))?;
        segment.file.sync_data().map_err(|e| io("sync", e))?;
    }
    segment.seal(end.end)?;
    out.next_seq = end.next_seq;
    out.segments.insert(Arc::new(segment));
    Ok(())
}

impl Recovered {
    /// Notes the engines that the frame at `offset` touches.
    pub(super) fn visit(&mut self, bytes: &[u8], segment: u32, offset: u32, header: &FrameHeader) {
        self.frames += 1;
        self.frame_bytes += u64::from(header.len);
        let start = offset as usize;
        let Some(frame) = bytes.get(start..start + header.len as usize) else {
            return;
        };
        let first = self.sections.len();
        for (mount, _) in records_of(frame, segment, offset) {
            if !self.sections[first..]
                .iter()
                .any(|(seen, _)| *seen == mount)
            {
                self.sections.push((
                    mount,
                    SectionRef {
                        seq: header.seq,
                        segment,
                        offset,
                    },
                ));
            }
        }
    }
}

/// The log must hold commit `seq` at this place; otherwise it is damaged there.
pub(super) fn require(holds: bool, file: &Path, offset: u64, seq: Seq) -> Result<()> {
    if holds {
        return Ok(());
    }
    let what = format!("commit {seq} was durable and cannot be read");
    Err(Error::corrupt(file, offset, what))
}
