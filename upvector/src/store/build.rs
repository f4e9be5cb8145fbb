//! Keeping the graphs up with their records: absorbing fresh vectors and taking dead nodes out, in steps.
//!
//! Invariant: planning holds a namespace's state for reading only, so that searches go on; applying holds it for writing and only
//! copies. Whoever changes a graph holds its `builder`; a plan made before the namespace was reset is dropped.

use super::dense::Dense;
use super::state::State;
use crate::graph::consolidate::Consolidation;
use crate::graph::insert::{Planner, batch_size};
use crate::inner::{Inner, Space};

/// Vectors that a writer absorbs for each that it adds while many are fresh.
const SHARE: usize = 4;

/// Vectors that a writer absorbs at most beyond its share.
const MUST_MAX: usize = 1024;

/// Work on a graph that takes several steps.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    /// With the life of the namespace that it belongs to.
    consolidation: Option<(u64, Consolidation)>,
}

impl Inner {
    /// Notes that a graph has work waiting. Called with the lock of the state held.
    pub(crate) fn note_work(&self, number: u32, state: &State) {
        let wants = |dense: &Dense| dense.wants_absorbing() || dense.wants_consolidation();
        if state.dense.as_ref().is_some_and(|dense| wants(dense)) {
            self.waiting.lock().insert(number);
        }
    }

    /// Does the share of a writer that added `added` records, so that searches never scan much. If more vectors are fresh than a quarter of
    /// what is scanned without a graph, it absorbs four times as many; if there are more than that or an eighth of the graph, as many as
    /// are too many, but not so many that the writer waits for long. Called with no lock held.
    pub(crate) fn share_work(&self, space: &Space, added: usize) {
        let (mut fresh, mut soft, mut hard) = (0, 0, 0);
        if let Some(dense) = &space.state.read().dense
            && dense.wants_absorbing()
        {
            fresh = dense.fresh.len();
            soft = dense.scan_max() / 4;
            hard = dense.scan_max().max(dense.graph.nodes / 8);
        }
        if fresh <= soft {
            return;
        }
        let must = fresh.saturating_sub(hard).min(MUST_MAX);
        let wanted = (added * SHARE).min(fresh - soft).max(must);
        let builder = if must > 0 {
            Some(space.builder.lock())
        } else {
            space.builder.try_lock()
        };
        let Some(mut builder) = builder else { return };
        let mut done = 0;
        while done < wanted {
            match self.absorb(space, &mut builder, wanted - done) {
                0 => return,
                step => done += step,
            }
        }
    }

    /// One step of whatever the graph needs; `false` if it needs nothing.
    pub(crate) fn build_step(&self, space: &Space) -> bool {
        let mut builder = space.builder.lock();
        self.consolidate(space, &mut builder) || self.absorb(space, &mut builder, usize::MAX) > 0
    }

    /// Makes at most `most` fresh vectors nodes; returns how many.
    fn absorb(&self, space: &Space, _builder: &mut Builder, most: usize) -> usize {
        let (batch, life) = {
            let mut state = space.state.write();
            let life = state.life;
            let Some(dense) = &mut state.dense else {
                return 0;
            };
            if !dense.wants_absorbing() {
                return 0;
            }
            let count = batch_size(dense.graph.nodes).min(most);
            (dense.begin_absorbing(count), life)
        };
        let plan = {
            let state = space.state.read();
            let Some(dense) = same_life(&state, life) else {
                return 0;
            };
            self.planner(&state, dense)
                .insert(&batch, |slot| state.is_live(slot))
        };
        let mut state = space.state.write();
        if same_life(&state, life).is_none() {
            return 0;
        }
        let State { dense, slots, .. } = &mut *state;
        if let Some(dense) = dense {
            dense.graph.apply(&batch, &plan);
            dense.end_absorbing(|slot| slots[slot as usize].is_live());
        }
        batch.len()
    }

    /// A step of taking dead nodes out; `false` if there is no need.
    fn consolidate(&self, space: &Space, builder: &mut Builder) -> bool {
        let plan = {
            let state = space.state.read();
            let Some(dense) = &state.dense else {
                return false;
            };
            if builder
                .consolidation
                .as_ref()
                .is_none_or(|(life, _)| *life != state.life)
            {
                if !dense.wants_consolidation() {
                    return false;
                }
                builder.consolidation = Some((state.life, begin_consolidation(&state, dense)));
            }
            let Some((_, consolidation)) = &mut builder.consolidation else {
                return false;
            };
            consolidation.plan(&self.planner(&state, dense), |slot| state.is_live(slot))
        };
        let mut state = space.state.write();
        let life = state.life;
        let State { dense, free, .. } = &mut *state;
        let (Some(dense), Some((begun, consolidation))) = (dense, &builder.consolidation) else {
            return false;
        };
        if *begun != life {
            return false;
        }
        if let Some(plan) = plan {
            for (slot, edges) in &plan.edges {
                dense.graph.adjacency.set(*slot, edges);
            }
        } else {
            finish_consolidation(dense, free, consolidation);
            builder.consolidation = None;
        }
        true
    }

    /// Takes all of `doomed`, nodes without a record, out at once; for reloading, where some may have lost their vectors.
    pub(crate) fn consolidate_now(&self, state: &mut State, doomed: &[bool]) {
        let Some(dense) = &state.dense else { return };
        let is_doomed = |slot: u32| doomed.get(slot as usize).is_some_and(|doomed| *doomed);
        let slots = u32::try_from(state.slots.len()).unwrap_or(u32::MAX);
        let mut consolidation = Consolidation::new(slots, is_doomed);
        let mut plans = Vec::new();
        while let Some(plan) =
            consolidation.plan(&self.planner(state, dense), |slot| state.is_live(slot))
        {
            plans.push(plan);
        }
        let State { dense, free, .. } = state;
        if let Some(dense) = dense {
            for (slot, edges) in plans.iter().flat_map(|plan| &plan.edges) {
                dense.graph.adjacency.set(*slot, edges);
            }
            finish_consolidation(dense, free, &consolidation);
        }
    }

    fn planner<'a>(&'a self, state: &'a State, dense: &'a Dense) -> Planner<'a> {
        Planner {
            graph: &dense.graph,
            space: &dense.space,
            slots: state.slots.len(),
            pool: &self.pool,
            workers: &self.workers,
        }
    }
}

/// The dense half, unless the namespace was reset since.
fn same_life(state: &State, life: u64) -> Option<&Dense> {
    state.dense.as_deref().filter(|_| state.life == life)
}

fn begin_consolidation(state: &State, dense: &Dense) -> Consolidation {
    let slots = u32::try_from(state.slots.len()).unwrap_or(u32::MAX);
    let is_node = |slot: u32| dense.places.get(slot as usize) == Some(&super::dense::Place::Node);
    Consolidation::new(slots, |slot| is_node(slot) && !state.is_live(slot))
}

/// Frees the slots of the doomed, to which nothing leads any more.
fn finish_consolidation(dense: &mut Dense, free: &mut Vec<u32>, done: &Consolidation) {
    for slot in done.doomed() {
        dense.graph.adjacency.set(slot, &[]);
        dense.places[slot as usize] = super::dense::Place::None;
        dense.graph.nodes -= 1;
        dense.dead -= 1;
        free.push(slot);
    }
    if dense.graph.entries.iter().any(|slot| done.is_doomed(*slot)) {
        dense.choose_entries();
    }
}
