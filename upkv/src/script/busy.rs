//! What others are told of a script that runs for long, and how it is stopped.
//!
//! While such a script has locked everything, only commands that may end it, or that touch no data, are run. Where it has
//! locked its own keys, only callers that wait for those are told.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Scripts;
use super::meter::Running;
use crate::command::Command;
use crate::error::{Error, Result};
use crate::keyspace::engine::Engine;

/// Why nothing was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotKilled {
    NotRunning,
    HasWritten,
    /// What runs is of the other kind: a function, or a script.
    Other,
}

impl NotKilled {
    pub(crate) fn error(self, functions: bool) -> Error {
        match self {
            Self::NotRunning => Error::refused("NOTBUSY No scripts in execution right now."),
            Self::HasWritten => Error::refused(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
            ),
            Self::Other => busy(!functions),
        }
    }
}

fn busy(by_function: bool) -> Error {
    Error::refused(if by_function {
        "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
    } else {
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
    })
}

/// Whether a command is run whatever else runs, as in Redis.
fn is_always_run(command: &Command) -> bool {
    matches!(
        command.name,
        "auth"
            | "discard"
            | "function|kill"
            | "function|stats"
            | "hello"
            | "multi"
            | "quit"
            | "reset"
            | "script|kill"
            | "unwatch"
            | "watch"
    )
}

/// See [`Scripts::enter`].
pub(super) struct Entered<'s> {
    scripts: &'s Scripts,
    running: Arc<Running>,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.scripts.count.fetch_sub(1, Ordering::Relaxed);
        let is_other = |other: &Arc<Running>| !Arc::ptr_eq(other, &self.running);
        self.scripts.running.lock().retain(is_other);
    }
}

impl Engine {
    /// Whether a script runs, which may take long.
    pub(crate) fn may_be_busy(&self) -> bool {
        self.scripts.count.load(Ordering::Relaxed) != 0
    }

    /// Refuses a command while a script that locks everything has run for too long.
    pub(crate) fn check_not_busy(&self, command: &Command) -> Result<()> {
        if self.scripts.count.load(Ordering::Relaxed) == 0 || is_always_run(command) {
            return Ok(());
        }
        self.refuse_for(|running| running.shards.is_none())
    }

    /// Refuses to wait any longer for a shard that a script may have locked for too long.
    pub(crate) fn check_not_busy_at(&self, shard: usize) -> Result<()> {
        self.refuse_for(|running| {
            let shards = running.shards.as_ref();
            shards.is_none_or(|shards| shards.contains(&shard))
        })
    }

    fn refuse_for(&self, concerns: impl Fn(&Running) -> bool) -> Result<()> {
        let Some(threshold) = self.server.config.busy_reply_threshold() else {
            return Ok(());
        };
        let now = self.mount.clock().monotonic();
        let running = self.scripts.running.lock();
        let long = |running: &&Arc<Running>| {
            now.saturating_sub(running.since) >= threshold && concerns(running)
        };
        running
            .iter()
            .find(long)
            .map_or(Ok(()), |running| Err(busy(running.is_function)))
    }
}

impl Scripts {
    /// Notes that a script runs, until the answer is dropped.
    pub(super) fn enter(&self, running: Arc<Running>) -> Entered<'_> {
        self.running.lock().push(Arc::clone(&running));
        self.count.fetch_add(1, Ordering::Relaxed);
        Entered {
            scripts: self,
            running,
        }
    }

    /// What runs now: functions, or scripts.
    pub(crate) fn running(&self, functions: bool) -> Vec<Arc<Running>> {
        let running = self.running.lock();
        let wanted = running
            .iter()
            .filter(|running| running.is_function == functions);
        wanted.cloned().collect()
    }

    /// Stops the scripts, or functions, that have written nothing yet.
    pub(crate) fn kill(&self, functions: bool) -> Result<(), NotKilled> {
        let running = self.running(functions);
        if running.iter().any(|running| running.kill()) {
            // All that can be: `any` ended with the first.
            running.iter().for_each(|running| {
                running.kill();
            });
            return Ok(());
        }
        if !running.is_empty() {
            return Err(NotKilled::HasWritten);
        }
        match &self.running(!functions)[..] {
            [] => Err(NotKilled::NotRunning),
            others if others.iter().any(|other| !other.has_written()) => Err(NotKilled::Other),
            _ => Err(NotKilled::HasWritten),
        }
    }
}
