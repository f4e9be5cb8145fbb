//! What XINFO and XPENDING tell, without what depends on time and on memory.
//!
//! Times stand behind a name, or at a fixed place in the row of a pending entry. A server before 7.2 creates a consumer
//! when it first gets something, so that there neither consumers without pending entries nor their number are compared; what it makes of trimmed entries
//! that a group never read was corrected later.

use crate::server::{Value, Version};

/// How far apart both sides may read a clock.
const APART: u64 = 10_000;

pub(super) fn same(ours: &Value, theirs: &Value, version: Version) -> bool {
    let (ours, theirs) = (without_news(ours.clone()), without_news(theirs.clone()));
    if version < Version(7, 2) {
        return alike(&aged(ours), &aged(theirs), Times::None);
    }
    alike(&ours, &theirs, Times::None)
}

/// Without what servers since 8.4 tell: who added entries, and which were given back.
fn without_news(value: Value) -> Value {
    const NEWS: &[&[u8]] = &[
        b"idmp-duration",
        b"idmp-maxsize",
        b"pids-tracked",
        b"iids-tracked",
        b"iids-added",
        b"iids-duplicates",
        b"nacked-count",
    ];
    let Value::Items(first, items) = value else {
        return value;
    };
    let mut kept = Vec::new();
    let mut items = items.into_iter();
    while let Some(item) = items.next() {
        match word(&item) {
            Some(name) if NEWS.contains(&name) => drop(items.next()),
            _ => kept.push(without_news(item)),
        }
    }
    Value::Items(first, kept)
}

/// What an integer stands for.
#[derive(Clone, Copy, PartialEq)]
enum Times {
    None,
    Time,
    /// Of nodes and the like.
    Count,
}

fn alike(ours: &Value, theirs: &Value, what: Times) -> bool {
    match (ours, theirs) {
        (Value::Items(a, ours), Value::Items(b, theirs)) => {
            let mut pairs = ours.iter().zip(theirs).enumerate();
            a == b
                && ours.len() == theirs.len()
                && pairs.all(|(at, (a, b))| alike(a, b, meaning(ours, at)))
        }
        (Value::Line(b':', a), Value::Line(b':', b)) if what != Times::None => {
            let (a, b): (i64, i64) = (a.parse().unwrap_or(-1), b.parse().unwrap_or(-1));
            // Never is never on both sides.
            let known = (a < 0) == (b < 0);
            known && (what == Times::Count || a.abs_diff(b) <= APART)
        }
        _ => ours == theirs,
    }
}

fn meaning(items: &[Value], at: usize) -> Times {
    let integer = |at: usize| matches!(items[at], Value::Line(b':', _));
    let behind = at.checked_sub(1).and_then(|name| word(&items[name]));
    match (items.len(), at, behind) {
        (_, _, Some(b"idle" | b"inactive" | b"seen-time" | b"active-time")) => Times::Time,
        (_, _, Some(b"radix-tree-keys" | b"radix-tree-nodes")) => Times::Count,
        (4, 2, _) | (3, 1, _) if integer(at) && integer(at + 1) => Times::Time,
        _ => Times::None,
    }
}

fn word(item: &Value) -> Option<&[u8]> {
    match item {
        Value::Bytes(b'$', bytes) => Some(bytes),
        _ => None,
    }
}

/// As a server before 7.2 tells it, of either side.
fn aged(value: Value) -> Value {
    let Value::Items(first, items) = value else {
        return value;
    };
    let mut kept = Vec::new();
    let mut items = items
        .into_iter()
        .filter(|item| !has_nothing(item))
        .map(aged);
    while let Some(item) = items.next() {
        match word(&item) {
            Some(b"active-time" | b"inactive" | b"entries-read" | b"lag") => drop(items.next()),
            // Their number, or themselves.
            Some(b"consumers") => {
                let consumers = items.next();
                kept.push(item);
                kept.extend(consumers.filter(|of| matches!(of, Value::Items(..))));
            }
            _ => kept.push(item),
        }
    }
    Value::Items(first, kept)
}

/// Whether that is a consumer without pending entries.
fn has_nothing(item: &Value) -> bool {
    let Value::Items(_, parts) = item else {
        return false;
    };
    let has = |names: [&[u8]; 2], value: Option<&str>| {
        parts.windows(2).any(|pair| {
            let named = word(&pair[0]).is_some_and(|name| names.contains(&name));
            let zero = |text: &str| matches!(&pair[1], Value::Line(b':', told) if told == text);
            named && value.is_none_or(zero)
        })
    };
    has([b"idle", b"seen-time"], None) && has([b"pending", b"pel-count"], Some("0"))
}
