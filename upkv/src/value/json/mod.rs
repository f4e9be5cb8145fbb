//! A JSON document: a tree of values, and the changes it can take.
//!
//! Members keep the order they came in; integers and floats stay apart. Every change is a [`Change`] at a
//! place given by positions from the root; making one yields its inverse, which is what undo keeps.
//!
//! Invariants: `heap` is what the tree takes; no container lies deeper than [`DEPTH_MAX`], so recursion
//! over a document is bounded; floats are finite.

pub(crate) mod change;
mod codec;
pub(crate) mod compare;
pub(crate) mod filter;
pub(crate) mod object;
pub(crate) mod parse;
pub(crate) mod path;
pub(crate) mod print;
pub(crate) mod select;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::keyspace::table::Hashers;
pub(crate) use change::Change;
use object::Object;

/// Containers may lie in each other this deep.
pub(crate) const DEPTH_MAX: usize = 128;

/// What takes a change back.
pub(crate) type Undo = Change;

/// One value of a document.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    /// An integer above `i64::MAX`.
    Uint(u64),
    Float(f64),
    Text(Box<str>),
    Array(Vec<Node>),
    Object(Box<Object>),
}

const _: () = assert!(size_of::<Node>() == 24);

impl Node {
    /// The name that `JSON.TYPE` replies.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Int(_) | Self::Uint(_) => "integer",
            Self::Float(_) => "number",
            Self::Text(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }

    /// Bytes on the heap, and how many levels of containers there are.
    pub(crate) fn measure(&self) -> (usize, usize) {
        let add = |sum: (usize, usize), node: &Self| {
            let (heap, depth) = node.measure();
            (sum.0 + heap, sum.1.max(depth))
        };
        let inner = match self {
            Self::Text(text) => return (text.len(), 0),
            Self::Array(items) => items.iter().fold((0, 0), add),
            Self::Object(object) => {
                let named = |sum: (usize, usize), (name, node): (&str, &Self)| {
                    add((sum.0 + name.len(), sum.1), node)
                };
                object.iter().fold((0, 0), named)
            }
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Uint(_) | Self::Float(_) => {
                return (0, 0);
            }
        };
        (inner.0 + self.shell(), inner.1 + 1)
    }

    /// Heap bytes of a container itself, or of a text.
    pub(crate) fn shell(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Array(items) => items.capacity() * size_of::<Self>(),
            Self::Object(object) => size_of::<Object>() + object.shell(),
            _ => 0,
        }
    }

    /// The value at a position of a container.
    pub(crate) fn child(&self, position: u32) -> Option<&Self> {
        match self {
            Self::Array(items) => items.get(position as usize),
            Self::Object(object) => object.get_at(position as usize).map(|(_, node)| node),
            _ => None,
        }
    }

    fn child_mut(&mut self, position: u32) -> Option<&mut Self> {
        match self {
            Self::Array(items) => items.get_mut(position as usize),
            Self::Object(object) => object.get_at_mut(position as usize),
            _ => None,
        }
    }

    /// Number of values in a container; 0 for scalars.
    pub(crate) fn children(&self) -> usize {
        match self {
            Self::Array(items) => items.len(),
            Self::Object(object) => object.len(),
            _ => 0,
        }
    }

    /// The value's text, compact.
    pub(crate) fn to_text(&self) -> String {
        let mut out = Vec::new();
        print::compact(&mut out, self);
        String::from_utf8(out).expect("a compact document is UTF-8")
    }
}

/// See the module documentation.
#[derive(Debug)]
pub(crate) struct Json {
    root: Node,
    heap: usize,
}

impl Json {
    pub(crate) fn new(_hashers: Arc<Hashers>) -> Self {
        Self::of_node(Node::Null)
    }

    /// A document with this content, which is at most [`DEPTH_MAX`] deep.
    pub(crate) fn of_node(root: Node) -> Self {
        let (heap, depth) = root.measure();
        debug_assert!(depth <= DEPTH_MAX, "checked where it was read");
        Self { root, heap }
    }

    pub(crate) fn root(&self) -> &Node {
        &self.root
    }

    /// Bytes this value keeps in memory.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + self.heap
    }

    /// The value at a place; O(depth).
    pub(crate) fn at(&self, place: &[u32]) -> Option<&Node> {
        place
            .iter()
            .try_fold(&self.root, |node, position| node.child(*position))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        codec::put_node(out, &self.root);
    }

    pub(crate) fn decode(_hashers: Arc<Hashers>, payload: &[u8]) -> Option<Self> {
        codec::whole_node(payload).map(Self::of_node)
    }

    pub(crate) fn replay(&mut self, delta: &[u8]) -> Option<()> {
        codec::changes(delta, |change| self.apply(change).map(drop))
    }

    pub(crate) fn undo(&mut self, undo: &Undo) {
        self.apply(undo.clone())
            .expect("the inverse of a change fits the document it was made on");
    }
}
