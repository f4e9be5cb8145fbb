//! How well BM25 ranks, on collections with relevance judgements. They are not part of the source: `UP_DATA_DIR` names the folder that
//! has them, and without it the test says that it did nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::print_stdout,
    reason = "a test that is skipped must be seen to be"
)]

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use upvector::{Bm25, Index, Record, Spec, Vector, Weighting};

/// The texts of a file in TREC form, with their numbers, by the marks around both.
fn texts(file: &Path, number: [&str; 2], text: [&str; 2]) -> Vec<(String, String)> {
    let content = std::fs::read_to_string(file).unwrap();
    let between = |part: &str, open: &str, close: &str| {
        let rest = part.split_once(open).unwrap().1;
        rest.split_once(close).unwrap().0.trim().to_owned()
    };
    let parts = content.split(number[0]).skip(1);
    parts
        .map(|part| {
            let (id, rest) = part.split_once(number[1]).unwrap();
            (
                id.trim().to_owned(),
                between(&format!("{}{rest}", number[1]), text[0], text[1]),
            )
        })
        .collect()
}

/// The documents that judges found relevant to each query.
fn judgements(file: &Path) -> HashMap<String, HashSet<String>> {
    let mut relevant: HashMap<String, HashSet<String>> = HashMap::new();
    for line in std::fs::read_to_string(file).unwrap().lines() {
        let fields: Vec<_> = line.split_whitespace().collect();
        if let [query, _, document, grade] = *fields
            && grade != "0"
        {
            let documents = relevant.entry(query.to_owned()).or_default();
            documents.insert(document.to_owned());
        }
    }
    relevant
}

/// The mean over relevant documents of the precision where each is found; 0 for those that are not.
fn average_precision(ranked: &[String], relevant: &HashSet<String>) -> f64 {
    let mut found = 0.0;
    let mut sum = 0.0;
    for (rank, id) in (1_u32..).zip(ranked) {
        if relevant.contains(id) {
            found += 1.0;
            sum += found / f64::from(rank);
        }
    }
    sum / f64::from(u32::try_from(relevant.len()).unwrap())
}

#[test]
fn bm25_ranks_the_npl_collection() {
    let Some(folder) = std::env::var_os("UP_DATA_DIR").map(PathBuf::from) else {
        println!("skipped: UP_DATA_DIR names no folder with the NPL collection");
        return;
    };
    let folder = folder.join("npl");
    let documents = texts(
        &folder.join("doc-text.trec"),
        ["<DOCNO>", "</DOCNO>"],
        ["</DOCNO>", "</DOC>"],
    );
    let queries = texts(
        &folder.join("query-text.trec"),
        ["<num>", "</num>"],
        ["<title>", "</title>"],
    );
    let relevant = judgements(&folder.join("qrels"));
    assert_eq!(
        (documents.len(), queries.len(), relevant.len()),
        (11_429, 93, 93)
    );

    let spec = Spec::sparse().sparse_embedder(Bm25::english());
    let docs = Index::memory(spec).unwrap().namespace("npl");
    let records = documents
        .into_iter()
        .map(|(id, text)| Record::text(id, text));
    docs.upsert_many(records).unwrap();
    let precisions = queries.iter().map(|(id, text)| {
        let query = docs.query(Vector::text(text.as_str())).top_k(1_000);
        let hits = query.weighting(Weighting::Idf).run().unwrap();
        let ranked: Vec<_> = hits.into_iter().map(|hit| hit.id).collect();
        average_precision(&ranked, &relevant[id])
    });
    let mean = precisions.sum::<f64>() / 93.0;
    println!("mean average precision on NPL: {mean:.4}");
    assert!(mean >= 0.285, "{mean}");
}
