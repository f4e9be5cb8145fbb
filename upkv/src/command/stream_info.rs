//! Chapter: what can be told of a stream, its groups and their consumers.

use super::args::{self, Args};
use super::reply::Reply;
use super::row::{CONTAINER, Command, NO_KEYS, SECOND, data, rows};
use super::stream::{entry_reply, id_reply};
use super::stream_group::{bad_subcommand, help, number};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::ops::stream::StreamEntry;
use crate::ops::stream_group::no_group;
use crate::ops::stream_lag::lag;
use crate::value::stream::{Consumer, Group, Stream, StreamId};

/// Entries that XINFO STREAM FULL lists of each kind unless told otherwise.
const LISTED: usize = 10;

pub(super) static ROWS: &[Command] = rows! { "stream";
    "xinfo" -2 READ, NO_KEYS, CONTAINER, "5.0.0", "depends", "Describes a stream";
    "xinfo|consumers" 4 READ, SECOND, data(xinfo_consumers), "5.0.0", "O(consumers)",
        "Describes the consumers of a group";
    "xinfo|groups" 3 READ, SECOND, data(xinfo_groups), "5.0.0", "O(groups)", "Describes the groups of a stream";
    "xinfo|help" 2 LOADING | STALE, NO_KEYS, data(xinfo_help), "5.0.0", "O(1)", "Lists the subcommands";
    "xinfo|stream" -3 READ, SECOND, data(xinfo_stream), "5.0.0", "O(1), or O(m) with FULL", "Describes a stream";
};

fn word(name: &'static str) -> Reply {
    Reply::bulk_copy(name.as_bytes())
}

fn map(pairs: Vec<(&'static str, Reply)>) -> Reply {
    Reply::Map(
        pairs
            .into_iter()
            .map(|(name, value)| (word(name), value))
            .collect(),
    )
}

fn known(value: Option<u64>) -> Reply {
    value.map_or(Reply::Null, number)
}

fn stream<'w>(work: &'w mut Work<'_>, key: &[u8]) -> Result<&'w Stream> {
    work.read::<Stream>(key)?.ok_or(Error::NoSuchKey)
}

#[expect(clippy::unnecessary_wraps, reason = "a handler may fail")]
fn xinfo_help(_: &mut Work<'_>, _: &Args<'_>) -> Result<Reply> {
    Ok(help(&[
        "XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CONSUMERS <key> <groupname>",
        "    Show consumers of <groupname>.",
        "GROUPS <key>",
        "    Show the stream consumer groups.",
        "STREAM <key> [FULL [COUNT <count>]",
        "    Show information about the stream.",
        "HELP",
        "    Prints this help.",
    ]))
}

fn xinfo_groups(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let stream = stream(work, args[2])?;
    let rows = stream.groups().iter().map(|(name, group)| {
        map(vec![
            ("name", Reply::bulk_copy(name)),
            ("consumers", Reply::count(group.consumers.len())),
            ("pending", Reply::count(group.pending.len())),
            ("last-delivered-id", id_reply(group.last)),
            ("entries-read", known(group.read)),
            ("lag", known(lag(stream, group))),
        ])
    });
    Ok(Reply::Array(rows.collect()))
}

fn xinfo_consumers(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let now = work.now;
    let stream = stream(work, args[2])?;
    let group = stream.group(args[3]);
    let group = group.ok_or_else(|| no_group(args[2], args[3]))?;
    let rows = group.consumers.iter().map(|(name, consumer)| {
        let inactive = consumer.active.map(|at| number(now.saturating_sub(at)));
        map(vec![
            ("name", Reply::bulk_copy(name)),
            ("pending", Reply::count(consumer.pending.len())),
            ("idle", number(now.saturating_sub(consumer.seen()))),
            ("inactive", inactive.unwrap_or(Reply::Int(-1))),
        ])
    });
    Ok(Reply::Array(rows.collect()))
}

/// How many entries of each kind the full form lists; `None` for the short form.
fn full(args: &Args<'_>) -> Result<Option<usize>> {
    let count = match &args[3..] {
        [] => return Ok(None),
        [word] if args::is(word, "FULL") => None,
        [word, option, count] if args::is(word, "FULL") && args::is(option, "COUNT") => {
            usize::try_from(args::int(count)?).ok()
        }
        _ => return Err(bad_subcommand("XINFO", args[1])),
    };
    Ok(Some(match count {
        None => LISTED,
        Some(0) => usize::MAX,
        Some(count) => count,
    }))
}

fn xinfo_stream(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let stream = stream(work, args[2])?;
    let listed = full(args)?;
    let (counters, entries) = (stream.counters(), stream.entries());
    let mut pairs = vec![
        ("length", Reply::count(stream.len())),
        ("radix-tree-keys", Reply::count(entries.blocks())),
        ("radix-tree-nodes", Reply::count(entries.blocks() + 1)),
        ("last-generated-id", id_reply(counters.last)),
        ("max-deleted-entry-id", id_reply(counters.max_deleted)),
        ("entries-added", number(counters.added)),
        ("recorded-first-entry-id", id_reply(stream.first_id())),
    ];
    let shown = |entry| entry_reply(StreamEntry::copy(entry));
    if let Some(listed) = listed {
        let some = entries.range(StreamId::MIN, StreamId::MAX).take(listed);
        pairs.push(("entries", Reply::Array(some.map(shown).collect())));
        let groups = stream.groups().iter();
        let groups = groups.map(|(name, group)| full_group(stream, name, group, listed));
        pairs.push(("groups", Reply::Array(groups.collect())));
    } else {
        let end = |entry: Option<_>| entry.map_or(Reply::Null, shown);
        pairs.extend([
            ("groups", Reply::count(stream.groups().len())),
            ("first-entry", end(entries.first())),
            ("last-entry", end(entries.last())),
        ]);
    }
    Ok(map(pairs))
}

fn full_group(stream: &Stream, name: &[u8], group: &Group, listed: usize) -> Reply {
    let pending = group.pending.iter().take(listed).map(|(id, pending)| {
        Reply::Array(vec![
            id_reply(*id),
            Reply::bulk_copy(&pending.consumer),
            number(pending.delivered),
            number(pending.count),
        ])
    });
    let consumers = group.consumers.iter();
    let consumers = consumers.map(|(name, consumer)| full_consumer(group, name, consumer, listed));
    map(vec![
        ("name", Reply::bulk_copy(name)),
        ("last-delivered-id", id_reply(group.last)),
        ("entries-read", known(group.read)),
        ("lag", known(lag(stream, group))),
        ("pel-count", Reply::count(group.pending.len())),
        ("pending", Reply::Array(pending.collect())),
        ("consumers", Reply::Array(consumers.collect())),
    ])
}

fn full_consumer(group: &Group, name: &[u8], consumer: &Consumer, listed: usize) -> Reply {
    let of = |id: &StreamId| {
        let pending = group.pending.get(id)?;
        Some(Reply::Array(vec![
            id_reply(*id),
            number(pending.delivered),
            number(pending.count),
        ]))
    };
    let pending = consumer.pending.iter().take(listed).filter_map(of);
    map(vec![
        ("name", Reply::bulk_copy(name)),
        ("seen-time", number(consumer.seen())),
        (
            "active-time",
            consumer.active.map_or(Reply::Int(-1), number),
        ),
        ("pel-count", Reply::count(consumer.pending.len())),
        ("pending", Reply::Array(pending.collect())),
    ])
}
