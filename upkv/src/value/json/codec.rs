//! A document as bytes: the payload of its image, and the changes in its deltas.
//!
//! | value | bytes |
//! |---|---|
//! | 0 null, 1 false, 2 true | u8 |
//! | 3 integer from -2^31 up to 2^31 - 1, as varint: twice the number, or its complement twice plus 1 | u8, varint |
//! | 4 integer, 5 integer above i64, 6 float (finite) | u8, u64 |
//! | 7 text | u8, varint length and bytes of UTF-8 |
//! | 8 array: number of values, values | u8, varint, values |
//! | 9 object: number of members, names with values, in order | u8, varint, per member text and value |
//!
//! The payload is the root's value. A change is: what (u8), number of positions, positions from the root
//! (varints), and then
//!
//! | change | bytes |
//! |---|---|
//! | 1 replace | value |
//! | 2 insert into an array: number of runs; per run its position afterwards, number of values, values | varints, values |
//! | 3 insert into an object: the same with members | varints, members |
//! | 4 remove: number of spans; per span its position before, number of items | varints |
//! | 5 append to a text | varint length and bytes |
//! | 6 cut a text to a length in bytes | varint |
//!
//! Invariant: no bytes make a function of this file panic, recurse deeper than a document may be, or
//! allocate more than a few dozen times their length.

use super::change::{Act, Change, Run, Span};
use super::object::{Member, Object};
use super::{DEPTH_MAX, Node};
use crate::value::packed::{self, Walk};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const SMALL: u8 = 3;
const INT: u8 = 4;
const UINT: u8 = 5;
const FLOAT: u8 = 6;
const TEXT: u8 = 7;
const ARRAY: u8 = 8;
const OBJECT: u8 = 9;

const OP_REPLACE: u8 = 1;
const OP_INSERT_ITEMS: u8 = 2;
const OP_INSERT_MEMBERS: u8 = 3;
const OP_REMOVE: u8 = 4;
const OP_APPEND: u8 = 5;
const OP_CUT: u8 = 6;

pub(super) fn put_node(out: &mut Vec<u8>, node: &Node) {
    match node {
        Node::Null => out.push(NULL),
        Node::Bool(value) => out.push(if *value { TRUE } else { FALSE }),
        Node::Int(value) => put_int(out, *value),
        Node::Uint(value) => {
            out.push(UINT);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Node::Float(value) => {
            out.push(FLOAT);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        Node::Text(text) => {
            out.push(TEXT);
            packed::put(out, text.as_bytes());
        }
        Node::Array(items) => {
            out.push(ARRAY);
            packed::put_len(out, items.len());
            for item in items {
                put_node(out, item);
            }
        }
        Node::Object(object) => {
            out.push(OBJECT);
            packed::put_len(out, object.len());
            for (name, value) in object.iter() {
                packed::put(out, name.as_bytes());
                put_node(out, value);
            }
        }
    }
}

fn put_int(out: &mut Vec<u8>, value: i64) {
    let Ok(small) = i32::try_from(value) else {
        out.push(INT);
        return out.extend_from_slice(&value.to_le_bytes());
    };
    out.push(SMALL);
    let folded = small.wrapping_shl(1) ^ (small >> 31);
    packed::put_len(out, folded.cast_unsigned() as usize);
}

/// The value that the whole of `bytes` is.
pub(super) fn whole_node(bytes: &[u8]) -> Option<Node> {
    let mut walk = Walk::new(bytes);
    let node = node(&mut walk, DEPTH_MAX)?;
    walk.is_done().then_some(node)
}

fn node(walk: &mut Walk<'_>, room: usize) -> Option<Node> {
    Some(match walk.u8()? {
        NULL => Node::Null,
        FALSE => Node::Bool(false),
        TRUE => Node::Bool(true),
        SMALL => {
            let folded = u32::try_from(walk.len()?).ok()?;
            let value = (folded >> 1) ^ 0_u32.wrapping_sub(folded & 1);
            Node::Int(i64::from(value.cast_signed()))
        }
        INT => Node::Int(walk.u64()?.cast_signed()),
        UINT => Node::Uint(Some(walk.u64()?).filter(|value| i64::try_from(*value).is_err())?),
        FLOAT => Node::Float(Some(f64::from_bits(walk.u64()?)).filter(|value| value.is_finite())?),
        TEXT => Node::Text(text(walk)?),
        ARRAY => {
            let room = room.checked_sub(1)?;
            let count = walk.len()?;
            Node::Array(items(walk, count, |walk| node(walk, room))?)
        }
        OBJECT => {
            let room = room.checked_sub(1)?;
            let count = walk.len()?;
            let members = items(walk, count, |walk| member(walk, room))?;
            let (object, repeated) = Object::of(members);
            if repeated {
                return None;
            }
            Node::Object(Box::new(object))
        }
        _ => return None,
    })
}

fn text(walk: &mut Walk<'_>) -> Option<Box<str>> {
    std::str::from_utf8(walk.bytes()?).ok().map(Box::from)
}

fn member(walk: &mut Walk<'_>, room: usize) -> Option<Member> {
    Some(Member {
        name: text(walk)?,
        value: node(walk, room)?,
    })
}

/// Each item takes a byte at least, so what is allocated follows what is there.
fn items<'b, T>(
    walk: &mut Walk<'b>,
    count: usize,
    mut read: impl FnMut(&mut Walk<'b>) -> Option<T>,
) -> Option<Vec<T>> {
    if count > walk.rest().len() {
        return None;
    }
    let mut found = Vec::new();
    for _ in 0..count {
        found.push(read(walk)?);
    }
    found.shrink_to_fit();
    Some(found)
}

pub(super) fn put_change(out: &mut Vec<u8>, change: &Change) {
    let head = |out: &mut Vec<u8>, op: u8| {
        out.push(op);
        packed::put_len(out, change.place.len());
        for position in &change.place {
            packed::put_len(out, *position as usize);
        }
    };
    match &change.act {
        Act::Replace(node) => {
            head(out, OP_REPLACE);
            put_node(out, node);
        }
        Act::InsertItems(runs) => {
            head(out, OP_INSERT_ITEMS);
            put_runs(out, runs, put_node);
        }
        Act::InsertMembers(runs) => {
            head(out, OP_INSERT_MEMBERS);
            put_runs(out, runs, |out, member| {
                packed::put(out, member.name.as_bytes());
                put_node(out, &member.value);
            });
        }
        Act::Remove(spans) => {
            head(out, OP_REMOVE);
            packed::put_len(out, spans.len());
            for span in spans {
                packed::put_len(out, span.at as usize);
                packed::put_len(out, span.count as usize);
            }
        }
        Act::Append(text) => {
            head(out, OP_APPEND);
            packed::put(out, text.as_bytes());
        }
        Act::Cut(len) => {
            head(out, OP_CUT);
            packed::put_len(out, *len as usize);
        }
    }
}

fn put_runs<T>(out: &mut Vec<u8>, runs: &[Run<T>], put: impl Fn(&mut Vec<u8>, &T)) {
    packed::put_len(out, runs.len());
    for run in runs {
        packed::put_len(out, run.at as usize);
        packed::put_len(out, run.items.len());
        run.items.iter().for_each(|item| put(out, item));
    }
}

fn position(walk: &mut Walk<'_>) -> Option<u32> {
    u32::try_from(walk.len()?).ok()
}

/// Hands every change in a delta to `each`; `None` at the first that is malformed or refused.
pub(super) fn changes(delta: &[u8], mut each: impl FnMut(Change) -> Option<()>) -> Option<()> {
    let mut walk = Walk::new(delta);
    while !walk.is_done() {
        let op = walk.u8()?;
        let count = walk.len()?;
        let place = items(&mut walk, count, position)?;
        let room = DEPTH_MAX.checked_sub(place.len())?;
        let act = match op {
            OP_REPLACE => Act::Replace(node(&mut walk, room)?),
            OP_INSERT_ITEMS => Act::InsertItems(runs(&mut walk, |walk| node(walk, room))?),
            OP_INSERT_MEMBERS => Act::InsertMembers(runs(&mut walk, |walk| member(walk, room))?),
            OP_REMOVE => {
                let count = walk.len()?;
                let span = |walk: &mut Walk<'_>| {
                    Some(Span {
                        at: position(walk)?,
                        count: position(walk)?,
                    })
                };
                Act::Remove(items(&mut walk, count, span)?)
            }
            OP_APPEND => Act::Append(text(&mut walk)?),
            OP_CUT => Act::Cut(position(&mut walk)?),
            _ => return None,
        };
        each(Change::new(&place, act))?;
    }
    Some(())
}

fn runs<'b, T>(
    walk: &mut Walk<'b>,
    read: impl Fn(&mut Walk<'b>) -> Option<T>,
) -> Option<Vec<Run<T>>> {
    let count = walk.len()?;
    items(walk, count, |walk| {
        let at = position(walk)?;
        let count = walk.len()?;
        let items = items(walk, count, &read)?;
        Some(Run { at, items })
    })
}

impl Change {
    /// Appends the change to a delta.
    pub(crate) fn log(&self, out: &mut Vec<u8>) {
        put_change(out, self);
    }
}
