//! Values to JSON, with the limits and forms of `lua-cjson`.

use std::io::Write;

use mlua::{Function, Table, Value};

use super::{DEPTH_MAX, Invalid, Settings};
use crate::script::lib::{Fault, Outcome, stopped, type_name};
use crate::script::meter::Meter;
use crate::script::number::general;

/// A table that is not written to its end.
enum Open {
    List { table: Table, at: i64, len: i64 },
    Object { table: Table, last: Value },
}

struct Encoder<'m> {
    out: Vec<u8>,
    settings: Settings,
    meter: &'m Meter,
    /// `next` of Lua.
    next: &'m Function,
    /// From the outermost inwards. They are not frames of calls, for which a thread may have no room.
    open: Vec<Open>,
}

pub(super) fn encode(
    meter: &Meter,
    settings: Settings,
    next: &Function,
    value: &Value,
) -> Outcome<Vec<u8>> {
    let mut encoder = Encoder {
        out: Vec::new(),
        settings,
        meter,
        next,
        open: Vec::new(),
    };
    encoder.value(value)?;
    while let Some(open) = encoder.open.pop() {
        encoder.go_on(open)?;
    }
    Ok(encoder.out)
}

fn refused(value: &Value, why: &str) -> Fault {
    let kind = type_name(value);
    Fault::Text(format!("Cannot serialise {kind}: {why}"))
}

impl Encoder<'_> {
    #[expect(clippy::cast_precision_loss, reason = "numbers of Lua are doubles")]
    fn value(&mut self, value: &Value) -> Outcome<()> {
        if !self.meter.spend(1) || !self.meter.fits(self.out.len()) {
            return Err(stopped());
        }
        match value {
            Value::String(text) => self.text(&text.as_bytes()),
            Value::Integer(number) => self.number(*number as f64, value)?,
            Value::Number(number) => self.number(*number, value)?,
            Value::Boolean(true) => self.out.extend_from_slice(b"true"),
            Value::Boolean(false) => self.out.extend_from_slice(b"false"),
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::LightUserData(pointer) if pointer.0.is_null() => {
                self.out.extend_from_slice(b"null");
            }
            Value::Table(table) => {
                let depth = self.open.len() + 1;
                let most = usize::try_from(self.settings.encode_depth).unwrap_or(usize::MAX);
                if depth > most.min(DEPTH_MAX) {
                    return Err(format!("Cannot serialise, excessive nesting ({depth})").into());
                }
                let table = table.clone();
                self.open.push(match self.list_len(&table, value)? {
                    Some(len) if len > 0 => {
                        self.out.push(b'[');
                        Open::List { table, at: 0, len }
                    }
                    _ => {
                        self.out.push(b'{');
                        let last = Value::Nil;
                        Open::Object { table, last }
                    }
                });
            }
            _ => return Err(refused(value, "type not supported")),
        }
        Ok(())
    }

    fn number(&mut self, number: f64, value: &Value) -> Outcome<()> {
        if !number.is_finite() {
            match self.settings.encode_invalid {
                Invalid::Refused => return Err(refused(value, "must not be NaN or Inf")),
                Invalid::Null => {
                    self.out.extend_from_slice(b"null");
                    return Ok(());
                }
                Invalid::Written => {}
            }
        }
        let precision = usize::try_from(self.settings.precision).unwrap_or(14);
        let text = general(number, precision);
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn text(&mut self, text: &[u8]) {
        self.out.push(b'"');
        for byte in text {
            let escaped = match byte {
                b'"' => b'"',
                b'\\' => b'\\',
                b'/' => b'/',
                8 => b'b',
                9 => b't',
                10 => b'n',
                12 => b'f',
                13 => b'r',
                0..32 | 127 => {
                    let written = write!(self.out, "\\u{byte:04x}");
                    debug_assert!(written.is_ok(), "memory takes everything");
                    continue;
                }
                other => {
                    self.out.push(*other);
                    continue;
                }
            };
            self.out.extend_from_slice(&[b'\\', escaped]);
        }
        self.out.push(b'"');
    }

    /// The length of a list; `None` if the table is not one.
    fn list_len(&self, table: &Table, value: &Value) -> Outcome<Option<i64>> {
        let (mut most, mut items) = (0, 0_i64);
        for pair in table.pairs::<Value, Value>() {
            if !self.meter.spend(1) {
                return Err(stopped());
            }
            match pair?.0 {
                Value::Integer(at) if at >= 1 => {
                    most = most.max(at);
                    items += 1;
                }
                _ => return Ok(None),
            }
        }
        let settings = &self.settings;
        if settings.sparse_ratio > 0
            && most > items.saturating_mul(settings.sparse_ratio)
            && most > settings.sparse_safe
        {
            if !settings.convert_sparse {
                return Err(refused(value, "excessively sparse array"));
            }
            return Ok(None);
        }
        Ok(Some(most))
    }

    /// Writes the next item of a table, and leaves the table open, or its end.
    fn go_on(&mut self, open: Open) -> Outcome<()> {
        match open {
            Open::List { at, len, .. } if at == len => self.out.push(b']'),
            Open::List { table, at, len } => {
                if at > 0 {
                    self.out.push(b',');
                }
                let at = at + 1;
                let item: Value = table.raw_get(at)?;
                self.open.push(Open::List { table, at, len });
                self.value(&item)?;
            }
            Open::Object { table, last } => {
                let is_first = last == Value::Nil;
                let (key, value): (Value, Value) = self.next.call((&table, last))?;
                if key == Value::Nil {
                    self.out.push(b'}');
                    return Ok(());
                }
                if !is_first {
                    self.out.push(b',');
                }
                self.key(&key)?;
                self.out.push(b':');
                self.open.push(Open::Object { table, last: key });
                self.value(&value)?;
            }
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of Lua are doubles")]
    fn key(&mut self, key: &Value) -> Outcome<()> {
        let number = match key {
            Value::String(text) => {
                self.text(&text.as_bytes());
                return Ok(());
            }
            Value::Number(number) => *number,
            Value::Integer(number) => *number as f64,
            _ => return Err(refused(key, "table key must be a number or string")),
        };
        self.out.push(b'"');
        self.number(number, key)?;
        self.out.push(b'"');
        Ok(())
    }
}
