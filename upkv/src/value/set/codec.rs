//! A set as bytes: the payload of its image, and the changes in its deltas.
//!
//! | payload | bytes |
//! |---|---|
//! | form: 0 integers, 1 packed, 2 table | u8 |
//! | number of members | varint |
//! | per member of the integer form | i64 |
//! | per other member | varint length and bytes |
//!
//! | change | bytes |
//! |---|---|
//! | 1 add: member | u8, varint length and bytes |
//! | 2 remove: member | u8, varint length and bytes |
//!
//! Invariant: no bytes make a function of this file panic or allocate more than a few times their length.

use std::sync::Arc;

use super::{Form, Ints, Set};
use crate::keyspace::table::Hashers;
use crate::value::forms::Small;
use crate::value::packed::{self, Walk};

const FORM_INTS: u8 = 0;
const FORM_PACKED: u8 = 1;
const FORM_TABLE: u8 = 2;

const OP_ADD: u8 = 1;
const OP_REMOVE: u8 = 2;

impl Set {
    fn form_number(&self) -> u8 {
        match &self.form {
            Form::Ints(_) => FORM_INTS,
            Form::Packed { .. } => FORM_PACKED,
            Form::Table(_) => FORM_TABLE,
        }
    }

    /// Appends the whole value; see the table above.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.form_number());
        packed::put_len(out, self.len());
        match &self.form {
            Form::Ints(ints) => ints
                .iter()
                .for_each(|value| out.extend_from_slice(&value.to_le_bytes())),
            Form::Packed { bytes, .. } => out.extend_from_slice(bytes),
            Form::Table(_) => self.iter().for_each(|member| packed::put(out, &member)),
        }
    }

    /// Rebuilds a value from [`Set::encode`]'s bytes; `None` when they are malformed.
    pub(crate) fn decode(hashers: Arc<Hashers>, bytes: &[u8]) -> Option<Self> {
        let mut walk = Walk::new(bytes);
        let form = walk.u8()?;
        let count = walk.len()?;
        let mut set = Self::new(hashers);
        if form == FORM_INTS {
            let mut ints = Ints::new();
            for _ in 0..count {
                let before = ints.len().checked_sub(1).map(|last| ints.at(last));
                let value = walk.u64()?.cast_signed();
                if before.is_some_and(|before| before >= value) || ints.len() == Small::CAP.items {
                    return None;
                }
                ints.insert(value);
            }
            set.form = Form::Ints(ints);
        } else {
            set.pack(Small::CAP.items);
            if form == FORM_TABLE {
                set.unpack();
            }
            for _ in 0..count {
                set.add_within(walk.bytes()?, Small::CAP, 0)?;
            }
        }
        (walk.is_done() && set.len() == count && set.form_number() == form).then_some(set)
    }

    /// Appends the delta record of a new member.
    pub(crate) fn log_add(out: &mut Vec<u8>, member: &[u8]) {
        out.push(OP_ADD);
        packed::put(out, member);
    }

    /// Appends the delta record of a removed member.
    pub(crate) fn log_remove(out: &mut Vec<u8>, member: &[u8]) {
        out.push(OP_REMOVE);
        packed::put(out, member);
    }

    /// Replays delta records; `None` when they are malformed.
    pub(crate) fn replay(&mut self, bytes: &[u8]) -> Option<()> {
        let mut walk = Walk::new(bytes);
        while !walk.is_done() {
            match walk.u8()? {
                OP_ADD => drop(self.add(walk.bytes()?)),
                OP_REMOVE => drop(self.remove(walk.bytes()?)),
                _ => return None,
            }
        }
        Some(())
    }
}
