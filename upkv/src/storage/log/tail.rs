//! The newest segment at opening: where its valid part ends, and how that is made safe to build on.
//!
//! After an unclean stop, commits that were written but not known to be synced are copied to a new, synced segment before anything
//! follows them: a sync that failed before the crash may have left pages that look clean and are not on disk.
//!
//! Invariant: the copy gets its name only once all of it is durable; the original is shortened only after that.

use std::path::Path;
use std::sync::Arc;

use super::super::address::Seq;
use super::super::checksum::salt;
use super::super::clock::Random;
use super::super::error::{Error, Result};
use super::super::format::{
    FRAME_HEADER, FrameHeader, PAGE, PAGE_LOCAL, SEGMENT_HEADER, SegmentHeader, low, u32_at,
};
use super::super::manifest::replace;
use super::super::mapped::Map;
use super::super::participant::records_of;
use super::super::vfs::{OpenHow, Vfs};
use super::recover::{Found, Known, Recovered, require};
use super::scan::{End, evidence, scan};
use super::{Segment, path_of};

/// The newest segment, read and judged.
pub(super) struct Newest<'a> {
    known: &'a Known<'a>,
    segment: Segment,
    file_len: u64,
    bytes: Map,
    /// The valid frames from the start of the replay on, with their offsets.
    frames: Vec<(u32, FrameHeader)>,
    start: u64,
    /// First commit after the last valid one.
    end_seq: Seq,
    /// Commits up to this one are known to be on disk.
    synced_to: Seq,
    clean: bool,
    bytes_cut: u64,
}

impl<'a> Newest<'a> {
    /// Finds the end of the valid part from `start` on. `durable` is the highest commit that somebody vouches for.
    pub(super) fn read(
        this: Found,
        start: u64,
        before: &Recovered,
        durable: Seq,
        known: &'a Known<'a>,
    ) -> Result<Self> {
        let Found {
            header,
            segment,
            file_len,
        } = this;
        let size = usize::try_from(file_len).map_err(|_| Error::misuse("segment too large"))?;
        let map = segment.file.map(size);
        let map = map.map_err(|e| Error::io("map", &segment.path, e))?;
        let bytes = map.as_slice();
        // A checkpoint is named only after the log before it is durable.
        let reaches = start <= file_len;
        require(reaches, &segment.path, file_len, before.next_seq)?;
        let mut frames = Vec::new();
        let mut synced_to = 0;
        let from_seq = before.next_seq;
        let found = scan(
            bytes,
            segment.salt,
            start,
            from_seq,
            Seq::MAX,
            |offset, frame| {
                frames.push((offset, *frame));
                synced_to = synced_to.max(frame.durable);
                Ok::<(), Error>(())
            },
        )?;
        let mut bytes_cut = 0;
        if found.how == End::Broken {
            let vouched = evidence(bytes, segment.salt, found.end, found.next_seq);
            let torn = vouched.is_none_or(|durable| durable < found.next_seq);
            require(torn, &segment.path, found.end, found.next_seq)?;
            let used = bytes.iter().rposition(|b| *b != 0);
            bytes_cut = used.map_or(0, |at| at as u64 + 1).saturating_sub(found.end);
        }
        let all_there = found.next_seq > durable;
        require(all_there, &segment.path, found.end, found.next_seq)?;
        // An empty newest segment means that commits were at least under way when the process stopped.
        let used = found.end > SEGMENT_HEADER;
        let clean = used && known.clean_seq == Some(found.next_seq - 1);
        let synced_to = if clean {
            found.next_seq - 1
        } else {
            durable.max(synced_to).max(header.first_seq - 1)
        };
        Ok(Self {
            known,
            segment,
            file_len,
            bytes: map,
            frames,
            start,
            end_seq: found.next_seq,
            synced_to,
            clean,
            bytes_cut,
        })
    }

    /// Adds what the segment holds to `out`, on disk beyond doubt.
    pub(super) fn take_in(
        self,
        vfs: &Arc<dyn Vfs>,
        dir: &Path,
        random: &Random,
        out: &mut Recovered,
    ) -> Result<()> {
        out.clean = self.clean;
        out.bytes_cut += self.bytes_cut;
        let mut keep = self.start;
        for (offset, frame) in &self.frames {
            if frame.seq > self.synced_to {
                break;
            }
            out.visit(self.bytes.as_slice(), self.segment.id, *offset, frame);
            keep = u64::from(*offset) + u64::from(frame.len);
            out.next_seq = frame.seq + 1;
        }
        if out.next_seq < self.end_seq {
            let moved = self.rewrite(vfs, dir, random, out.next_seq)?;
            out.take_in_copy(&moved, self.end_seq)?;
            out.segments.insert(Arc::new(moved));
        }
        let Self {
            segment,
            bytes,
            file_len,
            clean,
            ..
        } = self;
        // Nothing may be cut off under a mapping.
        drop(bytes);
        let io = |op, e| Error::io(op, &segment.path, e);
        if keep < file_len {
            segment.file.set_len(keep).map_err(|e| io("truncate", e))?;
        }
        if !clean {
            segment.file.sync_data().map_err(|e| io("sync", e))?;
        }
        segment.seal(keep)?;
        out.segments.insert(Arc::new(segment));
        Ok(())
    }

    /// Copies the commits from `from_seq` on into a new segment, written aside, synced and renamed.
    fn rewrite(
        &self,
        vfs: &Arc<dyn Vfs>,
        dir: &Path,
        random: &Random,
        from_seq: Seq,
    ) -> Result<Segment> {
        let id = self.segment.id + 1;
        let path = path_of(dir, id);
        let aside = path.with_extension("new");
        let mut header = SegmentHeader {
            uuid: self.known.uuid,
            id,
            salt: random.next_u64(),
            first_seq: from_seq,
            incarnation: random.next_u64(),
            capacity: 0,
        };
        let source = Source {
            bytes: self.bytes.as_slice(),
            salt: self.segment.salt,
        };
        let mut body = Vec::new();
        // The file gets its name only once all of it is durable, so its frames may say so.
        let durable = self.end_seq - 1;
        for (offset, frame) in self
            .frames
            .iter()
            .filter(|(_, frame)| frame.seq >= from_seq)
        {
            let said = FrameHeader { durable, ..*frame };
            source.copy_frame(*offset, &said, header.salt, &mut body);
        }
        header.capacity = SEGMENT_HEADER + body.len() as u64;
        let parts: [&[u8]; 2] = [&header.encode(), &body];
        replace(vfs, &dir.join("seg"), &path, &aside, &parts)?;
        let file = vfs
            .open(&path, OpenHow::Write)
            .map_err(|e| Error::io("open", &path, e))?;
        let segment = Segment::new(&header, path, file);
        segment.seal(header.capacity)?;
        Ok(segment)
    }
}

impl Recovered {
    /// Takes in a segment that [`Newest::rewrite`] made; it must hold everything before `end_seq`.
    fn take_in_copy(&mut self, copy: &Segment, end_seq: Seq) -> Result<()> {
        let map = copy.map().expect("sealed by rewrite");
        let bytes = map.as_slice();
        let from_seq = self.next_seq;
        let all = scan(
            bytes,
            copy.salt,
            SEGMENT_HEADER,
            from_seq,
            end_seq,
            |offset, frame| {
                self.visit(bytes, copy.id, offset, frame);
                Ok::<(), Error>(())
            },
        )?;
        require(all.next_seq == end_seq, &copy.path, all.end, all.next_seq)?;
        self.frames_rewritten = end_seq - from_seq;
        self.next_seq = end_seq;
        self.next_segment = copy.id + 1;
        Ok(())
    }
}

/// A segment that frames are copied from.
#[derive(Copy, Clone)]
pub(crate) struct Source<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) salt: u64,
}

impl Source<'_> {
    /// Appends the frame at `offset`, with `header` in the place of its own, to `body`, which begins at the first frame's place of its
    /// segment.
    pub(crate) fn copy_frame(
        self,
        offset: u32,
        header: &FrameHeader,
        new_salt: u64,
        body: &mut Vec<u8>,
    ) {
        let place = SEGMENT_HEADER + body.len() as u64;
        let page_end = place.next_multiple_of(PAGE);
        let crosses = place + u64::from(header.len) > page_end && !place.is_multiple_of(PAGE);
        let place = if u64::from(header.len) <= PAGE_LOCAL && crosses {
            page_end
        } else {
            place
        };
        let begin = usize::try_from(place - SEGMENT_HEADER).expect("in memory");
        body.resize(begin, 0);
        let place = u32::try_from(place).expect("segments are under 4 GiB");
        let start = offset as usize;
        let frame = &self.bytes[start..start + header.len as usize];
        body.extend_from_slice(&header.encode(new_salt, place));
        body.extend_from_slice(&frame[FRAME_HEADER..]);
        for (_, record) in records_of(frame, 0, 0) {
            let at = record.address.offset;
            let record_header = begin + at as usize;
            let crc = u32_at(body, record_header + 4).expect("a record header is there");
            let seq = u32_at(body, record_header + 12).expect("a record header is there");
            let plain = crc ^ salt(self.salt, offset + at, u64::from(seq));
            let seq = low(header.seq);
            let salted = plain ^ salt(new_salt, place + at, u64::from(seq));
            body[record_header + 4..record_header + 8].copy_from_slice(&salted.to_le_bytes());
            body[record_header + 12..record_header + 16].copy_from_slice(&seq.to_le_bytes());
        }
    }
}
