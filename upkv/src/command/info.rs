//! Chapter: figures about the database as a whole. INFO, and MEMORY but for single keys.

use std::fmt::Write;

use super::args::{self, Args};
use super::reply::Reply;
use super::row::{Command, NO_KEYS, data, rows};
use crate::error::Result;
use crate::keyspace::engine::DATABASES;
use crate::keyspace::work::Work;
use crate::server::VERSION;
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
    "memory|stats" 2 EVERY, NO_KEYS, data(stats), "4.0.0", "O(shards)",
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

/// What the shards hold and counted.
#[derive(Default)]
struct Sums {
    keys: u64,
    used: u64,
    overhead: u64,
    counted: ShardStats,
    /// Number of the database, keys, and keys with a deadline.
    databases: Vec<(u8, u64, u64)>,
}

fn sums(work: &mut Work<'_>) -> Result<Sums> {
    let mut sums = Sums::default();
    for db in 0..DATABASES {
        let physical = work.engine.swapped.physical(db);
        if !work.engine.in_use().any(|used| used == physical) {
            continue;
        }
        let first = work.engine.first_shard(physical);
        let (mut keys, mut expires) = (0, 0);
        for index in first..first + work.engine.shard_count() {
            let shard = work.shard(index)?;
            keys += shard.table.len() as u64;
            // Moved deadlines are listed twice for a while.
            expires += shard.expiry.len().min(shard.table.len()) as u64;
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
            sums.databases.push((db, keys, expires));
        }
    }
    Ok(sums)
}

#[expect(clippy::cast_precision_loss, reason = "shown with two decimals")]
fn human(bytes: u64) -> String {
    let bytes_f = bytes as f64;
    match bytes {
        0..1_024 => format!("{bytes}B"),
        1_024..1_048_576 => format!("{:.2}K", bytes_f / 1_024.0),
        1_048_576..1_073_741_824 => format!("{:.2}M", bytes_f / 1_048_576.0),
        _ => format!("{:.2}G", bytes_f / 1_073_741_824.0),
    }
}

/// Memory of the whole process, of which the database is a part; `None` where the system does not tell.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1_024)
}

fn info(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let asked = &args[1..];
    let is_asked = |name: &str| asked.iter().any(|arg| args::is(arg, name));
    let everything = is_asked("all") || is_asked("everything");
    let usual = asked.is_empty() || is_asked("default") || everything;
    let sums = sums(work)?;
    let mut text = String::new();
    for (names, on) in [(USUAL, usual), (UNUSUAL, everything)] {
        for name in names.iter().filter(|name| on || is_asked(name)) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            let title = if *name == "cpu" {
                "CPU".to_owned()
            } else {
                name[..1].to_ascii_uppercase() + &name[1..]
            };
            text.extend(["# ", &title, "\r\n"]);
            for (key, value) in section(work, &sums, name) {
                text.extend([&key, ":", &value, "\r\n"]);
            }
        }
    }
    Ok(Reply::Verbatim(text))
}

type Lines = Vec<(String, String)>;

/// The lines of one section.
fn section(work: &Work<'_>, sums: &Sums, name: &str) -> Lines {
    let (engine, server) = (work.engine, &work.engine.server);
    let mut lines = Lines::new();
    let mut put =
        |key: &str, value: &dyn std::fmt::Display| lines.push((key.to_owned(), value.to_string()));
    let counted = &sums.counted;
    match name {
        "server" => {
            let now = work.now;
            let uptime = engine
                .mount
                .clock()
                .monotonic()
                .saturating_sub(server.started())
                .as_secs();
            put("redis_version", &VERSION);
            put("redis_mode", &"standalone");
            put("os", &std::env::consts::OS);
            put("arch_bits", &usize::BITS);
            put("process_id", &std::process::id());
            put("run_id", &server.run_id(|| engine.mount.random()));
            put("tcp_port", &0);
            put("server_time_usec", &now.saturating_mul(1_000));
            put("uptime_in_seconds", &uptime);
            put("uptime_in_days", &(uptime / 86_400));
            put("executable", &"");
            put("config_file", &"");
        }
        "clients" => {
            put("connected_clients", &server.clients.len());
            put("cluster_connections", &0);
            put("blocked_clients", &server.blocked.count());
            put("tracking_clients", &server.tracking.clients());
        }
        "memory" => {
            let peak = server.stats.note_memory(sums.used);
            let max = u64::try_from(engine.evictor.max().unwrap_or(0)).unwrap_or(0);
            let rss = resident_bytes();
            for (key, bytes) in [
                ("used_memory", Some(sums.used)),
                ("used_memory_rss", rss),
                ("used_memory_peak", Some(peak)),
                ("maxmemory", Some(max)),
            ] {
                if let Some(bytes) = bytes {
                    put(key, &bytes);
                    put(&format!("{key}_human"), &human(bytes));
                }
            }
            put("used_memory_overhead", &sums.overhead);
            put(
                "used_memory_dataset",
                &sums.used.saturating_sub(sums.overhead),
            );
            put("maxmemory_policy", &engine.evictor.policy().name());
            put("mem_allocator", &"system");
        }
        "persistence" => {
            let saved = engine.mount.durable_seq() >= engine.mount.last_seq();
            put("loading", &0);
            put("async_loading", &0);
            put(
                "rdb_changes_since_last_save",
                &u8::from(!saved && !engine.mount.is_memory()),
            );
            put("rdb_bgsave_in_progress", &0);
            put("rdb_last_save_time", &server.last_save());
            put("rdb_last_bgsave_status", &"ok");
            put("aof_enabled", &u8::from(!engine.mount.is_memory()));
            put("aof_rewrite_in_progress", &0);
            put("aof_last_bgrewrite_status", &"ok");
            put("aof_last_write_status", &"ok");
        }
        "stats" => {
            put("total_connections_received", &server.clients.accepted());
            put("total_commands_processed", &server.stats.total());
            put("expired_keys", &counted.expired);
            put("expired_subkeys", &counted.expired_fields);
            put("evicted_keys", &counted.evicted);
            put("keyspace_hits", &counted.hits);
            put("keyspace_misses", &counted.misses);
            put("pubsub_patterns", &server.channels.patterns());
            put("tracking_total_keys", &server.tracking.keys());
            put("total_error_replies", &server.stats.error_replies());
        }
        "replication" => {
            put("role", &"master");
            put("connected_slaves", &0);
            put("master_failover_state", &"no-failover");
            put("master_replid", &server.run_id(|| engine.mount.random()));
            put("master_repl_offset", &0);
        }
        "errorstats" => {
            for (code, count) in server.stats.errors() {
                put(&format!("errorstat_{code}"), &format!("count={count}"));
            }
        }
        "commandstats" => {
            for (name, counted) in server.stats.commands() {
                let mut text = format!("calls={},usec={}", counted.calls, counted.micros);
                let mean = counted.micros.saturating_mul(100) / counted.calls.max(1);
                let written = write!(
                    text,
                    ",usec_per_call={}.{:02},rejected_calls={},failed_calls={}",
                    mean / 100,
                    mean % 100,
                    counted.rejected,
                    counted.failed
                );
                debug_assert!(written.is_ok(), "a string takes all");
                put(&format!("cmdstat_{name}"), &text);
            }
        }
        "latencystats" => {
            for row in super::sorted_rows() {
                if let Some(buckets) = server.stats.histogram(row) {
                    let shown: Vec<String> = [50.0, 99.0, 99.9]
                        .iter()
                        .map(|part| format!("p{part}={}.000", percentile(&buckets, *part)))
                        .collect();
                    put(
                        &format!("latency_percentiles_usec_{}", row.name),
                        &shown.join(","),
                    );
                }
            }
        }
        "cluster" => put("cluster_enabled", &0),
        "keyspace" => {
            for (db, keys, expires) in &sums.databases {
                put(
                    &format!("db{db}"),
                    &format!("keys={keys},expires={expires},avg_ttl=0"),
                );
            }
        }
        "store" => {
            put("live_log_bytes", &engine.mount.live_bytes());
            put("demoted_values", &counted.demoted);
            put("promoted_values", &counted.promoted);
            put(
                "cold_reads",
                &engine.cold_reads.load(std::sync::atomic::Ordering::Relaxed),
            );
        }
        _ => {}
    }
    lines
}

/// Microseconds within which a part of the calls ended, in percent.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of calls, compared with a share of them"
)]
fn percentile(buckets: &[u64], part: f64) -> u64 {
    let wanted = buckets.iter().sum::<u64>() as f64 * part / 100.0;
    let mut sum = 0;
    let reaches = |count: &u64| {
        sum += count;
        sum as f64 >= wanted
    };
    1 << buckets.iter().position(reaches).unwrap_or(0)
}

fn stats(work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
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
