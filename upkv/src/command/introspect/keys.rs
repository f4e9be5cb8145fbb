//! Where the keys of a command are and what is done to them, as COMMAND tells it.

use super::name;
use crate::command::args::Args;
use crate::command::reply::Reply;
use crate::command::row::{At, Command};
use crate::command::table;
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::server::acl::access::{self, Access};

/// Commands whose keys need parsing, and the first argument of which is one.
pub(super) fn starts_at_one(command: &Command) -> bool {
    matches!(
        command.name,
        "sort" | "sort_ro" | "georadius" | "georadiusbymember"
    )
}

/// What is done to a key, in Redis' words.
fn words(command: &Command, access: Access) -> Vec<&'static str> {
    let change = match command.name {
        "append" | "geoadd" | "hsetnx" | "linsert" | "lpush" | "lpushx" | "msetnx" | "pfadd"
        | "pfmerge" | "rpush" | "rpushx" | "sadd" | "setnx" => "insert",
        "blmpop" | "blpop" | "brpop" | "bzmpop" | "bzpopmax" | "bzpopmin" | "del" | "getdel"
        | "hdel" | "hgetdel" | "json.del" | "json.forget" | "lmpop" | "lpop" | "lrem" | "ltrim"
        | "rpop" | "spop" | "srem" | "unlink" | "xdel" | "xtrim" | "zmpop" | "zpopmax"
        | "zpopmin" | "zrem" | "zremrangebylex" | "zremrangebyrank" | "zremrangebyscore" => {
            "delete"
        }
        _ => "update",
    };
    let overwrites = command.name.ends_with("store")
        || matches!(
            command.name,
            "bitop"
                | "copy"
                | "hmset"
                | "mset"
                | "msetnx"
                | "psetex"
                | "restore"
                | "set"
                | "setex"
                | "setnx"
                | "sort"
        );
    match (access.read, access.write) {
        (true, true) => vec!["RW", "access", change],
        (true, false) => vec!["RO", "access"],
        (false, false) => vec!["RO"],
        (false, true) if matches!(command.name, "del" | "unlink") => vec!["RM", change],
        (false, true) if overwrites => vec!["OW", change],
        (false, true) => vec!["RW", change],
    }
}

fn flags(command: &Command, access: Access) -> Reply {
    Reply::Set(
        words(command, access)
            .into_iter()
            .map(Reply::Status)
            .collect(),
    )
}

fn int(value: usize) -> Reply {
    Reply::count(value)
}

fn part(kind: &str, spec: Vec<(Reply, Reply)>) -> Reply {
    Reply::Map(vec![
        (name("type"), name(kind)),
        (name("spec"), Reply::Map(spec)),
    ])
}

fn spec(flags: Reply, begin: Reply, find: Reply) -> Reply {
    Reply::Map(vec![
        (name("flags"), flags),
        (name("begin_search"), begin),
        (name("find_keys"), find),
    ])
}

fn index(at: usize) -> Reply {
    part("index", vec![(name("index"), int(at))])
}

/// Keys up to `last`, counted from the first one; negative from the end of the arguments.
fn span(last: i64, step: usize, limit: usize) -> Reply {
    part(
        "range",
        vec![
            (name("lastkey"), Reply::Int(last)),
            (name("keystep"), int(step)),
            (name("limit"), int(limit)),
        ],
    )
}

fn counted() -> Reply {
    part(
        "keynum",
        vec![
            (name("keynumidx"), int(0)),
            (name("firstkey"), int(1)),
            (name("keystep"), int(1)),
        ],
    )
}

/// Descriptions of all keys of a command.
pub(super) fn specs(command: &'static Command) -> Vec<Reply> {
    let (first, others) = access::of(command, &[]);
    match command.at {
        At::None => Vec::new(),
        At::Range {
            first: at,
            last,
            step,
        } => {
            let last = match usize::try_from(last) {
                Ok(last) => i64::try_from(last.saturating_sub(at)).unwrap_or(0),
                Err(_) => i64::from(last),
            };
            if first == others || last == 0 {
                return vec![spec(flags(command, first), index(at), span(last, step, 0))];
            }
            let rest = if last < 0 { last } else { last - 1 };
            vec![
                spec(flags(command, first), index(at), span(0, step, 0)),
                spec(
                    flags(command, others),
                    index(at + step),
                    span(rest, step, 0),
                ),
            ]
        }
        At::Counted {
            count,
            destination: true,
        } => vec![
            spec(flags(command, first), index(1), span(0, 1, 0)),
            spec(flags(command, others), index(count), counted()),
        ],
        At::Counted {
            count,
            destination: false,
        } => {
            vec![spec(flags(command, first), index(count), counted())]
        }
        At::Custom(_) if command.name.starts_with("xread") => {
            let from = if command.name == "xread" { 1 } else { 4 };
            let begin = part(
                "keyword",
                vec![
                    (name("keyword"), name("STREAMS")),
                    (name("startfrom"), int(from)),
                ],
            );
            vec![spec(flags(command, first), begin, span(-1, 1, 2))]
        }
        At::Custom(_) if starts_at_one(command) => vec![
            spec(flags(command, first), index(1), span(0, 1, 0)),
            unknown(command, others),
        ],
        At::Custom(_) => vec![unknown(command, first)],
    }
}

/// Keys that only parsing finds.
fn unknown(command: &Command, access: Access) -> Reply {
    let mut words = words(command, access);
    words.push("incomplete");
    let flags = Reply::Set(words.into_iter().map(Reply::Status).collect());
    spec(
        flags,
        part("unknown", Vec::new()),
        part("unknown", Vec::new()),
    )
}

/// The command that the rest of the arguments is, and the positions of its keys.
fn parse<'a>(args: &'a Args<'a>) -> Result<(&'static Command, &'a Args<'a>, Vec<usize>)> {
    let line = &args[2..];
    let command = Command::find(line).map_err(|_| {
        let is_known = line.first().is_some_and(|name| table::row(name).is_some());
        Error::refused(if is_known {
            "ERR Invalid number of arguments specified for command"
        } else {
            "ERR Invalid command specified"
        })
    })?;
    if matches!(command.at, At::None) {
        return Err(Error::refused("ERR The command has no key arguments"));
    }
    let positions = command.key_positions(line);
    if positions.is_empty() {
        return Err(Error::refused(
            "ERR Invalid arguments specified for command",
        ));
    }
    Ok((command, line, positions))
}

pub(super) fn getkeys(_work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let (_, line, mut positions) = parse(args)?;
    positions.sort_unstable();
    Ok(Reply::Array(
        positions
            .into_iter()
            .map(|at| Reply::bulk_copy(line[at]))
            .collect(),
    ))
}

pub(super) fn getkeysandflags(_work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let (command, line, mut positions) = parse(args)?;
    positions.sort_unstable();
    let (first, others) = access::of(command, line);
    let told = positions.into_iter().enumerate().map(|(nth, at)| {
        let access = if nth == 0 { first } else { others };
        Reply::Array(vec![Reply::bulk_copy(line[at]), flags(command, access)])
    });
    Ok(Reply::Array(told.collect()))
}
