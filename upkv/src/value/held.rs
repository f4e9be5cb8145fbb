//! Values at their keys: what is put there, what is seen there, and the forms of strings.
//!
//! | string | held as |
//! |---|---|
//! | the text of an integer | the integer |
//! | up to 14 bytes | [`Short`], in the place of a pointer |
//! | up to [`TEXT_MAX`] | text behind the key, in its allocation |
//! | longer, or edited in place | [`Object::Bytes`], which readers share |

use std::borrow::Cow;
use std::ops::Deref;

use bytes::Bytes;

use super::{Kind, Object, PartDeadlines};
use crate::keyspace::block::TEXT_MAX;
use crate::number;

/// What is known of a value that is only in the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cold {
    pub(crate) kind: Kind,
    /// Bytes of the image's payload, or of a string as later changes left it.
    pub(crate) len: u32,
    pub(crate) parts: PartDeadlines,
}

impl From<Cold> for Object {
    fn from(Cold { kind, len, parts }: Cold) -> Self {
        let parts = (parts != PartDeadlines::default()).then(|| Box::new(parts));
        Self::Cold { kind, len, parts }
    }
}

/// A string that needs no allocation of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Short {
    len: u8,
    bytes: [u8; Self::MAX],
}

impl Short {
    /// With its length and the mark of the variant it makes 16 bytes.
    const MAX: usize = 14;

    fn new(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        let len = u8::try_from(text.len()).ok()?;
        Some(Self { len, bytes })
    }
}

impl Deref for Short {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len).min(Self::MAX)]
    }
}

/// A value that is about to become that of a key.
#[derive(Debug)]
pub(crate) enum Fresh<'v> {
    /// A text that will be held with its key.
    Text(&'v [u8]),
    Object(Object),
}

impl<'v> Fresh<'v> {
    /// A string, held as an integer when it is the text of one.
    pub(crate) fn string(bytes: &'v [u8]) -> Self {
        if let Some(value) = number::parse_i64(bytes).filter(|_| bytes.len() <= 20) {
            return Self::Object(Object::Int(value));
        }
        Self::plain(bytes)
    }

    /// A string that is not held as an integer, whatever it looks like.
    pub(crate) fn plain(bytes: &'v [u8]) -> Self {
        if let Some(short) = Short::new(bytes) {
            return Self::Object(Object::Short(short));
        }
        if bytes.len() <= TEXT_MAX {
            Self::Text(bytes)
        } else {
            Self::Object(Object::shared(Bytes::copy_from_slice(bytes)))
        }
    }

    /// Whether it is a collection without elements; such a key must not exist.
    pub(crate) fn is_empty_collection(&self) -> bool {
        match self {
            Self::Text(_) => false,
            Self::Object(object) => object.is_empty_collection(),
        }
    }

    /// What is to be held with the key; empty for all else.
    pub(crate) fn text(&self) -> &'v [u8] {
        match self {
            Self::Text(text) => text,
            Self::Object(_) => &[],
        }
    }
}

impl Fresh<'_> {
    pub(crate) fn seen(&self) -> Seen<'_> {
        match self {
            Self::Text(text) => Seen::Text(text),
            Self::Object(object) => Seen::Object(object),
        }
    }
}

impl From<Object> for Fresh<'_> {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

/// The value of a key as readers see it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen<'e> {
    Text(&'e [u8]),
    Object(&'e Object),
}

impl<'e> Seen<'e> {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Text(_) => Kind::String,
            Self::Object(object) => object.kind(),
        }
    }

    /// The value, unless it is a text that is held with its key.
    pub(crate) fn object(self) -> Option<&'e Object> {
        match self {
            Self::Text(_) => None,
            Self::Object(object) => Some(object),
        }
    }

    /// What is known of a value that is only in the log.
    pub(crate) fn cold(self) -> Option<Cold> {
        self.object().and_then(Object::cold)
    }

    pub(crate) fn is_cold(self) -> bool {
        self.cold().is_some()
    }

    /// The deadlines of its parts.
    pub(crate) fn parts(self) -> PartDeadlines {
        self.object().map(Object::parts).unwrap_or_default()
    }

    /// Bytes the value keeps in memory beside its key's allocation.
    pub(crate) fn memory(self) -> usize {
        self.object().map_or(0, Object::memory)
    }

    /// A string as text, made in `digits` if it is a number; `None` for other types. The value must not be cold.
    pub(crate) fn text(self, digits: &'e mut itoa::Buffer) -> Option<&'e [u8]> {
        match self {
            Self::Text(text) => Some(text),
            Self::Object(Object::Int(value)) => Some(digits.format(*value).as_bytes()),
            Self::Object(Object::Short(text)) => Some(text),
            Self::Object(Object::Bytes(bytes)) => Some(bytes),
            Self::Object(_) => None,
        }
    }

    /// The bytes of a string; `None` for other types. The value must not be cold.
    pub(crate) fn string_bytes(self) -> Option<Bytes> {
        match self {
            Self::Object(Object::Bytes(bytes)) => Some(Bytes::clone(bytes)),
            other => other
                .text(&mut itoa::Buffer::new())
                .map(Bytes::copy_from_slice),
        }
    }

    /// Bytes of a string; `None` for other types.
    pub(crate) fn string_len(self) -> Option<usize> {
        match self {
            Self::Object(Object::Cold {
                kind: Kind::String,
                len,
                ..
            }) => Some(*len as usize),
            other => other.text(&mut itoa::Buffer::new()).map(<[u8]>::len),
        }
    }

    /// The payload of the value's image record. The value must not be cold.
    pub(crate) fn encode(self) -> Cow<'e, [u8]> {
        let object = match self {
            Self::Text(text) => return Cow::Borrowed(text),
            Self::Object(object) => object,
        };
        let mut out = Vec::new();
        match object {
            Object::Int(value) => {
                out.extend_from_slice(itoa::Buffer::new().format(*value).as_bytes());
            }
            Object::Short(text) => return Cow::Borrowed(text),
            Object::Bytes(bytes) => return Cow::Borrowed(bytes),
            Object::Hash(hash) => hash.encode(&mut out),
            Object::Zset(zset) => zset.encode(&mut out),
            Object::List(list) => list.encode(&mut out),
            Object::Set(set) => set.encode(&mut out),
            Object::Stream(stream) => stream.encode(&mut out),
            Object::Json(json) => json.encode(&mut out),
            Object::Cold { .. } => unreachable!("a cold value is in the log already"),
        }
        Cow::Owned(out)
    }
}
