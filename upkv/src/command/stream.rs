//! Chapter: streams. Groups of consumers are in [`super::stream_group`].

use super::args::{self, Args, Options};
use super::reply::Reply;
use super::row::{At, Command, ONE, data, rows};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::keyspace::work::event::Wait;
use crate::ops::stream::{
    self, Deleted, NewId, References, StreamEntry, TRIM_LIMIT, Threshold, Trim,
};
use crate::value::Kind;
use crate::value::stream::{Stream, StreamId, part};

pub(super) static ROWS: &[Command] = rows! { "stream";
    "xadd" -5 WRITE | GROW | FAST, ONE, data(xadd), "5.0.0", "O(1), and O(m) for m trimmed entries",
        "Appends an entry";
    "xdel" -3 WRITE | FAST, ONE, data(xdel), "5.0.0", "O(m)", "Deletes entries";
    "xdelex" -5 WRITE | FAST, ONE, data(xdelex), "8.2.0", "O(m)",
        "Deletes entries, with what groups know of them";
    "xlen" 2 READ | FAST, ONE, data(xlen), "5.0.0", "O(1)", "Counts entries";
    "xrange" -4 READ, ONE, data(xrange), "5.0.0", "O(log n + m)", "Lists entries between two ids";
    "xread" -4 READ | BLOCKING, At::Custom(read_keys), data(xread), "5.0.0", "O(keys + m)",
        "Lists entries above an id, of several streams, or waits for one";
    "xrevrange" -4 READ, ONE, data(xrevrange), "5.0.0", "O(log n + m)",
        "Lists entries between two ids, newest first";
    "xsetid" -3 WRITE | GROW | FAST, ONE, data(xsetid), "5.0.0", "O(1)", "Sets the last id and the counters";
    "xtrim" -4 WRITE, ONE, data(xtrim), "5.0.0", "O(m)", "Removes the oldest entries";
};

#[cold]
pub(super) fn bad_id() -> Error {
    Error::refused("ERR Invalid stream ID specified as stream command argument")
}

/// An id, with 0 for a number that is missing.
pub(super) fn id(text: &[u8]) -> Result<StreamId> {
    StreamId::parse(text).ok_or_else(bad_id)
}

/// One end of an interval: `-`, `+`, an id, or `(` and an id.
pub(super) fn bound(text: &[u8], is_start: bool) -> Result<StreamId> {
    let seq = if is_start { 0 } else { u64::MAX };
    match text {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        [b'(', rest @ ..] if !rest.is_empty() => {
            let id = StreamId::parse_or(rest, seq).ok_or_else(bad_id)?;
            if is_start {
                let refused = || Error::refused("ERR invalid start ID for the interval");
                id.next().ok_or_else(refused)
            } else {
                let refused = || Error::refused("ERR invalid end ID for the interval");
                id.previous().ok_or_else(refused)
            }
        }
        _ => StreamId::parse_or(text, seq).ok_or_else(bad_id),
    }
}

pub(super) fn references(option: &[u8]) -> Option<References> {
    Some(match option {
        b"KEEPREF" => References::Keep,
        b"DELREF" => References::Drop,
        b"ACKED" => References::Acked,
        _ => return None,
    })
}

pub(super) fn id_reply(id: StreamId) -> Reply {
    Reply::bulk(id.to_string())
}

/// An entry: its id, and names and values in turn.
pub(super) fn entry_reply(entry: StreamEntry) -> Reply {
    let fields = entry.fields.into_iter();
    let fields = fields.flat_map(|(name, value)| [Reply::bulk(name), Reply::bulk(value)]);
    Reply::Array(vec![id_reply(entry.id), Reply::Array(fields.collect())])
}

pub(super) fn entries_reply(entries: Vec<StreamEntry>) -> Reply {
    Reply::Array(entries.into_iter().map(entry_reply).collect())
}

/// What XADD and XTRIM share.
#[derive(Default)]
struct TrimOptions {
    create: bool,
    threshold: Option<Threshold>,
    approximate: bool,
    limit: Option<u64>,
    references: Option<References>,
    /// Position of what is neither an option nor the argument of one.
    end: usize,
}

fn not_negative(text: &[u8], refusal: &'static str) -> Result<u64> {
    u64::try_from(args::int(text)?).map_err(|_| Error::refused(refusal))
}

/// Reads options up to the id, or up to the end where there is none.
fn trim_options(args: &Args<'_>, has_id: bool) -> Result<TrimOptions> {
    let mut found = TrimOptions {
        create: true,
        end: 2,
        ..TrimOptions::default()
    };
    while let Some(text) = args.get(found.end) {
        let rest = &args[found.end + 1..];
        let is = |keyword| args::is(text, keyword);
        if has_id && **text == *b"*" {
            break;
        } else if (is("MAXLEN") || is("MINID")) && !rest.is_empty() {
            if found.threshold.is_some() {
                return Err(Error::refused(
                    "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
                ));
            }
            let (value, used) = match rest {
                [b"~", value, ..] => {
                    found.approximate = true;
                    (value, 3)
                }
                [b"=", value, ..] => (value, 3),
                [value, ..] => (value, 2),
                [] => return Err(Error::syntax()),
            };
            found.threshold = Some(if is("MAXLEN") {
                let max = not_negative(value, "ERR The MAXLEN argument must be >= 0.")?;
                Threshold::MaxLen(max)
            } else {
                Threshold::MinId(id(value)?)
            });
            found.end += used;
        } else if is("LIMIT") && !rest.is_empty() {
            let limit = not_negative(rest[0], "ERR The LIMIT argument must be >= 0.")?;
            found.limit = Some(limit);
            found.end += 2;
        } else if has_id && is("NOMKSTREAM") {
            found.create = false;
            found.end += 1;
        } else if let (given @ Some(_), None) =
            (references(&text.to_ascii_uppercase()), found.references)
        {
            found.references = given;
            found.end += 1;
        } else if has_id {
            break;
        } else {
            return Err(Error::syntax());
        }
    }
    Ok(found)
}

impl TrimOptions {
    fn trim(&self) -> Result<Option<Trim>> {
        let Some(threshold) = self.threshold else {
            return match self.limit {
                Some(1..) => Err(Error::refused(
                    "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
                )),
                _ => Ok(None),
            };
        };
        if self.limit.is_some() && !self.approximate {
            return Err(Error::refused(
                "ERR syntax error, LIMIT cannot be used without the special ~ option",
            ));
        }
        let default = if self.approximate { TRIM_LIMIT } else { 0 };
        Ok(Some(Trim {
            threshold,
            approximate: self.approximate,
            limit: self.limit.unwrap_or(default),
            references: self.references.unwrap_or_default(),
        }))
    }
}

fn new_id(text: &[u8]) -> Result<NewId> {
    if text == b"*" {
        return Ok(NewId::Auto);
    }
    if let Some(ms) = text.strip_suffix(b"-*") {
        return part(ms).map(NewId::AutoSeq).ok_or_else(bad_id);
    }
    id(text).map(NewId::Exact)
}

fn xadd(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let options = trim_options(args, true)?;
    let wanted = args.get(options.end).map(|text| new_id(text)).transpose()?;
    let trim = options.trim()?;
    let fields = args.get(options.end + 1..).unwrap_or_default();
    let (Some(wanted), true) = (wanted, fields.len() >= 2 && fields.len().is_multiple_of(2)) else {
        return Err(Error::refused(
            "ERR wrong number of arguments for 'xadd' command",
        ));
    };
    let added = stream::add(work, args[1], options.create, wanted, fields, trim)?;
    Ok(added.map_or(Reply::Null, id_reply))
}

fn xtrim(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let trim = trim_options(args, false)?.trim()?.ok_or_else(|| {
        Error::refused("ERR syntax error, XTRIM must be called with a trimming strategy")
    })?;
    stream::trim(work, args[1], trim).map(Reply::count)
}

fn xlen(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    stream::len(work, args[1]).map(Reply::count)
}

fn xrange(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    range(work, args, args[2], args[3], false)
}

fn xrevrange(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    range(work, args, args[3], args[2], true)
}

/// A number of entries; `None` means none at all.
pub(super) fn count(text: &[u8]) -> Result<Option<usize>> {
    let count = args::int(text)?;
    Ok((count > 0).then(|| usize::try_from(count).unwrap_or(usize::MAX)))
}

fn range(
    work: &mut Work<'_>,
    args: &Args<'_>,
    start: &[u8],
    end: &[u8],
    reverse: bool,
) -> Result<Reply> {
    let (start, end) = (bound(start, true)?, bound(end, false)?);
    let mut most = Some(usize::MAX);
    let mut options = Options::new(&args[4..]);
    while let Some(option) = options.next() {
        if option != "COUNT" {
            return Err(Error::syntax());
        }
        most = count(options.value()?)?;
    }
    if work.read::<Stream>(args[1])?.is_none() {
        return Ok(Reply::Array(Vec::new()));
    }
    let Some(most) = most else {
        return Ok(Reply::NullArray);
    };
    stream::range(work, args[1], start, end, most, reverse).map(entries_reply)
}

fn xdel(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    // The key comes first: nothing is wrong with an id of a stream that is not there.
    if work.read::<Stream>(args[1])?.is_none() {
        return Ok(Reply::Int(0));
    }
    let ids: Vec<StreamId> = args[2..]
        .iter()
        .map(|text| id(text))
        .collect::<Result<_>>()?;
    let outcome = stream::delete(work, args[1], &ids, References::Keep)?;
    let gone = outcome.iter().filter(|one| **one == Deleted::Yes);
    Ok(Reply::count(gone.count()))
}

/// `[KEEPREF|DELREF|ACKED] IDS n id...`.
pub(super) fn listed_ids<'a>(rest: &'a Args<'a>) -> Result<(References, &'a Args<'a>)> {
    let mut found = None;
    let mut listed = None;
    let mut rest = rest;
    while let [option, after @ ..] = rest {
        rest = after;
        if !args::is(option, "IDS") {
            let given = references(&option.to_ascii_uppercase());
            if given.is_none() || found.is_some() {
                return Err(Error::syntax());
            }
            found = given;
            continue;
        }
        let (count, after) = after.split_first().ok_or_else(Error::syntax)?;
        let refused = || Error::refused("ERR Number of IDs must be a positive integer");
        let count = args::int(count).map_err(|_| refused())?;
        let count = usize::try_from(count).ok().filter(|count| *count > 0);
        let ids = after.split_at_checked(count.ok_or_else(refused)?);
        let unmatched = "ERR The `numids` parameter must match the number of arguments";
        let (ids, after) = ids.ok_or_else(|| Error::refused(unmatched))?;
        (listed, rest) = (Some(ids), after);
    }
    let listed = listed.ok_or_else(Error::syntax)?;
    Ok((found.unwrap_or(References::Keep), listed))
}

/// All the ids, of which none may be bad.
pub(super) fn parse_ids(texts: &Args<'_>) -> Result<Vec<StreamId>> {
    texts.iter().map(|text| id(text)).collect()
}

pub(super) fn deleted_reply(outcome: Vec<Deleted>) -> Reply {
    let code = |one| match one {
        Deleted::Missing => -1,
        Deleted::Yes => 1,
        Deleted::Kept => 2,
    };
    Reply::Array(
        outcome
            .into_iter()
            .map(|one| Reply::Int(code(one)))
            .collect(),
    )
}

fn xdelex(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let is_there = work.read::<Stream>(args[1])?.is_some();
    let (references, ids) = listed_ids(&args[2..])?;
    if !is_there {
        // Ids are looked at where there is something to delete.
        return Ok(deleted_reply(vec![Deleted::Missing; ids.len()]));
    }
    let ids = parse_ids(ids)?;
    stream::delete(work, args[1], &ids, references).map(deleted_reply)
}

fn xsetid(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let last = id(args[2])?;
    let (mut added, mut max_deleted) = (None, None);
    let mut options = Options::new(&args[3..]);
    while let Some(option) = options.next() {
        match &option[..] {
            "ENTRIESADDED" => {
                added = Some(not_negative(
                    options.value()?,
                    "ERR entries_added must be positive",
                )?);
            }
            "MAXDELETEDID" => {
                let given = id(options.value()?)?;
                if last < given {
                    return Err(Error::refused(
                        "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                    ));
                }
                max_deleted = Some(given);
            }
            _ => return Err(Error::syntax()),
        }
    }
    stream::set_id(work, args[1], last, added, max_deleted)?;
    Ok(Reply::OK)
}

/// Positions of the keys of XREAD and XREADGROUP.
pub(super) fn read_keys(args: &Args<'_>) -> Vec<usize> {
    let mut at = 1;
    while let Some(option) = args.get(at) {
        at += match option {
            _ if ["BLOCK", "COUNT", "CLAIM"]
                .iter()
                .any(|name| args::is(option, name)) =>
            {
                2
            }
            _ if args::is(option, "GROUP") => 3,
            _ if args::is(option, "NOACK") => 1,
            _ => break,
        };
    }
    // A line that is refused later still names what it is about.
    let skipped = at.min(args.len());
    let found = args[skipped..]
        .iter()
        .position(|option| args::is(option, "STREAMS"));
    let first = found.map_or(args.len(), |found| skipped + found + 1);
    (first..first + (args.len() - first) / 2).collect()
}

/// The arguments of XREAD and XREADGROUP.
pub(super) struct Reading<'a> {
    pub(super) count: usize,
    /// Whether and how long to wait, in ms; `Some(None)` is for ever.
    #[expect(clippy::option_option, reason = "no wait differs from one without end")]
    pub(super) block: Option<Option<u64>>,
    pub(super) group: Option<(&'a [u8], &'a [u8])>,
    pub(super) no_ack: bool,
    /// Take over what has been pending for at least so long, in ms, before new entries.
    pub(super) claim: Option<u64>,
    pub(super) keys: &'a Args<'a>,
    pub(super) ids: &'a Args<'a>,
    /// Position of the first id.
    pub(super) ids_at: usize,
}

/// How long to wait, in ms; 0 is for ever.
fn block(text: &[u8]) -> Result<Option<u64>> {
    let millis = args::int(text)
        .map_err(|_| Error::refused("ERR timeout is not an integer or out of range"))?;
    let millis = u64::try_from(millis).map_err(|_| Error::refused("ERR timeout is negative"))?;
    Ok((millis > 0).then_some(millis))
}

pub(super) fn reading<'a>(args: &'a Args<'a>, in_group: bool) -> Result<Reading<'a>> {
    let mut found = Reading {
        count: usize::MAX,
        block: None,
        group: None,
        no_ack: false,
        claim: None,
        keys: &[],
        ids: &[],
        ids_at: 0,
    };
    let mut at = 1;
    while let Some(option) = args.get(at) {
        let rest = &args[at + 1..];
        let is = |keyword| args::is(option, keyword);
        let only_in_group = |name: &str| {
            Error::refused_with(format!(
                "ERR The {name} option is only supported by XREADGROUP. You called XREAD instead."
            ))
        };
        at += match rest {
            [value, ..] if is("BLOCK") => {
                found.block = Some(block(value)?);
                2
            }
            [value, ..] if is("COUNT") => {
                found.count = count(value)?.unwrap_or(usize::MAX);
                2
            }
            [_, ..] if is("STREAMS") => {
                if !rest.len().is_multiple_of(2) {
                    return Err(Error::refused(
                        "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.",
                    ));
                }
                (found.keys, found.ids) = rest.split_at(rest.len() / 2);
                found.ids_at = at + 1 + found.keys.len();
                break;
            }
            [group, consumer, ..] if is("GROUP") => {
                if !in_group {
                    return Err(only_in_group("GROUP"));
                }
                found.group = Some((group, consumer));
                3
            }
            [value, ..] if is("CLAIM") => {
                if !in_group {
                    return Err(only_in_group("CLAIM"));
                }
                let refused =
                    || Error::refused("ERR min-idle-time is not an integer or out of range");
                let idle = args::int(value).map_err(|_| refused())?;
                let negative = || Error::refused("ERR min-idle-time must be a positive integer");
                found.claim = Some(u64::try_from(idle).map_err(|_| negative())?);
                2
            }
            _ if is("NOACK") => {
                if !in_group {
                    return Err(only_in_group("NOACK"));
                }
                found.no_ack = true;
                1
            }
            _ => return Err(Error::syntax()),
        };
    }
    if found.keys.is_empty() {
        return Err(Error::syntax());
    }
    if in_group && found.group.is_none() {
        return Err(Error::refused("ERR Missing GROUP option for XREADGROUP"));
    }
    Ok(found)
}

impl Reading<'_> {
    /// The end of a command that found nothing.
    pub(super) fn wait(&self, work: &mut Work<'_>) -> Result<Reply> {
        let Some(timeout_ms) = self.block else {
            return Ok(Reply::NullArray);
        };
        work.wait_for(Wait {
            keys: self.keys.iter().map(|key| (*key).into()).collect(),
            kind: Kind::Stream,
            timeout_ms,
            empty: Reply::NullArray,
        })
    }
}

fn xread(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let reading = reading(args, false)?;
    let mut starts = Vec::with_capacity(reading.ids.len());
    for (at, (key, text)) in reading.keys.iter().zip(reading.ids).enumerate() {
        let found = work.read::<Stream>(key)?;
        let relative = match *text {
            b"$" => Some(found.map_or(StreamId::MIN, Stream::last_id)),
            b"+" => {
                let last = found.and_then(|stream| stream.entries().last());
                let before = last.and_then(|last| last.id.previous());
                Some(before.unwrap_or_else(|| found.map_or(StreamId::MIN, Stream::last_id)))
            }
            b">" => {
                return Err(Error::refused(
                    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
                ));
            }
            _ => None,
        };
        starts.push(match relative {
            Some(id) => {
                // What "now" is does not move while the command waits.
                work.rewrite_argument(reading.ids_at + at, id.to_string().as_bytes());
                id
            }
            None => id(text)?,
        });
    }
    let mut replies = Vec::new();
    for (key, start) in reading.keys.iter().zip(starts) {
        let entries = stream::after(work, key, start, reading.count)?;
        if !entries.is_empty() {
            replies.push((Reply::bulk_copy(key), entries_reply(entries)));
        }
    }
    if replies.is_empty() {
        return reading.wait(work);
    }
    Ok(Reply::Keyed(replies))
}
