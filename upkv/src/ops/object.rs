//! What can be told of a key beside its value: encoding, references, use, memory. Looking counts as no use.

use crate::error::Result;
use crate::keyspace::work::Work;
use crate::memory::{not_counted, not_timed};
use crate::value::{Object, Seen};

/// Longest string that `OBJECT ENCODING` calls embedded, in bytes.
const EMBEDDED_BYTES_MAX: usize = 44;
/// Integers below this are shared objects in Redis.
const SHARED_MAX: i64 = 10_000;

/// The name `OBJECT ENCODING` replies.
pub(crate) fn encoding(work: &mut Work<'_>, key: &[u8]) -> Result<Option<&'static str>> {
    let listpack = work.engine.hashers.forms.list();
    work.quietly(|work| {
        let value = work.value(key)?;
        let object = match value {
            None => return Ok(None),
            Some(Seen::Text(text)) if text.len() <= EMBEDDED_BYTES_MAX => {
                return Ok(Some("embstr"));
            }
            Some(Seen::Text(_)) => return Ok(Some("raw")),
            Some(Seen::Object(object)) => object,
        };
        Ok(Some(match object {
            Object::Int(_) => "int",
            Object::Short(_) => "embstr",
            // Edited in place, or long.
            Object::Bytes(_) | Object::Json(_) => "raw",
            Object::Hash(hash) if !hash.is_packed() => "hashtable",
            Object::Hash(hash) if hash.part_deadlines().first != 0 => "listpackex",
            Object::Hash(_) => "listpack",
            Object::Zset(zset) if zset.is_small() => "listpack",
            Object::Zset(_) => "skiplist",
            Object::List(list) if list.is_packed(listpack) => "listpack",
            Object::List(_) => "quicklist",
            Object::Set(set) => set.encoding(),
            Object::Stream(_) => "stream",
            Object::Cold { .. } => unreachable!("the value was just read"),
        }))
    })
}

/// The number `OBJECT REFCOUNT` replies: that of Redis, where small integers are shared unless the policy
/// needs to know the use of each.
pub(crate) fn references(work: &mut Work<'_>, key: &[u8]) -> Result<Option<i64>> {
    let evictor = &work.engine.evictor;
    let shares = evictor.max().is_none() || !evictor.policy().tracks_use();
    work.quietly(|work| {
        let value = work.value(key)?;
        Ok(value.map(|value| match value {
            Seen::Object(Object::Int(0..SHARED_MAX)) if shares => i64::from(i32::MAX),
            _ => 1,
        }))
    })
}

/// Seconds since the key was used.
pub(crate) fn idle_seconds(work: &mut Work<'_>, key: &[u8]) -> Result<Option<u32>> {
    let now = work.now;
    let counts = work.engine.evictor.counts();
    match work.entry(key)? {
        None => Ok(None),
        Some(_) if counts => Err(not_timed()),
        Some(entry) => Ok(Some(entry.access().idle_seconds(now))),
    }
}

/// How often the key is used.
pub(crate) fn frequency(work: &mut Work<'_>, key: &[u8]) -> Result<Option<u32>> {
    let now = work.now;
    let (counts, lfu) = (work.engine.evictor.counts(), work.engine.evictor.lfu());
    match work.entry(key)? {
        None => Ok(None),
        Some(_) if !counts => Err(not_counted()),
        Some(entry) => Ok(Some(entry.access().frequency(now, lfu))),
    }
}

/// Bytes that the key and its value keep in memory.
pub(crate) fn memory(work: &mut Work<'_>, key: &[u8]) -> Result<Option<usize>> {
    Ok(work.entry(key)?.map(crate::keyspace::entry::Entry::memory))
}
