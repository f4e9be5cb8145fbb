//! What is noted of every command that a session runs: how often, how long, and whether it failed.

use std::time::Duration;

use super::args::Args;
use super::reply::Reply;
use super::row::{Command, FAST};
use super::secrets;
use super::session::{Session, Step};
use crate::error::Result;
use crate::server::slowlog::{self, Slow};

/// How a command ended.
#[derive(Clone, Debug)]
pub(super) enum Ended {
    Well,
    /// With this line as its reply.
    Failed(String),
    /// With an error that was counted when it came up, in a script.
    Told,
}

impl Ended {
    /// Of a command that was called for itself.
    pub(super) fn of(outcome: &Result<Step>) -> Self {
        match outcome {
            Err(error) => Self::Failed(error.to_string()),
            Ok(Step::Done(reply)) => Self::with(reply),
            Ok(Step::Parked(_)) => Self::Well,
        }
    }

    /// With a reply. Only scripts make an error a reply.
    pub(super) fn with(reply: &Reply) -> Self {
        match reply {
            Reply::Error(_) => Self::Told,
            _ => Self::Well,
        }
    }
}

impl Session {
    /// Counts a command that ran, and keeps it if it took long; `now` is the monotonic time.
    pub(super) fn count(
        &self,
        command: &'static Command,
        args: &Args<'_>,
        now: Duration,
        took: Duration,
        ended: &Ended,
    ) {
        let engine = &self.db.engine;
        let server = &engine.server;
        server.stats.ran(command, now, took);
        match ended {
            Ended::Well => {}
            Ended::Failed(line) => server.stats.failed(command, line),
            Ended::Told => server.stats.failed_inside(command),
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let slow_from = server.config.slow_from_micros();
        // EXEC only stands for others.
        if slow_from.is_some_and(|limit| micros >= limit) && command.name != "exec" {
            self.keep_slow(command, args, micros);
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
    fn keep_slow(&self, command: &Command, args: &Args<'_>, micros: u64) {
        let server = &self.db.engine.server;
        let (address, name) = {
            let facts = self.client.facts();
            (facts.address.clone(), facts.name.clone())
        };
        let slow = Slow {
            id: 0,
            at: self.db.engine.mount.now(),
            micros,
            args: slowlog::shortened(&secrets::shown(command, args)),
            address,
            name,
        };
        server.slowlog.add(slow, server.config.slowlog_max_len());
    }
}
