//! The stream type: entries under ids that only grow, and groups of consumers that share them.
//!
//! `entries` packs entries into blocks, `group` is what is known of a group, `codec` the bytes of all of it.
//! Every change is an [`Effect`]: it is applied, logged and replayed as one, and gives what takes it back.
//!
//! Invariant: no entry is above the last id; the counters only move as Redis' do.

mod codec;
mod entries;
mod group;
mod id;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use codec::Effect;
use entries::Removed;
pub(crate) use entries::{BLOCK_ITEMS_MAX, Entries, Entry};
pub(crate) use group::{Consumer, Group, Pending};
pub use id::StreamId;
pub(crate) use id::part;

use crate::keyspace::table::Hashers;

/// What a stream remembers of entries that are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// The highest id ever given.
    pub(crate) last: StreamId,
    /// The highest id of an entry that was deleted by id.
    pub(crate) max_deleted: StreamId,
    /// Entries ever added.
    pub(crate) added: u64,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    entries: Entries,
    counters: Counters,
    groups: BTreeMap<Box<[u8]>, Group>,
    /// Bytes of the names of groups.
    names: usize,
}

/// What takes one change back.
#[derive(Debug)]
pub(crate) struct Undo(Before);

#[derive(Debug)]
enum Before {
    Appended(Counters),
    Removed(Removed),
    Counters(Counters),
    NoGroup(Box<[u8]>),
    Group(Box<[u8]>, Box<Group>),
    Position(Box<[u8]>, StreamId, Option<u64>),
    NoConsumer(Box<[u8]>, Box<[u8]>),
    Consumer {
        group: Box<[u8]>,
        name: Box<[u8]>,
        consumer: Consumer,
        pending: Vec<(StreamId, Pending)>,
    },
    Times {
        group: Box<[u8]>,
        name: Box<[u8]>,
        seen: u64,
        active: Option<u64>,
    },
    Pending(Box<[u8]>, Vec<(StreamId, Option<Pending>)>),
}

impl Stream {
    pub(crate) fn new(_hashers: Arc<Hashers>) -> Self {
        Self::default()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn entries(&self) -> &Entries {
        &self.entries
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// The highest id ever given.
    pub(crate) fn last_id(&self) -> StreamId {
        self.counters.last
    }

    /// The id of the first entry, 0-0 if there is none.
    pub(crate) fn first_id(&self) -> StreamId {
        self.entries.first().map_or(StreamId::MIN, |entry| entry.id)
    }

    pub(crate) fn groups(&self) -> &BTreeMap<Box<[u8]>, Group> {
        &self.groups
    }

    pub(crate) fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(name)
    }

    /// Bytes this value keeps in memory.
    pub(crate) fn memory(&self) -> usize {
        let per_group = size_of::<(Box<[u8]>, Group)>() * 4 / 3;
        let groups: usize = self.groups.values().map(Group::memory).sum();
        size_of::<Self>()
            + self.entries.memory()
            + groups
            + self.groups.len() * per_group
            + self.names
    }

    /// Makes a change; what takes it back, or `None`, with nothing changed, if it makes no sense here.
    pub(crate) fn apply(&mut self, effect: &Effect<'_>) -> Option<Undo> {
        let before = match effect {
            Effect::Append { id, fields } => {
                if *id <= self.counters.last || fields.is_empty() || fields.len() % 2 == 1 {
                    return None;
                }
                let before = self.counters;
                self.entries.push(*id, fields);
                self.counters.last = *id;
                self.counters.added = before.added.saturating_add(1);
                Before::Appended(before)
            }
            Effect::Delete { id } => Before::Removed(self.entries.remove(*id)?),
            Effect::TrimThrough { id } => Before::Removed(self.entries.remove_through(*id)),
            Effect::Counters(counters) => {
                if self
                    .entries
                    .last()
                    .is_some_and(|last| last.id > counters.last)
                {
                    return None;
                }
                Before::Counters(std::mem::replace(&mut self.counters, *counters))
            }
            _ => self.apply_to_group(effect)?,
        };
        Some(Undo(before))
    }

    #[expect(clippy::too_many_lines, reason = "one arm an effect")]
    fn apply_to_group(&mut self, effect: &Effect<'_>) -> Option<Before> {
        let name: &[u8] = effect.group()?;
        match effect {
            Effect::Group { last, read, .. } => {
                if let Some(group) = self.groups.get_mut(name) {
                    let before = (group.last, group.read);
                    (group.last, group.read) = (*last, *read);
                    return Some(Before::Position(name.into(), before.0, before.1));
                }
                self.put_group(name, Group::new(*last, *read));
                return Some(Before::NoGroup(name.into()));
            }
            Effect::DropGroup { .. } => {
                let group = self.take_group(name)?;
                return Some(Before::Group(name.into(), Box::new(group)));
            }
            _ => {}
        }
        let group = self.groups.get_mut(name)?;
        Some(match effect {
            Effect::Consumer {
                consumer,
                seen,
                active,
                ..
            } => {
                if let Some(found) = group.consumers.get_mut(*consumer) {
                    let before = Before::Times {
                        group: name.into(),
                        name: (*consumer).into(),
                        seen: found.seen(),
                        active: found.active,
                    };
                    found.see(*seen);
                    found.active = *active;
                    before
                } else {
                    group.add_consumer(consumer, Consumer::new(*seen, *active));
                    Before::NoConsumer(name.into(), (*consumer).into())
                }
            }
            Effect::DropConsumer { consumer, .. } => {
                let (gone, pending) = group.remove_consumer(consumer)?;
                Before::Consumer {
                    group: name.into(),
                    name: (*consumer).into(),
                    consumer: gone,
                    pending,
                }
            }
            Effect::Assign {
                consumer,
                delivered,
                ids,
                ..
            } => {
                let consumer = group.shared_name(consumer)?;
                let mut assign = |(id, count): &(StreamId, u64)| {
                    let pending = Pending {
                        consumer: Arc::clone(&consumer),
                        delivered: *delivered,
                        count: *count,
                    };
                    (*id, group.set_pending(*id, Some(pending)))
                };
                Before::Pending(name.into(), ids.iter().map(&mut assign).collect())
            }
            Effect::Ack { ids, .. } => {
                let mut ack = |id: &StreamId| (*id, group.set_pending(*id, None));
                Before::Pending(name.into(), ids.iter().map(&mut ack).collect())
            }
            _ => return None,
        })
    }

    fn put_group(&mut self, name: &[u8], group: Group) {
        self.names += name.len();
        self.groups.insert(name.into(), group);
    }

    fn take_group(&mut self, name: &[u8]) -> Option<Group> {
        let group = self.groups.remove(name)?;
        self.names -= name.len();
        Some(group)
    }

    /// Takes one change back.
    pub(crate) fn undo(&mut self, undo: &Undo) {
        match &undo.0 {
            Before::Appended(counters) => {
                self.entries.pop();
                self.counters = *counters;
            }
            Before::Removed(removed) => self.entries.restore(removed),
            Before::Counters(counters) => self.counters = *counters,
            Before::NoGroup(name) => {
                self.take_group(name);
            }
            Before::Group(name, group) => self.put_group(name, (**group).clone()),
            Before::Position(name, last, read) => {
                if let Some(group) = self.groups.get_mut(name) {
                    (group.last, group.read) = (*last, *read);
                }
            }
            Before::NoConsumer(group, name) => {
                if let Some(group) = self.groups.get_mut(group) {
                    group.remove_consumer(name);
                }
            }
            Before::Consumer {
                group,
                name,
                consumer,
                pending,
            } => {
                if let Some(group) = self.groups.get_mut(group) {
                    group.add_consumer(name, consumer.clone());
                    for (id, pending) in pending {
                        group.set_pending(*id, Some(pending.clone()));
                    }
                }
            }
            Before::Times {
                group,
                name,
                seen,
                active,
            } => {
                let group = self.groups.get_mut(group);
                if let Some(found) = group.and_then(|group| group.consumers.get_mut(&**name)) {
                    found.see(*seen);
                    found.active = *active;
                }
            }
            Before::Pending(group, before) => {
                if let Some(group) = self.groups.get_mut(group) {
                    for (id, pending) in before.iter().rev() {
                        group.set_pending(*id, pending.clone());
                    }
                }
            }
        }
    }
}
