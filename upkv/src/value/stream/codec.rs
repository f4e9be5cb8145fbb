//! A stream as bytes: the payload of its image, and its changes.
//!
//! Numbers are varints of up to 64 bits; an id is two of them, ms and seq; a name is a varint length and bytes;
//! a number that may be missing is 0, or 1 more than it.
//!
//! | payload | bytes |
//! |---|---|
//! | last id, highest deleted id, entries ever added | two ids and a number |
//! | number of blocks, then each: base id, entries ever put into it, its bytes as in `entries` | |
//! | number of groups, then each: name, last id, entries read if known, | |
//! | number of consumers, each: name, time seen, time active if ever, | |
//! | number of pending entries, each: id, time of delivery, deliveries | |
//!
//! | change | bytes after its number (u8) |
//! |---|---|
//! | 1 append | id, number of strings, names and values in turn |
//! | 2 delete | id |
//! | 3 remove all entries up to an id | id |
//! | 4 set the counters | last id, highest deleted id, entries ever added |
//! | 5 create a group, or set where it is | group, last id, entries read if known |
//! | 6 destroy a group | group |
//! | 7 create a consumer, or set its times | group, consumer, time seen, time active if ever |
//! | 8 delete a consumer and what it has pending | group, consumer |
//! | 9 entries are pending with a consumer | group, consumer, time, number, then each: id, deliveries |
//! | 10 entries are pending no more | group, number, ids |
//!
//! Invariant: no bytes make a function of this file panic or allocate more than a few times their length.

use std::sync::Arc;

use super::entries::{Entries, put_varint, varint};
use super::group::{Consumer, Group, Pending};
use super::{Counters, Stream, StreamId};
use crate::keyspace::table::Hashers;
use crate::value::packed::{self, Walk};

const OP_APPEND: u8 = 1;
const OP_DELETE: u8 = 2;
const OP_TRIM: u8 = 3;
const OP_COUNTERS: u8 = 4;
const OP_GROUP: u8 = 5;
const OP_DROP_GROUP: u8 = 6;
const OP_CONSUMER: u8 = 7;
const OP_DROP_CONSUMER: u8 = 8;
const OP_ASSIGN: u8 = 9;
const OP_ACK: u8 = 10;

/// One change of a stream; see the table above.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect<'e> {
    /// A new entry; names and values in turn.
    Append {
        id: StreamId,
        fields: Vec<&'e [u8]>,
    },
    Delete {
        id: StreamId,
    },
    TrimThrough {
        id: StreamId,
    },
    Counters(Counters),
    Group {
        group: &'e [u8],
        last: StreamId,
        read: Option<u64>,
    },
    DropGroup {
        group: &'e [u8],
    },
    Consumer {
        group: &'e [u8],
        consumer: &'e [u8],
        seen: u64,
        active: Option<u64>,
    },
    DropConsumer {
        group: &'e [u8],
        consumer: &'e [u8],
    },
    /// Entries are pending with a consumer; ids with how often each was delivered.
    Assign {
        group: &'e [u8],
        consumer: &'e [u8],
        delivered: u64,
        ids: Vec<(StreamId, u64)>,
    },
    Ack {
        group: &'e [u8],
        ids: Vec<StreamId>,
    },
}

fn put_id(out: &mut Vec<u8>, id: StreamId) {
    put_varint(out, id.ms);
    put_varint(out, id.seq);
}

fn id(walk: &mut Walk<'_>) -> Option<StreamId> {
    Some(StreamId::new(varint(walk)?, varint(walk)?))
}

fn put_option(out: &mut Vec<u8>, value: Option<u64>) {
    put_varint(out, value.map_or(0, |value| value.saturating_add(1)));
}

#[expect(clippy::option_option, reason = "none can be what was read")]
fn option(walk: &mut Walk<'_>) -> Option<Option<u64>> {
    varint(walk).map(|value| value.checked_sub(1))
}

fn put_counters(out: &mut Vec<u8>, counters: &Counters) {
    put_id(out, counters.last);
    put_id(out, counters.max_deleted);
    put_varint(out, counters.added);
}

fn counters(walk: &mut Walk<'_>) -> Option<Counters> {
    Some(Counters {
        last: id(walk)?,
        max_deleted: id(walk)?,
        added: varint(walk)?,
    })
}

/// As many things as a count says, each of at least a byte.
fn several<'b, T>(
    walk: &mut Walk<'b>,
    mut one: impl FnMut(&mut Walk<'b>) -> Option<T>,
) -> Option<Vec<T>> {
    let count = walk.len()?;
    if count > walk.rest().len() {
        return None;
    }
    (0..count).map(|_| one(walk)).collect()
}

impl<'e> Effect<'e> {
    /// The group it is about.
    pub(super) fn group(&self) -> Option<&'e [u8]> {
        match self {
            Self::Group { group, .. }
            | Self::DropGroup { group }
            | Self::Consumer { group, .. }
            | Self::DropConsumer { group, .. }
            | Self::Assign { group, .. }
            | Self::Ack { group, .. } => Some(group),
            Self::Append { .. }
            | Self::Delete { .. }
            | Self::TrimThrough { .. }
            | Self::Counters(_) => None,
        }
    }

    /// Appends the change.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let names = |out: &mut Vec<u8>, op: u8, names: &[&[u8]]| {
            out.push(op);
            for name in names {
                packed::put(out, name);
            }
        };
        match self {
            Self::Append { id, fields } => {
                out.push(OP_APPEND);
                put_id(out, *id);
                packed::put_len(out, fields.len());
                for field in fields {
                    packed::put(out, field);
                }
            }
            Self::Delete { id } => {
                out.push(OP_DELETE);
                put_id(out, *id);
            }
            Self::TrimThrough { id } => {
                out.push(OP_TRIM);
                put_id(out, *id);
            }
            Self::Counters(counters) => {
                out.push(OP_COUNTERS);
                put_counters(out, counters);
            }
            Self::Group { group, last, read } => {
                names(out, OP_GROUP, &[group]);
                put_id(out, *last);
                put_option(out, *read);
            }
            Self::DropGroup { group } => names(out, OP_DROP_GROUP, &[group]),
            Self::Consumer {
                group,
                consumer,
                seen,
                active,
            } => {
                names(out, OP_CONSUMER, &[group, consumer]);
                put_varint(out, *seen);
                put_option(out, *active);
            }
            Self::DropConsumer { group, consumer } => {
                names(out, OP_DROP_CONSUMER, &[group, consumer]);
            }
            Self::Assign {
                group,
                consumer,
                delivered,
                ids,
            } => {
                names(out, OP_ASSIGN, &[group, consumer]);
                put_varint(out, *delivered);
                packed::put_len(out, ids.len());
                for (id, count) in ids {
                    put_id(out, *id);
                    put_varint(out, *count);
                }
            }
            Self::Ack { group, ids } => {
                names(out, OP_ACK, &[group]);
                packed::put_len(out, ids.len());
                for id in ids {
                    put_id(out, *id);
                }
            }
        }
    }

    /// Reads one change; `None` when it is malformed.
    fn take(walk: &mut Walk<'e>) -> Option<Self> {
        Some(match walk.u8()? {
            OP_APPEND => Self::Append {
                id: id(walk)?,
                fields: several(walk, Walk::bytes)?,
            },
            OP_DELETE => Self::Delete { id: id(walk)? },
            OP_TRIM => Self::TrimThrough { id: id(walk)? },
            OP_COUNTERS => Self::Counters(counters(walk)?),
            OP_GROUP => Self::Group {
                group: walk.bytes()?,
                last: id(walk)?,
                read: option(walk)?,
            },
            OP_DROP_GROUP => Self::DropGroup {
                group: walk.bytes()?,
            },
            OP_CONSUMER => Self::Consumer {
                group: walk.bytes()?,
                consumer: walk.bytes()?,
                seen: varint(walk)?,
                active: option(walk)?,
            },
            OP_DROP_CONSUMER => Self::DropConsumer {
                group: walk.bytes()?,
                consumer: walk.bytes()?,
            },
            OP_ASSIGN => Self::Assign {
                group: walk.bytes()?,
                consumer: walk.bytes()?,
                delivered: varint(walk)?,
                ids: several(walk, |walk| Some((id(walk)?, varint(walk)?)))?,
            },
            OP_ACK => Self::Ack {
                group: walk.bytes()?,
                ids: several(walk, id)?,
            },
            _ => return None,
        })
    }
}

impl Stream {
    /// Appends the whole value; see the table above.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_counters(out, &self.counters);
        self.entries.encode(out);
        packed::put_len(out, self.groups.len());
        for (name, group) in &self.groups {
            packed::put(out, name);
            put_id(out, group.last);
            put_option(out, group.read);
            packed::put_len(out, group.consumers.len());
            for (name, consumer) in &group.consumers {
                packed::put(out, name);
                put_varint(out, consumer.seen());
                put_option(out, consumer.active);
                packed::put_len(out, consumer.pending.len());
                for (id, pending) in consumer
                    .pending
                    .iter()
                    .filter_map(|id| Some((id, group.pending.get(id)?)))
                {
                    put_id(out, *id);
                    put_varint(out, pending.delivered);
                    put_varint(out, pending.count);
                }
            }
        }
    }

    /// Rebuilds a value from [`Stream::encode`]'s bytes; `None` when they are malformed.
    pub(crate) fn decode(hashers: Arc<Hashers>, bytes: &[u8]) -> Option<Self> {
        let mut walk = Walk::new(bytes);
        let mut stream = Self::new(hashers);
        stream.counters = counters(&mut walk)?;
        let (entries, last) = Entries::decode(&mut walk)?;
        if last > stream.counters.last {
            return None;
        }
        stream.entries = entries;
        for _ in 0..walk.len()? {
            let name = walk.bytes()?;
            let group = group(&mut walk)?;
            if stream.groups.contains_key(name) {
                return None;
            }
            stream.put_group(name, group);
        }
        walk.is_done().then_some(stream)
    }

    /// Replays changes; `None` when they are malformed.
    pub(crate) fn replay(&mut self, delta: &[u8]) -> Option<()> {
        let mut walk = Walk::new(delta);
        while !walk.is_done() {
            self.apply(&Effect::take(&mut walk)?)?;
        }
        Some(())
    }
}

fn group(walk: &mut Walk<'_>) -> Option<Group> {
    let mut group = Group::new(id(walk)?, option(walk)?);
    for _ in 0..walk.len()? {
        let name = walk.bytes()?;
        let consumer = Consumer::new(varint(walk)?, option(walk)?);
        if !group.add_consumer(name, consumer) {
            return None;
        }
        let name = group.shared_name(name)?;
        for _ in 0..walk.len()? {
            let id = id(walk)?;
            let pending = Pending {
                consumer: Arc::clone(&name),
                delivered: varint(walk)?,
                count: varint(walk)?,
            };
            if group.set_pending(id, Some(pending)).is_some() {
                return None;
            }
        }
    }
    Some(group)
}
