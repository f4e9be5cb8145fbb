//! Changes inside a large string: a part is replaced where it is, and only that part goes to the log.
//!
//! A change is: position, number of bytes that go, and the bytes that come, with varint lengths. A
//! position past the end fills the gap with zero bytes. The string itself stays a [`Bytes`]: while no
//! reader holds it, it is changed in place, otherwise it is copied first and the reader keeps the old one.

use bytes::{Bytes, BytesMut};

use super::STRING_BYTES_MAX;
use super::packed::{self, Walk};

/// From this length on a string is changed by [`splice`]; shorter ones are replaced as a whole.
///
/// Such a string is never the text of an integer, so a change leaves it what it is.
pub(crate) const SPLICE_BYTES_MIN: usize = 128;

/// Takes one splice back.
#[derive(Debug)]
pub(crate) struct Undo {
    /// Where the change began, inside the old string.
    at: usize,
    /// Bytes there now.
    added: usize,
    /// Bytes that were there.
    removed: Box<[u8]>,
}

/// Replaces `removed` bytes at `at` by `with`; the caller has checked the resulting length.
///
/// # Complexity
///
/// O(bytes changed) when the length stays or grows at the end, otherwise O(bytes behind the change).
pub(crate) fn splice(value: &mut Bytes, at: usize, removed: usize, with: &[u8]) -> Undo {
    let len = value.len();
    // The gap is part of what was added.
    let start = at.min(len);
    let gap = at - start;
    let removed = removed.min(len - start);
    let undo = Undo {
        at: start,
        added: gap + with.len(),
        removed: value[start..start + removed].into(),
    };
    replace(value, start, removed, gap, with);
    undo
}

/// Takes a change back.
pub(crate) fn undo(value: &mut Bytes, undo: &Undo) {
    let added = undo.added.min(value.len() - undo.at);
    replace(value, undo.at, added, 0, &undo.removed);
}

/// Replaces `removed` bytes at `at`, which are there, by `gap` zeros and `with`.
fn replace(value: &mut Bytes, at: usize, removed: usize, gap: usize, with: &[u8]) {
    let before = std::mem::take(value);
    let tail = at + removed..before.len();
    let added = gap + with.len();
    let end = at + added + tail.len();
    let mut buffer = match before.try_into_mut() {
        Ok(buffer) if buffer.capacity() >= end => buffer,
        Ok(buffer) => roomy(&buffer, end),
        Err(shared) => roomy(&shared, end),
    };
    if added > removed {
        buffer.resize(end, 0);
    }
    buffer.copy_within(tail, at + added);
    buffer.truncate(end);
    buffer[at..at + gap].fill(0);
    buffer[at + gap..at + added].copy_from_slice(with);
    *value = buffer.freeze();
}

/// A copy with room for `end` bytes and an eighth more, so that growing bit by bit copies each byte a few times.
fn roomy(bytes: &[u8], end: usize) -> BytesMut {
    let spare = if end > bytes.len() { end / 8 } else { 0 };
    let mut buffer = BytesMut::with_capacity(end.max(bytes.len()) + spare);
    buffer.extend_from_slice(bytes);
    buffer
}

/// Appends a change to the log.
pub(crate) fn log(out: &mut Vec<u8>, at: usize, removed: usize, with: &[u8]) {
    packed::put_len(out, at);
    packed::put_len(out, removed);
    packed::put(out, with);
}

/// Replays logged changes; `None` when they are malformed.
pub(crate) fn replay(value: &mut Bytes, changes: &[u8]) -> Option<()> {
    let mut walk = Walk::new(changes);
    while !walk.is_done() {
        let (at, removed, with) = (walk.len()?, walk.len()?, walk.bytes()?);
        grown(value.len(), at, removed, with.len())?;
        splice(value, at, removed, with);
    }
    Some(())
}

/// The length a string of `len` bytes has after logged changes; `None` when they are malformed.
pub(crate) fn peek_len(mut len: usize, changes: &[u8]) -> Option<usize> {
    let mut walk = Walk::new(changes);
    while !walk.is_done() {
        let (at, removed, with) = (walk.len()?, walk.len()?, walk.bytes()?);
        len = grown(len, at, removed, with.len())?;
    }
    Some(len)
}

/// The length after one change, if strings may be that long.
fn grown(len: usize, at: usize, removed: usize, added: usize) -> Option<usize> {
    let start = at.min(len);
    let kept = len - removed.min(len - start);
    let grown = kept.checked_add(at - start)?.checked_add(added)?;
    (grown <= STRING_BYTES_MAX).then_some(grown)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One splice on a plain vector.
    fn model(value: &mut Vec<u8>, at: usize, removed: usize, with: &[u8]) {
        if at > value.len() {
            value.resize(at, 0);
        }
        let end = value.len().min(at + removed);
        value.splice(at..end, with.iter().copied());
    }

    #[test]
    fn agrees_with_a_vector_and_comes_back() {
        let mut seed = 7_u64;
        let mut below = |bound: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(seed >> 33).expect("31 bits") % bound
        };
        for _ in 0..300 {
            let start: Vec<u8> = (0..below(300))
                .map(|_| below(256).to_le_bytes()[0])
                .collect();
            let (mut value, mut expected) = (Bytes::from(start.clone()), start.clone());
            let (mut undos, mut changes) = (Vec::new(), Vec::new());
            let mut readers = Vec::new();
            for step in 0..below(12) {
                let (at, removed) = (below(expected.len() + 20), below(20));
                let with = vec![step.to_le_bytes()[0] + 1; below(24)];
                if below(3) == 0 {
                    readers.push((value.clone(), expected.clone()));
                }
                undos.push(splice(&mut value, at, removed, &with));
                log(&mut changes, at, removed, &with);
                model(&mut expected, at, removed, &with);
                assert_eq!(value, expected);
            }
            for (reader, seen) in readers {
                assert_eq!(reader, seen, "a reader keeps what it read");
            }
            let mut replayed = Bytes::from(start.clone());
            assert_eq!(peek_len(start.len(), &changes), Some(expected.len()));
            assert_eq!(replay(&mut replayed, &changes), Some(()));
            assert_eq!(replayed, expected);
            for cut in 0..changes.len() {
                // Cut short it is refused or a shorter history; it never panics.
                let _ = replay(&mut Bytes::from(start.clone()), &changes[..cut]);
            }
            for change in undos.iter().rev() {
                undo(&mut value, change);
            }
            assert_eq!(value, start);
        }
    }

    #[test]
    fn appending_does_not_copy_each_time() {
        let mut value = Bytes::from(vec![1; 1000]);
        let mut moved = 0;
        for _ in 0..1000 {
            let before = value.as_ptr();
            let at = value.len();
            splice(&mut value, at, 0, b"x");
            moved += usize::from(value.as_ptr() != before);
        }
        assert!(moved < 20, "{moved}");
    }

    #[test]
    fn lengths_out_of_range_are_refused() {
        let mut changes = Vec::new();
        log(&mut changes, STRING_BYTES_MAX, 0, b"x");
        assert_eq!(replay(&mut Bytes::new(), &changes), None);
        assert_eq!(peek_len(0, &changes), None);
        assert_eq!(replay(&mut Bytes::new(), &[1]), None);
    }
}
