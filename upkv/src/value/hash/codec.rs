//! A hash as bytes: the payload of its image, the changes in its deltas, and what can be told of either
//! without building the hash.
//!
//! | payload | bytes |
//! |---|---|
//! | form: bit 0 the large one, bit 1 some fields have deadlines | u8 |
//! | number of fields | varint |
//! | per field: name, value | varint length and bytes each |
//! | and, with bit 1, its deadline in ms since the Unix epoch; 0 without one | u64 |
//!
//! | change | bytes |
//! |---|---|
//! | 1 set: name, value; the field's deadline is dropped | u8, varint length and bytes each |
//! | 2 remove: name | u8, varint length and bytes |
//! | 3 set: name, value; the field's deadline stays | u8, varint length and bytes each |
//! | 4 deadline, 0: none any more; name | u8, u64, varint length and bytes |
//!
//! Invariant: no bytes make a function of this file panic or allocate more than a few times their length.

use std::sync::Arc;

use super::{Form, Hash};
use crate::keyspace::table::Hashers;
use crate::value::PartDeadlines;
use crate::value::forms::Small;
use crate::value::packed::{self, Walk};

const LARGE: u8 = 1;
const HAS_DEADLINES: u8 = 2;

const OP_SET: u8 = 1;
const OP_REMOVE: u8 = 2;
const OP_SET_KEPT: u8 = 3;
const OP_DEADLINE: u8 = 4;

impl Hash {
    /// Appends the whole value; see the table above.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let large = if self.is_packed() { 0 } else { LARGE };
        let timed = self.deadlines.is_some();
        out.push(large | if timed { HAS_DEADLINES } else { 0 });
        packed::put_len(out, self.len());
        match &self.form {
            Form::Packed { bytes, .. } if !timed => out.extend_from_slice(bytes),
            _ => self.iter().for_each(|(field, value)| {
                packed::put(out, field);
                packed::put(out, value);
                if timed {
                    out.extend_from_slice(&self.deadline(field).to_le_bytes());
                }
            }),
        }
    }

    /// Rebuilds a value from [`Hash::encode`]'s bytes; `None` when they are malformed.
    pub(crate) fn decode(hashers: Arc<Hashers>, bytes: &[u8]) -> Option<Self> {
        let mut walk = Walk::new(bytes);
        let (large, timed) = form(&mut walk)?;
        let count = walk.len()?;
        let mut hash = Self::new(hashers);
        if large {
            hash.unpack();
        }
        for _ in 0..count {
            let field = walk.bytes()?;
            hash.set_within(field, walk.bytes()?, Small::CAP);
            if timed {
                hash.set_deadline(field, walk.u64()?);
            }
        }
        let same_form = hash.is_packed() != large && hash.deadlines.is_some() == timed;
        (walk.is_done() && hash.len() == count && same_form).then_some(hash)
    }

    /// The deadlines that a payload holds, without building the value; `None` when it is malformed.
    pub(crate) fn peek(bytes: &[u8]) -> Option<PartDeadlines> {
        let mut walk = Walk::new(bytes);
        let (_, timed) = form(&mut walk)?;
        let mut found = PartDeadlines::default();
        if !timed {
            return Some(found);
        }
        let mut lasting = false;
        for _ in 0..walk.len()? {
            walk.bytes()?;
            walk.bytes()?;
            let at = walk.u64()?;
            found.note(at);
            found.all = found.all.max(at);
            lasting |= at == 0;
        }
        if lasting {
            found.all = 0;
        }
        Some(found)
    }

    /// The first deadline among changes; 0 without one. `None` when they are malformed.
    pub(crate) fn peek_changes(bytes: &[u8]) -> Option<u64> {
        let mut found = PartDeadlines::default();
        walk_changes(bytes, |change| {
            if let Change::Deadline(_, at) = change {
                found.note(at);
            }
        })?;
        Some(found.first)
    }

    /// Appends the delta record of a set field, whose deadline stays if `keep`.
    pub(crate) fn log_set(out: &mut Vec<u8>, field: &[u8], value: &[u8], keep: bool) {
        out.push(if keep { OP_SET_KEPT } else { OP_SET });
        packed::put(out, field);
        packed::put(out, value);
    }

    /// Appends the delta record of a removed field.
    pub(crate) fn log_remove(out: &mut Vec<u8>, field: &[u8]) {
        out.push(OP_REMOVE);
        packed::put(out, field);
    }

    /// Appends the delta record of a field's new deadline.
    pub(crate) fn log_deadline(out: &mut Vec<u8>, field: &[u8], at: u64) {
        out.push(OP_DEADLINE);
        out.extend_from_slice(&at.to_le_bytes());
        packed::put(out, field);
    }

    /// Replays delta records; `None` when they are malformed.
    pub(crate) fn replay(&mut self, bytes: &[u8]) -> Option<()> {
        walk_changes(bytes, |change| match change {
            Change::Set(field, value) => drop(self.set(field, value)),
            Change::SetKept(field, value) => drop(self.set_kept(field, value)),
            Change::Remove(field) => drop(self.remove(field)),
            Change::Deadline(field, at) => drop(self.set_deadline(field, at)),
        })
    }
}

enum Change<'b> {
    Set(&'b [u8], &'b [u8]),
    SetKept(&'b [u8], &'b [u8]),
    Remove(&'b [u8]),
    Deadline(&'b [u8], u64),
}

fn walk_changes<'b>(bytes: &'b [u8], mut each: impl FnMut(Change<'b>)) -> Option<()> {
    let mut walk = Walk::new(bytes);
    while !walk.is_done() {
        each(match walk.u8()? {
            OP_SET => Change::Set(walk.bytes()?, walk.bytes()?),
            OP_SET_KEPT => Change::SetKept(walk.bytes()?, walk.bytes()?),
            OP_REMOVE => Change::Remove(walk.bytes()?),
            OP_DEADLINE => {
                let at = walk.u64()?;
                Change::Deadline(walk.bytes()?, at)
            }
            _ => return None,
        });
    }
    Some(())
}

/// Whether the large form is in use, and whether there are deadlines.
fn form(walk: &mut Walk<'_>) -> Option<(bool, bool)> {
    let form = walk.u8()?;
    let known = form & !(LARGE | HAS_DEADLINES) == 0;
    known.then_some((form & LARGE != 0, form & HAS_DEADLINES != 0))
}
