//! Listpacks: small lists in one string, each element followed by its size for walking backwards.

use super::Text;
use crate::number;

/// Bytes before the first element: total size and count.
const HEAD_BYTES: usize = 6;
const END: u8 = 0xff;
/// A count that says nothing: the elements have to be counted.
const COUNT_UNKNOWN: u16 = u16::MAX;

/// One element of a compact list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Item<'b> {
    Text(&'b [u8]),
    Int(i64),
}

impl Item<'_> {
    pub(super) fn text(self) -> Text {
        match self {
            Self::Text(text) => text.to_vec(),
            Self::Int(value) => value.to_string().into_bytes(),
        }
    }

    pub(super) fn int(self) -> Option<i64> {
        match self {
            Self::Text(text) => number::parse_i64(text),
            Self::Int(value) => Some(value),
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "integers were written for scores that equal them; others round as in Redis"
    )]
    pub(super) fn float(self) -> Option<f64> {
        match self {
            Self::Text(text) => number::parse_f64(text),
            Self::Int(value) => Some(value as f64),
        }
    }
}

/// The elements; `None` when the bytes are malformed.
pub(super) fn read(bytes: &[u8]) -> Option<Vec<Item<'_>>> {
    let (head, mut rest) = bytes.split_at_checked(HEAD_BYTES)?;
    let total = u32::from_le_bytes(head[..4].try_into().ok()?);
    let count = u16::from_le_bytes(head[4..].try_into().ok()?);
    if total as usize != bytes.len() {
        return None;
    }
    let mut items = Vec::new();
    while *rest.first()? != END {
        let (item, size) = element(rest)?;
        let mut back = [0; 5];
        let back = encode_back(size, &mut back);
        rest = rest.get(size..)?.strip_prefix(back)?;
        items.push(item);
    }
    let counted = count == COUNT_UNKNOWN || usize::from(count) == items.len();
    (rest.len() == 1 && counted).then_some(items)
}

/// The first element and its size without the size that follows it.
fn element(bytes: &[u8]) -> Option<(Item<'_>, usize)> {
    let first = *bytes.first()?;
    let second = || bytes.get(1).copied().map(usize::from);
    let text = |head: usize, len: usize| {
        let end = head.checked_add(len)?;
        Some((Item::Text(bytes.get(head..end)?), end))
    };
    match first {
        0..=0x7f => Some((Item::Int(i64::from(first)), 1)),
        0x80..=0xbf => text(1, usize::from(first & 0x3f)),
        0xc0..=0xdf => {
            let value = i64::from(first & 0x1f) << 8 | i64::from(*bytes.get(1)?);
            let value = if value >= 1 << 12 {
                value - (1 << 13)
            } else {
                value
            };
            Some((Item::Int(value), 2))
        }
        0xe0..=0xef => text(2, usize::from(first & 0x0f) << 8 | second()?),
        0xf0 => {
            let len = u32::from_le_bytes(bytes.get(1..5)?.try_into().ok()?);
            text(5, len as usize)
        }
        0xf1..=0xf4 => {
            let width = [2, 3, 4, 8][usize::from(first - 0xf1)];
            let value = int(bytes.get(1..=width)?)?;
            Some((Item::Int(value), 1 + width))
        }
        _ => None,
    }
}

/// A little-endian two's complement number of up to eight bytes.
pub(super) fn int(bytes: &[u8]) -> Option<i64> {
    let negative = *bytes.last()? >= 0x80;
    let mut wide = [if negative { 0xff } else { 0 }; 8];
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(wide))
}

/// The bytes that tell an element's size to who walks backwards.
fn encode_back(size: usize, out: &mut [u8; 5]) -> &[u8] {
    let count = match size {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    };
    for (at, byte) in out[..count].iter_mut().enumerate() {
        let group = low_byte(size >> (7 * (count - 1 - at))) & 0x7f;
        *byte = if at == 0 { group } else { group | 0x80 };
    }
    &out[..count]
}

fn low_byte(value: usize) -> u8 {
    value.to_le_bytes()[0]
}

/// Builds a listpack.
#[derive(Debug)]
pub(super) struct Writer {
    bytes: Text,
    count: usize,
}

impl Writer {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; HEAD_BYTES],
            count: 0,
        }
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Appends a string, as an integer if it is the text of one.
    pub(super) fn push(&mut self, text: &[u8]) {
        if text.len() <= 20
            && let Some(value) = number::parse_i64(text)
        {
            return self.push_int(value);
        }
        let start = self.bytes.len();
        let len = text.len();
        if len < 64 {
            self.bytes.push(0x80 | low_byte(len));
        } else if len < 4096 {
            self.bytes.push(0xe0 | low_byte(len >> 8));
            self.bytes.push(low_byte(len));
        } else {
            let len = u32::try_from(len).expect("strings are at most 512 MiB");
            self.bytes.push(0xf0);
            self.bytes.extend_from_slice(&len.to_le_bytes());
        }
        self.bytes.extend_from_slice(text);
        self.finish(start);
    }

    pub(super) fn push_int(&mut self, value: i64) {
        let start = self.bytes.len();
        let wide = value.to_le_bytes();
        match value {
            0..=127 => self.bytes.push(wide[0]),
            -4096..=4095 => {
                self.bytes.push(0xc0 | wide[1] & 0x1f);
                self.bytes.push(wide[0]);
            }
            _ => {
                let fits = |width: usize| int(&wide[..width]) == Some(value);
                let at = [2, 3, 4].into_iter().position(fits).unwrap_or(3);
                self.bytes.push([0xf1, 0xf2, 0xf3, 0xf4][at]);
                self.bytes.extend_from_slice(&wide[..[2, 3, 4, 8][at]]);
            }
        }
        self.finish(start);
    }

    fn finish(&mut self, start: usize) {
        let mut back = [0; 5];
        let back = encode_back(self.bytes.len() - start, &mut back);
        self.bytes.extend_from_slice(back);
        self.count += 1;
    }

    pub(super) fn into_bytes(mut self) -> Text {
        self.bytes.push(END);
        let total = u32::try_from(self.bytes.len()).expect("listpacks are cut at far less");
        let count = u16::try_from(self.count).unwrap_or(COUNT_UNKNOWN);
        self.bytes[..4].copy_from_slice(&total.to_le_bytes());
        self.bytes[4..HEAD_BYTES].copy_from_slice(&count.to_le_bytes());
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{Item, Writer, read};

    #[test]
    fn every_width_comes_back() {
        let ints = [
            0,
            1,
            127,
            128,
            -1,
            4095,
            4096,
            -4096,
            -4097,
            32_767,
            32_768,
            -32_769,
            8_388_607,
            -8_388_609,
            i64::from(i32::MAX),
            i64::from(i32::MAX) + 1,
            i64::MIN,
            i64::MAX,
        ];
        let texts = [0, 1, 63, 64, 4095, 4096, 16_380, 16_381, 16_382, 2_100_000]
            .map(|len| vec![b'x'; len]);
        let mut writer = Writer::new();
        for value in ints {
            writer.push_int(value);
        }
        for text in &texts {
            writer.push(text);
        }
        let bytes = writer.into_bytes();
        let mut expected: Vec<_> = ints.iter().map(|value| Item::Int(*value)).collect();
        expected.extend(texts.iter().map(|text| Item::Text(text)));
        assert_eq!(read(&bytes), Some(expected));
        assert_eq!(read(&bytes[..bytes.len() - 1]), None);
    }
}
