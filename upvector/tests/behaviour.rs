//! What the contract says, operation by operation.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::json;
use upvector::{
    Bm25, DenseEmbedder, Error, Fusion, Index, Metric, QueryMode, Record, SparseVector, Spec,
    Update, Vector, Weighting,
};

fn sparse(entries: &[(i32, f32)]) -> SparseVector {
    let (indices, values): (Vec<i32>, Vec<f32>) = entries.iter().copied().unzip();
    SparseVector::new(indices, values).unwrap()
}

fn ids(hits: &[upvector::Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.id.as_str()).collect()
}

fn near(score: f32, wanted: f64) {
    assert!(
        (f64::from(score) - wanted).abs() < 1e-6,
        "{score} is not {wanted}"
    );
}

fn three(index: &Index) -> upvector::Namespace {
    let docs = index.namespace("");
    for number in 0_u8..3 {
        let (low, high) = (f32::from(number + 1) / 10.0, f32::from(number + 2) / 10.0);
        let at = i32::from(number);
        let words = sparse(&[(at, low), (at + 1, high)]);
        let vector = Vector::hybrid(vec![low, high], words);
        docs.upsert(Record::new(format!("id{number}"), vector))
            .unwrap();
    }
    docs
}

#[test]
fn the_scores_of_sparse_and_fused_hits_are_those_of_the_contract() {
    let index = Index::memory(Spec::hybrid(2, Metric::Cosine)).unwrap();
    let docs = three(&index);
    let words = sparse(&[(0, 0.1), (1, 0.2)]);
    let hits = docs.query(words).weighting(Weighting::Idf).run().unwrap();
    assert_eq!(ids(&hits), ["id0", "id1"]);
    near(hits[0].score, 0.028_608_438);
    near(hits[1].score, 0.018_800_145);
    let both = Vector::hybrid(vec![0.1, 0.1], sparse(&[(0, 0.1)]));
    let query = docs
        .query(both.clone())
        .fusion(Fusion::DistributionBased)
        .weighting(Weighting::Idf);
    let hits = query.top_k(2).run().unwrap();
    assert_eq!(ids(&hits), ["id2", "id0"]);
    near(hits[0].score, 0.617_851);
    near(hits[1].score, 0.5);
    let hits = docs.query(both).top_k(1).run().unwrap();
    assert_eq!(
        ids(&hits),
        ["id0"],
        "equal ranks: what the sparse list supplied comes first"
    );
}

#[test]
fn half_a_hybrid_query_is_not_fused() {
    let index = Index::memory(Spec::hybrid(2, Metric::Euclidean)).unwrap();
    let docs = three(&index);
    let hits = docs.query(vec![0.1, 0.2]).top_k(1).run().unwrap();
    assert_eq!((hits[0].id.as_str(), hits[0].score), ("id0", 1.0));
    let both = Vector::hybrid(vec![0.1, 0.2], sparse(&[(3, 1.0)]));
    let hits = docs
        .query(both.clone())
        .mode(QueryMode::Sparse)
        .run()
        .unwrap();
    assert_eq!(ids(&hits), ["id2"]);
    near(hits[0].score, 0.4);
    let hits = docs
        .query(both)
        .mode(QueryMode::Dense)
        .top_k(1)
        .run()
        .unwrap();
    assert_eq!(ids(&hits), ["id0"]);
}

#[test]
fn what_was_not_asked_for_is_not_returned_and_vectors_are_bit_exact() {
    let index = Index::memory(Spec::hybrid(2, Metric::Cosine)).unwrap();
    let docs = index.namespace("x");
    let dense = vec![0.1_f32, -0.0];
    let words = sparse(&[(9, 1.5), (-3, 2.5), (9, 0.5)]);
    let record = Record::new("a", Vector::hybrid(dense.clone(), words.clone()))
        .metadata(json!({"n": 1}))
        .data("text");
    docs.upsert(record.clone()).unwrap();
    let bare = docs.query(vec![1.0, 0.0]).run().unwrap().remove(0);
    assert_eq!(
        (&bare.vector, &bare.sparse, &bare.metadata, &bare.data),
        (&None, &None, &None, &None)
    );
    let query = docs
        .query(vec![1.0, 0.0])
        .include_vectors()
        .include_metadata()
        .include_data();
    let full = query.run().unwrap().remove(0);
    let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&full.vector.unwrap()), bits(&dense));
    assert_eq!(
        full.sparse.unwrap(),
        words,
        "indices as they were given, duplicates too"
    );
    assert_eq!(full.data.as_deref(), Some("text"));
    assert_eq!(docs.fetch(["a", "b"]).unwrap(), [Some(record), None]);
    docs.upsert(Record::new("a", Vector::hybrid(dense, words)))
        .unwrap();
    let replaced = docs.fetch(["a"]).unwrap().remove(0).unwrap();
    assert_eq!(
        (replaced.metadata, replaced.data),
        (None, None),
        "an upsert replaces the whole record"
    );
}

#[test]
fn a_range_goes_in_the_order_of_insertion_and_ends_exactly() {
    let index = Index::memory(Spec::dense(1, Metric::Cosine)).unwrap();
    let docs = index.namespace("");
    docs.upsert_many((0..11).map(|n| Record::new(format!("id-{n}"), [1.0])))
        .unwrap();
    docs.upsert(Record::new("id-3", [2.0])).unwrap();
    docs.delete(["id-4"]).unwrap();
    let page = docs.range(0, 5).unwrap();
    let names: Vec<_> = page.records.iter().map(|r| r.id.as_str()).collect();
    assert_eq!(names, ["id-0", "id-1", "id-2", "id-3", "id-5"]);
    assert_eq!(page.next, Some(6));
    let page = docs.range(6, 5).unwrap();
    assert_eq!((page.records.len(), page.next), (5, None));
    let page = docs.range_prefix("id-1", 0, 1).unwrap();
    assert_eq!((page.records[0].id.as_str(), page.next), ("id-1", Some(2)));
    let page = docs.range_prefix("id-1", 2, 1).unwrap();
    assert_eq!((page.records[0].id.as_str(), page.next), ("id-10", None));
    assert_eq!(docs.range(u64::MAX, 5).unwrap().records, []);
    assert_eq!(docs.fetch_prefix("id-1", 1000).unwrap().len(), 2);
}

#[test]
fn namespaces_are_apart_and_the_default_one_stays() {
    let index = Index::memory(Spec::dense(1, Metric::Cosine)).unwrap();
    assert_eq!(index.list_namespaces(), [""]);
    let (a, b) = (index.namespace("a"), index.namespace("b"));
    assert_eq!(a.query([1.0]).run().unwrap(), []);
    a.upsert(Record::new("x", [1.0])).unwrap();
    assert!(b.is_empty() && b.random().unwrap().is_none());
    assert_eq!(a.random().unwrap().unwrap().id, "x");
    b.upsert_many([Record::new("y", [1.0]), Record::new("z", [1.0])])
        .unwrap();
    let error = index.rename_namespace("a", "b", false).unwrap_err();
    assert!(matches!(error, Error::NamespaceExists(_)));
    index.rename_namespace("a", "b", true).unwrap();
    assert_eq!(index.list_namespaces(), ["", "b"]);
    assert_eq!(
        (a.len(), b.len(), b.fetch(["y"]).unwrap()),
        (0, 1, vec![None])
    );
    assert!(matches!(
        index.rename_namespace("a", "c", false),
        Err(Error::NoSuchNamespace(_))
    ));
    b.reset().unwrap();
    assert_eq!((b.len(), index.list_namespaces().len()), (0, 2));
    assert!(index.delete_namespace("b").unwrap() && !index.delete_namespace("b").unwrap());
    let error = index.delete_namespace("").unwrap_err();
    let text = "The default namespace, which is the empty string \"\", cannot be deleted.";
    assert_eq!(error.to_string(), text);
}

#[test]
fn bad_input_is_named_and_changes_nothing() {
    let index = Index::memory(Spec::dense(2, Metric::Cosine)).unwrap();
    let docs = index.namespace("");
    let good = Record::new("good", [1.0, 0.0]);
    let bad = [
        (
            Record::new("a", [1.0]),
            "Invalid vector dimension: 1, expected: 2",
        ),
        (
            Record::new("a", [1.0, f32::NAN]),
            "component 1 of the vector is NaN",
        ),
        (
            Record::new("a", [f32::INFINITY, 0.0]),
            "component 0 of the vector is inf",
        ),
        (Record::new("", [1.0, 0.0]), "the id of a record is empty"),
        (
            Record::new("a", sparse(&[(1, 1.0)])),
            "This index requires dense vectors",
        ),
        (
            Record::text("a", "words"),
            "Embedding data for this index is not allowed. The index must be created with an embedding model to use it.",
        ),
    ];
    for (record, text) in bad {
        let error = docs.upsert_many([good.clone(), record]).unwrap_err();
        assert_eq!(error.to_string(), text);
        assert!(docs.is_empty());
    }
    assert!(docs.upsert(good.clone().metadata(json!([1]))).is_err());
    assert!(
        docs.upsert(Record::new("x".repeat(5000), [1.0, 0.0]))
            .is_err()
    );
    assert_eq!(
        docs.query([1.0, 0.0])
            .top_k(0)
            .run()
            .unwrap_err()
            .to_string(),
        "top_k of 0 is not in 1..=1000"
    );
    assert!(docs.query([1.0, 0.0]).top_k(1001).run().is_err());
    assert!(docs.query([1.0, f32::NAN]).run().is_err());
    assert!(docs.query(sparse(&[(1, 1.0)])).run().is_err());
    assert!(matches!(
        docs.query([1.0, 0.0]).filter("a = ").run(),
        Err(Error::Filter(_))
    ));
    assert!(docs.delete_where("").is_err() && docs.delete_where("a ~ 1").is_err());
    let sparse_only = Index::memory(Spec::sparse()).unwrap();
    let error = sparse_only.namespace("").upsert(good).unwrap_err();
    assert_eq!(error.to_string(), "This index requires sparse vectors");
    let error = docs.update(Update::new("a").vector([1.0])).unwrap_err();
    assert!(matches!(
        error,
        Error::DimensionMismatch {
            given: 1,
            expected: 2
        }
    ));
}

#[test]
fn deletes_count_what_was_there() {
    let index = Index::memory(Spec::dense(1, Metric::Euclidean)).unwrap();
    let docs = index.namespace("");
    let record =
        |n: u8| Record::new(format!("{}-{n}", n % 2), [f32::from(n)]).metadata(json!({"n": n}));
    docs.upsert_many((0..20).map(record)).unwrap();
    assert_eq!(docs.delete(["0-0", "0-0", "nobody"]).unwrap(), 1);
    assert_eq!(docs.delete_prefix("1-1").unwrap(), 6);
    assert_eq!(docs.delete_where("n >= 14").unwrap(), 3);
    assert_eq!(docs.len(), 10);
    let hits = docs.query([0.0]).top_k(1000).run().unwrap();
    assert_eq!(hits.len(), 10);
}

/// Counts letters: a crude embedding, but one that can be told apart.
struct Letters;

impl DenseEmbedder for Letters {
    fn dimensions(&self) -> usize {
        26
    }

    fn embed_document(&self, text: &str) -> Vec<f32> {
        let mut counts = vec![0.0; 26];
        for byte in text.bytes().filter(u8::is_ascii_lowercase) {
            counts[usize::from(byte - b'a')] += 1.0;
        }
        counts
    }

    fn embed_query(&self, text: &str) -> Vec<f32> {
        self.embed_document(text)
    }
}

#[test]
fn text_is_embedded_when_it_is_written_and_when_it_is_asked_for() {
    let spec = Spec::hybrid(26, Metric::Cosine)
        .dense_embedder(Letters)
        .sparse_embedder(Bm25::english());
    let index = Index::memory(spec).unwrap();
    let docs = index.namespace("");
    docs.upsert(Record::text("lamp", "a lamp that shines at night"))
        .unwrap();
    docs.upsert(Record::text("boat", "boats sail the open sea"))
        .unwrap();
    let hits = docs
        .query(Vector::text("sailing boat"))
        .include_data()
        .run()
        .unwrap();
    assert_eq!(hits[0].id, "boat");
    assert_eq!(hits[0].data.as_deref(), Some("boats sail the open sea"));
    let only = docs
        .query(Vector::text("shining lamps"))
        .mode(QueryMode::Sparse)
        .run()
        .unwrap();
    assert_eq!(ids(&only), ["lamp"], "no other record shares a word");
    assert!(
        docs.update(Update::new("boat").data("a lamp after all"))
            .unwrap()
    );
    let only = docs
        .query(Vector::text("lamps"))
        .mode(QueryMode::Sparse)
        .run()
        .unwrap();
    assert_eq!(only.len(), 2, "new text is embedded again");
}

#[test]
fn an_update_of_metadata_does_no_work_on_vectors() {
    let index = Index::memory(Spec::hybrid(1, Metric::Euclidean)).unwrap();
    let docs = index.namespace("");
    let vector = Vector::hybrid([1.0], sparse(&[(5, 2.0)]));
    docs.upsert(
        Record::new("a", vector.clone())
            .metadata(json!({"x": {"y": 1, "z": 2}}))
            .data("d"),
    )
    .unwrap();
    assert!(
        docs.update(Update::new("a").merge_metadata(json!({"x": {"y": null}, "w": 3})))
            .unwrap()
    );
    let record = docs.fetch(["a"]).unwrap().remove(0).unwrap();
    assert_eq!(
        record.metadata.unwrap().to_value(),
        json!({"x": {"z": 2}, "w": 3})
    );
    assert_eq!((record.vector, record.data.as_deref()), (vector, Some("d")));
    assert!(docs.update(Update::new("a").metadata(json!({}))).unwrap());
    assert!(docs.update(Update::new("a").data("e")).unwrap());
    let record = docs.fetch(["a"]).unwrap().remove(0).unwrap();
    assert_eq!(
        (record.metadata.unwrap().to_value(), record.data.as_deref()),
        (json!({}), Some("e"))
    );
    let error = docs.update(Update::new("a").vector([2.0])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "This index requires sparse vectors",
        "both halves or none"
    );
    assert!(
        docs.update(Update::new("a").vector(Vector::hybrid([2.0], sparse(&[(6, 1.0)]))))
            .unwrap()
    );
    assert_eq!(docs.query(sparse(&[(5, 1.0)])).run().unwrap(), []);
    near(docs.query([2.0]).run().unwrap()[0].score, 1.0);
}

#[test]
fn a_specification_is_recorded_once() {
    let store = upkv::Store::memory().unwrap();
    let one = Index::mount(&store, "v", Spec::dense(3, Metric::Cosine)).unwrap();
    one.namespace("")
        .upsert(Record::new("a", [1.0, 2.0, 3.0]))
        .unwrap();
    let same = Index::mount(&store, "v", Spec::dense(3, Metric::Cosine)).unwrap();
    assert_eq!(same.namespace("").len(), 1);
    for other in [
        Spec::dense(4, Metric::Cosine),
        Spec::dense(3, Metric::Euclidean),
        Spec::sparse(),
        Spec::hybrid(3, Metric::Cosine),
    ] {
        let error = Index::mount(&store, "v", other).unwrap_err();
        assert!(matches!(error, Error::SpecMismatch(_)), "{error}");
    }
}

#[test]
fn nothing_to_write_is_no_error() {
    let index = Index::memory(Spec::dense(1, Metric::Cosine)).unwrap();
    let docs = index.namespace("n");
    docs.upsert_many([]).unwrap();
    assert_eq!(docs.delete(["a"]).unwrap(), 0);
    assert_eq!(docs.delete_prefix("").unwrap(), 0);
    docs.reset().unwrap();
    index.reset_all().unwrap();
    assert_eq!(index.list_namespaces(), [""]);
    assert_eq!(docs.fetch(["a"]).unwrap(), [None]);
    let twice = [
        Record::new("a", [1.0]),
        Record::new("b", [2.0]),
        Record::new("a", [3.0]),
    ];
    docs.upsert_many(twice).unwrap();
    let page = docs.range(0, 10).unwrap();
    let all: Vec<_> = page
        .records
        .iter()
        .map(|r| (r.id.as_str(), r.vector.as_dense().unwrap()[0]))
        .collect();
    assert_eq!(
        all,
        [("a", 3.0), ("b", 2.0)],
        "as if one was upserted after the other"
    );
}

#[test]
fn an_empty_namespace_is_small() {
    let index = Index::memory(Spec::dense(384, Metric::Cosine)).unwrap();
    let docs = index.namespace("a");
    docs.upsert(Record::new("x", vec![1.0; 384])).unwrap();
    docs.reset().unwrap();
    let bytes = index.info().namespaces["a"].memory_bytes;
    assert!(bytes < 1024, "{bytes}");
}
