//! `struct`: values as bytes laid out as C would.

use std::sync::Arc;

use mlua::{Lua, MultiValue, Table, Value};

use super::{Fault, Given, Outcome, define, stopped};
use crate::script::meter::Meter;
use crate::script::number::truncate;

/// Widest integer, in bytes.
const INTEGER_MAX: usize = 32;
const NATIVE_ALIGN: usize = 8;
/// Most values that one call unpacks.
const VALUES_MAX: usize = 3_000;

/// One item of a format, with what holds for it.
#[derive(Clone, Copy, Debug)]
struct Item {
    kind: u8,
    size: usize,
    /// Bytes before it that align it.
    padding: usize,
    big: bool,
}

/// Walks through a format.
struct Format<'f> {
    rest: &'f [u8],
    big: bool,
    align: usize,
}

impl<'f> Format<'f> {
    fn new(text: &'f [u8]) -> Self {
        Self {
            rest: text,
            big: false,
            align: 1,
        }
    }

    fn count(&mut self, otherwise: usize) -> Outcome<usize> {
        let digits = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if digits == 0 {
            return Ok(otherwise);
        }
        let (text, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let value = text.iter().try_fold(0_usize, |sum, digit| {
            let sum = sum
                .checked_mul(10)?
                .checked_add(usize::from(digit - b'0'))?;
            (sum <= i32::MAX.unsigned_abs() as usize).then_some(sum)
        });
        value.ok_or_else(|| Fault::from("integral size overflow"))
    }

    /// The next item, `total` bytes after the start.
    fn next(&mut self, given: &Given<'_>, total: usize) -> Outcome<Option<Item>> {
        while let Some((kind, rest)) = self.rest.split_first() {
            self.rest = rest;
            let size = match *kind {
                b' ' => continue,
                b'>' => {
                    self.big = true;
                    continue;
                }
                b'<' => {
                    self.big = false;
                    continue;
                }
                b'!' => {
                    let align = self.count(NATIVE_ALIGN)?;
                    if align == 0 || !align.is_power_of_two() {
                        return Err(format!("alignment {align} is not a power of 2").into());
                    }
                    self.align = align;
                    continue;
                }
                b'b' | b'B' | b'x' => 1,
                b'h' | b'H' => 2,
                b'l' | b'L' | b'T' | b'd' | b'n' => 8,
                b'f' => 4,
                b's' => 0,
                b'c' => self.count(1)?,
                b'i' | b'I' => {
                    let size = self.count(4)?;
                    if size > INTEGER_MAX {
                        return Err(format!(
                            "integral size {size} is larger than limit of {INTEGER_MAX}"
                        )
                        .into());
                    }
                    size
                }
                other => {
                    let shown = char::from(other);
                    return Err(given.refused(0, &format!("invalid format option '{shown}'")));
                }
            };
            let align = if matches!(kind, b'c' | b'x' | b's') {
                1
            } else {
                size.min(self.align)
            };
            let padding = if align > 1 && align.is_power_of_two() {
                total.wrapping_neg() & (align - 1)
            } else {
                0
            };
            return Ok(Some(Item {
                kind: *kind,
                size,
                padding,
                big: self.big,
            }));
        }
        Ok(None)
    }
}

pub(super) fn library(lua: &Lua, meter: &Arc<Meter>) -> mlua::Result<Table> {
    let t = lua.create_table()?;
    let packing = Arc::clone(meter);
    define(lua, &t, "pack", move |lua, given| {
        pack(lua, given, &packing)
    })?;
    let unpacking = Arc::clone(meter);
    define(lua, &t, "unpack", move |lua, given| {
        unpack(lua, given, &unpacking)
    })?;
    define(lua, &t, "size", |lua, given| {
        let format = given.text(lua, 0)?;
        let format = format.as_bytes();
        let mut format = Format::new(&format);
        let mut total = 0_usize;
        while let Some(item) = format.next(given, total)? {
            if item.kind == b's' {
                return Err(given.refused(0, "option 's' has no fixed size"));
            }
            if item.kind == b'c' && item.size == 0 {
                return Err(given.refused(0, "option 'c0' has no fixed size"));
            }
            total = total
                .checked_add(item.padding + item.size)
                .filter(|total| i32::try_from(*total).is_ok())
                .ok_or_else(|| Fault::from("format result too large"))?;
        }
        Ok(total)
    })?;
    Ok(t)
}

fn pack(lua: &Lua, given: &Given<'_>, meter: &Meter) -> Outcome<mlua::String> {
    let format = given.text(lua, 0)?;
    let format = format.as_bytes();
    let mut format = Format::new(&format);
    let mut out = Vec::new();
    let mut at = 1;
    while let Some(item) = format.next(given, out.len())? {
        let wanted = out
            .len()
            .saturating_add(item.padding)
            .saturating_add(item.size);
        if !meter.spend(1) || !meter.fits(wanted) {
            return Err(stopped());
        }
        out.resize(out.len() + item.padding, 0);
        match item.kind {
            b'x' => {
                out.push(0);
                continue;
            }
            b's' | b'c' => {
                let text = text(lua, given, at)?;
                let text = text.as_bytes();
                let len = if item.kind == b'c' && item.size > 0 {
                    item.size
                } else {
                    text.len()
                };
                let text = text.get(..len);
                out.extend_from_slice(
                    text.ok_or_else(|| given.refused(at + 1, "string too short"))?,
                );
                if item.kind == b's' {
                    out.push(0);
                }
                if !meter.fits(out.len()) {
                    return Err(stopped());
                }
            }
            #[expect(clippy::cast_possible_truncation, reason = "what the format asks for")]
            b'f' => {
                let value = number(lua, given, at)? as f32;
                put(&mut out, &value.to_le_bytes(), 4, item.big);
            }
            b'd' | b'n' => {
                let value = number(lua, given, at)?;
                put(&mut out, &value.to_le_bytes(), 8, item.big);
            }
            _ => {
                let value = number(lua, given, at)?;
                let value = if value < 0.0 {
                    truncate(value)
                } else {
                    unsigned(value).cast_signed()
                };
                // What is wider than a register is not filled with the sign.
                let mut wide = [0; INTEGER_MAX];
                wide[..8].copy_from_slice(&value.to_le_bytes());
                put(&mut out, &wide, item.size, item.big);
            }
        }
        at += 1;
    }
    Ok(lua.create_string(out)?)
}

/// What is missing is nil to this library.
fn missing(given: &Given<'_>, at: usize, expected: &str) -> Outcome<()> {
    if at < given.args.len() {
        return Ok(());
    }
    Err(given.refused(at, &format!("{expected} expected, got nil")))
}

fn number(lua: &Lua, given: &Given<'_>, at: usize) -> Outcome<f64> {
    missing(given, at, "number")?;
    given.number(lua, at)
}

fn text(lua: &Lua, given: &Given<'_>, at: usize) -> Outcome<mlua::String> {
    missing(given, at, "string")?;
    given.text(lua, at)
}

/// A number that is not negative as an integer.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts of floats saturate"
)]
fn unsigned(value: f64) -> u64 {
    value as u64
}

fn put(out: &mut Vec<u8>, little: &[u8], size: usize, big: bool) {
    let start = out.len();
    out.extend_from_slice(&little[..size]);
    if big {
        out[start..].reverse();
    }
}

fn unpack(lua: &Lua, given: &Given<'_>, meter: &Meter) -> Outcome<MultiValue> {
    let (format, data) = (given.text(lua, 0)?, given.text(lua, 1)?);
    let (format, data) = (format.as_bytes(), data.as_bytes());
    let start = given.integer_or(lua, 2, 1)?;
    if start == 0 {
        return Err(given.refused(2, "offset must be 1 or greater"));
    }
    let short = || given.refused(1, "data string too short");
    let mut at = usize::try_from(start - 1).map_err(|_| short())?;
    let mut format = Format::new(&format);
    let mut values: Vec<Value> = Vec::new();
    while let Some(item) = format.next(given, at)? {
        if !meter.spend(1) {
            return Err(stopped());
        }
        if values.len() >= VALUES_MAX {
            return Err("too many results to unpack".into());
        }
        at = at.saturating_add(item.padding);
        let field = |size: usize| {
            let end = at.checked_add(size)?;
            data.get(at..end)
        };
        let mut bytes = field(item.size).ok_or_else(short)?;
        let mut size = item.size;
        match item.kind {
            b'x' => {}
            b's' => {
                let end = data[at..].iter().position(|byte| *byte == 0);
                let end = end.ok_or_else(|| Fault::from("unfinished string in data"))?;
                values.push(Value::String(lua.create_string(&data[at..at + end])?));
                size = end + 1;
            }
            b'c' => {
                if size == 0 {
                    let before = values.pop();
                    let len = match before {
                        Some(Value::Number(len)) => usize::try_from(truncate(len)).ok(),
                        _ => return Err("format 'c0' needs a previous size".into()),
                    };
                    size = len.ok_or_else(short)?;
                    bytes = field(size).ok_or_else(short)?;
                }
                values.push(Value::String(lua.create_string(bytes)?));
            }
            b'f' => {
                let bytes = ordered::<4>(bytes, item.big);
                values.push(Value::Number(f64::from(f32::from_le_bytes(bytes))));
            }
            b'd' | b'n' => {
                let bytes = ordered::<8>(bytes, item.big);
                values.push(Value::Number(f64::from_le_bytes(bytes)));
            }
            kind => values.push(Value::Number(integer(bytes, item.big, kind))),
        }
        at += size;
    }
    values.push(Value::Integer(i64::try_from(at + 1).unwrap_or(i64::MAX)));
    Ok(MultiValue::from_vec(values))
}

/// The low bytes of a field, lowest first.
fn ordered<const N: usize>(bytes: &[u8], big: bool) -> [u8; N] {
    let mut out = [0; N];
    for (at, out) in out.iter_mut().enumerate() {
        let from = if big {
            bytes.len().checked_sub(at + 1)
        } else {
            Some(at)
        };
        *out = from.and_then(|from| bytes.get(from)).copied().unwrap_or(0);
    }
    out
}

#[expect(clippy::cast_precision_loss, reason = "numbers of Lua are doubles")]
fn integer(bytes: &[u8], big: bool, kind: u8) -> f64 {
    let value = u64::from_le_bytes(ordered::<8>(bytes, big));
    if kind.is_ascii_uppercase() {
        return value as f64;
    }
    let unused = 64 - 8 * u32::try_from(bytes.len().min(8)).unwrap_or(8);
    ((value << unused).cast_signed() >> unused) as f64
}

#[cfg(test)]
mod tests {
    use super::super::harness::ask;
    use super::library;

    #[test]
    fn fields_are_laid_out_as_told() {
        for (call, expected) in [
            ("pack('bB', -1, 255)", r#""\xff\xff""#),
            ("pack('>h', 258)", r#""\x01\x02""#),
            ("pack('<i3', -2)", r#""\xfe\xff\xff""#),
            (
                "pack('!4bi', 1, 2)",
                r#""\x01\x00\x00\x00\x02\x00\x00\x00""#,
            ),
            ("pack('sx', 'ab')", r#""ab\x00\x00""#),
            ("pack('c2c0', 'abc', 'd')", r#""abd""#),
            ("unpack('>hB', '\\1\\2\\3')", "258, 3, 4"),
            ("unpack('<i3', '\\254\\255\\255')", "-2, 4"),
            ("unpack('bc0', '\\2xyz')", "\"xy\", 4"),
            ("unpack('s', 'ab\\0c', 2)", "\"b\", 4"),
            ("size('!4bih')", "10"),
            ("size('')", "0"),
        ] {
            assert_eq!(ask(library, call), expected, "{call}");
        }
    }

    #[test]
    fn no_format_and_no_data_lead_astray() {
        for call in [
            "pack('q', 1)",
            "pack('b')",
            "pack('b', {})",
            "pack('i33', 1)",
            "pack('i99999999999999999999', 1)",
            "pack('!3')",
            "pack('!0')",
            "pack('c2147483647', 'x')",
            "pack('c5', 'ab')",
            "unpack('i', 'ab')",
            "unpack('c0', 'ab')",
            "unpack('bc0', '\\9x')",
            "unpack('bc0', '\\255x')",
            "unpack('s', 'ab')",
            "unpack('b', 'a', 0)",
            "unpack('b', 'a', -1)",
            "unpack('b', 'a', 2)",
            "unpack('b', 'a', 2^62)",
            "unpack(('b'):rep(4000), ('x'):rep(4000))",
            "size('s')",
            "size('c0')",
            "size('c2147483647c2147483647')",
        ] {
            assert!(ask(library, call).starts_with('!'), "{call}");
        }
        // Limits of the run.
        assert_eq!(
            ask(library, "pack(('i32'):rep(1e5), ('1'):rep(9):byte(1, -1))").get(..1),
            Some("!")
        );
    }
}
