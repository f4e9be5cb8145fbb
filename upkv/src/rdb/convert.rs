//! Between values of the format and what keys hold.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Consumer, Entry, Field, Group, Id, Pending, Stream, Text, Value};
use crate::keyspace::table::Hashers;
use crate::value::hash::Hash;
use crate::value::list::List;
use crate::value::set::Set;
use crate::value::stream::{self, Counters, Effect, StreamId};
use crate::value::zset::Zset;
use crate::value::{Collection, Fresh, Kind, Object, Seen};

/// What a key holds at `now`, without overdue fields; the type of a value the format cannot say.
/// The value must not be cold.
pub(crate) fn value(value: Seen<'_>, now: u64) -> Result<Value, Kind> {
    if let Some(text) = value.text(&mut itoa::Buffer::new()) {
        return Ok(Value::String(text.to_vec()));
    }
    let Seen::Object(object) = value else {
        return Err(value.kind());
    };
    Ok(match object {
        Object::Hash(hash) => {
            let field = |(name, value): (&[u8], &[u8])| Field {
                name: name.to_vec(),
                value: value.to_vec(),
                deadline: hash.deadline(name),
            };
            Value::Hash(hash.live(now).iter().map(field).collect())
        }
        Object::List(list) => Value::List(list.iter(0..usize::MAX).map(Cow::into_owned).collect()),
        Object::Set(set) => Value::Set(set.iter().map(Cow::into_owned).collect()),
        Object::Zset(zset) => {
            let items = zset.iter(0..usize::MAX);
            Value::Zset(
                items
                    .map(|item| (item.member.to_vec(), item.score))
                    .collect(),
            )
        }
        Object::Stream(stream) => Value::Stream(Box::new(of_stream(stream))),
        other => return Err(other.kind()),
    })
}

/// What a key has to hold for a value, without fields that are overdue at `now`, so it may be an empty
/// collection; the type of a value that keys cannot hold.
pub(crate) fn fresh<'v>(
    value: &'v Value,
    hashers: &Arc<Hashers>,
    now: u64,
) -> Result<Fresh<'v>, Kind> {
    let object = match value {
        Value::String(text) => return Ok(Fresh::string(text)),
        Value::Hash(fields) => {
            let mut hash = Hash::create(hashers);
            for field in fields {
                if field.deadline == 0 || field.deadline > now {
                    hash.set(&field.name, &field.value);
                    hash.set_deadline(&field.name, field.deadline);
                }
            }
            hash.into_object()
        }
        Value::Zset(members) => {
            let mut zset = Zset::create(hashers);
            for (member, score) in members {
                zset.set(member, *score);
            }
            zset.into_object()
        }
        Value::List(elements) => {
            let mut list = List::create(hashers);
            for element in elements {
                list.push(false, element);
            }
            list.into_object()
        }
        Value::Set(members) => {
            let mut set = Set::create(hashers);
            for member in members {
                set.add(member);
            }
            set.into_object()
        }
        Value::Stream(stream) => to_stream(stream, hashers)
            .ok_or(Kind::Stream)?
            .into_object(),
    };
    Ok(object.into())
}

impl From<StreamId> for Id {
    fn from(id: StreamId) -> Self {
        Self {
            ms: id.ms,
            seq: id.seq,
        }
    }
}

impl From<Id> for StreamId {
    fn from(id: Id) -> Self {
        Self::new(id.ms, id.seq)
    }
}

fn of_stream(stream: &stream::Stream) -> Stream {
    let mut before: Arc<[Text]> = Arc::from([]);
    let entry = |entry: stream::Entry<'_>| {
        let (names, values): (Vec<&[u8]>, Vec<&[u8]>) = entry.fields.unzip();
        if !before.iter().map(Vec::as_slice).eq(names.iter().copied()) {
            before = names.iter().map(|name| name.to_vec()).collect();
        }
        Entry {
            id: entry.id.into(),
            names: Arc::clone(&before),
            values: values.into_iter().map(<[u8]>::to_vec).collect(),
        }
    };
    let entries = stream.entries().range(StreamId::MIN, StreamId::MAX);
    let counters = stream.counters();
    Stream {
        entries: entries.map(entry).collect(),
        last: counters.last.into(),
        max_deleted: counters.max_deleted.into(),
        added: counters.added,
        groups: stream
            .groups()
            .iter()
            .map(|(name, group)| of_group(name, group))
            .collect(),
    }
}

fn time(at: u64) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}

fn of_group(name: &[u8], group: &stream::Group) -> Group {
    let pending = |id: &StreamId| {
        let pending = group.pending.get(id)?;
        Some(Pending {
            id: (*id).into(),
            delivered: time(pending.delivered),
            count: pending.count,
        })
    };
    let consumer = |(name, consumer): (&Arc<[u8]>, &stream::Consumer)| Consumer {
        name: name.to_vec(),
        seen: time(consumer.seen()),
        active: consumer.active.map_or(-1, time),
        pending: consumer.pending.iter().filter_map(pending).collect(),
    };
    Group {
        name: name.to_vec(),
        last: group.last.into(),
        read: group.read,
        consumers: group.consumers.iter().map(consumer).collect(),
    }
}

/// The stream that a value describes; `None` if its entries are out of order.
fn to_stream(value: &Stream, hashers: &Arc<Hashers>) -> Option<stream::Stream> {
    let mut made = stream::Stream::create(hashers);
    for entry in &value.entries {
        let pairs = entry.names.iter().zip(&entry.values);
        made.apply(&Effect::Append {
            id: entry.id.into(),
            fields: pairs.flat_map(|(name, value)| [&name[..], value]).collect(),
        })?;
    }
    made.apply(&Effect::Counters(Counters {
        last: value.last.into(),
        max_deleted: value.max_deleted.into(),
        added: value.added,
    }))?;
    for group in &value.groups {
        let name = &group.name;
        made.apply(&Effect::Group {
            group: name,
            last: group.last.into(),
            read: group.read,
        })?;
        for consumer in &group.consumers {
            made.apply(&Effect::Consumer {
                group: name,
                consumer: &consumer.name,
                seen: u64::try_from(consumer.seen).unwrap_or(0),
                active: u64::try_from(consumer.active).ok(),
            })?;
            for pending in &consumer.pending {
                made.apply(&Effect::Assign {
                    group: name,
                    consumer: &consumer.name,
                    delivered: u64::try_from(pending.delivered).unwrap_or(0),
                    ids: vec![(pending.id.into(), pending.count)],
                })?;
            }
        }
    }
    Some(made)
}
