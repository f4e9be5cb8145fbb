//! A sparse vector as a record has it.
//!
//! Invariant: as many indices as values, at most [`SparseVector::ENTRIES_MAX`] of them, every value finite.

use crate::error::{Error, Result};

/// A vector given by its entries that are not zero: `values[i]` is the component of dimension `indices[i]`.
///
/// Any `i32` is a dimension and entries come in any order. Of entries with equal indices the last counts in scores. The entries are
/// returned as they were given.
///
/// # Examples
///
/// ```
/// use upvector::{Error, SparseVector};
/// let vector = SparseVector::new(vec![7, -3], vec![0.5, 2.0])?;
/// assert_eq!(vector.indices(), [7, -3]);
/// assert_eq!(vector.values(), [0.5, 2.0]);
/// assert!(matches!(
///     SparseVector::new(vec![1], vec![f32::NAN]),
///     Err(Error::NotFinite { component: 0, .. })
/// ));
/// # Ok::<(), upvector::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SparseVector {
    indices: Box<[i32]>,
    values: Box<[f32]>,
}

impl SparseVector {
    /// Most entries of a vector.
    pub const ENTRIES_MAX: usize = 1_000;

    /// A vector of these entries; there may be none.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if there are not as many values as indices, [`Error::TooLarge`] over
    /// [`ENTRIES_MAX`](Self::ENTRIES_MAX) entries, [`Error::NotFinite`] for a value that is NaN or infinite.
    pub fn new(indices: impl Into<Box<[i32]>>, values: impl Into<Box<[f32]>>) -> Result<Self> {
        let (indices, values) = (indices.into(), values.into());
        if indices.len() != values.len() {
            let message = format!(
                "a sparse vector has {} indices and {} values",
                indices.len(),
                values.len()
            );
            return Err(Error::invalid(message));
        }
        if indices.len() > Self::ENTRIES_MAX {
            return Err(Error::too_large(
                "sparse vector entries",
                indices.len(),
                ENTRIES_LIMIT,
            ));
        }
        match (0..).zip(&values).find(|(_, value)| !value.is_finite()) {
            Some((component, &value)) => Err(Error::NotFinite { component, value }),
            None => Ok(Self { indices, values }),
        }
    }

    /// The dimensions, as given.
    pub fn indices(&self) -> &[i32] {
        &self.indices
    }

    /// The component of each of [`indices`](Self::indices).
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Entries, those with equal indices counted one by one.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The entries that count, in the order of their dimensions.
    pub(crate) fn distinct(&self) -> Vec<(i32, f32)> {
        let entries = self.indices.iter().copied();
        let mut entries: Vec<_> = entries.zip(self.values.iter().copied()).rev().collect();
        // Stable, so the last of equal indices as given is the first of its run.
        entries.sort_by_key(|(index, _)| *index);
        entries.dedup_by_key(|(index, _)| *index);
        entries
    }
}

/// [`SparseVector::ENTRIES_MAX`] as errors print it.
const ENTRIES_LIMIT: u32 = 1_000;
const _: () = assert!(ENTRIES_LIMIT as usize == SparseVector::ENTRIES_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_equal_indices_counts() {
        let vector = SparseVector::new([5, -1, 5, i32::MIN], [1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(vector.distinct(), [(i32::MIN, 4.0), (-1, 2.0), (5, 3.0)]);
        assert_eq!(vector.indices(), [5, -1, 5, i32::MIN]);
        assert_eq!(vector.len(), 4);
    }

    #[test]
    fn bad_entries_are_named() {
        let error = SparseVector::new([1, 2], [1.0]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a sparse vector has 2 indices and 1 values"
        );
        let entries = |count: usize| SparseVector::new(vec![7; count], vec![1.0; count]);
        assert_eq!(entries(1_000).unwrap().distinct(), [(7, 1.0)]);
        assert_eq!(
            entries(1_001).unwrap_err().to_string(),
            "sparse vector entries of 1001 is over the limit of 1000"
        );
        let error = SparseVector::new([1, 2], [1.0, f32::INFINITY]).unwrap_err();
        assert_eq!(error.to_string(), "component 1 of the vector is inf");
        assert!(SparseVector::default().is_empty());
    }
}
