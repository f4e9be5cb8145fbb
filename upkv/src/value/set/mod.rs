//! The set type: distinct members as sorted integers, packed, or in a [`Table`].
//!
//! | form | used for | taken up to |
//! |---|---|---|
//! | integers | members that are all texts of 64-bit integers | `set-max-intset-entries` members |
//! | packed | short members, in order of insertion | `set-max-listpack-entries` of at most `set-max-listpack-value` bytes |
//! | table | everything else | |
//!
//! A set only ever moves down this list, as in Redis.

mod codec;
mod ints;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use self::ints::Ints;
use super::forms::Small;
use super::packed::{self, Walk};
use crate::keyspace::key::Key;
use crate::keyspace::table::{Hashers, Keyed, Table};
use crate::number;

/// The members of one key.
#[derive(Debug)]
pub(crate) struct Set {
    hashers: Arc<Hashers>,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Ints(Ints),
    Packed { bytes: Vec<u8>, count: usize },
    Table(Box<Large>),
}

#[derive(Debug)]
struct Large {
    table: Table<Member>,
    /// Bytes that the members take beside the table.
    data_bytes: usize,
}

impl Large {
    fn new(hashers: &Arc<Hashers>) -> Self {
        Self {
            table: Table::new(Arc::clone(hashers), 0),
            data_bytes: 0,
        }
    }

    /// Whether the member is new.
    fn add(&mut self, member: &[u8]) -> bool {
        let probe = self.table.hashers().probe(member);
        if self.table.find(probe, member).is_some() {
            return false;
        }
        self.table.insert_new(probe, Member(member.into()));
        self.data_bytes += Key::heap_bytes_of(member);
        true
    }
}

#[derive(Debug)]
struct Member(Key);

impl Keyed for Member {
    fn key(&self) -> &[u8] {
        &self.0
    }
}

/// What takes one change back.
#[derive(Debug)]
pub(crate) enum Undo {
    Added(Key),
    Removed(Key),
}

impl Set {
    pub(crate) fn new(hashers: Arc<Hashers>) -> Self {
        Self {
            hashers,
            form: Form::Ints(Ints::new()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.form {
            Form::Ints(ints) => ints.len(),
            Form::Packed { count, .. } => *count,
            Form::Table(large) => large.table.len(),
        }
    }

    /// The name that OBJECT ENCODING gives.
    pub(crate) fn encoding(&self) -> &'static str {
        match &self.form {
            Form::Ints(_) => "intset",
            Form::Packed { .. } => "listpack",
            Form::Table(_) => "hashtable",
        }
    }

    /// Bytes this value keeps in memory.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>()
            + match &self.form {
                Form::Ints(ints) => ints.memory(),
                Form::Packed { bytes, .. } => bytes.capacity(),
                Form::Table(large) => size_of::<Large>() + large.data_bytes + large.table.memory(),
            }
    }

    pub(crate) fn contains(&self, member: &[u8]) -> bool {
        match &self.form {
            Form::Ints(ints) => number::parse_i64(member).is_some_and(|value| ints.contains(value)),
            Form::Packed { bytes, .. } => find_packed(bytes, member).is_some(),
            Form::Table(large) => large.table.get(member).is_some(),
        }
    }

    /// Adds a member; what takes it back, if it is new.
    pub(crate) fn add(&mut self, member: &[u8]) -> Option<Undo> {
        let forms = &self.hashers.forms;
        self.add_within(member, forms.set(), forms.ints())
    }

    fn add_within(&mut self, member: &[u8], small: Small, ints_max: usize) -> Option<Undo> {
        if let Form::Ints(ints) = &mut self.form {
            if let Some(value) = number::parse_i64(member) {
                if !ints.insert(value) {
                    return None;
                }
                if ints.len() > ints_max {
                    self.unpack();
                }
                return Some(Undo::Added(member.into()));
            }
            self.pack(small.items);
        }
        if let Form::Packed { bytes, count } = &mut self.form {
            if find_packed(bytes, member).is_some() {
                return None;
            }
            if *count < small.items && member.len() <= small.bytes {
                packed::make_room(bytes, packed::put_size(member.len()));
                packed::put(bytes, member);
                *count += 1;
                return Some(Undo::Added(member.into()));
            }
            self.unpack();
        }
        if let Form::Table(large) = &mut self.form
            && !large.add(member)
        {
            return None;
        }
        Some(Undo::Added(member.into()))
    }

    /// Removes a member; what takes it back, if it was there.
    pub(crate) fn remove(&mut self, member: &[u8]) -> Option<Undo> {
        let existed = match &mut self.form {
            Form::Ints(ints) => number::parse_i64(member).is_some_and(|value| ints.remove(value)),
            Form::Packed { bytes, count } => {
                let entry = find_packed(bytes, member)?;
                bytes.drain(entry);
                *count -= 1;
                true
            }
            Form::Table(large) => {
                large.table.remove(member)?;
                large.data_bytes -= Key::heap_bytes_of(member);
                true
            }
        };
        existed.then(|| Undo::Removed(member.into()))
    }

    /// Takes one change back.
    pub(crate) fn undo(&mut self, undo: &Undo) {
        match undo {
            Undo::Added(member) => drop(self.remove(member)),
            Undo::Removed(member) => drop(self.add(member)),
        }
    }

    /// The members: integers ascending, packed ones in order of insertion, those of a table in no order.
    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = Cow<'_, [u8]>> + '_> {
        match &self.form {
            Form::Ints(ints) => Box::new(ints.iter().map(int_text)),
            Form::Packed { bytes, .. } => {
                let mut walk = Walk::new(bytes);
                Box::new(std::iter::from_fn(move || walk.bytes().map(Cow::Borrowed)))
            }
            Form::Table(large) => {
                let members = large.table.iter();
                Box::new(members.map(|member| Cow::Borrowed(member.key())))
            }
        }
    }

    /// One member, picked by `random`.
    pub(crate) fn pick(&self, random: u64) -> Option<Cow<'_, [u8]>> {
        match &self.form {
            Form::Table(large) => {
                let picked = large.table.pick(random);
                picked.map(|member| Cow::Borrowed(member.key()))
            }
            _ if self.len() == 0 => None,
            form => {
                let at = usize::try_from(random % self.len() as u64).unwrap_or(0);
                match form {
                    Form::Ints(ints) => Some(int_text(ints.at(at))),
                    _ => self.iter().nth(at),
                }
            }
        }
    }

    /// One scan step; see [`Table::scan`]. A small set is returned whole.
    pub(crate) fn scan(&self, from: u64, count: usize, mut emit: impl FnMut(&[u8])) -> Option<u64> {
        if let Form::Table(large) = &self.form {
            return large.table.scan(from, count, |member| emit(member.key()));
        }
        self.iter().for_each(|member| emit(&member));
        None
    }

    /// From integers to packed ones, or to a table where they are too many.
    fn pack(&mut self, items_max: usize) {
        if let Form::Ints(ints) = &self.form {
            if ints.len() > items_max {
                return self.unpack();
            }
            let mut bytes = Vec::new();
            for member in self.iter() {
                packed::put(&mut bytes, &member);
            }
            let count = self.len();
            self.form = Form::Packed { bytes, count };
        }
    }

    fn unpack(&mut self) {
        if matches!(self.form, Form::Table(_)) {
            return;
        }
        let mut large = Box::new(Large::new(&self.hashers));
        for member in self.iter() {
            large.add(&member);
        }
        self.form = Form::Table(large);
    }
}

fn int_text<'a>(value: i64) -> Cow<'a, [u8]> {
    Cow::Owned(value.to_string().into_bytes())
}

/// Byte range of a member's whole entry.
fn find_packed(bytes: &[u8], member: &[u8]) -> Option<std::ops::Range<usize>> {
    let start = packed::find::<1>(bytes, member)?;
    Some(start..start + packed::put_size(member.len()))
}
