//! Replay: a journal and a body's requests in, answers or a divergence out. Pure: no clock, no lock, no I/O.
//!
//! Completions are handed over one at a time in journal order, and the body is polled after each. What a body sees is therefore a
//! function of its journal, live and in replay alike: both run through the same code.
//!
//! Invariant: a request is checked against the journal before anybody may act on it, and new requests are acted on only when the
//! whole journal has been handed over.

pub(crate) mod history;
pub(crate) mod path;

use std::collections::BTreeMap;
use std::mem;
use std::task::Waker;

use bytes::Bytes;
use upkv::Timestamp;
use upkv::storage::Random;

use crate::journal::record::Reason;
use crate::outcome::StepError;
use crate::step::Request;
use history::{Completion, History};
use path::{Branch, DEPTH_MAX, OpId, OpKind, Path, Position};

/// Longest name of an operation, event or workflow, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 256;

/// What an operation completed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done(Bytes),
    Failed(StepError),
    /// The time of a wait is over.
    Fired,
    Received(Bytes),
    Sent(bool),
}

/// One requested operation that the body has not taken the outcome of.
#[derive(Debug)]
pub(crate) struct Op {
    pub(crate) id: OpId,
    /// Number of the request; waits for the same event are served in this order.
    pub(crate) order: u64,
    pub(crate) request: Request,
    /// Failed attempts so far.
    pub(crate) attempts: u32,
    pub(crate) retry_at: Option<Timestamp>,
    /// When the wait ends, once that is recorded.
    pub(crate) until: Option<Timestamp>,
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

/// The operations of a body or of one branch are numbered here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    branches: Vec<Branch>,
    next: u32,
}

/// One run between its journal and its body.
#[derive(Debug)]
pub(crate) struct Replay {
    history: History,
    ops: BTreeMap<Position, Op>,
    scope: Scope,
    requests: u64,
    last: Option<OpId>,
    divergence: Option<Reason>,
    fault: Option<StepError>,
    cancelled: bool,
    now: Timestamp,
    random: Random,
}

impl Replay {
    pub(crate) fn new(seed: u64, started: Timestamp) -> Self {
        Self {
            history: History::default(),
            ops: BTreeMap::new(),
            scope: Scope::default(),
            requests: 0,
            last: None,
            divergence: None,
            fault: None,
            cancelled: false,
            now: started,
            random: Random::seeded(seed),
        }
    }

    /// Takes in the next record of the journal.
    pub(crate) fn load(&mut self, entry: crate::journal::record::Entry) {
        let Some(at) = self.history.load(entry) else {
            return;
        };
        // A record about an operation that is already requested: a failed attempt, a wait that began.
        if let (Some(op), Some(recorded)) = (self.ops.get_mut(&at), self.history.at(&at)) {
            op.attempts = recorded.attempts;
            op.retry_at = recorded.retry_at;
            op.until = recorded.until;
        }
    }

    /// Records of the journal taken in so far.
    pub(crate) fn loaded(&self) -> usize {
        self.history.loaded()
    }

    /// The time of the record that was handed over last.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    pub(crate) fn random(&self) -> u64 {
        self.random.next_u64()
    }

    pub(crate) fn cancelled(&self) -> bool {
        self.cancelled
    }

    /// Why the body must not go on.
    pub(crate) fn divergence(&mut self) -> Option<Reason> {
        self.divergence.take()
    }

    /// What the body did that no journal can hold.
    pub(crate) fn fault(&mut self) -> Option<StepError> {
        self.fault.take()
    }

    /// The body asks for an operation; `None` means it must wait for ever, because the run is about to be stopped.
    pub(crate) fn request(
        &mut self,
        kind: OpKind,
        name: &str,
        request: Request,
    ) -> Option<Position> {
        if self.divergence.is_some() || self.fault.is_some() {
            return None;
        }
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            let text = format!(
                "{kind} name of {} bytes is not in 1..={NAME_BYTES_MAX}",
                name.len()
            );
            self.fault = Some(StepError::non_retryable(text));
            return None;
        }
        let path = Path {
            scopes: self.scope.branches.clone(),
            ordinal: self.scope.next,
        };
        self.scope.next += 1;
        let id = OpId {
            path,
            kind,
            name: name.into(),
        };
        let at = id.path.position();
        match self.history.matches(&id, &at) {
            Ok(()) => {}
            Err(recorded) => {
                let (recorded, requested) = (Some(recorded), Some(id));
                self.divergence = Some(Reason::NonDeterministic {
                    recorded,
                    requested,
                });
                return None;
            }
        }
        self.last = Some(id.clone());
        let order = self.requests;
        self.requests += 1;
        let mut op = Op {
            id,
            order,
            request,
            attempts: 0,
            retry_at: None,
            until: None,
            outcome: None,
            waker: None,
        };
        if let Some(recorded) = self.history.take_up(&at) {
            op.attempts = recorded.attempts;
            op.retry_at = recorded.retry_at;
            op.until = recorded.until;
        }
        self.ops.insert(at.clone(), op);
        Some(at)
    }

    /// The outcome of an operation, once; without one, `waker` is woken when there is.
    pub(crate) fn take(&mut self, at: &Position, waker: &Waker) -> Option<Outcome> {
        let op = self.ops.get_mut(at)?;
        if let Some(outcome) = op.outcome.take() {
            self.ops.remove(at);
            return Some(outcome);
        }
        op.waker = Some(waker.clone());
        None
    }

    /// Hands over the next recorded completion. `None` when there is none left; otherwise whoever has to be woken.
    pub(crate) fn deliver(&mut self) -> Option<Vec<Waker>> {
        let Completion { op, time, outcome } = self.history.next()?;
        self.now = self.now.max(time);
        let mut woken = Vec::new();
        match op {
            None => {
                self.cancelled = true;
                for op in self.ops.values_mut().filter(|op| op.outcome.is_none()) {
                    op.outcome = Some(Outcome::Failed(StepError::cancelled()));
                    woken.extend(op.waker.take());
                }
            }
            Some(id) => {
                let at = id.path.position();
                match self.ops.get_mut(&at) {
                    Some(op) if op.outcome.is_none() => {
                        op.outcome = Some(outcome);
                        woken.extend(op.waker.take());
                    }
                    // Cancelled before, or the body has dropped it.
                    _ if self.history.is_requested(&at) => {}
                    _ => {
                        let requested = self.first_new();
                        let recorded = Some(id);
                        self.divergence = Some(Reason::NonDeterministic {
                            recorded,
                            requested,
                        });
                    }
                }
            }
        }
        Some(woken)
    }

    /// The first request that the journal knows nothing of.
    fn first_new(&self) -> Option<OpId> {
        let new = self
            .ops
            .iter()
            .filter(|(at, _)| self.history.at(at).is_none());
        new.map(|(_, op)| op)
            .min_by_key(|op| op.order)
            .map(|op| op.id.clone())
    }

    /// The body has returned: what is recorded and was never asked for, if anything.
    pub(crate) fn unrequested(&self) -> Option<Reason> {
        let recorded = Some(self.history.first_unrequested()?);
        Some(Reason::NonDeterministic {
            recorded,
            requested: None,
        })
    }

    /// The operations that wait for something, in the order of their requests.
    pub(crate) fn waiting(&mut self) -> Vec<(&Position, &mut Op)> {
        let waiting = self.ops.iter_mut().filter(|(_, op)| op.outcome.is_none());
        let mut waiting: Vec<_> = waiting.collect();
        waiting.sort_by_key(|(_, op)| op.order);
        waiting
    }

    /// The body waits although nothing it asked for is outstanding.
    pub(crate) fn foreign_await(&self) -> Option<Reason> {
        let idle = self.ops.values().all(|op| op.outcome.is_some());
        idle.then(|| self.foreign())
    }

    pub(crate) fn foreign(&self) -> Reason {
        Reason::ForeignAwait {
            after: self.last.clone(),
        }
    }

    /// Takes a number for a join of `of` branches and gives the scopes of its branches.
    pub(crate) fn open_join(&mut self, of: usize) -> Option<Vec<Scope>> {
        let of = u32::try_from(of).ok()?;
        if self.scope.branches.len() >= DEPTH_MAX {
            let text = format!("joins are nested more than {DEPTH_MAX} deep");
            self.fault = Some(StepError::non_retryable(text));
            return None;
        }
        let join = self.scope.next;
        self.scope.next += 1;
        let open = |index| {
            let mut branches = self.scope.branches.clone();
            branches.push(Branch { join, index, of });
            Scope { branches, next: 0 }
        };
        Some((0..of).map(open).collect())
    }

    /// Numbers operations in `scope` from now on; what it was before is left there.
    pub(crate) fn swap_scope(&mut self, scope: &mut Scope) {
        mem::swap(&mut self.scope, scope);
    }
}
