//! Hybrid search over a few documents: `cargo run --example hello_vector`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use examples::docsearch::WordHash;
use serde_json::json;
use upvector::{Bm25, Fusion, Index, Metric, Record, Spec, Vector, Weighting};

fn spec() -> Spec {
    // WordHash stands in for a model of yours: anything that implements DenseEmbedder.
    Spec::hybrid(256, Metric::Cosine)
        .dense_embedder(WordHash::new())
        .sparse_embedder(Bm25::english())
}

fn main() -> Result<(), Box<dyn Error>> {
    let dir = examples::scratch("hello_vector")?;
    let index = Index::open(&dir, spec())?;
    let docs = index.namespace("docs");
    docs.upsert_many([
        Record::text("vec", "A contiguous growable array type, written as Vec.")
            .metadata(json!({"crate": "alloc", "kind": "struct"})),
        Record::text("map", "A hash map implemented with quadratic probing.")
            .metadata(json!({"crate": "std", "kind": "struct"})),
        Record::text("push", "Appends an element to the back of a collection.")
            .metadata(json!({"crate": "alloc", "kind": "fn"})),
    ])?;

    let hits = docs
        .query(Vector::text("growing an array"))
        .filter("crate = 'alloc' AND kind IN ('struct', 'fn')")
        .weighting(Weighting::Idf)
        .fusion(Fusion::ReciprocalRank)
        .top_k(2)
        .include_data()
        .run()?;
    for hit in &hits {
        println!(
            "{:.3} {}: {}",
            hit.score,
            hit.id,
            hit.data.as_deref().unwrap_or("")
        );
    }
    assert_eq!(hits[0].id, "vec");

    // A filter that is not of the language is refused with the place of the mistake.
    let refused = docs.query(Vector::text("array")).filter("crate = ").run();
    println!("{}", refused.expect_err("the filter has no value"));

    assert_eq!(docs.delete(["vec", "no such id"])?, 1);
    index.store().close()?;
    let index = Index::open(&dir, spec())?;
    assert_eq!(index.namespace("docs").len(), 2);
    println!("{} records after reopening", index.info().vector_count);
    Ok(())
}

#[test]
fn runs() {
    main().expect("the example runs");
}
