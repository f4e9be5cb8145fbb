//! What a journal says about each operation, and the order in which operations completed.
//!
//! Invariant: one entry per position; a completion stands in the queue exactly once, in journal order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use bytes::Bytes;
use upkv::Timestamp;

use super::Outcome;
use super::path::{OpId, Position};
use crate::journal::record::{Entry, Fact};

/// What the journal knows of one operation.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) id: OpId,
    pub(crate) attempts: u32,
    pub(crate) retry_at: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
}

/// One thing the body is told. Without an operation it is the cancellation.
#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) op: Option<OpId>,
    pub(crate) time: Timestamp,
    pub(crate) outcome: Outcome,
}

/// The journal of one run as far as it was loaded.
#[derive(Debug, Default)]
pub(crate) struct History {
    recorded: BTreeMap<Position, Recorded>,
    /// What the body has asked for since it was started, recorded or not.
    requested: BTreeSet<Position>,
    completions: VecDeque<Completion>,
    /// Mail that no operation has received, by its index in the journal.
    mail: BTreeMap<u32, Bytes>,
    loaded: usize,
}

impl History {
    /// Takes in a record; returns the position of the operation it is about.
    pub(crate) fn load(&mut self, entry: Entry) -> Option<Position> {
        self.loaded += 1;
        let time = entry.time;
        match entry.fact {
            Fact::StepDone { op, result } => self.complete(op, time, Outcome::Done(result)),
            Fact::StepFailed {
                op,
                attempt,
                retry_at,
                error,
            } => {
                let recorded = self.entry(&op);
                recorded.attempts = attempt;
                recorded.retry_at = retry_at;
                if retry_at.is_some() {
                    return Some(op.path.position());
                }
                self.complete(op, time, Outcome::Failed(error))
            }
            Fact::TimerSet { op, until, .. } => {
                self.entry(&op).until = Some(until);
                Some(op.path.position())
            }
            Fact::TimerFired { op } => self.complete(op, time, Outcome::Fired),
            Fact::MailIn { data, .. } => {
                self.mail.insert(entry.index, data);
                None
            }
            Fact::Recv { op, mail } => {
                let data = self.mail.remove(&mail).unwrap_or_default();
                self.complete(op, time, Outcome::Received(data))
            }
            Fact::Sent { op, delivered } => self.complete(op, time, Outcome::Sent(delivered)),
            Fact::CancelRequested => {
                self.completions.push_back(Completion {
                    op: None,
                    time,
                    outcome: Outcome::Fired,
                });
                None
            }
            Fact::Resumed => {
                self.take_back_failures();
                None
            }
            Fact::Start { .. }
            | Fact::Completed { .. }
            | Fact::Failed { .. }
            | Fact::Cancelled
            | Fact::Blocked { .. }
            | Fact::BodyPanicked { .. }
            | Fact::Tombstone => None,
        }
    }

    fn entry(&mut self, op: &OpId) -> &mut Recorded {
        self.recorded
            .entry(op.path.position())
            .or_insert_with(|| Recorded {
                id: op.clone(),
                attempts: 0,
                retry_at: None,
                until: None,
            })
    }

    fn complete(&mut self, op: OpId, time: Timestamp, outcome: Outcome) -> Option<Position> {
        self.entry(&op);
        self.completions.push_back(Completion {
            op: Some(op),
            time,
            outcome,
        });
        None
    }

    /// Forgets the steps that failed, so that they are attempted again.
    fn take_back_failures(&mut self) {
        let recorded = &mut self.recorded;
        self.completions.retain(|completion| {
            let failed = matches!(completion.outcome, Outcome::Failed(_));
            if let (true, Some(op)) = (failed, &completion.op) {
                recorded.remove(&op.path.position());
            }
            !failed
        });
    }

    pub(crate) fn loaded(&self) -> usize {
        self.loaded
    }

    pub(crate) fn at(&self, at: &Position) -> Option<&Recorded> {
        self.recorded.get(at)
    }

    pub(crate) fn next(&mut self) -> Option<Completion> {
        self.completions.pop_front()
    }

    /// Notes that the body asked for the operation; what is recorded of it.
    pub(crate) fn take_up(&mut self, at: &Position) -> Option<&Recorded> {
        self.requested.insert(at.clone());
        self.recorded.get(at)
    }

    pub(crate) fn is_requested(&self, at: &Position) -> bool {
        self.requested.contains(at)
    }

    pub(crate) fn first_unrequested(&self) -> Option<OpId> {
        let mut recorded = self.recorded.iter();
        let missing = recorded.find(|(at, _)| !self.requested.contains(*at))?;
        Some(missing.1.id.clone())
    }

    /// Whether the journal has nothing else where `id` is asked for; otherwise what it has.
    pub(crate) fn matches(&self, id: &OpId, at: &Position) -> Result<(), OpId> {
        if let Some(recorded) = self.recorded.get(at) {
            return if recorded.id == *id {
                Ok(())
            } else {
                Err(recorded.id.clone())
            };
        }
        // A single operation is asked for where a join is recorded.
        if let Some(inside) = self.first_inside(at) {
            return Err(inside.id.clone());
        }
        for (depth, scope) in id.path.scopes.iter().enumerate() {
            let group = at.get(..=2 * depth).unwrap_or(at).to_vec();
            // A join is asked for where a single operation is recorded, or one of another size.
            if let Some(recorded) = self.recorded.get(&group) {
                return Err(recorded.id.clone());
            }
            if let Some(inside) = self.first_inside(&group)
                && inside
                    .id
                    .path
                    .scopes
                    .get(depth)
                    .is_some_and(|other| other.of != scope.of)
            {
                return Err(inside.id.clone());
            }
        }
        Ok(())
    }

    /// The first recorded operation whose position starts with `at` and goes on.
    fn first_inside(&self, at: &Position) -> Option<&Recorded> {
        let after = (Bound::Excluded(at.clone()), Bound::Unbounded);
        let (position, recorded) = self.recorded.range(after).next()?;
        position.starts_with(at).then_some(recorded)
    }
}
