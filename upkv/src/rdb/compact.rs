//! The other compact encodings: ziplists and zipmaps of old files, and sets of integers.

use super::Text;
use super::listpack::{Item, int};

const END: u8 = 0xff;
/// Bytes before a ziplist's first element: total size, offset of the last element, count.
const ZIPLIST_HEAD_BYTES: usize = 10;
const INTSET_HEAD_BYTES: usize = 8;

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
}

/// The elements of a ziplist; `None` when the bytes are malformed.
pub(super) fn ziplist(bytes: &[u8]) -> Option<Vec<Item<'_>>> {
    let (total, tail) = (u32_at(bytes, 0)?, u32_at(bytes, 4)?);
    let count = u16::from_le_bytes(bytes.get(8..ZIPLIST_HEAD_BYTES)?.try_into().ok()?);
    let mut at = ZIPLIST_HEAD_BYTES;
    let (mut last, mut before) = (at, 0);
    let mut items = Vec::new();
    loop {
        let rest = bytes.get(at..)?;
        let first = *rest.first()?;
        if first == END {
            break;
        }
        let (told, head) = if first == 0xfe {
            (u32_at(rest, 1)?, 5)
        } else {
            (usize::from(first), 1)
        };
        if told != before {
            return None;
        }
        let (item, size) = ziplist_element(rest.get(head..)?)?;
        items.push(item);
        last = at;
        before = head + size;
        at += before;
    }
    let sound = total == bytes.len()
        && at + 1 == bytes.len()
        && tail == last
        && (count == u16::MAX || usize::from(count) == items.len());
    sound.then_some(items)
}

fn ziplist_element(bytes: &[u8]) -> Option<(Item<'_>, usize)> {
    let first = *bytes.first()?;
    let text = |head: usize, len: usize| {
        let end = head.checked_add(len)?;
        Some((Item::Text(bytes.get(head..end)?), end))
    };
    let number = |width: usize| Some((Item::Int(int(bytes.get(1..=width)?)?), 1 + width));
    match first {
        0..=0x3f => text(1, usize::from(first)),
        0x40..=0x7f => text(
            2,
            usize::from(first & 0x3f) << 8 | usize::from(*bytes.get(1)?),
        ),
        0x80 => {
            let len = u32::from_be_bytes(bytes.get(1..5)?.try_into().ok()?);
            text(5, usize::try_from(len).ok()?)
        }
        0xc0 => number(2),
        0xd0 => number(4),
        0xe0 => number(8),
        0xf0 => number(3),
        0xfe => number(1),
        0xf1..=0xfd => Some((Item::Int(i64::from(first) - 0xf1), 1)),
        _ => None,
    }
}

/// Keys and values, in turn, of a zipmap; `None` when the bytes are malformed.
pub(super) fn zipmap(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    // The first byte is a count that saturates, so it is no guide.
    let mut at = 1;
    let mut strings = Vec::new();
    while *bytes.get(at)? != END {
        let len = zipmap_len(bytes, &mut at)?;
        strings.push(bytes.get(at..at.checked_add(len)?)?);
        at += len;
        let len = zipmap_len(bytes, &mut at)?;
        let free = usize::from(*bytes.get(at)?);
        at += 1;
        strings.push(bytes.get(at..at.checked_add(len)?)?);
        at = at.checked_add(len)?.checked_add(free)?;
    }
    (at + 1 == bytes.len()).then_some(strings)
}

fn zipmap_len(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let first = *bytes.get(*at)?;
    let (len, size) = match first {
        0..=0xfd => (usize::from(first), 1),
        0xfe => (u32_at(bytes, *at + 1)?, 5),
        END => return None,
    };
    *at += size;
    Some(len)
}

/// The members of a set of integers, ascending; `None` when the bytes are malformed.
pub(super) fn intset(bytes: &[u8]) -> Option<Vec<i64>> {
    let (width, count) = (u32_at(bytes, 0)?, u32_at(bytes, 4)?);
    let rest = bytes.get(INTSET_HEAD_BYTES..)?;
    if !matches!(width, 2 | 4 | 8) || count.checked_mul(width)? != rest.len() {
        return None;
    }
    let values: Vec<i64> = rest.chunks_exact(width).map_while(int).collect();
    values.is_sorted_by(|a, b| a < b).then_some(values)
}

/// A set of integers, of ascending `values`.
pub(super) fn put_intset(values: &[i64]) -> Text {
    let fits = |width: usize| {
        let fits = |value: &i64| int(&value.to_le_bytes()[..width]) == Some(*value);
        values.iter().all(fits)
    };
    let width = [2, 4].into_iter().find(|width| fits(*width)).unwrap_or(8);
    let head = [width, values.len()];
    let head = head.map(|part| u32::try_from(part).expect("the caller keeps them few"));
    let mut out: Text = head.iter().flat_map(|part| part.to_le_bytes()).collect();
    for value in values {
        out.extend_from_slice(&value.to_le_bytes()[..width]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Item, intset, put_intset, ziplist, zipmap};

    #[test]
    fn integer_sets_take_the_narrowest_width() {
        for (values, width) in [
            (vec![-1, 0, 32_767], 2),
            (vec![-32_769, 5], 4),
            (vec![i64::MIN, 0, i64::MAX], 8),
        ] {
            let bytes = put_intset(&values);
            assert_eq!(bytes.len(), 8 + width * values.len());
            assert_eq!(intset(&bytes), Some(values));
        }
        assert_eq!(intset(&[2, 0, 0, 0, 2, 0, 0, 0, 5, 0, 5, 0]), None);
        assert_eq!(intset(&[2, 0, 0, 0, 255, 255, 255, 255]), None);
    }

    #[test]
    fn ziplists_are_checked_both_ways() {
        let bytes = [
            18, 0, 0, 0, 14, 0, 0, 0, 2, 0, 0, 2, b'h', b'i', 4, 0xfe, 0x80, 0xff,
        ];
        let items = vec![Item::Text(b"hi"), Item::Int(-128)];
        assert_eq!(ziplist(&bytes), Some(items));
        for at in [0, 4, 8, 10, 14, 17] {
            let mut bytes = bytes;
            bytes[at] ^= 1;
            assert_eq!(ziplist(&bytes), None, "{at}");
        }
    }

    #[test]
    fn zipmaps_skip_their_free_bytes() {
        let bytes = b"\x01\x03foo\x03\x02bar..\xff";
        assert_eq!(zipmap(bytes), Some(vec![&b"foo"[..], b"bar"]));
        assert_eq!(zipmap(b"\x01\x03foo\xff"), None);
        assert_eq!(zipmap(b"\x01\xfe\xff\xff\xff\xfffoo\xff"), None);
    }
}
