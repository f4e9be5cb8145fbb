//! Finding what a path matches.
//!
//! Matches come in the order of the selectors, from left to right; a step that descends answers what lies
//! deeper first. A value is matched once, however many ways lead to it, so the number of matches never
//! exceeds the document and a path takes O(steps * document), plus what its filters take of a budget.

use std::collections::HashSet;

use super::Node;
use super::compare::Budget;
use super::filter;
use super::path::{Path, Selector, Step};
use crate::error::Result;

/// What all filters of one path may do, in values looked at: about a second.
const FILTER_STEPS_MAX: u64 = 1 << 26;

/// A value and how it was reached: its parent's number in the trail and its position there.
#[derive(Clone, Copy, Debug)]
struct Found<'n> {
    node: &'n Node,
    trail: usize,
}

/// The values that a path matches.
#[derive(Debug)]
pub(crate) struct Matches<'n> {
    found: Vec<Found<'n>>,
    trail: Vec<(usize, u32)>,
}

/// Number of the root in a trail.
const ROOT: usize = 0;

impl<'n> Matches<'n> {
    /// Everything that `path` matches in the document; of a legacy path the first match.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Refused`] when filters would take too long.
    pub(crate) fn of(root: &'n Node, path: &Path) -> Result<Self> {
        let budget = Budget::new(FILTER_STEPS_MAX);
        let mut search = Search {
            root,
            outer: &budget,
            charged: false,
            trail: vec![(ROOT, 0)],
        };
        let mut found = search.run(root, &path.steps)?;
        if path.legacy {
            found.truncate(1);
        }
        Ok(Self {
            found,
            trail: search.trail,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.found.len()
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &'n Node> + '_ {
        self.found.iter().map(|found| found.node)
    }

    /// Where the matches are: positions from the root.
    pub(crate) fn places(&self) -> Vec<Box<[u32]>> {
        let place = |found: &Found<'_>| {
            let mut place = Vec::new();
            let mut at = found.trail;
            while at != ROOT {
                let (parent, position) = self.trail[at];
                place.push(position);
                at = parent;
            }
            place.reverse();
            place.into_boxed_slice()
        };
        self.found.iter().map(place).collect()
    }
}

/// The first match of steps from `start`, inside a filter.
pub(super) fn first<'n>(
    start: &'n Node,
    steps: &[Step],
    root: &'n Node,
    budget: &Budget,
) -> Result<Option<&'n Node>> {
    let mut node = start;
    for (done, step) in steps.iter().enumerate() {
        let next = match (&step.selectors[..], step.descends) {
            ([Selector::Name(name)], false) => match node {
                Node::Object(object) => object.get(name),
                _ => None,
            },
            ([Selector::Position(position)], false) => match node {
                Node::Array(items) => wrap(*position, items.len()).map(|at| &items[at]),
                _ => None,
            },
            _ => {
                let mut search = Search {
                    root,
                    outer: budget,
                    charged: true,
                    trail: vec![(ROOT, 0)],
                };
                let found = search.run(node, &steps[done..])?;
                return Ok(found.first().map(|found| found.node));
            }
        };
        let Some(next) = next else { return Ok(None) };
        if !budget.take(1) {
            return Err(filter::used_up());
        }
        node = next;
    }
    Ok(Some(node))
}

/// A position that may count from the end.
pub(crate) fn wrap(position: i64, len: usize) -> Option<usize> {
    let at = match usize::try_from(position) {
        Ok(at) => at,
        Err(_) => len.checked_sub(usize::try_from(position.unsigned_abs()).ok()?)?,
    };
    (at < len).then_some(at)
}

/// The positions of a slice, in its order.
fn slice(from: Option<i64>, to: Option<i64>, step: i64, len: usize) -> Vec<usize> {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let (lowest, highest) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let bound = |given: Option<i64>, default: i64| {
        let Some(given) = given else { return default };
        let at = if given < 0 {
            given.saturating_add(len)
        } else {
            given
        };
        at.clamp(lowest, highest)
    };
    let (mut at, end) = if step > 0 {
        (bound(from, 0), bound(to, len))
    } else {
        (bound(from, len - 1), bound(to, -1))
    };
    let mut positions = Vec::new();
    while (step > 0 && at < end) || (step < 0 && at > end) {
        positions.extend(usize::try_from(at));
        at = at.saturating_add(step);
    }
    positions
}

struct Search<'n, 'b> {
    root: &'n Node,
    outer: &'b Budget,
    /// Whether values that are looked at count, as they do inside filters.
    charged: bool,
    trail: Vec<(usize, u32)>,
}

/// What one step has found so far.
struct Level<'n> {
    found: Vec<Found<'n>>,
    /// Addresses of what was found, where it could be found twice.
    seen: Option<HashSet<usize, ahash::RandomState>>,
}

impl<'n> Search<'n, '_> {
    fn run(&mut self, start: &'n Node, steps: &[Step]) -> Result<Vec<Found<'n>>> {
        let mut from = vec![Found {
            node: start,
            trail: ROOT,
        }];
        for step in steps {
            let twice = step.selectors.len() > 1 || (step.descends && from.len() > 1);
            let mut level = Level {
                found: Vec::new(),
                seen: twice.then(HashSet::default),
            };
            let mut entered = HashSet::<usize, ahash::RandomState>::default();
            let several = from.len() > 1;
            for found in from {
                if step.descends {
                    let entered = several.then_some(&mut entered);
                    self.descend(found, step, &mut level, entered)?;
                } else {
                    self.select(found, step, &mut level)?;
                }
            }
            from = level.found;
        }
        Ok(from)
    }

    /// Recursion is as deep as the document, which is bounded.
    fn descend(
        &mut self,
        found: Found<'n>,
        step: &Step,
        level: &mut Level<'n>,
        mut entered: Option<&mut HashSet<usize, ahash::RandomState>>,
    ) -> Result<()> {
        let count = found.node.children();
        if count == 0 {
            return Ok(());
        }
        if let Some(entered) = &mut entered
            && !entered.insert(std::ptr::from_ref(found.node).addr())
        {
            return Ok(());
        }
        for position in 0..count {
            let Some((node, position)) = child(found.node, position) else {
                break;
            };
            if node.children() > 0 {
                let trail = self.note(found.trail, position);
                let below = Found { node, trail };
                self.descend(below, step, level, entered.as_deref_mut())?;
            }
        }
        self.select(found, step, level)
    }

    fn note(&mut self, parent: usize, position: u32) -> usize {
        self.trail.push((parent, position));
        self.trail.len() - 1
    }

    fn select(&mut self, from: Found<'n>, step: &Step, level: &mut Level<'n>) -> Result<()> {
        for selector in &step.selectors {
            if self.charged && !self.outer.take(1) {
                return Err(filter::used_up());
            }
            let count = from.node.children();
            match (selector, from.node) {
                (Selector::Name(name), Node::Object(object)) => {
                    if let Some(position) = object.position(name) {
                        self.take(from, position, level)?;
                    }
                }
                (Selector::Position(position), Node::Array(_)) => {
                    if let Some(position) = wrap(*position, count) {
                        self.take(from, position, level)?;
                    }
                }
                (Selector::Slice { from: a, to, step }, Node::Array(_)) => {
                    for position in slice(*a, *to, *step, count) {
                        self.take(from, position, level)?;
                    }
                }
                (Selector::All, _) => {
                    for position in 0..count {
                        self.take(from, position, level)?;
                    }
                }
                (Selector::Filter(filter), _) => {
                    for position in 0..count {
                        let Some((node, _)) = child(from.node, position) else {
                            break;
                        };
                        if filter.passes(node, self.root, self.outer)? {
                            self.take(from, position, level)?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn take(&mut self, from: Found<'n>, position: usize, level: &mut Level<'n>) -> Result<()> {
        if self.charged && !self.outer.take(1) {
            return Err(filter::used_up());
        }
        let Some((node, position)) = child(from.node, position) else {
            return Ok(());
        };
        if let Some(seen) = &mut level.seen
            && !seen.insert(std::ptr::from_ref(node).addr())
        {
            return Ok(());
        }
        let trail = self.note(from.trail, position);
        level.found.push(Found { node, trail });
        Ok(())
    }
}

fn child(node: &Node, position: usize) -> Option<(&Node, u32)> {
    let position = u32::try_from(position).ok()?;
    Some((node.child(position)?, position))
}
