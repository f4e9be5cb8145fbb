//! `cmsgpack`: values as `MessagePack`.

use std::sync::Arc;

use mlua::{IntoLuaMulti, Lua, MultiValue, Table, Value};

use super::{Fault, Given, Outcome, define, stopped};
use crate::script::meter::Meter;
use crate::script::number::whole;

/// Deepest nesting that is packed; deeper values become nil.
const PACK_DEPTH_MAX: usize = 16;
/// Deepest nesting that is unpacked.
const UNPACK_DEPTH_MAX: usize = 200;
/// Most values that one call unpacks at the top level.
const VALUES_MAX: usize = 3_000;

pub(super) fn library(lua: &Lua, meter: &Arc<Meter>) -> mlua::Result<Table> {
    let t = lua.create_table()?;
    t.raw_set("_NAME", "cmsgpack")?;
    t.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    t.raw_set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    let packing = Arc::clone(meter);
    define(lua, &t, "pack", move |lua, given| {
        if given.args.is_empty() {
            // Arguments count from 0 in this one text of Redis.
            return Err("bad argument #0 to 'pack' (MessagePack pack needs input.)".into());
        }
        let mut out = Packer {
            out: Vec::new(),
            meter: &packing,
        };
        for value in given.args {
            out.value(value, 0)?;
        }
        Ok(lua.create_string(out.out)?)
    })?;
    let own = |meter: &Arc<Meter>| Arc::clone(meter);
    let unpacking = own(meter);
    define(lua, &t, "unpack", move |lua, given| {
        unpack(lua, given, &unpacking, usize::MAX, 0)
    })?;
    let unpacking = own(meter);
    define(lua, &t, "unpack_one", move |lua, given| {
        let start = given.integer_or(lua, 1, 0)?;
        unpack(lua, given, &unpacking, 1, start)
    })?;
    let unpacking = own(meter);
    define(lua, &t, "unpack_limit", move |lua, given| {
        let limit = given.integer(lua, 1)?;
        let start = given.integer_or(lua, 2, 0)?;
        let limit = usize::try_from(limit).map_err(|_| {
            Fault::from(format!(
                "Invalid request to unpack with offset of {start} and limit of {limit}."
            ))
        })?;
        unpack(lua, given, &unpacking, limit.max(1), start)
    })?;
    Ok(t)
}

struct Packer<'m> {
    out: Vec<u8>,
    meter: &'m Meter,
}

impl Packer<'_> {
    fn head(&mut self, kind: u8, bytes: &[u8]) {
        self.out.push(kind);
        self.out.extend_from_slice(bytes);
    }

    fn value(&mut self, value: &Value, depth: usize) -> Outcome<()> {
        if !self.meter.spend(1) || !self.meter.fits(self.out.len()) {
            return Err(stopped());
        }
        match value {
            Value::Boolean(value) => self.out.push(if *value { 0xc3 } else { 0xc2 }),
            Value::Integer(value) => self.integer(*value),
            Value::Number(value) => match whole(*value) {
                Some(value) => self.integer(value),
                None => self.float(*value),
            },
            Value::String(text) => {
                let text = text.as_bytes();
                match (u8::try_from(text.len()), u16::try_from(text.len())) {
                    (Ok(len), _) if len < 32 => self.out.push(0xa0 | len),
                    (Ok(len), _) => self.head(0xd9, &[len]),
                    (_, Ok(len)) => self.head(0xda, &len.to_be_bytes()),
                    _ => self.head(0xdb, &narrow(text.len())?.to_be_bytes()),
                }
                self.out.extend_from_slice(&text);
            }
            Value::Table(table) if depth < PACK_DEPTH_MAX => self.table(table, depth)?,
            _ => self.out.push(0xc0),
        }
        Ok(())
    }

    fn integer(&mut self, value: i64) {
        if let Ok(value) = u64::try_from(value) {
            match (
                u8::try_from(value),
                u16::try_from(value),
                u32::try_from(value),
            ) {
                (Ok(value), _, _) if value < 128 => self.out.push(value),
                (Ok(value), _, _) => self.head(0xcc, &[value]),
                (_, Ok(value), _) => self.head(0xcd, &value.to_be_bytes()),
                (_, _, Ok(value)) => self.head(0xce, &value.to_be_bytes()),
                _ => self.head(0xcf, &value.to_be_bytes()),
            }
            return;
        }
        match (
            i8::try_from(value),
            i16::try_from(value),
            i32::try_from(value),
        ) {
            (Ok(value), _, _) if value >= -32 => self.out.push(value.cast_unsigned()),
            (Ok(value), _, _) => self.head(0xd0, &value.to_be_bytes()),
            (_, Ok(value), _) => self.head(0xd1, &value.to_be_bytes()),
            (_, _, Ok(value)) => self.head(0xd2, &value.to_be_bytes()),
            _ => self.head(0xd3, &value.to_be_bytes()),
        }
    }

    fn float(&mut self, value: f64) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "taken only if nothing is lost"
        )]
        let short = value as f32;
        // Not a number is not equal to itself, and so written in full.
        if f64::from(short).partial_cmp(&value) == Some(std::cmp::Ordering::Equal) {
            self.head(0xca, &short.to_be_bytes());
        } else {
            self.head(0xcb, &value.to_be_bytes());
        }
    }

    fn table(&mut self, table: &Table, depth: usize) -> Outcome<()> {
        // A list has the keys 1 to n and no others.
        let (mut count, mut most) = (0_usize, 0_usize);
        let mut list = true;
        for pair in table.pairs::<Value, Value>() {
            let (key, _) = pair?;
            count += 1;
            if !self.meter.spend(1) {
                return Err(stopped());
            }
            match key {
                Value::Integer(at) if at > 0 => {
                    most = most.max(usize::try_from(at).unwrap_or(usize::MAX));
                }
                _ => list = false,
            }
        }
        if list && most == count {
            match u16::try_from(count) {
                Ok(len) if len < 16 => self.out.push(0x90 | len.to_le_bytes()[0]),
                Ok(len) => self.head(0xdc, &len.to_be_bytes()),
                Err(_) => self.head(0xdd, &narrow(count)?.to_be_bytes()),
            }
            for at in 1..=count {
                let item: Value = table.raw_get(at)?;
                self.value(&item, depth + 1)?;
            }
            return Ok(());
        }
        match u16::try_from(count) {
            Ok(len) if len < 16 => self.out.push(0x80 | len.to_le_bytes()[0]),
            Ok(len) => self.head(0xde, &len.to_be_bytes()),
            Err(_) => self.head(0xdf, &narrow(count)?.to_be_bytes()),
        }
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair?;
            self.value(&key, depth + 1)?;
            self.value(&value, depth + 1)?;
        }
        Ok(())
    }
}

fn narrow(len: usize) -> Outcome<u32> {
    u32::try_from(len).map_err(|_| stopped())
}

fn unpack(
    lua: &Lua,
    given: &Given<'_>,
    meter: &Meter,
    limit: usize,
    start: i64,
) -> Outcome<MultiValue> {
    let text = given.text(lua, 0)?;
    let text = text.as_bytes();
    let len = text.len();
    let Ok(start) = usize::try_from(start) else {
        return Err(format!(
            "Invalid request to unpack with offset of {start} and limit of {len}."
        )
        .into());
    };
    if start > len {
        return Err(format!("Start offset {start} greater than input length {len}.").into());
    }
    let mut reader = Reader {
        rest: &text[start..],
        meter,
    };
    let whole_input = limit == usize::MAX;
    let mut values = MultiValue::new();
    while values.len() < limit && !reader.rest.is_empty() {
        if values.len() >= VALUES_MAX {
            return Err("too many values to unpack".into());
        }
        values.push_back(reader.value(lua, 0)?);
    }
    if !whole_input {
        let next = if reader.rest.is_empty() {
            -1
        } else {
            i64::try_from(len - reader.rest.len()).unwrap_or(i64::MAX)
        };
        values.push_front(next.into_lua_multi(lua)?.pop_front().unwrap_or(Value::Nil));
    }
    Ok(values)
}

struct Reader<'b> {
    rest: &'b [u8],
    meter: &'b Meter,
}

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Outcome<&'b [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| Fault::from("Missing bytes in input."))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        let (taken, rest) = self
            .rest
            .split_first_chunk()
            .ok_or_else(|| Fault::from("Missing bytes in input."))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn len(&mut self, width: u8) -> Outcome<usize> {
        Ok(match width {
            0 => usize::from(self.array::<1>()?[0]),
            1 => usize::from(u16::from_be_bytes(self.array()?)),
            _ => usize::try_from(u32::from_be_bytes(self.array()?)).unwrap_or(usize::MAX),
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of Lua are doubles")]
    fn value(&mut self, lua: &Lua, depth: usize) -> Outcome<Value> {
        if !self.meter.spend(1) {
            return Err(stopped());
        }
        if depth > UNPACK_DEPTH_MAX {
            return Err("Too deep nesting in input.".into());
        }
        let kind = self.array::<1>()?[0];
        let number = |value: f64| Ok(Value::Number(value));
        match kind {
            0x00..=0x7f => number(f64::from(kind)),
            0xe0..=0xff => number(f64::from(kind.cast_signed())),
            0xa0..=0xbf => self.text(lua, usize::from(kind & 0x1f)),
            0x90..=0x9f => self.list(lua, usize::from(kind & 0x0f), depth),
            0x80..=0x8f => self.map(lua, usize::from(kind & 0x0f), depth),
            0xc0 => Ok(Value::Nil),
            0xc2 => Ok(Value::Boolean(false)),
            0xc3 => Ok(Value::Boolean(true)),
            0xca => number(f64::from(f32::from_be_bytes(self.array()?))),
            0xcb => number(f64::from_be_bytes(self.array()?)),
            0xcc => number(f64::from(self.array::<1>()?[0])),
            0xcd => number(f64::from(u16::from_be_bytes(self.array()?))),
            0xce => number(f64::from(u32::from_be_bytes(self.array()?))),
            0xcf => number(u64::from_be_bytes(self.array()?) as f64),
            0xd0 => number(f64::from(i8::from_be_bytes(self.array()?))),
            0xd1 => number(f64::from(i16::from_be_bytes(self.array()?))),
            0xd2 => number(f64::from(i32::from_be_bytes(self.array()?))),
            0xd3 => number(i64::from_be_bytes(self.array()?) as f64),
            0xd9..=0xdb => {
                let len = self.len(kind - 0xd9)?;
                self.text(lua, len)
            }
            0xdc | 0xdd => {
                let len = self.len(kind - 0xdb)?;
                self.list(lua, len, depth)
            }
            0xde | 0xdf => {
                let len = self.len(kind - 0xdd)?;
                self.map(lua, len, depth)
            }
            _ => Err("Bad data format in input.".into()),
        }
    }

    fn text(&mut self, lua: &Lua, len: usize) -> Outcome<Value> {
        Ok(Value::String(lua.create_string(self.take(len)?)?))
    }

    fn list(&mut self, lua: &Lua, len: usize, depth: usize) -> Outcome<Value> {
        let table = lua.create_table()?;
        for at in 1..=len {
            table.raw_set(at, self.value(lua, depth + 1)?)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, lua: &Lua, len: usize, depth: usize) -> Outcome<Value> {
        let table = lua.create_table()?;
        for _ in 0..len {
            let key = self.value(lua, depth + 1)?;
            let value = self.value(lua, depth + 1)?;
            match key {
                Value::Nil => return Err("Bad data format in input.".into()),
                Value::Number(key) if key.is_nan() => {
                    return Err("Bad data format in input.".into());
                }
                key => table.raw_set(key, value)?,
            }
        }
        Ok(Value::Table(table))
    }
}

#[cfg(test)]
mod tests {
    use super::super::harness::ask;
    use super::library;

    #[test]
    fn values_are_packed_in_the_shortest_form() {
        for (call, expected) in [
            ("pack(1, -1, 127, 128)", r"\x01\xff\x7f\xcc\x80"),
            ("pack(256, 65536)", r"\xcd\x01\x00\xce\x00\x01\x00\x00"),
            ("pack(-33, -129)", r"\xd0\xdf\xd1\xff\x7f"),
            (
                "pack(0.5, 'a', true, nil)",
                r"\xca?\x00\x00\x00\xa1a\xc3\xc0",
            ),
            ("pack({1, 2})", r"\x92\x01\x02"),
            ("pack({a = 1})", r"\x81\xa1a\x01"),
            ("pack({[2] = 1})", r"\x81\x02\x01"),
            ("pack(print)", r"\xc0"),
            ("pack(0/0)", r"\xcb\xff\xf8\x00\x00\x00\x00\x00\x00"),
        ] {
            assert_eq!(ask(library, call), format!("\"{expected}\""), "{call}");
        }
    }

    #[test]
    fn what_is_unpacked_may_be_anything() {
        for (call, expected) in [
            (r"unpack('\1\255\161x')", "1, -1, \"x\""),
            (r"unpack('\146\1\2')", "table of 2"),
            (r"unpack('')", ""),
            (r"unpack_one('\1\2')", "1, 1"),
            (r"unpack_one('\1\2', 1)", "-1, 2"),
            (r"unpack_limit('\1\2\3', 2)", "2, 1, 2"),
            (r"unpack('\146\1')", "!\"Missing bytes in input.\""),
            (
                r"unpack('\221\255\255\255\255')",
                "!\"Missing bytes in input.\"",
            ),
            (
                r"unpack('\223\255\255\255\255')",
                "!\"Missing bytes in input.\"",
            ),
            (
                r"unpack('\219\255\255\255\255')",
                "!\"Missing bytes in input.\"",
            ),
            (r"unpack('\193')", "!\"Bad data format in input.\""),
            (r"unpack('\129\192\1')", "!\"Bad data format in input.\""),
            (
                r"unpack(('\145'):rep(300))",
                "!\"Too deep nesting in input.\"",
            ),
            (
                r"unpack(('\1'):rep(5000))",
                "!\"too many values to unpack\"",
            ),
            (
                r"unpack_one('\1', 9)",
                "!\"Start offset 9 greater than input length 1.\"",
            ),
        ] {
            assert_eq!(ask(library, call), expected, "{call}");
        }
        for seed in 0..2_000_u32 {
            let bytes =
                (0..12).map(|at| seed.wrapping_mul(2_654_435_761).rotate_left(at * 7) & 255);
            let bytes: Vec<String> = bytes.map(|byte| format!("\\{byte}")).collect();
            ask(library, &format!("unpack('{}')", bytes.concat()));
        }
    }
}
