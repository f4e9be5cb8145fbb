//! The dense half of a namespace: vectors, the graph over most of them, and the fresh ones that no edge leads to yet.
//!
//! Invariant: every slot with a vector is in exactly one place: fresh, being absorbed, or a node of the graph. A search scans the
//! fresh ones, so that a record is found as soon as it is there.

use std::collections::BinaryHeap;

use super::space::{Probe, Space};
use crate::distance::Kernels;
use crate::graph::search::{Candidate, Scratch};
use crate::graph::{Graph, GraphOptions, entry_point};
use crate::spec;

/// Where the vector of a slot is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nowhere: the slot is free.
    None,
    /// At this index of the fresh ones.
    Fresh(u32),
    /// Its edges are being planned.
    Absorbing,
    /// In the graph.
    Node,
}

#[derive(Debug)]
pub(crate) struct Dense {
    pub(crate) space: Space,
    pub(crate) graph: Graph,
    pub(crate) places: Vec<Place>,
    pub(crate) fresh: Vec<u32>,
    pub(crate) absorbing: Vec<u32>,
    /// Nodes without a record.
    pub(crate) dead: usize,
}

impl Dense {
    pub(crate) fn new(spec: spec::Dense, options: GraphOptions, kernels: Kernels) -> Self {
        Self {
            space: Space::new(spec.metric, spec.dimensions, kernels),
            graph: Graph::new(options),
            places: Vec::new(),
            fresh: Vec::new(),
            absorbing: Vec::new(),
            dead: 0,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let lists = self.fresh.capacity() + self.absorbing.capacity();
        self.space.bytes()
            + self.graph.adjacency.bytes()
            + lists * 4
            + self.places.capacity() * size_of::<Place>()
    }

    /// Makes room for `slots`.
    pub(crate) fn grow(&mut self, slots: usize) {
        self.space.grow(slots);
        if self.places.len() < slots {
            self.places.resize(slots, Place::None);
        }
    }

    /// Puts a vector into a free slot.
    pub(crate) fn put(&mut self, slot: u32, vector: &[f32]) {
        self.grow(slot as usize + 1);
        self.space.set(slot, vector);
        self.make_fresh(slot);
    }

    pub(crate) fn make_fresh(&mut self, slot: u32) {
        let index = u32::try_from(self.fresh.len()).expect("slots are numbered with 32 bits");
        self.places[slot as usize] = Place::Fresh(index);
        self.fresh.push(slot);
    }

    /// The record of a slot is gone; whether the slot is free at once.
    pub(crate) fn retire(&mut self, slot: u32) -> bool {
        match self.places[slot as usize] {
            Place::None => true,
            Place::Fresh(index) => {
                self.fresh.swap_remove(index as usize);
                if let Some(moved) = self.fresh.get(index as usize) {
                    self.places[*moved as usize] = Place::Fresh(index);
                }
                self.places[slot as usize] = Place::None;
                true
            }
            Place::Absorbing => false,
            Place::Node => {
                self.dead += 1;
                false
            }
        }
    }

    /// Whether fresh vectors should become nodes.
    pub(crate) fn wants_absorbing(&self) -> bool {
        if self.graph.is_empty() {
            self.fresh.len() > self.scan_max()
        } else {
            !self.fresh.is_empty() || !self.absorbing.is_empty()
        }
    }

    /// Vectors up to which there is no graph.
    pub(crate) fn scan_max(&self) -> usize {
        self.graph.options.scan_max as usize
    }

    /// Whether a fifth of the graph is dead.
    pub(crate) fn wants_consolidation(&self) -> bool {
        5 * self.dead > self.graph.nodes
    }

    /// Takes out at most `count` fresh slots to absorb, after those that were left from a plan that came to nothing.
    pub(crate) fn begin_absorbing(&mut self, count: usize) -> Vec<u32> {
        if self.absorbing.is_empty() {
            let rest = self.fresh.len().saturating_sub(count);
            self.absorbing = self.fresh.split_off(rest);
            for slot in &self.absorbing {
                self.places[*slot as usize] = Place::Absorbing;
            }
        }
        self.absorbing.clone()
    }

    /// The slots being absorbed are nodes now.
    pub(crate) fn end_absorbing(&mut self, live: impl Fn(u32) -> bool) {
        for slot in std::mem::take(&mut self.absorbing) {
            self.places[slot as usize] = Place::Node;
            self.dead += usize::from(!live(slot));
        }
        if self.graph.outgrew_entries() {
            self.choose_entries();
        }
    }

    pub(crate) fn choose_entries(&mut self) {
        let nodes: Vec<u32> = self.nodes().collect();
        entry_point::choose(&mut self.graph, &self.space, &nodes);
    }

    /// The slots in the graph.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = u32> {
        (0..)
            .zip(&self.places)
            .filter(|(_, place)| **place == Place::Node)
            .map(|(slot, _)| slot)
    }

    /// Puts all fresh vectors near enough into `nearest`.
    pub(crate) fn scan_fresh(
        &self,
        probe: &Probe<'_>,
        nearest: &mut Nearest,
        accept: &mut dyn FnMut(u32) -> bool,
        sequence: &dyn Fn(u32) -> u64,
    ) {
        for &slot in self.fresh.iter().chain(&self.absorbing) {
            let distance = self.space.distance(probe, slot);
            nearest.offer(slot, distance, accept, sequence);
        }
    }

    /// Walks the graph and puts what it meets into `nearest`.
    pub(crate) fn walk(
        &self,
        probe: &Probe<'_>,
        list: usize,
        scratch: &mut Scratch,
        nearest: &mut Nearest,
        accept: &mut dyn FnMut(u32) -> bool,
        sequence: &dyn Fn(u32) -> u64,
    ) {
        scratch.search(
            &self.graph,
            self.places.len(),
            list,
            |slot| self.space.distance(probe, slot),
            |slot, distance| nearest.offer(slot, distance, accept, sequence),
        );
    }
}

/// The nearest accepted slots so far; at equal distance the record that was inserted first.
#[derive(Debug)]
pub(crate) struct Nearest {
    limit: usize,
    heap: BinaryHeap<Found>,
}

#[derive(Copy, Clone, Debug, PartialEq)]
struct Found {
    distance: f32,
    sequence: u64,
    slot: u32,
}

impl Eq for Found {}

impl Ord for Found {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.distance
            .total_cmp(&other.distance)
            .then(self.sequence.cmp(&other.sequence))
    }
}

impl PartialOrd for Found {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Nearest {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            heap: BinaryHeap::with_capacity(limit + 1),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(crate) fn clear(&mut self) {
        self.heap.clear();
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> {
        self.heap.iter().map(|found| found.slot)
    }

    /// Takes a slot in if it is near enough and accepted, which is asked last because it costs most.
    pub(crate) fn offer(
        &mut self,
        slot: u32,
        distance: f32,
        accept: &mut (impl FnMut(u32) -> bool + ?Sized),
        sequence: &(impl Fn(u32) -> u64 + ?Sized),
    ) {
        let distance = Candidate::new(slot, distance).distance;
        if self.heap.len() >= self.limit
            && self.heap.peek().is_none_or(|last| last.distance < distance)
        {
            return;
        }
        let found = Found {
            distance,
            sequence: sequence(slot),
            slot,
        };
        if self.heap.len() >= self.limit && self.heap.peek().is_none_or(|last| *last < found) {
            return;
        }
        if accept(slot) {
            self.heap.push(found);
            if self.heap.len() > self.limit {
                self.heap.pop();
            }
        }
    }
}
