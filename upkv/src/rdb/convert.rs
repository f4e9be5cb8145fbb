//! Between values of the format and what keys hold.

use std::sync::Arc;

use super::{Field, Value};
use crate::keyspace::table::Hashers;
use crate::value::hash::Hash;
use crate::value::zset::Zset;
use crate::value::{Collection, Kind, Object};

/// What a key holds at `now`, without overdue fields; the type of a value the format cannot say.
/// The object must not be cold.
pub(crate) fn value(object: &Object, now: u64) -> Result<Value, Kind> {
    Ok(match object {
        Object::Int(number) => Value::String(number.to_string().into_bytes()),
        Object::Bytes(bytes) => Value::String(bytes.to_vec()),
        Object::Hash(hash) => {
            let field = |(name, value): (&[u8], &[u8])| Field {
                name: name.to_vec(),
                value: value.to_vec(),
                deadline: hash.deadline(name),
            };
            Value::Hash(hash.live(now).iter().map(field).collect())
        }
        Object::Zset(zset) => {
            let items = zset.iter(0..usize::MAX);
            Value::Zset(
                items
                    .map(|item| (item.member.to_vec(), item.score))
                    .collect(),
            )
        }
        other => return Err(other.kind()),
    })
}

/// What a key has to hold for a value, without fields that are overdue at `now`, so it may be an empty
/// collection; the type of a value that keys cannot hold.
pub(crate) fn object(value: &Value, hashers: &Arc<Hashers>, now: u64) -> Result<Object, Kind> {
    Ok(match value {
        Value::String(text) => Object::string(text),
        Value::Hash(fields) => {
            let mut hash = Hash::create(hashers);
            for field in fields {
                if field.deadline == 0 || field.deadline > now {
                    hash.set(&field.name, &field.value);
                    hash.set_deadline(&field.name, field.deadline);
                }
            }
            hash.into_object()
        }
        Value::Zset(members) => {
            let mut zset = Zset::create(hashers);
            for (member, score) in members {
                zset.set(member, *score);
            }
            zset.into_object()
        }
        Value::List(_) => return Err(Kind::List),
        Value::Set(_) => return Err(Kind::Set),
        Value::Stream(_) => return Err(Kind::Stream),
    })
}
