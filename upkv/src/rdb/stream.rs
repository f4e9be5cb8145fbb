//! Streams: entries in listpacks under their first id, groups, consumers and what they have pending.
//!
//! A listpack starts with its counts and the names of its first entry; entries with the same names leave
//! them out.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::listpack::{Item, Writer};
use super::read::items;
use super::sink::{put_count, put_length, put_string};
use super::source::{Result, Source};
use super::{Consumer, Entry, Group, Id, Pending, Stream, Text, code};

const DELETED: i64 = 1;
const SAME_NAMES: i64 = 2;
/// Most entries and bytes of a listpack that is written.
const NODE_ITEMS_MAX: usize = 100;
const NODE_BYTES_MAX: usize = 4096;

impl Id {
    fn from_bytes(bytes: [u8; 16]) -> Self {
        let [ms, seq] = [0, 8].map(|at| std::array::from_fn(|byte| bytes[at + byte]));
        Self {
            ms: u64::from_be_bytes(ms),
            seq: u64::from_be_bytes(seq),
        }
    }

    fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.ms) << 64 | u128::from(self.seq)).to_be_bytes()
    }
}

pub(super) fn read(source: &mut Source<'_>, code: u8) -> Result<Stream> {
    let mut stream = Stream::default();
    for _ in 0..source.length()? {
        let first = source.string()?;
        let first = first
            .try_into()
            .map_err(|_| source.malformed("a stream id"))?;
        let bytes = source.string()?;
        let before = stream.entries.last().map(|entry| entry.id);
        let items = items(source, &bytes)?;
        let node = node(Id::from_bytes(first), before, &items);
        stream
            .entries
            .extend(node.ok_or_else(|| source.malformed("a part of a stream"))?);
    }
    let count = source.length()?;
    if count != stream.entries.len() as u64 {
        return Err(source.malformed("the length of a stream"));
    }
    stream.last = id(source)?;
    if stream
        .entries
        .last()
        .is_some_and(|entry| entry.id > stream.last)
    {
        return Err(source.malformed("the last id of a stream"));
    }
    stream.added = count;
    if code != code::STREAM {
        let first = id(source)?;
        if stream
            .entries
            .first()
            .is_some_and(|entry| entry.id != first)
        {
            return Err(source.malformed("the first id of a stream"));
        }
        stream.max_deleted = id(source)?;
        stream.added = source.length()?;
        if stream.max_deleted > stream.last || stream.added < count {
            return Err(source.malformed("the counts of a stream"));
        }
    }
    let mut names = HashSet::new();
    for _ in 0..source.length()? {
        let group = group(source, code)?;
        if !names.insert(group.name.clone()) {
            return Err(source.malformed("distinct groups"));
        }
        stream.groups.push(group);
    }
    Ok(stream)
}

fn id(source: &mut Source<'_>) -> Result<Id> {
    Ok(Id {
        ms: source.length()?,
        seq: source.length()?,
    })
}

/// The live entries of one listpack, above `before`; `None` when they are malformed.
fn node(first: Id, before: Option<Id>, items: &[Item<'_>]) -> Option<Vec<Entry>> {
    let mut rest = items.iter().copied();
    let number = |rest: &mut dyn Iterator<Item = Item<'_>>| rest.next()?.int();
    let take = |rest: &mut std::iter::Copied<std::slice::Iter<'_, Item<'_>>>, count: i64| {
        let count = usize::try_from(count)
            .ok()
            .filter(|count| *count <= rest.len())?;
        Some(
            rest.by_ref()
                .take(count)
                .map(Item::text)
                .collect::<Vec<Text>>(),
        )
    };
    let (live, deleted) = (number(&mut rest)?, number(&mut rest)?);
    let count = number(&mut rest)?;
    let names: Arc<[Text]> = take(&mut rest, count)?.into();
    if number(&mut rest)? != 0 {
        return None;
    }
    let mut entries = Vec::new();
    let (mut last, mut gone) = (before, 0);
    while rest.len() > 0 {
        let start = rest.len();
        let flags = number(&mut rest)?;
        let ms = first.ms.wrapping_add_signed(number(&mut rest)?);
        let seq = first.seq.wrapping_add_signed(number(&mut rest)?);
        let id = Id { ms, seq };
        let (names, values) = if flags & SAME_NAMES != 0 {
            let count = i64::try_from(names.len()).ok()?;
            (Arc::clone(&names), take(&mut rest, count)?)
        } else {
            let count = number(&mut rest)?;
            let both = take(&mut rest, count.checked_mul(2)?)?;
            let (mut names, mut values) = (Vec::new(), Vec::new());
            for (at, text) in both.into_iter().enumerate() {
                if at % 2 == 0 {
                    names.push(text);
                } else {
                    values.push(text);
                }
            }
            (names.into(), values)
        };
        let size = i64::try_from(start - rest.len()).ok()?;
        if number(&mut rest)? != size {
            return None;
        }
        if flags & DELETED != 0 {
            gone += 1;
            continue;
        }
        if names.is_empty() || id < first || last.is_some_and(|last| id <= last) {
            return None;
        }
        last = Some(id);
        entries.push(Entry { id, names, values });
    }
    let sound = i64::try_from(entries.len()) == Ok(live) && gone == deleted;
    sound.then_some(entries)
}

fn group(source: &mut Source<'_>, code: u8) -> Result<Group> {
    let name = source.string()?;
    let last = id(source)?;
    let read = if code == code::STREAM {
        None
    } else {
        // The highest number stands for -1: not known.
        let read = source.length()?;
        i64::try_from(read).is_ok().then_some(read)
    };
    let mut unclaimed = BTreeMap::new();
    for _ in 0..source.length()? {
        let id = Id::from_bytes(source.array()?);
        let (delivered, count) = (source.i64()?, source.length()?);
        let pending = Pending {
            id,
            delivered,
            count,
        };
        if unclaimed.insert(id, pending).is_some() {
            return Err(source.malformed("distinct pending entries"));
        }
    }
    let mut names = HashSet::new();
    let mut consumers = Vec::new();
    for _ in 0..source.length()? {
        let consumer = consumer(source, code, &mut unclaimed)?;
        if !names.insert(consumer.name.clone()) {
            return Err(source.malformed("distinct consumers"));
        }
        consumers.push(consumer);
    }
    if !unclaimed.is_empty() {
        return Err(source.malformed("a consumer for every pending entry"));
    }
    Ok(Group {
        name,
        last,
        read,
        consumers,
    })
}

fn consumer(
    source: &mut Source<'_>,
    code: u8,
    unclaimed: &mut BTreeMap<Id, Pending>,
) -> Result<Consumer> {
    let name = source.string()?;
    let seen = source.i64()?;
    let active = if code == code::STREAM_3 {
        source.i64()?
    } else {
        seen
    };
    let mut pending = Vec::new();
    for _ in 0..source.length()? {
        let id = Id::from_bytes(source.array()?);
        let found = unclaimed.remove(&id);
        pending.push(found.ok_or_else(|| source.malformed("a pending entry of the group"))?);
    }
    pending.sort_unstable_by_key(|pending: &Pending| pending.id);
    Ok(Consumer {
        name,
        seen,
        active,
        pending,
    })
}

/// Writes a stream as Redis 7.0 does.
pub(super) fn write(out: &mut Text, stream: &Stream) {
    let nodes = nodes(&stream.entries);
    put_count(out, nodes.len());
    for entries in nodes {
        put_string(out, &entries[0].id.to_bytes());
        put_string(out, &pack(entries));
    }
    let first = stream
        .entries
        .first()
        .map_or(Id::default(), |entry| entry.id);
    put_count(out, stream.entries.len());
    for id in [stream.last, first, stream.max_deleted] {
        put_id(out, id);
    }
    put_length(out, stream.added);
    put_count(out, stream.groups.len());
    for group in &stream.groups {
        put_string(out, &group.name);
        put_id(out, group.last);
        put_length(out, group.read.unwrap_or(u64::MAX));
        let mut pending: Vec<&Pending> = group.consumers.iter().flat_map(|c| &c.pending).collect();
        pending.sort_unstable_by_key(|pending| pending.id);
        put_count(out, pending.len());
        for pending in pending {
            out.extend_from_slice(&pending.id.to_bytes());
            out.extend_from_slice(&pending.delivered.to_le_bytes());
            put_length(out, pending.count);
        }
        put_count(out, group.consumers.len());
        for consumer in &group.consumers {
            put_string(out, &consumer.name);
            out.extend_from_slice(&consumer.seen.to_le_bytes());
            put_count(out, consumer.pending.len());
            for pending in &consumer.pending {
                out.extend_from_slice(&pending.id.to_bytes());
            }
        }
    }
}

fn put_id(out: &mut Text, id: Id) {
    put_length(out, id.ms);
    put_length(out, id.seq);
}

/// Cuts entries into parts of a listpack each; an entry is never cut.
fn nodes(mut entries: &[Entry]) -> Vec<&[Entry]> {
    let mut nodes = Vec::new();
    while !entries.is_empty() {
        let mut bytes = 0;
        let fits = |entry: &Entry| {
            bytes += entry.values.iter().map(Vec::len).sum::<usize>();
            bytes <= NODE_BYTES_MAX
        };
        let count = entries
            .iter()
            .take(NODE_ITEMS_MAX)
            .map(fits)
            .take_while(|fits| *fits)
            .count();
        let (node, rest) = entries.split_at(count.max(1));
        nodes.push(node);
        entries = rest;
    }
    nodes
}

fn pack(entries: &[Entry]) -> Text {
    let count = |count: usize| i64::try_from(count).expect("counts fit 63 bits");
    let (first, names) = (entries[0].id, &entries[0].names);
    let mut out = Writer::new();
    out.push_int(count(entries.len()));
    out.push_int(0);
    out.push_int(count(names.len()));
    names.iter().for_each(|name| out.push(name));
    out.push_int(0);
    for entry in entries {
        let same = entry.names == *names;
        out.push_int(if same { SAME_NAMES } else { 0 });
        out.push_int(entry.id.ms.wrapping_sub(first.ms).cast_signed());
        out.push_int(entry.id.seq.wrapping_sub(first.seq).cast_signed());
        if same {
            entry.values.iter().for_each(|value| out.push(value));
            out.push_int(count(entry.values.len() + 3));
        } else {
            out.push_int(count(entry.names.len()));
            for (name, value) in entry.names.iter().zip(&entry.values) {
                out.push(name);
                out.push(value);
            }
            out.push_int(count(entry.values.len() * 2 + 4));
        }
    }
    out.into_bytes()
}
