//! Strings as arrays of bits; bit 0 is the highest bit of the first byte.
//!
//! Reads past the end find zeros; writes there make the string longer.

use std::ops::Range;

use bytes::Bytes;

use super::string;
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::keyspace::work::event::Class;
use crate::value::{Kind, Object, STRING_BYTES_MAX};

/// Bits of the longest string.
pub(crate) const BITS_MAX: u64 = STRING_BYTES_MAX as u64 * 8;

#[cold]
pub(crate) fn bad_offset() -> Error {
    Error::refused("ERR bit offset is not an integer or out of range")
}

#[cold]
pub(crate) fn bad_type() -> Error {
    Error::refused(
        "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
    )
}

/// Byte of a bit, and the bit's mask in it.
fn place(offset: u64) -> Result<(usize, u8)> {
    if offset >= BITS_MAX {
        return Err(bad_offset());
    }
    let byte = usize::try_from(offset / 8).map_err(|_| bad_offset())?;
    Ok((byte, 0x80 >> (offset % 8)))
}

pub(crate) fn get(work: &mut Work<'_>, key: &[u8], offset: u64) -> Result<bool> {
    let (byte, mask) = place(offset)?;
    let value = string::get(work, key)?;
    let byte = value.and_then(|value| value.get(byte).copied());
    Ok(byte.unwrap_or(0) & mask != 0)
}

/// Sets one bit; what it was.
pub(crate) fn set(work: &mut Work<'_>, key: &[u8], offset: u64, bit: bool) -> Result<bool> {
    let (at, mask) = place(offset)?;
    let before = string::get(work, key)?.and_then(|value| value.get(at).copied());
    let old = before.unwrap_or(0);
    let new = if bit { old | mask } else { old & !mask };
    if before != Some(new) {
        string::write(work, key, at, 1, &[new])?;
        work.notify(Class::STRING, "setbit", key);
    }
    Ok(old & mask != 0)
}

/// What the positions of a range count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unit {
    #[default]
    Byte,
    Bit,
}

/// An inclusive range; negative positions count from the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) start: i64,
    /// `None`: to the end.
    pub(crate) end: Option<i64>,
    pub(crate) unit: Unit,
}

impl Part {
    pub(crate) const ALL: Self = Self {
        start: 0,
        end: None,
        unit: Unit::Byte,
    };

    /// The bits of a string of `len` bytes that the range covers.
    fn bits(self, len: usize) -> Range<u64> {
        let width = if self.unit == Unit::Bit { 1 } else { 8 };
        let total = i64::try_from(len as u64 * 8 / width).unwrap_or(i64::MAX);
        let from_end = |at: i64| {
            let at = if at < 0 { at.saturating_add(total) } else { at };
            at.max(0)
        };
        let end = self.end.unwrap_or(-1);
        let (start, end) = (from_end(self.start), from_end(end).min(total - 1));
        if start > end {
            return 0..0;
        }
        start.unsigned_abs() * width..(end.unsigned_abs() + 1) * width
    }
}

/// Number of bits that are set in a part.
///
/// # Complexity
///
/// O(bytes in the part).
pub(crate) fn count(work: &mut Work<'_>, key: &[u8], part: Part) -> Result<u64> {
    let value = string::get(work, key)?.unwrap_or_default();
    // Only counting takes two positions from the end as they are; otherwise both may come to be the first.
    if part.start < 0 && part.end.is_some_and(|end| end < 0 && part.start > end) {
        return Ok(0);
    }
    Ok(count_in(&value, part.bits(value.len())))
}

fn byte_at(value: &[u8], bit: u64) -> u8 {
    let byte = usize::try_from(bit / 8).ok();
    byte.and_then(|at| value.get(at).copied()).unwrap_or(0)
}

/// The whole bytes inside a range of bits of `value`.
fn whole<'v>(value: &'v [u8], bits: &Range<u64>) -> (Range<u64>, &'v [u8]) {
    let (first, last) = (bits.start.div_ceil(8), bits.end / 8);
    let range = first.min(last)..last;
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(value.len());
    let bytes = &value[index(range.start)..index(range.end)];
    (range.start * 8..range.end * 8, bytes)
}

fn count_in(value: &[u8], bits: Range<u64>) -> u64 {
    let is_set = |bit: &u64| byte_at(value, *bit) & (0x80 >> (bit % 8)) != 0;
    let ones = |range: Range<u64>| range.filter(is_set).count() as u64;
    let (inner, bytes) = whole(value, &bits);
    if inner.is_empty() {
        return ones(bits);
    }
    let (chunks, rest) = bytes.as_chunks::<8>();
    let words = chunks
        .iter()
        .map(|chunk| u64::from_le_bytes(*chunk).count_ones());
    let sum: u64 = words.map(u64::from).sum();
    let rest: u64 = rest.iter().map(|byte| u64::from(byte.count_ones())).sum();
    ones(bits.start..inner.start) + sum + rest + ones(inner.end..bits.end)
}

/// Position of the first bit that is `bit` in a part.
///
/// Looking for 0 in a string of ones without a given end answers the position after it.
///
/// # Complexity
///
/// O(bytes in the part).
pub(crate) fn position(
    work: &mut Work<'_>,
    key: &[u8],
    bit: bool,
    within: Part,
) -> Result<Option<u64>> {
    let Some(value) = string::get(work, key)? else {
        return Ok((!bit).then_some(0));
    };
    let range = within.bits(value.len());
    if range.is_empty() {
        return Ok(None);
    }
    let found = position_in(&value, bit, range.clone());
    let past = !bit && within.end.is_none();
    Ok(found.or_else(|| past.then_some(range.end)))
}

fn position_in(value: &[u8], bit: bool, bits: Range<u64>) -> Option<u64> {
    let matches = |at: &u64| (byte_at(value, *at) & (0x80 >> (at % 8)) != 0) == bit;
    let (inner, bytes) = whole(value, &bits);
    if inner.is_empty() {
        return bits.clone().find(matches);
    }
    let skipped = if bit { 0 } else { 0xff };
    (bits.start..inner.start).find(matches).or_else(|| {
        let at = bytes.iter().position(|byte| *byte != skipped);
        let from = at.map_or(inner.end, |at| inner.start + at as u64 * 8);
        (from..bits.end).find(matches)
    })
}

/// How strings are joined bit by bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Set in all.
    And,
    /// Set in any.
    Or,
    /// Set in an odd number.
    Xor,
    /// The complement of the only source.
    Not,
    /// Set in the first source and in no other.
    Diff,
    /// Set in another source but not in the first.
    Diff1,
    /// Set in the first and in another.
    AndOr,
    /// Set in exactly one.
    One,
}

impl Join {
    /// The operation that BITOP knows by this name, in capitals.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "AND" => Self::And,
            "OR" => Self::Or,
            "XOR" => Self::Xor,
            "NOT" => Self::Not,
            "DIFF" => Self::Diff,
            "DIFF1" => Self::Diff1,
            "ANDOR" => Self::AndOr,
            "ONE" => Self::One,
            _ => return None,
        })
    }

    /// Refuses a number of sources that the operation makes nothing of.
    pub(crate) fn check_count(self, sources: usize) -> Result<()> {
        let name = match self {
            Self::Not if sources != 1 => {
                let text = "ERR BITOP NOT must be called with a single source key.";
                return Err(Error::refused(text));
            }
            _ if sources == 0 => return Err(Error::refused("ERR BITOP needs a source key.")),
            Self::Diff if sources < 2 => "DIFF",
            Self::Diff1 if sources < 2 => "DIFF1",
            Self::AndOr if sources < 2 => "ANDOR",
            _ => return Ok(()),
        };
        let text = format!("ERR BITOP {name} must be called with at least two source keys.");
        Err(Error::refused_with(text))
    }

    /// One byte of the result.
    fn byte(self, first: u8, others: impl Iterator<Item = u8>) -> u8 {
        match self {
            Self::And => others.fold(first, |a, b| a & b),
            Self::Or => others.fold(first, |a, b| a | b),
            Self::Xor => others.fold(first, |a, b| a ^ b),
            Self::Not => !first,
            Self::Diff => first & !others.fold(0, |a, b| a | b),
            Self::Diff1 => !first & others.fold(0, |a, b| a | b),
            Self::AndOr => first & others.fold(0, |a, b| a | b),
            Self::One => {
                let (mut once, mut twice) = (first, 0);
                for other in others {
                    twice |= once & other;
                    once |= other;
                }
                once & !twice
            }
        }
    }
}

/// Stores the strings at `sources` joined bit by bit; the length of the result.
///
/// # Complexity
///
/// O(sources times the longest).
pub(crate) fn join(
    work: &mut Work<'_>,
    how: Join,
    target: &[u8],
    sources: &[&[u8]],
) -> Result<usize> {
    super::check_size(target)?;
    for key in sources {
        work.expect_kind(key, Kind::String)?;
    }
    let mut values: Vec<Bytes> = Vec::with_capacity(sources.len());
    for key in sources {
        values.push(string::get(work, key)?.unwrap_or_default());
    }
    let len = values.iter().map(Bytes::len).max().unwrap_or(0);
    let Some((first, others)) = values.split_first().filter(|_| len > 0) else {
        if work.remove(target)? {
            work.notify(Class::GENERIC, "del", target);
        }
        return Ok(0);
    };
    let at = |value: &Bytes, index: usize| value.get(index).copied().unwrap_or(0);
    let byte = |index: usize| {
        let others = others.iter().map(|value| at(value, index));
        how.byte(at(first, index), others)
    };
    let joined: Vec<u8> = (0..len).map(byte).collect();
    work.put(target, Object::shared(joined.into()), 0)?;
    work.notify(Class::STRING, "set", target);
    Ok(len)
}

/// The width of an integer among the bits, 1 to 64 (63 if unsigned), and whether it has a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IntType {
    signed: bool,
    width: u8,
}

impl IntType {
    /// `None` if there is no such type.
    pub(crate) fn new(signed: bool, width: u8) -> Option<Self> {
        let max = if signed { 64 } else { 63 };
        (1..=max).contains(&width).then_some(Self { signed, width })
    }

    pub(crate) fn width(self) -> u64 {
        u64::from(self.width)
    }

    fn min(self) -> i128 {
        if self.signed {
            -(1_i128 << (self.width - 1))
        } else {
            0
        }
    }

    fn max(self) -> i128 {
        (1_i128 << (self.width - u8::from(self.signed))) - 1
    }

    /// What the low bits of `raw` stand for.
    fn value(self, raw: u64) -> i128 {
        let raw = i128::from(raw) & ((1_i128 << self.width) - 1);
        if raw > self.max() {
            raw - (1_i128 << self.width)
        } else {
            raw
        }
    }

    /// A value brought into range; `None` if that is refused.
    fn fit(self, value: i128, overflow: Overflow) -> Option<i128> {
        if (self.min()..=self.max()).contains(&value) {
            return Some(value);
        }
        match overflow {
            Overflow::Wrap => Some(self.value(low_bits(value))),
            Overflow::Saturate => Some(value.clamp(self.min(), self.max())),
            Overflow::Fail => None,
        }
    }
}

/// The low 64 bits in two's complement.
fn low_bits(value: i128) -> u64 {
    (value & i128::from(u64::MAX))
        .try_into()
        .expect("64 bits are left")
}

/// What becomes of a number that its bits cannot hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// It wraps around.
    #[default]
    Wrap,
    /// It becomes the nearest value that fits.
    Saturate,
    /// It is not stored.
    Fail,
}

/// One step of a BITFIELD.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

/// A step on the integer of a type at an offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) of: IntType,
    pub(crate) offset: u64,
    pub(crate) step: Step,
}

/// Does the steps in order; per step the value read, the old or the new value, or nothing if it did not fit.
pub(crate) fn fields(
    work: &mut Work<'_>,
    key: &[u8],
    fields: &[Field],
) -> Result<Vec<Option<i64>>> {
    for field in fields {
        place(field.offset)?;
    }
    let writes = fields
        .iter()
        .filter(|field| !matches!(field.step, Step::Get));
    let end = writes.map(|field| field.offset + field.of.width()).max();
    if end.is_some_and(|end| end > BITS_MAX) {
        return Err(bad_offset());
    }
    let mut changed = false;
    if let Some(end) = end {
        let bytes = usize::try_from(end.div_ceil(8)).map_err(|_| bad_offset())?;
        if string::len(work, key)? < bytes {
            string::write(work, key, bytes - 1, 1, &[0])?;
            changed = true;
        }
    }
    let mut found = Vec::with_capacity(fields.len());
    for field in fields {
        let (first, window) = window(work, key, *field)?;
        let shift = u64::from(u128::BITS) - field.offset % 8 - field.of.width();
        let raw = low_bits((window >> shift).cast_signed());
        let old = field.of.value(raw);
        let (wanted, overflow) = match field.step {
            Step::Get => {
                found.push(i64::try_from(old).ok());
                continue;
            }
            Step::Set(value, overflow) if field.of.signed => (i128::from(value), overflow),
            // As Redis reads it: a negative number is a large one.
            Step::Set(value, overflow) => (i128::from(value.cast_unsigned()), overflow),
            Step::Add(change, overflow) => (old + i128::from(change), overflow),
        };
        let Some(new) = field.of.fit(wanted, overflow) else {
            found.push(None);
            continue;
        };
        let mask = ((1_u128 << field.of.width()) - 1) << shift;
        let bits = (u128::from(low_bits(new)) << shift) & mask;
        let written = (window & !mask) | bits;
        if written != window {
            let count = (field.offset % 8 + field.of.width()).div_ceil(8);
            let count = usize::try_from(count).expect("at most nine bytes");
            string::write(work, key, first, count, &written.to_be_bytes()[..count])?;
            changed = true;
        }
        let shown = if matches!(field.step, Step::Set(..)) {
            old
        } else {
            new
        };
        found.push(i64::try_from(shown).ok());
    }
    if changed {
        work.notify(Class::STRING, "setbit", key);
    }
    Ok(found)
}

/// The sixteen bytes from a field's first byte on, highest first, and the position of that byte.
fn window(work: &mut Work<'_>, key: &[u8], field: Field) -> Result<(usize, u128)> {
    let (first, _) = place(field.offset)?;
    let value = string::get(work, key)?.unwrap_or_default();
    let mut bytes = [0; 16];
    let rest = value.get(first..).unwrap_or_default();
    let count = rest.len().min(bytes.len());
    bytes[..count].copy_from_slice(&rest[..count]);
    Ok((first, u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(start: i64, end: i64, unit: Unit) -> Part {
        Part {
            start,
            end: Some(end),
            unit,
        }
    }

    #[test]
    fn parts_clamp() {
        for (part, expected) in [
            (Part::ALL, 0..24),
            (part(1, 1, Unit::Byte), 8..16),
            (part(-1, -1, Unit::Byte), 16..24),
            (part(-1, -3, Unit::Byte), 0..0),
            (part(5, 30, Unit::Bit), 5..24),
            (part(-3, -2, Unit::Bit), 21..23),
            (part(i64::MIN, i64::MAX, Unit::Bit), 0..24),
            (part(3, 9, Unit::Byte), 0..0),
        ] {
            assert_eq!(part.bits(3), expected, "{part:?}");
        }
        assert_eq!(Part::ALL.bits(0), 0..0);
    }

    #[test]
    fn counts_and_positions_agree_with_single_bits() {
        let mut value: Vec<u8> = (0..40_u8).map(|at| at.wrapping_mul(37)).collect();
        value[7..20].fill(0);
        value[20..33].fill(0xff);
        let is_set = |bit: u64| byte_at(&value, bit) & (0x80 >> (bit % 8)) != 0;
        for start in (0..320).step_by(7) {
            for end in (start..=320).step_by(5) {
                let ones = (start..end).filter(|bit| is_set(*bit)).count() as u64;
                assert_eq!(count_in(&value, start..end), ones, "{start}..{end}");
                for bit in [false, true] {
                    let first = (start..end).find(|at| is_set(*at) == bit);
                    assert_eq!(
                        position_in(&value, bit, start..end),
                        first,
                        "{bit} {start}..{end}"
                    );
                }
            }
        }
    }

    #[test]
    fn integers_fit_as_their_type_says() {
        let of = |signed, width| IntType::new(signed, width).expect("a type");
        for (of, value, wrapped, saturated) in [
            (of(false, 8), 256, 0, 255),
            (of(false, 8), -1, 255, 0),
            (of(true, 8), 128, -128, 127),
            (of(true, 8), -129, 127, -128),
            (
                of(true, 64),
                i128::from(i64::MAX) + 1,
                i128::from(i64::MIN),
                i128::from(i64::MAX),
            ),
            (of(false, 63), -1, i128::from(i64::MAX), 0),
            (of(true, 1), 1, -1, 0),
        ] {
            assert_eq!(
                of.fit(value, Overflow::Wrap),
                Some(wrapped),
                "{of:?} {value}"
            );
            assert_eq!(
                of.fit(value, Overflow::Saturate),
                Some(saturated),
                "{of:?} {value}"
            );
            assert_eq!(of.fit(value, Overflow::Fail), None, "{of:?} {value}");
        }
        assert_eq!(IntType::new(false, 64), None);
        assert_eq!(IntType::new(true, 65), None);
        assert_eq!(IntType::new(true, 0), None);
    }
}
