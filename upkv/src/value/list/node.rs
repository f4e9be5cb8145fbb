//! A run of list elements in one buffer that can be walked from both ends.
//!
//! An entry is a head, a body and a tail. The head tells kind and length, the tail the length of head and body
//! as a varint that is read backwards: its last byte has the lowest 7 bits, the top bit says that one more
//! precedes it.
//!
//! | head | body |
//! |---|---|
//! | `0xxxxxxx` | none: an integer from 0 to 127 |
//! | `10xxxxxx` | a text of up to 63 bytes |
//! | `1100xxxx`, u8 | a text of up to 4,095 bytes; the head has the high bits of its length |
//! | `11010000`, u32 | any other text |
//! | `11010001` to `11010100` | an integer of 2, 3, 4 or 8 bytes |
//! | `111xxxxx`, u8 | none: an integer from -4096 to 4095, 13 bits plus 4096 |
//!
//! Invariant: an element that is the text of an integer is always held as one, so equal elements have equal
//! entries.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::number;
use crate::value::packed;

const TEXT_6: u8 = 0x80;
const TEXT_12: u8 = 0xc0;
const TEXT_32: u8 = 0xd0;
const INT_16: u8 = 0xd1;
const INT_24: u8 = 0xd2;
const INT_32: u8 = 0xd3;
const INT_64: u8 = 0xd4;
const INT_13: u8 = 0xe0;

/// Elements laid end to end.
#[derive(Debug, Default)]
pub(super) struct Node {
    bytes: Vec<u8>,
    /// Where the first element begins. Before it there may be room for more, so that neither end moves all others.
    start: usize,
    count: usize,
}

/// An element in the form in which nodes hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry(Buffer);

/// Short elements need no allocation on their way into a node.
type Buffer = SmallVec<[u8; 40]>;

impl Entry {
    pub(crate) fn new(element: &[u8]) -> Self {
        let mut bytes = Buffer::with_capacity(element.len() + 12);
        match number::parse_i64(element).filter(|_| element.len() <= 20) {
            Some(value) => put_int(&mut bytes, value),
            None => put_text(&mut bytes, element),
        }
        put_tail(&mut bytes);
        Self(bytes)
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

fn put_text(out: &mut Buffer, text: &[u8]) {
    let len = u32::try_from(text.len()).expect("elements are at most 512 MiB");
    let [low, high, ..] = len.to_le_bytes();
    match len {
        0..=63 => out.push(TEXT_6 | low),
        64..=4095 => out.extend_from_slice(&[TEXT_12 | high, low]),
        _ => {
            out.push(TEXT_32);
            out.extend_from_slice(&len.to_le_bytes());
        }
    }
    out.extend_from_slice(text);
}

fn put_int(out: &mut Buffer, value: i64) {
    let le = value.to_le_bytes();
    match value {
        0..=127 => out.push(le[0]),
        -4096..=4095 => {
            let [low, high, ..] = (value + 4096).to_le_bytes();
            out.extend_from_slice(&[INT_13 | high, low]);
        }
        -0x8000..=0x7fff => {
            out.push(INT_16);
            out.extend_from_slice(&le[..2]);
        }
        -0x80_0000..=0x7f_ffff => {
            out.push(INT_24);
            out.extend_from_slice(&le[..3]);
        }
        -0x8000_0000..=0x7fff_ffff => {
            out.push(INT_32);
            out.extend_from_slice(&le[..4]);
        }
        _ => {
            out.push(INT_64);
            out.extend_from_slice(&le);
        }
    }
}

fn put_tail(out: &mut Buffer) {
    let len = out.len();
    let groups = (usize::BITS - len.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let bits = (len >> (7 * group)).to_le_bytes()[0] & 0x7f;
        // All but the first written have one more before them.
        out.push(if group + 1 == groups {
            bits
        } else {
            bits | 0x80
        });
    }
}

/// Bytes of head and body of the entry at the start of `bytes`.
fn body_end(bytes: &[u8]) -> usize {
    match bytes[0] {
        0..=0x7f => 1,
        head @ 0x80..=0xbf => 1 + usize::from(head & 0x3f),
        head @ 0xc0..=0xcf => 2 + (usize::from(head & 0x0f) << 8 | usize::from(bytes[1])),
        TEXT_32 => {
            let len = [bytes[1], bytes[2], bytes[3], bytes[4]];
            5 + u32::from_le_bytes(len) as usize
        }
        INT_16 => 3,
        INT_24 => 4,
        INT_32 => 5,
        0xe0..=0xff => 2,
        _ => 9,
    }
}

fn tail_len(body: usize) -> usize {
    (usize::BITS - body.leading_zeros()).div_ceil(7).max(1) as usize
}

/// Bytes of the entry at the start of `bytes`.
fn entry_len(bytes: &[u8]) -> usize {
    let body = body_end(bytes);
    body + tail_len(body)
}

/// Bytes of the entry at the end of `bytes`.
fn last_len(bytes: &[u8]) -> usize {
    let (mut body, mut tail) = (0, 0);
    for byte in bytes.iter().rev() {
        body |= usize::from(byte & 0x7f) << (7 * tail);
        tail += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    body + tail
}

/// The element of an entry.
fn element(entry: &[u8]) -> Cow<'_, [u8]> {
    let int = |bytes: &[u8]| {
        // The sign is that of the last byte.
        let fill = if bytes.last().is_some_and(|last| last & 0x80 != 0) {
            0xff
        } else {
            0
        };
        let mut le = [fill; 8];
        le[..bytes.len()].copy_from_slice(bytes);
        i64::from_le_bytes(le)
    };
    let end = body_end(entry);
    let value = match entry[0] {
        head @ 0..=0x7f => i64::from(head),
        0x80..=0xbf => return Cow::Borrowed(&entry[1..end]),
        0xc0..=0xcf => return Cow::Borrowed(&entry[2..end]),
        TEXT_32 => return Cow::Borrowed(&entry[5..end]),
        head @ 0xe0..=0xff => i64::from(u16::from_le_bytes([entry[1], head & 0x1f])) - 4096,
        _ => int(&entry[1..end]),
    };
    Cow::Owned(value.to_string().into_bytes())
}

impl Node {
    pub(super) fn with(entry: &Entry) -> Self {
        Self {
            bytes: entry.0.to_vec(),
            start: 0,
            count: 1,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Bytes of all elements.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() - self.start
    }

    fn data(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Whether an entry fits beside the others in a node of `limit` bytes.
    pub(super) fn fits(&self, entry: &Entry, limit: usize) -> bool {
        self.size() + entry.len() <= limit
    }

    /// Gives back spare capacity.
    pub(super) fn settle(&mut self) {
        self.close_gap();
        self.bytes.shrink_to_fit();
    }

    /// Moves the elements to the front of the buffer.
    fn close_gap(&mut self) {
        self.bytes.drain(..self.start);
        self.start = 0;
    }

    fn insert_first(&mut self, entry: &Entry) {
        let len = entry.len();
        if self.start < len {
            // An eighth of slack keeps pushes cheap and memory close to the data.
            let gap = len.max(self.size() / 8).max(16);
            let mut bytes = Vec::with_capacity(gap + self.size());
            bytes.resize(gap, 0);
            bytes.extend_from_slice(self.data());
            (self.bytes, self.start) = (bytes, gap);
        }
        self.start -= len;
        self.bytes[self.start..self.start + len].copy_from_slice(&entry.0);
    }

    /// Byte offset of the element at a position, walked to from the nearer end.
    fn offset(&self, index: usize) -> usize {
        let data = self.data();
        if index * 2 <= self.count {
            let mut at = 0;
            for _ in 0..index {
                at += entry_len(&data[at..]);
            }
            at
        } else {
            let mut end = data.len();
            for _ in index..self.count {
                end -= last_len(&data[..end]);
            }
            end
        }
    }

    pub(super) fn get(&self, index: usize) -> Cow<'_, [u8]> {
        element(&self.data()[self.offset(index)..])
    }

    /// Inserts before the element at `index`, or at the end.
    pub(super) fn insert(&mut self, index: usize, entry: &Entry) {
        if index == 0 && self.count > 0 {
            self.insert_first(entry);
        } else {
            let at = self.start + self.offset(index);
            packed::insert(&mut self.bytes, at, &entry.0);
        }
        self.count += 1;
    }

    /// Replaces the element at `index`; the old one.
    pub(super) fn replace(&mut self, index: usize, entry: &Entry) -> Box<[u8]> {
        let at = self.start + self.offset(index);
        let end = at + entry_len(&self.bytes[at..]);
        let old = element(&self.bytes[at..end]).into();
        self.bytes.splice(at..end, entry.0.iter().copied());
        old
    }

    /// Removes `count` elements from the front or the back, and gives each, from that end on.
    pub(super) fn cut(&mut self, front: bool, count: usize, mut each: impl FnMut(Box<[u8]>)) {
        let mut at = if front { self.start } else { self.bytes.len() };
        for _ in 0..count {
            if front {
                let end = at + entry_len(&self.bytes[at..]);
                each(element(&self.bytes[at..end]).into());
                at = end;
            } else {
                let start = at - last_len(&self.bytes[..at]);
                each(element(&self.bytes[start..at]).into());
                at = start;
            }
        }
        if front {
            self.start = at;
            if self.start > self.size() {
                self.close_gap();
            }
        } else {
            self.bytes.truncate(at);
        }
        self.count -= count;
    }

    /// Splits off the elements from `index` on.
    pub(super) fn split_off(&mut self, index: usize) -> Self {
        let at = self.start + self.offset(index);
        let bytes = self.bytes.split_off(at);
        let count = self.count - index;
        self.count = index;
        self.settle();
        Self {
            bytes,
            start: 0,
            count,
        }
    }

    /// Appends all elements of another.
    pub(super) fn append(&mut self, other: &Self) {
        self.bytes.reserve_exact(other.size());
        self.bytes.extend_from_slice(other.data());
        self.count += other.count;
    }

    /// Positions of the elements equal to `entry`, ascending.
    pub(super) fn matches<'n>(&'n self, entry: &'n Entry) -> impl Iterator<Item = usize> + 'n {
        self.entries()
            .enumerate()
            .filter(|(_, bytes)| **bytes == *entry.0)
            .map(|(index, _)| index)
    }

    fn entries(&self) -> Entries<'_> {
        Entries { rest: self.data() }
    }

    /// Removes the elements at these positions, which ascend.
    pub(super) fn remove_all(&mut self, indices: &[usize]) {
        let mut kept = Vec::with_capacity(self.size());
        let mut out = indices.iter().copied().peekable();
        for (index, bytes) in self.entries().enumerate() {
            if out.peek() == Some(&index) {
                out.next();
            } else {
                kept.extend_from_slice(bytes);
            }
        }
        kept.shrink_to_fit();
        (self.bytes, self.start) = (kept, 0);
        self.count -= indices.len();
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Cow<'_, [u8]>> {
        self.entries().map(element)
    }
}

/// The entries of a node, from both ends.
struct Entries<'n> {
    rest: &'n [u8],
}

impl<'n> Iterator for Entries<'n> {
    type Item = &'n [u8];

    fn next(&mut self) -> Option<&'n [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (entry, rest) = self.rest.split_at(entry_len(self.rest));
        self.rest = rest;
        Some(entry)
    }
}

impl DoubleEndedIterator for Entries<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (rest, entry) = self.rest.split_at(self.rest.len() - last_len(self.rest));
        self.rest = rest;
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_every_kind_come_back_from_both_ends() {
        let mut texts: Vec<Vec<u8>> = [0, 1, 63, 64, 122, 126, 127, 4095, 4096, 16_376, 20_000]
            .map(|len| vec![b'x'; len])
            .into();
        for bits in 0..64 {
            for edge in [-1, 0, 1] {
                let value = (1_i128 << bits) + edge;
                for value in [value, -value] {
                    texts.push(value.to_string().into_bytes());
                }
            }
        }
        texts.extend(["007", "-0", "+5", "1e3", " 1", "-", "\0"].map(Into::into));
        let mut node = Node::default();
        for text in &texts {
            node.insert(node.count(), &Entry::new(text));
        }
        assert_eq!(node.count(), texts.len());
        assert!(
            node.iter()
                .eq(texts.iter().map(|text| Cow::Borrowed(&text[..])))
        );
        let back: Vec<_> = node.iter().rev().map(Cow::into_owned).collect();
        assert!(back.iter().eq(texts.iter().rev()));
        for (index, text) in texts.iter().enumerate() {
            assert_eq!(*node.get(index), text[..]);
        }
        let size = |text: &str| Entry::new(text.as_bytes()).len();
        assert_eq!(size("5"), 2);
        assert_eq!(size("-4096"), 3);
        assert_eq!(size("hello"), 7);
    }
}
