//! Counters of commands: how often each ran, how long it took, and what was refused.
//!
//! Counters are relaxed atomics; the registry of errors is locked only when a command fails.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use crate::command::{Command, position, sorted_rows};
use crate::storage::sync::{AtomicU64, Ordering};

/// Kinds of errors that are told apart; the rest is only in the sum.
const ERRORS_MAX: usize = 128;
/// Buckets of a histogram: bucket `n` counts times of up to 2^n microseconds.
pub(crate) const BUCKETS: usize = 31;

/// See the module documentation.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    commands: OnceLock<Box<[Counter]>>,
    errors: Mutex<BTreeMap<String, u64>>,
    error_replies: AtomicU64,
    rejected: AtomicU64,
    pub(crate) commands_rate: Rate,
    pub(crate) received: Traffic,
    pub(crate) sent: Arc<Traffic>,
    /// Connections that were refused.
    refused_connections: AtomicU64,
    /// Highest use of memory that was seen, in bytes.
    peak: AtomicU64,
}

/// How often something happened in the last whole second.
///
/// Those that happen at the turn of a second may be counted on either side.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    second: AtomicU64,
    count: AtomicU64,
    last: AtomicU64,
}

impl Rate {
    pub(crate) fn add(&self, now: Duration, count: u64) {
        let second = now.as_secs();
        if self.second.load(Ordering::Relaxed) != second {
            let before = self.second.swap(second, Ordering::Relaxed);
            if before != second {
                let counted = self.count.swap(0, Ordering::Relaxed);
                let last = if before + 1 == second { counted } else { 0 };
                self.last.store(last, Ordering::Relaxed);
            }
        }
        self.count.fetch_add(count, Ordering::Relaxed);
    }

    /// How often in the second before the present one.
    pub(crate) fn get(&self, now: Duration) -> u64 {
        match now
            .as_secs()
            .saturating_sub(self.second.load(Ordering::Relaxed))
        {
            0 => self.last.load(Ordering::Relaxed),
            1 => self.count.load(Ordering::Relaxed),
            _ => 0,
        }
    }
}

/// Bytes in one direction.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    total: AtomicU64,
    pub(crate) rate: Rate,
}

impl Traffic {
    pub(crate) fn add(&self, now: Duration, bytes: usize) {
        self.total.fetch_add(bytes as u64, Ordering::Relaxed);
        self.rate.add(now, bytes as u64);
    }

    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

/// What is counted of one command.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    calls: AtomicU64,
    nanos: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    buckets: OnceLock<Box<[AtomicU64; BUCKETS]>>,
}

/// A copy of a [`Counter`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) calls: u64,
    pub(crate) micros: u64,
    pub(crate) rejected: u64,
    pub(crate) failed: u64,
}

fn bucket(micros: u64) -> usize {
    let bits = u64::BITS - micros.saturating_sub(1).leading_zeros();
    (bits as usize).min(BUCKETS - 1)
}

impl Counters {
    fn all(&self) -> &[Counter] {
        self.commands
            .get_or_init(|| sorted_rows().iter().map(|_| Counter::default()).collect())
    }

    fn of(&self, command: &'static Command) -> Option<&Counter> {
        self.all().get(position(command)?)
    }

    /// A command ran; `now` is the monotonic time.
    pub(crate) fn ran(&self, command: &'static Command, now: Duration, took: Duration) {
        self.commands_rate.add(now, 1);
        let Some(counter) = self.of(command) else {
            return;
        };
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        counter.calls.fetch_add(1, Ordering::Relaxed);
        counter.nanos.fetch_add(nanos, Ordering::Relaxed);
        let buckets = counter.buckets.get_or_init(Box::default);
        buckets[bucket(nanos / 1_000)].fetch_add(1, Ordering::Relaxed);
    }

    /// A command that ran answered an error.
    #[cold]
    pub(crate) fn failed(&self, command: &'static Command, line: &str) {
        if let Some(counter) = self.of(command) {
            counter.failed.fetch_add(1, Ordering::Relaxed);
        }
        self.note_error(line);
    }

    /// As [`Counters::failed`] for an error that was counted already.
    #[cold]
    pub(crate) fn failed_inside(&self, command: &'static Command) {
        if let Some(counter) = self.of(command) {
            counter.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A command was refused before it ran, known or not.
    #[cold]
    pub(crate) fn refused(&self, command: Option<&'static Command>, line: &str) {
        if let Some(counter) = command.and_then(|command| self.of(command)) {
            counter.rejected.fetch_add(1, Ordering::Relaxed);
        }
        self.rejected.fetch_add(1, Ordering::Relaxed);
        self.note_error(line);
    }

    /// An error was answered.
    pub(crate) fn note_error(&self, line: &str) {
        self.error_replies.fetch_add(1, Ordering::Relaxed);
        let code = line.split(' ').next().unwrap_or_default();
        let mut errors = self.errors.lock();
        if let Some(count) = errors.get_mut(code) {
            *count += 1;
        } else if errors.len() < ERRORS_MAX {
            errors.insert(code.to_owned(), 1);
        }
    }

    /// What was counted of the commands that were used, in the order of their names.
    pub(crate) fn commands(&self) -> Vec<(&'static str, Counted)> {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let rows = sorted_rows().iter().zip(self.all());
        let counted = rows.map(|(row, counter)| {
            let counted = Counted {
                calls: get(&counter.calls),
                micros: get(&counter.nanos) / 1_000,
                rejected: get(&counter.rejected),
                failed: get(&counter.failed),
            };
            (row.name, counted)
        });
        let used =
            |(_, counted): &(_, Counted)| counted.calls + counted.rejected + counted.failed > 0;
        counted.filter(used).collect()
    }

    /// How often a command took how long, in buckets of powers of two of microseconds; `None` if it never ran.
    pub(crate) fn histogram(&self, command: &'static Command) -> Option<[u64; BUCKETS]> {
        let buckets = self.of(command)?.buckets.get()?;
        let copy: [u64; BUCKETS] = std::array::from_fn(|at| buckets[at].load(Ordering::Relaxed));
        copy.iter().any(|count| *count > 0).then_some(copy)
    }

    /// Errors by the first word of their line.
    pub(crate) fn errors(&self) -> Vec<(String, u64)> {
        let errors = self.errors.lock();
        errors
            .iter()
            .map(|(code, count)| (code.clone(), *count))
            .collect()
    }

    pub(crate) fn error_replies(&self) -> u64 {
        self.error_replies.load(Ordering::Relaxed)
    }

    /// A connection was refused.
    pub(crate) fn refuse_connection(&self) {
        self.refused_connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused_connections(&self) -> u64 {
        self.refused_connections.load(Ordering::Relaxed)
    }

    /// Commands that ran.
    pub(crate) fn total(&self) -> u64 {
        self.all()
            .iter()
            .map(|counter| counter.calls.load(Ordering::Relaxed))
            .sum()
    }

    /// Notes how much memory is used; the highest use so far.
    pub(crate) fn note_memory(&self, used: u64) -> u64 {
        self.peak.fetch_max(used, Ordering::Relaxed).max(used)
    }

    /// Starts counting from zero.
    pub(crate) fn reset(&self) {
        for counter in self.all() {
            for count in [
                &counter.calls,
                &counter.nanos,
                &counter.rejected,
                &counter.failed,
            ] {
                count.store(0, Ordering::Relaxed);
            }
            let buckets = counter
                .buckets
                .get()
                .into_iter()
                .flat_map(|buckets| buckets.iter());
            buckets.for_each(|count| count.store(0, Ordering::Relaxed));
        }
        self.errors.lock().clear();
        self.error_replies.store(0, Ordering::Relaxed);
        self.rejected.store(0, Ordering::Relaxed);
        for count in [
            &self.received.total,
            &self.sent.total,
            &self.refused_connections,
        ] {
            count.store(0, Ordering::Relaxed);
        }
        self.peak.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_whole_second() {
        let rate = Rate::default();
        let at = Duration::from_millis;
        for millis in [10_000, 10_500, 10_999] {
            rate.add(at(millis), 2);
        }
        assert_eq!(rate.get(at(10_999)), 0);
        assert_eq!(rate.get(at(11_999)), 6);
        rate.add(at(11_100), 1);
        assert_eq!(rate.get(at(11_999)), 6);
        assert_eq!(rate.get(at(12_000)), 1);
        assert_eq!(rate.get(at(13_000)), 0);
        rate.add(at(20_000), 1);
        assert_eq!(rate.get(at(20_000)), 0);
    }

    #[test]
    fn a_bucket_takes_times_up_to_its_power_of_two() {
        for (micros, expected) in [
            (0, 0),
            (1, 0),
            (2, 1),
            (3, 2),
            (4, 2),
            (5, 3),
            (u64::MAX, BUCKETS - 1),
        ] {
            assert_eq!(bucket(micros), expected, "{micros}");
        }
    }
}
