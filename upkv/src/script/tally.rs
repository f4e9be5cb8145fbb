//! What commands that a script calls add to the counters of the server.
//!
//! A script runs again if its work has to start over, so what it called is kept until it has run to its end.

use std::time::Duration;

use crate::command::{Command, Reply};
use crate::error::{Error, Result};
use crate::server::stats::Counters;

/// Calls kept before they are counted all the same.
const KEPT_MAX: usize = 1_024;

/// One call.
#[derive(Debug)]
struct Called {
    /// The command; `None` if it was refused before it ran.
    command: Option<&'static Command>,
    took: Duration,
    error: Option<String>,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Tally {
    calls: Vec<Called>,
    last_error: Option<String>,
}

impl Tally {
    /// Notes a call that ended; `now` is the monotonic time.
    pub(super) fn add(
        &mut self,
        counters: &Counters,
        command: Option<&'static Command>,
        now: Duration,
        took: Duration,
        outcome: &Result<Reply>,
    ) {
        let error = match outcome {
            Ok(Reply::Error(line)) => Some(line.clone()),
            Ok(_) => None,
            Err(Error::Restart | Error::Storage(_) | Error::Aborted(_)) => return,
            Err(error) => Some(error.reply_line()),
        };
        if error.is_some() {
            self.last_error.clone_from(&error);
        }
        self.calls.push(Called {
            command,
            took,
            error,
        });
        if self.calls.len() >= KEPT_MAX {
            self.count(counters, now);
        }
    }

    fn count(&mut self, counters: &Counters, now: Duration) {
        for call in self.calls.drain(..) {
            if let Some(command) = call.command {
                counters.ran(command, now, call.took);
            }
            match (call.command, &call.error) {
                (_, None) => {}
                (Some(command), Some(line)) => counters.failed(command, line),
                (None, Some(line)) => counters.note_error(line),
            }
        }
    }

    /// The run is over. An error that it ends with is counted once: here, if it came from no call.
    pub(super) fn end(mut self, counters: &Counters, now: Duration, outcome: &Result<Reply>) {
        if matches!(outcome, Err(Error::Restart)) {
            return;
        }
        self.count(counters, now);
        let came_from_a_call = |line: &str| {
            let last = self.last_error.as_deref();
            last.is_some_and(|last| line.starts_with(last))
        };
        if let Ok(Reply::Error(line)) = outcome
            && !came_from_a_call(line)
        {
            counters.note_error(line);
        }
    }
}
