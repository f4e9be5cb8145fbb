//! Byte layout of the log: segment header, frame header, record header. `docs/format.md` draws the same tables.
//!
//! Invariant: every field is little-endian at a fixed offset, and every checksum is salted with the place it belongs to, so
//! that stale, recycled or misplaced bytes never pass. Tested by golden bytes below and by every recovery test.

use super::checksum::{crc32c, crc32c_append, salt};

/// Major and minor format version of all files. An unknown major is refused.
pub(crate) const MAJOR: u16 = 1;
pub(crate) const MINOR: u16 = 0;
/// The versions this build reads, for messages.
pub(crate) const SUPPORTED: &str = "1.0";
/// Required-feature bits this build knows (none yet): a file with another bit set is refused.
pub(crate) const KNOWN_REQUIRED: u32 = 0;

pub(crate) const SEGMENT_MAGIC: [u8; 8] = *b"UPLOG\r\n\x1a";
pub(crate) const CHECKPOINT_MAGIC: [u8; 8] = *b"UPCKP\r\n\x1a";
pub(crate) const MANIFEST_MAGIC: [u8; 8] = *b"UPMAN\r\n\x1a";

/// Bytes before the first frame of a segment: one page.
pub(crate) const SEGMENT_HEADER: u64 = 4096;
pub(crate) const PAGE: u64 = 4096;
pub(crate) const FRAME_HEADER: usize = 32;
pub(crate) const RECORD_HEADER: usize = 16;
/// Frames and records start at multiples of this.
pub(crate) const ALIGN: u64 = 16;
/// A frame up to this size never crosses a page, so that reading it costs one page fault.
pub(crate) const PAGE_LOCAL: u64 = 1024;
/// Largest frame: one commit, all engines together.
pub(crate) const FRAME_BYTES_MAX: u64 = 1 << 30;
/// Marks the end of a frame header.
pub(crate) const FRAME_MARKER: u16 = 0x7075;

const _: () = assert!((FRAME_HEADER as u64).is_multiple_of(ALIGN));
const _: () = assert!((RECORD_HEADER as u64).is_multiple_of(ALIGN));
const _: () = assert!(PAGE_LOCAL < PAGE && SEGMENT_HEADER.is_multiple_of(PAGE));

/// Bytes that a record with a body of `len` bytes takes in the log.
pub(crate) const fn record_bytes(len: u64) -> u64 {
    (RECORD_HEADER as u64 + len).next_multiple_of(ALIGN)
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(
        bytes.get(at..at.checked_add(2)?)?.try_into().ok()?,
    ))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(
        bytes.get(at..at.checked_add(8)?)?.try_into().ok()?,
    ))
}

/// Head of a segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) uuid: [u8; 16],
    pub(crate) id: u32,
    pub(crate) salt: u64,
    /// Number of the first commit in the segment. The header is written after everything before it was synced.
    pub(crate) first_seq: u64,
    pub(crate) incarnation: u64,
    pub(crate) capacity: u64,
}

/// Why a header was not accepted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// All zeros: the file was created and never used.
    Blank,
    /// Wrong magic or checksum.
    Damaged(&'static str),
    /// Another format.
    Version(String),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![0u8; usize::try_from(SEGMENT_HEADER).expect("a page fits in memory")];
        out[0..8].copy_from_slice(&SEGMENT_MAGIC);
        out[8..10].copy_from_slice(&MAJOR.to_le_bytes());
        out[10..12].copy_from_slice(&MINOR.to_le_bytes());
        // 12..24: feature masks (ignorable, read-only, required), all zero in this version.
        out[24..40].copy_from_slice(&self.uuid);
        out[40..44].copy_from_slice(&self.id.to_le_bytes());
        out[48..56].copy_from_slice(&self.salt.to_le_bytes());
        out[56..64].copy_from_slice(&self.first_seq.to_le_bytes());
        out[64..72].copy_from_slice(&self.incarnation.to_le_bytes());
        out[72..80].copy_from_slice(&self.capacity.to_le_bytes());
        let crc = crc32c(&out[0..80]);
        out[80..84].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let Some(head) = bytes.get(..84) else {
            return Err(if bytes.iter().all(|b| *b == 0) {
                HeaderError::Blank
            } else {
                HeaderError::Damaged("header is cut short")
            });
        };
        check_preamble(head, SEGMENT_MAGIC)?;
        let damaged = || HeaderError::Damaged("header checksum does not match");
        if u32_at(head, 80) != Some(crc32c(&head[..80])) {
            return Err(damaged());
        }
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&head[24..40]);
        Ok(Self {
            uuid,
            id: u32_at(head, 40).ok_or_else(damaged)?,
            salt: u64_at(head, 48).ok_or_else(damaged)?,
            first_seq: u64_at(head, 56).ok_or_else(damaged)?,
            incarnation: u64_at(head, 64).ok_or_else(damaged)?,
            capacity: u64_at(head, 72).ok_or_else(damaged)?,
        })
    }
}

/// Checks magic, version and required features of any file of the store (bytes 0..24).
///
/// The version is judged before any checksum: a newer format may checksum differently, and its files must be left alone.
pub(crate) fn check_preamble(head: &[u8], magic: [u8; 8]) -> Result<(), HeaderError> {
    if head.iter().all(|b| *b == 0) {
        return Err(HeaderError::Blank);
    }
    if head.get(..8) != Some(&magic[..]) {
        return Err(HeaderError::Damaged("magic does not match"));
    }
    let short = HeaderError::Damaged("header is cut short");
    let (Some(major), Some(minor), Some(required)) =
        (u16_at(head, 8), u16_at(head, 10), u32_at(head, 20))
    else {
        return Err(short);
    };
    if major == 0 {
        // No version ever had this number: a write was torn behind the magic.
        return Err(HeaderError::Damaged("version is missing"));
    }
    if major != MAJOR || required & !KNOWN_REQUIRED != 0 {
        return Err(HeaderError::Version(format!(
            "{major}.{minor} features {required:#x}"
        )));
    }
    Ok(())
}

/// Head of a frame. One frame is one commit.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Bytes of the frame, this header included; a multiple of [`ALIGN`].
    pub(crate) len: u32,
    pub(crate) seq: u64,
    /// Highest commit known durable when this frame was written: what recovery uses to tell a torn tail from corruption.
    pub(crate) durable: u64,
    pub(crate) records: u32,
}

impl FrameHeader {
    pub(crate) fn encode(self, segment_salt: u64, offset: u32) -> [u8; FRAME_HEADER] {
        let mut out = [0; FRAME_HEADER];
        out[0..4].copy_from_slice(&self.len.to_le_bytes());
        out[8..16].copy_from_slice(&self.seq.to_le_bytes());
        out[16..24].copy_from_slice(&self.durable.to_le_bytes());
        out[24..28].copy_from_slice(&self.records.to_le_bytes());
        // 28..30: flags, none defined.
        out[30..32].copy_from_slice(&FRAME_MARKER.to_le_bytes());
        let crc = Self::checksum(&out) ^ salt(segment_salt, offset, self.seq);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn checksum(header: &[u8]) -> u32 {
        crc32c_append(crc32c(&header[0..4]), &header[8..FRAME_HEADER])
    }

    /// The header at `offset` of a segment, or `None` if no frame starts there.
    pub(crate) fn decode(bytes: &[u8], segment_salt: u64, offset: u32) -> Option<Self> {
        let head = bytes.get(..FRAME_HEADER)?;
        if u16_at(head, 30)? != FRAME_MARKER {
            return None;
        }
        let header = Self {
            len: u32_at(head, 0)?,
            seq: u64_at(head, 8)?,
            durable: u64_at(head, 16)?,
            records: u32_at(head, 24)?,
        };
        let stored = u32_at(head, 4)?;
        let sound = stored == Self::checksum(head) ^ salt(segment_salt, offset, header.seq)
            && u64::from(header.len).is_multiple_of(ALIGN)
            && header.len as usize >= FRAME_HEADER;
        sound.then_some(header)
    }
}

/// Checksum of a record before salting: length, owner, kind, flags and body.
pub(crate) fn record_checksum(len: u32, mount: u16, kind: u8, flags: u8, body: &[&[u8]]) -> u32 {
    let mut head = [0; 8];
    head[0..4].copy_from_slice(&len.to_le_bytes());
    head[4..6].copy_from_slice(&mount.to_le_bytes());
    head[6] = kind;
    head[7] = flags;
    body.iter()
        .fold(crc32c(&head), |crc, part| crc32c_append(crc, part))
}

/// Head of a record, as decoded.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) len: u32,
    pub(crate) crc: u32,
    pub(crate) mount: u16,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) seq_low: u32,
}

impl RecordHeader {
    pub(crate) fn encode(self) -> [u8; RECORD_HEADER] {
        let mut out = [0; RECORD_HEADER];
        out[0..4].copy_from_slice(&self.len.to_le_bytes());
        out[4..8].copy_from_slice(&self.crc.to_le_bytes());
        out[8..10].copy_from_slice(&self.mount.to_le_bytes());
        out[10] = self.kind;
        out[11] = self.flags;
        out[12..16].copy_from_slice(&self.seq_low.to_le_bytes());
        out
    }

    /// Decodes without checking the body; see [`verified_record`].
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            len: u32_at(bytes, 0)?,
            crc: u32_at(bytes, 4)?,
            mount: u16_at(bytes, 8)?,
            kind: *bytes.get(10)?,
            flags: *bytes.get(11)?,
            seq_low: u32_at(bytes, 12)?,
        })
    }
}

/// The record whose header starts `bytes`, if its checksum holds for this place.
pub(crate) fn verified_record(
    bytes: &[u8],
    segment_salt: u64,
    offset: u32,
) -> Option<(RecordHeader, &[u8])> {
    let header = RecordHeader::decode(bytes)?;
    let body = bytes.get(RECORD_HEADER..RECORD_HEADER.checked_add(header.len as usize)?)?;
    let crc = record_checksum(header.len, header.mount, header.kind, header.flags, &[body]);
    let salted = crc ^ salt(segment_salt, offset, u64::from(header.seq_low));
    (salted == header.crc).then_some((header, body))
}

/// The frame that starts at `offset` of `segment` (the whole file), fully verified: header, every record, and that the records
/// tile the frame exactly.
pub(crate) fn verified_frame(
    segment: &[u8],
    segment_salt: u64,
    offset: u32,
) -> Option<FrameHeader> {
    let start = offset as usize;
    let header = FrameHeader::decode(segment.get(start..)?, segment_salt, offset)?;
    let frame = segment.get(start..start.checked_add(header.len as usize)?)?;
    let mut at = FRAME_HEADER;
    for _ in 0..header.records {
        let place = offset.checked_add(u32::try_from(at).ok()?)?;
        let (record, _) = verified_record(frame.get(at..)?, segment_salt, place)?;
        if record.seq_low != low(header.seq) {
            return None;
        }
        at = at.checked_add(usize::try_from(record_bytes(u64::from(record.len))).ok()?)?;
    }
    (at == frame.len()).then_some(header)
}

/// The low half of a commit number, as records carry it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is wanted"
)]
pub(crate) fn low(seq: u64) -> u32 {
    seq as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_header_round_trips_and_refuses_other_versions() {
        let header = SegmentHeader {
            uuid: [7; 16],
            id: 3,
            salt: 0x0102_0304_0506_0708,
            first_seq: 42,
            incarnation: 9,
            capacity: 1 << 20,
        };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        assert_eq!(&bytes[..12], b"UPLOG\r\n\x1a\x01\0\0\0");
        let mut newer = bytes.clone();
        newer[8] = 2;
        assert!(matches!(
            SegmentHeader::decode(&newer),
            Err(HeaderError::Version(_))
        ));
        let mut feature = bytes.clone();
        feature[20] = 1;
        assert!(matches!(
            SegmentHeader::decode(&feature),
            Err(HeaderError::Version(_))
        ));
        assert_eq!(SegmentHeader::decode(&[0; 4096]), Err(HeaderError::Blank));
        for bit in 0..84 * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn golden_frame_header() {
        let header = FrameHeader {
            len: 64,
            seq: 5,
            durable: 4,
            records: 1,
        };
        let bytes = header.encode(0, 4096);
        assert_eq!(bytes[0..4], [64, 0, 0, 0]);
        assert_eq!(
            bytes[8..],
            [
                5, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0x75, 0x70
            ]
        );
        assert_eq!(FrameHeader::decode(&bytes, 0, 4096), Some(header));
        assert_eq!(FrameHeader::decode(&bytes, 0, 4112), None, "another place");
        assert_eq!(
            FrameHeader::decode(&bytes, 1, 4096),
            None,
            "another segment"
        );
    }
}
