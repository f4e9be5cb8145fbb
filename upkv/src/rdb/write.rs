//! Writing values as Redis 7.0 does: in compact encodings while they are small.

use super::listpack::Writer;
use super::sink::{put_count, put_length, put_string};
use super::{Field, Text, Value, code, compact, stream};
use crate::number;

const LIST_NODE_BYTES_MAX: usize = 8 << 10;
const NODE_PACKED: u64 = 2;
const INTSET_ITEMS_MAX: usize = 512;
const HASH_ITEMS_MAX: usize = 128;
const ZSET_ITEMS_MAX: usize = 128;
const ITEM_BYTES_MAX: usize = 64;

/// The code of the type and encoding that [`value`] writes.
enum Form {
    Plain,
    Packed,
}

/// Appends a value's code and the value itself; `between` is what goes between the two.
pub(super) fn value(out: &mut Text, value: &Value, between: impl FnOnce(&mut Text)) {
    let form = form(value);
    out.push(match (value, &form) {
        (Value::String(_), _) => code::STRING,
        (Value::List(_), _) => code::QUICKLIST_2,
        (Value::Set(_), Form::Plain) => code::SET,
        (Value::Set(_), Form::Packed) => code::SET_INTSET,
        (Value::Zset(_), Form::Plain) => code::ZSET,
        (Value::Zset(_), Form::Packed) => code::ZSET_LISTPACK,
        (Value::Hash(fields), _) if has_deadlines(fields) => code::HASH_DEADLINES,
        (Value::Hash(_), Form::Plain) => code::HASH,
        (Value::Hash(_), Form::Packed) => code::HASH_LISTPACK,
        (Value::Stream(_), _) => code::STREAM_2,
    });
    between(out);
    match (value, form) {
        (Value::String(text), _) => put_string(out, text),
        (Value::List(items), _) => list(out, items),
        (Value::Set(members), Form::Plain) => {
            put_count(out, members.len());
            for member in members {
                put_string(out, member);
            }
        }
        (Value::Set(members), Form::Packed) => {
            let mut values: Vec<i64> = members
                .iter()
                .filter_map(|m| number::parse_i64(m))
                .collect();
            values.sort_unstable();
            put_string(out, &compact::put_intset(&values));
        }
        (Value::Zset(members), Form::Plain) => {
            put_count(out, members.len());
            for (member, score) in members {
                put_string(out, member);
                out.extend_from_slice(&score.to_le_bytes());
            }
        }
        (Value::Zset(members), Form::Packed) => packed_zset(out, members),
        (Value::Hash(fields), _) if has_deadlines(fields) => hash_with_deadlines(out, fields),
        (Value::Hash(fields), Form::Plain) => {
            put_count(out, fields.len());
            for field in fields {
                put_string(out, &field.name);
                put_string(out, &field.value);
            }
        }
        (Value::Hash(fields), Form::Packed) => {
            let mut pack = Writer::new();
            for field in fields {
                pack.push(&field.name);
                pack.push(&field.value);
            }
            put_string(out, &pack.into_bytes());
        }
        (Value::Stream(stream), _) => stream::write(out, stream),
    }
}

fn form(value: &Value) -> Form {
    let short = |text: &Text| text.len() <= ITEM_BYTES_MAX;
    let packed = match value {
        Value::Set(members) => {
            members.len() <= INTSET_ITEMS_MAX
                && members
                    .iter()
                    .all(|member| number::parse_i64(member).is_some())
        }
        Value::Zset(members) => {
            members.len() <= ZSET_ITEMS_MAX && members.iter().all(|(member, _)| short(member))
        }
        Value::Hash(fields) => {
            fields.len() <= HASH_ITEMS_MAX
                && fields
                    .iter()
                    .all(|field| short(&field.name) && short(&field.value))
        }
        Value::String(_) | Value::List(_) | Value::Stream(_) => false,
    };
    if packed { Form::Packed } else { Form::Plain }
}

fn has_deadlines(fields: &[Field]) -> bool {
    fields.iter().any(|field| field.deadline != 0)
}

fn list(out: &mut Text, items: &[Text]) {
    let mut nodes = Vec::new();
    let mut node = Writer::new();
    for item in items {
        // Beside its text an element takes at most five bytes before it and five behind.
        if !node.is_empty() && node.len() + item.len() + 10 > LIST_NODE_BYTES_MAX {
            nodes.push(std::mem::replace(&mut node, Writer::new()).into_bytes());
        }
        node.push(item);
    }
    if !node.is_empty() {
        nodes.push(node.into_bytes());
    }
    put_count(out, nodes.len());
    for node in nodes {
        put_length(out, NODE_PACKED);
        put_string(out, &node);
    }
}

/// Members in a listpack, which has to be in order.
fn packed_zset(out: &mut Text, members: &[(Text, f64)]) {
    let mut members: Vec<&(Text, f64)> = members.iter().collect();
    members.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
    let mut pack = Writer::new();
    for (member, score) in members {
        pack.push(member);
        pack.push(number::format_f64(*score).as_bytes());
    }
    put_string(out, &pack.into_bytes());
}

fn hash_with_deadlines(out: &mut Text, fields: &[Field]) {
    let deadlines = fields.iter().map(|field| field.deadline);
    let first = deadlines.filter(|at| *at != 0).min().unwrap_or(0);
    out.extend_from_slice(&first.to_le_bytes());
    put_count(out, fields.len());
    for field in fields {
        put_length(
            out,
            match field.deadline {
                0 => 0,
                at => at - first + 1,
            },
        );
        put_string(out, &field.name);
        put_string(out, &field.value);
    }
}
