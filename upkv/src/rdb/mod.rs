//! Redis' RDB format: values in `DUMP` payloads and whole snapshot files, in and out.
//!
//! Layers, lowest first: `checksum`, `lzf`, `source` and `sink` (lengths and strings), `compact` (listpack,
//! ziplist, intset, zipmap), `read` and `write` (values of every type), `payload` (`DUMP`), `import` and
//! `export` (files), `convert` (to and from what keys hold).
//! Invariant: no bytes make a reader panic or allocate more than a constant times what is there.

mod checksum;
mod compact;
mod convert;
mod error;
mod export;
mod import;
mod listpack;
mod lzf;
mod payload;
mod read;
mod sink;
mod source;
mod stream;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;

pub(crate) use convert::{fresh, value};
pub use error::RdbError;
pub use export::ExportReport;
pub use import::ImportReport;
pub(crate) use payload::{Refused, dump, restore};

use crate::value::STRING_BYTES_MAX;

/// What a `DUMP` payload decodes to, written anew; for tests of the format.
#[cfg(feature = "test-util")]
#[doc(hidden)]
pub fn transcode(payload: &[u8]) -> Option<Vec<u8>> {
    restore(payload).ok().map(|value| dump(&value))
}

/// As [`transcode`] for a payload without its footer; for fuzzing.
#[cfg(feature = "test-util")]
#[doc(hidden)]
pub fn transcode_body(body: &[u8]) -> Option<Vec<u8>> {
    transcode(&payload::sealed(body.to_vec(), VERSION_MAX))
}

/// Newest version that is read.
const VERSION_MAX: u32 = 12;
/// What is written: Redis 7.0 and everything after it reads that.
const VERSION: u32 = 10;
/// Version that hashes with field deadlines need: Redis 7.4.
const VERSION_FIELD_DEADLINES: u32 = 12;

/// Bytes of a key, element, field or member.
pub(crate) type Text = Vec<u8>;

/// Codes of the value types. Those from [`code::MODULE`] on are found in files only.
mod code {
    pub(super) const STRING: u8 = 0;
    pub(super) const LIST: u8 = 1;
    pub(super) const SET: u8 = 2;
    pub(super) const ZSET_TEXT: u8 = 3;
    pub(super) const HASH: u8 = 4;
    pub(super) const ZSET: u8 = 5;
    pub(super) const MODULE: u8 = 7;
    pub(super) const HASH_ZIPMAP: u8 = 9;
    pub(super) const LIST_ZIPLIST: u8 = 10;
    pub(super) const SET_INTSET: u8 = 11;
    pub(super) const ZSET_ZIPLIST: u8 = 12;
    pub(super) const HASH_ZIPLIST: u8 = 13;
    pub(super) const QUICKLIST: u8 = 14;
    pub(super) const STREAM: u8 = 15;
    pub(super) const HASH_LISTPACK: u8 = 16;
    pub(super) const ZSET_LISTPACK: u8 = 17;
    pub(super) const QUICKLIST_2: u8 = 18;
    pub(super) const STREAM_2: u8 = 19;
    pub(super) const SET_LISTPACK: u8 = 20;
    pub(super) const STREAM_3: u8 = 21;
    pub(super) const HASH_DEADLINES_OLD: u8 = 22;
    pub(super) const HASH_LISTPACK_DEADLINES_OLD: u8 = 23;
    pub(super) const HASH_DEADLINES: u8 = 24;
    pub(super) const HASH_LISTPACK_DEADLINES: u8 = 25;
}

/// A value as the format knows it, independent of how keys hold it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    String(Text),
    List(Vec<Text>),
    Set(Vec<Text>),
    Zset(Vec<(Text, f64)>),
    Hash(Vec<Field>),
    Stream(Box<Stream>),
}

/// A field of a hash; `deadline` in ms since the Unix epoch, 0 without one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: Text,
    pub(crate) value: Text,
    pub(crate) deadline: u64,
}

/// An id in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    pub(crate) ms: u64,
    pub(crate) seq: u64,
}

/// A stream with its consumer groups.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stream {
    /// In ascending order of ids.
    pub(crate) entries: Vec<Entry>,
    pub(crate) last: Id,
    pub(crate) max_deleted: Id,
    pub(crate) added: u64,
    pub(crate) groups: Vec<Group>,
}

/// One entry; the names are shared, because the format says them once for many entries.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) id: Id,
    pub(crate) names: Arc<[Text]>,
    pub(crate) values: Vec<Text>,
}

/// A consumer group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    pub(crate) name: Text,
    pub(crate) last: Id,
    /// Entries read so far, if that is known.
    pub(crate) read: Option<u64>,
    pub(crate) consumers: Vec<Consumer>,
}

/// A consumer and what it has not acknowledged, by id. Times in ms; -1 for never.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Consumer {
    pub(crate) name: Text,
    pub(crate) seen: i64,
    pub(crate) active: i64,
    pub(crate) pending: Vec<Pending>,
}

/// A delivered entry that was not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) id: Id,
    pub(crate) delivered: i64,
    pub(crate) count: u64,
}

impl Value {
    /// Whether a collection has no elements; no key may hold such a value. A stream may be empty.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::List(items) | Self::Set(items) => items.is_empty(),
            Self::Zset(items) => items.is_empty(),
            Self::Hash(fields) => fields.is_empty(),
            Self::String(_) | Self::Stream(_) => false,
        }
    }

    /// The version of the format that can say this value.
    fn version(&self) -> u32 {
        match self {
            Self::Hash(fields) if fields.iter().any(|field| field.deadline != 0) => {
                VERSION_FIELD_DEADLINES
            }
            _ => VERSION,
        }
    }
}
