//! Chapter: the commands about commands. COMMAND and its subcommands.

mod docs;
mod keys;

use super::args::{self, Args};
use super::client::lines_of_help;
use super::reply::Reply;
use super::row::{At, CONTAINER, Command, Handler, NO_KEYS, data, row_flags, rows};
use super::table;
use crate::error::{Error, Result};
use crate::glob;
use crate::keyspace::work::Work;
use crate::server::acl::category;

pub(super) static ROWS: &[Command] = rows! { "server";
    "command" -1 LOADING | STALE, NO_KEYS, CONTAINER, "2.8.13", "O(commands)",
        "Describes the commands";
    "command|count" 2 LOADING | STALE, NO_KEYS, data(count), "2.8.13", "O(1)",
        "Counts the commands";
    "command|docs" -2 LOADING | STALE, NO_KEYS, data(docs::docs), "7.0.0", "O(n) in the commands told",
        "Explains commands";
    "command|getkeys" -3 LOADING | STALE, NO_KEYS, data(keys::getkeys), "2.8.13", "O(arguments)",
        "Tells the keys of a whole command";
    "command|getkeysandflags" -3 LOADING | STALE, NO_KEYS, data(keys::getkeysandflags), "7.0.0", "O(arguments)",
        "Tells the keys of a whole command and what is done to them";
    "command|help" 2 LOADING | STALE, NO_KEYS, data(help), "5.0.0", "O(1)",
        "Tells the subcommands";
    "command|info" -2 LOADING | STALE, NO_KEYS, data(info), "2.8.13", "O(n) in the commands told",
        "Describes some commands";
    "command|list" -2 LOADING | STALE, NO_KEYS, data(list), "7.0.0", "O(commands)",
        "Tells the names of commands";
};

fn name(name: &str) -> Reply {
    Reply::bulk_copy(name.as_bytes())
}

/// The commands without their subcommands.
fn top() -> impl Iterator<Item = &'static Command> {
    table::rows().filter(|row| !row.name.contains('|'))
}

fn subcommands(command: &Command) -> impl Iterator<Item = &'static Command> {
    let prefix = format!("{}|", command.name);
    let is_container = matches!(command.handler, Handler::Container);
    table::rows().filter(move |row| is_container && row.name.starts_with(&prefix))
}

/// Everything COMMAND tells about one command.
fn describe(command: &'static Command) -> Reply {
    let (first, last, step) = match command.at {
        At::Range { first, last, step } => (
            i64::try_from(first).unwrap_or(0),
            i64::from(last),
            i64::try_from(step).unwrap_or(0),
        ),
        At::Counted {
            destination: true, ..
        } => (1, 1, 1),
        At::Custom(_) if keys::starts_at_one(command) => (1, 1, 1),
        At::None | At::Custom(_) | At::Counted { .. } => (0, 0, 0),
    };
    let found = category::of(command);
    let categories = category::NAMES.iter().enumerate();
    let categories = categories.filter(|(at, _)| found & (1 << at) != 0);
    let subcommands: Vec<Reply> = subcommands(command).map(describe).collect();
    Reply::Array(vec![
        name(command.name),
        Reply::Int(i64::from(command.arity)),
        Reply::Set(row_flags(command).map(Reply::Status).collect()),
        Reply::Int(first),
        Reply::Int(last),
        Reply::Int(step),
        Reply::Set(
            categories
                .map(|(_, name)| Reply::Text(format!("@{name}")))
                .collect(),
        ),
        Reply::Set(tips(command.name).iter().map(|tip| name(tip)).collect()),
        Reply::Set(keys::specs(command)),
        Reply::Array(subcommands),
    ])
}

/// Hints for clients and proxies.
fn tips(command: &str) -> &'static [&'static str] {
    match command {
        "dbsize" | "unlink" | "del" | "exists" | "touch" => {
            &["request_policy:multi_shard", "response_policy:agg_sum"]
        }
        "flushall" | "flushdb" => &["request_policy:all_shards", "response_policy:all_succeeded"],
        "ping" => &["request_policy:all_shards", "response_policy:all_succeeded"],
        "keys" => &["request_policy:all_shards", "nondeterministic_output_order"],
        "mget" => &["request_policy:multi_shard"],
        "mset" => &[
            "request_policy:multi_shard",
            "response_policy:all_succeeded",
        ],
        "scan" => &[
            "nondeterministic_output",
            "request_policy:special",
            "response_policy:special",
        ],
        "randomkey" => &[
            "request_policy:all_shards",
            "response_policy:special",
            "nondeterministic_output",
        ],
        "info" | "memory|doctor" | "memory|stats" | "memory|malloc-stats" => &[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ],
        "slowlog|get" => &["request_policy:all_nodes", "nondeterministic_output"],
        "slowlog|len" => &[
            "request_policy:all_nodes",
            "response_policy:agg_sum",
            "nondeterministic_output",
        ],
        "slowlog|reset" | "config|set" | "config|resetstat" | "config|rewrite"
        | "latency|reset" => &["request_policy:all_nodes", "response_policy:all_succeeded"],
        "hrandfield" | "srandmember" | "spop" | "zrandmember" | "ttl" | "pttl" | "time"
        | "lastsave" | "client|list" | "object|idletime" | "object|freq" | "object|refcount"
        | "object|encoding" | "dump" => &["nondeterministic_output"],
        "hgetall" | "hkeys" | "hvals" | "smembers" | "sdiff" | "sinter" | "sunion"
        | "command|list" => &["nondeterministic_output_order"],
        "command" => &["nondeterministic_output_order"],
        _ => &[],
    }
}

/// COMMAND without a subcommand.
pub(super) fn all(work: &Work<'_>) -> Reply {
    if work.engine.rules.is_upstash() {
        return Reply::Array(Vec::new());
    }
    Reply::Array(top().map(describe).collect())
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn count(_work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    Ok(Reply::count(top().count()))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn info(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    if args.len() == 2 {
        return Ok(all(work));
    }
    let told = args[2..]
        .iter()
        .map(|name| table::row(name).map_or(Reply::Null, describe));
    Ok(Reply::Array(told.collect()))
}

fn list(_work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let names = |wanted: &dyn Fn(&'static Command) -> bool| {
        Ok(Reply::Array(
            table::rows()
                .filter(|row| wanted(row))
                .map(|row| name(row.name))
                .collect(),
        ))
    };
    match &args[2..] {
        [] => Ok(Reply::Array(top().map(|row| name(row.name)).collect())),
        [filter, by, text] if args::is(filter, "FILTERBY") => {
            if args::is(by, "MODULE") {
                Ok(Reply::Array(Vec::new()))
            } else if args::is(by, "ACLCAT") {
                let wanted = category::named(text).unwrap_or(0);
                names(&|row| category::of(row) & wanted != 0)
            } else if args::is(by, "PATTERN") {
                let pattern = text.to_ascii_lowercase();
                names(&|row| glob::matches(&pattern, row.name.as_bytes()))
            } else {
                Err(Error::syntax())
            }
        }
        _ => Err(Error::syntax()),
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn help(_work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    Ok(lines_of_help(&[
        "COMMAND: describes all commands",
        "COMMAND COUNT: number of commands",
        "COMMAND DOCS [name ...]: explains commands",
        "COMMAND GETKEYS command argument ...: keys of a whole command",
        "COMMAND GETKEYSANDFLAGS command argument ...: keys and what is done to them",
        "COMMAND INFO [name ...]: describes some commands",
        "COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]: names of commands",
        "COMMAND HELP: these lines",
    ]))
}
