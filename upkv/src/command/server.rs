//! Chapter: the database as a whole, and the connection.

use super::args::{self, Args};
use super::reply::Reply;
use super::row::{Command, NO_KEYS, data, rows};
use super::table;
use crate::error::{Error, Result};
use crate::keyspace::engine::DATABASES;
use crate::keyspace::work::Work;
use crate::number;
use crate::ops::keys;

pub(super) static ROWS: &[Command] = rows! { "server";
    "command" -1 READ, NO_KEYS, data(command), "2.8.13", "O(commands)",
        "Describes the commands";
    "dbsize" 1 READ | FAST | ALL, NO_KEYS, data(dbsize), "1.0.0", "O(shards)",
        "Counts the keys";
    "echo" 2 READ | FAST, NO_KEYS, data(echo), "1.0.0", "O(1)",
        "Answers its argument";
    "flushall" -1 WRITE | EVERY | DANGEROUS, NO_KEYS, data(flushall), "1.0.0", "O(n)",
        "Removes all keys";
    "flushdb" -1 WRITE | ALL | DANGEROUS, NO_KEYS, data(flushdb), "1.0.0", "O(n)",
        "Removes all keys";
    "swapdb" 3 WRITE | FAST | EVERY | DANGEROUS, NO_KEYS, data(swapdb), "4.0.0", "O(1)",
        "Swaps two databases";
    "ping" -1 READ | FAST, NO_KEYS, data(ping), "1.0.0", "O(1)",
        "Answers PONG";
};

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

fn check_mode(args: &Args<'_>) -> Result<()> {
    match args {
        [_] => Ok(()),
        [_, mode] if args::is(mode, "ASYNC") || args::is(mode, "SYNC") => Ok(()),
        _ => Err(Error::syntax()),
    }
}

pub(super) fn flushdb(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    check_mode(args)?;
    work.flush().map(|_| Reply::OK)
}

pub(super) fn flushall(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    check_mode(args)?;
    for db in 0..DATABASES {
        work.at_db(db, |work| work.flush().map(drop))?;
    }
    Ok(Reply::OK)
}

pub(super) fn swapdb(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let number = |text, which| {
        let not_one = || Error::refused_with(format!("ERR invalid {which} DB index"));
        let number = number::parse_i64(text).and_then(|number| i32::try_from(number).ok());
        number.ok_or_else(not_one)
    };
    let (first, second) = (number(args[1], "first")?, number(args[2], "second")?);
    let count = work.engine.rules.databases();
    let in_range = |index: i32| u8::try_from(index).ok().filter(|db| *db < count);
    let pair = in_range(first).zip(in_range(second));
    let (first, second) = pair.ok_or_else(args::no_such_database)?;
    work.swap(first, second).map(|()| Reply::OK)
}

pub(super) fn command(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    if work.engine.rules.is_upstash() {
        return Ok(Reply::Array(Vec::new()));
    }
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
