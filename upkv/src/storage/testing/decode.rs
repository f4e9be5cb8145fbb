//! Doors to the decoders of the store's files, for fuzzing.
//!
//! Invariant: for any bytes they return; what decodes is encoded again to the same bytes, and never larger than its input. Each
//! also repairs the checksums of its input and tries again, so that the checks behind them are reached.

use std::path::Path;

use bytes::Bytes;

use crate::storage::checkpoint::Checkpoint;
use crate::storage::checksum::{crc32c, crc32c_append, salt};
use crate::storage::codec::{decode_small, encode_small};
use crate::storage::format::{
    FRAME_HEADER, FrameHeader, RECORD_HEADER, RecordHeader, SegmentHeader, record_bytes,
    record_checksum, u32_at, u64_at, verified_frame,
};
use crate::storage::log::scan::{evidence, scan};
use crate::storage::manifest::Manifest;
use crate::storage::mapped::Map;
use crate::storage::participant::records_of;

const CHECKPOINT_HEADER: usize = 80;
const CHECKPOINT_BLOCK: usize = 16;

/// Decodes `bytes` as a manifest; returns whether they are one.
///
/// # Panics
///
/// If what was decoded is not encoded to the same bytes.
pub fn manifest(bytes: &[u8]) -> bool {
    let path = Path::new("MANIFEST");
    let body = bytes.get(32..).unwrap_or_default();
    if let Ok(unchecked) = decode_small::<Manifest>(body) {
        assert_eq!(encode_small(&unchecked), body, "one encoding per manifest");
    }
    Manifest::decode(path, bytes).is_ok()
}

/// Decodes `bytes` as a checkpoint file and reads all that is in it; returns whether they are one.
///
/// # Panics
///
/// If more is read than the file holds.
pub fn checkpoint(bytes: &[u8]) -> bool {
    let whole = read_checkpoint(bytes);
    let mut repaired = bytes.to_vec();
    repair_checkpoint(&mut repaired);
    read_checkpoint(&repaired);
    whole
}

fn read_checkpoint(bytes: &[u8]) -> bool {
    // The identity is taken from the file itself; that a foreign one is refused is tested elsewhere.
    let uuid = bytes
        .get(24..40)
        .and_then(|b| b.try_into().ok())
        .unwrap_or_default();
    let id = u64_at(bytes, 40).unwrap_or_default();
    let map = Map::of_bytes(Bytes::copy_from_slice(bytes));
    let Ok(checkpoint) = Checkpoint::decode(Path::new("checkpoint"), map, id, uuid) else {
        return false;
    };
    let mut total = 0;
    for part in &checkpoint.parts {
        let mut reader = checkpoint.reader(part);
        let remaining = reader.remaining();
        assert!(reader.take(remaining + 1).is_err(), "more than there is");
        let all = reader.take(remaining).expect("that much is left");
        total += all.len() + 12 * part.live.len() + 16 * part.pending.len();
    }
    assert!(
        total <= bytes.len(),
        "{total} bytes read from a file of {}",
        bytes.len()
    );
    true
}

/// Makes every checksum of a checkpoint right, as far as its blocks can be followed.
fn repair_checkpoint(bytes: &mut [u8]) {
    let id = u64_at(bytes, 40).unwrap_or_default();
    if let Some(head) = bytes.get(..72) {
        let crc = crc32c(head);
        if let Some(slot) = bytes.get_mut(72..76) {
            slot.copy_from_slice(&crc.to_le_bytes());
        }
    }
    let mut at = CHECKPOINT_HEADER;
    for block in 0_u32.. {
        let Some(len) = u32_at(bytes, at + 4) else {
            return;
        };
        let start = at + CHECKPOINT_BLOCK;
        let Some(end) = start
            .checked_add(len as usize)
            .filter(|end| *end <= bytes.len())
        else {
            return;
        };
        let mut head = [0; 8];
        head[0] = bytes[at];
        head[4..8].copy_from_slice(&len.to_le_bytes());
        let crc = crc32c_append(crc32c(&head), &bytes[start..end]) ^ salt(id, block, 0);
        bytes[at + 8..at + 12].copy_from_slice(&crc.to_le_bytes());
        at = end;
    }
}

/// A segment file whose records have other contents of the same lengths, under checksums that fit.
///
/// # Panics
///
/// If `change` does.
pub fn with_other_contents(bytes: &[u8], change: &mut dyn FnMut(&mut [u8])) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let Ok(header) = SegmentHeader::decode(bytes) else {
        return out;
    };
    let mut frames = Vec::new();
    let start = crate::storage::format::SEGMENT_HEADER;
    let visit = |offset, frame: &FrameHeader| {
        frames.push((offset, frame.records));
        Ok::<(), ()>(())
    };
    scan(bytes, header.salt, start, header.first_seq, u64::MAX, visit)
        .expect("visiting does not fail");
    for (offset, records) in frames {
        let mut at = offset as usize + FRAME_HEADER;
        for _ in 0..records {
            let mut record = RecordHeader::decode(&out[at..]).expect("a whole frame");
            let from = at + RECORD_HEADER;
            let body = &mut out[from..from + record.len as usize];
            change(body);
            let crc = record_checksum(record.len, record.mount, record.kind, record.flags, &[body]);
            let place = u32::try_from(at).expect("segments are smaller");
            record.crc = crc ^ salt(header.salt, place, u64::from(record.seq_low));
            out[at..from].copy_from_slice(&record.encode());
            at += usize::try_from(record_bytes(u64::from(record.len))).expect("a length");
        }
    }
    out
}

/// A checkpoint file whose blocks have other contents of the same lengths, under checksums that fit.
pub fn with_other_blocks(bytes: &[u8], change: &mut dyn FnMut(&mut [u8])) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let mut at = CHECKPOINT_HEADER;
    while let Some(len) = u32_at(&out, at + 4) {
        let start = at + CHECKPOINT_BLOCK;
        let Some(block) = out.get_mut(start..start.saturating_add(len as usize)) else {
            break;
        };
        change(block);
        at = start + len as usize;
    }
    repair_checkpoint(&mut out);
    out
}

/// Decodes `bytes` as a segment file, header and frames; returns how many frames are in it.
///
/// # Panics
///
/// If the records of a frame do not lie inside it.
pub fn frames(bytes: &[u8]) -> u64 {
    let header = SegmentHeader::decode(bytes).ok();
    let salt = header.as_ref().map_or(0, |header| header.salt);
    let first = header.map_or(1, |header| header.first_seq);
    let start = crate::storage::format::SEGMENT_HEADER;
    let found = read_frames(bytes, salt, start, first);
    let mut repaired = bytes.to_vec();
    repair_frames(&mut repaired, salt);
    // Small inputs have no room for a header: their first byte is taken for the first frame's.
    read_frames(&repaired, salt, 0, u64_at(&repaired, 8).unwrap_or(1));
    found
}

fn read_frames(bytes: &[u8], salt: u64, start: u64, first: u64) -> u64 {
    let mut frames = 0;
    let stop = first.saturating_add(1 << 20);
    let end = scan(bytes, salt, start, first, stop, |offset, header| {
        frames += 1;
        let from = offset as usize;
        let frame = &bytes[from..from + header.len as usize];
        let records: Vec<_> = records_of(frame, 0, offset).collect();
        assert_eq!(
            records.len(),
            header.records as usize,
            "as many as the header says"
        );
        for (_, record) in records {
            let address = record.address;
            assert_eq!(record.body.len(), address.len as usize);
            assert!(address.offset > offset, "records follow the header");
        }
        Ok::<(), ()>(())
    });
    let end = end.expect("visiting does not fail");
    if let Some(durable) = evidence(bytes, salt, end.end, end.next_seq) {
        assert!(!bytes.is_empty(), "nothing vouches for commit {durable}");
    }
    frames
}

/// Makes the checksums of the frame at the beginning right, as far as its records can be followed.
fn repair_frames(bytes: &mut [u8], segment_salt: u64) {
    let Some(head) = bytes.get(..FRAME_HEADER) else {
        return;
    };
    let room = u32::try_from(bytes.len() / 16 * 16).unwrap_or(u32::MAX);
    let seq = u64_at(head, 8).unwrap_or_default();
    let durable = u64_at(head, 16).unwrap_or_default();
    let mut at = FRAME_HEADER;
    let mut records = 0;
    while let Some(mut record) = bytes.get(at..room as usize).and_then(RecordHeader::decode) {
        let body = at + RECORD_HEADER;
        let left = room as usize - body.min(room as usize);
        record.len = u32::try_from(left).unwrap_or(u32::MAX).min(record.len);
        record.seq_low = crate::storage::format::low(seq);
        let payload = &bytes[body..body + record.len as usize];
        let crc = record_checksum(
            record.len,
            record.mount,
            record.kind,
            record.flags,
            &[payload],
        );
        let place = u32::try_from(at).unwrap_or(u32::MAX);
        record.crc = crc ^ salt(segment_salt, place, u64::from(record.seq_low));
        bytes[at..body].copy_from_slice(&record.encode());
        at += usize::try_from(record_bytes(u64::from(record.len))).unwrap_or(bytes.len());
        records += 1;
    }
    let len = u32::try_from(at).unwrap_or(u32::MAX);
    let header = FrameHeader {
        len,
        seq,
        durable,
        records,
    };
    bytes[..FRAME_HEADER].copy_from_slice(&header.encode(segment_salt, 0));
    if at <= bytes.len() {
        let verified = verified_frame(bytes, segment_salt, 0);
        assert_eq!(
            verified,
            Some(header),
            "a frame with right checksums is one"
        );
    }
}
