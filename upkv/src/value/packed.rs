//! Length-prefixed byte strings laid end to end: the small form of a hash and the body of images.
//!
//! A length is a LEB128 varint of at most five bytes. Readers never trust a length: whatever does not
//! fit in the remaining bytes ends the walk with `None`.

/// Appends a varint.
pub(crate) fn put_len(out: &mut impl Extend<u8>, mut value: usize) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            return out.extend([low]);
        }
        out.extend([low | 0x80]);
    }
}

/// Appends one length-prefixed string.
pub(crate) fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Makes room for bytes that are to come. Many small values stay as they are, so room is made for an eighth more, not
/// for twice as much.
pub(crate) fn make_room(out: &mut Vec<u8>, bytes: usize) {
    const STEP: usize = 16;
    let len = out.len();
    if out.capacity() - len < bytes {
        out.reserve_exact(bytes.max(STEP).max(len / 8));
    }
}

/// Puts bytes in at a position, before what is there.
pub(crate) fn insert(out: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    make_room(out, bytes.len());
    let len = out.len();
    out.extend_from_slice(bytes);
    if at < len {
        out.copy_within(at..len, at + bytes.len());
        out[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// Bytes that [`put`] takes for a string of `len` bytes.
pub(crate) fn put_size(len: usize) -> usize {
    let bits = usize::BITS - len.leading_zeros();
    (bits.max(1) as usize).div_ceil(7) + len
}

/// Where a string starts, with its length, among every `STEP`-th of those laid end to end. O(bytes).
///
/// Small forms hold hundreds of strings of few lengths. While lengths repeat, where the next ones are does not wait for
/// what is read there, so that the processor looks at many of them at once.
pub(crate) fn find<const STEP: usize>(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < bytes.len() {
        let mut lens = [0; STEP];
        let mut stride = 0;
        for len in &mut lens {
            *len = *bytes.get(at + stride)?;
            if *len & 0x80 != 0 {
                return find_long::<STEP>(bytes, at, wanted);
            }
            stride += 1 + usize::from(*len);
        }
        let is_as_long = usize::from(lens[0]) == wanted.len();
        let before = at;
        for entry in bytes[at..].chunks_exact(stride) {
            let mut place = 0;
            let mut is_alike = true;
            for len in lens {
                is_alike &= entry[place] == len;
                place += 1 + usize::from(len);
            }
            if !is_alike {
                break;
            }
            if is_as_long
                && entry.get(1) == wanted.first().or(entry.get(1))
                && entry[1..=wanted.len()] == *wanted
            {
                return Some(at);
            }
            at += stride;
        }
        if at == before {
            // Cut short.
            return None;
        }
    }
    None
}

/// As [`find`] from an entry on that has a length of several bytes.
fn find_long<const STEP: usize>(bytes: &[u8], from: usize, wanted: &[u8]) -> Option<usize> {
    let mut walk = Walk::new(&bytes[from..]);
    while !walk.is_done() {
        let at = bytes.len() - walk.rest.len();
        if walk.bytes()? == wanted {
            return Some(at);
        }
        for _ in 1..STEP {
            walk.bytes()?;
        }
    }
    None
}

/// A position in packed bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk<'b> {
    rest: &'b [u8],
}

impl<'b> Walk<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn rest(&self) -> &'b [u8] {
        self.rest
    }

    pub(crate) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        let (bytes, rest) = self.rest.split_first_chunk::<8>()?;
        self.rest = rest;
        Some(u64::from_le_bytes(*bytes))
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        let (bytes, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        Some(u32::from_le_bytes(*bytes))
    }

    /// A varint that fits in 32 bits.
    pub(crate) fn len(&mut self) -> Option<usize> {
        let mut value: u64 = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(u32::try_from(value).ok()?).ok();
            }
        }
        None
    }

    /// A length-prefixed string.
    pub(crate) fn bytes(&mut self) -> Option<&'b [u8]> {
        let len = self.len()?;
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back() {
        for len in [0_usize, 1, 127, 128, 16_383, 16_384, 70_000] {
            let text = vec![7_u8; len];
            let mut out = Vec::new();
            put(&mut out, &text);
            assert_eq!(out.len(), put_size(len));
            let mut walk = Walk::new(&out);
            assert_eq!(walk.bytes(), Some(&text[..]));
            assert!(walk.is_done());
        }
    }

    #[test]
    fn insertions_are_those_of_a_vector_with_little_to_spare() {
        let (mut out, mut model) = (Vec::new(), Vec::new());
        for step in 0..200_usize {
            let bytes = vec![step.to_le_bytes()[0]; step % 23];
            let at = step * 7 % (model.len() + 1);
            insert(&mut out, at, &bytes);
            model.splice(at..at, bytes);
            assert_eq!(out, model);
            assert!(out.capacity() <= out.len() + 23 + out.len() / 8);
        }
    }

    #[test]
    fn strings_are_found_at_their_places_only() {
        let texts: Vec<Vec<u8>> = (0..300_usize)
            .map(|n| [n.to_string().as_bytes(), &vec![b'.'; n % 7 * 40]].concat())
            .chain([Vec::new()])
            .collect();
        let mut bytes = Vec::new();
        for text in &texts {
            put(&mut bytes, text);
        }
        let mut walk = Walk::new(&bytes);
        for (index, text) in texts.iter().enumerate() {
            let at = bytes.len() - walk.rest().len();
            assert_eq!(walk.bytes(), Some(&text[..]));
            assert_eq!(find::<1>(&bytes, text), Some(at));
            let even = index.is_multiple_of(2).then_some(at);
            assert_eq!(find::<2>(&bytes, text), even, "{index}");
        }
        assert_eq!(find::<1>(&bytes, b"absent"), None);
        for cut in 0..bytes.len().min(2_000) {
            // Damaged bytes end the search; they never make it panic.
            let _ = find::<2>(&bytes[..cut], b"absent");
        }
    }

    #[test]
    fn damaged_lengths_end_the_walk() {
        for bytes in [
            &[0x80][..],
            &[5, 1, 2],
            &[0xff; 9],
            &[0xff, 0xff, 0xff, 0xff, 0x7f],
        ] {
            assert_eq!(Walk::new(bytes).bytes(), None);
        }
        assert_eq!(Walk::new(&[1, 2, 3]).u64(), None);
        assert_eq!(Walk::new(&[1, 2, 3]).u32(), None);
    }
}
