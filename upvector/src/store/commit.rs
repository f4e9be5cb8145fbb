//! Writing: a batch of operations on any namespaces becomes one frame of the log, then a change in memory.
//!
//! Invariant: everything that can be refused is refused before the frame is appended; what follows cannot fail. The locks of all
//! namespaces of a batch are held from before the append until memory has changed, so that the order of the log is the order of the
//! changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::{RwLockReadGuard, RwLockWriteGuard};
use upkv::storage::{self, Address, Commit, Frame};

use super::journal::{self, Fact, kind};
use super::state::State;
use crate::filter::Filter;
use crate::inner::{Inner, Space, Spaces};
use crate::record::Prepared;

/// What to do to one namespace.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// In order, as if each was made after the one before.
    pub(crate) ops: Vec<Op>,
    /// Refuse with nothing done unless this record is still where it was.
    pub(crate) only_if: Option<(Box<str>, Address)>,
}

#[derive(Debug)]
pub(crate) enum Op {
    Upsert(Prepared),
    Delete(Box<str>),
    /// Ids that begin so.
    DeletePrefix(Box<str>),
    DeleteWhere(Filter),
    /// Everything; it comes alone.
    Reset,
}

impl Op {
    /// The record that it is about, if it is one.
    fn id(&self) -> Option<&str> {
        match self {
            Self::Upsert(record) => Some(&record.id),
            Self::Delete(id) => Some(id),
            Self::DeletePrefix(_) | Self::DeleteWhere(_) | Self::Reset => None,
        }
    }
}

/// What to do, by namespace.
pub(crate) type Batch = BTreeMap<Box<str>, Changes>;

/// What a batch did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) commit: Commit,
    /// Records that were deleted.
    pub(crate) deleted: usize,
    /// Namespaces written to, and how many records each got.
    pub(crate) written: Vec<(Arc<Space>, usize)>,
}

/// How a batch came out.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done(Done),
    /// A record was not where the batch was made for; nothing was done.
    Stale,
}

/// An upsert with its place in the frame.
struct Planned {
    sequence: u64,
    keeps_vector: bool,
    record: Prepared,
    index: usize,
}

/// What the operations of a batch so far leave of one id.
struct Met {
    /// The record that is there, until it is deleted.
    slot: Option<u32>,
    /// The place in the order of insertion that a record has, if there is one.
    sequence: Option<u64>,
    /// The last upsert.
    last: Option<usize>,
}

impl Met {
    fn new(state: &State, id: &str) -> Self {
        let slot = state.find(id);
        Self {
            slot,
            sequence: slot.map(|slot| state.slot(slot).sequence),
            last: None,
        }
    }
}

/// The changes to one namespace, planned under its lock.
#[derive(Default)]
struct Plan {
    upserts: Vec<Planned>,
    removed: Vec<u64>,
    reset: bool,
}

/// The namespaces, to look at or to add to.
enum Names<'a> {
    Fixed(RwLockReadGuard<'a, Spaces>),
    Growing(RwLockWriteGuard<'a, Spaces>),
}

impl Names<'_> {
    fn get(&self) -> &Spaces {
        match self {
            Self::Fixed(spaces) => spaces,
            Self::Growing(spaces) => spaces,
        }
    }
}

impl Inner {
    /// Does everything in `batch` in one commit. `rest` appends the frame, and whatever else is to be in it.
    pub(crate) fn commit(
        &self,
        batch: Batch,
        frame: &mut Frame,
        rest: &mut dyn FnMut(&mut Frame) -> storage::Result<Commit>,
    ) -> storage::Result<Outcome> {
        let _gate = self.gate.read();
        let mut names = self.names(&batch);
        let mut created = Vec::new();
        let mut work = self.resolve(&names, batch, &mut created);
        // In the order of their numbers, which is that of all locks on states.
        work.sort_by_key(|(space, _)| space.number);
        let (spaces, changes): (Vec<_>, Vec<_>) = work.into_iter().unzip();
        let mut states: Vec<_> = spaces.iter().map(|space| space.state.write()).collect();
        let is_stale = |(changes, state): (&Changes, &RwLockWriteGuard<'_, State>)| {
            changes.only_if.as_ref().is_some_and(|(id, at)| {
                state.find(id).is_none_or(|slot| state.slot(slot).at != *at)
            })
        };
        if changes.iter().zip(&states).any(is_stale) {
            return Ok(Outcome::Stale);
        }
        for (name, space) in &created {
            let (namespace, name) = (space.number, name.clone());
            self.push(frame, &Fact::Created { namespace, name });
        }
        let plans: Vec<Plan> = changes
            .into_iter()
            .zip(spaces.iter().zip(&states))
            .map(|(changes, (space, state))| self.plan(space.number, state, changes.ops, frame))
            .collect();
        let commit = rest(frame)?;
        let mut done = Done {
            commit,
            deleted: 0,
            written: Vec::new(),
        };
        if let Names::Growing(all) = &mut names {
            for (name, space) in created {
                all.insert(&name, space);
            }
        }
        for (plan, (state, space)) in plans.into_iter().zip(states.iter_mut().zip(&spaces)) {
            let upserts = plan.upserts.len();
            done.deleted += plan.removed.len();
            self.publish(state, plan, &done.commit);
            self.note_work(space.number, state);
            done.written.push((Arc::clone(space), upserts));
        }
        Ok(Outcome::Done(done))
    }

    /// The names, for writing if a namespace is to be created.
    fn names(&self, batch: &Batch) -> Names<'_> {
        let spaces = self.spaces.read();
        let creates = |name: &str, changes: &Changes| {
            changes.ops.iter().any(|op| matches!(op, Op::Upsert(_)))
                && !spaces.by_name.contains_key(name)
        };
        if batch.iter().any(|(name, changes)| creates(name, changes)) {
            drop(spaces);
            Names::Growing(self.spaces.write())
        } else {
            Names::Fixed(spaces)
        }
    }

    /// The namespaces of a batch. Deletes from one that does not exist come to nothing.
    fn resolve(
        &self,
        names: &Names<'_>,
        batch: Batch,
        created: &mut Vec<(Box<str>, Arc<Space>)>,
    ) -> Vec<(Arc<Space>, Changes)> {
        let spaces = names.get();
        let mut next = spaces.next;
        let mut work = Vec::with_capacity(batch.len());
        for (name, changes) in batch {
            let upserts = changes.ops.iter().any(|op| matches!(op, Op::Upsert(_)));
            if let Some(space) = spaces.by_name.get(&*name) {
                work.push((Arc::clone(space), changes));
            } else if upserts && changes.only_if.is_none() {
                let space = self.new_space(next);
                next += 1;
                created.push((name, Arc::clone(&space)));
                work.push((space, changes));
            }
        }
        work
    }

    /// Decides what a namespace's changes do, and pushes their records.
    fn plan(&self, namespace: u32, state: &State, ops: Vec<Op>, frame: &mut Frame) -> Plan {
        let mut plan = Plan::default();
        let mut next = state.next;
        let mut met: HashMap<&str, Met, ahash::RandomState> = HashMap::default();
        for (place, op) in ops.iter().enumerate() {
            let Some(id) = op.id() else {
                self.plan_removal(namespace, state, op, &mut plan, frame);
                continue;
            };
            let met = met.entry(id).or_insert_with(|| Met::new(state, id));
            if matches!(op, Op::Upsert(_)) {
                met.sequence.get_or_insert_with(|| {
                    next += 1;
                    next - 1
                });
                met.last = Some(place);
            } else {
                let old = met.slot.take();
                plan.removed
                    .extend(old.map(|slot| state.slot(slot).sequence));
                (met.sequence, met.last) = (None, None);
            }
        }
        let chosen: Vec<Option<(u64, Option<u32>)>> = (0..)
            .zip(&ops)
            .map(|(place, op)| {
                let met = met.get(op.id()?).filter(|met| met.last == Some(place))?;
                Some((met.sequence?, met.slot))
            })
            .collect();
        // First, because an id that is removed may come back with another place in the order.
        if !plan.removed.is_empty() {
            let sequences = plan.removed.clone();
            self.push(
                frame,
                &Fact::Removed {
                    namespace,
                    sequences,
                },
            );
        }
        let mut body = Vec::new();
        for (op, chosen) in ops.into_iter().zip(chosen) {
            let (Op::Upsert(record), Some((sequence, slot))) = (op, chosen) else {
                continue;
            };
            let keeps_vector = slot.is_some_and(|slot| state.has_vector(slot, &record.dense));
            body.clear();
            journal::encode_upsert(namespace, sequence, keeps_vector, &record, &mut body);
            let index = frame.push(&self.mount, kind::UPSERT, &[&body]);
            plan.upserts.push(Planned {
                sequence,
                keeps_vector,
                record,
                index,
            });
        }
        plan
    }

    /// Decides which records an operation takes out that is not about a single one.
    fn plan_removal(
        &self,
        namespace: u32,
        state: &State,
        op: &Op,
        plan: &mut Plan,
        frame: &mut Frame,
    ) {
        let all = || state.order.iter().map(|(n, slot)| (*n, state.slot(*slot)));
        match op {
            Op::Upsert(_) | Op::Delete(_) => {}
            Op::DeletePrefix(prefix) => {
                let matching = all().filter(|(_, slot)| slot.id.starts_with(&**prefix));
                plan.removed.extend(matching.map(|(sequence, _)| sequence));
            }
            Op::DeleteWhere(filter) => {
                let matching = all().filter(|(_, slot)| filter.matches(slot.metadata.as_ref()));
                plan.removed.extend(matching.map(|(sequence, _)| sequence));
            }
            Op::Reset => {
                self.push(frame, &Fact::Reset { namespace });
                plan.reset = true;
            }
        }
    }

    /// Adds a fact to a frame.
    pub(crate) fn push(&self, frame: &mut Frame, fact: &Fact) {
        let (kind, body) = fact.encode();
        frame.push(&self.mount, kind, &[&body]);
    }

    /// Takes a committed plan in.
    fn publish(&self, state: &mut State, plan: Plan, commit: &Commit) {
        let common = self
            .common()
            .expect("the specification was recorded before the first record");
        if plan.reset {
            state.clear(&self.mount);
        }
        for sequence in plan.removed {
            state.remove(&self.mount, sequence);
        }
        for planned in plan.upserts {
            state.upsert(
                &self.mount,
                &common,
                planned.sequence,
                planned.keeps_vector,
                planned.record,
                commit.address(planned.index),
            );
        }
    }
}
