//! Digests of keys and values, computed as Redis computes those of `DEBUG DIGEST`, so that two databases can be compared.
//!
//! A digest is 20 bytes. What has an order is mixed in, what has none is added without one: equal content has equal
//! digests whatever the encoding. Consumer groups of streams are not part of it.

use super::{keys, string};
use crate::error::Result;
use crate::keyspace::engine::DATABASES;
use crate::keyspace::work::Work;
use crate::rdb::{self, Value};
use crate::sha1::sha1;
use crate::value::Seen;

/// What stands for the content of keys or values.
pub(crate) type Digest = [u8; 20];

/// Adds something of which the order does not matter.
fn add(digest: &mut Digest, bytes: &[u8]) {
    for (byte, other) in digest.iter_mut().zip(sha1(bytes)) {
        *byte ^= other;
    }
}

/// Adds something that comes after what was added before.
fn mix(digest: &mut Digest, bytes: &[u8]) {
    add(digest, bytes);
    *digest = sha1(&digest[..]);
}

/// Of all databases.
pub(crate) fn digest_of_all(work: &mut Work<'_>) -> Result<Digest> {
    let mut all = Digest::default();
    for db in 0..DATABASES {
        work.at_db(db, |work| {
            let names = keys::matching(work, b"*")?;
            if !names.is_empty() {
                mix(&mut all, &u32::from(db).to_be_bytes());
            }
            for name in names {
                let mut digest = Digest::default();
                mix(&mut digest, &name);
                if add_value(work, &name, &mut digest)? {
                    add(&mut all, &digest);
                }
            }
            Ok(())
        })?;
    }
    Ok(all)
}

/// Of one value; `None` without one.
pub(crate) fn digest_of_value(work: &mut Work<'_>, key: &[u8]) -> Result<Option<Digest>> {
    let mut digest = Digest::default();
    Ok(add_value(work, key, &mut digest)?.then_some(digest))
}

fn add_value(work: &mut Work<'_>, key: &[u8], digest: &mut Digest) -> Result<bool> {
    let now = work.now;
    let found = work.quietly(|work| -> Result<bool> {
        let Some(seen) = work.value(key)? else {
            return Ok(false);
        };
        match rdb::value(seen, now) {
            Ok(value) if value.is_empty() => return Ok(false),
            Ok(value) => add_known(&value, digest),
            Err(_) => add_other(seen, digest),
        }
        Ok(true)
    })?;
    if found && string::expire_at(work, key)? != 0 {
        add(digest, b"!!expire!!");
    }
    Ok(found)
}

fn add_known(value: &Value, digest: &mut Digest) {
    let kind: u32 = match value {
        Value::String(_) => 0,
        Value::List(_) => 1,
        Value::Set(_) => 2,
        Value::Zset(_) => 3,
        Value::Hash(_) => 4,
        Value::Stream(_) => 6,
    };
    mix(digest, &kind.to_be_bytes());
    match value {
        Value::String(text) => mix(digest, text),
        Value::List(elements) => elements.iter().for_each(|element| mix(digest, element)),
        Value::Set(members) => members.iter().for_each(|member| add(digest, member)),
        Value::Zset(members) => {
            for (member, score) in members {
                let mut pair = Digest::default();
                mix(&mut pair, member);
                mix(&mut pair, score_text(*score).as_bytes());
                add(digest, &pair);
            }
        }
        Value::Hash(fields) => {
            for field in fields {
                let mut pair = Digest::default();
                mix(&mut pair, &field.name);
                mix(&mut pair, &field.value);
                if field.deadline != 0 {
                    add(&mut pair, b"!!hexpire!!");
                }
                add(digest, &pair);
            }
        }
        Value::Stream(stream) => {
            for entry in &stream.entries {
                mix(
                    digest,
                    format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes(),
                );
                for (name, value) in entry.names.iter().zip(&entry.values) {
                    mix(digest, name);
                    mix(digest, value);
                }
            }
        }
    }
}

/// Types that Redis has no digest for.
fn add_other(value: Seen<'_>, digest: &mut Digest) {
    mix(digest, &5_u32.to_be_bytes());
    mix(digest, &value.encode());
}

/// A score with 17 significant digits, the shorter way of the plain and the scientific one, as `%.17g` of C has it.
fn score_text(score: f64) -> String {
    if !score.is_finite() {
        return if score.is_nan() {
            "nan"
        } else if score > 0.0 {
            "inf"
        } else {
            "-inf"
        }
        .to_owned();
    }
    let text = format!("{score:.16e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |digits: &str| {
        let short = if digits.contains('.') {
            digits.trim_end_matches('0').trim_end_matches('.')
        } else {
            digits
        };
        short.to_owned()
    };
    if (-4..17).contains(&exponent) {
        let decimals = usize::try_from(16 - exponent).unwrap_or(0);
        return trimmed(&format!("{score:.decimals$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(digits), exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_written_as_c_writes_them() {
        for (score, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (2.5, "2.5"),
            (0.1, "0.10000000000000001"),
            (1e17, "1e+17"),
            (1e16, "10000000000000000"),
            (123_456_789.125, "123456789.125"),
            (1e-5, "1.0000000000000001e-05"),
            (0.0001, "0.0001"),
            (1e300, "1.0000000000000001e+300"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(score_text(score), text);
        }
    }
}
