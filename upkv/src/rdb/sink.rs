//! Writing the primitives of the format: lengths and strings, in their shortest encodings.

use super::{Text, lzf};
use crate::number;

/// Shortest string that is worth compressing, in bytes.
const COMPRESS_BYTES_MIN: usize = 21;
/// Longest text of an integer that has an encoding of its own.
const INT_TEXT_BYTES_MAX: usize = 11;

pub(super) fn put_length(out: &mut Text, value: u64) {
    match value {
        0..=0x3f => out.push((value & 0x3f) as u8),
        0x40..=0x3fff => out.extend_from_slice(&((value & 0x3fff) as u16 | 0x4000).to_be_bytes()),
        _ => {
            if let Ok(value) = u32::try_from(value) {
                out.push(0x80);
                out.extend_from_slice(&value.to_be_bytes());
            } else {
                out.push(0x81);
                out.extend_from_slice(&value.to_be_bytes());
            }
        }
    }
}

pub(super) fn put_count(out: &mut Text, count: usize) {
    put_length(out, count as u64);
}

pub(super) fn put_string(out: &mut Text, bytes: &[u8]) {
    if bytes.len() <= INT_TEXT_BYTES_MAX
        && let Some(value) = number::parse_i64(bytes)
        && put_small_int(out, value)
    {
        return;
    }
    if bytes.len() >= COMPRESS_BYTES_MIN
        && let Some(packed) = lzf::compress(bytes)
    {
        out.push(0xc3);
        put_count(out, packed.len());
        put_count(out, bytes.len());
        out.extend_from_slice(&packed);
        return;
    }
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_small_int(out: &mut Text, value: i64) -> bool {
    if let Ok(value) = i8::try_from(value) {
        out.push(0xc0);
        out.extend_from_slice(&value.to_le_bytes());
    } else if let Ok(value) = i16::try_from(value) {
        out.push(0xc1);
        out.extend_from_slice(&value.to_le_bytes());
    } else if let Ok(value) = i32::try_from(value) {
        out.push(0xc2);
        out.extend_from_slice(&value.to_le_bytes());
    } else {
        return false;
    }
    true
}
