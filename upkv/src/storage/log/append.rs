//! Taking a place in the order: memory only, except where a segment ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::address::Address;
use super::super::checksum::salt;
use super::super::error::{Error, Result};
use super::super::format::{
    FRAME_HEADER, FrameHeader, PAGE, PAGE_LOCAL, SEGMENT_HEADER, SegmentHeader, low, u32_at,
};
use super::super::vfs::{OpenHow, VfsFile};
use super::frame::Part;
use super::{Chunk, Commit, Counters, Frame, Head, Log, Pending, Segment, Writer, path_of};

/// Size of the first segment of a small store; later ones grow with it.
const SEGMENT_BYTES_FIRST: u64 = 1 << 20;
/// Space kept back for operations that free some.
const RESERVE_BYTES: u64 = 4 << 20;
/// Size of a segment made from that space, so that several fit.
const SEGMENT_BYTES_FREEING: u64 = 64 << 10;

impl Log {
    /// Gives the frame its number and place and copies it into the log buffer. The caller holds its engine's lock, so the order of
    /// the log is the order of the engine's states.
    ///
    /// # Errors
    ///
    /// Nothing happened: `StorageFull`, `Poisoned`, `Closed`, `TooLarge`, or `Io` where a new segment could not be made.
    pub(crate) fn append(&self, frame: &mut Frame) -> Result<Commit> {
        let need = frame.checked_bytes()?;
        if frame.is_empty() {
            return Ok(Commit {
                seq: self.last_seq(),
                ..Commit::default()
            });
        }
        loop {
            self.check_alive()?;
            let mut head = self.head.lock();
            if let Some((segment, offset)) = head.place(need) {
                return Ok(self.place(&mut head, &segment, offset, need, frame));
            }
            drop(head);
            if let Err(error) = self.roll(need, frame.freeing) {
                // Whatever became unknown there, it is not this commit.
                self.check_alive()?;
                return Err(error);
            }
        }
    }

    /// A number in the order without a place in the log.
    pub(crate) fn pass(&self) -> Commit {
        let mut head = self.head.lock();
        let seq = head.next_seq;
        head.next_seq += 1;
        // Release pairs with the Acquire in `last_seq`.
        self.last.store(seq, Ordering::Release);
        Counters::add(&self.counters.commits, 1);
        Commit {
            seq,
            ..Commit::default()
        }
    }

    fn place(
        &self,
        head: &mut Head,
        segment: &Segment,
        offset: u64,
        need: u64,
        frame: &mut Frame,
    ) -> Commit {
        let seq = head.next_seq;
        let offset32 = u32::try_from(offset).expect("segments are under 4 GiB");
        let header = FrameHeader {
            len: u32::try_from(need).expect("frames are under 4 GiB"),
            seq,
            durable: self.durable_seq(),
            records: u32::try_from(frame.records.len()).expect("bounded by bytes"),
        };
        let gap = offset - head.offset;
        let out = head.pending.copied();
        out.resize(
            out.len() + usize::try_from(gap).expect("less than a page"),
            0,
        );
        out.extend_from_slice(&header.encode(segment.salt, offset32));

        // Salt the record headers in the frame's own buffers, then move or copy those.
        let base = offset32 + u32::try_from(FRAME_HEADER).expect("32");
        let mut commit = Commit {
            seq,
            ..Commit::default()
        };
        for (index, placed) in frame.records.iter().enumerate() {
            let place = base + u32::try_from(placed.at).expect("frames are under 4 GiB");
            if let Some(Part::Inline(bytes)) = frame.parts.get_mut(placed.part as usize) {
                let at = placed.in_part as usize;
                let crc = u32_at(bytes, at + 4).expect("a record header is there");
                let crc = crc ^ salt(segment.salt, place, u64::from(low(seq)));
                bytes[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
                bytes[at + 12..at + 16].copy_from_slice(&low(seq).to_le_bytes());
            }
            let address = Address {
                segment: segment.id,
                offset: place,
                len: placed.len,
            };
            if index == 0 {
                commit.first = address;
            } else {
                commit.rest.push(address);
            }
        }
        for part in frame.parts.drain(..) {
            match part {
                Part::Inline(bytes) => head.pending.copied().extend_from_slice(&bytes),
                Part::Shared(bytes) => head.pending.chunks.push(Chunk::Shared(bytes)),
            }
        }
        head.pending.bytes += gap + need;
        head.offset = offset + need;
        head.next_seq += 1;
        frame.records.clear();
        frame.bytes = 0;
        // Release pairs with the Acquire in `last_seq`.
        self.last.store(seq, Ordering::Release);
        Counters::add(&self.counters.commits, 1);
        commit
    }

    /// Starts a new head segment with room for `need` bytes. Everything before it is durable before its header is written.
    fn roll(&self, need: u64, freeing: bool) -> Result<()> {
        let mut writer = self.write.lock();
        let mut head = self.head.lock();
        self.check_alive()?;
        if head.place(need).is_some() {
            return Ok(());
        }
        self.check_process()?;
        self.new_segment(&mut writer, &mut head, need, freeing)
    }

    fn new_segment(
        &self,
        writer: &mut Writer,
        head: &mut Head,
        need: u64,
        freeing: bool,
    ) -> Result<()> {
        let id = head.next_segment;
        let path = path_of(&self.dir, id);
        let room = SEGMENT_HEADER + PAGE + need;
        // Space first: failing here has changed nothing, and a full disk never meets a half-moved log.
        let (file, capacity) = match self.allocate(&path, self.capacity().max(room)) {
            Err(error) if error.is_storage_full() && freeing => {
                self.give_up_reserve();
                self.allocate(&path, room.max(SEGMENT_BYTES_FREEING))?
            }
            allocated => allocated?,
        };
        if let Some(old) = head.segment.clone() {
            self.write_pending(writer, head, &old)?;
            self.sync_segment(&old)?;
            self.mark_durable(head.next_seq - 1);
        }
        let header = SegmentHeader {
            uuid: self.uuid,
            id,
            salt: self.random.next_u64(),
            first_seq: head.next_seq,
            incarnation: self.incarnation,
            capacity,
        };
        let bytes = header.encode();
        if let Err(e) = file.write_at(0, &[std::io::IoSlice::new(&bytes)]) {
            // Nothing was synced and no commit is in the file: without it, nothing happened.
            let error = Error::io("write", &path, e);
            if self.vfs.unlink(&path).is_err() {
                self.poison(&error);
            }
            return Err(error);
        }
        let made = file
            .sync_data()
            .map_err(|e| Error::io("sync", &path, e))
            .and_then(|()| {
                let dir = self.dir.join("seg");
                self.vfs
                    .sync_dir(&dir)
                    .map_err(|e| Error::io("sync", &dir, e))
            });
        if let Err(error) = made {
            // A failed sync cannot be repeated, and a half-made segment must not be found with a valid header and later frames.
            self.poison(&error);
            return Err(error);
        }
        let segment = Arc::new(Segment::new(&header, path, file));
        self.segments.insert(segment.clone());
        if let Some(old) = head.segment.replace(segment) {
            // Space only: a crash before this leaves zeros at the end, which recovery skips.
            let _best_effort = old.file.set_len(head.offset);
            // Where memory is too short for the map, records are read from the file instead.
            let _best_effort = old.seal(head.offset);
        }
        head.offset = SEGMENT_HEADER;
        head.next_segment = id + 1;
        head.pending = Pending {
            start: SEGMENT_HEADER,
            ..Pending::default()
        };
        writer.end = SEGMENT_HEADER;
        // Relaxed: a hint that upkeep may be due; what upkeep looks at is behind locks.
        self.filled.store(true, Ordering::Relaxed);
        Counters::add(&self.counters.segments_created, 1);
        Ok(())
    }

    /// Size of the next segment: as large as the log is already, within limits, so that small stores stay small.
    fn capacity(&self) -> u64 {
        let used: u64 = self
            .segments
            .all()
            .iter()
            .map(|segment| segment.used())
            .sum();
        used.max(SEGMENT_BYTES_FIRST)
            .min(self.options.segment_bytes)
    }

    fn allocate(&self, path: &Path, capacity: u64) -> Result<(Arc<dyn VfsFile>, u64)> {
        // A file of this number can only be what an attempt that failed could not remove.
        if self.vfs.exists(path) {
            self.vfs
                .unlink(path)
                .map_err(|e| Error::io("unlink", path, e))?;
        }
        let file = self
            .vfs
            .open(path, OpenHow::Create)
            .map_err(|e| Error::io("create", path, e))?;
        if let Err(e) = file.allocate(capacity) {
            let _best_effort = self.vfs.unlink(path);
            return Err(Error::io("allocate", path, e));
        }
        Ok((file, capacity))
    }

    fn reserve_path(&self) -> PathBuf {
        self.dir.join("RESERVE")
    }

    /// Keeps space back for operations that free some. Best effort: on a full disk there is none to keep.
    pub(crate) fn keep_reserve(&self) {
        let path = self.reserve_path();
        if !self.vfs.exists(&path) {
            let bytes = self.options.segment_bytes.min(RESERVE_BYTES);
            let _best_effort = self.allocate(&path, bytes);
        }
    }

    #[cold]
    fn give_up_reserve(&self) {
        let _best_effort = self.vfs.unlink(&self.reserve_path());
    }

    /// Gives back the unused end of the head segment; for closing.
    pub(crate) fn trim(&self) {
        let _writer = self.write.lock();
        let head = self.head.lock();
        if let Some(segment) = &head.segment {
            let _best_effort = segment.file.set_len(head.offset);
        }
    }
}

impl Head {
    /// The place of a frame of `need` bytes in the head segment, if it fits there.
    fn place(&self, need: u64) -> Option<(Arc<Segment>, u64)> {
        let segment = self.segment.as_ref()?;
        let page_end = self.offset.next_multiple_of(PAGE);
        let crosses = self.offset + need > page_end && !self.offset.is_multiple_of(PAGE);
        let offset = if need <= PAGE_LOCAL && crosses {
            page_end
        } else {
            self.offset
        };
        (offset + need <= segment.capacity).then(|| (segment.clone(), offset))
    }
}

impl Pending {
    /// The buffer that copied bytes go to.
    fn copied(&mut self) -> &mut Vec<u8> {
        if !matches!(self.chunks.last(), Some(Chunk::Copied(_))) {
            self.chunks.push(Chunk::Copied(Vec::new()));
        }
        match self.chunks.last_mut() {
            Some(Chunk::Copied(bytes)) => bytes,
            _ => unreachable!("a copied chunk was just ensured"),
        }
    }
}
