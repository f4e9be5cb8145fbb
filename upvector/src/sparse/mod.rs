//! Sparse vectors and exact search over them.
//!
//! Invariant: a dimension's postings are exactly the slots whose vector has it, so document frequencies follow every change at once.

mod postings;
mod search;
#[cfg(test)]
mod tests;
mod vector;

use ahash::HashMap;
use parking_lot::Mutex;

pub use self::vector::SparseVector;

use self::postings::Postings;
use self::search::Term;
use crate::hybrid::Weighting;
use crate::workers::Workers;

/// Parts of the dimensions.
const PARTS: usize = 8;

/// The part that a dimension is in: hashes and small numbers alike are spread evenly.
fn part_of(dimension: i32) -> usize {
    (dimension.cast_unsigned().wrapping_mul(0x9e37_79b1) >> 29) as usize
}

/// The sparse vectors of a namespace, by the slots of their records.
#[derive(Debug, Default)]
pub(crate) struct SparseIndex {
    /// By dimension, in parts that several threads can fill.
    parts: [HashMap<i32, Postings>; PARTS],
    /// The dimensions of each slot, so that a vector can be taken out without being given again.
    dimensions: HashMap<u32, Box<[i32]>>,
}

impl SparseIndex {
    /// An index of no records.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Records, those with empty vectors included.
    pub(crate) fn len(&self) -> usize {
        self.dimensions.len()
    }

    /// Gives a slot a vector, in place of the one it has.
    ///
    /// Logarithmic in the records for each entry, and constant if slots ascend.
    pub(crate) fn insert(&mut self, slot: u32, vector: &SparseVector) {
        self.remove(slot);
        let entries = vector.distinct();
        for &(dimension, value) in &entries {
            let part = &mut self.parts[part_of(dimension)];
            part.entry(dimension).or_default().insert(slot, value);
        }
        let dimensions = entries.into_iter().map(|(dimension, _)| dimension);
        self.dimensions.insert(slot, dimensions.collect());
    }

    /// Gives many slots, which have none, a vector each; for opening.
    pub(crate) fn fill(&mut self, vectors: &[(u32, SparseVector)], workers: &Workers) {
        let mut entries: [Vec<(i32, u32, f32)>; PARTS] = Default::default();
        for (slot, vector) in vectors {
            let distinct = vector.distinct();
            for &(dimension, value) in &distinct {
                entries[part_of(dimension)].push((dimension, *slot, value));
            }
            let dimensions = distinct.into_iter().map(|(dimension, _)| dimension);
            self.dimensions.insert(*slot, dimensions.collect());
        }
        let parts: Vec<_> = self.parts.iter_mut().zip(entries).map(Mutex::new).collect();
        workers.map(&parts, |part| {
            let (postings, entries) = &mut *part.lock();
            // Dimension by dimension, because finding one takes longer than adding to it.
            entries.sort_unstable_by_key(|(dimension, slot, _)| (*dimension, *slot));
            for run in entries.chunk_by(|one, next| one.0 == next.0) {
                let postings = postings.entry(run[0].0).or_default();
                for &(_, slot, value) in run {
                    postings.insert(slot, value);
                }
            }
        });
    }

    /// Takes the vector of a slot out; whether it had one.
    pub(crate) fn remove(&mut self, slot: u32) -> bool {
        let Some(dimensions) = self.dimensions.remove(&slot) else {
            return false;
        };
        for dimension in dimensions {
            let part = &mut self.parts[part_of(dimension)];
            let postings = part.get_mut(&dimension);
            let postings = postings.expect("a slot's dimensions have postings");
            postings.remove(slot);
            if postings.count() == 0 {
                part.remove(&dimension);
            }
        }
        true
    }

    /// The records with the highest inner products, best first; of equal ones those with the lowest `tie`. Records that share no
    /// dimension with the query are no hits, whatever `top_k`. `accept` is asked for a record at most once, and only if it would be
    /// among the best so far.
    ///
    /// Exact. A pass over the postings of the query's dimensions at most; memory does not grow with the index.
    pub(crate) fn search(
        &self,
        query: &SparseVector,
        weighting: Weighting,
        top_k: usize,
        accept: &mut dyn FnMut(u32) -> bool,
        tie: &dyn Fn(u32) -> u64,
    ) -> Vec<(u32, f32)> {
        let entries = query.distinct().into_iter();
        let mut terms: Vec<_> = entries
            .filter_map(|(dimension, value)| {
                let postings = self.parts[part_of(dimension)].get(&dimension)?;
                let idf = match weighting {
                    Weighting::None => 1.0,
                    Weighting::Idf => idf(self.len(), postings.count()),
                };
                Some(Term::new(f64::from(value) * idf, postings))
            })
            .collect();
        search::search(&mut terms, top_k, accept, tie)
    }

    /// Bytes that this takes on the heap.
    ///
    /// Linear in the dimensions and blocks of postings.
    pub(crate) fn heap_bytes(&self) -> usize {
        let all = self.parts.iter().flat_map(HashMap::values);
        let postings: usize = all.map(Postings::heap_bytes).sum();
        let dimensions: usize = self
            .dimensions
            .values()
            .map(|one| size_of_val(&**one))
            .sum();
        // A byte for each bucket of a table holds its part of the hash.
        let places: usize = self.parts.iter().map(HashMap::capacity).sum();
        let tables = places * (size_of::<(i32, Postings)>() + 1)
            + self.dimensions.capacity() * (size_of::<(u32, Box<[i32]>)>() + 1);
        postings + dimensions + tables
    }
}

/// The weight of a dimension that `with` of `records` have.
#[expect(clippy::cast_precision_loss, reason = "there are at most 2^32 records")]
fn idf(records: usize, with: usize) -> f64 {
    let (records, with) = (records as f64, with as f64);
    ((records - with + 0.5) / (with + 0.5)).ln_1p()
}
