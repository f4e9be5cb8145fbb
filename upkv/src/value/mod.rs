//! What a key can hold. One file a type; this one only tells them apart.
//!
//! A type brings: its structure, `encode`/`decode` of the whole value, `replay` of its deltas, `undo` of
//! its changes, and its size in memory. Adding one means a file here, a variant in [`Object`] and
//! [`Kind`], and a chapter in `ops`, `command` and `view`.

pub(crate) mod forms;
pub(crate) mod geohash;
pub(crate) mod hash;
pub(crate) mod held;
pub(crate) mod hll;
pub(crate) mod json;
pub(crate) mod list;
pub(crate) mod owned;
pub(crate) mod packed;
pub(crate) mod set;
pub(crate) mod stream;
#[cfg(feature = "test-util")]
pub(crate) mod testing;
pub(crate) mod text;
pub(crate) mod tree;
pub(crate) mod zset;

use std::sync::Arc;

use bytes::Bytes;

use crate::keyspace::block::TEXT_MAX;
use crate::keyspace::table::Hashers;
use hash::Hash;
pub(crate) use held::{Cold, Fresh, Seen, Short};
use json::Json;
use list::List;
use set::Set;
use stream::Stream;
use zset::Zset;

/// Longest key, string, field or member, in bytes (512 MiB, as Redis' `proto-max-bulk-len`).
pub(crate) const STRING_BYTES_MAX: usize = 512 << 20;

/// What a shared string takes beside its bytes: the counter of its owners.
const SHARED_BYTES: usize = 24;

/// The Redis type of a value. The numbers are part of the log format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum Kind {
    /// Bytes or an integer.
    String = 1,
    /// Fields with values.
    Hash = 2,
    /// Members ordered by score.
    Zset = 3,
    /// Elements in order of insertion.
    List = 4,
    /// Distinct members.
    Set = 5,
    /// Entries by id, with consumer groups.
    Stream = 6,
    /// A JSON document.
    Json = 7,
}

impl Kind {
    /// The name that `TYPE` replies.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Hash => "hash",
            Self::Zset => "zset",
            Self::List => "list",
            Self::Set => "set",
            Self::Stream => "stream",
            Self::Json => "ReJSON-RL",
        }
    }

    pub(crate) fn from_u8(value: u8) -> Option<Self> {
        let all = [
            Self::String,
            Self::Hash,
            Self::Zset,
            Self::List,
            Self::Set,
            Self::Stream,
            Self::Json,
        ];
        all.into_iter().find(|kind| *kind as u8 == value)
    }
}

/// The value of one key, or the note that it is only in the log. Texts of middle length are not among them: they are
/// held with their key, see [`Fresh`] and [`Seen`].
#[derive(Debug)]
pub(crate) enum Object {
    /// A string that is the text of an integer.
    Int(i64),
    /// A string of a few bytes.
    Short(Short),
    /// A string that readers share, or that was edited in place.
    Bytes(Box<Bytes>),
    Hash(Box<Hash>),
    Zset(Box<Zset>),
    List(Box<List>),
    Set(Box<Set>),
    Stream(Box<Stream>),
    Json(Box<Json>),
    /// Demoted: the value is at the key's home. See [`Cold`].
    Cold {
        kind: Kind,
        len: u32,
        parts: Option<Box<PartDeadlines>>,
    },
}

/// The deadlines of a value's parts, in ms since the Unix epoch; 0 where there is none.
///
/// Of a value that is cold since recovery and was changed after its image, `first` may be too early and
/// `all` missing; reading the value corrects that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartDeadlines {
    /// When the first part is due.
    pub(crate) first: u64,
    /// When no part is left, if every one has a deadline.
    pub(crate) all: u64,
}

impl PartDeadlines {
    /// Takes the deadline of one more part, 0 without one, into `first`.
    pub(crate) fn note(&mut self, at: u64) {
        if at != 0 && (self.first == 0 || at < self.first) {
            self.first = at;
        }
    }
}

/// What takes one change of a collection back.
#[derive(Debug)]
pub(crate) enum Undo {
    Hash(hash::Undo),
    Zset(zset::Undo),
    List(list::Undo),
    Set(set::Undo),
    Stream(Box<stream::Undo>),
    Json(json::Undo),
    Text(text::Undo),
}

/// What every type of value with parts has.
pub(crate) trait Collection: Sized {
    const KIND: Kind;

    /// An empty one.
    fn create(hashers: &Arc<Hashers>) -> Self;

    fn of(value: Seen<'_>) -> Option<&Self>;

    fn of_mut(object: &mut Object) -> Option<&mut Self>;

    fn into_object(self) -> Object;
}

macro_rules! collection {
    ($($kind:ident)*) => {$(
        impl Collection for $kind {
            const KIND: Kind = Kind::$kind;

            fn create(hashers: &Arc<Hashers>) -> Self {
                Self::new(Arc::clone(hashers))
            }

            fn of(value: Seen<'_>) -> Option<&Self> {
                match value {
                    Seen::Object(Object::$kind(value)) => Some(value),
                    _ => None,
                }
            }

            fn of_mut(object: &mut Object) -> Option<&mut Self> {
                match object {
                    Object::$kind(value) => Some(value),
                    _ => None,
                }
            }

            fn into_object(self) -> Object {
                Object::$kind(Box::new(self))
            }
        }
    )*};
}
collection!(Hash Zset List Set Stream Json);

impl Object {
    /// A string that readers share.
    pub(crate) fn shared(bytes: Bytes) -> Self {
        Self::Bytes(Box::new(bytes))
    }

    /// A string outside of a key, held as an integer when it is the text of one.
    fn string(bytes: &[u8]) -> Self {
        match Fresh::string(bytes) {
            Fresh::Object(object) => object,
            Fresh::Text(text) => Self::shared(Bytes::copy_from_slice(text)),
        }
    }

    /// This value for a key: texts that are short enough are held with it.
    pub(crate) fn fresh(&self) -> Option<Fresh<'_>> {
        match self {
            Self::Bytes(bytes) if bytes.len() <= TEXT_MAX => Some(Fresh::string(bytes)),
            _ => None,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Int(_) | Self::Short(_) | Self::Bytes(_) => Kind::String,
            Self::Hash(_) => Kind::Hash,
            Self::Zset(_) => Kind::Zset,
            Self::List(_) => Kind::List,
            Self::Set(_) => Kind::Set,
            Self::Stream(_) => Kind::Stream,
            Self::Json(_) => Kind::Json,
            Self::Cold { kind, .. } => *kind,
        }
    }

    /// What is known of a value that is only in the log.
    pub(crate) fn cold(&self) -> Option<Cold> {
        match self {
            Self::Cold { kind, len, .. } => Some(Cold {
                kind: *kind,
                len: *len,
                parts: self.parts(),
            }),
            _ => None,
        }
    }

    /// The deadlines of its parts.
    pub(crate) fn parts(&self) -> PartDeadlines {
        match self {
            Self::Hash(hash) => hash.part_deadlines(),
            Self::Cold { parts, .. } => parts.as_deref().copied().unwrap_or_default(),
            _ => PartDeadlines::default(),
        }
    }

    /// Whether a collection has no elements; such a key must not exist.
    pub(crate) fn is_empty_collection(&self) -> bool {
        match self {
            Self::Hash(hash) => hash.len() == 0,
            Self::Zset(zset) => zset.len() == 0,
            Self::List(list) => list.len() == 0,
            Self::Set(set) => set.len() == 0,
            // A stream stays when its last entry goes, and an empty document is a value.
            Self::Stream(_)
            | Self::Json(_)
            | Self::Int(_)
            | Self::Short(_)
            | Self::Bytes(_)
            | Self::Cold { .. } => false,
        }
    }

    /// Bytes the value keeps in memory beside its slot.
    pub(crate) fn memory(&self) -> usize {
        match self {
            Self::Int(_) | Self::Short(_) => 0,
            Self::Cold { parts, .. } => parts.as_ref().map_or(0, |_| size_of::<PartDeadlines>()),
            Self::Bytes(bytes) => size_of::<Bytes>() + SHARED_BYTES + bytes.len(),
            Self::Hash(hash) => hash.memory(),
            Self::Zset(zset) => zset.memory(),
            Self::List(list) => list.memory(),
            Self::Set(set) => set.memory(),
            Self::Stream(stream) => stream.memory(),
            Self::Json(json) => json.memory(),
        }
    }

    /// Rebuilds a value from an image payload; `None` when it is malformed.
    pub(crate) fn decode(kind: Kind, hashers: &Arc<Hashers>, payload: &[u8]) -> Option<Self> {
        let hashers = Arc::clone(hashers);
        match kind {
            Kind::String => Some(Self::string(payload)),
            Kind::Hash => Hash::decode(hashers, payload).map(Collection::into_object),
            Kind::Zset => Zset::decode(hashers, payload).map(Collection::into_object),
            Kind::List => List::decode(hashers, payload).map(Collection::into_object),
            Kind::Set => Set::decode(hashers, payload).map(Collection::into_object),
            Kind::Stream => Stream::decode(hashers, payload).map(Collection::into_object),
            Kind::Json => Json::decode(hashers, payload).map(Collection::into_object),
        }
    }

    /// Replays a delta record; `None` when it is malformed or of another type.
    pub(crate) fn replay(&mut self, delta: &[u8]) -> Option<()> {
        match self {
            Self::Hash(hash) => hash.replay(delta),
            Self::Zset(zset) => zset.replay(delta),
            Self::List(list) => list.replay(delta),
            Self::Set(set) => set.replay(delta),
            Self::Stream(stream) => stream.replay(delta),
            Self::Json(json) => json.replay(delta),
            Self::Bytes(value) => text::replay(value, delta),
            Self::Int(_) | Self::Short(_) | Self::Cold { .. } => None,
        }
    }

    /// Takes one change back.
    pub(crate) fn undo(&mut self, undo: &Undo) {
        match (self, undo) {
            (Self::Hash(hash), Undo::Hash(undo)) => hash.undo(undo),
            (Self::Zset(zset), Undo::Zset(undo)) => zset.undo(undo),
            (Self::List(list), Undo::List(undo)) => list.undo(undo),
            (Self::Set(set), Undo::Set(undo)) => set.undo(undo),
            (Self::Stream(stream), Undo::Stream(undo)) => stream.undo(undo),
            (Self::Json(json), Undo::Json(undo)) => json.undo(undo),
            (Self::Bytes(value), Undo::Text(undo)) => text::undo(value, undo),
            _ => unreachable!("a change is undone on the value it was made on"),
        }
    }
}
