//! Acting on what a body asked for: timers, mail, sends in one commit; steps to the workers.
//!
//! Invariant: called only when the whole journal was handed over without a divergence, so nothing here repeats what is recorded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use upkv::Timestamp;

use crate::error::Result;
use crate::executor::{Resident, Task};
use crate::inner::{Inner, MAIL_MAX};
use crate::journal::fold::State;
use crate::journal::record::{Entry, Fact};
use crate::replay::Op;
use crate::replay::path::{OpId, Position};
use crate::scheduler::Job;
use crate::step::{Request, Wake, stable_key};

/// Records under construction, for several runs.
struct Batch {
    now: Timestamp,
    uid: u64,
    entries: Vec<Entry>,
    next: BTreeMap<u64, u32>,
    /// Mail of this run already given to an operation.
    claimed: Vec<u32>,
    /// Something completed, so the body will go on at once.
    completed: bool,
}

impl Batch {
    fn push(&mut self, state: &State, uid: u64, fact: Fact) {
        let next = self.next.entry(uid).or_insert_with(|| {
            state
                .runs
                .get(&uid)
                .map_or(0, crate::journal::fold::Run::next_index)
        });
        let index = *next;
        *next += 1;
        self.entries.push(Entry {
            run: uid,
            index,
            time: self.now,
            fact,
        });
    }

    fn complete(&mut self, state: &State, fact: Fact) {
        self.completed = true;
        self.push(state, self.uid, fact);
    }

    /// A wait without mail: begins, ends, or goes on.
    fn wait(&mut self, state: &State, op: &Op, until: Timestamp) {
        let id = op.id.clone();
        if until <= self.now {
            self.complete(state, Fact::TimerFired { op: id });
        } else if op.until.is_none() {
            self.push(
                state,
                self.uid,
                Fact::TimerSet {
                    op: id,
                    until,
                    parked: false,
                },
            );
        }
    }

    /// What an operation that needs no worker records now, if anything.
    fn answer(&mut self, state: &State, op: &Op) {
        match &op.request {
            Request::Step { .. } => {}
            Request::Sleep(wake) => {
                let until = op.until.unwrap_or_else(|| match wake {
                    Wake::After(span) => self.now.saturating_add(*span),
                    Wake::At(at) => *at,
                });
                self.wait(state, op, until);
            }
            Request::Event { timeout } => {
                if !self.receive(state, op) {
                    let until = op.until.unwrap_or_else(|| {
                        timeout.map_or(Timestamp::MAX, |span| self.now.saturating_add(span))
                    });
                    self.wait(state, op, until);
                }
            }
            Request::Notify { run, data } => self.send(state, &op.id, run, data.clone()),
        }
    }

    fn receive(&mut self, state: &State, op: &Op) -> bool {
        let Some(run) = state.runs.get(&self.uid) else {
            return false;
        };
        let fits = |(event, index): &&(Box<str>, u32)| {
            *event == op.id.name && !self.claimed.contains(index)
        };
        let Some((_, mail)) = run.mail.iter().find(fits) else {
            return false;
        };
        let mail = *mail;
        self.claimed.push(mail);
        self.complete(
            state,
            Fact::Recv {
                op: op.id.clone(),
                mail,
            },
        );
        true
    }

    fn send(&mut self, state: &State, id: &OpId, to: &str, data: bytes::Bytes) {
        let target = state.by_id(to).filter(|uid| {
            let run = state.runs.get(uid);
            run.is_some_and(|run| run.is_active() && run.mail.len() < MAIL_MAX)
        });
        if let Some(target) = target {
            self.push(
                state,
                target,
                Fact::MailIn {
                    event: id.name.clone(),
                    data,
                },
            );
        }
        self.complete(
            state,
            Fact::Sent {
                op: id.clone(),
                delivered: target.is_some(),
            },
        );
    }
}

impl Inner {
    /// Whether there is something new to hand over.
    pub(crate) fn act(self: &Arc<Self>, uid: u64, body: &Resident) -> Result<bool> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(run) = state.runs.get(&uid) else {
            return Ok(true);
        };
        let mut replay = body.shared.replay.lock();
        if !run.is_active() || run.blocked.is_some() || run.journal.len() > replay.loaded() {
            return Ok(true);
        }
        if let Some(error) = Self::journal_full(run.journal.len()) {
            let entry = self.entry(state, uid, Fact::Failed { error });
            self.commit(state, &[entry], self.mount.durability())?;
            return Ok(true);
        }
        let mut batch = Batch {
            now: self.mount.now(),
            uid,
            entries: Vec::new(),
            next: BTreeMap::new(),
            claimed: Vec::new(),
            completed: false,
        };
        let mut jobs = Vec::new();
        let mut steps = false;
        for (at, op) in replay.waiting() {
            if matches!(op.request, Request::Step { .. }) {
                steps = true;
                let due = op.retry_at.is_none_or(|at| at <= batch.now);
                if due && run.live.running.iter().all(|(other, _)| other != at) {
                    jobs.extend(job(uid, body.seed, at, op, &run.id, &run.live.cancel));
                }
            } else {
                batch.answer(state, op);
            }
        }
        drop(replay);
        if !steps
            && !batch.completed
            && let Some(Entry {
                fact: Fact::TimerSet { parked, .. },
                ..
            }) = batch.entries.last_mut()
        {
            *parked = true;
        }
        if !batch.entries.is_empty() {
            self.commit(state, &batch.entries, self.mount.durability())?;
        }
        let run = state
            .runs
            .get_mut(&uid)
            .expect("the run was found under this lock");
        for job in jobs {
            run.live.running.push((job.at.clone(), job.attempt));
            state.tasks.push_back(Task::Step(Box::new(job)));
            self.ready.notify();
        }
        let others: Vec<u64> = batch
            .next
            .keys()
            .copied()
            .filter(|other| *other != uid)
            .collect();
        for other in others {
            self.enqueue(state, other);
        }
        Ok(!batch.entries.is_empty())
    }
}

fn job(
    uid: u64,
    seed: u64,
    at: &Position,
    op: &Op,
    run_id: &Arc<str>,
    cancel: &Arc<AtomicBool>,
) -> Option<Job> {
    let Request::Step { body, options } = &op.request else {
        return None;
    };
    let mut path = Vec::new();
    op.id.path.encode(&mut path);
    let key = stable_key(&[&uid.to_le_bytes(), &seed.to_le_bytes(), &path]);
    Some(Job {
        uid,
        at: at.clone(),
        op: op.id.clone(),
        attempt: op.attempts.saturating_add(1),
        body: body.clone(),
        options: *options,
        run_id: Arc::clone(run_id),
        key,
        cancel: Arc::clone(cancel),
    })
}
