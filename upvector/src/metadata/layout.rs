//! The binary form of metadata, in which paths are looked up without reading what they pass by.
//!
//! A value is a tag byte and what follows it:
//!
//! | tag | value | then |
//! |---|---|---|
//! | 0, 1, 2 | null, false, true | nothing |
//! | 3 | integer, not negative | varint `n` |
//! | 4 | integer, negative | varint `-1 - n` |
//! | 5 | other number | f64, little-endian |
//! | 6 | string | varint length, UTF-8 |
//! | 8, 9, 10 | array | table, elements |
//! | 12, 13, 14 | object | table, then for each member its key (varint length, UTF-8) and its value |
//!
//! A table is the count and then the offset of each element or member from the end of the table, in numbers of 1, 2 or 4 bytes: the low
//! two bits of the tag say which, and it is the smallest that holds the length of all elements. Members are sorted by the bytes of
//! their keys, so a key is found by binary search; an element is found by its offset.
//!
//! Invariant: every value has one encoding, and no bytes make a function here panic. [`check`] accepts what [`encode`] writes and
//! nothing else; readers of other bytes find no value instead of a wrong place.

use std::cmp::Ordering;

use serde_json::{Map, Number as JsonNumber, Value};
use upkv::storage::codec::{Malformed, Reader, put_f64, put_u8, put_varint};

use super::path::Segment;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INTEGER: u8 = 3;
const NEGATIVE: u8 = 4;
const FLOAT: u8 = 5;
const STRING: u8 = 6;
const ARRAY: u8 = 8;
const OBJECT: u8 = 12;
const WIDTH_MASK: u8 = 3;

/// A number as JSON has it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    /// Within the range of `i64` and `u64` together.
    Integer(i128),
    /// Finite.
    Float(f64),
}

impl Number {
    /// The order by value, exact also where a float cannot tell neighbouring integers apart.
    pub(crate) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Integer(left), Self::Integer(right)) => left.cmp(&right),
            (Self::Float(left), Self::Float(right)) => {
                left.partial_cmp(&right).unwrap_or(Ordering::Equal)
            }
            (Self::Integer(left), Self::Float(right)) => compare_mixed(left, right),
            (Self::Float(left), Self::Integer(right)) => compare_mixed(right, left).reverse(),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the cast saturates, which keeps the order for floats beyond every integer"
)]
fn compare_mixed(integer: i128, float: f64) -> Ordering {
    let floor = float.floor();
    match integer.cmp(&(floor as i128)) {
        Ordering::Equal if float > floor => Ordering::Less,
        order => order,
    }
}

/// One value within the bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum View<'a> {
    Null,
    Bool(bool),
    Number(Number),
    /// UTF-8.
    String(&'a [u8]),
    Array(Table<'a>),
    Object(Table<'a>),
}

/// The elements of an array or the members of an object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table<'a> {
    count: usize,
    width: usize,
    offsets: &'a [u8],
    body: &'a [u8],
}

impl<'a> View<'a> {
    /// The value that starts the bytes.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (&tag, rest) = bytes.split_first()?;
        let mut reader = Reader::new(rest);
        Some(match tag {
            NULL => Self::Null,
            FALSE => Self::Bool(false),
            TRUE => Self::Bool(true),
            INTEGER => Self::Number(Number::Integer(reader.varint().ok()?.into())),
            NEGATIVE => Self::Number(Number::Integer(-1 - i128::from(reader.varint().ok()?))),
            FLOAT => Self::Number(Number::Float(reader.f64().ok()?)),
            STRING => Self::String(split_text(rest)?.0),
            _ if tag & !WIDTH_MASK == ARRAY => Self::Array(Table::read(tag, rest)?),
            _ if tag & !WIDTH_MASK == OBJECT => Self::Object(Table::read(tag, rest)?),
            _ => return None,
        })
    }

    /// The value at the end of a path.
    pub(crate) fn find(self, path: &[Segment]) -> Option<Self> {
        path.iter().try_fold(self, |value, segment| match segment {
            Segment::Key(key) => match value {
                Self::Object(members) => members.member(key.as_bytes()),
                _ => None,
            },
            Segment::Index(index) => match value {
                Self::Array(elements) => elements.element(*index as usize),
                _ => None,
            },
            Segment::FromEnd(back) => match value {
                Self::Array(elements) => {
                    let index = elements.count.checked_sub(*back as usize)?;
                    elements.element(index)
                }
                _ => None,
            },
        })
    }

    /// Levels of arrays and objects.
    pub(crate) fn depth(self) -> usize {
        let inner = match self {
            Self::Array(elements) => elements.elements().map(Self::depth).max(),
            Self::Object(members) => members.members().map(|(_, value)| value.depth()).max(),
            _ => return 0,
        };
        1 + inner.unwrap_or(0)
    }

    /// The value as JSON has it.
    pub(crate) fn to_json(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => value.into(),
            Self::Number(Number::Integer(value)) => JsonNumber::from_i128(value).into(),
            Self::Number(Number::Float(value)) => value.into(),
            Self::String(bytes) => String::from_utf8_lossy(bytes).into(),
            Self::Array(elements) => elements.elements().map(Self::to_json).collect(),
            Self::Object(members) => Value::Object(members.to_json()),
        }
    }
}

impl<'a> Table<'a> {
    /// The table that follows a tag, and all that follows the table.
    fn read(tag: u8, bytes: &'a [u8]) -> Option<Self> {
        let width = match tag & WIDTH_MASK {
            0 => 1,
            1 => 2,
            2 => 4,
            _ => return None,
        };
        let (count, rest) = bytes.split_at_checked(width)?;
        let count = little_endian(count);
        let (offsets, body) = rest.split_at_checked(count.checked_mul(width)?)?;
        Some(Self {
            count,
            width,
            offsets,
            body,
        })
    }

    pub(crate) fn elements(self) -> impl Iterator<Item = View<'a>> {
        (0..self.count).filter_map(move |index| self.element(index))
    }

    fn at(self, index: usize) -> Option<&'a [u8]> {
        let from = index.checked_mul(self.width)?;
        let offset = self.offsets.get(from..from + self.width)?;
        self.body.get(little_endian(offset)..)
    }

    fn element(self, index: usize) -> Option<View<'a>> {
        View::read(self.at(index)?)
    }

    /// The key of a member, and what its value starts.
    fn key(self, index: usize) -> Option<(&'a [u8], &'a [u8])> {
        split_text(self.at(index)?)
    }

    fn members(self) -> impl Iterator<Item = (&'a [u8], View<'a>)> {
        (0..self.count).filter_map(move |index| {
            let (key, value) = self.key(index)?;
            Some((key, View::read(value)?))
        })
    }

    fn member(self, key: &[u8]) -> Option<View<'a>> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            let (found, value) = self.key(middle)?;
            match found.cmp(key) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return View::read(value),
            }
        }
        None
    }

    pub(crate) fn to_json(self) -> Map<String, Value> {
        self.members()
            .map(|(key, value)| (String::from_utf8_lossy(key).into_owned(), value.to_json()))
            .collect()
    }
}

/// A number of a table, which is of 1, 2 or 4 bytes.
fn little_endian(bytes: &[u8]) -> usize {
    match *bytes {
        [low] => low.into(),
        [low, high] => u16::from_le_bytes([low, high]).into(),
        [a, b, c, d] => u32::from_le_bytes([a, b, c, d]) as usize,
        _ => 0,
    }
}

/// A text and what follows it. Lookups pass here for each key they compare, most of which are short.
fn split_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    if let [length @ 0..=0x7f, rest @ ..] = bytes {
        return rest.split_at_checked((*length).into());
    }
    let mut reader = Reader::new(bytes);
    let length = usize::try_from(reader.varint().ok()?).ok()?;
    reader.rest().split_at_checked(length)
}

/// Appends the encoding of a value.
pub(crate) fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => put_u8(out, NULL),
        Value::Bool(value) => put_u8(out, if *value { TRUE } else { FALSE }),
        Value::Number(number) => encode_number(number, out),
        Value::String(text) => {
            put_u8(out, STRING);
            put_text(out, text);
        }
        Value::Array(elements) => {
            let mut body = Vec::new();
            let mut offsets = Vec::with_capacity(elements.len());
            for element in elements {
                offsets.push(body.len());
                encode(element, &mut body);
            }
            put_table(out, ARRAY, &offsets, &body);
        }
        Value::Object(members) => encode_object(members, out),
    }
}

/// Appends the encoding of an object.
pub(crate) fn encode_object(members: &Map<String, Value>, out: &mut Vec<u8>) {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_unstable_by_key(|(key, _)| key.as_bytes());
    let mut body = Vec::new();
    let mut offsets = Vec::with_capacity(sorted.len());
    for (key, value) in sorted {
        offsets.push(body.len());
        put_text(&mut body, key);
        encode(value, &mut body);
    }
    put_table(out, OBJECT, &offsets, &body);
}

fn encode_number(number: &JsonNumber, out: &mut Vec<u8>) {
    if let Some(value) = number.as_u64() {
        put_u8(out, INTEGER);
        put_varint(out, value);
    } else if let Some(value) = number.as_i64() {
        put_u8(out, NEGATIVE);
        put_varint(out, (-1 - value).unsigned_abs());
    } else if let Some(value) = number.as_f64().filter(|value| value.is_finite()) {
        put_u8(out, FLOAT);
        put_f64(out, value);
    } else {
        // Only a serde_json built to keep digits as text has numbers beyond these; JSON itself has no infinity.
        put_u8(out, NULL);
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn put_table(out: &mut Vec<u8>, tag: u8, offsets: &[usize], body: &[u8]) {
    let code = width_code(body.len());
    let width = 1 << code;
    put_u8(out, tag | code);
    // Each element is a byte at least, so the count fits where the length of all does.
    for number in [&[offsets.len()], offsets].concat() {
        out.extend_from_slice(&number.to_le_bytes()[..width]);
    }
    out.extend_from_slice(body);
}

/// 0, 1 or 2 for numbers of 1, 2 or 4 bytes up to `most`.
fn width_code(most: usize) -> u8 {
    match most {
        0..=0xff => 0,
        0x100..=0xffff => 1,
        _ => 2,
    }
}

/// Accepts the encoding of one object and nothing after it.
pub(crate) fn check(bytes: &[u8], depth: usize) -> Result<(), Malformed> {
    let is_object = bytes.first().is_some_and(|tag| tag & !WIDTH_MASK == OBJECT);
    if !is_object {
        return Err(Malformed("an object"));
    }
    let mut reader = Reader::new(bytes);
    check_value(&mut reader, depth)?;
    reader.finish()
}

fn check_value(reader: &mut Reader<'_>, depth: usize) -> Result<(), Malformed> {
    let tag = reader.u8()?;
    match tag {
        NULL | FALSE | TRUE => Ok(()),
        INTEGER => reader.varint().map(drop),
        NEGATIVE => match i64::try_from(reader.varint()?) {
            Ok(_) => Ok(()),
            Err(_) => Err(Malformed("integer of 64 bits")),
        },
        FLOAT => {
            if reader.f64()?.is_finite() {
                Ok(())
            } else {
                Err(Malformed("finite number"))
            }
        }
        STRING => check_text(reader).map(drop),
        _ if matches!(tag & !WIDTH_MASK, ARRAY | OBJECT) => check_table(tag, reader, depth),
        _ => Err(Malformed("tag of a value")),
    }
}

fn check_text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Malformed> {
    let length = usize::try_from(reader.varint()?).map_err(|_| Malformed("text"))?;
    let text = reader.take(length)?;
    std::str::from_utf8(text).map_err(|_| Malformed("UTF-8"))
}

fn check_table(tag: u8, reader: &mut Reader<'_>, depth: usize) -> Result<(), Malformed> {
    let depth = depth
        .checked_sub(1)
        .ok_or(Malformed("fewer levels of nesting"))?;
    let table = Table::read(tag, reader.clone().rest()).ok_or(Malformed("table"))?;
    reader.take((table.count + 1) * table.width)?;
    let body = reader.remaining();
    let mut last_key = None;
    for index in 0..table.count {
        let offset = &table.offsets[index * table.width..][..table.width];
        if little_endian(offset) != body - reader.remaining() {
            return Err(Malformed("offsets without gaps"));
        }
        if tag & !WIDTH_MASK == OBJECT {
            let key = check_text(reader)?;
            if last_key.is_some_and(|last| last >= key) {
                return Err(Malformed("sorted keys"));
            }
            last_key = Some(key);
        }
        check_value(reader, depth)?;
    }
    if tag & WIDTH_MASK == width_code(body - reader.remaining()) {
        Ok(())
    } else {
        Err(Malformed("shortest table"))
    }
}
