//! Sparse indexes at the front door: exact scores, document frequencies that follow every change, and a model that is searched by trying
//! every record.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use upvector::{
    Bm25, Error, Hit, Index, Namespace, Record, SparseVector, Spec, Update, Vector, Weighting,
};

fn vector(entries: &[(i32, f32)]) -> SparseVector {
    let (indices, values): (Vec<_>, Vec<_>) = entries.iter().copied().unzip();
    SparseVector::new(indices, values).unwrap()
}

fn found(hits: &[Hit]) -> Vec<(&str, f32)> {
    hits.iter().map(|hit| (&*hit.id, hit.score)).collect()
}

fn near(hits: &[Hit], expected: &[(&str, f32)]) {
    assert_eq!(hits.len(), expected.len(), "{hits:?}");
    for (hit, (id, score)) in hits.iter().zip(expected) {
        assert_eq!(hit.id, *id);
        assert!((hit.score - score).abs() < 1e-6, "{hits:?} {expected:?}");
    }
}

fn three() -> Namespace {
    let docs = Index::memory(Spec::sparse()).unwrap().namespace("docs");
    let records = [
        Record::new("id0", vector(&[(0, 0.1), (1, 0.2)])),
        Record::new("id1", vector(&[(1, 0.2), (2, 0.3)])),
        Record::new("id2", vector(&[(2, 0.3), (3, 0.4)])),
    ];
    docs.upsert_many(records).unwrap();
    docs
}

#[test]
fn weights_by_document_frequency() {
    let docs = three();
    let query = vector(&[(0, 0.1), (1, 0.2)]);
    let hits = docs.query(query.clone()).run().unwrap();
    near(&hits, &[("id0", 0.05), ("id1", 0.04)]);
    let weighted = docs.query(query).weighting(Weighting::Idf).run().unwrap();
    near(&weighted, &[("id0", 0.028_608_438), ("id1", 0.018_800_145)]);
}

#[test]
fn document_frequencies_follow_upserts_updates_and_deletes() {
    let docs = three();
    let weight = |records: f32, with: f32| (1.0 + (records - with + 0.5) / (with + 0.5)).ln();
    let check = |records, with, best| {
        let query = docs.query(vector(&[(2, 1.0)])).weighting(Weighting::Idf);
        let hits = query.top_k(1).run().unwrap();
        near(&hits, &[(best, 0.3 * weight(records, with))]);
    };
    check(3.0, 2.0, "id1");
    docs.upsert(Record::new("id3", vector(&[(9, 1.0)])))
        .unwrap();
    check(4.0, 2.0, "id1");
    docs.update(Update::new("id1").vector(vector(&[(9, 1.0)])))
        .unwrap();
    check(4.0, 1.0, "id2");
    docs.update(Update::new("id3").data("no other vector"))
        .unwrap();
    check(4.0, 1.0, "id2");
    docs.upsert(Record::new("id0", vector(&[(2, 0.3), (2, 0.3)])))
        .unwrap();
    // Equal scores are in the order in which ids came first.
    check(4.0, 2.0, "id0");
    assert_eq!(docs.delete(["id2", "id3"]).unwrap(), 2);
    check(2.0, 1.0, "id0");
    let other = docs.query(vector(&[(3, 1.0)])).run().unwrap();
    assert_eq!(found(&other), []);
}

#[test]
fn hits_share_a_dimension_and_vectors_come_back_as_given() {
    let docs = Index::memory(Spec::sparse()).unwrap().namespace("");
    let given = vector(&[(5, 1.0), (i32::MIN, 2.0), (5, -1.0)]);
    docs.upsert(Record::new("signed", given.clone())).unwrap();
    docs.upsert(Record::new("zero", vector(&[(5, 0.0)])))
        .unwrap();
    docs.upsert(Record::new("none", SparseVector::default()))
        .unwrap();
    docs.upsert(Record::new("other", vector(&[(6, 9.0)])))
        .unwrap();

    let query = vector(&[(5, 7.0), (5, 3.0), (i32::MAX, 1.0)]);
    let hits = docs.query(query).include_vectors().run().unwrap();
    assert_eq!(found(&hits), [("zero", 0.0), ("signed", -3.0)]);
    assert_eq!(hits[1].sparse.as_ref(), Some(&given));
    let fetched = docs.fetch(["signed"]).unwrap();
    let vector = &fetched[0].as_ref().unwrap().vector;
    assert_eq!(vector.as_sparse(), Some(&given));
    let none = docs.query(SparseVector::default()).run().unwrap();
    assert_eq!(found(&none), []);
}

#[test]
fn texts_are_embedded_and_kept() {
    let spec = Spec::sparse().sparse_embedder(Bm25::english());
    let docs = Index::memory(spec).unwrap().namespace("");
    let texts = [
        ("a", "Walls of stone."),
        ("b", "The walled town"),
        ("c", "Open fields"),
    ];
    docs.upsert_many(texts.map(|(id, text)| Record::text(id, text)))
        .unwrap();
    let query = docs.query(Vector::text("a town with a wall"));
    let hits = query
        .weighting(Weighting::Idf)
        .include_data()
        .run()
        .unwrap();
    let texts: Vec<_> = hits.iter().map(|hit| hit.data.as_deref()).collect();
    assert_eq!(texts, [Some("The walled town"), Some("Walls of stone.")]);

    let plain = Index::memory(Spec::sparse()).unwrap().namespace("");
    let error = plain.upsert(Record::text("a", "text")).unwrap_err();
    assert!(matches!(error, Error::NoEmbedder), "{error}");
    let error = plain.query(Vector::text("text")).run().unwrap_err();
    assert!(matches!(error, Error::NoEmbedder), "{error}");
    assert!(plain.is_empty());
}

/// What one step of the model does.
#[derive(Clone, Debug)]
enum Step {
    Upsert(u8, SparseVector),
    Update(u8, SparseVector),
    Delete(u8),
}

fn vectors() -> impl Strategy<Value = SparseVector> {
    let entries = (
        0..10_i32,
        (-3..4_i8).prop_map(|value| f32::from(value) / 2.0),
    );
    prop::collection::vec(entries, 0..6).prop_map(|entries| vector(&entries))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..24_u8, vectors()).prop_map(|(id, vector)| Step::Upsert(id, vector)),
        1 => (0..24_u8, vectors()).prop_map(|(id, vector)| Step::Update(id, vector)),
        2 => (0..24_u8).prop_map(Step::Delete),
    ];
    prop::collection::vec(step, 1..60)
}

/// The last of equal dimensions counts.
fn entries(vector: &SparseVector) -> BTreeMap<i32, f32> {
    let indices = vector.indices().iter().copied();
    indices.zip(vector.values().iter().copied()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_sparse_index_is_its_records(steps in steps(), query in vectors(), top_k in 1..12_usize) {
        let docs = Index::memory(Spec::sparse()).unwrap().namespace("model");
        let mut model = BTreeMap::new();
        for step in steps {
            match step {
                Step::Upsert(id, vector) => {
                    docs.upsert(Record::new(id.to_string(), vector.clone())).unwrap();
                    model.insert(id, vector);
                }
                Step::Update(id, vector) => {
                    let update = Update::new(id.to_string()).vector(vector.clone());
                    prop_assert_eq!(docs.update(update).unwrap(), model.contains_key(&id));
                    model.entry(id).and_modify(|old| *old = vector);
                }
                Step::Delete(id) => {
                    let deleted = docs.delete([id.to_string()]).unwrap();
                    prop_assert_eq!(deleted, usize::from(model.remove(&id).is_some()));
                }
            }
        }
        // Halves are exact in every order of summing, so scores are equal to the bit.
        let weights = entries(&query);
        let mut scores = BTreeMap::new();
        for (id, vector) in &model {
            let vector = entries(vector);
            let shared = weights.iter().filter_map(|(index, weight)| {
                vector.get(index).map(|value| value * weight)
            });
            let shared: Vec<f32> = shared.collect();
            if !shared.is_empty() {
                scores.insert(id.to_string(), shared.iter().sum::<f32>() + 0.0);
            }
        }
        let hits = docs.query(query).top_k(top_k).run().unwrap();
        prop_assert_eq!(hits.len(), scores.len().min(top_k));
        for hit in &hits {
            prop_assert_eq!(scores.get(&hit.id), Some(&hit.score));
        }
        let mut best: Vec<_> = scores.into_values().collect();
        best.sort_by(|left, right| right.total_cmp(left));
        best.truncate(top_k);
        prop_assert_eq!(hits.iter().map(|hit| hit.score).collect::<Vec<_>>(), best);
    }
}
