//! The view of a string as bits.

use super::Target;
use crate::error::Result;
use crate::ops::bits::{self, Field, IntType, Part, Step, Unit};
pub use crate::ops::bits::{Join as BitOperation, Overflow};

/// The bits of the string at one key; bit 0 is the highest bit of the first byte, and what is beyond the end is zero.
///
/// # Examples
///
/// ```
/// use upkv::{BitOperation, Db, Overflow, Store};
/// let db = Db::mount(&Store::memory()?, "visits")?;
/// let monday = db.bits("monday");
/// assert!(!monday.set(7, true)?, "what the bit was");
/// monday.set(9, true)?;
/// assert_eq!((monday.count()?, monday.first(true)?), (2, Some(7)));
/// db.bits("tuesday").set(9, true)?;
/// let both = db.bits("both");
/// both.set_to(BitOperation::And, ["monday", "tuesday"])?;
/// assert!(both.get(9)? && !both.get(7)?);
/// // A counter of eight bits, the third of its kind.
/// assert_eq!(db.bits("counters").add_unsigned(8, 2 * 8, 300, Overflow::Saturate)?, Some(255));
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Bits<'t, T: Target> {
    target: &'t T,
    key: Box<[u8]>,
}

impl<'t, T: Target> Bits<'t, T> {
    pub(crate) fn new(target: &'t T, key: &[u8]) -> Self {
        Self {
            target,
            key: key.into(),
        }
    }

    /// One bit.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Refused`] for an offset of 2^32 or more, [`crate::Error::WrongType`],
    /// [`crate::Error::Storage`].
    pub fn get(&self, offset: u64) -> Result<bool> {
        self.target
            .run(&self.key, false, |work| bits::get(work, &self.key, offset))
    }

    /// Sets one bit and answers what it was. The string grows as far as needed.
    ///
    /// # Errors
    ///
    /// As [`Bits::get`]; [`crate::Error::OutOfMemory`].
    pub fn set(&self, offset: u64, bit: bool) -> Result<bool> {
        self.target.run(&self.key, true, |work| {
            bits::set(work, &self.key, offset, bit)
        })
    }

    /// Number of bits that are set.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`], [`crate::Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(bytes).
    pub fn count(&self) -> Result<u64> {
        self.target.run(&self.key, false, |work| {
            bits::count(work, &self.key, Part::ALL)
        })
    }

    /// Number of bits that are set from bit `first` to bit `last`; negative positions count from the end.
    ///
    /// # Errors
    ///
    /// As [`Bits::count`].
    ///
    /// # Complexity
    ///
    /// O(bytes in the range).
    pub fn count_between(&self, first: i64, last: i64) -> Result<u64> {
        let part = between(first, last);
        self.target
            .run(&self.key, false, |work| bits::count(work, &self.key, part))
    }

    /// Position of the first bit that is `bit`. In a string of ones the first zero is the one after its end.
    ///
    /// # Errors
    ///
    /// As [`Bits::count`].
    ///
    /// # Complexity
    ///
    /// O(bytes).
    pub fn first(&self, bit: bool) -> Result<Option<u64>> {
        self.target.run(&self.key, false, |work| {
            bits::position(work, &self.key, bit, Part::ALL)
        })
    }

    /// Position of the first bit that is `bit` from bit `first` to bit `last`; negative positions count from the end.
    ///
    /// # Errors
    ///
    /// As [`Bits::count`].
    ///
    /// # Complexity
    ///
    /// O(bytes in the range).
    pub fn first_between(&self, bit: bool, first: i64, last: i64) -> Result<Option<u64>> {
        let part = between(first, last);
        self.target.run(&self.key, false, |work| {
            bits::position(work, &self.key, bit, part)
        })
    }

    /// Replaces the string by others joined bit by bit, in one commit; its length in bytes. With nothing but empty
    /// sources the key disappears.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Refused`] if the operation takes another number of sources: one for `Not`, at least two for
    /// `Diff`, `Diff1` and `AndOr`, at least one else; [`crate::Error::WrongType`], [`crate::Error::OutOfMemory`],
    /// [`crate::Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(sources times the longest).
    pub fn set_to<K: AsRef<[u8]>>(
        &self,
        operation: BitOperation,
        sources: impl IntoIterator<Item = K>,
    ) -> Result<usize> {
        let owned: Vec<K> = sources.into_iter().collect();
        let sources: Vec<&[u8]> = owned.iter().map(AsRef::as_ref).collect();
        operation.check_count(sources.len())?;
        self.target.run(&self.key, true, |work| {
            bits::join(work, operation, &self.key, &sources)
        })
    }

    /// The integer of `width` bits without a sign (1 to 63) at a bit offset.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Refused`] for another width or an offset of 2^32 or more, [`crate::Error::WrongType`],
    /// [`crate::Error::Storage`].
    pub fn unsigned(&self, width: u8, offset: u64) -> Result<u64> {
        let read = self.field(int(false, width)?, offset, Step::Get)?;
        Ok(read.unwrap_or(0).unsigned_abs())
    }

    /// The integer of `width` bits with a sign (1 to 64) at a bit offset.
    ///
    /// # Errors
    ///
    /// As [`Bits::unsigned`].
    pub fn signed(&self, width: u8, offset: u64) -> Result<i64> {
        Ok(self
            .field(int(true, width)?, offset, Step::Get)?
            .unwrap_or(0))
    }

    /// Adds to the integer of `width` bits without a sign at a bit offset; the sum, or `None` if it does not fit and
    /// `overflow` is [`Overflow::Fail`].
    ///
    /// # Errors
    ///
    /// As [`Bits::unsigned`]; [`crate::Error::OutOfMemory`].
    pub fn add_unsigned(
        &self,
        width: u8,
        offset: u64,
        change: i64,
        overflow: Overflow,
    ) -> Result<Option<u64>> {
        let sum = self.field(int(false, width)?, offset, Step::Add(change, overflow))?;
        Ok(sum.map(i64::unsigned_abs))
    }

    /// Adds to the integer of `width` bits with a sign at a bit offset; see [`Bits::add_unsigned`].
    ///
    /// # Errors
    ///
    /// As [`Bits::add_unsigned`].
    pub fn add_signed(
        &self,
        width: u8,
        offset: u64,
        change: i64,
        overflow: Overflow,
    ) -> Result<Option<i64>> {
        self.field(int(true, width)?, offset, Step::Add(change, overflow))
    }

    fn field(&self, of: IntType, offset: u64, step: Step) -> Result<Option<i64>> {
        let field = Field { of, offset, step };
        let grows = !matches!(step, Step::Get);
        let read = self.target.run(&self.key, grows, |work| {
            bits::fields(work, &self.key, &[field])
        })?;
        Ok(read.into_iter().next().flatten())
    }
}

fn between(first: i64, last: i64) -> Part {
    Part {
        start: first,
        end: Some(last),
        unit: Unit::Bit,
    }
}

fn int(signed: bool, width: u8) -> Result<IntType> {
    IntType::new(signed, width).ok_or_else(bits::bad_type)
}
