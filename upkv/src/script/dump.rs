//! Libraries as `FUNCTION DUMP` gives them: the format of Redis.
//!
//! | part | bytes |
//! |---|---|
//! | per library | 0xf5, its code as a string of an RDB file, plain or compressed with LZF |
//! | version of RDB files | u16, little-endian |
//! | CRC-64 (Jones) of everything before | u64, little-endian |

use crate::error::{Error, Result};

const LIBRARY: u8 = 0xf5;
/// The version that is written; Redis 7.0 reads it.
const VERSION: u16 = 10;
/// The newest version that is read.
const VERSION_MAX: u16 = 13;
/// Most bytes that a library may have.
const CODE_BYTES_MAX: usize = 64 << 20;

pub(crate) fn write<'c>(codes: impl Iterator<Item = &'c [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for code in codes {
        out.push(LIBRARY);
        put_len(&mut out, code.len());
        out.extend_from_slice(code);
    }
    out.extend_from_slice(&VERSION.to_le_bytes());
    let sum = crc64(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

/// The codes of a dump.
pub(crate) fn read(dump: &[u8]) -> Result<Vec<Vec<u8>>> {
    let refused = || Error::refused("ERR DUMP payload version or checksum are wrong");
    let (body, sum) = dump.split_last_chunk::<8>().ok_or_else(refused)?;
    let (body_only, version) = body.split_last_chunk::<2>().ok_or_else(refused)?;
    if u16::from_le_bytes(*version) > VERSION_MAX || crc64(body) != u64::from_le_bytes(*sum) {
        return Err(refused());
    }
    let mut rest = body_only;
    let mut codes = Vec::new();
    while let Some((kind, after)) = rest.split_first() {
        if *kind != LIBRARY {
            return Err(Error::refused("ERR given type is not a function"));
        }
        let (code, after) =
            string(after).ok_or_else(|| Error::refused("ERR Failed loading library data"))?;
        codes.push(code);
        rest = after;
    }
    Ok(codes)
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    match (u8::try_from(len), u16::try_from(len), u32::try_from(len)) {
        (Ok(len), _, _) if len < 64 => out.push(len),
        (_, Ok(len), _) if len < 1 << 14 => out.extend_from_slice(&(0x4000 | len).to_be_bytes()),
        (_, _, Ok(len)) => {
            out.push(0x80);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(0x81);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// A length, or the number of a special form.
enum Length {
    Of(usize),
    Special(u8),
}

fn length(bytes: &[u8]) -> Option<(Length, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let low = usize::from(first & 0x3f);
    Some(match (first >> 6, *first) {
        (0, _) => (Length::Of(low), rest),
        (1, _) => {
            let (second, rest) = rest.split_first()?;
            (Length::Of(low << 8 | usize::from(*second)), rest)
        }
        (2, 0x80) => {
            let (len, rest) = rest.split_first_chunk::<4>()?;
            let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
            (Length::Of(len), rest)
        }
        (2, 0x81) => {
            let (len, rest) = rest.split_first_chunk::<8>()?;
            let len = usize::try_from(u64::from_be_bytes(*len)).ok()?;
            (Length::Of(len), rest)
        }
        (3, _) => (Length::Special(first & 0x3f), rest),
        _ => return None,
    })
}

fn string(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    const COMPRESSED: u8 = 3;
    match length(bytes)? {
        (Length::Of(len), rest) => {
            let (text, rest) = rest.split_at_checked(len)?;
            Some((text.to_vec(), rest))
        }
        (Length::Special(COMPRESSED), rest) => {
            let (Length::Of(packed), rest) = length(rest)? else {
                return None;
            };
            let (Length::Of(len), rest) = length(rest)? else {
                return None;
            };
            let (packed, rest) = rest.split_at_checked(packed)?;
            Some((expand(packed, len)?, rest))
        }
        (Length::Special(_), _) => None,
    }
}

/// Takes LZF apart: runs of literals, and references to what came before.
fn expand(mut packed: &[u8], len: usize) -> Option<Vec<u8>> {
    if len > CODE_BYTES_MAX {
        return None;
    }
    let mut out = Vec::new();
    while let Some((control, rest)) = packed.split_first() {
        let control = usize::from(*control);
        if control < 32 {
            let (literal, rest) = rest.split_at_checked(control + 1)?;
            out.extend_from_slice(literal);
            packed = rest;
        } else {
            let mut count = control >> 5;
            let mut rest = rest;
            if count == 7 {
                let (more, after) = rest.split_first()?;
                count += usize::from(*more);
                rest = after;
            }
            let (low, rest) = rest.split_first()?;
            let back = ((control & 0x1f) << 8 | usize::from(*low)) + 1;
            let start = out.len().checked_sub(back)?;
            for at in start..start + count + 2 {
                out.push(out[at]);
            }
            packed = rest;
        }
        if out.len() > len {
            return None;
        }
    }
    (out.len() == len).then_some(out)
}

fn crc64(bytes: &[u8]) -> u64 {
    const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ u64::from(*byte), |sum, _| {
            (sum >> 1) ^ (POLYNOMIAL & (sum & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dumps_round_trip_and_damage_is_refused() {
        assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        let codes = [vec![b'a'; 10], vec![b'b'; 100], vec![b'c'; 20_000]];
        let dump = write(codes.iter().map(|code| &code[..]));
        assert_eq!(read(&dump).expect("just written"), codes);
        for at in 0..dump.len().min(200) {
            let mut bad = dump.clone();
            bad[at] ^= 1;
            assert!(read(&bad).is_err(), "{at}");
            assert!(read(&dump[..at]).is_err(), "{at}");
        }
    }

    #[test]
    fn compressed_strings_of_redis() {
        // Three literals, then nine bytes from three back.
        let packed = [2, b'a', b'b', b'c', 0xe0, 0, 2];
        assert_eq!(expand(&packed, 12).expect("well formed"), b"abcabcabcabc");
        assert_eq!(expand(&packed, 11), None);
        assert_eq!(expand(&[0x20, 5], 3), None);
        assert_eq!(expand(&[31, b'a'], 32), None);
        assert_eq!(expand(&[], usize::MAX), None);
    }
}
