//! Chapter: the database as a whole, and the connection.

use super::args::{self, Args};
use super::reply::Reply;
use super::table;
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::ops::keys;

pub(super) fn ping(_work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    match args {
        [_] => Ok(Reply::Status("PONG")),
        [_, text] => Ok(Reply::bulk_copy(text)),
        _ => Err(Error::refused(
            "ERR wrong number of arguments for 'ping' command",
        )),
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
pub(super) fn echo(_work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    Ok(Reply::bulk_copy(args[1]))
}

pub(super) fn dbsize(work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    keys::count(work).map(Reply::count)
}

pub(super) fn flush(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    match args {
        [_] => {}
        [_, mode] if args::is(mode, "ASYNC") || args::is(mode, "SYNC") => {}
        _ => return Err(Error::syntax()),
    }
    work.flush().map(|_| Reply::OK)
}

pub(super) fn command(_work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let count = || Reply::count(table::commands().count());
    match args {
        [_, subcommand] if args::is(subcommand, "COUNT") => Ok(count()),
        [_, subcommand] if args::is(subcommand, "LIST") => {
            let names = table::commands().map(|info| Reply::bulk_copy(info.name.as_bytes()));
            Ok(Reply::Array(names.collect()))
        }
        [_] => Ok(Reply::Array(
            table::commands().map(|info| info.describe()).collect(),
        )),
        [_, subcommand, ..] => {
            let subcommand = String::from_utf8_lossy(subcommand);
            let text = format!("ERR unknown subcommand '{subcommand}'. Try COMMAND HELP.");
            Err(Error::refused_with(text))
        }
        [] => Err(Error::syntax()),
    }
}

/// Commands that only a session can run.
pub(super) fn session_only(_work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let name = String::from_utf8_lossy(args[0]).to_ascii_uppercase();
    Err(Error::refused_with(match &name[..] {
        "EXEC" | "DISCARD" => format!("ERR {name} without MULTI"),
        _ => format!("ERR {name} needs a session"),
    }))
}
