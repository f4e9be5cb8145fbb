//! The untyped door: commands as lists of byte strings, replies as trees.
//!
//! Each file is a chapter: its rows of the table, and handlers that parse arguments and call `ops`. Order of checks: name,
//! number of arguments, room in memory, arguments, key.

pub(crate) mod acl;
mod admin;
mod args;
mod bits;
mod client;
mod config;
mod connection;
mod counting;
mod debug;
mod dump;
mod field_ttl;
#[cfg(feature = "lua")]
mod functions_lua;
mod geo;
mod hash;
mod hll;
mod increx;
mod info;
mod info_page;
mod introspect;
mod json;
mod keys;
mod list;
mod multi;
mod object;
mod pipeline;
mod pubsub;
mod reply;
pub(crate) mod row;
#[cfg(feature = "lua")]
mod script;
#[cfg(feature = "lua")]
mod scripts_lua;
mod secrets;
mod server;
mod session;
mod set;
mod slowlog;
mod sort;
mod stream;
mod stream_group;
mod stream_info;
mod string;
mod string_more;
mod table;
mod tracking;
mod wait;
mod waiting;
mod zset;
mod zset_add;
mod zset_pop;

#[cfg(feature = "lua")]
pub(crate) use args::database;
pub use reply::Reply;
pub use session::Session;
pub use table::{CommandInfo, commands};
pub use waiting::{CommandFuture, ReplyFuture};

pub(crate) use connection::wrong_password;
pub(crate) use row::{Command, GROW, WRITE};
pub(crate) use session::{Replies, Step};
pub(crate) use table::{position, sorted_rows};
pub(crate) use waiting::execute;

use smallvec::SmallVec;

use crate::error::{Error, Result};
use crate::keyspace::direct::Direct;
use crate::keyspace::engine::{Caller, Engine, Keys};
use crate::keyspace::work::Work;

/// The words of a command; most have few, and those need no list on the heap.
pub(crate) type Words<A> = SmallVec<[A; 6]>;

/// Runs a command that does not wait.
fn run(engine: &Engine, caller: Caller, command: &Command, args: &[&[u8]]) -> Result<Reply> {
    let handler = data_handler(command)?;
    engine.check_room_for(command, args)?;
    if let row::Handler::Direct { at_once, .. } = command.handler
        && engine.rules.are_plain()
        && let Direct::Done(reply) = at_once(engine, caller, args)?
    {
        return Ok(reply);
    }
    let found;
    let keys = if let row::At::Range {
        first: 1, last: 1, ..
    } = command.at
    {
        // The commonest form needs no list.
        Keys::One(args[1])
    } else {
        found = command.keys(args);
        match &found[..] {
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
        }
    };
    let ran = engine.run_as(caller, keys, |work| {
        work.reads = command.has(row::READ);
        let reply = handler(work, args)?;
        engine.rules.check_growth(work)?;
        Ok(engine.rules.shape(command, reply))
    })?;
    engine.finish(ran, caller.level)
}

/// Runs one command inside a larger work, if whoever that runs for has the right to it.
pub(crate) fn execute_in(work: &mut Work<'_>, args: &[&[u8]]) -> Result<Reply> {
    let command = Command::find(args)?;
    acl::check_inside(work, command, args)?;
    run_in(work, command, args)
}

/// As [`execute_in`] for a command that was checked.
fn run_in(work: &mut Work<'_>, command: &Command, args: &[&[u8]]) -> Result<Reply> {
    let handler = data_handler(command)?;
    work.engine.check_room_inside(command, args)?;
    work.reads = command.has(row::READ);
    perform(work, command, handler, args)
}

/// Runs a handler inside a larger work, within the limits and in the profile of the database.
pub(crate) fn perform(
    work: &mut Work<'_>,
    command: &Command,
    handler: row::DataHandler,
    args: &[&[u8]],
) -> Result<Reply> {
    let rules = &work.engine.rules;
    rules.check_records(work, command, args)?;
    let reply = handler(work, args)?;
    Ok(rules.shape(command, reply))
}

/// What runs the command on data; the rest needs a session.
pub(crate) fn data_handler(command: &Command) -> Result<row::DataHandler> {
    match command.handler {
        row::Handler::Data(handler) | row::Handler::Direct { data: handler, .. } => Ok(handler),
        row::Handler::Session(_) => {
            let name = command.name.to_ascii_uppercase().replace('|', " ");
            Err(Error::refused_with(match &name[..] {
                "EXEC" | "DISCARD" => format!("ERR {name} without MULTI"),
                _ => format!("ERR {name} needs a session"),
            }))
        }
        row::Handler::Container if command.name == "command" => {
            Ok(|work, _args| Ok(introspect::all(work)))
        }
        row::Handler::Container if command.name == "debug" => {
            Ok(|_work, args| Err(client::wrong_arguments("DEBUG", args[1])))
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
