//! A list as bytes: the payload of its image, and the changes in its deltas.
//!
//! The payload is the number of elements as a varint, and each element with a varint length before it.
//!
//! | change | bytes |
//! |---|---|
//! | 1, 2 push at the front, at the back: element | u8, varint length and bytes |
//! | 3, 4 cut from the front, from the back: number of elements | u8, varint |
//! | 5 set: position, element | u8, varint, varint length and bytes |
//! | 6 insert: position, element | u8, varint, varint length and bytes |
//! | 7, 8 remove equal ones from the front, from the back: most to remove, element | u8, varint, varint length and bytes |
//!
//! Invariant: no bytes make a function of this file panic or allocate more than a few times their length.

use std::sync::Arc;

use super::List;
use crate::keyspace::table::Hashers;
use crate::value::packed::{self, Walk};

const OP_PUSH: [u8; 2] = [2, 1];
const OP_CUT: [u8; 2] = [4, 3];
const OP_SET: u8 = 5;
const OP_INSERT: u8 = 6;
const OP_REMOVE: [u8; 2] = [8, 7];

impl List {
    /// Appends the whole value; see above.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        packed::put_len(out, self.len);
        for element in self.iter(0..self.len) {
            packed::put(out, &element);
        }
    }

    /// Rebuilds a value from [`List::encode`]'s bytes; `None` when they are malformed.
    pub(crate) fn decode(_hashers: Arc<Hashers>, bytes: &[u8]) -> Option<Self> {
        let mut walk = Walk::new(bytes);
        let count = walk.len()?;
        let mut list = Self::default();
        for _ in 0..count {
            list.push(false, walk.bytes()?);
        }
        walk.is_done().then_some(list)
    }

    /// Appends the delta record of a pushed element.
    pub(crate) fn log_push(out: &mut Vec<u8>, front: bool, element: &[u8]) {
        out.push(OP_PUSH[usize::from(front)]);
        packed::put(out, element);
    }

    /// Appends the delta record of elements cut off.
    pub(crate) fn log_cut(out: &mut Vec<u8>, front: bool, count: usize) {
        out.push(OP_CUT[usize::from(front)]);
        packed::put_len(out, count);
    }

    /// Appends the delta record of a replaced element.
    pub(crate) fn log_set(out: &mut Vec<u8>, index: usize, element: &[u8]) {
        out.push(OP_SET);
        packed::put_len(out, index);
        packed::put(out, element);
    }

    /// Appends the delta record of an inserted element.
    pub(crate) fn log_insert(out: &mut Vec<u8>, index: usize, element: &[u8]) {
        out.push(OP_INSERT);
        packed::put_len(out, index);
        packed::put(out, element);
    }

    /// Appends the delta record of removed equal elements.
    pub(crate) fn log_remove(out: &mut Vec<u8>, front: bool, count: usize, element: &[u8]) {
        out.push(OP_REMOVE[usize::from(front)]);
        packed::put_len(out, count);
        packed::put(out, element);
    }

    /// Replays delta records; `None` when they are malformed.
    pub(crate) fn replay(&mut self, bytes: &[u8]) -> Option<()> {
        let mut walk = Walk::new(bytes);
        while !walk.is_done() {
            let op = walk.u8()?;
            let front = op % 2 == 1;
            match op {
                1 | 2 => drop(self.push(front, walk.bytes()?)),
                3 | 4 => drop(self.cut(front, walk.len()?)),
                OP_SET => {
                    let index = walk.len().filter(|index| *index < self.len)?;
                    self.set(index, walk.bytes()?);
                }
                OP_INSERT => {
                    let index = walk.len().filter(|index| *index <= self.len)?;
                    self.insert(index, walk.bytes()?);
                }
                7 | 8 => {
                    let count = walk.len()?;
                    self.remove_equal(front, count, walk.bytes()?);
                }
                _ => return None,
            }
        }
        Some(())
    }
}
