//! What a command answers, before it is written in one protocol or another.

use crate::error::Error;
use crate::number;
use crate::value::owned::Value;

/// The answer of a command.
///
/// Maps and pairs keep their structure, so that a server can write RESP2 (flat) or RESP3.
///
/// # Examples
///
/// ```
/// use upkv::{Db, Reply, Store};
/// let db = Db::mount(&Store::memory()?, "cache")?;
/// assert_eq!(db.command(["SET", "a", "41"])?, Reply::Status("OK"));
/// let reply = db.command(["INCR", "a"])?;
/// assert_eq!(reply, Reply::Int(42));
/// let mut wire = Vec::new();
/// reply.write_resp2(&mut wire);
/// assert_eq!(wire, b":42\r\n");
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reply {
    /// No value.
    Null,
    /// No array; RESP2 tells it from [`Reply::Null`].
    NullArray,
    /// A fixed word such as `OK`.
    Status(&'static str),
    /// An integer.
    Int(i64),
    /// A score; a string in RESP2.
    Double(f64),
    /// A number written in decimal with digits of its own; a string in RESP2.
    Decimal(String),
    /// Bytes.
    Bulk(Value),
    /// A list.
    Array(Vec<Reply>),
    /// Keys with values; a flat list in RESP2.
    Map(Vec<(Reply, Reply)>),
    /// A list of pairs; a flat list in RESP2.
    Pairs(Vec<(Reply, Reply)>),
    /// Keys with values; a list of pairs in RESP2.
    Keyed(Vec<(Reply, Reply)>),
    /// Distinct items in no order; a list in RESP2.
    Set(Vec<Reply>),
    /// Something the client did not ask for, such as a message; a list in RESP2.
    Push(Vec<Reply>),
    /// Text to be shown as it is; bytes in RESP2.
    Verbatim(String),
    /// A word that is not fixed, such as what a script answers.
    Text(String),
    /// A truth value; 1 or 0 in RESP2.
    Bool(bool),
    /// An integer of any size, in decimal; bytes in RESP2.
    BigNumber(String),
    /// A command inside a transaction failed with this line.
    Error(String),
    /// A reply with facts about it, which only RESP3 tells.
    Attributed(Vec<(Reply, Reply)>, Box<Reply>),
    /// Several replies, one after the other, or none: what commands answer that do so once per channel.
    Sequence(Vec<Reply>),
}

impl Reply {
    pub(crate) const OK: Self = Self::Status("OK");

    pub(crate) fn bulk(bytes: impl Into<Value>) -> Self {
        Self::Bulk(bytes.into())
    }

    pub(crate) fn bulk_copy(bytes: &[u8]) -> Self {
        Self::Bulk(Value::copy(bytes))
    }

    pub(crate) fn bulk_or_null(bytes: Option<impl Into<Value>>) -> Self {
        bytes.map_or(Self::Null, Self::bulk)
    }

    pub(crate) fn count(count: usize) -> Self {
        Self::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }

    pub(crate) fn flag(flag: bool) -> Self {
        Self::Int(i64::from(flag))
    }

    /// What a scan step answers: the next cursor, 0 after the last step, and the items.
    pub(crate) fn scanned(next: Option<u64>, items: Vec<Self>) -> Self {
        Self::Array(vec![
            Self::bulk(next.unwrap_or(0).to_string()),
            Self::Array(items),
        ])
    }

    /// Appends the reply in RESP2, the protocol every Redis client understands.
    pub fn write_resp2(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"$-1\r\n"),
            Self::NullArray => out.extend_from_slice(b"*-1\r\n"),
            Self::Status(word) => line(out, b'+', word),
            Self::Int(value) => line(out, b':', &value.to_string()),
            Self::Double(value) => bulk(out, number::format_f64(*value).as_bytes()),
            Self::Bulk(value) => bulk(out, value),
            Self::Error(text) => line(out, b'-', text.trim_end_matches(['\r', '\n'])),
            Self::Text(text) => line(out, b'+', text),
            Self::Decimal(text) | Self::Verbatim(text) | Self::BigNumber(text) => {
                bulk(out, text.as_bytes());
            }
            Self::Bool(value) => line(out, b':', if *value { "1" } else { "0" }),
            Self::Array(items) | Self::Set(items) | Self::Push(items) => {
                line(out, b'*', &count(items).to_string());
                for item in items {
                    item.write_resp2(out);
                }
            }
            Self::Sequence(replies) => replies.iter().for_each(|reply| reply.write_resp2(out)),
            Self::Attributed(_, reply) => reply.write_resp2(out),
            Self::Keyed(pairs) => {
                line(out, b'*', &pairs.len().to_string());
                for (key, value) in pairs {
                    line(out, b'*', "2");
                    key.write_resp2(out);
                    value.write_resp2(out);
                }
            }
            Self::Map(pairs) | Self::Pairs(pairs) => {
                line(out, b'*', &(pairs.len() * 2).to_string());
                for (key, value) in pairs {
                    key.write_resp2(out);
                    value.write_resp2(out);
                }
            }
        }
    }

    /// Appends the reply in RESP3, which tells maps, sets, doubles and nulls apart.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::{Db, Store};
    /// let db = Db::mount(&Store::memory()?, "cache")?;
    /// db.command(["HSET", "user", "name", "ada"])?;
    /// let mut wire = Vec::new();
    /// db.command(["HGETALL", "user"])?.write_resp3(&mut wire);
    /// assert_eq!(wire, b"%1\r\n$4\r\nname\r\n$3\r\nada\r\n");
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn write_resp3(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null | Self::NullArray => out.extend_from_slice(b"_\r\n"),
            Self::Double(value) => line(out, b',', &number::format_f64(*value)),
            Self::Decimal(text) => line(out, b',', text),
            Self::Bool(value) => line(out, b'#', if *value { "t" } else { "f" }),
            Self::BigNumber(digits) => line(out, b'(', digits),
            Self::Verbatim(text) => {
                line(out, b'=', &(text.len() + 4).to_string());
                out.extend_from_slice(b"txt:");
                out.extend_from_slice(text.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            Self::Array(items) => items_resp3(out, b'*', items),
            Self::Set(items) => items_resp3(out, b'~', items),
            Self::Push(items) => items_resp3(out, b'>', items),
            Self::Map(pairs) | Self::Keyed(pairs) => {
                line(out, b'%', &pairs.len().to_string());
                for (key, value) in pairs {
                    key.write_resp3(out);
                    value.write_resp3(out);
                }
            }
            Self::Pairs(pairs) => {
                line(out, b'*', &pairs.len().to_string());
                for (key, value) in pairs {
                    line(out, b'*', "2");
                    key.write_resp3(out);
                    value.write_resp3(out);
                }
            }
            Self::Sequence(replies) => replies.iter().for_each(|reply| reply.write_resp3(out)),
            Self::Attributed(facts, reply) => {
                line(out, b'|', &facts.len().to_string());
                for (name, value) in facts {
                    name.write_resp3(out);
                    value.write_resp3(out);
                }
                reply.write_resp3(out);
            }
            Self::Status(_) | Self::Int(_) | Self::Bulk(_) | Self::Text(_) | Self::Error(_) => {
                self.write_resp2(out);
            }
        }
    }
}

fn items_resp3(out: &mut Vec<u8>, kind: u8, items: &[Reply]) {
    line(out, kind, &count(items).to_string());
    for item in items {
        item.write_resp3(out);
    }
}

/// Number of replies among the items of a list.
fn count(items: &[Reply]) -> usize {
    let count = |item: &Reply| match item {
        Reply::Sequence(replies) => replies.len(),
        _ => 1,
    };
    items.iter().map(count).sum()
}

impl From<&Error> for Reply {
    fn from(error: &Error) -> Self {
        Self::Error(error.reply_line())
    }
}

/// One line; breaks inside would end it early.
fn line(out: &mut Vec<u8>, kind: u8, text: &str) {
    out.push(kind);
    let start = out.len();
    out.extend_from_slice(text.as_bytes());
    for byte in &mut out[start..] {
        if matches!(*byte, b'\r' | b'\n') {
            *byte = b' ';
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    line(out, b'$', &bytes.len().to_string());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}
