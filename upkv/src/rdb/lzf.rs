//! The LZF compression of strings in RDB data.
//!
//! A stream of runs: a byte below 32 says that as many bytes and one more follow; any other has a length in
//! its upper three bits and, with the bytes after it, how far back to copy from.

/// Farthest reference back.
const DISTANCE_MAX: usize = 1 << 13;
/// Longest copy one reference makes.
const COPY_MAX: usize = 264;
/// Longest run of literals.
const LITERALS_MAX: usize = 32;
/// Most bytes that one compressed byte can stand for: three bytes make the longest copy.
const EXPANSION_MAX: usize = COPY_MAX / 3;
/// Bits of the table of recent positions.
const TABLE_BITS: u32 = 13;

/// The `len` bytes that `packed` stands for; `None` when it is malformed or of another length.
pub(super) fn decompress(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    if len > packed.len().saturating_mul(EXPANSION_MAX) {
        return None;
    }
    let mut out = Vec::with_capacity(len);
    let mut rest = packed;
    while let [control, after @ ..] = rest {
        let control = usize::from(*control);
        if control < LITERALS_MAX {
            let (literals, after) = after.split_at_checked(control + 1)?;
            out.extend_from_slice(literals);
            rest = after;
        } else {
            let (more, after) = if control >> 5 == 7 {
                after.split_first()?
            } else {
                (&0, after)
            };
            let (low, after) = after.split_first()?;
            let count = (control >> 5) + 2 + usize::from(*more);
            let back = ((control & 31) << 8 | usize::from(*low)) + 1;
            let from = out.len().checked_sub(back)?;
            if out.len() + count > len {
                return None;
            }
            // The copy may overlap what it makes.
            for at in from..from + count {
                out.push(out[at]);
            }
            rest = after;
        }
        if out.len() > len {
            return None;
        }
    }
    (out.len() == len).then_some(out)
}

/// Compresses; `None` unless that saves more than four bytes.
pub(super) fn compress(input: &[u8]) -> Option<Vec<u8>> {
    let room = input.len().checked_sub(4).filter(|room| *room > 0)?;
    let mut out = Vec::with_capacity(room.min(input.len() / 2 + 64));
    // Positions plus one; 0 is none.
    let mut recent = vec![0_usize; 1 << TABLE_BITS];
    let (mut at, mut literals) = (0, 0);
    while at + 2 < input.len() {
        let three = u32::from_le_bytes([input[at], input[at + 1], input[at + 2], 0]);
        let slot = (three.wrapping_mul(0x9e37_79b1) >> (32 - TABLE_BITS)) as usize;
        let before = std::mem::replace(&mut recent[slot], at + 1);
        let usable = before != 0
            && at + 1 - before <= DISTANCE_MAX
            && input[before - 1..before + 2] == input[at..at + 3];
        if !usable {
            at += 1;
            continue;
        }
        let start = before - 1;
        let most = COPY_MAX.min(input.len() - at);
        let count = (3..most)
            .find(|step| input[start + step] != input[at + step])
            .unwrap_or(most);
        put_literals(&mut out, &input[literals..at]);
        let back = at - start - 1;
        let (high, low) = (back >> 8, back & 0xff);
        let code = count - 2;
        if code < 7 {
            out.push(byte(code << 5 | high));
        } else {
            out.push(byte(7 << 5 | high));
            out.push(byte(code - 7));
        }
        out.push(byte(low));
        at += count;
        literals = at;
        if out.len() >= room {
            return None;
        }
    }
    put_literals(&mut out, &input[literals..]);
    (out.len() < room).then_some(out)
}

fn put_literals(out: &mut Vec<u8>, literals: &[u8]) {
    for run in literals.chunks(LITERALS_MAX) {
        out.push(byte(run.len() - 1));
        out.extend_from_slice(run);
    }
}

fn byte(value: usize) -> u8 {
    u8::try_from(value).expect("the parts of a reference fit their bits")
}

#[cfg(test)]
mod tests {
    use super::{compress, decompress};

    #[test]
    fn what_is_compressed_comes_back() {
        let mut seed = 7_u64;
        for round in 0..400_usize {
            let len = round * 37 % 20_000;
            let mut text = Vec::new();
            while text.len() < len {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let run = (seed >> 40) as usize % 300 + 1;
                let letter = (seed >> 33 & 0xff) as u8;
                if round % 3 == 0 {
                    text.push(letter);
                } else {
                    text.extend(std::iter::repeat_n(letter & 3, run));
                }
            }
            if let Some(packed) = compress(&text) {
                assert!(packed.len() + 4 < text.len());
                assert_eq!(decompress(&packed, text.len()).as_ref(), Some(&text));
                assert_eq!(decompress(&packed, text.len() + 1), None);
                assert_eq!(decompress(&packed, text.len() - 1), None);
            } else {
                assert!(round % 3 == 0 || text.len() < 700, "{round}");
            }
        }
    }

    #[test]
    fn lying_lengths_allocate_nothing() {
        assert_eq!(decompress(&[0, 1], usize::MAX), None);
        assert_eq!(decompress(&[0xff, 0xff, 0xff], 264), None);
        assert_eq!(decompress(&[31, 1], 32), None);
        assert_eq!(decompress(&[], 0), Some(Vec::new()));
    }
}
