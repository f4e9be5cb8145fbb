//! The list type: elements in a row of packed nodes.
//!
//! A node holds up to [`NODE_BYTES_MAX`], or one larger element. Both ends are O(1); a position is found in
//! O(nodes) plus O(node).

mod codec;
mod node;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

pub(crate) use self::node::Entry;
use self::node::Node;
use super::forms::Small;
use crate::keyspace::table::Hashers;

/// Bytes of the elements in one node, unless it is one larger element.
const NODE_BYTES_MAX: usize = 8 << 10;

/// The elements of one key.
#[derive(Debug, Default)]
pub(crate) struct List {
    nodes: VecDeque<Node>,
    len: usize,
    /// Capacity of all nodes, in bytes.
    node_bytes: usize,
}

/// What takes one change back.
#[derive(Debug)]
pub(crate) enum Undo {
    /// Elements were pushed at the front or the back.
    Pushed { front: bool },
    /// Elements were cut from the front or the back; the one nearest to that end comes first.
    Cut {
        front: bool,
        elements: Vec<Box<[u8]>>,
    },
    /// An element was replaced.
    Set { index: usize, old: Box<[u8]> },
    /// An element was inserted.
    Inserted { index: usize },
    /// Equal elements were removed from these positions, ascending.
    Removed {
        element: Box<[u8]>,
        indices: Vec<usize>,
    },
}

impl List {
    pub(crate) fn new(_hashers: Arc<Hashers>) -> Self {
        Self::default()
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether everything fits into one listpack of such a size. A list that needed more becomes one again when it has
    /// shrunk to half of it.
    pub(crate) fn is_packed(&self, most: Small) -> bool {
        let bytes: usize = self.nodes.iter().map(Node::size).sum();
        let grown = self.nodes.len() > 1 && most.bytes <= NODE_BYTES_MAX;
        let bytes_max = if grown { most.bytes / 2 } else { most.bytes };
        bytes <= bytes_max && self.len <= most.items
    }

    /// Bytes this value keeps in memory.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + self.nodes.capacity() * size_of::<Node>() + self.node_bytes
    }

    // --- reading

    /// The node that an element is in, and its position there.
    fn locate(&self, index: usize) -> (usize, usize) {
        if index * 2 <= self.len {
            let mut left = index;
            for (at, node) in self.nodes.iter().enumerate() {
                if left < node.count() {
                    return (at, left);
                }
                left -= node.count();
            }
            (self.nodes.len(), 0)
        } else {
            let mut end = self.len;
            for (at, node) in self.nodes.iter().enumerate().rev() {
                end -= node.count();
                if index >= end {
                    return (at, index - end);
                }
            }
            (0, 0)
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<Cow<'_, [u8]>> {
        if index >= self.len {
            return None;
        }
        let (at, inner) = self.locate(index);
        Some(self.nodes[at].get(inner))
    }

    /// The elements at some positions, which are cut to those there are.
    pub(crate) fn iter(&self, range: Range<usize>) -> impl Iterator<Item = Cow<'_, [u8]>> {
        let (start, end) = (range.start.min(self.len), range.end.min(self.len));
        let (at, inner) = self.locate(start);
        let nodes = self.nodes.range(at.min(self.nodes.len())..);
        nodes
            .flat_map(Node::iter)
            .skip(inner)
            .take(end.saturating_sub(start))
    }

    /// Positions of the elements equal to `entry`, from the front or from the back, among the first `most` seen.
    pub(crate) fn positions(&self, entry: &Entry, front: bool, most: usize) -> Positions {
        let mut found = Vec::new();
        let mut seen = 0;
        if front {
            for node in &self.nodes {
                found.extend(node.matches(entry).map(|inner| seen + inner));
                seen += node.count();
                if seen >= most {
                    break;
                }
            }
            found.retain(|index| *index < most);
        } else {
            for node in self.nodes.iter().rev() {
                let start = self.len - seen - node.count();
                let from = found.len();
                found.extend(node.matches(entry).map(|inner| start + inner));
                found[from..].reverse();
                seen += node.count();
                if seen >= most {
                    break;
                }
            }
            found.retain(|index| self.len - index <= most);
        }
        found
    }

    // --- changing

    /// Changes one node and keeps account of its memory.
    fn change<R>(&mut self, at: usize, body: impl FnOnce(&mut Node) -> R) -> R {
        let node = &mut self.nodes[at];
        self.node_bytes -= node.capacity();
        let result = body(node);
        self.node_bytes += node.capacity();
        result
    }

    fn insert_node(&mut self, at: usize, node: Node) {
        self.node_bytes += node.capacity();
        if self.nodes.is_empty() {
            // Most lists never need a second one.
            self.nodes.reserve_exact(1);
        }
        self.nodes.insert(at, node);
    }

    fn remove_node(&mut self, at: usize) -> Option<Node> {
        let node = self.nodes.remove(at)?;
        self.node_bytes -= node.capacity();
        Some(node)
    }

    /// Adds an element at the front or the back.
    pub(crate) fn push(&mut self, front: bool, element: &[u8]) -> Undo {
        let entry = Entry::new(element);
        let last = self.nodes.len().saturating_sub(1);
        let at = if front { 0 } else { last };
        let fits = |node: &Node| node.fits(&entry, NODE_BYTES_MAX);
        if self.nodes.get(at).is_some_and(fits) {
            self.change(at, |node| {
                node.insert(if front { 0 } else { node.count() }, &entry);
            });
        } else {
            if at < self.nodes.len() {
                self.change(at, Node::settle);
            }
            let at = if front { 0 } else { self.nodes.len() };
            self.insert_node(at, Node::with(&entry));
        }
        self.len += 1;
        Undo::Pushed { front }
    }

    /// Removes up to `count` elements from the front or the back; what takes that back has them, the one nearest
    /// to that end first.
    pub(crate) fn cut(&mut self, front: bool, count: usize) -> Undo {
        let mut left = count.min(self.len);
        let mut elements = Vec::with_capacity(left);
        self.len -= left;
        while left > 0 {
            let at = if front { 0 } else { self.nodes.len() - 1 };
            let here = left.min(self.nodes[at].count());
            self.change(at, |node| {
                node.cut(front, here, |element| elements.push(element));
            });
            if self.nodes[at].count() == 0 {
                self.remove_node(at);
            }
            left -= here;
        }
        Undo::Cut { front, elements }
    }

    /// Replaces an element that is there.
    pub(crate) fn set(&mut self, index: usize, element: &[u8]) -> Undo {
        let (at, inner) = self.locate(index);
        let old = self.change(at, |node| node.replace(inner, &Entry::new(element)));
        self.part(at);
        Undo::Set { index, old }
    }

    /// Inserts before the element at `index`, which is at most the length.
    pub(crate) fn insert(&mut self, index: usize, element: &[u8]) -> Undo {
        if index == 0 || index >= self.len {
            self.push(index == 0, element);
            return Undo::Inserted { index };
        }
        let (at, inner) = self.locate(index);
        self.change(at, |node| node.insert(inner, &Entry::new(element)));
        self.len += 1;
        self.part(at);
        Undo::Inserted { index }
    }

    /// Removes elements equal to `element`: up to `count` from the front or the back.
    pub(crate) fn remove_equal(
        &mut self,
        front: bool,
        count: usize,
        element: &[u8],
    ) -> Option<Undo> {
        let mut indices = self.positions(&Entry::new(element), front, usize::MAX);
        indices.truncate(count);
        if indices.is_empty() {
            return None;
        }
        indices.sort_unstable();
        self.remove_at(&indices);
        Some(Undo::Removed {
            element: element.into(),
            indices,
        })
    }

    /// Removes the elements at these positions, which ascend.
    fn remove_at(&mut self, indices: &[usize]) {
        let (mut rest, mut start) = (indices, 0);
        let mut nodes = VecDeque::with_capacity(self.nodes.len());
        for mut node in std::mem::take(&mut self.nodes) {
            let end = start + node.count();
            let here = rest.partition_point(|index| *index < end);
            let (inner, after) = rest.split_at(here);
            rest = after;
            if !inner.is_empty() {
                let inner: Vec<usize> = inner.iter().map(|index| index - start).collect();
                node.remove_all(&inner);
            }
            start = end;
            join(&mut nodes, node);
        }
        self.settle(nodes);
    }

    /// Puts equal elements back where they were.
    fn restore_at(&mut self, element: &[u8], indices: &[usize]) {
        let mut fresh = Self::default();
        let mut old = self.iter(0..self.len);
        let mut out = indices.iter().peekable();
        while fresh.len < self.len + indices.len() {
            if out.next_if_eq(&&fresh.len).is_some() {
                fresh.push(false, element);
            } else if let Some(element) = old.next() {
                fresh.push(false, &element);
            } else {
                break;
            }
        }
        drop(old);
        *self = fresh;
    }

    fn settle(&mut self, nodes: VecDeque<Node>) {
        self.len = nodes.iter().map(Node::count).sum();
        self.node_bytes = nodes.iter().map(Node::capacity).sum();
        self.nodes = nodes;
    }

    /// Splits a node that became too large.
    fn part(&mut self, at: usize) {
        let node = &self.nodes[at];
        if node.size() > NODE_BYTES_MAX && node.count() > 1 {
            let middle = node.count() / 2;
            let upper = self.change(at, |node| node.split_off(middle));
            self.insert_node(at + 1, upper);
            self.part(at + 1);
            self.part(at);
        }
    }

    /// Takes one change back.
    pub(crate) fn undo(&mut self, undo: &Undo) {
        match undo {
            Undo::Pushed { front } => drop(self.cut(*front, 1)),
            Undo::Cut { front, elements } => {
                for element in elements.iter().rev() {
                    self.push(*front, element);
                }
            }
            Undo::Set { index, old } => drop(self.set(*index, old)),
            Undo::Inserted { index } => self.remove_at(&[*index]),
            Undo::Removed { element, indices } => self.restore_at(element, indices),
        }
    }
}

/// Positions of elements.
pub(crate) type Positions = Vec<usize>;

/// Appends a node, to the last one if both together are at most half full; an empty one is dropped.
fn join(nodes: &mut VecDeque<Node>, node: Node) {
    if node.count() == 0 {
        return;
    }
    match nodes.back_mut() {
        Some(last) if last.size() + node.size() <= NODE_BYTES_MAX / 2 => last.append(&node),
        _ => nodes.push_back(node),
    }
}
