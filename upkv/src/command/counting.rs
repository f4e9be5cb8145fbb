//! What is noted of every command that a session runs: how often, how long, and whether it failed.

use std::time::Duration;

use super::args::{self, Args};
use super::row::{Command, FAST};
use super::session::Session;
use crate::error::Error;
use crate::server::slowlog::{self, Slow};

/// Whether a slow command may be shown: secrets are not, nor is what only stands for others.
fn is_kept(command: &Command, args: &Args<'_>) -> bool {
    let secret = |name: &&[u8]| {
        args::is(name, "requirepass")
            || args::is(name, "masterauth")
            || args::is(name, "masteruser")
    };
    match command.name {
        "auth" | "hello" | "exec" => false,
        "config|set" => !args.iter().skip(2).step_by(2).any(secret),
        name => !name.starts_with("acl|"),
    }
}

impl Session {
    /// Counts a command that ran, and keeps it if it took long.
    pub(super) fn count(
        &self,
        command: &'static Command,
        args: &Args<'_>,
        started: Duration,
        error: Option<&Error>,
    ) {
        let engine = &self.db.engine;
        let server = &engine.server;
        let took = engine.mount.clock().monotonic().saturating_sub(started);
        server.stats.ran(command, took);
        if let Some(error) = error {
            server.stats.failed(command, &error.to_string());
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let slow_from = server.config.slow_from_micros();
        if slow_from.is_some_and(|limit| micros >= limit) && is_kept(command, args) {
            self.keep_slow(args, micros);
        }
        let (millis, limit) = (micros / 1_000, server.config.latency_monitor_threshold());
        if limit > 0 && millis >= limit {
            let event = if command.has(FAST) {
                "fast-command"
            } else {
                "command"
            };
            server
                .latency
                .add(event, engine.mount.now().as_millis() / 1_000, millis);
        }
    }

    #[cold]
    fn keep_slow(&self, args: &Args<'_>, micros: u64) {
        let server = &self.db.engine.server;
        let (address, name) = {
            let facts = self.client.facts();
            (facts.address.clone(), facts.name.clone())
        };
        let slow = Slow {
            id: 0,
            at: self.db.engine.mount.now(),
            micros,
            args: slowlog::shortened(args),
            address,
            name,
        };
        server.slowlog.add(slow, server.config.slowlog_max_len());
    }
}
