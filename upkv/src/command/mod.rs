//! The untyped door: commands as lists of byte strings, replies as trees.
//!
//! Each file is a chapter: its rows of the table, and handlers that parse arguments and call `ops`. Order of checks: name, number of arguments, room in memory, arguments, key.

mod args;
mod field_ttl;
#[cfg(feature = "lua")]
mod functions_lua;
mod hash;
mod keys;
mod reply;
pub(crate) mod row;
mod script;
#[cfg(feature = "lua")]
mod scripts_lua;
#[cfg(not(feature = "lua"))]
mod scripts_off;
mod server;
mod session;
mod string;
mod table;
mod zset;

pub use reply::Reply;
pub use session::Session;
pub use table::{CommandInfo, commands};

pub(crate) use row::Command;

use crate::error::{Error, Result};
use crate::keyspace::engine::{Engine, Keys};
use crate::keyspace::work::Work;
use crate::storage::Durability;

/// Runs one command on its own.
pub(crate) fn execute(
    engine: &Engine,
    db: u8,
    level: Option<Durability>,
    args: &[&[u8]],
) -> Result<Reply> {
    let command = Command::find(args)?;
    let handler = data_handler(command)?;
    if command.has(row::GROW) {
        engine.check_room()?;
    }
    if let row::At::Range {
        first: 1, last: 1, ..
    } = command.at
    {
        // The commonest form needs no list.
        return engine.run(db, level, Keys::One(args[1]), |work| handler(work, args));
    }
    let found = command.keys(args);
    let keys = match &found[..] {
        _ if command.has(row::EVERY) => Keys::Every,
        #[cfg(feature = "lua")]
        keys if command.has(row::ALL)
            && command.group == "scripting"
            && scripts_lua::locks_only_keys(engine, command.name, args) =>
        {
            Keys::Many(keys)
        }
        _ if command.has(row::ALL) => Keys::All,
        [] => Keys::Open,
        [key] => Keys::One(key),
        keys => Keys::Many(keys),
    };
    engine.run(db, level, keys, |work| handler(work, args))
}

/// Runs one command inside a larger work.
pub(crate) fn execute_in(work: &mut Work<'_>, args: &[&[u8]]) -> Result<Reply> {
    let command = Command::find(args)?;
    let handler = data_handler(command)?;
    if command.has(row::GROW) {
        work.engine.check_room()?;
    }
    handler(work, args)
}

/// What runs the command on data; the rest needs a session.
pub(crate) fn data_handler(command: &Command) -> Result<row::DataHandler> {
    match command.handler {
        row::Handler::Data(handler) => Ok(handler),
        row::Handler::Session(_) => {
            let name = command.name.to_ascii_uppercase().replace('|', " ");
            Err(Error::refused_with(match &name[..] {
                "EXEC" | "DISCARD" => format!("ERR {name} without MULTI"),
                _ => format!("ERR {name} needs a session"),
            }))
        }
        row::Handler::Container => {
            let text = format!(
                "ERR wrong number of arguments for '{}' command",
                command.name
            );
            Err(Error::refused_with(text))
        }
    }
}
