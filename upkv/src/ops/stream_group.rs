//! Groups of consumers: who reads a stream, what was delivered, and what is acknowledged.

use super::check_size;
use super::stream::{Deleted, References, StreamEntry};
use super::stream_lag::{entries_up_to, has_gaps_from};
use crate::error::{Error, Result};
use crate::keyspace::work::event::Class;
use crate::keyspace::work::{Edit, Work};
use crate::value::stream::{Effect, Stream, StreamId};

#[cold]
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Refuses a key or group that does not exist.
#[cold]
pub(crate) fn no_key_or_group(key: &[u8], group: &[u8]) -> Error {
    Error::refused_with(format!(
        "NOGROUP No such key '{}' or consumer group '{}'",
        shown(key),
        shown(group)
    ))
}

/// As [`no_key_or_group`], in the words of XREADGROUP.
#[cold]
pub(crate) fn nothing_to_read(key: &[u8], group: &[u8]) -> Error {
    Error::refused_with(format!(
        "NOGROUP No such key '{}' or consumer group '{}' in XREADGROUP with GROUP option",
        shown(key),
        shown(group)
    ))
}

/// Refuses a group that a stream does not have.
#[cold]
pub(crate) fn no_group(key: &[u8], group: &[u8]) -> Error {
    Error::refused_with(format!(
        "NOGROUP No such consumer group '{}' for key name '{}'",
        shown(group),
        shown(key)
    ))
}

/// Where a group starts to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// After the last entry there is.
    Last,
    After(StreamId),
}

impl Start {
    fn id(self, stream: Option<&Stream>) -> StreamId {
        match self {
            Self::Last => stream.map_or(StreamId::MIN, Stream::last_id),
            Self::After(id) => id,
        }
    }
}

#[cold]
fn key_needed() -> Error {
    Error::refused(
        "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.",
    )
}

/// Creates a group, and with `make_stream` a stream for it.
pub(crate) fn create(
    work: &mut Work<'_>,
    key: &[u8],
    name: &[u8],
    start: Start,
    read: Option<u64>,
    make_stream: bool,
) -> Result<()> {
    check_size(key)?;
    check_size(name)?;
    let stream = work.read::<Stream>(key)?;
    if stream.is_none() && !make_stream {
        return Err(key_needed());
    }
    if stream.is_some_and(|stream| stream.group(name).is_some()) {
        return Err(Error::refused(
            "BUSYGROUP Consumer Group name already exists",
        ));
    }
    let last = start.id(stream);
    let added = stream.map_or(0, |stream| stream.counters().added);
    // No group has read more than there ever was.
    let read = read.map(|read| read.min(added));
    let mut edit = work
        .edit_of::<Stream>(key, true)?
        .expect("created when missing");
    let group = name;
    edit.apply(&Effect::Group { group, last, read });
    work.notify(Class::STREAM, "xgroup-create", key);
    Ok(())
}

/// The stream with a group, for the subcommands of XGROUP that need one.
fn edit_group<'w>(work: &'w mut Work<'_>, key: &[u8], group: &[u8]) -> Result<Edit<'w, Stream>> {
    let stream = work.read::<Stream>(key)?.ok_or_else(key_needed)?;
    if stream.group(group).is_none() {
        return Err(no_group(key, group));
    }
    work.edit_of(key, false)?.ok_or_else(key_needed)
}

/// Refuses what [`edit_group`] would, before arguments are looked at.
pub(crate) fn check_group(work: &mut Work<'_>, key: &[u8], group: &[u8]) -> Result<()> {
    let stream = work.read::<Stream>(key)?.ok_or_else(key_needed)?;
    stream
        .group(group)
        .map(drop)
        .ok_or_else(|| no_group(key, group))
}

/// Sets where a group is.
pub(crate) fn set_id(
    work: &mut Work<'_>,
    key: &[u8],
    group: &[u8],
    start: Start,
    read: Option<u64>,
) -> Result<()> {
    let mut edit = edit_group(work, key, group)?;
    let last = start.id(Some(&edit));
    let read = read.map(|read| read.min(edit.counters().added));
    edit.apply(&Effect::Group { group, last, read });
    work.notify(Class::STREAM, "xgroup-setid", key);
    Ok(())
}

/// Removes a group; whether there was one.
pub(crate) fn destroy(work: &mut Work<'_>, key: &[u8], group: &[u8]) -> Result<bool> {
    let stream = work.read::<Stream>(key)?.ok_or_else(key_needed)?;
    if stream.group(group).is_none() {
        return Ok(false);
    }
    edit_group(work, key, group)?.apply(&Effect::DropGroup { group });
    work.notify(Class::STREAM, "xgroup-destroy", key);
    Ok(true)
}

/// Creates a consumer; whether there was none.
pub(crate) fn create_consumer(
    work: &mut Work<'_>,
    key: &[u8],
    group: &[u8],
    consumer: &[u8],
) -> Result<bool> {
    check_size(consumer)?;
    let now = work.now;
    let mut edit = edit_group(work, key, group)?;
    let created = ensure_consumer(&mut edit, group, consumer, now);
    if created {
        work.notify(Class::STREAM, "xgroup-createconsumer", key);
    }
    Ok(created)
}

/// Removes a consumer; the number of entries it had pending.
pub(crate) fn delete_consumer(
    work: &mut Work<'_>,
    key: &[u8],
    group: &[u8],
    consumer: &[u8],
) -> Result<usize> {
    let mut edit = edit_group(work, key, group)?;
    let found = edit
        .group(group)
        .and_then(|found| found.consumers.get(consumer));
    let Some(pending) = found.map(|found| found.pending.len()) else {
        return Ok(0);
    };
    edit.apply(&Effect::DropConsumer { group, consumer });
    work.notify(Class::STREAM, "xgroup-delconsumer", key);
    Ok(pending)
}

/// Whether the consumer was created.
fn ensure_consumer(edit: &mut Edit<'_, Stream>, group: &[u8], consumer: &[u8], now: u64) -> bool {
    let found = edit
        .group(group)
        .and_then(|found| found.consumers.get(consumer));
    if let Some(found) = found {
        found.see(now);
        return false;
    }
    edit.apply(&Effect::Consumer {
        group,
        consumer,
        seen: now,
        active: None,
    })
}

/// Notes that a consumer asked for something, without a change where it is known already.
pub(super) fn meet(work: &mut Work<'_>, key: &[u8], group: &[u8], consumer: &[u8]) -> Result<()> {
    check_size(consumer)?;
    let now = work.now;
    let known = work
        .read::<Stream>(key)?
        .and_then(|stream| stream.group(group)?.consumers.get(consumer));
    if let Some(known) = known {
        known.see(now);
        return Ok(());
    }
    let Some(mut edit) = work.edit_of::<Stream>(key, false)? else {
        return Ok(());
    };
    if ensure_consumer(&mut edit, group, consumer, now) {
        work.notify(Class::STREAM, "xgroup-createconsumer", key);
    }
    Ok(())
}

/// Delivers entries that no consumer of the group has got.
pub(crate) fn read_new(
    work: &mut Work<'_>,
    key: &[u8],
    group: &[u8],
    consumer: &[u8],
    count: usize,
    no_ack: bool,
) -> Result<Vec<StreamEntry>> {
    let now = work.now;
    let refused = || nothing_to_read(key, group);
    let stream = work.read::<Stream>(key)?.ok_or_else(refused)?;
    let found = stream.group(group).ok_or_else(refused)?;
    let mut read = found.read;
    let mut entries = Vec::new();
    let mut last = found.last;
    let first = stream.first_id();
    if let Some(start) = last.next() {
        let range = stream.entries().range(start, StreamId::MAX);
        for entry in range.take(count) {
            read = match read {
                Some(read) if last >= first && !has_gaps_from(stream, last) => {
                    Some(read.saturating_add(1))
                }
                before if stream.counters().added == 0 => before,
                _ => entries_up_to(stream, entry.id),
            };
            last = entry.id;
            entries.push(StreamEntry::copy(entry));
        }
    }
    if !no_ack && !entries.is_empty() {
        let known = found.consumers.get(consumer);
        let pending = known.map_or(0, |known| known.pending.len());
        let rules = work.engine.rules;
        rules.check_pending([key, group, consumer], pending, entries.len())?;
    }
    meet(work, key, group, consumer)?;
    let Some(last) = entries.last().map(|entry| entry.id) else {
        return Ok(entries);
    };
    let mut edit = work.edit_of::<Stream>(key, false)?.ok_or_else(refused)?;
    edit.apply(&Effect::Group { group, last, read });
    if !no_ack {
        let ids = entries.iter().map(|entry| (entry.id, 1)).collect();
        edit.assign(group, consumer, now, ids);
        edit.activate(group, consumer, now);
    }
    Ok(entries)
}

/// An entry that was taken over, and what was known about it before.
#[derive(Debug)]
pub(crate) struct TakenOver {
    pub(crate) entry: StreamEntry,
    /// How long ago it was delivered, in ms.
    pub(crate) waited: u64,
    pub(crate) count: u64,
}

/// Takes over up to `count` entries that anybody has had pending for `min_idle` ms, the longest first.
///
/// # Complexity
///
/// O(p log p) in the pending entries of the group.
pub(crate) fn claim_idle(
    work: &mut Work<'_>,
    key: &[u8],
    group: &[u8],
    consumer: &[u8],
    min_idle: u64,
    count: usize,
) -> Result<Vec<TakenOver>> {
    let now = work.now;
    let refused = || nothing_to_read(key, group);
    let stream = work.read::<Stream>(key)?.ok_or_else(refused)?;
    let found = stream.group(group).ok_or_else(refused)?;
    let pending = found.pending.iter();
    let mut due: Vec<(u64, StreamId)> = pending
        .filter(|(_, pending)| now.saturating_sub(pending.delivered) >= min_idle)
        .map(|(id, pending)| (pending.delivered, *id))
        .collect();
    due.sort_unstable();
    let claimed = due.into_iter().filter_map(|(delivered, id)| {
        Some(TakenOver {
            entry: StreamEntry::copy(stream.entries().get(id)?),
            waited: now.saturating_sub(delivered),
            count: found.pending.get(&id)?.count,
        })
    });
    let claimed: Vec<TakenOver> = claimed.take(count).collect();
    meet(work, key, group, consumer)?;
    if !claimed.is_empty() {
        let again = |idle: &TakenOver| (idle.entry.id, idle.count.saturating_add(1));
        let ids = claimed.iter().map(again).collect();
        let mut edit = work.edit_of::<Stream>(key, false)?.ok_or_else(refused)?;
        edit.assign(group, consumer, now, ids);
        edit.activate(group, consumer, now);
    }
    Ok(claimed)
}

/// An entry that is pending, and what is left of it: `None` if it was deleted.
pub(crate) type History = Vec<(StreamId, Option<StreamEntry>)>;

/// Delivers again what the consumer has pending above an id.
pub(crate) fn read_history(
    work: &mut Work<'_>,
    key: &[u8],
    group: &[u8],
    consumer: &[u8],
    after: StreamId,
    count: usize,
) -> Result<History> {
    let now = work.now;
    let refused = || nothing_to_read(key, group);
    let stream = work.read::<Stream>(key)?.ok_or_else(refused)?;
    let found = stream.group(group).ok_or_else(refused)?;
    let mut history = Vec::new();
    let mut again = Vec::new();
    if let (Some(known), Some(start)) = (found.consumers.get(consumer), after.next()) {
        for id in known.pending.range(start..).take(count) {
            let entry = stream.entries().get(*id).map(StreamEntry::copy);
            if entry.is_some() {
                let times = found.pending.get(id).map_or(0, |pending| pending.count);
                again.push((*id, times.saturating_add(1)));
            }
            history.push((*id, entry));
        }
    }
    meet(work, key, group, consumer)?;
    if !again.is_empty() {
        let mut edit = work.edit_of::<Stream>(key, false)?.ok_or_else(refused)?;
        edit.assign(group, consumer, now, again);
    }
    Ok(history)
}

impl Edit<'_, Stream> {
    pub(super) fn assign(
        &mut self,
        group: &[u8],
        consumer: &[u8],
        delivered: u64,
        ids: Vec<(StreamId, u64)>,
    ) {
        if !ids.is_empty() {
            self.apply(&Effect::Assign {
                group,
                consumer,
                delivered,
                ids,
            });
        }
    }

    pub(super) fn activate(&mut self, group: &[u8], consumer: &[u8], now: u64) {
        self.apply(&Effect::Consumer {
            group,
            consumer,
            seen: now,
            active: Some(now),
        });
    }
}

/// Acknowledges entries; the number that were pending.
pub(crate) fn ack(
    work: &mut Work<'_>,
    key: &[u8],
    group: &[u8],
    ids: &[StreamId],
) -> Result<usize> {
    let stream = work.read::<Stream>(key)?;
    let Some(found) = stream.and_then(|stream| stream.group(group)) else {
        return Ok(0);
    };
    let mut ids: Vec<StreamId> = ids
        .iter()
        .copied()
        .filter(|id| found.pending.contains_key(id))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let count = ids.len();
    if count > 0
        && let Some(mut edit) = work.edit_of::<Stream>(key, false)?
    {
        edit.apply(&Effect::Ack { group, ids });
    }
    Ok(count)
}

/// Acknowledges entries and deletes them; what became of each.
pub(crate) fn ack_and_delete(
    work: &mut Work<'_>,
    key: &[u8],
    group: &[u8],
    ids: &[StreamId],
    references: References,
) -> Result<Vec<Deleted>> {
    let missing = || vec![Deleted::Missing; ids.len()];
    let stream = work.read::<Stream>(key)?;
    if stream.and_then(|stream| stream.group(group)).is_none() {
        return Ok(missing());
    }
    let Some(mut edit) = work.edit_of::<Stream>(key, false)? else {
        return Ok(missing());
    };
    let mut deleted = false;
    let mut outcome = Vec::with_capacity(ids.len());
    for id in ids {
        let found = edit.group(group);
        if !found.is_some_and(|found| found.pending.contains_key(id)) {
            outcome.push(Deleted::Missing);
            continue;
        }
        edit.apply(&Effect::Ack {
            group,
            ids: vec![*id],
        });
        outcome.push(match edit.delete(*id, references) {
            Some(false) => Deleted::Kept,
            Some(true) => {
                edit.note_deleted(*id);
                deleted = true;
                Deleted::Yes
            }
            None => Deleted::Yes,
        });
    }
    if deleted {
        work.notify(Class::STREAM, "xdel", key);
    }
    Ok(outcome)
}
