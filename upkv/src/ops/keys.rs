//! Commands on keys whatever they hold: existence, deadlines, names, iteration.

use bytes::Bytes;

use super::check_size;
use crate::error::{Error, Result};
use crate::glob;
use crate::keyspace::entry::Entry;
use crate::keyspace::work::Work;
use crate::keyspace::work::event::Class;
use crate::value::{Fresh, Kind, Object, Seen};

/// Removes a key; whether it existed.
pub(crate) fn delete(work: &mut Work<'_>, key: &[u8]) -> Result<bool> {
    let existed = work.remove(key)?;
    if existed {
        work.notify(Class::GENERIC, "del", key);
    }
    Ok(existed)
}

/// When EXPIRE takes place.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command, set or not"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExpireIf {
    pub(crate) absent: bool,
    pub(crate) present: bool,
    pub(crate) greater: bool,
    pub(crate) less: bool,
}

impl ExpireIf {
    /// Whether a deadline may be set where there is one at `present`, or none.
    pub(crate) fn allows<T: PartialOrd + Copy>(self, present: Option<T>, at: T) -> bool {
        match present {
            // No deadline counts as one that never comes.
            None => !self.present && !self.greater,
            Some(present) => {
                !self.absent && (!self.greater || at > present) && (!self.less || at < present)
            }
        }
    }
}

/// Sets a deadline; whether that happened. A deadline that has passed removes the key.
pub(crate) fn expire_at(work: &mut Work<'_>, key: &[u8], at: i64, when: ExpireIf) -> Result<bool> {
    let Some(entry) = work.entry(key)? else {
        return Ok(false);
    };
    let present = entry.expire_at();
    let present = (present != 0).then(|| i64::try_from(present).unwrap_or(i64::MAX));
    if !when.allows(present, at) {
        return Ok(false);
    }
    match u64::try_from(at) {
        Ok(at) if at > work.now => {
            work.set_expire_at(key, at)?;
            work.notify(Class::GENERIC, "expire", key);
        }
        _ => drop(delete(work, key)?),
    }
    Ok(true)
}

/// Removes the deadline; whether there was one.
pub(crate) fn persist(work: &mut Work<'_>, key: &[u8]) -> Result<bool> {
    let volatile = work.entry(key)?.is_some_and(|entry| entry.expire_at() != 0);
    if volatile {
        work.set_expire_at(key, 0)?;
        work.notify(Class::GENERIC, "persist", key);
    }
    Ok(volatile)
}

/// The value as a new object, for another key.
fn duplicate(work: &mut Work<'_>, key: &[u8]) -> Result<Option<Duplicate>> {
    let hashers = work.engine.hashers.clone();
    let Some(value) = work.value(key)? else {
        return Ok(None);
    };
    let object = match value {
        Seen::Text(text) => Object::shared(Bytes::copy_from_slice(text)),
        Seen::Object(Object::Int(value)) => Object::Int(*value),
        Seen::Object(Object::Short(text)) => Object::Short(*text),
        Seen::Object(Object::Bytes(bytes)) => Object::shared(Bytes::clone(bytes)),
        Seen::Object(_) => Object::decode(value.kind(), &hashers, &value.encode())
            .expect("a value's own encoding decodes"),
    };
    let with_key = matches!(value, Seen::Text(_));
    let entry = work.entry(key)?.expect("the value was just read");
    let expire_at = entry.expire_at();
    Ok(Some(Duplicate {
        object,
        with_key,
        expire_at,
    }))
}

/// A copy of a value, with the key's deadline.
struct Duplicate {
    object: Object,
    /// Whether the value is a text that was held with its key.
    with_key: bool,
    expire_at: u64,
}

/// Renames, replacing what `to` held; `false` if `only_if_absent` and `to` exists.
pub(crate) fn rename(
    work: &mut Work<'_>,
    from: &[u8],
    to: &[u8],
    only_if_absent: bool,
) -> Result<bool> {
    check_size(to)?;
    if work.entry(from)?.is_none() {
        return Err(Error::NoSuchKey);
    }
    if only_if_absent && work.entry(to)?.is_some() {
        return Ok(false);
    }
    if from == to {
        return Ok(true);
    }
    let copy = duplicate(work, from)?.ok_or(Error::NoSuchKey)?;
    work.remove(from)?;
    put_copy(work, to, copy)?;
    work.notify(Class::GENERIC, "rename_from", from);
    work.notify(Class::GENERIC, "rename_to", to);
    Ok(true)
}

/// Moves a key into database `db`; `false` if it is missing or the name is taken there.
pub(crate) fn move_to(work: &mut Work<'_>, key: &[u8], db: u8) -> Result<bool> {
    if db == work.db() {
        return Err(same_object());
    }
    if work.entry(key)?.is_none() || work.at_db(db, |work| Ok(work.entry(key)?.is_some()))? {
        return Ok(false);
    }
    let Some(copy) = duplicate(work, key)? else {
        return Ok(false);
    };
    work.remove(key)?;
    work.at_db(db, |work| put_copy(work, key, copy))?;
    work.notify(Class::GENERIC, "move_from", key);
    work.at_db(db, |work| {
        work.notify(Class::GENERIC, "move_to", key);
        Ok(())
    })?;
    Ok(true)
}

#[cold]
fn same_object() -> Error {
    Error::refused("ERR source and destination objects are the same")
}

/// Copies value and deadline, into database `db`; `false` if the source is missing or the target exists.
pub(crate) fn copy(
    work: &mut Work<'_>,
    from: &[u8],
    to: &[u8],
    db: u8,
    replace: bool,
) -> Result<bool> {
    check_size(to)?;
    if from == to && db == work.db() {
        return Err(same_object());
    }
    if work.entry(from)?.is_none() {
        return Ok(false);
    }
    if !replace && work.at_db(db, |work| Ok(work.entry(to)?.is_some()))? {
        return Ok(false);
    }
    let Some(copy) = duplicate(work, from)? else {
        return Ok(false);
    };
    work.at_db(db, |work| {
        put_copy(work, to, copy)?;
        work.notify(Class::GENERIC, "copy_to", to);
        Ok(())
    })?;
    Ok(true)
}

fn put_copy(work: &mut Work<'_>, to: &[u8], copy: Duplicate) -> Result<()> {
    as_new(work, to, |work| match copy.object {
        Object::Bytes(text) if copy.with_key => work.put(to, Fresh::plain(&text), copy.expire_at),
        object => work.put(to, object, copy.expire_at),
    })
}

/// Lets `put` store a value of another key or of another server, which events call a new key even where it replaces one.
pub(crate) fn as_new<'w>(
    work: &mut Work<'w>,
    key: &[u8],
    put: impl FnOnce(&mut Work<'w>) -> Result<()>,
) -> Result<()> {
    let replaces = work.entry(key)?.is_some();
    put(work)?;
    if replaces {
        work.notify(Class::NEW, "new", key);
    }
    Ok(())
}

/// Number of keys, overdue ones included until they are cleaned up.
pub(crate) fn count(work: &mut Work<'_>) -> Result<usize> {
    work.local_shards()
        .try_fold(0, |sum, index| Ok(sum + work.shard(index)?.table.len()))
}

/// All live keys that match.
pub(crate) fn matching(work: &mut Work<'_>, pattern: &[u8]) -> Result<Vec<Bytes>> {
    let now = work.now;
    let mut found = Vec::new();
    for index in work.local_shards() {
        let shard = work.shard(index)?;
        for entry in shard.table.iter() {
            if !entry.is_expired(now) && glob::matches(pattern, entry.key()) {
                found.push(Bytes::copy_from_slice(entry.key()));
            }
        }
    }
    Ok(found)
}

/// Some live key.
pub(crate) fn random(work: &mut Work<'_>) -> Result<Option<Bytes>> {
    /// Picks before the overdue keys of a shard are stepped over one by one.
    const TRIES: usize = 16;
    let now = work.now;
    let shards = work.local_shards();
    let start = usize::try_from(work.engine.mount.random() % shards.len() as u64).unwrap_or(0);
    for step in 0..shards.len() {
        let index = shards.start + (start + step) % shards.len();
        let mount = work.engine.mount.clone();
        let table = &work.shard(index)?.table;
        let live = |entry: &Entry| !entry.is_expired(now);
        let picked =
            (0..TRIES).find_map(|_| table.pick(mount.random()).filter(|entry| live(entry)));
        if let Some(entry) = picked.or_else(|| table.iter().find(|entry| live(entry))) {
            return Ok(Some(Bytes::copy_from_slice(entry.key())));
        }
    }
    Ok(None)
}

/// What a scan step returns.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Where the next step starts; 0 after the last.
    pub(crate) cursor: u64,
    pub(crate) keys: Vec<(Bytes, Kind)>,
}

/// A scan for one key, which ends with its first step.
pub(crate) fn scan_for(
    work: &mut Work<'_>,
    key: &[u8],
    keep: impl Fn(&[u8], Kind) -> bool,
) -> Result<Page> {
    let mut page = Page::default();
    if let Some(kind) = work
        .quietly(|work| work.kind(key))?
        .filter(|kind| keep(key, *kind))
    {
        page.keys.push((Bytes::copy_from_slice(key), kind));
    }
    Ok(page)
}

/// Scan steps until `count` keys are found, or many were looked at.
pub(crate) fn scan_until(
    work: &mut Work<'_>,
    cursor: u64,
    count: usize,
    keep: impl Fn(&[u8], Kind) -> bool,
) -> Result<Page> {
    /// Keys that one call looks at, unless it is to find more.
    const LOOKS_MAX: usize = 1_000;
    let looks = std::cell::Cell::new(0_usize);
    let mut found = Page {
        cursor,
        ..Page::default()
    };
    loop {
        let step = scan(work, found.cursor, count - found.keys.len(), |key, kind| {
            looks.set(looks.get() + 1);
            keep(key, kind)
        })?;
        found.cursor = step.cursor;
        found.keys.extend(step.keys);
        let is_enough = found.keys.len() >= count || looks.get() >= LOOKS_MAX.max(count);
        if found.cursor == 0 || is_enough {
            return Ok(found);
        }
    }
}

/// One scan step over about `count` keys from `cursor`, filtered afterwards.
pub(crate) fn scan(
    work: &mut Work<'_>,
    cursor: u64,
    count: usize,
    keep: impl Fn(&[u8], Kind) -> bool,
) -> Result<Page> {
    let now = work.now;
    let shards = work.local_shards();
    let mut page = Page::default();
    let mut visited = 0;
    let mut index = work.shard_of(cursor);
    let mut from = cursor;
    loop {
        let shard = work.shard(index)?;
        let next = shard.table.scan(from, count - visited, |entry| {
            visited += 1;
            if !entry.is_expired(now) && keep(entry.key(), entry.kind()) {
                let kind = entry.kind();
                page.keys.push((Bytes::copy_from_slice(entry.key()), kind));
            }
        });
        if let Some(next) = next {
            page.cursor = next;
            return Ok(page);
        }
        index += 1;
        if index == shards.end {
            return Ok(page);
        }
        from = work.engine.shard_start(index - shards.start);
        if visited >= count {
            page.cursor = from;
            return Ok(page);
        }
    }
}
