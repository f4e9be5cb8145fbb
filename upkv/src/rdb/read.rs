//! Reading values of every type and encoding of the RDB versions 6 to 12.

use std::collections::HashSet;

use super::listpack::{self, Item};
use super::source::{Result, Source};
use super::{Field, RdbError, Text, Value, code, compact, stream};
use crate::number;

/// A node of a quicklist that is one large element.
const NODE_PLAIN: u64 = 1;
/// A node of a quicklist that is a listpack.
const NODE_PACKED: u64 = 2;

/// The value of a type, after its code was read. Members and fields are distinct, scores are not NaN;
/// collections may be empty.
pub(super) fn value(source: &mut Source<'_>, code: u8) -> Result<Value> {
    Ok(match code {
        code::STRING => Value::String(source.string()?),
        code::LIST => Value::List(strings(source)?),
        code::LIST_ZIPLIST => {
            let bytes = source.string()?;
            let items = compact::ziplist(&bytes).ok_or_else(|| source.malformed("a ziplist"))?;
            Value::List(texts(&items))
        }
        code::QUICKLIST | code::QUICKLIST_2 => Value::List(quicklist(source, code)?),
        code::SET => {
            let members = strings(source)?;
            set(source, members)?
        }
        code::SET_INTSET => {
            let bytes = source.string()?;
            let values = compact::intset(&bytes).ok_or_else(|| source.malformed("an intset"))?;
            let text = |value: i64| value.to_string().into_bytes();
            Value::Set(values.into_iter().map(text).collect())
        }
        code::SET_LISTPACK => {
            let bytes = source.string()?;
            let members = texts(&items(source, &bytes)?);
            set(source, members)?
        }
        code::ZSET | code::ZSET_TEXT => zset(source, code)?,
        code::ZSET_ZIPLIST | code::ZSET_LISTPACK => {
            let bytes = source.string()?;
            let items = packed(source, &bytes, code == code::ZSET_ZIPLIST)?;
            let mut members = Vec::with_capacity(items.len() / 2);
            for pair in groups::<2>(source, &items)? {
                let score = pair[1].float();
                members.push((
                    pair[0].text(),
                    score.ok_or_else(|| source.malformed("a score"))?,
                ));
            }
            finish_zset(source, members)?
        }
        code::HASH
        | code::HASH_ZIPMAP
        | code::HASH_ZIPLIST
        | code::HASH_LISTPACK
        | code::HASH_DEADLINES_OLD
        | code::HASH_LISTPACK_DEADLINES_OLD
        | code::HASH_DEADLINES
        | code::HASH_LISTPACK_DEADLINES => hash(source, code)?,
        code::STREAM | code::STREAM_2 | code::STREAM_3 => {
            Value::Stream(Box::new(stream::read(source, code)?))
        }
        _ => {
            return Err(RdbError::UnknownType {
                code,
                at: source.at(),
            });
        }
    })
}

fn set(source: &Source<'_>, members: Vec<Text>) -> Result<Value> {
    distinct(source, members.iter())?;
    Ok(Value::Set(members))
}

/// The elements of a listpack.
pub(super) fn items<'b>(source: &Source<'_>, bytes: &'b [u8]) -> Result<Vec<Item<'b>>> {
    listpack::read(bytes).ok_or_else(|| source.malformed("a listpack"))
}

fn packed<'b>(source: &Source<'_>, bytes: &'b [u8], ziplist: bool) -> Result<Vec<Item<'b>>> {
    if ziplist {
        compact::ziplist(bytes).ok_or_else(|| source.malformed("a ziplist"))
    } else {
        items(source, bytes)
    }
}

/// Items in groups of `N`.
fn groups<'i, 'b, const N: usize>(
    source: &Source<'_>,
    items: &'i [Item<'b>],
) -> Result<impl Iterator<Item = &'i [Item<'b>; N]>> {
    let (groups, rest) = items.as_chunks::<N>();
    if !rest.is_empty() {
        return Err(source.malformed("whole pairs"));
    }
    Ok(groups.iter())
}

fn texts(items: &[Item<'_>]) -> Vec<Text> {
    items.iter().map(|item| item.text()).collect()
}

/// A count and as many strings; memory grows only as they arrive.
fn strings(source: &mut Source<'_>) -> Result<Vec<Text>> {
    let count = source.length()?;
    let mut strings = Vec::new();
    for _ in 0..count {
        strings.push(source.string()?);
    }
    Ok(strings)
}

fn distinct<'t>(
    source: &Source<'_>,
    mut texts: impl ExactSizeIterator<Item = &'t Text>,
) -> Result<()> {
    let mut seen = HashSet::with_capacity_and_hasher(texts.len(), ahash::RandomState::new());
    if texts.all(|text| seen.insert(text)) {
        Ok(())
    } else {
        Err(source.malformed("distinct members"))
    }
}

fn quicklist(source: &mut Source<'_>, code: u8) -> Result<Vec<Text>> {
    let nodes = source.length()?;
    let mut list = Vec::new();
    for _ in 0..nodes {
        let form = if code == code::QUICKLIST_2 {
            source.length()?
        } else {
            NODE_PACKED
        };
        let bytes = source.string()?;
        match form {
            NODE_PLAIN => list.push(bytes),
            NODE_PACKED => {
                let items = packed(source, &bytes, code == code::QUICKLIST)?;
                list.extend(items.iter().map(|item| item.text()));
            }
            _ => return Err(source.malformed("a node of a list")),
        }
    }
    Ok(list)
}

fn zset(source: &mut Source<'_>, code: u8) -> Result<Value> {
    let count = source.length()?;
    let mut members = Vec::new();
    for _ in 0..count {
        let member = source.string()?;
        let score = if code == code::ZSET {
            source.f64()?
        } else {
            score_text(source)?
        };
        members.push((member, score));
    }
    finish_zset(source, members)
}

fn finish_zset(source: &Source<'_>, members: Vec<(Text, f64)>) -> Result<Value> {
    if members.iter().any(|(_, score)| score.is_nan()) {
        return Err(source.malformed("a score that is a number"));
    }
    distinct(source, members.iter().map(|(member, _)| member))?;
    Ok(Value::Zset(members))
}

/// A score as old versions wrote it: a length, or a code, and digits.
fn score_text(source: &mut Source<'_>) -> Result<f64> {
    let len = match source.u8()? {
        253 => return Ok(f64::NAN),
        254 => return Ok(f64::INFINITY),
        255 => return Ok(f64::NEG_INFINITY),
        len => len,
    };
    let mut text = Vec::with_capacity(len.into());
    for _ in 0..len {
        text.push(source.u8()?);
    }
    number::parse_f64(&text).ok_or_else(|| source.malformed("a score"))
}

fn hash(source: &mut Source<'_>, code: u8) -> Result<Value> {
    let field = |name, value| Field {
        name,
        value,
        deadline: 0,
    };
    let fields: Vec<Field> = match code {
        code::HASH => {
            let count = source.length()?;
            let mut fields = Vec::new();
            for _ in 0..count {
                fields.push(field(source.string()?, source.string()?));
            }
            fields
        }
        code::HASH_ZIPMAP => {
            let bytes = source.string()?;
            let strings = compact::zipmap(&bytes).ok_or_else(|| source.malformed("a zipmap"))?;
            let pairs = strings.chunks_exact(2);
            pairs
                .map(|pair| field(pair[0].to_vec(), pair[1].to_vec()))
                .collect()
        }
        code::HASH_ZIPLIST | code::HASH_LISTPACK => {
            let bytes = source.string()?;
            let items = packed(source, &bytes, code == code::HASH_ZIPLIST)?;
            groups::<2>(source, &items)?
                .map(|pair| field(pair[0].text(), pair[1].text()))
                .collect()
        }
        code::HASH_DEADLINES | code::HASH_DEADLINES_OLD => fields_with_deadlines(source, code)?,
        _ => packed_fields_with_deadlines(source, code)?,
    };
    distinct(source, fields.iter().map(|field| &field.name))?;
    Ok(Value::Hash(fields))
}

/// Fields with deadlines, which are told as distances from the first one.
fn fields_with_deadlines(source: &mut Source<'_>, code: u8) -> Result<Vec<Field>> {
    let first = if code == code::HASH_DEADLINES {
        source.u64()?
    } else {
        1
    };
    let count = source.length()?;
    let mut fields = Vec::new();
    for _ in 0..count {
        let deadline = match source.length()? {
            0 => 0,
            after => deadline(source, (after - 1).checked_add(first))?,
        };
        fields.push(Field {
            name: source.string()?,
            value: source.string()?,
            deadline,
        });
    }
    Ok(fields)
}

fn packed_fields_with_deadlines(source: &mut Source<'_>, code: u8) -> Result<Vec<Field>> {
    if code == code::HASH_LISTPACK_DEADLINES {
        // The first deadline, which the elements tell too.
        source.u64()?;
    }
    let bytes = source.string()?;
    let items = items(source, &bytes)?;
    let mut fields = Vec::with_capacity(items.len() / 3);
    for three in groups::<3>(source, &items)? {
        let at = three[2].int().and_then(|at| u64::try_from(at).ok());
        fields.push(Field {
            name: three[0].text(),
            value: three[1].text(),
            deadline: deadline(source, at)?,
        });
    }
    Ok(fields)
}

/// A deadline within what commands accept, ms since the Unix epoch.
fn deadline(source: &Source<'_>, at: Option<u64>) -> Result<u64> {
    at.filter(|at| i64::try_from(*at).is_ok())
        .ok_or_else(|| source.malformed("a deadline"))
}
