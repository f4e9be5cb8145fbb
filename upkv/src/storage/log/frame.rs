//! A commit under construction, and what is known of it once it has its place.
//!
//! Invariant: records are checksummed while the frame is built, outside every log lock; [`super::Log::append`] only salts and
//! copies them. A frame belongs to one commit and is spent by it.

use bytes::Bytes;
use smallvec::SmallVec;

use super::super::address::{Address, Seq};
use super::super::error::{ErrorKind, Result};
use super::super::format::{
    ALIGN, FRAME_BYTES_MAX, FRAME_HEADER, RECORD_HEADER, RecordHeader, record_bytes,
    record_checksum,
};
use super::super::mount::Mount;

/// Payloads from this size on are written from their own buffer instead of being copied into the log buffer.
pub(crate) const SHARED_BYTES_MIN: usize = 64 * 1024;

/// The records of one commit. See [`super::super::Mount::append`].
#[derive(Debug, Default)]
pub struct Frame {
    pub(super) parts: SmallVec<[Part; 1]>,
    pub(super) records: SmallVec<[Placed; 1]>,
    pub(super) bytes: u64,
    pub(super) freeing: bool,
    over: bool,
}

/// Bytes in frame order: copied ones, or a caller's buffer.
#[derive(Debug)]
pub(super) enum Part {
    Inline(Vec<u8>),
    Shared(Bytes),
}

/// Where a record's header is, relative to the frame's first record, and in which part.
#[derive(Copy, Clone, Debug)]
pub(super) struct Placed {
    pub(super) part: u32,
    pub(super) in_part: u32,
    pub(super) at: u64,
    pub(super) len: u32,
}

impl Frame {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Adds a record whose body is the concatenation of `parts`; returns its index in the frame. A commit over 1 GiB is refused when
    /// it is appended.
    pub fn push(&mut self, mount: &Mount, kind: u8, parts: &[&[u8]]) -> usize {
        let mount = mount.id().get();
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let Some(at) = self.reserve(len) else {
            return self.records.len();
        };
        let len32 = narrow(len);
        let crc = record_checksum(len32, mount, kind, 0, parts);
        let header = RecordHeader {
            len: len32,
            crc,
            mount,
            kind,
            flags: 0,
            seq_low: 0,
        };
        let (part, out) = self.inline();
        let in_part = narrow(out.len());
        out.reserve(RECORD_HEADER + len + 16);
        out.extend_from_slice(&header.encode());
        for part in parts {
            out.extend_from_slice(part);
        }
        pad(out, len);
        self.records.push(Placed {
            part,
            in_part,
            at,
            len: len32,
        });
        self.records.len() - 1
    }

    /// Adds a record whose body is `head` followed by `payload`. A payload of 64 KiB or more is not copied: the log writes it from
    /// this buffer. Returns the record's index.
    pub fn push_shared(&mut self, mount: &Mount, kind: u8, head: &[u8], payload: Bytes) -> usize {
        if payload.len() < SHARED_BYTES_MIN {
            return self.push(mount, kind, &[head, &payload]);
        }
        let mount = mount.id().get();
        let len = head.len().saturating_add(payload.len());
        let Some(at) = self.reserve(len) else {
            return self.records.len();
        };
        let len32 = narrow(len);
        let crc = record_checksum(len32, mount, kind, 0, &[head, &payload]);
        let header = RecordHeader {
            len: len32,
            crc,
            mount,
            kind,
            flags: 0,
            seq_low: 0,
        };
        let (part, out) = self.inline();
        let in_part = narrow(out.len());
        out.extend_from_slice(&header.encode());
        out.extend_from_slice(head);
        self.parts.push(Part::Shared(payload));
        let mut tail = Vec::new();
        pad(&mut tail, len);
        self.parts.push(Part::Inline(tail));
        self.records.push(Placed {
            part,
            in_part,
            at,
            len: len32,
        });
        self.records.len() - 1
    }

    /// Lets the commit use the space kept back for operations that free some: deletes, acknowledgements, expiry, relocation.
    pub fn mark_freeing(&mut self) {
        self.freeing = true;
    }

    /// Bytes the commit takes in the log, or `TooLarge`.
    pub(super) fn checked_bytes(&self) -> Result<u64> {
        let given = FRAME_HEADER as u64 + self.bytes;
        if self.over || given > FRAME_BYTES_MAX {
            return Err(ErrorKind::TooLarge {
                what: "a commit",
                limit: FRAME_BYTES_MAX,
                given,
            }
            .into());
        }
        Ok(given)
    }

    fn reserve(&mut self, len: usize) -> Option<u64> {
        let at = self.bytes;
        let total = at.saturating_add(record_bytes(len as u64));
        if self.over || total > FRAME_BYTES_MAX {
            // Reported by `append`; nothing of this frame is written.
            self.over = true;
            self.bytes = total;
            return None;
        }
        self.bytes = total;
        Some(at)
    }

    fn inline(&mut self) -> (u32, &mut Vec<u8>) {
        if !matches!(self.parts.last(), Some(Part::Inline(_))) {
            self.parts.push(Part::Inline(Vec::new()));
        }
        let part = narrow(self.parts.len() - 1);
        match self.parts.last_mut() {
            Some(Part::Inline(out)) => (part, out),
            _ => unreachable!("an inline part was just ensured"),
        }
    }
}

/// Sizes inside a frame, which `reserve` keeps under 1 GiB.
fn narrow(size: usize) -> u32 {
    u32::try_from(size).expect("a frame is under 1 GiB")
}

fn pad(out: &mut Vec<u8>, body_len: usize) {
    let total = RECORD_HEADER + body_len;
    let padded = total.next_multiple_of(usize::try_from(ALIGN).expect("16"));
    out.resize(out.len() + padded - total, 0);
}

/// A commit that has its place in the order.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Its number.
    pub seq: Seq,
    pub(super) first: Address,
    pub(super) rest: Vec<Address>,
}

impl Commit {
    /// Where record `index` of the frame is.
    ///
    /// # Panics
    ///
    /// If the frame had no such record.
    pub fn address(&self, index: usize) -> Address {
        match index.checked_sub(1) {
            None => self.first,
            Some(at) => self.rest[at],
        }
    }
}
