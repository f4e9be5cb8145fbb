//! Chapter: groups of consumers of streams.

use super::args::{self, Args, Options};
use super::reply::Reply;
use super::row::{At, CONTAINER, Command, NO_KEYS, ONE, SECOND, data, rows};
use super::stream::{
    bad_id, bound, deleted_reply, entries_reply, entry_reply, id, id_reply, listed_ids, parse_ids,
    read_keys, reading,
};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::ops::stream::{Deleted, StreamEntry};
use crate::ops::stream_claim::{self, Claim, Claimed};
use crate::ops::stream_group::{self, Start};
use crate::value::stream::{Stream, StreamId};

pub(super) static ROWS: &[Command] = rows! { "stream";
    "xack" -4 WRITE | FAST, ONE, data(xack), "5.0.0", "O(m)", "Acknowledges entries";
    "xackdel" -6 WRITE | FAST, ONE, data(xackdel), "8.2.0", "O(m)", "Acknowledges entries and deletes them";
    "xautoclaim" -6 WRITE | FAST, ONE, data(xautoclaim), "6.2.0", "O(m)",
        "Gives entries that have been pending for long to a consumer";
    "xclaim" -6 WRITE | FAST, ONE, data(xclaim), "5.0.0", "O(m log n)", "Gives pending entries to a consumer";
    "xgroup" -2 READ, NO_KEYS, CONTAINER, "5.0.0", "depends", "Creates, changes and removes groups";
    "xgroup|create" -5 WRITE | GROW, SECOND, data(xgroup_create), "5.0.0", "O(1)", "Creates a group";
    "xgroup|createconsumer" 5 WRITE | GROW, SECOND, data(xgroup_create_consumer), "6.2.0", "O(1)",
        "Creates a consumer";
    "xgroup|delconsumer" 5 WRITE, SECOND, data(xgroup_delete_consumer), "5.0.0", "O(pending)",
        "Removes a consumer";
    "xgroup|destroy" 4 WRITE, SECOND, data(xgroup_destroy), "5.0.0", "O(pending)", "Removes a group";
    "xgroup|help" 2 LOADING | STALE, NO_KEYS, data(xgroup_help), "5.0.0", "O(1)", "Lists the subcommands";
    "xgroup|setid" -5 WRITE, SECOND, data(xgroup_set_id), "5.0.0", "O(1)", "Sets where a group is";
    "xpending" -3 READ, ONE, data(xpending), "5.0.0", "O(consumers), or O(n)", "Tells what is pending";
    "xreadgroup" -7 WRITE | BLOCKING, At::Custom(read_keys), data(xreadgroup), "5.0.0", "O(keys + m)",
        "Delivers entries to a consumer, or waits for one";
};

fn xack(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let stream = work.read::<Stream>(args[1])?;
    if stream.and_then(|stream| stream.group(args[2])).is_none() {
        return Ok(Reply::Int(0));
    }
    let ids: Vec<StreamId> = args[3..]
        .iter()
        .map(|text| id(text))
        .collect::<Result<_>>()?;
    stream_group::ack(work, args[1], args[2], &ids).map(Reply::count)
}

fn xackdel(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let stream = work.read::<Stream>(args[1])?;
    let is_there = stream.is_some_and(|stream| stream.group(args[2]).is_some());
    let (references, ids) = listed_ids(&args[3..])?;
    if !is_there {
        return Ok(deleted_reply(vec![Deleted::Missing; ids.len()]));
    }
    let ids = parse_ids(ids)?;
    stream_group::ack_and_delete(work, args[1], args[2], &ids, references).map(deleted_reply)
}

#[cold]
pub(super) fn bad_subcommand(container: &str, sub: &[u8]) -> Error {
    let sub = String::from_utf8_lossy(&sub[..sub.len().min(128)]);
    Error::refused_with(format!(
        "ERR unknown subcommand or wrong number of arguments for '{sub}'. Try {container} HELP."
    ))
}

struct GroupOptions {
    make_stream: bool,
    read: Option<u64>,
}

fn group_options(args: &Args<'_>, may_make: bool) -> Result<GroupOptions> {
    let mut found = GroupOptions {
        make_stream: false,
        read: None,
    };
    let mut options = Options::new(&args[5..]);
    while let Some(option) = options.next() {
        match &option[..] {
            "MKSTREAM" if may_make => found.make_stream = true,
            "ENTRIESREAD" => {
                let value = options
                    .value()
                    .map_err(|_| bad_subcommand("XGROUP", args[1]))?;
                found.read = match args::int(value)? {
                    -1 => None,
                    read => Some(u64::try_from(read).map_err(|_| {
                        Error::refused("ERR value for ENTRIESREAD must be positive or -1")
                    })?),
                };
            }
            _ => return Err(bad_subcommand("XGROUP", args[1])),
        }
    }
    Ok(found)
}

fn xgroup_create(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let options = group_options(args, true)?;
    let exists = work.read::<Stream>(args[2])?.is_some();
    if (exists || options.make_stream) && args.len() > 8 {
        // An option came twice.
        return Err(bad_subcommand("XGROUP", args[1]));
    }
    let start = if args[4] == b"$" || !(exists || options.make_stream) {
        // A missing key is told before a bad id.
        Start::Last
    } else {
        Start::After(id(args[4])?)
    };
    stream_group::create(
        work,
        args[2],
        args[3],
        start,
        options.read,
        options.make_stream,
    )?;
    Ok(Reply::OK)
}

fn xgroup_set_id(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let options = group_options(args, false)?;
    stream_group::check_group(work, args[2], args[3])?;
    if args.len() > 7 {
        return Err(bad_subcommand("XGROUP", args[1]));
    }
    let start = match args[4] {
        b"$" => Start::Last,
        b"-" => Start::After(StreamId::MIN),
        b"+" => Start::After(StreamId::MAX),
        text => Start::After(id(text)?),
    };
    stream_group::set_id(work, args[2], args[3], start, options.read)?;
    Ok(Reply::OK)
}

fn xgroup_destroy(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    stream_group::destroy(work, args[2], args[3]).map(Reply::flag)
}

fn xgroup_create_consumer(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    stream_group::create_consumer(work, args[2], args[3], args[4]).map(Reply::flag)
}

fn xgroup_delete_consumer(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    stream_group::delete_consumer(work, args[2], args[3], args[4]).map(Reply::count)
}

#[expect(clippy::unnecessary_wraps, reason = "a handler may fail")]
fn xgroup_help(_: &mut Work<'_>, _: &Args<'_>) -> Result<Reply> {
    Ok(help(&[
        "XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CREATE <key> <groupname> <id|$> [option]",
        "    Create a new consumer group. Options are:",
        "    * MKSTREAM",
        "      Create the empty stream if it does not exist.",
        "    * ENTRIESREAD entries_read",
        "      Set the group's entries_read counter (internal use).",
        "CREATECONSUMER <key> <groupname> <consumer>",
        "    Create a new consumer in the specified group.",
        "DELCONSUMER <key> <groupname> <consumer>",
        "    Remove the specified consumer.",
        "DESTROY <key> <groupname>",
        "    Remove the specified group.",
        "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
        "    Set the current group ID and entries_read counter.",
        "HELP",
        "    Prints this help.",
    ]))
}

pub(super) fn help(lines: &[&'static str]) -> Reply {
    Reply::Array(lines.iter().map(|line| Reply::Status(line)).collect())
}

/// Whether each id asks for new entries; other ids are where history starts.
fn positions(
    work: &mut Work<'_>,
    keys: &Args<'_>,
    ids: &Args<'_>,
    group: &[u8],
) -> Result<Vec<Option<StreamId>>> {
    let one = |(key, text): (&&[u8], &&[u8])| {
        let stream = work.read::<Stream>(key)?;
        if stream.and_then(|stream| stream.group(group)).is_none() {
            return Err(stream_group::nothing_to_read(key, group));
        }
        match *text {
            b">" => Ok(None),
            b"$" => Err(Error::refused(
                "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.",
            )),
            b"+" => Err(Error::refused(
                "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages.",
            )),
            text => id(text).map(Some),
        }
    };
    keys.iter().zip(ids).map(one).collect()
}

fn xreadgroup(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let reading = reading(args, true)?;
    let (group, consumer) = reading.group.ok_or_else(Error::syntax)?;
    let positions = positions(work, reading.keys, reading.ids, group)?;
    let mut replies = Vec::new();
    for (key, position) in reading.keys.iter().zip(positions) {
        let entries = match position {
            None => {
                let old = match reading.claim {
                    Some(idle) => {
                        stream_group::claim_idle(work, key, group, consumer, idle, reading.count)?
                    }
                    None => Vec::new(),
                };
                let (count, no_ack) = (reading.count - old.len(), reading.no_ack);
                let new = stream_group::read_new(work, key, group, consumer, count, no_ack)?;
                if old.is_empty() && new.is_empty() {
                    continue;
                }
                if reading.claim.is_some() {
                    idle_reply(old, new)
                } else {
                    entries_reply(new)
                }
            }
            Some(after) => {
                let count = reading.count;
                let history = stream_group::read_history(work, key, group, consumer, after, count)?;
                let rows = history.into_iter().map(|(id, entry)| match entry {
                    Some(entry) => entry_reply(entry),
                    None => Reply::Array(vec![id_reply(id), Reply::NullArray]),
                });
                Reply::Array(rows.collect())
            }
        };
        replies.push((Reply::bulk_copy(key), entries));
    }
    if replies.is_empty() {
        return reading.wait(work);
    }
    Ok(Reply::Keyed(replies))
}

/// Entries, each with how long it was idle and how often it had been delivered: neither, for new ones.
fn idle_reply(old: Vec<stream_group::TakenOver>, new: Vec<StreamEntry>) -> Reply {
    let new = new.into_iter().map(|entry| (entry, 0, 0));
    let old = old
        .into_iter()
        .map(|idle| (idle.entry, idle.waited, idle.count));
    let row = |(entry, idle, count)| {
        let Reply::Array(mut items) = entry_reply(entry) else {
            unreachable!("an entry is a list of its id and its fields");
        };
        items.extend([number(idle), number(count)]);
        Reply::Array(items)
    };
    Reply::Array(old.chain(new).map(row).collect())
}

/// The detailed form of XPENDING.
struct PendingRows<'a> {
    min_idle: u64,
    start: StreamId,
    end: StreamId,
    count: usize,
    consumer: Option<&'a [u8]>,
}

fn pending_rows<'a>(args: &Args<'a>) -> Result<Option<PendingRows<'a>>> {
    if args.len() == 3 {
        return Ok(None);
    }
    if !(6..=9).contains(&args.len()) {
        return Err(Error::syntax());
    }
    let (mut min_idle, mut at) = (0, 3);
    if args::is(args[3], "IDLE") {
        min_idle = u64::try_from(args::int(args[4])?).unwrap_or(0);
        if args.len() < 8 {
            return Err(Error::syntax());
        }
        at = 5;
    }
    let count = usize::try_from(args::int(args[at + 2])?).unwrap_or(0);
    Ok(Some(PendingRows {
        min_idle,
        start: bound(args[at], true)?,
        end: bound(args[at + 1], false)?,
        count,
        consumer: args.get(at + 3).copied(),
    }))
}

fn xpending(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let wanted = pending_rows(args)?;
    let now = work.now;
    let stream = work.read::<Stream>(args[1])?;
    let group = stream.and_then(|stream| stream.group(args[2]));
    let group = group.ok_or_else(|| stream_group::no_key_or_group(args[1], args[2]))?;
    let ends = (
        group.pending.first_key_value(),
        group.pending.last_key_value(),
    );
    let Some(wanted) = wanted else {
        let (Some((first, _)), Some((last, _))) = ends else {
            return Ok(Reply::Array(vec![
                Reply::Int(0),
                Reply::Null,
                Reply::Null,
                Reply::NullArray,
            ]));
        };
        let busy = group
            .consumers
            .iter()
            .filter(|(_, found)| !found.pending.is_empty());
        let rows = busy.map(|(name, found)| {
            Reply::Array(vec![
                Reply::bulk_copy(name),
                Reply::bulk(found.pending.len().to_string()),
            ])
        });
        return Ok(Reply::Array(vec![
            Reply::count(group.pending.len()),
            id_reply(*first),
            id_reply(*last),
            Reply::Array(rows.collect()),
        ]));
    };
    if wanted.start > wanted.end {
        return Ok(Reply::Array(Vec::new()));
    }
    let row = |id: &StreamId| {
        let pending = group.pending.get(id)?;
        let idle = now.saturating_sub(pending.delivered);
        (idle >= wanted.min_idle).then(|| {
            Reply::Array(vec![
                id_reply(*id),
                Reply::bulk_copy(&pending.consumer),
                number(idle),
                number(pending.count),
            ])
        })
    };
    let between = wanted.start..=wanted.end;
    let rows = if let Some(name) = wanted.consumer {
        let found = group.consumers.get(name);
        let ids = found
            .into_iter()
            .flat_map(|found| found.pending.range(between.clone()));
        ids.filter_map(row).take(wanted.count).collect()
    } else {
        let ids = group.pending.range(between).map(|(id, _)| id);
        ids.filter_map(row).take(wanted.count).collect()
    };
    Ok(Reply::Array(rows))
}

pub(super) fn number(value: u64) -> Reply {
    Reply::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

/// An integer argument of a claim; what it is for names it in the refusal.
fn claim_number(text: &[u8], what: &str, command: &str) -> Result<i64> {
    args::int(text)
        .map_err(|_| Error::refused_with(format!("ERR Invalid {what} argument for {command}")))
}

fn min_idle(text: &[u8], command: &str) -> Result<u64> {
    let min_idle = claim_number(text, "min-idle-time", command)?;
    Ok(u64::try_from(min_idle).unwrap_or(0))
}

fn check_group(work: &mut Work<'_>, key: &[u8], group: &[u8]) -> Result<()> {
    let stream = work.read::<Stream>(key)?;
    let found = stream.and_then(|stream| stream.group(group));
    found
        .map(drop)
        .ok_or_else(|| stream_group::no_key_or_group(key, group))
}

fn xclaim(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    check_group(work, args[1], args[2])?;
    let now = work.now;
    let mut how = Claim {
        min_idle: min_idle(args[4], "XCLAIM")?,
        ..Claim::default()
    };
    let ids: Vec<StreamId> = args[5..].iter().map_while(StreamId::parse).collect();
    let mut options = Options::new(&args[5 + ids.len()..]);
    let mut at = 5 + ids.len();
    while let Some(option) = options.next() {
        let unknown = || {
            let shown = String::from_utf8_lossy(args[at]);
            Error::refused_with(format!("ERR Unrecognized XCLAIM option '{shown}'"))
        };
        let mut value = || options.value().map_err(|_| unknown());
        let in_past = |at: i64| {
            u64::try_from(at)
                .ok()
                .filter(|at| *at <= now)
                .unwrap_or(now)
        };
        at += match &option[..] {
            "FORCE" => {
                how.force = true;
                1
            }
            "JUSTID" => {
                how.only_ids = true;
                1
            }
            "IDLE" => {
                let idle = claim_number(value()?, "IDLE option", "XCLAIM")?;
                let at = i64::try_from(now).unwrap_or(i64::MAX).saturating_sub(idle);
                how.delivered = Some(in_past(at));
                2
            }
            "TIME" => {
                let at = claim_number(value()?, "TIME option", "XCLAIM")?;
                how.delivered = Some(in_past(at));
                2
            }
            "RETRYCOUNT" => {
                let count = claim_number(value()?, "RETRYCOUNT option", "XCLAIM")?;
                how.count = u64::try_from(count).ok();
                2
            }
            "LASTID" => {
                how.last = StreamId::parse(value()?).ok_or_else(bad_id)?;
                2
            }
            _ => return Err(unknown()),
        };
    }
    let claimed = stream_claim::claim(work, args[1], args[2], args[3], &ids, how)?;
    Ok(claimed_reply(claimed, how.only_ids))
}

fn claimed_reply(entries: Vec<crate::ops::stream::StreamEntry>, only_ids: bool) -> Reply {
    if only_ids {
        let ids = entries.into_iter().map(|entry| id_reply(entry.id));
        Reply::Array(ids.collect())
    } else {
        entries_reply(entries)
    }
}

fn xautoclaim(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    /// Most entries at once, as in Redis: their ids fit into memory.
    const COUNT_MAX: i64 = i64::MAX / 16;
    let mut how = Claim {
        min_idle: min_idle(args[4], "XAUTOCLAIM")?,
        ..Claim::default()
    };
    let start = bound(args[5], true)?;
    let mut count = 100;
    let mut options = Options::new(&args[6..]);
    while let Some(option) = options.next() {
        match &option[..] {
            "COUNT" => {
                let given = args::int(options.value()?).ok();
                let given = given.filter(|given| (1..=COUNT_MAX).contains(given));
                let refused = || Error::refused("ERR COUNT must be > 0");
                count = usize::try_from(given.ok_or_else(refused)?).unwrap_or(usize::MAX);
            }
            "JUSTID" => how.only_ids = true,
            _ => return Err(Error::syntax()),
        }
    }
    let Claimed {
        entries,
        gone,
        next,
    } = stream_claim::auto_claim(work, args[1], args[2], args[3], start, count, how)?;
    Ok(Reply::Array(vec![
        id_reply(next),
        claimed_reply(entries, how.only_ids),
        Reply::Array(gone.into_iter().map(id_reply).collect()),
    ]))
}
