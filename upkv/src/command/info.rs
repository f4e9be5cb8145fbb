//! Chapter: figures about the database as a whole. INFO, and MEMORY but for single keys.

use super::args::{self, Args};
use super::info_page;
use super::reply::Reply;
use super::row::{Command, NO_KEYS, data, rows};
use crate::error::Result;
use crate::keyspace::engine::DATABASES;
use crate::keyspace::shard::Shard;
use crate::keyspace::work::Work;
use crate::stats::ShardStats;

pub(super) static ROWS: &[Command] = rows! { "server";
    "info" -1 DANGEROUS | LOADING | STALE | EVERY, NO_KEYS, data(info), "1.0.0", "O(shards)",
        "Tells figures about the database";
    "memory|doctor" 2 EVERY, NO_KEYS, data(doctor), "4.0.0", "O(shards)",
        "Tells in words how memory is used";
    "memory|help" 2 LOADING | STALE, NO_KEYS, data(help), "4.0.0", "O(1)",
        "Tells the subcommands";
    "memory|malloc-stats" 2 LOADING, NO_KEYS, data(malloc_stats), "4.0.0", "O(1)",
        "Tells about the allocator";
    "memory|purge" 2 LOADING, NO_KEYS, data(purge), "4.0.0", "O(1)",
        "Asks the allocator to give memory back, which it does by itself";
    "memory|stats" 2 EVERY, NO_KEYS, data(memory_stats), "4.0.0", "O(shards)",
        "Tells figures about memory";
};

/// Sections that are told unless others are asked for.
const USUAL: &[&str] = &[
    "server",
    "clients",
    "memory",
    "persistence",
    "stats",
    "replication",
    "cpu",
    "modules",
    "errorstats",
    "cluster",
    "keyspace",
    "store",
];
const UNUSUAL: &[&str] = &["commandstats", "latencystats"];
/// Bytes of the name of an unknown section that are told back.
const NAME_BYTES_MAX: usize = 64;

/// Keys of a database whose times to live are looked at.
const TTL_SAMPLES: usize = 64;

/// What the shards hold and counted.
#[derive(Default)]
pub(super) struct Sums {
    keys: u64,
    pub(super) used: u64,
    pub(super) overhead: u64,
    pub(super) counted: ShardStats,
    /// Keys that clients wait for.
    pub(super) waited_for: usize,
    pub(super) databases: Vec<Counts>,
}

/// What is told of a database that has keys.
pub(super) struct Counts {
    pub(super) db: u8,
    pub(super) keys: u64,
    /// Keys with a deadline.
    pub(super) expires: u64,
    /// Mean time to live of those, in ms, from a sample.
    pub(super) ttl_millis: u64,
}

/// Adds the times to live of some keys that are due sometime; a hash with fields that are is one of them.
fn sample_ttl(shard: &Shard, now: u64, random: u64, times: &mut Vec<u64>) {
    let room = TTL_SAMPLES.saturating_sub(times.len());
    let some = shard.expiry.from(random).take(room);
    let deadlines = some.filter_map(|probe| Some(shard.table.find_hashed(probe)?.next_deadline()));
    times.extend(deadlines.filter(|at| *at > now).map(|at| at - now));
}

fn sums(work: &mut Work<'_>) -> Result<Sums> {
    let mut sums = Sums::default();
    for db in 0..DATABASES {
        let physical = work.engine.swapped.physical(db);
        if !work.engine.in_use().any(|used| used == physical) {
            continue;
        }
        let first = work.engine.first_shard(physical);
        let (mut keys, mut expires, mut times) = (0, 0, Vec::new());
        let random = work.engine.mount.random();
        let now = work.now;
        for index in first..first + work.engine.shard_count() {
            let shard = work.shard(index)?;
            keys += shard.table.len() as u64;
            // Moved deadlines are listed twice for a while.
            expires += shard.expiry.len().min(shard.table.len()) as u64;
            sample_ttl(shard, now, random, &mut times);
            sums.waited_for += shard.waiting.len();
            sums.used += shard.memory() as u64;
            sums.overhead += shard.memory().saturating_sub(shard.used) as u64;
            let (to, from) = (&mut sums.counted, shard.stats);
            to.hits += from.hits;
            to.misses += from.misses;
            to.demoted += from.demoted;
            to.promoted += from.promoted;
            to.evicted += from.evicted;
            to.expired += from.expired;
            to.expired_fields += from.expired_fields;
        }
        sums.keys += keys;
        if keys > 0 {
            let samples = times.len() as u64;
            sums.databases.push(Counts {
                db,
                keys,
                expires,
                ttl_millis: times.iter().sum::<u64>().checked_div(samples).unwrap_or(0),
            });
        }
    }
    Ok(sums)
}

#[expect(clippy::cast_precision_loss, reason = "shown with two decimals")]
pub(super) fn human(bytes: u64) -> String {
    let bytes_f = bytes as f64;
    match bytes {
        0..1_024 => format!("{bytes}B"),
        1_024..1_048_576 => format!("{:.2}K", bytes_f / 1_024.0),
        1_048_576..1_073_741_824 => format!("{:.2}M", bytes_f / 1_048_576.0),
        _ => format!("{:.2}G", bytes_f / 1_073_741_824.0),
    }
}

fn info(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let asked = &args[1..];
    let upstash = work.engine.rules.is_upstash();
    let is_asked = |name: &str| asked.iter().any(|arg| args::is(arg, name));
    let everything = is_asked("all") || is_asked("everything");
    let usual = asked.is_empty() || is_asked("default") || everything;
    // Upstash has the same in both.
    let unusual = everything && !upstash;
    let sums = sums(work)?;
    let mut text = String::new();
    for (names, on) in [(USUAL, usual), (UNUSUAL, unusual)] {
        for name in names.iter().filter(|name| on || is_asked(name)) {
            head(&mut text, name);
            for (key, value) in info_page::section(work, &sums, name) {
                text.extend([&key, ":", &value, "\r\n"]);
            }
        }
    }
    if upstash {
        let known = |arg: &[u8]| {
            let mut names = USUAL
                .iter()
                .chain(UNUSUAL)
                .chain(&["all", "everything", "default"]);
            names.any(|name| args::is(arg, name))
        };
        for name in asked.iter().filter(|name| !known(name)) {
            head(&mut text, &args::echo(name, NAME_BYTES_MAX));
        }
    }
    Ok(Reply::Verbatim(text))
}

/// The first line of a section, after an empty one unless nothing comes before.
fn head(text: &mut String, name: &str) {
    if !text.is_empty() {
        text.push_str("\r\n");
    }
    let title = if name == "cpu" {
        "CPU".to_owned()
    } else {
        let mut letters = name.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect()
    };
    text.extend(["# ", &title, "\r\n"]);
}

fn memory_stats(work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    let sums = sums(work)?;
    let int = |value: u64| Reply::Int(i64::try_from(value).unwrap_or(i64::MAX));
    let data = sums.used.saturating_sub(sums.overhead);
    let peak = work.engine.server.stats.note_memory(sums.used);
    let facts = [
        ("peak.allocated", peak),
        ("total.allocated", sums.used),
        ("startup.allocated", 0),
        ("replication.backlog", 0),
        ("clients.slaves", 0),
        ("clients.normal", 0),
        ("aof.buffer", 0),
        ("overhead.total", sums.overhead),
        ("keys.count", sums.keys),
        (
            "keys.bytes-per-key",
            data.checked_div(sums.keys).unwrap_or(0),
        ),
        ("dataset.bytes", data),
    ];
    let facts = facts.map(|(name, value)| (Reply::bulk_copy(name.as_bytes()), int(value)));
    Ok(Reply::Map(facts.into()))
}

fn doctor(work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    let sums = sums(work)?;
    let max = work.engine.evictor.max();
    let is_full =
        max.is_some_and(|max| i64::try_from(sums.used).unwrap_or(i64::MAX) > max / 10 * 9);
    Ok(Reply::Verbatim(format!(
        "{} keys use {}.{}\n",
        sums.keys,
        human(sums.used),
        if is_full {
            " That is more than nine tenths of maxmemory."
        } else {
            ""
        }
    )))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn malloc_stats(_work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    Ok(Reply::Verbatim(
        "Stats not supported for the current allocator".to_owned(),
    ))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn purge(_work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    Ok(Reply::OK)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn help(_work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    Ok(super::client::lines_of_help(&[
        "MEMORY DOCTOR: how memory is used, in words",
        "MEMORY MALLOC-STATS: figures of the allocator",
        "MEMORY PURGE: give memory back to the system",
        "MEMORY STATS: figures about memory",
        "MEMORY USAGE key [SAMPLES count]: bytes that a key takes",
        "MEMORY HELP: these lines",
    ]))
}
