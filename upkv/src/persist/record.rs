//! Record bodies of the key-value engine, byte by byte.
//!
//! Numbers are little-endian; `key` is a varint length and the key's bytes, except where it ends the body.
//!
//! | kind | body |
//! |---|---|
//! | 1 image | type u8, flags u8 (bit 0: has a deadline), deadline u64 if so, `key`, payload of the type |
//! | 2 delta | type u8, `key`, changes of the type |
//! | 3 delete | key |
//! | 4 expire | deadline u64 (0: none any more), key |
//! | 5 flush | one zero byte |
//! | 6 swap | the two databases that change places, u8 each, as their users number them |
//! | 7 library | name of a library of functions with a varint length, then its code; no code: removed |
//!
//! The high four bits of the record's kind are the database, as the log numbers it; 0 for swaps and libraries.
//!
//! Payloads: a string is its bytes; a sorted set is its form (u8, 1: the large one), a varint count, then score
//! (f64 bits) and member with a varint length, in order; its changes are 1 set (same layout as one element)
//! or 2 remove (member). A change of a string is a varint position, a varint number of bytes that go, and the
//! bytes that come, with a varint length; a gap before the position is filled with zeros. Payload and changes of a hash are in the tables of [`crate::value::hash`]'s codec,
//! those of a document in [`crate::value::json`]'s.
//!
//! Invariant: no body makes [`Body::parse`] panic or allocate.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::keyspace::engine::DATABASES;
use crate::storage::{Error, Frame, Mount, Record, Result};
use crate::value::packed::{self, Walk};
use crate::value::{Kind, Object, Seen};

pub(crate) const IMAGE: u8 = 1;
pub(crate) const DELTA: u8 = 2;
pub(crate) const DELETE: u8 = 3;
pub(crate) const EXPIRE: u8 = 4;
pub(crate) const FLUSH: u8 = 5;
pub(crate) const SWAP: u8 = 6;
pub(crate) const LIBRARY: u8 = 7;

/// Bits of a record's kind that tell the kind; the others are the database.
const KIND_BITS: u32 = 4;

const HAS_DEADLINE: u8 = 1;

/// A decoded record body.
#[derive(Debug, PartialEq)]
pub(crate) enum Body<'b> {
    Image {
        kind: Kind,
        expire_at: u64,
        key: &'b [u8],
        payload: &'b [u8],
    },
    Delta {
        kind: Kind,
        key: &'b [u8],
        changes: &'b [u8],
    },
    Delete {
        key: &'b [u8],
    },
    Expire {
        expire_at: u64,
        key: &'b [u8],
    },
    Flush,
    Swap {
        a: u8,
        b: u8,
    },
    /// Functions; without code the library is gone.
    Library {
        name: &'b [u8],
        code: &'b [u8],
    },
}

/// Kind and database of a record.
pub(crate) fn split_kind(kind: u8) -> (u8, u8) {
    (kind & ((1 << KIND_BITS) - 1), kind >> KIND_BITS)
}

fn in_db(kind: u8, db: u8) -> u8 {
    debug_assert!(db < DATABASES, "databases fit into four bits");
    kind | db << KIND_BITS
}

impl<'b> Body<'b> {
    pub(crate) fn parse(kind: u8, body: &'b [u8]) -> Option<Self> {
        let mut walk = Walk::new(body);
        Some(match split_kind(kind).0 {
            IMAGE => {
                let kind = Kind::from_u8(walk.u8()?)?;
                let expire_at = match walk.u8()? {
                    0 => 0,
                    HAS_DEADLINE => walk.u64()?,
                    _ => return None,
                };
                Self::Image {
                    kind,
                    expire_at,
                    key: walk.bytes()?,
                    payload: walk.rest(),
                }
            }
            DELTA => {
                let kind = Kind::from_u8(walk.u8()?)?;
                Self::Delta {
                    kind,
                    key: walk.bytes()?,
                    changes: walk.rest(),
                }
            }
            DELETE => Self::Delete { key: body },
            EXPIRE => Self::Expire {
                expire_at: walk.u64()?,
                key: walk.rest(),
            },
            FLUSH => Self::Flush,
            SWAP => {
                let (a, b) = (walk.u8()?, walk.u8()?);
                if a >= DATABASES || b >= DATABASES {
                    return None;
                }
                Self::Swap { a, b }
            }
            LIBRARY => Self::Library {
                name: walk.bytes()?,
                code: walk.rest(),
            },
            _ => return None,
        })
    }

    /// As [`Body::parse`], with the damage named.
    pub(crate) fn of(record: &Record<'b>) -> Result<Self> {
        Self::parse(record.kind, record.body)
            .ok_or_else(|| damaged(record, "malformed key-value record"))
    }
}

/// The error for a record that passed its checksum but makes no sense.
#[cold]
pub(crate) fn damaged(record: &Record<'_>, what: &str) -> Error {
    let file = format!("segment {}", record.address.segment);
    Error::corrupt(
        file,
        u64::from(record.address.offset),
        format!("{what} of kind {}", record.kind),
    )
}

/// Pushes a whole value; its index in the frame.
pub(crate) fn push_image(
    frame: &mut Frame,
    mount: &Mount,
    db: u8,
    key: &[u8],
    expire_at: u64,
    value: Seen<'_>,
) -> usize {
    if let Seen::Object(Object::Bytes(bytes)) = value {
        let mut head = image_head(Kind::String, expire_at, key);
        head.extend_from_slice(key);
        return frame.push_shared(mount, in_db(IMAGE, db), &head, Bytes::clone(bytes));
    }
    push_payload(
        frame,
        mount,
        db,
        key,
        expire_at,
        value.kind(),
        &value.encode(),
    )
}

/// Pushes a string or collection payload that is known as bytes; its index in the frame.
pub(crate) fn push_payload(
    frame: &mut Frame,
    mount: &Mount,
    db: u8,
    key: &[u8],
    expire_at: u64,
    kind: Kind,
    payload: &[u8],
) -> usize {
    let at = in_db(IMAGE, db);
    frame.push(
        mount,
        at,
        &[&image_head(kind, expire_at, key), key, payload],
    )
}

/// What comes before a key; no list on the heap for so few bytes.
type Head = SmallVec<[u8; 16]>;

fn image_head(kind: Kind, expire_at: u64, key: &[u8]) -> Head {
    let mut head = Head::new();
    head.push(kind as u8);
    if expire_at == 0 {
        head.push(0);
    } else {
        head.push(HAS_DEADLINE);
        head.extend_from_slice(&expire_at.to_le_bytes());
    }
    packed::put_len(&mut head, key.len());
    head
}

pub(crate) fn push_delta(
    frame: &mut Frame,
    mount: &Mount,
    db: u8,
    kind: Kind,
    key: &[u8],
    changes: &[u8],
) -> usize {
    let mut head = Head::new();
    head.push(kind as u8);
    packed::put_len(&mut head, key.len());
    frame.push(mount, in_db(DELTA, db), &[&head, key, changes])
}

pub(crate) fn push_delete(frame: &mut Frame, mount: &Mount, db: u8, key: &[u8]) -> usize {
    frame.push(mount, in_db(DELETE, db), &[key])
}

pub(crate) fn push_expire(
    frame: &mut Frame,
    mount: &Mount,
    db: u8,
    key: &[u8],
    expire_at: u64,
) -> usize {
    frame.push(mount, in_db(EXPIRE, db), &[&expire_at.to_le_bytes(), key])
}

pub(crate) fn push_flush(frame: &mut Frame, mount: &Mount, db: u8) -> usize {
    frame.push(mount, in_db(FLUSH, db), &[&[0]])
}

pub(crate) fn push_swap(frame: &mut Frame, mount: &Mount, a: u8, b: u8) -> usize {
    frame.push(mount, SWAP, &[&[a, b]])
}

/// Pushes a library of functions; without code it is removed.
pub(crate) fn push_library(frame: &mut Frame, mount: &Mount, name: &[u8], code: &[u8]) -> usize {
    let mut head = Vec::with_capacity(packed::put_size(name.len()));
    packed::put(&mut head, name);
    frame.push(mount, LIBRARY, &[&head, code])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let mut image = image_head(Kind::String, 0x0102, b"k");
        image.extend_from_slice(b"kv");
        assert_eq!(image[..], [1, 1, 2, 1, 0, 0, 0, 0, 0, 0, 1, b'k', b'v']);
        assert_eq!(
            Body::parse(IMAGE, &image),
            Some(Body::Image {
                kind: Kind::String,
                expire_at: 0x0102,
                key: b"k",
                payload: b"v"
            })
        );
        assert_eq!(image_head(Kind::Hash, 0, b"ab")[..], [2, 0, 2]);
        assert_eq!(
            Body::parse(DELTA, &[3, 1, b'z', 2, 1, b'm']),
            Some(Body::Delta {
                kind: Kind::Zset,
                key: b"z",
                changes: &[2, 1, b'm']
            })
        );
        assert_eq!(
            Body::parse(EXPIRE, &[5, 0, 0, 0, 0, 0, 0, 0, b'k']),
            Some(Body::Expire {
                expire_at: 5,
                key: b"k"
            })
        );
    }

    #[test]
    fn malformed_bodies_are_refused() {
        for (kind, body) in [
            (LIBRARY, &[200, b'k'][..]),
            (IMAGE, &[99, 0, 1, b'k']),
            (IMAGE, &[1, 7, 1, b'k']),
            (IMAGE, &[1, 1, 2]),
            (IMAGE, &[1, 0, 200, b'k']),
            (DELTA, &[2]),
            (EXPIRE, &[1, 2, 3]),
            (79, &[1]),
            (IMAGE, &[]),
        ] {
            assert_eq!(Body::parse(kind, body), None, "{kind} {body:?}");
        }
    }
}
