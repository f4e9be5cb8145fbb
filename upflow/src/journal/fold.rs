//! What an engine knows of its runs without reading payloads: the fold of their journals.
//!
//! Invariant: folding is the same live, at recovery and after a restored checkpoint; it uses no clock, no random number and no hash
//! order. Payloads stay in the log; a parked run costs its addresses and its open waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use upkv::Timestamp;
use upkv::storage::{Address, Commit, Durability, Mount, TimerId};

use super::record::{Entry, Fact, Reason};
use crate::executor::Resident;
use crate::replay::path::Position;

/// How far a run is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Active,
    Completed,
    Failed,
    Cancelled,
}

/// One run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: Arc<str>,
    pub(crate) workflow: Arc<str>,
    pub(crate) version: u32,
    pub(crate) started: Timestamp,
    pub(crate) status: Status,
    pub(crate) ended: Timestamp,
    pub(crate) blocked: Option<Reason>,
    pub(crate) cancel_requested: Option<Timestamp>,
    /// All the run does is wait, so nothing has to be replayed until something arrives.
    pub(crate) parked: bool,
    /// How often the body panicked since it was started or resumed.
    pub(crate) panics: u32,
    /// When the body is tried again after a panic.
    pub(crate) body_retry: Option<Timestamp>,
    /// The records in order.
    pub(crate) journal: Vec<Address>,
    /// Events nobody has received: name, index of the record.
    pub(crate) mail: VecDeque<(Box<str>, u32)>,
    /// Ends of waits and of pauses between attempts.
    pub(crate) deadlines: Vec<(Position, Timestamp)>,
    pub(crate) live: Live,
}

/// What of a run is in memory only.
#[derive(Debug, Default)]
pub(crate) struct Live {
    pub(crate) turn: Turn,
    pub(crate) resident: Option<Box<Resident>>,
    /// Steps handed to workers: where, and which attempt.
    pub(crate) running: Vec<(Position, u32)>,
    pub(crate) timer: Option<(TimerId, Timestamp)>,
    /// Appended and not known to hold: shown to nobody before.
    pub(crate) unsettled: Option<(Commit, Durability)>,
    /// Tells the run's steps that it was cancelled.
    pub(crate) cancel: Arc<AtomicBool>,
    /// Its workflow is not registered.
    pub(crate) unregistered: bool,
}

/// Who looks after a run. One thread at a time does.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Turn {
    #[default]
    Idle,
    Queued,
    Driven,
    /// Something happened since the driving thread last looked.
    DrivenAgain,
}

impl Run {
    pub(crate) fn new(id: &str, workflow: &str, version: u32, started: Timestamp) -> Self {
        Self {
            id: id.into(),
            workflow: workflow.into(),
            version,
            started,
            status: Status::Active,
            ended: Timestamp::from_millis(0),
            blocked: None,
            cancel_requested: None,
            parked: false,
            panics: 0,
            body_retry: None,
            journal: Vec::new(),
            mail: VecDeque::new(),
            deadlines: Vec::new(),
            live: Live::default(),
        }
    }

    pub(crate) fn is_active(&self) -> bool {
        self.status == Status::Active
    }

    /// The index of the next record.
    pub(crate) fn next_index(&self) -> u32 {
        u32::try_from(self.journal.len()).expect("journals are bounded far below 4 billion records")
    }

    /// The earliest time at which the run has something to do.
    pub(crate) fn next_deadline(&self, grace: std::time::Duration) -> Option<Timestamp> {
        if !self.is_active() || self.blocked.is_some() || self.live.unregistered {
            return None;
        }
        let forced = self.cancel_requested.map(|at| at.saturating_add(grace));
        if self.body_retry.is_some() {
            return forced.into_iter().chain(self.body_retry).min();
        }
        let waits = self
            .deadlines
            .iter()
            .map(|(_, at)| *at)
            .filter(|at| *at != Timestamp::MAX);
        waits.chain(forced).min()
    }

    fn forget_deadline(&mut self, at: &Position) {
        self.deadlines.retain(|(other, _)| other != at);
    }

    fn end(&mut self, status: Status, time: Timestamp) {
        self.status = status;
        self.ended = time;
        // A failed run may be resumed, and then needs them.
        if status != Status::Failed {
            self.mail.clear();
            self.deadlines.clear();
        }
        self.blocked = None;
        self.body_retry = None;
        self.live.running.clear();
        self.live.cancel.store(true, Ordering::Relaxed);
    }

    /// Takes in the next record, which is at `at` in the log.
    fn fold(&mut self, entry: &Entry, at: Address) {
        self.journal.push(at);
        self.parked = false;
        match &entry.fact {
            Fact::Start { .. } | Fact::Tombstone => {}
            Fact::StepDone { op, .. } | Fact::TimerFired { op } | Fact::Sent { op, .. } => {
                self.forget_deadline(&op.path.position());
            }
            Fact::StepFailed { op, retry_at, .. } => {
                let position = op.path.position();
                self.forget_deadline(&position);
                self.deadlines.extend(retry_at.map(|at| (position, at)));
            }
            Fact::TimerSet { op, until, parked } => {
                self.deadlines.push((op.path.position(), *until));
                self.parked = *parked;
            }
            Fact::MailIn { event, .. } => self.mail.push_back((event.clone(), entry.index)),
            Fact::Recv { op, mail } => {
                self.forget_deadline(&op.path.position());
                self.mail.retain(|(_, index)| index != mail);
            }
            Fact::Completed { .. } => self.end(Status::Completed, entry.time),
            Fact::Failed { .. } => self.end(Status::Failed, entry.time),
            Fact::Cancelled => self.end(Status::Cancelled, entry.time),
            Fact::CancelRequested => {
                self.cancel_requested.get_or_insert(entry.time);
                self.deadlines.clear();
                self.live.cancel.store(true, Ordering::Relaxed);
            }
            Fact::Blocked { reason } => {
                self.blocked = Some(reason.clone());
                self.live.running.clear();
            }
            Fact::Resumed => {
                self.status = Status::Active;
                self.blocked = None;
                self.panics = 0;
                self.body_retry = None;
                self.live.cancel = Arc::default();
            }
            Fact::BodyPanicked {
                attempt, retry_at, ..
            } => {
                self.panics = *attempt;
                self.body_retry = Some(*retry_at);
            }
        }
    }
}

/// All runs of an engine.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) runs: BTreeMap<u64, Run>,
    /// The newest run of each id.
    pub(crate) ids: BTreeMap<Arc<str>, u64>,
    /// Ended runs, oldest end first.
    pub(crate) ended: VecDeque<u64>,
    pub(crate) next_run: u64,
    /// Work that is ready.
    pub(crate) tasks: VecDeque<crate::executor::Task>,
    /// Runs whose future is kept.
    pub(crate) residents: usize,
}

impl State {
    /// Takes in a record that was just committed at, or recovered from, `at`.
    pub(crate) fn fold(
        &mut self,
        mount: &Mount,
        entry: &Entry,
        at: Address,
    ) -> Result<(), &'static str> {
        if let Some(run) = self.runs.get_mut(&entry.run)
            && let Some(slot) = run.journal.get_mut(entry.index as usize)
        {
            // Written once more by garbage collection.
            mount.release(*slot);
            mount.retain(at);
            *slot = at;
            return Ok(());
        }
        if let Fact::Start {
            id,
            workflow,
            version,
            ..
        } = &entry.fact
        {
            if entry.index != 0 {
                return Err("a start in the middle of a journal");
            }
            let mut run = Run::new(id, workflow, *version, entry.time);
            run.fold(entry, at);
            mount.retain(at);
            self.ids.insert(Arc::clone(&run.id), entry.run);
            self.next_run = self.next_run.max(entry.run.saturating_add(1));
            self.runs.insert(entry.run, run);
            return Ok(());
        }
        let run = self
            .runs
            .get_mut(&entry.run)
            .ok_or("a record of an unknown run")?;
        if entry.index as usize != run.journal.len() {
            return Err("a gap in a journal");
        }
        if entry.fact == Fact::Tombstone {
            self.bury(mount, entry.run);
            return Ok(());
        }
        let was_active = run.is_active();
        run.fold(entry, at);
        mount.retain(at);
        let is_active = run.is_active();
        match (was_active, is_active) {
            (true, false) => self.ended.push_back(entry.run),
            (false, true) => self.ended.retain(|other| *other != entry.run),
            _ => {}
        }
        Ok(())
    }

    fn bury(&mut self, mount: &Mount, uid: u64) {
        let Some(run) = self.runs.remove(&uid) else {
            return;
        };
        for at in run.journal {
            mount.release(at);
        }
        if self.ids.get(&run.id) == Some(&uid) {
            self.ids.remove(&run.id);
        }
        self.ended.retain(|other| *other != uid);
    }

    /// Whether the run still waits for this attempt; it is not waited for afterwards.
    pub(crate) fn take_running(&mut self, uid: u64, at: &Position, attempt: u32) -> bool {
        let Some(run) = self.runs.get_mut(&uid) else {
            return false;
        };
        let before = run.live.running.len();
        run.live
            .running
            .retain(|(other, number)| other != at || *number != attempt);
        run.is_active() && run.blocked.is_none() && run.live.running.len() < before
    }

    /// As [`Self::take_running`], without taking it.
    pub(crate) fn is_running(&self, uid: u64, at: &Position, attempt: u32) -> bool {
        self.runs.get(&uid).is_some_and(|run| {
            let wanted = |(other, number): &(Position, u32)| other == at && *number == attempt;
            run.is_active() && run.blocked.is_none() && run.live.running.iter().any(wanted)
        })
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<u64> {
        self.ids.get(id).copied()
    }
}
