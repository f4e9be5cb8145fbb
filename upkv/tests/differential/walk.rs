//! All that a side holds: keys, types, deadlines, values.

use crate::compare::{Compare, same};
use crate::server::{Side, Value, Version};

/// One key and what it holds.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: Value,
    kind: Value,
    deadline: Value,
    contents: Value,
    /// When the fields of a hash end, in order of their names.
    fields: Value,
}

impl Entry {
    pub(crate) fn value(&self) -> Value {
        let parts = [
            &self.key,
            &self.kind,
            &self.deadline,
            &self.contents,
            &self.fields,
        ];
        Value::Items(b'*', parts.into_iter().cloned().collect())
    }
}

/// How the contents of a type are read in full, and what of them is the same everywhere.
fn reader(kind: &str) -> (&'static str, Compare) {
    match kind {
        "string" => ("GET key", Compare::Exact),
        "hash" => ("HGETALL key", Compare::Pairs),
        "zset" => ("ZRANGE key 0 -1 WITHSCORES", Compare::Numbers(0.0)),
        "list" => ("LRANGE key 0 -1", Compare::Exact),
        "set" => ("SMEMBERS key", Compare::Unordered),
        "stream" => ("XINFO STREAM key FULL COUNT 0", Compare::Stream),
        _ => ("TYPE key", Compare::Exact),
    }
}

/// Every key of the selected database, in order of names.
pub(crate) fn keyspace(side: &mut dyn Side, version: Version) -> Vec<Entry> {
    let Value::Items(_, mut keys) = side.ask_words("KEYS *") else {
        panic!("KEYS answers a list");
    };
    keys.sort_by_cached_key(Value::show);
    let entry = |key: Value| entry(side, key, version);
    keys.into_iter().map(entry).collect()
}

/// All there is to know of one key.
pub(crate) fn entry(side: &mut dyn Side, key: Value, version: Version) -> Entry {
    let Value::Bytes(_, name) = &key else {
        panic!("a key is a string");
    };
    let kind = side.ask(&[b"TYPE".to_vec(), name.clone()]);
    let deadline = side.ask(&[b"PEXPIRETIME".to_vec(), name.clone()]);
    let (command, _) = reader(text(&kind));
    let words = command.split(' ').map(|word| match word {
        "key" => name.clone(),
        other => other.into(),
    });
    let contents = side.ask(&words.collect::<Vec<_>>());
    let with_fields = text(&kind) == "hash" && version >= Version(7, 4);
    let fields = if with_fields {
        field_deadlines(side, name, &contents)
    } else {
        Value::Items(b'*', Vec::new())
    };
    Entry {
        key,
        kind,
        deadline,
        contents,
        fields,
    }
}

fn field_deadlines(side: &mut dyn Side, key: &[u8], contents: &Value) -> Value {
    let Value::Items(_, flat) = contents else {
        panic!("HGETALL answers a list");
    };
    let mut names: Vec<Vec<u8>> = flat
        .chunks(2)
        .map(|pair| match &pair[0] {
            Value::Bytes(_, name) => name.clone(),
            other => panic!("a field is a string, not {}", other.show()),
        })
        .collect();
    names.sort();
    let count = names.len().to_string().into_bytes();
    let mut line = vec![
        b"HPEXPIRETIME".to_vec(),
        key.to_vec(),
        b"FIELDS".to_vec(),
        count,
    ];
    line.extend(names);
    side.ask(&line)
}

/// Whether two entries are the same.
pub(crate) fn equal(ours: &Entry, theirs: &Entry, version: Version) -> bool {
    ours.key == theirs.key
        && same(
            Compare::Near(3000),
            &ours.deadline,
            &theirs.deadline,
            version,
        )
        && alike(ours, theirs, version)
}

/// Whether two keys hold the same value, as far as the payloads of every server can tell it: those of the oldest leave
/// out when a consumer was active.
pub(crate) fn same_value(a: &Entry, b: &Entry) -> bool {
    alike(a, b, Version(7, 0))
}

fn alike(a: &Entry, b: &Entry, version: Version) -> bool {
    let (_, how) = reader(text(&a.kind));
    a.kind == b.kind
        && same(Compare::Near(3000), &a.fields, &b.fields, version)
        && same(how, &a.contents, &b.contents, version)
}

fn text(kind: &Value) -> &str {
    match kind {
        Value::Line(_, text) => text,
        _ => "",
    }
}
