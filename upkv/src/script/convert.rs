//! Values between Lua and replies.

use mlua::{Lua, Table, Value};

use super::meter::Meter;
use super::number::truncate;
use crate::command::Reply;
use crate::number::format_f64;

/// Deepest nesting of a reply that a script returns.
const DEPTH_MAX: usize = 200;
/// Bytes that an item of a reply is counted with.
const ITEM_BYTES: usize = size_of::<Reply>();

/// A reply as a script sees it, in the protocol it chose.
pub(super) fn to_lua(lua: &Lua, meter: &Meter, proto: u8, reply: &Reply) -> mlua::Result<Value> {
    if !meter.spend(1) {
        return Err(mlua::Error::runtime("stopped"));
    }
    let text = |text: &[u8]| lua.create_string(text).map(Value::String);
    let named = |name: &str, value: Value| {
        let table = lua.create_table_with_capacity(0, 1)?;
        table.raw_set(name, value)?;
        Ok(Value::Table(table))
    };
    let nested = |reply: &Reply| to_lua(lua, meter, proto, reply);
    let modern = proto == 3;
    match reply {
        Reply::Null | Reply::NullArray if modern => Ok(Value::Nil),
        Reply::Null | Reply::NullArray => Ok(Value::Boolean(false)),
        Reply::Status(word) => named("ok", text(word.as_bytes())?),
        Reply::Text(word) => named("ok", text(word.as_bytes())?),
        Reply::Error(line) => named("err", text(line.as_bytes())?),
        Reply::Attributed(_, reply) => nested(reply),
        #[expect(clippy::cast_precision_loss, reason = "numbers of Lua are doubles")]
        Reply::Int(value) => Ok(Value::Number(*value as f64)),
        Reply::Double(value) if modern => named("double", Value::Number(*value)),
        Reply::Double(value) => text(format_f64(*value).as_bytes()),
        Reply::Decimal(digits) if modern => match digits.parse() {
            Ok(value) => named("double", Value::Number(value)),
            Err(_) => text(digits.as_bytes()),
        },
        Reply::Decimal(digits) => text(digits.as_bytes()),
        Reply::Bulk(bytes) => text(bytes),
        Reply::Bool(value) if modern => Ok(Value::Boolean(*value)),
        Reply::Bool(value) => Ok(Value::Integer(i64::from(*value))),
        Reply::BigNumber(digits) if modern => named("big_number", text(digits.as_bytes())?),
        Reply::Verbatim(string) if modern => {
            let table = lua.create_table()?;
            table.raw_set("format", "txt")?;
            table.raw_set("string", text(string.as_bytes())?)?;
            named("verbatim_string", Value::Table(table))
        }
        Reply::BigNumber(string) | Reply::Verbatim(string) => text(string.as_bytes()),
        Reply::Set(items) if modern => {
            let table = lua.create_table()?;
            for item in items {
                match nested(item)? {
                    Value::Nil => {}
                    key => table.raw_set(key, true)?,
                }
            }
            named("set", Value::Table(table))
        }
        Reply::Map(pairs) | Reply::Keyed(pairs) if modern => {
            let table = lua.create_table()?;
            for (key, value) in pairs {
                match nested(key)? {
                    Value::Nil => {}
                    key => table.raw_set(key, nested(value)?)?,
                }
            }
            named("map", Value::Table(table))
        }
        Reply::Pairs(pairs) if modern => in_pairs(lua, pairs, nested),
        Reply::Keyed(pairs) => in_pairs(lua, pairs, nested),
        Reply::Map(pairs) | Reply::Pairs(pairs) => {
            let items = pairs.iter().flat_map(|(key, value)| [key, value]);
            sequence(lua, items.map(nested))
        }
        Reply::Array(items) | Reply::Set(items) | Reply::Push(items) | Reply::Sequence(items) => {
            sequence(lua, items.iter().map(nested))
        }
    }
}

fn in_pairs(
    lua: &Lua,
    pairs: &[(Reply, Reply)],
    nested: impl Fn(&Reply) -> mlua::Result<Value>,
) -> mlua::Result<Value> {
    let pairs = pairs.iter().map(|(key, value)| {
        let pair = lua.create_sequence_from([nested(key)?, nested(value)?])?;
        Ok(Value::Table(pair))
    });
    sequence(lua, pairs)
}

fn sequence(lua: &Lua, items: impl Iterator<Item = mlua::Result<Value>>) -> mlua::Result<Value> {
    let table = lua.create_table_with_capacity(items.size_hint().0, 0)?;
    for (at, item) in items.enumerate() {
        table.raw_set(at + 1, item?)?;
    }
    Ok(Value::Table(table))
}

/// Builds the reply that a script returns.
pub(super) struct Replies<'m> {
    meter: &'m Meter,
    modern: bool,
    bytes: usize,
}

impl<'m> Replies<'m> {
    pub(super) fn new(meter: &'m Meter) -> Self {
        let proto = meter.proto.load(std::sync::atomic::Ordering::Relaxed);
        let modern = proto == 3;
        Self {
            meter,
            modern,
            bytes: 0,
        }
    }

    pub(super) fn reply(&mut self, value: &Value, depth: usize) -> mlua::Result<Reply> {
        self.count(ITEM_BYTES)?;
        if depth > DEPTH_MAX {
            return Ok(Reply::Error("ERR reached lua stack limit".into()));
        }
        Ok(match value {
            Value::String(text) => {
                self.count(text.as_bytes().len())?;
                Reply::bulk_copy(&text.as_bytes())
            }
            Value::Integer(value) => Reply::Int(*value),
            Value::Number(value) => Reply::Int(truncate(*value)),
            Value::Boolean(value) if self.modern => Reply::Bool(*value),
            Value::Boolean(true) => Reply::Int(1),
            Value::Table(table) => self.table(table, depth)?,
            _ => Reply::Null,
        })
    }

    fn count(&mut self, bytes: usize) -> mlua::Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.meter.spend(1) && self.meter.fits(self.bytes) {
            Ok(())
        } else {
            Err(mlua::Error::runtime("stopped"))
        }
    }

    fn table(&mut self, table: &Table, depth: usize) -> mlua::Result<Reply> {
        if let Value::String(text) = table.raw_get("err")? {
            return Ok(Reply::Error(line(&text.as_bytes())));
        }
        if let Value::String(text) = table.raw_get("ok")? {
            return Ok(Reply::Text(line(&text.as_bytes())));
        }
        #[expect(clippy::cast_precision_loss, reason = "numbers of Lua are doubles")]
        match table.raw_get("double")? {
            Value::Number(value) => return Ok(Reply::Double(value)),
            Value::Integer(value) => return Ok(Reply::Double(value as f64)),
            _ => {}
        }
        if let Value::Table(map) = table.raw_get("map")? {
            let mut pairs = Vec::new();
            for pair in map.pairs::<Value, Value>() {
                let (key, value) = pair?;
                pairs.push((self.reply(&key, depth + 1)?, self.reply(&value, depth + 1)?));
            }
            return Ok(Reply::Map(pairs));
        }
        if let Value::Table(set) = table.raw_get("set")? {
            let mut items = Vec::new();
            for pair in set.pairs::<Value, Value>() {
                items.push(self.reply(&pair?.0, depth + 1)?);
            }
            return Ok(Reply::Set(items));
        }
        if let Value::String(digits) = table.raw_get("big_number")? {
            return Ok(Reply::BigNumber(line(&digits.as_bytes())));
        }
        if let Value::Table(verbatim) = table.raw_get("verbatim_string")?
            && let (Value::String(_), Value::String(text)) =
                (verbatim.raw_get("format")?, verbatim.raw_get("string")?)
        {
            self.count(text.as_bytes().len())?;
            return Ok(Reply::Verbatim(
                String::from_utf8_lossy(&text.as_bytes()).into_owned(),
            ));
        }
        let mut items = Vec::new();
        for at in 1.. {
            match table.raw_get(at)? {
                Value::Nil => break,
                item => items.push(self.reply(&item, depth + 1)?),
            }
            if depth == DEPTH_MAX && matches!(items.last(), Some(Reply::Error(_))) {
                break;
            }
        }
        Ok(Reply::Array(items))
    }
}

/// One line of text; breaks become spaces.
pub(super) fn line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(['\r', '\n'], " ")
}
