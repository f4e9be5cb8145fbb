//! The untyped door: commands as lists of byte strings, replies as trees.
//!
//! [`table`] has one row a command; the other files are chapters of handlers that parse arguments and call
//! `ops`. Order of checks: name, number of arguments, room in memory, arguments, key.

mod args;
mod hash;
mod keys;
mod reply;
mod server;
mod session;
mod string;
mod table;
mod zset;

pub use reply::Reply;
pub use session::Session;
pub use table::{CommandInfo, commands};

pub(crate) use table::Command;

use crate::error::Result;
use crate::keyspace::engine::{Engine, Keys};
use crate::keyspace::work::Work;
use crate::storage::Durability;

/// Runs one command on its own.
pub(crate) fn execute(engine: &Engine, level: Option<Durability>, args: &[&[u8]]) -> Result<Reply> {
    let command = Command::find(args)?;
    command.check_arguments(args)?;
    if command.grows() {
        engine.check_room()?;
    }
    let found = command.keys(args);
    let keys = match &found[..] {
        _ if command.needs_all() => Keys::All,
        [] => Keys::Open,
        [key] => Keys::One(key),
        keys => Keys::Many(keys),
    };
    engine.run(level, keys, |work| (command.handler)(work, args))
}

/// Runs one command inside a larger work.
pub(crate) fn execute_in(work: &mut Work<'_>, args: &[&[u8]]) -> Result<Reply> {
    let command = Command::find(args)?;
    command.check_arguments(args)?;
    if command.grows() {
        work.engine.check_room()?;
    }
    (command.handler)(work, args)
}
