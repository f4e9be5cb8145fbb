//! Streams: entries appended, read, deleted and trimmed. Groups are in [`super::stream_group`].

use super::check_size;
use crate::error::{Error, Result};
use crate::keyspace::work::event::Class;
use crate::keyspace::work::{Edit, Work};
use crate::value::Undo;
use crate::value::owned::Value;
use crate::value::stream::{BLOCK_ITEMS_MAX, Counters, Effect, Entry, Stream, StreamId};

/// Most bytes of one entry, as in Redis.
const ENTRY_BYTES_MAX: usize = 1 << 30;
/// Entries that an approximate trim looks at unless told otherwise.
pub(crate) const TRIM_LIMIT: u64 = 100 * BLOCK_ITEMS_MAX as u64;

/// An entry of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamEntry {
    /// Its id.
    pub id: StreamId,
    /// Names and values, in the order in which they were given; names may repeat.
    pub fields: Vec<(Value, Value)>,
}

impl StreamEntry {
    pub(crate) fn copy(entry: Entry<'_>) -> Self {
        let fields = entry
            .fields
            .map(|(name, value)| (Value::copy(name), Value::copy(value)));
        Self {
            id: entry.id,
            fields: fields.collect(),
        }
    }
}

/// The id that a new entry gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewId {
    /// The time of the command.
    Auto,
    /// This time, and the next number.
    AutoSeq(u64),
    Exact(StreamId),
}

/// Which entries a trim removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threshold {
    /// The oldest, down to a number.
    MaxLen(u64),
    /// Those below an id.
    MinId(StreamId),
}

/// What becomes of what groups know of an entry that is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum References {
    /// It stays pending.
    #[default]
    Keep,
    /// It is pending nowhere any more.
    Drop,
    /// The entry is removed only if every group has read and acknowledged it.
    Acked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trim {
    pub(crate) threshold: Threshold,
    /// Only whole blocks.
    pub(crate) approximate: bool,
    /// Most entries to look at; 0 for any number.
    pub(crate) limit: u64,
    pub(crate) references: References,
}

impl Edit<'_, Stream> {
    /// Makes a change that makes sense, so that it is logged and can be taken back; whether it did.
    pub(crate) fn apply(&mut self, effect: &Effect<'_>) -> bool {
        let Some(undo) = self.value.apply(effect) else {
            return false;
        };
        self.note(Undo::Stream(Box::new(undo)), |delta| effect.put(delta));
        true
    }

    /// Entries are pending in no group any more.
    fn forget(&mut self, ids: &[StreamId]) {
        let names: Vec<Box<[u8]>> = self.groups().keys().cloned().collect();
        for name in names {
            let pending = |id: &StreamId| {
                let group = self.group(&name);
                group.is_some_and(|group| group.pending.contains_key(id))
            };
            let ids: Vec<StreamId> = ids.iter().copied().filter(pending).collect();
            if !ids.is_empty() {
                self.apply(&Effect::Ack { group: &name, ids });
            }
        }
    }

    /// Removes one entry as told; `None` if it is not there, else whether it was removed. What a group has still to
    /// read, or holds pending, is kept with [`References::Acked`], whether it is there or not.
    pub(super) fn delete(&mut self, id: StreamId, references: References) -> Option<bool> {
        if references == References::Acked && is_referenced(self, id) {
            return Some(false);
        }
        if !self.entries().contains(id) {
            if references == References::Drop {
                self.forget(&[id]);
            }
            return None;
        }
        self.apply(&Effect::Delete { id });
        if references == References::Drop {
            self.forget(&[id]);
        }
        Some(true)
    }

    /// Notes the highest id that was deleted by id.
    pub(super) fn note_deleted(&mut self, id: StreamId) {
        let counters = self.counters();
        if id > counters.max_deleted {
            self.apply(&Effect::Counters(Counters {
                max_deleted: id,
                ..counters
            }));
        }
    }

    /// Trims; the number of entries removed.
    fn trim(&mut self, trim: Trim) -> usize {
        let Some(last) = last_to_trim(self, trim) else {
            return 0;
        };
        let before = self.len();
        if trim.references == References::Keep {
            self.apply(&Effect::TrimThrough { id: last });
            return before - self.len();
        }
        let doomed = self.entries().range(StreamId::MIN, last);
        let doomed: Vec<StreamId> = doomed.map(|entry| entry.id).collect();
        if trim.references == References::Drop {
            self.apply(&Effect::TrimThrough { id: last });
            self.forget(&doomed);
        } else {
            for id in doomed {
                self.delete(id, trim.references);
            }
        }
        before - self.len()
    }
}

/// Whether a group has yet to read an entry, or to acknowledge it.
fn is_referenced(stream: &Stream, id: StreamId) -> bool {
    let mut groups = stream.groups().values();
    groups.any(|group| id > group.last || group.pending.contains_key(&id))
}

/// The last entry that a trim removes.
fn last_to_trim(stream: &Stream, trim: Trim) -> Option<StreamId> {
    let (len, entries) = (stream.len() as u64, stream.entries());
    let mut removed = 0;
    let mut last = None;
    for at in 0..entries.blocks() {
        let (items, end) = entries.block_end(at)?;
        let items = items as u64;
        if matches!(trim.threshold, Threshold::MaxLen(max) if len - removed <= max)
            || (trim.limit > 0 && removed + items > trim.limit)
        {
            break;
        }
        let whole = match trim.threshold {
            Threshold::MaxLen(max) => len - removed - items >= max,
            Threshold::MinId(id) => end < id,
        };
        if whole {
            removed += items;
            last = Some(end);
            continue;
        }
        if !trim.approximate {
            let start = match last {
                Some(last) => last.next()?,
                None => StreamId::MIN,
            };
            let rest = entries.range(start, end).map(|entry| entry.id);
            let part = match trim.threshold {
                Threshold::MaxLen(max) => {
                    let count = usize::try_from(len - removed - max).unwrap_or(usize::MAX);
                    rest.take(count).last()
                }
                Threshold::MinId(id) => rest.take_while(|found| *found < id).last(),
            };
            last = part.or(last);
        }
        break;
    }
    last
}

/// The id of the next entry.
fn next_id(last: StreamId, wanted: NewId, now: u64) -> Result<StreamId> {
    let too_low = || {
        Error::refused(
            "ERR The ID specified in XADD is equal or smaller than the target stream top item",
        )
    };
    let exhausted = || {
        Error::refused(
            "ERR The stream has exhausted the last possible ID, unable to add more items",
        )
    };
    if last == StreamId::MAX {
        return Err(exhausted());
    }
    match wanted {
        NewId::Auto if now > last.ms => Ok(StreamId::new(now, 0)),
        NewId::Auto => last.next().ok_or_else(exhausted),
        NewId::AutoSeq(ms) if ms == last.ms => {
            let seq = last.seq.checked_add(1).ok_or_else(too_low)?;
            Ok(StreamId::new(ms, seq))
        }
        NewId::AutoSeq(ms) if ms > last.ms => Ok(StreamId::new(ms, 0)),
        NewId::Exact(id) if id > last => Ok(id),
        NewId::AutoSeq(_) | NewId::Exact(_) => Err(too_low()),
    }
}

/// Appends an entry, whose names and values are given in turn, then trims; its id, or `None` if there is no
/// stream and none is to be created.
pub(crate) fn add(
    work: &mut Work<'_>,
    key: &[u8],
    create: bool,
    wanted: NewId,
    fields: &[&[u8]],
    trim: Option<Trim>,
) -> Result<Option<StreamId>> {
    check_size(key)?;
    fields.iter().try_for_each(|field| check_size(field))?;
    if wanted == NewId::Exact(StreamId::MIN) {
        return Err(Error::refused(
            "ERR The ID specified in XADD must be greater than 0-0",
        ));
    }
    let now = work.now;
    let Some(last) = work
        .read::<Stream>(key)?
        .map(Stream::last_id)
        .or(create.then_some(StreamId::MIN))
    else {
        return Ok(None);
    };
    let id = next_id(last, wanted, now)?;
    let size = fields
        .iter()
        .fold(0_usize, |size, field| size.saturating_add(field.len()));
    if size > ENTRY_BYTES_MAX {
        return Err(Error::refused("ERR Elements are too large to be stored"));
    }
    let mut edit = work
        .edit_of::<Stream>(key, true)?
        .expect("created when missing");
    let effect = Effect::Append {
        id,
        fields: fields.to_vec(),
    };
    edit.apply(&effect);
    let trimmed = trim.map_or(0, |trim| edit.trim(trim));
    work.notify(Class::STREAM, "xadd", key);
    if trimmed > 0 {
        work.notify(Class::STREAM, "xtrim", key);
    }
    Ok(Some(id))
}

/// Trims a stream; the number of entries removed.
pub(crate) fn trim(work: &mut Work<'_>, key: &[u8], trim: Trim) -> Result<usize> {
    if work
        .read::<Stream>(key)?
        .is_none_or(|stream| stream.len() == 0)
    {
        return Ok(0);
    }
    let Some(mut edit) = work.edit_of::<Stream>(key, false)? else {
        return Ok(0);
    };
    let trimmed = edit.trim(trim);
    if trimmed > 0 {
        work.notify(Class::STREAM, "xtrim", key);
    }
    Ok(trimmed)
}

/// What deleting one entry came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deleted {
    Missing,
    Yes,
    /// It is still referenced.
    Kept,
}

/// Deletes entries by id; what became of each. Of a missing key none is there.
pub(crate) fn delete(
    work: &mut Work<'_>,
    key: &[u8],
    ids: &[StreamId],
    references: References,
) -> Result<Vec<Deleted>> {
    let Some(mut edit) = work.edit_of::<Stream>(key, false)? else {
        return Ok(vec![Deleted::Missing; ids.len()]);
    };
    let mut one = |id: &StreamId| match edit.delete(*id, references) {
        None => Deleted::Missing,
        Some(false) => Deleted::Kept,
        Some(true) => {
            edit.note_deleted(*id);
            Deleted::Yes
        }
    };
    let outcome: Vec<Deleted> = ids.iter().map(&mut one).collect();
    if outcome.contains(&Deleted::Yes) {
        work.notify(Class::STREAM, "xdel", key);
    }
    Ok(outcome)
}

/// Number of entries.
pub(crate) fn len(work: &mut Work<'_>, key: &[u8]) -> Result<usize> {
    Ok(work.read::<Stream>(key)?.map_or(0, Stream::len))
}

/// Entries from `start` to `end`, both included; the newest first if `reverse`.
pub(crate) fn range(
    work: &mut Work<'_>,
    key: &[u8],
    start: StreamId,
    end: StreamId,
    count: usize,
    reverse: bool,
) -> Result<Vec<StreamEntry>> {
    let Some(stream) = work.read::<Stream>(key)? else {
        return Ok(Vec::new());
    };
    let entries = stream.entries();
    Ok(if reverse {
        let found = entries.reverse_range(start, end);
        found.take(count).map(StreamEntry::copy).collect()
    } else {
        let found = entries.range(start, end);
        found.take(count).map(StreamEntry::copy).collect()
    })
}

/// Entries above an id.
pub(crate) fn after(
    work: &mut Work<'_>,
    key: &[u8],
    id: StreamId,
    count: usize,
) -> Result<Vec<StreamEntry>> {
    match id.next() {
        Some(start) => range(work, key, start, StreamId::MAX, count, false),
        None => Ok(Vec::new()),
    }
}

/// Sets the counters of a stream that exists.
pub(crate) fn set_id(
    work: &mut Work<'_>,
    key: &[u8],
    last: StreamId,
    added: Option<u64>,
    max_deleted: Option<StreamId>,
) -> Result<()> {
    let stream = work.read::<Stream>(key)?.ok_or(Error::NoSuchKey)?;
    let before = stream.counters();
    if last < before.max_deleted {
        return Err(Error::refused(
            "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
        ));
    }
    if let Some(top) = stream.entries().last() {
        if last < top.id {
            return Err(Error::refused(
                "ERR The ID specified in XSETID is smaller than the target stream top item",
            ));
        }
        if added.is_some_and(|added| added < stream.len() as u64) {
            return Err(Error::refused(
                "ERR The entries_added specified in XSETID is smaller than the target stream length",
            ));
        }
    }
    let counters = Counters {
        last,
        added: added.unwrap_or(before.added),
        max_deleted: max_deleted
            .filter(|id| *id != StreamId::MIN)
            .unwrap_or(before.max_deleted),
    };
    if let Some(mut edit) = work.edit_of::<Stream>(key, false)? {
        edit.apply(&Effect::Counters(counters));
    }
    work.notify(Class::STREAM, "xsetid", key);
    Ok(())
}
