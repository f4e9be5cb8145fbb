//! Opening the log: find the segments, walk the frames after the checkpoint, judge the end.
//!
//! A bad frame is a torn tail if nothing behind it vouches for it, and corruption otherwise: each frame carries the highest commit
//! that was durable when it was written, a segment's header is written only after all commits before it were durable, and a
//! checkpoint is named only after the log is durable up to it.
//!
//! After an unclean stop, commits that were written but not known to be synced are copied to a new, synced segment before anything
//! follows them: a sync that failed before the crash may have left pages that look clean and are not on disk.
//!
//! Invariant: recovery may itself be cut anywhere and repeated; a segment ends where the next one's first commit begins.

use std::path::Path;
use std::sync::Arc;

use super::super::address::Seq;
use super::super::checkpoint::{Checkpoint, ReplayFrom, SectionRef};
use super::super::checksum::salt;
use super::super::clock::Random;
use super::super::error::{Error, ErrorKind, Result};
use super::super::format::{
    FRAME_HEADER, FrameHeader, HeaderError, PAGE, PAGE_LOCAL, SEGMENT_HEADER, SUPPORTED,
    SegmentHeader, low, u32_at,
};
use super::super::manifest::replace;
use super::super::participant::records_of;
use super::super::vfs::{OpenHow, Vfs, VfsFile};
use super::scan::{End, evidence, scan};
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

struct Found {
    header: SegmentHeader,
    segment: Segment,
    file_len: u64,
}

pub(crate) fn recover(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    random: &Random,
    known: &Known<'_>,
) -> Result<Recovered> {
    let mut found = find(vfs, dir, known)?;
    let first = found.first().map(|f| (f.header.id, f.header.first_seq));
    let from = match (known.checkpoint, first) {
        (Some(checkpoint), _) => checkpoint.from,
        (None, None) => ReplayFrom {
            segment: 0,
            offset: SEGMENT_HEADER,
            seq: 1,
        },
        (None, Some((id, 1))) => ReplayFrom {
            segment: id,
            offset: SEGMENT_HEADER,
            seq: 1,
        },
        (None, Some((id, seq))) => {
            let what =
                format!("the log begins at commit {seq} and there is no checkpoint before it");
            return Err(Error::corrupt(path_of(dir, id), 0, what));
        }
    };
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
    let replayed = found
        .iter()
        .position(|f| f.header.id >= from.segment)
        .unwrap_or(found.len());
    let tail = found.split_off(replayed);
    for old in found {
        old.segment.seal(old.file_len)?;
        out.segments.insert(Arc::new(old.segment));
    }
    let evidence = known
        .clean_seq
        .max(known.checkpoint.map(|c| c.last))
        .unwrap_or(0);
    if tail.is_empty() {
        require(
            from.seq > evidence,
            || path_of(dir, from.segment),
            0,
            from.seq,
        )?;
    }
    let mut expected_id = from.segment;
    let mut tail = tail.into_iter().peekable();
    while let Some(this) = tail.next() {
        require(
            this.header.id == expected_id,
            || path_of(dir, expected_id),
            0,
            out.next_seq,
        )?;
        require(
            this.header.first_seq <= out.next_seq,
            || this.segment.path.clone(),
            0,
            out.next_seq,
        )?;
        expected_id += 1;
        let start = if this.header.id == from.segment {
            from.offset
        } else {
            SEGMENT_HEADER
        };
        match tail.peek().map(|next| next.header.first_seq) {
            Some(stop) => middle(this, start, stop, &mut out)?,
            None => last(vfs, dir, random, known, this, start, evidence, &mut out)?,
        }
    }
    if out.next_seq == from.seq && out.segments.all().is_empty() {
        out.clean = true;
    }
    Ok(out)
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
        if buffer[..read].iter().any(|b| *b != 0) {
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
    let path = || segment.path.clone();
    let whole = end.next_seq == stop && end.end <= file_len;
    require(whole, path, end.end.min(file_len), end.next_seq)?;
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

/// Takes in the newest segment: finds its end, judges it, and makes what it holds safe to build on.
#[expect(
    clippy::too_many_arguments,
    reason = "one step of `recover`, split off for reading"
)]
fn last(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    random: &Random,
    known: &Known<'_>,
    this: Found,
    start: u64,
    durable: Seq,
    out: &mut Recovered,
) -> Result<()> {
    let Found {
        header,
        segment,
        file_len,
    } = this;
    let mut bytes =
        vec![0; usize::try_from(file_len).map_err(|_| Error::misuse("segment too large"))?];
    let read = segment
        .file
        .read_at(0, &mut bytes)
        .map_err(|e| Error::io("read", &segment.path, e))?;
    bytes.truncate(read);
    // A checkpoint is named only after the log before it is durable.
    require(
        start <= bytes.len() as u64,
        || segment.path.clone(),
        file_len,
        out.next_seq,
    )?;
    let mut synced_to = None;
    let found = scan(
        &bytes,
        segment.salt,
        start,
        out.next_seq,
        Seq::MAX,
        |_, frame| {
            synced_to = synced_to.max(Some(frame.durable));
            Ok::<(), Error>(())
        },
    )?;
    if found.how == End::Broken {
        let vouched = evidence(&bytes, segment.salt, found.end, found.next_seq);
        let path = || segment.path.clone();
        require(
            vouched.is_none_or(|d| d < found.next_seq),
            path,
            found.end,
            found.next_seq,
        )?;
        let used = bytes
            .iter()
            .rposition(|b| *b != 0)
            .map_or(0, |at| at as u64 + 1);
        out.bytes_cut += used.saturating_sub(found.end);
    }
    require(
        found.next_seq > durable,
        || segment.path.clone(),
        found.end,
        found.next_seq,
    )?;

    // An empty newest segment means that commits were at least under way when the process stopped.
    let used = found.end > SEGMENT_HEADER;
    out.clean = used && known.clean_seq == Some(found.next_seq - 1);
    let synced_to = if out.clean {
        found.next_seq - 1
    } else {
        durable
            .max(synced_to.unwrap_or(0))
            .max(header.first_seq - 1)
    };

    let mut keep = start;
    let kept = scan(
        &bytes,
        segment.salt,
        start,
        out.next_seq,
        synced_to.saturating_add(1),
        |offset, frame| {
            out.visit(&bytes, segment.id, offset, frame);
            keep = u64::from(offset) + u64::from(frame.len);
            Ok::<(), Error>(())
        },
    )?;
    out.next_seq = kept.next_seq;
    if kept.next_seq < found.next_seq {
        let moved = rewrite(
            vfs,
            dir,
            random,
            known,
            &bytes,
            &segment,
            keep,
            kept.next_seq,
            found.next_seq,
        )?;
        let map = moved.map().expect("sealed by rewrite");
        let all = scan(
            map.as_slice(),
            moved.salt,
            SEGMENT_HEADER,
            kept.next_seq,
            found.next_seq,
            |offset, frame| {
                out.visit(map.as_slice(), moved.id, offset, frame);
                Ok::<(), Error>(())
            },
        )?;
        require(
            all.next_seq == found.next_seq,
            || moved.path.clone(),
            all.end,
            all.next_seq,
        )?;
        out.frames_rewritten = found.next_seq - kept.next_seq;
        out.next_seq = found.next_seq;
        out.next_segment = moved.id + 1;
        out.segments.insert(Arc::new(moved));
    }
    if keep < file_len {
        segment
            .file
            .set_len(keep)
            .map_err(|e| Error::io("truncate", &segment.path, e))?;
    }
    if !out.clean {
        segment
            .file
            .sync_data()
            .map_err(|e| Error::io("sync", &segment.path, e))?;
    }
    segment.seal(keep)?;
    out.segments.insert(Arc::new(segment));
    Ok(())
}

/// Copies frames `from_seq..to_seq`, which begin at `at` of `old`, into a new segment, written aside, synced and renamed.
#[expect(
    clippy::too_many_arguments,
    reason = "one step of `last`, split off for reading"
)]
fn rewrite(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    random: &Random,
    known: &Known<'_>,
    bytes: &[u8],
    old: &Segment,
    at: u64,
    from_seq: Seq,
    to_seq: Seq,
) -> Result<Segment> {
    let id = old.id + 1;
    let path = path_of(dir, id);
    let aside = path.with_extension("new");
    let mut header = SegmentHeader {
        uuid: known.uuid,
        id,
        salt: random.next_u64(),
        first_seq: from_seq,
        incarnation: random.next_u64(),
        capacity: 0,
    };
    let mut body = Vec::new();
    scan(bytes, old.salt, at, from_seq, to_seq, |offset, frame| {
        // The file gets its name only once all of it is durable, so its frames may say so.
        copy_frame(
            bytes,
            old.salt,
            offset,
            frame,
            frame.seq,
            to_seq - 1,
            header.salt,
            &mut body,
        );
        Ok::<(), Error>(())
    })?;
    header.capacity = SEGMENT_HEADER + body.len() as u64;
    replace(
        vfs,
        &dir.join("seg"),
        &path,
        &aside,
        &[&header.encode(), &body],
    )?;
    let file = vfs
        .open(&path, OpenHow::Write)
        .map_err(|e| Error::io("open", &path, e))?;
    let segment = Segment::new(&header, path, file);
    segment.seal(header.capacity)?;
    Ok(segment)
}

/// Appends the frame at `offset` of `bytes` to `body`, which begins at the first frame's place of its segment, with new salts.
#[expect(clippy::too_many_arguments, reason = "a leaf with plain arguments")]
pub(crate) fn copy_frame(
    bytes: &[u8],
    old_salt: u64,
    offset: u32,
    frame: &FrameHeader,
    seq: Seq,
    durable: Seq,
    new_salt: u64,
    body: &mut Vec<u8>,
) {
    let place = SEGMENT_HEADER + body.len() as u64;
    let page_end = place.next_multiple_of(PAGE);
    let crosses = place + u64::from(frame.len) > page_end && !place.is_multiple_of(PAGE);
    let place = if u64::from(frame.len) <= PAGE_LOCAL && crosses {
        page_end
    } else {
        place
    };
    body.resize(
        usize::try_from(place - SEGMENT_HEADER).expect("in memory"),
        0,
    );
    let place = u32::try_from(place).expect("segments are under 4 GiB");
    let start = offset as usize;
    let source = &bytes[start..start + frame.len as usize];
    let begin = body.len();
    body.extend_from_slice(
        &FrameHeader {
            seq,
            durable,
            ..*frame
        }
        .encode(new_salt, place),
    );
    body.extend_from_slice(&source[FRAME_HEADER..]);
    for (_, record) in records_of(source, 0, 0) {
        let at = record.address.offset;
        let header = begin + at as usize;
        let crc = u32_at(body, header + 4).expect("a record header is there");
        let plain = crc ^ salt(old_salt, offset + at, u64::from(low(frame.seq)));
        let salted = plain ^ salt(new_salt, place + at, u64::from(low(seq)));
        body[header + 4..header + 8].copy_from_slice(&salted.to_le_bytes());
        body[header + 12..header + 16].copy_from_slice(&low(seq).to_le_bytes());
    }
}

impl Recovered {
    fn visit(&mut self, bytes: &[u8], segment: u32, offset: u32, header: &FrameHeader) {
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
fn require(
    holds: bool,
    file: impl FnOnce() -> std::path::PathBuf,
    offset: u64,
    seq: Seq,
) -> Result<()> {
    if holds {
        return Ok(());
    }
    let file = file();
    Err(Error::corrupt(
        file,
        offset,
        format!("commit {seq} was durable and cannot be read"),
    ))
}
