//! What a library registers, found out by running it where it can touch no data.

use std::sync::Arc;

use mlua::{Table, Value};
use parking_lot::Mutex;

use super::flags;
use super::meter::{Running, Stop};
use super::run::{library_chunk, with_state};
use crate::error::{Error, Result};
use crate::keyspace::engine::Engine;
use crate::keyspace::libraries::{Function, Libraries, Library};

/// Most functions of one library.
const FUNCTIONS_MAX: usize = 4_096;

/// What the library that runs has registered so far.
#[derive(Debug, Default)]
pub(super) struct Registered(Mutex<Vec<Function>>);

impl Registered {
    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }

    /// Notes a function; the reason why not otherwise.
    pub(super) fn add(
        &self,
        name: &mlua::String,
        named: Option<&Table>,
        description: Option<&mlua::String>,
    ) -> mlua::Result<Option<String>> {
        let refused = |text: &str| Ok(Some(text.to_string()));
        let mut bits = 0;
        for flag in named
            .iter()
            .flat_map(|table| table.sequence_values::<Value>())
        {
            match flag? {
                Value::String(name) => match flags::flag(&name.as_bytes()) {
                    Some(flag) => bits |= flag,
                    None => return refused("unknown flag given"),
                },
                _ => return refused("unknown flag given"),
            }
        }
        if let Err(error) = flags::check_name(&name.as_bytes()) {
            let line = error.to_string();
            return refused(line.strip_prefix("ERR ").unwrap_or(&line));
        }
        let mut functions = self.0.lock();
        let taken = |function: &Function| *function.name == *name.as_bytes();
        if functions.iter().any(taken) {
            return refused("Function already exists in the library");
        }
        if functions.len() == FUNCTIONS_MAX {
            return refused("Too many functions in the library");
        }
        functions.push(Function {
            name: (*name.as_bytes()).into(),
            description: description.map(|text| (*text.as_bytes()).into()),
            flags: bits,
        });
        Ok(None)
    }
}

/// A library from its code, with what it registers.
pub(crate) fn load(engine: &Engine, code: &[u8]) -> Result<Arc<Library>> {
    let name = flags::library_name(code)?;
    let library = Library::new(name, code);
    let functions = registers(engine, &library)?;
    let _ = library.functions.set(functions);
    Ok(Arc::new(library))
}

fn registers(engine: &Engine, library: &Library) -> Result<Vec<Function>> {
    with_state(|state| {
        let clock = engine.mount.clock();
        let running = Running::new(true, &library.name, &[], clock.monotonic(), None);
        let limits = engine.scripts.limits;
        state.meter.start(limits, clock, &running);
        state.registered.clear();
        let bounded = state
            .lua
            .set_memory_limit(limits.memory_bytes.saturating_add(1 << 20));
        bounded.map_err(|error| failed(&error.to_string()))?;
        let chunk = library_chunk(state, &library.code);
        let chunk = chunk.map_err(|message| {
            Error::refused_with(format!("ERR Error compiling function: {message}"))
        })?;
        let ran: mlua::Result<(bool, Value)> = state.run_library.call((chunk, Value::Nil));
        let stopped = state.meter.finish();
        match (ran, stopped) {
            (_, Some(Stop::Time | Stop::Instructions)) => {
                Err(Error::refused("ERR FUNCTION LOAD timeout"))
            }
            (_, Some(_)) => Err(failed("ERR not enough memory")),
            (Ok((true, _)), None) => {
                let functions = std::mem::take(&mut *state.registered.0.lock());
                if functions.is_empty() {
                    return Err(Error::refused("ERR No functions registered"));
                }
                Ok(functions)
            }
            (Ok((false, Value::Table(reason))), None) => {
                let text: mlua::Result<mlua::String> = reason.raw_get("err");
                let text = text.map(|text| super::convert::line(&text.as_bytes()));
                Err(failed(&text.unwrap_or_default()))
            }
            (Ok((false, _)), None) => Err(failed("ERR unknown error")),
            (Err(error), None) => Err(failed(&super::convert::line(error.to_string().as_bytes()))),
        }
    })
}

fn failed(text: &str) -> Error {
    Error::refused_with(format!("ERR Error registering functions: {text}"))
}

/// What a library registers; nothing if it cannot be run by this build.
pub(crate) fn functions_of<'l>(engine: &Engine, library: &'l Library) -> &'l [Function] {
    library
        .functions
        .get_or_init(|| registers(engine, library).unwrap_or_default())
}

/// The library that has a function, and the function. Its name may be given in any case.
pub(crate) fn find<'l>(
    engine: &Engine,
    libraries: &'l Libraries,
    name: &[u8],
) -> Option<(&'l Arc<Library>, &'l Function)> {
    libraries.by_name.values().find_map(|library| {
        let mut functions = functions_of(engine, library).iter();
        let found = functions.find(|function| function.name.eq_ignore_ascii_case(name))?;
        Some((library, found))
    })
}

/// Refuses a library that takes the name of another's function.
pub(crate) fn check_names(engine: &Engine, libraries: &Libraries, library: &Library) -> Result<()> {
    for function in functions_of(engine, library) {
        if let Some((other, _)) = find(engine, libraries, &function.name)
            && other.name != library.name
        {
            let name = String::from_utf8_lossy(&function.name);
            return Err(Error::refused_with(format!(
                "ERR Function {name} already exists"
            )));
        }
    }
    Ok(())
}
