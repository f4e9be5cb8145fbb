//! Chapter: parameters. CONFIG and its subcommands.

use super::args::{self, Args};
use super::client::lines_of_help;
use super::reply::Reply;
use super::row::{CONTAINER, Command, NO_KEYS, data, rows, session};
use super::session::Session;
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::server::config;
use crate::stats::ShardStats;

/// The one parameter that Upstash shows and sets.
const UPSTASH_PARAMETER: &str = "notify-keyspace-events";

pub(super) static ROWS: &[Command] = rows! { "server";
    "config" -2 NOSCRIPT | LOADING | STALE, NO_KEYS, CONTAINER, "2.0.0", "that of the subcommand",
        "Shows and sets parameters";
    "config|get" -3 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, session(get), "2.0.0",
        "O(patterns * parameters)", "Tells parameters that match patterns";
    "config|help" 2 LOADING | STALE, NO_KEYS, session(help), "5.0.0", "O(1)",
        "Tells the subcommands";
    "config|resetstat" 2 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE | EVERY, NO_KEYS, data(resetstat), "2.0.0",
        "O(shards)", "Starts counting from zero";
    "config|rewrite" 2 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, session(rewrite), "2.8.0", "O(1)",
        "Refuses: there is no file of parameters";
    "config|set" -4 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, session(set), "2.0.0",
        "O(pairs * parameters)", "Sets parameters, all or none";
};

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn help(_session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    Ok(lines_of_help(&[
        "CONFIG GET pattern ...: parameters that match",
        "CONFIG SET name value ...: set parameters, all or none",
        "CONFIG RESETSTAT: count from zero",
        "CONFIG REWRITE: write parameters to their file, which does not exist here",
        "CONFIG HELP: these lines",
    ]))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn get(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    let engine = &session.db.engine;
    let mut found = config::find(engine, &args[2..]);
    if engine.rules.is_upstash() {
        found.retain(|(name, _)| name.eq_ignore_ascii_case(UPSTASH_PARAMETER));
        let items = found.into_iter().flat_map(|(name, value)| [name, value]);
        return Ok(Reply::Array(items.map(Reply::bulk).collect()));
    }
    let pairs = found
        .into_iter()
        .map(|(name, value)| (Reply::bulk(name), Reply::bulk(value)));
    Ok(Reply::Map(pairs.collect()))
}

fn set(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    let (pairs, rest) = args[2..].as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Error::syntax());
    }
    let engine = &session.db.engine;
    if engine.rules.is_upstash() {
        // One after the other: what came before an error holds.
        for pair in pairs {
            if !args::is(pair[0], UPSTASH_PARAMETER) {
                return Err(config::unknown(pair[0]));
            }
            config::set(engine, &[*pair])?;
        }
        return Ok(Reply::OK);
    }
    config::set(engine, pairs)?;
    session.over_memory |= pairs.iter().any(|[name, _]| config::concerns_memory(name));
    // Inside a transaction shards are locked, and it ends with this.
    if !session.in_exec {
        session.keep_to_memory()?;
    }
    Ok(Reply::OK)
}

impl Session {
    /// Evicts down to a limit of memory that was changed.
    pub(super) fn keep_to_memory(&mut self) -> Result<()> {
        if std::mem::take(&mut self.over_memory) {
            return self.db.engine.keep_to_max_memory();
        }
        Ok(())
    }
}

fn rewrite(_session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    Err(Error::refused(
        "ERR The server is running without a config file",
    ))
}

fn resetstat(work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    let engine = work.engine;
    for (index, _) in engine.shards() {
        work.shard(index)?.stats = ShardStats::default();
    }
    engine.reset_counters();
    engine.server.stats.reset();
    engine.server.acl.log.reset_counts();
    Ok(Reply::OK)
}
