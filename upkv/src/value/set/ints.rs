//! A sorted array of integers, all of the smallest width that holds the widest: the form of small sets of numbers.

use crate::value::packed;

/// Distinct integers in ascending order, of `width` bytes each.
#[derive(Debug)]
pub(crate) struct Ints {
    bytes: Vec<u8>,
    width: u8,
}

/// Bytes that an integer needs: 2, 4 or 8.
fn width_of(value: i64) -> u8 {
    if i16::try_from(value).is_ok() {
        2
    } else if i32::try_from(value).is_ok() {
        4
    } else {
        8
    }
}

impl Ints {
    pub(crate) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            width: 2,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / usize::from(self.width)
    }

    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// The integer at a position, which must be below [`Ints::len`].
    pub(crate) fn at(&self, index: usize) -> i64 {
        let width = usize::from(self.width);
        let bytes = &self.bytes[index * width..][..width];
        match *bytes {
            [a, b] => i64::from(i16::from_le_bytes([a, b])),
            [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
            _ => i64::from_le_bytes(bytes.try_into().expect("the widest takes 8 bytes")),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = i64> {
        (0..self.len()).map(|index| self.at(index))
    }

    /// Where an integer is, or where it would be.
    fn find(&self, value: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.at(middle).cmp(&value) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    pub(crate) fn contains(&self, value: i64) -> bool {
        self.find(value).is_ok()
    }

    /// Whether the integer is new.
    pub(crate) fn insert(&mut self, value: i64) -> bool {
        let Err(index) = self.find(value) else {
            return false;
        };
        self.widen(width_of(value));
        let (width, le) = (usize::from(self.width), value.to_le_bytes());
        packed::insert(&mut self.bytes, index * width, &le[..width]);
        true
    }

    /// Whether the integer was there.
    pub(crate) fn remove(&mut self, value: i64) -> bool {
        let Ok(index) = self.find(value) else {
            return false;
        };
        let width = usize::from(self.width);
        self.bytes.drain(index * width..(index + 1) * width);
        true
    }

    fn widen(&mut self, width: u8) {
        if width > self.width {
            let mut bytes = Vec::with_capacity(self.len() * usize::from(width));
            for value in self.iter() {
                bytes.extend_from_slice(&value.to_le_bytes()[..usize::from(width)]);
            }
            (self.bytes, self.width) = (bytes, width);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn random_changes_match_a_tree() {
        let (mut ints, mut model, mut seed) = (Ints::new(), BTreeSet::new(), 7_u64);
        for step in 0_u32..4_000 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let shift = if step < 1_500 { 54 } else { 20 };
            let value = seed.cast_signed() >> shift;
            if seed.is_multiple_of(3) {
                assert_eq!(ints.remove(value), model.remove(&value));
            } else {
                assert_eq!(ints.insert(value), model.insert(value));
            }
            assert_eq!(ints.contains(value), model.contains(&value));
        }
        for edge in [i64::MIN, i64::MAX, -1, 0, i64::from(i32::MIN)] {
            assert_eq!(ints.insert(edge), model.insert(edge));
        }
        assert!(ints.iter().eq(model.iter().copied()));
        assert_eq!(ints.len(), model.len());
    }
}
