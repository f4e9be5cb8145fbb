//! Which replies must be equal in what sense.

#[path = "compare_stream.rs"]
mod stream;

use crate::server::{Value, Version};

/// How much of a reply is the same on every correct server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Compare {
    /// Every byte.
    Exact,
    /// Every byte once the elements of every array are sorted.
    Unordered,
    /// As `Unordered`; in RESP2 what belongs together comes in pairs.
    Pairs,
    /// As `Pairs`; numbers may be written differently.
    Scored,
    /// Numbers may be written differently if they are within this share of each other; everything else is exact.
    Numbers(f64),
    /// Integers may differ by as much: they count from now.
    Near(i64),
    /// What a stream says of itself: times may differ by some seconds, and how it lies in memory does not matter.
    Stream,
    /// Only the type of the reply, and the number of its elements.
    Shape,
}

/// Whether two replies are the same reply.
pub(crate) fn same(how: Compare, ours: &Value, theirs: &Value, version: Version) -> bool {
    if ours == theirs {
        return true;
    }
    match how {
        Compare::Exact => false,
        Compare::Unordered => sorted(ours.clone()) == sorted(theirs.clone()),
        Compare::Pairs => sorted(paired(ours.clone())) == sorted(paired(theirs.clone())),
        Compare::Scored => {
            let canonical = |value: &Value| sorted(paired(rewritten(value.clone())));
            canonical(ours) == canonical(theirs)
        }
        Compare::Numbers(share) => leaves(ours, theirs, &|a, b| {
            let of = |value: &Value| match value {
                Value::Bytes(b'$', bytes) => std::str::from_utf8(bytes).ok()?.parse::<f64>().ok(),
                Value::Line(b',', text) => text.parse().ok(),
                _ => None,
            };
            let (Some(a), Some(b)) = (of(a), of(b)) else {
                return false;
            };
            a.total_cmp(&b).is_eq() || (a - b).abs() <= share * a.abs().max(b.abs())
        }),
        Compare::Near(most) => leaves(ours, theirs, &|a, b| {
            let of = |value: &Value| match value {
                Value::Line(b':', text) => text.parse::<i64>().ok(),
                _ => None,
            };
            matches!((of(a), of(b)), (Some(a), Some(b)) if a > 0 && b > 0 && a.abs_diff(b) <= most.unsigned_abs())
        }),
        Compare::Stream => stream::same(ours, theirs, version),
        Compare::Shape => leaves(ours, theirs, &|a, b| match (a, b) {
            (Value::Line(a, _), Value::Line(b, _)) => a == b && *a != b'-',
            (Value::Bytes(a, _), Value::Bytes(b, _)) => a == b,
            _ => false,
        }),
    }
}

/// Whether two replies have the same arrays, and equal or related leaves.
fn leaves(ours: &Value, theirs: &Value, related: &dyn Fn(&Value, &Value) -> bool) -> bool {
    match (ours, theirs) {
        (Value::Items(a, ours), Value::Items(b, theirs)) => {
            a == b
                && ours.len() == theirs.len()
                && ours.iter().zip(theirs).all(|(a, b)| leaves(a, b, related))
        }
        _ => ours == theirs || related(ours, theirs),
    }
}

fn sorted(value: Value) -> Value {
    let Value::Items(first, items) = value else {
        return value;
    };
    if first == b'%' {
        return sorted(paired(Value::Items(first, items)));
    }
    let mut items: Vec<Value> = items.into_iter().map(sorted).collect();
    items.sort_by_cached_key(Value::show);
    Value::Items(first, items)
}

/// Every number in the shortest form.
fn rewritten(value: Value) -> Value {
    match value {
        Value::Items(first, items) => {
            Value::Items(first, items.into_iter().map(rewritten).collect())
        }
        Value::Bytes(first, bytes) => {
            let text = std::str::from_utf8(&bytes).ok();
            let number = text.and_then(|text| text.parse::<f64>().ok());
            Value::Bytes(
                first,
                number.map_or(bytes, |number| number.to_string().into()),
            )
        }
        line @ Value::Line(..) => line,
    }
}

/// Innermost arrays of an even number of elements as pairs.
fn paired(value: Value) -> Value {
    let Value::Items(first, items) = value else {
        return value;
    };
    let flat = !items.iter().any(|item| matches!(item, Value::Items(..)));
    if items.len() % 2 == 1 || !(flat || first == b'%') {
        return Value::Items(first, items.into_iter().map(paired).collect());
    }
    let kind = if first == b'%' { b'>' } else { first };
    let pairs = items.chunks(2);
    // In pairs the order matters; a pair is kept as the one text that it is shown as.
    let pairs =
        pairs.map(|pair| Value::Line(b'+', format!("{} {}", pair[0].show(), pair[1].show())));
    Value::Items(kind, pairs.collect())
}
