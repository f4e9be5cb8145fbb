//! `cjson`: values as JSON.
//!
//! Settings hold for the run that makes them.

mod decode;
mod encode;

use std::sync::Arc;

use mlua::{Function, Lua, MultiValue, Table, Value};
use parking_lot::Mutex;

use super::{Fault, Given, Outcome, define};
use crate::script::meter::Meter;

/// Deepest nesting that is written or read, whatever a script asks for.
const DEPTH_MAX: usize = 1_000;

#[derive(Clone, Copy, Debug)]
struct Settings {
    /// The run that made them.
    run: u64,
    convert_sparse: bool,
    sparse_ratio: i64,
    sparse_safe: i64,
    encode_depth: i64,
    decode_depth: i64,
    encode_invalid: Invalid,
    decode_invalid: bool,
    precision: i64,
    keep_buffer: bool,
}

/// What becomes of numbers that JSON does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Invalid {
    Refused,
    Written,
    Null,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            run: 0,
            convert_sparse: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_depth: 1_000,
            decode_depth: 1_000,
            encode_invalid: Invalid::Refused,
            decode_invalid: true,
            precision: 14,
            keep_buffer: true,
        }
    }
}

/// One instance of the library.
struct Codec {
    settings: Mutex<Settings>,
    meter: Arc<Meter>,
}

impl Codec {
    fn settings(&self) -> Settings {
        let mut settings = self.settings.lock();
        let run = self.meter.run_number();
        if settings.run != run {
            *settings = Settings {
                run,
                ..Settings::default()
            };
        }
        *settings
    }

    fn change(&self, change: impl FnOnce(&mut Settings)) {
        self.settings();
        change(&mut self.settings.lock());
    }
}

pub(super) fn library(lua: &Lua, meter: &Arc<Meter>) -> mlua::Result<Table> {
    let t = lua.create_table()?;
    t.raw_set("_NAME", "cjson")?;
    t.raw_set("_VERSION", "2.1.0")?;
    t.raw_set("null", Value::NULL)?;
    let codec = Arc::new(Codec {
        settings: Mutex::default(),
        meter: Arc::clone(meter),
    });
    let own = Arc::clone(&codec);
    define(lua, &t, "encode", move |lua, given| {
        one_argument(given)?;
        // Not kept: a state has room for few values of the host, and a script can make many of these libraries.
        let next: Function = lua.globals().raw_get("next")?;
        let text = encode::encode(&own.meter, own.settings(), &next, &given.args[0])?;
        Ok(lua.create_string(text)?)
    })?;
    let own = Arc::clone(&codec);
    define(lua, &t, "decode", move |lua, given| {
        one_argument(given)?;
        let text = given.text(lua, 0)?;
        decode::decode(lua, &own.meter, own.settings(), &text.as_bytes())
    })?;
    parameters(lua, &t, &codec)?;
    Ok(t)
}

/// What changes settings.
fn parameters(lua: &Lua, t: &Table, codec: &Arc<Codec>) -> mlua::Result<()> {
    number(
        lua,
        t,
        codec,
        "encode_max_depth",
        i64::from(i32::MAX),
        |s| &mut s.encode_depth,
    )?;
    number(
        lua,
        t,
        codec,
        "decode_max_depth",
        i64::from(i32::MAX),
        |s| &mut s.decode_depth,
    )?;
    number(lua, t, codec, "encode_number_precision", 14, |s| {
        &mut s.precision
    })?;
    flag(lua, t, codec, "encode_keep_buffer", |s| &mut s.keep_buffer)?;
    flag(lua, t, codec, "decode_invalid_numbers", |s| {
        &mut s.decode_invalid
    })?;
    let own = Arc::clone(codec);
    define(lua, t, "encode_invalid_numbers", move |lua, given| {
        if !given.is_none(0) {
            let mode = match &given.args[0] {
                Value::Boolean(true) => Invalid::Written,
                Value::Boolean(false) => Invalid::Refused,
                _ => match &*given.text(lua, 0)?.as_bytes() {
                    b"on" => Invalid::Written,
                    b"off" => Invalid::Refused,
                    b"null" => Invalid::Null,
                    _ => return Err(invalid_option(lua, given)),
                },
            };
            own.change(|settings| settings.encode_invalid = mode);
        }
        Ok(match own.settings().encode_invalid {
            Invalid::Refused => Value::Boolean(false),
            Invalid::Written => Value::Boolean(true),
            Invalid::Null => Value::String(lua.create_string("null")?),
        })
    })?;
    let own = Arc::clone(codec);
    define(lua, t, "encode_sparse_array", move |lua, given| {
        let most = i64::from(i32::MAX);
        let convert = match given.args.first() {
            None | Some(Value::Nil) => None,
            Some(Value::Boolean(convert)) => Some(*convert),
            Some(_) => return Err(invalid_option(lua, given)),
        };
        let (ratio, safe) = (
            within(lua, given, 1, 0, most)?,
            within(lua, given, 2, 0, most)?,
        );
        own.change(|settings| {
            settings.convert_sparse = convert.unwrap_or(settings.convert_sparse);
            settings.sparse_ratio = ratio.unwrap_or(settings.sparse_ratio);
            settings.sparse_safe = safe.unwrap_or(settings.sparse_safe);
        });
        let settings = own.settings();
        Ok(MultiValue::from_vec(vec![
            Value::Boolean(settings.convert_sparse),
            Value::Integer(settings.sparse_ratio),
            Value::Integer(settings.sparse_safe),
        ]))
    })?;
    Ok(())
}

fn invalid_option(lua: &Lua, given: &Given<'_>) -> Fault {
    match given.text(lua, 0) {
        Ok(text) => {
            let text = text.as_bytes();
            let shown = String::from_utf8_lossy(&text[..text.len().min(128)]).into_owned();
            given.refused(0, &format!("invalid option '{shown}'"))
        }
        Err(fault) => fault,
    }
}

fn one_argument(given: &Given<'_>) -> Outcome<()> {
    if given.args.len() == 1 {
        return Ok(());
    }
    Err(given.refused(0, "expected 1 argument"))
}

/// An argument in a range, if it was given.
fn within(lua: &Lua, given: &Given<'_>, at: usize, least: i64, most: i64) -> Outcome<Option<i64>> {
    if given.is_none(at) {
        return Ok(None);
    }
    let value = given.integer(lua, at)?;
    if !(least..=most).contains(&value) {
        let why = format!("expected integer between {least} and {most}");
        // Whichever argument it is, the library blames the first.
        return Err(given.refused(0, &why));
    }
    Ok(Some(value))
}

fn number(
    lua: &Lua,
    library: &Table,
    codec: &Arc<Codec>,
    name: &'static str,
    most: i64,
    of: fn(&mut Settings) -> &mut i64,
) -> mlua::Result<()> {
    let codec = Arc::clone(codec);
    define(lua, library, name, move |lua, given| {
        if let Some(value) = within(lua, given, 0, 1, most)? {
            codec.change(|settings| *of(settings) = value);
        }
        Ok(*of(&mut codec.settings()))
    })
}

fn flag(
    lua: &Lua,
    library: &Table,
    codec: &Arc<Codec>,
    name: &'static str,
    of: fn(&mut Settings) -> &mut bool,
) -> mlua::Result<()> {
    let codec = Arc::clone(codec);
    define(lua, library, name, move |lua, given| {
        let value = match given.args.first() {
            None | Some(Value::Nil) => None,
            Some(Value::Boolean(value)) => Some(*value),
            _ => match &*given.text(lua, 0)?.as_bytes() {
                b"on" => Some(true),
                b"off" => Some(false),
                _ => return Err(invalid_option(lua, given)),
            },
        };
        if let Some(value) = value {
            codec.change(|settings| *of(settings) = value);
        }
        Ok(*of(&mut codec.settings()))
    })
}
