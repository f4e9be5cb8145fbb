//! The Lua state of a thread.
//!
//! Invariant: nothing but the sandbox is reachable from a script; see `prelude.lua`. A state in which memory ran out, or
//! that grew large, is not used again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mlua::{
    ChunkMode, Function, HookTriggers, Lua, LuaOptions, MultiValue, StdLib, Table, Value, VmState,
};

use super::frames::keep_frames;
use super::lib;
use super::meter::{Meter, PERIOD, Stop};
use crate::sha1;

/// Compiled scripts kept by a state.
const COMPILED_MAX: usize = 512;
/// Bytes above which a state is dropped after a run.
const KEPT_BYTES_MAX: usize = 4 << 20;
/// Part of a chunk's name that is kept; Lua shows less.
const NAME_BYTES_MAX: usize = 128;
/// Levels of the stack that are searched for the script's own code.
const LEVELS_MAX: usize = 8;

/// The version of Redis that scripts are told.
const VERSION: &str = "7.2.4";
const VERSION_NUMBER: i64 = 0x07_02_04;

/// See the module documentation.
#[derive(Debug)]
pub(super) struct State {
    pub(super) lua: Lua,
    pub(super) meter: Arc<Meter>,
    pub(super) run: Function,
    pub(super) run_library: Function,
    compiled: HashMap<[u8; 20], Function>,
    /// What the library that is being run registers.
    pub(super) registered: Arc<super::catalog::Registered>,
}

impl State {
    pub(super) fn new() -> mlua::Result<Self> {
        let options = LuaOptions::new().catch_rust_panics(false);
        let lua = Lua::new_with(StdLib::STRING | StdLib::TABLE | StdLib::MATH, options)?;
        let meter = Arc::new(Meter::new());
        let registered = Arc::new(super::catalog::Registered::default());
        let hooked = Arc::clone(&meter);
        let every = HookTriggers::new().every_nth_instruction(PERIOD);
        lua.set_hook(every, move |_, _| {
            if hooked.spend(u64::from(PERIOD)) {
                Ok(VmState::Continue)
            } else {
                Err(mlua::Error::runtime("stopped"))
            }
        });
        let host = host(&lua, &meter, &registered)?;
        let prelude = lua
            .load(include_str!("prelude.lua"))
            .set_name("=prelude")
            .into_function()?;
        let (run, run_library) = prelude.call(host)?;
        Ok(Self {
            lua,
            meter,
            run,
            run_library,
            compiled: HashMap::new(),
            registered,
        })
    }

    /// The compiled form of code, by its digest; what is wrong with it otherwise.
    pub(super) fn chunk(
        &mut self,
        digest: [u8; 20],
        name: &str,
        code: &[u8],
    ) -> Result<Function, String> {
        if let Some(chunk) = self.compiled.get(&digest) {
            return Ok(chunk.clone());
        }
        let chunk = compile(&self.lua, code, name)?;
        if self.compiled.len() >= COMPILED_MAX {
            self.compiled.clear();
        }
        self.compiled.insert(digest, chunk.clone());
        Ok(chunk)
    }

    /// Whether the state is good for another run.
    pub(super) fn is_lean(&self) -> bool {
        if self.lua.used_memory() > KEPT_BYTES_MAX {
            let collected = self.lua.gc_collect();
            return collected.is_ok() && self.lua.used_memory() <= KEPT_BYTES_MAX;
        }
        true
    }
}

/// Compiles text; the message of Lua if that fails.
///
/// The collector rests meanwhile: the parser of Lua 5.1 holds strings that nothing protects from it.
fn compile(lua: &Lua, code: &[u8], name: &str) -> Result<Function, String> {
    lua.gc_stop();
    let compiled = lua
        .load(code)
        .set_name(name)
        .set_mode(ChunkMode::Text)
        .into_function()
        .and_then(|chunk| match keep_frames(&chunk.dump(false)) {
            Some(code) => lua.load(code).set_mode(ChunkMode::Binary).into_function(),
            None => Ok(chunk),
        });
    lua.gc_restart();
    compiled.map_err(|error| match error {
        mlua::Error::SyntaxError { message, .. } => message,
        mlua::Error::MemoryError(_) => "not enough memory".into(),
        other => other.to_string(),
    })
}

/// What the prelude is given.
fn host(
    lua: &Lua,
    meter: &Arc<Meter>,
    registered: &Arc<super::catalog::Registered>,
) -> mlua::Result<Table> {
    let host = lua.create_table()?;
    host.set("version", VERSION)?;
    host.set("version_number", VERSION_NUMBER)?;
    let stopped = Arc::clone(meter);
    host.set(
        "stopped",
        lua.create_function(move |_, reason: Value| {
            if is_out_of_memory(&reason) {
                stopped.stop(Stop::Memory);
            }
            Ok(stopped.is_stopped())
        })?,
    )?;
    host.set(
        "compile",
        lua.create_function(|lua, (code, name): (mlua::String, Option<mlua::String>)| {
            let name = name.as_ref().unwrap_or(&code).as_bytes();
            let name =
                String::from_utf8_lossy(&name[..name.len().min(NAME_BYTES_MAX)]).into_owned();
            // A null byte would end the name.
            let name = name.replace('\0', " ");
            let name = name.as_str();
            Ok(match compile(lua, &code.as_bytes(), name) {
                Ok(chunk) => (Value::Function(chunk), Value::Nil),
                Err(message) => (Value::Nil, Value::String(lua.create_string(message)?)),
            })
        })?,
    )?;
    host.set("located", lua.create_function(located)?)?;
    host.set(
        "sha1hex",
        lua.create_function(|lua, value: Value| {
            let text = lua.coerce_string(value)?;
            let digest = text.map_or_else(|| sha1::sha1(b""), |text| sha1::sha1(&text.as_bytes()));
            Ok(sha1::hex(&digest))
        })?,
    )?;
    let set = Arc::clone(meter);
    host.set(
        "setresp",
        lua.create_function(move |_, version: u8| {
            set.proto.store(version, Ordering::Relaxed);
            Ok(())
        })?,
    )?;
    let register = Arc::clone(registered);
    host.set(
        "register",
        lua.create_function(
            move |_,
                  (name, flags, description): (
                mlua::String,
                Option<Table>,
                Option<mlua::String>,
            )| { register.add(&name, flags.as_ref(), description.as_ref()) },
        )?,
    )?;
    lib::fill(lua, &host, meter)?;
    Ok(host)
}

/// Whether what was raised is Lua's own complaint about memory.
pub(super) fn is_out_of_memory(reason: &Value) -> bool {
    match reason {
        Value::String(text) => *text.as_bytes() == *b"not enough memory",
        Value::Error(error) => matches!(cause(error), mlua::Error::MemoryError(_)),
        _ => false,
    }
}

/// What is wrong, without the calls on the way.
pub(super) fn cause(error: &mlua::Error) -> &mlua::Error {
    match error {
        mlua::Error::CallbackError { cause: inner, .. } => cause(inner),
        other => other,
    }
}

/// A text that blames the prelude, without where: nothing called the script but that.
fn without_position(text: &[u8]) -> &[u8] {
    let Some(rest) = text.strip_prefix(b"prelude:") else {
        return text;
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    rest[digits..].strip_prefix(b": ").unwrap_or(text)
}

/// Handles what was raised: a table with the text and where in the script that was.
fn located(lua: &Lua, reason: MultiValue) -> mlua::Result<Table> {
    let reason = reason.into_iter().next().unwrap_or(Value::Nil);
    let text = match &reason {
        Value::Table(table) => match table.raw_get("err")? {
            Value::String(text) => text,
            number @ (Value::Integer(_) | Value::Number(_)) => {
                lua.create_string(number.to_string()?)?
            }
            _ => lua.create_string("ERR unknown error")?,
        },
        _ if is_out_of_memory(&reason) => lua.create_string("not enough memory")?,
        Value::String(text) => {
            lua.create_string([b"ERR ", without_position(&text.as_bytes())].concat())?
        }
        Value::Error(error) => lua.create_string(format!("ERR {}", cause(error)))?,
        other => lua.create_string(format!("ERR {}", other.to_string()?))?,
    };
    let out = lua.create_table()?;
    out.raw_set("err", text)?;
    for level in 1..LEVELS_MAX {
        let Some(debug) = lua.inspect_stack(level) else {
            break;
        };
        let source = debug.source().source.unwrap_or_default().into_owned();
        // Neither C, nor the prelude.
        if !matches!(&*source, "" | "=[C]" | "=prelude" | "=(tail call)") {
            out.raw_set("source", source)?;
            out.raw_set("line", debug.curr_line())?;
            break;
        }
    }
    Ok(out)
}
