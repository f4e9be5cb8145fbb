//! The hash type: fields to values, packed while small, a [`Table`] afterwards.
//!
//! Small form: field and value strings laid end to end in insertion order, searched linearly; at most
//! [`PACKED_ITEMS_MAX`] fields of at most [`PACKED_BYTES_MAX`] bytes. A hash that outgrew it never
//! goes back, as in Redis. Tested here and against a model in `tests/model.rs`.

use std::sync::Arc;

use super::packed::{self, Walk};
use crate::keyspace::table::{Hashers, Keyed, Table};

/// Most fields a packed hash holds.
pub(crate) const PACKED_ITEMS_MAX: usize = 512;
/// Longest field or value a packed hash holds, in bytes.
pub(crate) const PACKED_BYTES_MAX: usize = 64;

const OP_SET: u8 = 1;
const OP_REMOVE: u8 = 2;

/// Fields and values of one key.
#[derive(Debug)]
pub(crate) struct Hash {
    hashers: Arc<Hashers>,
    form: Form,
    /// Bytes of all fields and values.
    data_bytes: usize,
}

#[derive(Debug)]
enum Form {
    Packed { bytes: Vec<u8>, count: usize },
    Table(Table<Field>),
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
    field: Box<[u8]>,
    value: Option<Box<[u8]>>,
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
                // A slot is about two thirds used; allocations round up to 16 bytes.
                Form::Table(table) => self.data_bytes + table.len() * (24 * 3 / 2 + 16),
            }
    }

    pub(crate) fn get(&self, field: &[u8]) -> Option<&[u8]> {
        match &self.form {
            Form::Packed { .. } => self
                .iter()
                .find(|(name, _)| *name == field)
                .map(|pair| pair.1),
            Form::Table(table) => table.get(field).map(|found| found.pair().1),
        }
    }

    /// Sets a field; what takes it back, whose `existed` tells whether the field was there.
    pub(crate) fn set(&mut self, field: &[u8], value: &[u8]) -> Undo {
        if field.len() > PACKED_BYTES_MAX || value.len() > PACKED_BYTES_MAX {
            self.unpack();
        }
        let old: Option<Box<[u8]>> = match &mut self.form {
            Form::Packed { bytes, count } => {
                let found = find_packed(bytes, field);
                if let Some((_, old)) = &found {
                    let previous: Box<[u8]> = bytes[old.clone()].into();
                    let mut replacement = Vec::with_capacity(packed::put_size(value.len()));
                    packed::put(&mut replacement, value);
                    // The old length prefix goes with the old value; small values have one byte of it.
                    bytes.splice(old.start - 1..old.end, replacement);
                    Some(previous)
                } else {
                    packed::put(bytes, field);
                    packed::put(bytes, value);
                    *count += 1;
                    None
                }
            }
            Form::Table(table) => table
                .insert(Field::new(field, value))
                .map(|found| found.pair().1.into()),
        };
        match &old {
            Some(previous) => self.data_bytes = self.data_bytes + value.len() - previous.len(),
            None => self.data_bytes += field.len() + value.len(),
        }
        if self.len() > PACKED_ITEMS_MAX {
            self.unpack();
        }
        Undo {
            field: field.into(),
            value: old,
        }
    }

    /// Removes a field; what takes it back, if it was there.
    pub(crate) fn remove(&mut self, field: &[u8]) -> Option<Undo> {
        let old: Box<[u8]> = match &mut self.form {
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
            value: Some(old),
        })
    }

    /// Takes one change back.
    pub(crate) fn undo(&mut self, undo: &Undo) {
        match &undo.value {
            Some(value) => {
                self.set(&undo.field, value);
            }
            None => {
                self.remove(&undo.field);
            }
        }
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

    /// Appends the whole value: form (1: the large one), field count, then fields and values.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(!self.is_packed()));
        packed::put_len(out, self.len());
        match &self.form {
            Form::Packed { bytes, .. } => out.extend_from_slice(bytes),
            Form::Table(_) => self.iter().for_each(|(field, value)| {
                packed::put(out, field);
                packed::put(out, value);
            }),
        }
    }

    /// Rebuilds a value from [`Hash::encode`]'s bytes; `None` when they are malformed.
    pub(crate) fn decode(hashers: Arc<Hashers>, bytes: &[u8]) -> Option<Self> {
        let mut walk = Walk::new(bytes);
        let large = match walk.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let count = walk.len()?;
        let mut hash = Self::new(hashers);
        if large {
            hash.unpack();
        }
        for _ in 0..count {
            hash.set(walk.bytes()?, walk.bytes()?);
        }
        let same_form = hash.is_packed() != large;
        (walk.is_done() && hash.len() == count && same_form).then_some(hash)
    }

    /// Appends the delta record of a set field.
    pub(crate) fn log_set(out: &mut Vec<u8>, field: &[u8], value: &[u8]) {
        out.push(OP_SET);
        packed::put(out, field);
        packed::put(out, value);
    }

    /// Appends the delta record of a removed field.
    pub(crate) fn log_remove(out: &mut Vec<u8>, field: &[u8]) {
        out.push(OP_REMOVE);
        packed::put(out, field);
    }

    /// Replays delta records; `None` when they are malformed.
    pub(crate) fn replay(&mut self, bytes: &[u8]) -> Option<()> {
        let mut walk = Walk::new(bytes);
        while !walk.is_done() {
            match walk.u8()? {
                OP_SET => {
                    self.set(walk.bytes()?, walk.bytes()?);
                }
                OP_REMOVE => {
                    self.remove(walk.bytes()?);
                }
                _ => return None,
            }
        }
        Some(())
    }

    fn unpack(&mut self) {
        if let Form::Packed { bytes, .. } = &mut self.form {
            let bytes = std::mem::take(bytes);
            let mut table = Table::new(Arc::clone(&self.hashers), 0);
            let mut walk = Walk::new(&bytes);
            while let (Some(field), Some(value)) = (walk.bytes(), walk.bytes()) {
                table.insert(Field::new(field, value));
            }
            self.form = Form::Table(table);
        }
    }
}

impl Undo {
    /// Whether the field existed before the change.
    pub(crate) fn existed(&self) -> bool {
        self.value.is_some()
    }
}

/// Byte ranges of a field's whole entry and of its value.
fn find_packed(
    bytes: &[u8],
    field: &[u8],
) -> Option<(std::ops::Range<usize>, std::ops::Range<usize>)> {
    let mut walk = Walk::new(bytes);
    let position = |walk: &Walk<'_>| bytes.len() - walk.rest().len();
    loop {
        let start = position(&walk);
        let name = walk.bytes()?;
        let value = walk.bytes()?;
        let end = position(&walk);
        if name == field {
            return Some((start..end, end - value.len()..end));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn empty() -> Hash {
        Hash::new(Arc::new(Hashers::for_tests()))
    }

    fn content(hash: &Hash) -> BTreeMap<Vec<u8>, Vec<u8>> {
        hash.iter().map(|(f, v)| (f.to_vec(), v.to_vec())).collect()
    }

    #[test]
    fn follows_a_map_through_both_forms_and_back_from_bytes() {
        for (fields, width) in [(40_u32, 10), (700, 10), (40, 90)] {
            let mut hash = empty();
            let mut model = BTreeMap::new();
            let mut state = 1_u32;
            for _ in 0..4_000 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let field = format!("f{}", (state >> 10) % fields).into_bytes();
                if (state >> 5).is_multiple_of(4) {
                    assert_eq!(
                        hash.remove(&field).is_some(),
                        model.remove(&field).is_some()
                    );
                } else {
                    let value = vec![b'v'; (state >> 20) as usize % width];
                    let undo = hash.set(&field, &value);
                    assert_eq!(undo.existed(), model.insert(field, value).is_some());
                }
            }
            assert_eq!(content(&hash), model);
            let data: usize = model.iter().map(|(f, v)| f.len() + v.len()).sum();
            assert_eq!(hash.data_bytes, data);
            let mut bytes = Vec::new();
            hash.encode(&mut bytes);
            let back = Hash::decode(Arc::clone(&hash.hashers), &bytes).expect("own bytes decode");
            assert_eq!(content(&back), model);
            for cut in 0..bytes.len().min(300) {
                assert!(Hash::decode(Arc::clone(&hash.hashers), &bytes[..cut]).is_none());
            }
        }
    }

    #[test]
    fn changes_are_taken_back_in_reverse() {
        let mut hash = empty();
        hash.set(b"a", b"1");
        let before = content(&hash);
        let mut undos = vec![hash.set(b"a", b"2"), hash.set(b"b", b"3")];
        undos.extend(hash.remove(b"a"));
        for undo in undos.iter().rev() {
            hash.undo(undo);
        }
        assert_eq!(content(&hash), before);
    }

    #[test]
    fn deltas_replay() {
        let mut hash = empty();
        hash.set(b"a", b"1");
        let mut delta = Vec::new();
        Hash::log_set(&mut delta, b"b", b"2");
        Hash::log_remove(&mut delta, b"a");
        assert_eq!(hash.replay(&delta), Some(()));
        assert_eq!(
            content(&hash),
            BTreeMap::from([(b"b".to_vec(), b"2".to_vec())])
        );
        assert_eq!(hash.replay(&[9]), None);
        assert_eq!(hash.replay(&[OP_SET, 200]), None);
    }

    #[test]
    fn scans_whole_when_packed_and_in_steps_afterwards() {
        let mut hash = empty();
        for n in 0..5_000 {
            hash.set(format!("field:{n}").as_bytes(), b"x");
        }
        assert!(!hash.is_packed());
        let mut seen = std::collections::BTreeSet::new();
        let mut from = Some(0);
        let mut steps = 0;
        while let Some(at) = from {
            from = hash.scan(at, 100, |field, _| {
                seen.insert(field.to_vec());
            });
            steps += 1;
        }
        assert_eq!(seen.len(), 5_000);
        assert!(steps > 20);
    }
}
