//! The index against the definition: every record scored, all sorted.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use upkv::storage::Random;

use super::*;

fn vector(entries: &[(i32, f32)]) -> SparseVector {
    let (indices, values): (Vec<_>, Vec<_>) = entries.iter().copied().unzip();
    SparseVector::new(indices, values).unwrap()
}

fn by_slot(slot: u32) -> u64 {
    slot.into()
}

/// The definition: every record scored, all sorted.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "few records, and results of single precision"
)]
fn reference(
    records: &BTreeMap<u32, SparseVector>,
    query: &SparseVector,
    weighting: Weighting,
    top_k: usize,
    accept: &dyn Fn(u32) -> bool,
    tie: &dyn Fn(u32) -> u64,
) -> Vec<(u32, f32)> {
    let entries: BTreeMap<_, _> = records
        .iter()
        .map(|(slot, vector)| {
            (
                slot,
                vector.distinct().into_iter().collect::<BTreeMap<_, _>>(),
            )
        })
        .collect();
    let weight = |dimension, value| {
        let with = entries
            .values()
            .filter(|one| one.contains_key(&dimension))
            .count();
        let (all, with) = (entries.len() as f64, with as f64);
        match weighting {
            Weighting::None => f64::from(value),
            Weighting::Idf => f64::from(value) * (1.0 + (all - with + 0.5) / (with + 0.5)).ln(),
        }
    };
    let weights: Vec<_> = query
        .distinct()
        .into_iter()
        .map(|(dimension, value)| (dimension, weight(dimension, value)))
        .collect();
    let mut hits = Vec::new();
    for (&slot, values) in entries {
        let shared = weights.iter().filter_map(|(dimension, weight)| {
            let value = values.get(dimension)?;
            Some(weight * f64::from(*value))
        });
        let shared: Vec<_> = shared.collect();
        if !shared.is_empty() && accept(slot) {
            let score = shared.iter().fold(0.0, |sum, one| sum + one);
            hits.push((slot, score as f32 + 0.0));
        }
    }
    hits.sort_by(|left, right| {
        right
            .1
            .total_cmp(&left.1)
            .then(tie(left.0).cmp(&tie(right.0)))
    });
    hits.truncate(top_k);
    hits
}

fn index_of(records: &BTreeMap<u32, SparseVector>) -> SparseIndex {
    let mut index = SparseIndex::new();
    for (slot, vector) in records {
        index.insert(*slot, vector);
    }
    index
}

/// Compares with the reference: slots and ties exactly, scores to the rounding of the logarithm.
fn compare(
    index: &SparseIndex,
    records: &BTreeMap<u32, SparseVector>,
    query: &SparseVector,
    weighting: Weighting,
    top_k: usize,
    accept: &dyn Fn(u32) -> bool,
    tie: &dyn Fn(u32) -> u64,
) -> Result<(), TestCaseError> {
    let mut asked = BTreeSet::new();
    let found = index.search(
        query,
        weighting,
        top_k,
        &mut |slot| {
            assert!(asked.insert(slot), "asked twice for {slot}");
            accept(slot)
        },
        tie,
    );
    let expected = reference(records, query, weighting, top_k, accept, tie);
    if weighting == Weighting::None {
        prop_assert_eq!(found, expected);
    } else {
        prop_assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            let near = (found.1 - expected.1).abs() <= 1e-6 * expected.1.abs().max(1.0);
            prop_assert!(near, "{found:?} {expected:?}");
        }
    }
    Ok(())
}

/// The test vector of the hosted service's own clients.
#[test]
fn inverse_document_frequencies_of_three_records() {
    let records = [
        (0, vector(&[(0, 0.1), (1, 0.2)])),
        (1, vector(&[(1, 0.2), (2, 0.3)])),
        (2, vector(&[(2, 0.3), (3, 0.4)])),
    ];
    let index = index_of(&records.into());
    let query = vector(&[(0, 0.1), (1, 0.2)]);
    let found = index.search(&query, Weighting::Idf, 5, &mut |_| true, &by_slot);
    let expected = [(0, 0.028_608_438), (1, 0.018_800_145)];
    assert_eq!(found.len(), 2);
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.0, expected.0);
        assert!((found.1 - expected.1).abs() < 1e-6, "{found:?}");
    }
}

#[test]
fn frequencies_follow_every_change() {
    let query = vector(&[(7, 1.0)]);
    let weight = |index: &SparseIndex| {
        let found = index.search(&query, Weighting::Idf, 1, &mut |_| true, &by_slot);
        f64::from(found[0].1)
    };
    let near = |found: f64, records: f64, with: f64| {
        let expected = (1.0 + (records - with + 0.5) / (with + 0.5)).ln();
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    };
    let mut index = SparseIndex::new();
    index.insert(0, &vector(&[(7, 1.0)]));
    index.insert(1, &vector(&[(7, 1.0), (8, 1.0)]));
    index.insert(2, &SparseVector::default());
    near(weight(&index), 3.0, 2.0);
    index.insert(1, &vector(&[(8, 1.0)]));
    near(weight(&index), 3.0, 1.0);
    index.insert(1, &vector(&[(7, 1.0), (7, 1.0)]));
    near(weight(&index), 3.0, 2.0);
    assert!(index.remove(1) && !index.remove(1));
    near(weight(&index), 2.0, 1.0);
    assert_eq!(index.len(), 2);
    assert!(index.remove(0));
    assert!(index.parts.iter().all(HashMap::is_empty));
    assert_eq!(
        index.search(&query, Weighting::Idf, 1, &mut |_| true, &by_slot),
        []
    );
}

#[test]
fn a_shared_dimension_makes_a_hit_of_any_score() {
    let records = [
        (0, vector(&[(1, 1.0), (2, -1.0)])),
        (1, vector(&[(1, 0.0)])),
        (2, vector(&[(2, -3.0)])),
        (3, vector(&[(3, 5.0)])),
    ];
    let index = index_of(&records.into());
    let query = vector(&[(1, 2.0), (2, 2.0)]);
    let found = index.search(&query, Weighting::None, 9, &mut |_| true, &by_slot);
    assert_eq!(found, [(0, 0.0), (1, 0.0), (2, -6.0)]);
    let zero = vector(&[(3, 0.0)]);
    let found = index.search(&zero, Weighting::None, 9, &mut |_| true, &by_slot);
    assert_eq!(found, [(3, 0.0)]);
    assert_eq!(
        index.search(&query, Weighting::None, 0, &mut |_| true, &by_slot),
        []
    );
}

#[test]
fn the_highest_slots_and_scores_are_searched() {
    let mut records = BTreeMap::new();
    for slot in [0, u32::MAX - 5_000, u32::MAX - 1, u32::MAX] {
        records.insert(slot, vector(&[(i32::MIN, f32::MAX), (i32::MAX, f32::MAX)]));
    }
    let index = index_of(&records);
    let query = vector(&[(i32::MIN, f32::MAX), (i32::MAX, f32::MAX)]);
    let found = index.search(&query, Weighting::None, 2, &mut |_| true, &|slot| {
        u64::from(!slot)
    });
    assert_eq!(found, [(u32::MAX, f32::MAX), (u32::MAX - 1, f32::MAX)]);
}

/// Few records that share everything take little; taking them out gives their memory back.
#[test]
fn memory_follows_the_records() {
    let mut index = SparseIndex::new();
    for slot in 0..2_000 {
        index.insert(slot, &vector(&[(1, 1.0), (2, 1.0)]));
    }
    let full = index.heap_bytes();
    // Two postings of 8 bytes, two dimensions of 4, an entry of 24 and the slack of growing tables.
    assert!((2_000 * 48..2_000 * 120).contains(&full), "{full}");
    for slot in (0..2_000).filter(|slot| slot % 50 > 0) {
        index.remove(slot);
    }
    let all = index.parts.iter().flat_map(HashMap::values);
    let postings: usize = all.map(Postings::heap_bytes).sum();
    assert!(postings < 24 << 10, "{postings}");
}

/// Values that make ties likely, of both signs.
fn values(signed: bool) -> impl Strategy<Value = f32> {
    let least = if signed { -3 } else { 0 };
    prop_oneof![
        3 => (least..4_i8).prop_map(|value| f32::from(value) / 2.0),
        1 => f32::from(least)..4.0_f32,
    ]
}

fn vectors(dimensions: i32, signed: bool, most: usize) -> impl Strategy<Value = SparseVector> {
    // The square makes low dimensions common and high ones rare.
    let dimension = (0..dimensions).prop_map(move |one| one * one / dimensions);
    prop::collection::vec((dimension, values(signed)), 0..most).prop_map(|entries| vector(&entries))
}

proptest! {
    /// Over several windows of slots, so that all of skipping, optional terms and plain scanning happens.
    #[test]
    fn search_finds_what_trying_every_record_finds(
        (records, queries) in any::<bool>().prop_flat_map(|signed| (
            prop::collection::btree_map(0..30_000_u32, vectors(24, signed, 8), 0..600),
            prop::collection::vec(vectors(24, signed, 12), 1..4),
        )),
        top_k in prop_oneof![1..4_usize, 1..40_usize, Just(1_000)],
        modulus in 1..4_u32,
        multiplier in any::<u64>(),
    ) {
        let index = index_of(&records);
        // Distinct for distinct slots, in an order that is not theirs.
        let tie = move |slot| u64::from(slot).wrapping_mul(multiplier | 1);
        let accept = move |slot| slot % modulus == 0;
        for query in &queries {
            for weighting in [Weighting::None, Weighting::Idf] {
                compare(&index, &records, query, weighting, top_k, &accept, &tie)?;
            }
        }
    }

    #[test]
    fn an_index_forgets_what_is_replaced_and_removed(
        changes in prop::collection::vec((0..40_u32, prop::option::weighted(0.7, vectors(12, true, 6))), 0..200),
        query in vectors(12, true, 8),
    ) {
        let mut index = SparseIndex::new();
        let mut records = BTreeMap::new();
        for (slot, change) in changes {
            if let Some(vector) = change {
                index.insert(slot, &vector);
                records.insert(slot, vector);
            } else {
                prop_assert_eq!(index.remove(slot), records.remove(&slot).is_some());
            }
        }
        prop_assert_eq!(index.len(), records.len());
        for weighting in [Weighting::None, Weighting::Idf] {
            compare(&index, &records, &query, weighting, 10, &|_| true, &by_slot)?;
        }
    }
}

#[test]
fn filling_is_inserting_one_after_another() {
    let random = Random::seeded(12);
    let vectors: Vec<(u32, SparseVector)> = (0..300)
        .map(|slot| {
            let indices: Vec<i32> = (0..=random.below(20))
                .map(|_| i32::try_from(random.below(60)).unwrap() - 30)
                .collect();
            let values: Vec<f32> = indices
                .iter()
                .map(|index| f32::from(i16::try_from(*index).unwrap()) + 0.5)
                .collect();
            (slot, SparseVector::new(indices, values).unwrap())
        })
        .collect();
    let (mut filled, mut inserted) = (SparseIndex::new(), SparseIndex::new());
    for part in vectors.chunks(70) {
        filled.fill(part, &crate::workers::Workers::new());
        for (slot, vector) in part {
            inserted.insert(*slot, vector);
        }
    }
    assert_eq!(filled.len(), inserted.len());
    for (_, query) in vectors.iter().step_by(17) {
        let hits = |index: &SparseIndex| {
            index.search(query, Weighting::Idf, 50, &mut |_| true, &u64::from)
        };
        assert_eq!(hits(&filled), hits(&inserted));
    }
    for (slot, _) in &vectors {
        assert!(filled.remove(*slot));
    }
    assert!(filled.parts.iter().all(HashMap::is_empty));
}
