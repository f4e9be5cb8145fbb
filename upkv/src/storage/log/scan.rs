//! Walking the frames of one segment, and judging where they end.

use super::super::format::{FrameHeader, PAGE, SEGMENT_HEADER, verified_frame};

/// Where a walk over the frames of a segment stopped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Everything up to the end of the bytes was frames, or zeros after them.
    Clean,
    /// What follows the last frame is neither a frame nor zeros.
    Broken,
}

/// Result of [`scan`].
#[derive(Debug)]
pub(crate) struct Scan {
    /// Offset after the last accepted frame.
    pub(crate) end: u64,
    /// Number the next frame would have had.
    pub(crate) next_seq: u64,
    /// Highest durable position that an accepted frame carried.
    pub(crate) durable: u64,
    pub(crate) how: End,
}

/// Visits the frames of a segment image from `from` on, in order, until one does not follow; `stop` ends the walk before that
/// commit number (a later segment took over).
pub(crate) fn scan<E>(
    bytes: &[u8],
    salt: u64,
    from: u64,
    first_seq: u64,
    stop: u64,
    mut visit: impl FnMut(u32, &FrameHeader) -> Result<(), E>,
) -> Result<Scan, E> {
    let mut result = Scan {
        end: from,
        next_seq: first_seq,
        durable: 0,
        how: End::Clean,
    };
    while result.next_seq < stop {
        let Some((offset, header)) = next_frame(bytes, salt, result.end, result.next_seq) else {
            let rest = usize::try_from(result.end)
                .ok()
                .and_then(|at| bytes.get(at..));
            if rest.is_some_and(|rest| !is_blank(rest)) {
                result.how = End::Broken;
            }
            break;
        };
        visit(offset, &header)?;
        result.end = u64::from(offset) + u64::from(header.len);
        result.next_seq += 1;
        result.durable = result.durable.max(header.durable);
    }
    Ok(result)
}

/// Whether all bytes are zero. In blocks, because a new segment is mostly that.
pub(super) fn is_blank(bytes: &[u8]) -> bool {
    let mut blocks = bytes.chunks_exact(64);
    blocks.all(|block| block.iter().fold(0, |all, byte| all | byte) == 0)
        && blocks.remainder().iter().all(|byte| *byte == 0)
}

/// The frame with number `seq` at `end`, or at the next page where small frames move to.
fn next_frame(bytes: &[u8], salt: u64, end: u64, seq: u64) -> Option<(u32, FrameHeader)> {
    for at in [end, end.next_multiple_of(PAGE)] {
        let offset = u32::try_from(at).ok()?;
        if let Some(header) = verified_frame(bytes, salt, offset)
            && header.seq == seq
        {
            return Some((offset, header));
        }
    }
    None
}

/// The highest durable position that any valid frame behind `from` vouches for: the evidence that tells corruption from a torn tail.
/// Positions are salted with their offset, so stored values that imitate frames are not taken for some.
pub(crate) fn evidence(bytes: &[u8], salt: u64, from: u64, expected: u64) -> Option<u64> {
    let mut at = from.max(SEGMENT_HEADER);
    let mut found = None;
    while let Some(offset) = u32::try_from(at)
        .ok()
        .filter(|o| (*o as usize) < bytes.len())
    {
        let step = match verified_frame(bytes, salt, offset) {
            Some(header) if header.seq > expected => {
                found = found.max(Some(header.durable));
                u64::from(header.len)
            }
            Some(header) => u64::from(header.len),
            None => super::super::format::ALIGN,
        };
        at += step;
    }
    found
}
