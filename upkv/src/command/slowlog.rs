//! Chapter: commands that took long, and moments that did. SLOWLOG and LATENCY.

use super::args::{self, Args};
use super::client::lines_of_help;
use super::reply::Reply;
use super::row::{CONTAINER, Command, NO_KEYS, data, rows};
use super::table;
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::number;

pub(super) static ROWS: &[Command] = rows! { "server";
    "latency" -2 LOADING | STALE, NO_KEYS, CONTAINER, "2.8.13", "that of the subcommand",
        "Tells when something took long";
    "latency|doctor" 2 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, data(doctor), "2.8.13", "O(1)",
        "Tells in words what took long";
    "latency|graph" 3 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, data(graph), "2.8.13", "O(1)",
        "Draws the samples of an event";
    "latency|help" 2 LOADING | STALE, NO_KEYS, data(latency_help), "2.8.13", "O(1)",
        "Tells the subcommands";
    "latency|histogram" -2 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, data(histogram), "7.0.0",
        "O(commands)", "Tells how often commands took how long";
    "latency|history" 3 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, data(history), "2.8.13", "O(1)",
        "Tells the samples of an event";
    "latency|latest" 2 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, data(latest), "2.8.13", "O(1)",
        "Tells the newest sample of every event";
    "latency|reset" -2 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, data(latency_reset), "2.8.13", "O(1)",
        "Forgets samples";
    "slowlog" -2 LOADING | STALE, NO_KEYS, CONTAINER, "2.2.12", "that of the subcommand",
        "Tells which commands took long";
    "slowlog|get" -2 ADMIN | DANGEROUS | LOADING | STALE, NO_KEYS, data(get), "2.2.12", "O(n) in the entries told",
        "Tells the newest entries";
    "slowlog|help" 2 LOADING | STALE, NO_KEYS, data(slowlog_help), "6.2.0", "O(1)",
        "Tells the subcommands";
    "slowlog|len" 2 ADMIN | DANGEROUS | LOADING | STALE, NO_KEYS, data(len), "2.2.12", "O(1)",
        "Counts the entries";
    "slowlog|reset" 2 ADMIN | DANGEROUS | LOADING | STALE, NO_KEYS, data(reset), "2.2.12", "O(entries)",
        "Forgets the entries";
};

/// Entries that SLOWLOG GET tells unless it is asked for another number.
const GET_DEFAULT: usize = 10;
/// Height of a drawing, in lines.
const GRAPH_LINES: u64 = 4;

fn whole(value: u64) -> Reply {
    Reply::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

fn get(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let count = match &args[2..] {
        [] => GET_DEFAULT,
        [count] => {
            let refused = || Error::refused("ERR count should be greater than or equal to -1");
            match number::parse_i64(count).ok_or_else(refused)? {
                -1 => usize::MAX,
                count => usize::try_from(count).map_err(|_| refused())?,
            }
        }
        _ => return Err(super::client::wrong_arguments("SLOWLOG", args[1])),
    };
    let entries = work.engine.server.slowlog.newest(count).into_iter();
    let told = entries.map(|slow| {
        let args = slow.args.iter().map(|arg| Reply::bulk_copy(arg)).collect();
        Reply::Array(vec![
            whole(slow.id),
            whole(slow.at.as_millis() / 1_000),
            whole(slow.micros),
            Reply::Array(args),
            Reply::bulk(slow.address),
            Reply::bulk(slow.name),
        ])
    });
    Ok(Reply::Array(told.collect()))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn len(work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    Ok(Reply::count(work.engine.server.slowlog.len()))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn reset(work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    work.engine.server.slowlog.reset();
    Ok(Reply::OK)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn slowlog_help(_work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    Ok(lines_of_help(&[
        "SLOWLOG GET [count]: newest entries, 10 unless told, -1 for all",
        "SLOWLOG LEN: number of entries",
        "SLOWLOG RESET: forget the entries",
        "SLOWLOG HELP: these lines",
    ]))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn latest(work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    let events = work.engine.server.latency.all().into_iter();
    let told = events.filter_map(|(name, event)| {
        let (at, millis) = event.samples.back()?;
        let name = Reply::bulk_copy(name.as_bytes());
        Some(Reply::Array(vec![
            name,
            whole(*at),
            whole(*millis),
            whole(event.max),
        ]))
    });
    Ok(Reply::Array(told.collect()))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn history(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let event = work.engine.server.latency.of(args[2]).unwrap_or_default();
    let pair = |(at, millis): &(u64, u64)| Reply::Array(vec![whole(*at), whole(*millis)]);
    Ok(Reply::Array(event.samples.iter().map(pair).collect()))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn latency_reset(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    Ok(Reply::count(work.engine.server.latency.reset(&args[2..])))
}

fn graph(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let Some(event) = work.engine.server.latency.of(args[2]) else {
        let name = String::from_utf8_lossy(&args[2][..args[2].len().min(128)]);
        return Err(Error::refused_with(format!(
            "ERR No samples available for event '{name}'"
        )));
    };
    let name = String::from_utf8_lossy(args[2]);
    let (low, high) = event
        .samples
        .iter()
        .fold((u64::MAX, 1), |(low, high), (_, millis)| {
            (low.min(*millis), high.max(*millis))
        });
    let mut text = format!(
        "{name} - high {high} ms, low {low} ms (all time high {} ms)\n",
        event.max
    );
    for line in (1..=GRAPH_LINES).rev() {
        let reaches = |millis: u64| millis.saturating_mul(GRAPH_LINES).div_ceil(high) >= line;
        text.extend(
            event
                .samples
                .iter()
                .map(|(_, millis)| if reaches(*millis) { '#' } else { ' ' }),
        );
        text.push('\n');
    }
    Ok(Reply::Verbatim(text))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn doctor(work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    let server = &work.engine.server;
    let threshold = server.config.latency_monitor_threshold();
    let events = server.latency.all();
    let mut text = String::new();
    if threshold == 0 && events.is_empty() {
        text.push_str(
            "Nothing is watched: set latency-monitor-threshold to a number of milliseconds.\n",
        );
    } else if events.is_empty() {
        text.push_str("Nothing took longer than latency-monitor-threshold so far.\n");
    }
    for (name, event) in events {
        let count = event.samples.len().max(1) as u64;
        let mean = event.samples.iter().map(|(_, millis)| millis).sum::<u64>() / count;
        text.push_str(&format!(
            "{name}: {count} samples, {mean} ms on average, {} ms at most\n",
            event.max
        ));
    }
    Ok(Reply::Verbatim(text))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn histogram(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let counters = &work.engine.server.stats;
    let wanted = |name: &str| {
        let is_part = |arg: &[u8]| {
            args::is(arg, name)
                || name
                    .split_once('|')
                    .is_some_and(|(container, _)| args::is(arg, container))
        };
        args.len() == 2 || args[2..].iter().any(|arg| is_part(arg))
    };
    let mut told = Vec::new();
    for row in table::rows().filter(|row| wanted(row.name)) {
        let Some(buckets) = counters.histogram(row) else {
            continue;
        };
        let mut sum = 0;
        let mut steps = Vec::new();
        for (power, count) in buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            sum += count;
            steps.push((whole(1 << power), whole(sum)));
        }
        let facts = vec![
            (Reply::bulk_copy(b"calls"), whole(sum)),
            (Reply::bulk_copy(b"histogram_usec"), Reply::Map(steps)),
        ];
        told.push((Reply::bulk_copy(row.name.as_bytes()), Reply::Map(facts)));
    }
    Ok(Reply::Map(told))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn latency_help(_work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    Ok(lines_of_help(&[
        "LATENCY DOCTOR: what took long, in words",
        "LATENCY GRAPH event: samples of an event, drawn",
        "LATENCY HISTOGRAM [command ...]: how often commands took how long",
        "LATENCY HISTORY event: samples of an event",
        "LATENCY LATEST: newest sample of every event",
        "LATENCY RESET [event ...]: forget samples",
        "LATENCY HELP: these lines",
    ]))
}
