//! Changes of a document at a place, each with its inverse.
//!
//! A place is the positions from the root down, of members as well as of elements. Positions of several
//! runs or spans ascend and do not touch.

use super::{DEPTH_MAX, Json, Node};
use crate::value::json::object::Member;

/// Neighbouring items to insert; `at` is the first one's position afterwards.
#[derive(Clone, Debug)]
pub(crate) struct Run<T> {
    pub(crate) at: u32,
    pub(crate) items: Vec<T>,
}

/// Neighbouring items to remove; `at` is the first one's position before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) at: u32,
    pub(crate) count: u32,
}

/// What happens at the place.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// The value becomes another one.
    Replace(Node),
    /// Elements come into an array.
    InsertItems(Vec<Run<Node>>),
    /// Members come into an object.
    InsertMembers(Vec<Run<Member>>),
    /// Items of an array or object go.
    Remove(Vec<Span>),
    /// A text grows.
    Append(Box<str>),
    /// A text is cut to a length in bytes.
    Cut(u32),
}

/// See the module documentation.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) place: Box<[u32]>,
    pub(crate) act: Act,
}

impl Change {
    pub(crate) fn new(place: &[u32], act: Act) -> Self {
        Self {
            place: place.into(),
            act,
        }
    }

    /// Heap bytes that come in, and how deep they reach from the root.
    pub(crate) fn adds(&self) -> (usize, usize) {
        let fold = |nodes: &mut dyn Iterator<Item = &Node>| {
            nodes.fold((0, 0), |(heap, depth): (usize, usize), node| {
                let (more, levels) = node.measure();
                (heap + more + size_of::<Node>(), depth.max(levels))
            })
        };
        let (heap, depth) = match &self.act {
            Act::Replace(node) => node.measure(),
            Act::InsertItems(runs) => {
                let (heap, depth) = fold(&mut runs.iter().flat_map(|run| &run.items));
                (heap, depth + 1)
            }
            Act::InsertMembers(runs) => {
                let members = || runs.iter().flat_map(|run| &run.items);
                let (heap, depth) = fold(&mut members().map(|member| &member.value));
                let names: usize = members().map(|member| member.name.len() + 16).sum();
                (heap + names, depth + 1)
            }
            Act::Append(text) => (text.len(), 0),
            Act::Remove(_) | Act::Cut(_) => (0, 0),
        };
        (heap, depth + self.place.len())
    }
}

impl Json {
    /// Makes a change; its inverse. `None`, and no change, if it does not fit the document.
    #[expect(clippy::too_many_lines, reason = "one arm an act")]
    pub(crate) fn apply(&mut self, change: Change) -> Option<Change> {
        let Change { place, act } = change;
        let mut node = &mut self.root;
        for position in &place {
            node = node.child_mut(*position)?;
        }
        let room = DEPTH_MAX.checked_sub(place.len())?;
        let (mut added, mut removed) = (0, node.shell());
        let mut weigh = |nodes: &mut dyn Iterator<Item = &Node>| {
            let mut deepest = 0;
            for node in nodes {
                let (heap, depth) = node.measure();
                added += heap;
                deepest = deepest.max(depth);
            }
            deepest
        };
        let inverse = match (act, &mut *node) {
            (Act::Replace(new), node) => {
                if weigh(&mut std::iter::once(&new)) > room {
                    return None;
                }
                removed = node.measure().0;
                added -= new.shell();
                Act::Replace(std::mem::replace(node, new))
            }
            (Act::InsertItems(runs), Node::Array(items)) => {
                if weigh(&mut runs.iter().flat_map(|run| &run.items)) >= room {
                    return None;
                }
                Act::Remove(insert_runs(items, runs)?)
            }
            (Act::InsertMembers(runs), Node::Object(object)) => {
                let members = || runs.iter().flat_map(|run| &run.items);
                if weigh(&mut members().map(|member| &member.value)) >= room {
                    return None;
                }
                added += members().map(|member| member.name.len()).sum::<usize>();
                Act::Remove(object.insert(runs)?)
            }
            (Act::Remove(spans), Node::Array(items)) => {
                let runs = remove_spans(items, &spans)?;
                let gone = runs.iter().flat_map(|run| &run.items);
                removed += gone.map(|node| node.measure().0).sum::<usize>();
                Act::InsertItems(runs)
            }
            (Act::Remove(spans), Node::Object(object)) => {
                let runs = object.remove(&spans)?;
                let gone = runs.iter().flat_map(|run| &run.items);
                removed += gone
                    .map(|member| member.name.len() + member.value.measure().0)
                    .sum::<usize>();
                Act::InsertMembers(runs)
            }
            (Act::Append(more), Node::Text(text)) => {
                let before = u32::try_from(text.len()).ok()?;
                *text = [&**text, &*more].concat().into_boxed_str();
                Act::Cut(before)
            }
            (Act::Cut(len), Node::Text(text)) => {
                let (kept, cut) = text.split_at_checked(len as usize)?;
                let cut = cut.into();
                *text = kept.into();
                Act::Append(cut)
            }
            _ => return None,
        };
        self.heap = self.heap + added + node.shell() - removed;
        Some(Change {
            place,
            act: inverse,
        })
    }
}

/// Inserts runs; the spans they lie in. `None`, and no change, if positions do not fit.
pub(super) fn insert_runs<T>(items: &mut Vec<T>, mut runs: Vec<Run<T>>) -> Option<Vec<Span>> {
    let mut spans: Vec<Span> = Vec::with_capacity(runs.len());
    let mut inserted = 0;
    for run in &runs {
        let at = run.at as usize;
        let count = u32::try_from(run.items.len()).ok()?;
        let after_last = spans
            .last()
            .map_or(0, |span| span.at as usize + span.count as usize + 1);
        if count == 0 || at > items.len() + inserted || (at < after_last && !spans.is_empty()) {
            return None;
        }
        inserted += run.items.len();
        spans.push(Span { at: run.at, count });
    }
    u32::try_from(items.len() + inserted).ok()?;
    if runs.len() == 1 {
        let run = runs.pop()?;
        let at = run.at as usize;
        items.splice(at..at, run.items);
        return Some(spans);
    }
    let mut all = Vec::with_capacity(items.len() + inserted);
    let mut old = std::mem::take(items).into_iter();
    for run in runs {
        let missing = run.at as usize - all.len();
        all.extend(old.by_ref().take(missing));
        all.extend(run.items);
    }
    all.extend(old);
    *items = all;
    Some(spans)
}

/// Removes spans; what was in them. `None`, and no change, if positions do not fit.
pub(super) fn remove_spans<T>(items: &mut Vec<T>, spans: &[Span]) -> Option<Vec<Run<T>>> {
    let mut end = 0_usize;
    for (number, span) in spans.iter().enumerate() {
        let at = span.at as usize;
        if span.count == 0 || (number > 0 && at <= end) {
            return None;
        }
        end = at.checked_add(span.count as usize)?;
        if end > items.len() {
            return None;
        }
    }
    let mut runs: Vec<Run<T>> = Vec::with_capacity(spans.len());
    if let [span] = spans {
        let range = span.at as usize..(span.at + span.count) as usize;
        let gone = items.drain(range).collect();
        runs.push(Run {
            at: span.at,
            items: gone,
        });
    } else {
        let mut kept = Vec::with_capacity(items.len());
        let mut old = std::mem::take(items).into_iter();
        let mut seen = 0;
        for span in spans {
            kept.extend(old.by_ref().take(span.at as usize - seen));
            let gone = old.by_ref().take(span.count as usize).collect();
            runs.push(Run {
                at: span.at,
                items: gone,
            });
            seen = (span.at + span.count) as usize;
        }
        kept.extend(old);
        *items = kept;
    }
    if items.len() * 4 < items.capacity() {
        items.shrink_to_fit();
    }
    Some(runs)
}

/// Ascending positions as spans.
pub(crate) fn spans(positions: impl IntoIterator<Item = u32>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for at in positions {
        match spans.last_mut() {
            Some(last) if last.at + last.count == at => last.count += 1,
            _ => spans.push(Span { at, count: 1 }),
        }
    }
    spans
}
