//! Hybrid indexes at the front door: both halves searched to the same depth, fused, in an order that does not depend on chance.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use upvector::{
    Bm25, DenseEmbedder, Error, Fusion, Hit, Index, Metric, Namespace, QueryMode, Record,
    SparseVector, Spec, Vector, Weighting,
};

fn sparse(entries: &[(i32, f32)]) -> SparseVector {
    let (indices, values): (Vec<_>, Vec<_>) = entries.iter().copied().unzip();
    SparseVector::new(indices, values).unwrap()
}

fn near(hits: &[Hit], expected: &[(&str, f32)]) {
    assert_eq!(hits.len(), expected.len(), "{hits:?}");
    for (hit, (id, score)) in hits.iter().zip(expected) {
        assert_eq!(hit.id, *id, "{hits:?}");
        assert!((hit.score - score).abs() < 1e-6, "{hits:?} {expected:?}");
    }
}

fn three() -> Namespace {
    let spec = Spec::hybrid(2, Metric::Cosine);
    let docs = Index::memory(spec).unwrap().namespace("");
    let record = |id, dense: [f32; 2], entries: &[(i32, f32)]| {
        Record::new(id, Vector::hybrid(dense, sparse(entries)))
    };
    docs.upsert_many([
        record("id0", [0.1, 0.2], &[(0, 0.1), (1, 0.2)]),
        record("id1", [0.2, 0.3], &[(1, 0.2), (2, 0.3)]),
        record("id2", [0.3, 0.4], &[(2, 0.3), (3, 0.4)]),
    ])
    .unwrap();
    docs
}

fn query() -> Vector {
    Vector::hybrid([0.1, 0.1], sparse(&[(0, 0.1)]))
}

/// The test vector of the hosted service's own clients.
#[test]
fn distributions_of_both_halves_are_summed() {
    let query = three().query(query()).top_k(2).weighting(Weighting::Idf);
    let hits = query.fusion(Fusion::DistributionBased).run().unwrap();
    near(&hits, &[("id2", 0.617_851), ("id0", 0.5)]);
}

#[test]
fn ranks_of_both_halves_are_summed() {
    let docs = three();
    let hits = docs.query(query()).top_k(3).run().unwrap();
    let rank = |rank: f32| 1.0 / (60.0 + rank);
    near(
        &hits,
        &[
            ("id0", rank(1.0) + rank(3.0)),
            ("id2", rank(1.0)),
            ("id1", rank(2.0)),
        ],
    );
    // To the depth of two the third of the dense half is not seen.
    let hits = docs.query(query()).top_k(2).run().unwrap();
    near(&hits, &[("id0", rank(1.0)), ("id2", rank(1.0))]);
}

#[test]
fn of_equal_scores_the_sparse_half_is_first() {
    let docs = three();
    for fusion in [Fusion::ReciprocalRank, Fusion::DistributionBased] {
        let hits = docs.query(query()).top_k(1).fusion(fusion).run().unwrap();
        assert_eq!(hits[0].id, "id0");
    }
}

#[test]
fn a_query_may_have_one_half() {
    let docs = three();
    let hits = docs.query(sparse(&[(1, 1.0)])).run().unwrap();
    near(&hits, &[("id0", 0.2), ("id1", 0.2)]);
    let hits = docs.query([0.3, 0.4]).top_k(1).run().unwrap();
    near(&hits, &[("id2", 1.0)]);
}

#[test]
fn records_need_both_halves() {
    let docs = three();
    for vector in [Vector::dense([0.1, 0.2]), sparse(&[(0, 1.0)]).into()] {
        let error = docs.upsert(Record::new("id3", vector)).unwrap_err();
        assert!(matches!(error, Error::RequiresVectors(_)), "{error}");
    }
    assert_eq!(docs.len(), 3);
}

/// Points at the first or the second axis.
struct Axes;

impl DenseEmbedder for Axes {
    fn dimensions(&self) -> usize {
        2
    }

    fn embed_document(&self, text: &str) -> Vec<f32> {
        let first = text.starts_with("first");
        vec![f32::from(first), f32::from(!first)]
    }
}

#[test]
fn texts_are_searched_by_either_half_or_both() {
    let spec = Spec::hybrid(2, Metric::Cosine)
        .dense_embedder(Axes)
        .sparse_embedder(Bm25::english());
    let docs = Index::memory(spec).unwrap().namespace("");
    docs.upsert_many([
        Record::text("a", "first, of walls"),
        Record::text("b", "second, of towers"),
    ])
    .unwrap();
    let ids = |mode| {
        let query = docs.query(Vector::text("first tower")).mode(mode);
        let hits = query.run().unwrap();
        hits.into_iter()
            .map(|hit| (hit.id, hit.score))
            .collect::<Vec<_>>()
    };
    let dense = ids(QueryMode::Dense);
    assert_eq!(dense[0], ("a".to_owned(), 1.0));
    assert_eq!(dense[1], ("b".to_owned(), 0.5));
    let sparse = ids(QueryMode::Sparse);
    assert_eq!(sparse.len(), 2);
    assert!(sparse.iter().all(|(_, score)| *score > 1.0));
    let both = ids(QueryMode::Hybrid);
    assert!((both[0].1 + both[1].1 - 2.0 * (1.0 / 61.0 + 1.0 / 62.0)).abs() < 1e-6);

    let error = three().query(Vector::text("first")).run().unwrap_err();
    assert!(matches!(error, Error::NoEmbedder), "{error}");
}
