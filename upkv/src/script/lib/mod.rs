//! What Redis adds to the libraries of Lua, and what is made anew here because the original is not bounded.
//!
//! Every function answers true and its results, or false and a text to which the prelude adds the caller's position.

mod bits;
mod cjson;
mod cmsgpack;
pub(super) mod math;
mod packing;
mod pattern;
mod strings;

use std::sync::Arc;

use mlua::{IntoLuaMulti, Lua, MultiValue, Table, Value};

use super::meter::Meter;

/// Why a function of a library refuses.
#[derive(Debug)]
pub(super) enum Fault {
    /// A text for the script.
    Text(String),
    /// The run is stopped, or Lua failed.
    Lua(mlua::Error),
}

impl From<mlua::Error> for Fault {
    fn from(error: mlua::Error) -> Self {
        Self::Lua(error)
    }
}

impl From<String> for Fault {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Fault {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

/// What says that the run is over.
pub(super) fn stopped() -> Fault {
    Fault::Lua(mlua::Error::runtime("stopped"))
}

pub(super) type Outcome<T> = Result<T, Fault>;

/// Puts a function into a library.
pub(super) fn define<F, R>(
    lua: &Lua,
    library: &Table,
    name: &'static str,
    body: F,
) -> mlua::Result<()>
where
    F: Fn(&Lua, &Given<'_>) -> Outcome<R> + mlua::MaybeSend + 'static,
    R: IntoLuaMulti,
{
    let function = lua.create_function(move |lua, args: MultiValue| {
        let args: Vec<Value> = args.into_iter().collect();
        let given = Given { name, args: &args };
        match body(lua, &given) {
            Ok(results) => {
                let mut results = results.into_lua_multi(lua)?;
                results.push_front(Value::Boolean(true));
                Ok(results)
            }
            Err(Fault::Text(text)) => (false, text).into_lua_multi(lua),
            Err(Fault::Lua(error)) => Err(error),
        }
    })?;
    library.raw_set(name, function)
}

/// The arguments of one call.
pub(super) struct Given<'a> {
    pub(super) name: &'static str,
    pub(super) args: &'a [Value],
}

impl Given<'_> {
    fn bad(&self, at: usize, expected: &str) -> Fault {
        let got = self.args.get(at).map_or("no value", type_name);
        let (name, at) = (self.name, at + 1);
        Fault::Text(format!(
            "bad argument #{at} to '{name}' ({expected} expected, got {got})"
        ))
    }

    pub(super) fn refused(&self, at: usize, why: &str) -> Fault {
        let (name, at) = (self.name, at + 1);
        Fault::Text(format!("bad argument #{at} to '{name}' ({why})"))
    }

    pub(super) fn is_none(&self, at: usize) -> bool {
        matches!(self.args.get(at), None | Some(Value::Nil))
    }

    pub(super) fn text(&self, lua: &Lua, at: usize) -> Outcome<mlua::String> {
        match self.args.get(at) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(number @ (Value::Integer(_) | Value::Number(_))) => {
                let text = lua.coerce_string(number.clone())?;
                text.ok_or_else(|| self.bad(at, "string"))
            }
            _ => Err(self.bad(at, "string")),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of Lua are doubles")]
    pub(super) fn number(&self, lua: &Lua, at: usize) -> Outcome<f64> {
        match self.args.get(at) {
            Some(Value::Integer(value)) => Ok(*value as f64),
            Some(Value::Number(value)) => Ok(*value),
            Some(text @ Value::String(_)) => {
                let number = lua.coerce_number(text.clone()).ok().flatten();
                number.ok_or_else(|| self.bad(at, "number"))
            }
            _ => Err(self.bad(at, "number")),
        }
    }

    pub(super) fn integer(&self, lua: &Lua, at: usize) -> Outcome<i64> {
        self.number(lua, at).map(super::number::truncate)
    }

    pub(super) fn integer_or(&self, lua: &Lua, at: usize, otherwise: i64) -> Outcome<i64> {
        if self.is_none(at) {
            Ok(otherwise)
        } else {
            self.integer(lua, at)
        }
    }
}

pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Boolean(_) => "boolean",
        Value::Integer(_) | Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Table(_) => "table",
        Value::Function(_) => "function",
        Value::Thread(_) => "thread",
        _ => "userdata",
    }
}

/// Puts the libraries where the prelude finds them.
pub(super) fn fill(lua: &Lua, host: &Table, meter: &Arc<Meter>) -> mlua::Result<()> {
    host.set("bit", bits::library(lua)?)?;
    host.set("cjson", cjson::library(lua, meter)?)?;
    let shared = Arc::clone(meter);
    let another = lua.create_function(move |lua, ()| cjson::library(lua, &shared))?;
    host.set("new_cjson", another)?;
    host.set("cmsgpack", cmsgpack::library(lua, meter)?)?;
    host.set("maths", math::library(lua, meter)?)?;
    host.set("os", math::clock(lua, meter)?)?;
    host.set("strings", strings::library(lua, meter)?)?;
    host.set("struct", packing::library(lua, meter)?)
}

/// One call of a library outside of the sandbox.
#[cfg(test)]
mod harness {
    use super::*;
    use crate::script::ScriptLimits;
    use crate::script::meter::Running;
    use crate::storage::{Clock, SystemClock};

    /// The results of a call, or what is wrong after a `!`. The run may build 1 MiB, and take 100,000 steps.
    pub(super) fn ask(
        library: impl FnOnce(&Lua, &Arc<Meter>) -> mlua::Result<Table>,
        call: &str,
    ) -> String {
        let lua = Lua::new();
        let meter = Arc::new(Meter::new());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let limits = ScriptLimits::new()
            .memory_bytes(1 << 20)
            .instructions(100_000);
        let running = Running::new(false, b"", &[], clock.monotonic(), None);
        meter.start(limits, &clock, &running);
        let library = library(&lua, &meter).expect("a library");
        lua.globals().raw_set("l", library).expect("a global");
        let results: MultiValue = match lua.load(format!("return l.{call}")).eval() {
            Ok(results) => results,
            Err(error) => return format!("!{}", crate::script::state::cause(&error)),
        };
        let mut results = results.iter();
        let ok = results
            .next()
            .and_then(Value::as_boolean)
            .expect("whether it went well");
        let show = |value: &Value| match value {
            Value::String(text) => format!("\"{}\"", text.as_bytes().escape_ascii()),
            Value::Table(table) => format!("table of {}", table.raw_len()),
            other => other.to_string().expect("no metatable"),
        };
        let shown: Vec<String> = results.map(show).collect();
        format!("{}{}", if ok { "" } else { "!" }, shown.join(", "))
    }
}
