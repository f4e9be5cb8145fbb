//! The hash type: fields to values, packed while small, a [`Table`] afterwards.
//!
//! Small form: field and value strings laid end to end in insertion order, searched linearly; as far as
//! [`crate::value::forms`] has it. A hash that outgrew it never
//! goes back, as in Redis. Fields may have deadlines: [`live`] is what readers see, and what is overdue
//! stays in here until somebody removes it.

mod codec;
mod deadlines;
mod live;

use std::sync::Arc;

use smallvec::SmallVec;

use self::deadlines::Deadlines;
pub(crate) use self::live::Live;
use super::PartDeadlines;
use super::forms::Small;
use super::packed::{self, Walk};
use crate::keyspace::key::Key;
use crate::keyspace::table::{Hashers, Keyed, Table};

/// Fields and values of one key.
#[derive(Debug)]
pub(crate) struct Hash {
    hashers: Arc<Hashers>,
    form: Form,
    /// Bytes of all fields and values.
    data_bytes: usize,
    /// Present while a field has a deadline.
    deadlines: Option<Box<Deadlines>>,
}

#[derive(Debug)]
enum Form {
    Packed { bytes: Vec<u8>, count: usize },
    Table(Box<Table<Field>>),
}

/// A field and its value in one allocation.
#[derive(Debug)]
struct Field {
    data: Box<[u8]>,
    name_len: u32,
}

impl Field {
    fn new(name: &[u8], value: &[u8]) -> Self {
        let data = [name, value].concat().into_boxed_slice();
        let name_len = u32::try_from(name.len()).expect("fields are at most 512 MiB");
        Self { data, name_len }
    }

    /// Takes another value, in place if it is as long; the one before.
    fn replace(&mut self, value: &[u8]) -> Key {
        let (name, old) = self.data.split_at_mut(self.name_len as usize);
        let before = Key::from(&*old);
        if old.len() == value.len() {
            old.copy_from_slice(value);
        } else {
            *self = Self::new(name, value);
        }
        before
    }

    fn pair(&self) -> (&[u8], &[u8]) {
        self.data.split_at(self.name_len as usize)
    }
}

impl Keyed for Field {
    fn key(&self) -> &[u8] {
        self.pair().0
    }
}

/// What takes one change back.
#[derive(Debug)]
pub(crate) struct Undo {
    field: Key,
    value: Before,
    deadline: u64,
}

/// The value of a field before a change.
#[derive(Debug)]
enum Before {
    /// As it is: only the deadline was changed.
    Same,
    Absent,
    Value(Key),
}

impl Hash {
    pub(crate) fn new(hashers: Arc<Hashers>) -> Self {
        Self {
            hashers,
            form: Form::Packed {
                bytes: Vec::new(),
                count: 0,
            },
            data_bytes: 0,
            deadlines: None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.form {
            Form::Packed { count, .. } => *count,
            Form::Table(table) => table.len(),
        }
    }

    /// Whether the small form is in use.
    pub(crate) fn is_packed(&self) -> bool {
        matches!(self.form, Form::Packed { .. })
    }

    /// Bytes this value keeps in memory.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>()
            + match &self.form {
                Form::Packed { bytes, .. } => bytes.capacity(),
                Form::Table(table) => size_of::<Table<Field>>() + self.data_bytes + table.memory(),
            }
            + self.deadlines.as_ref().map_or(0, |all| all.memory())
    }

    pub(crate) fn get(&self, field: &[u8]) -> Option<&[u8]> {
        match &self.form {
            Form::Packed { bytes, .. } => find_packed(bytes, field).map(|(_, value)| &bytes[value]),
            Form::Table(table) => table.get(field).map(|found| found.pair().1),
        }
    }

    /// Sets a field, which loses its deadline; what takes it back, whose `existed` tells whether the field
    /// was there.
    pub(crate) fn set(&mut self, field: &[u8], value: &[u8]) -> Undo {
        let mut undo = self.set_kept(field, value);
        undo.deadline = self.change_deadline(field, 0);
        undo
    }

    /// As [`Hash::set`]; the field's deadline stays.
    pub(crate) fn set_kept(&mut self, field: &[u8], value: &[u8]) -> Undo {
        self.set_within(field, value, self.hashers.forms.hash())
    }

    fn set_within(&mut self, field: &[u8], value: &[u8], small: Small) -> Undo {
        if field.len() > small.bytes || value.len() > small.bytes {
            self.unpack();
        }
        let old: Option<Key> = match &mut self.form {
            Form::Packed { bytes, count } => {
                let found = find_packed(bytes, field);
                if let Some((_, old)) = &found {
                    let previous = Key::from(&bytes[old.clone()]);
                    if previous.len() == value.len() {
                        bytes[old.clone()].copy_from_slice(value);
                    } else {
                        let mut replacement = SmallVec::<[u8; 72]>::new();
                        packed::put_len(&mut replacement, value.len());
                        replacement.extend_from_slice(value);
                        // The old length prefix goes with the old value; small values have one byte of it.
                        let at = old.start - 1;
                        bytes.drain(at..old.end);
                        packed::insert(bytes, at, &replacement);
                    }
                    Some(previous)
                } else {
                    let more = packed::put_size(field.len()) + packed::put_size(value.len());
                    packed::make_room(bytes, more);
                    packed::put(bytes, field);
                    packed::put(bytes, value);
                    *count += 1;
                    None
                }
            }
            Form::Table(table) => {
                let probe = table.hashers().probe(field);
                if let Some(found) = table.find_mut(probe, field) {
                    Some(found.replace(value))
                } else {
                    table.insert_new(probe, Field::new(field, value));
                    None
                }
            }
        };
        match &old {
            Some(previous) => self.data_bytes = self.data_bytes + value.len() - previous.len(),
            None => self.data_bytes += field.len() + value.len(),
        }
        if self.len() > small.items {
            self.unpack();
        }
        Undo {
            field: field.into(),
            value: old.map_or(Before::Absent, Before::Value),
            deadline: self.deadline(field),
        }
    }

    /// Removes a field; what takes it back, if it was there.
    pub(crate) fn remove(&mut self, field: &[u8]) -> Option<Undo> {
        let old: Key = match &mut self.form {
            Form::Packed { bytes, count } => {
                let (entry, value) = find_packed(bytes, field)?;
                let old = bytes[value].into();
                bytes.drain(entry);
                *count -= 1;
                old
            }
            Form::Table(table) => table.remove(field)?.pair().1.into(),
        };
        self.data_bytes -= field.len() + old.len();
        Some(Undo {
            field: field.into(),
            value: Before::Value(old),
            deadline: self.change_deadline(field, 0),
        })
    }

    /// Takes one change back.
    pub(crate) fn undo(&mut self, undo: &Undo) {
        match &undo.value {
            Before::Same => {}
            Before::Value(value) => drop(self.set_kept(&undo.field, value)),
            Before::Absent => drop(self.remove(&undo.field)),
        }
        self.change_deadline(&undo.field, undo.deadline);
    }

    // --- deadlines

    /// The deadline of a field in ms since the Unix epoch; 0 without one.
    pub(crate) fn deadline(&self, field: &[u8]) -> u64 {
        self.deadlines.as_ref().map_or(0, |all| all.get(field))
    }

    /// Sets (or with 0 clears) the deadline of a field; what takes it back, if that changed anything.
    pub(crate) fn set_deadline(&mut self, field: &[u8], at: u64) -> Option<Undo> {
        if self.deadline(field) == at || self.get(field).is_none() {
            return None;
        }
        Some(Undo {
            field: field.into(),
            value: Before::Same,
            deadline: self.change_deadline(field, at),
        })
    }

    /// When the first field is due, and when none is left.
    pub(crate) fn part_deadlines(&self) -> PartDeadlines {
        let all = self.deadlines.as_ref();
        all.map_or(PartDeadlines::default(), |all| all.summary(self.len()))
    }

    /// Fields that are overdue, those due longest first.
    pub(crate) fn due(&self, now: u64) -> impl Iterator<Item = &Arc<[u8]>> {
        self.deadlines.iter().flat_map(move |all| all.due(now))
    }

    /// Sets the deadline of a field that is there, or clears that of any; the one before.
    fn change_deadline(&mut self, field: &[u8], at: u64) -> u64 {
        if self.deadlines.is_none() && at == 0 {
            return 0;
        }
        let all = self.deadlines.get_or_insert_default();
        let before = all.set(field, at);
        if all.is_empty() {
            self.deadlines = None;
        }
        before
    }

    /// Fields and values; insertion order while packed, no particular order afterwards.
    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = (&[u8], &[u8])> + '_> {
        match &self.form {
            Form::Packed { bytes, .. } => {
                let mut walk = Walk::new(bytes);
                Box::new(std::iter::from_fn(move || {
                    Some((walk.bytes()?, walk.bytes()?))
                }))
            }
            Form::Table(table) => Box::new(table.iter().map(Field::pair)),
        }
    }

    /// One field, picked by `random`.
    pub(crate) fn pick(&self, random: u64) -> Option<(&[u8], &[u8])> {
        match &self.form {
            Form::Packed { count: 0, .. } => None,
            Form::Packed { count, .. } => {
                let at = usize::try_from(random % *count as u64).unwrap_or(0);
                self.iter().nth(at)
            }
            Form::Table(table) => table.pick(random).map(Field::pair),
        }
    }

    /// One scan step; see [`Table::scan`]. A packed hash is returned whole.
    pub(crate) fn scan<'h>(
        &'h self,
        from: u64,
        count: usize,
        mut emit: impl FnMut(&'h [u8], &'h [u8]),
    ) -> Option<u64> {
        match &self.form {
            Form::Packed { .. } => {
                self.iter().for_each(|(field, value)| emit(field, value));
                None
            }
            Form::Table(table) => table.scan(from, count, |field| {
                let (name, value) = field.pair();
                emit(name, value);
            }),
        }
    }

    fn unpack(&mut self) {
        if let Form::Packed { bytes, .. } = &mut self.form {
            let bytes = std::mem::take(bytes);
            let mut table = Table::new(Arc::clone(&self.hashers), 0);
            let mut walk = Walk::new(&bytes);
            while let (Some(field), Some(value)) = (walk.bytes(), walk.bytes()) {
                table.insert(Field::new(field, value));
            }
            self.form = Form::Table(Box::new(table));
        }
    }
}

impl Undo {
    /// Whether the field existed before the change.
    pub(crate) fn existed(&self) -> bool {
        !matches!(self.value, Before::Absent)
    }
}

/// Byte ranges of a field's whole entry and of its value.
fn find_packed(
    bytes: &[u8],
    field: &[u8],
) -> Option<(std::ops::Range<usize>, std::ops::Range<usize>)> {
    let start = packed::find::<2>(bytes, field)?;
    let mut walk = Walk::new(&bytes[start..]);
    walk.bytes()?;
    let value = walk.bytes()?;
    let end = bytes.len() - walk.rest().len();
    Some((start..end, end - value.len()..end))
}

#[cfg(test)]
mod tests;
