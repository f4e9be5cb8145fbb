//! How well BM25 ranks, alone and fused with dense vectors, on collections with relevance judgements. They are not part of the source: `UP_DATA_DIR` names the folder that
//! has them, and without it a test says that it did nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::print_stdout,
    reason = "a test that is skipped must be seen to be"
)]

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use upvector::{
    Bm25, Fusion, Index, Metric, Query, QueryMode, Record, SparseEmbedder, Spec, Vector, Weighting,
};

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

/// The collection: documents and queries with their numbers, and judgements.
struct Npl {
    folder: PathBuf,
    documents: Vec<(String, String)>,
    queries: Vec<(String, String)>,
    relevant: HashMap<String, HashSet<String>>,
}

impl Npl {
    /// Nothing, and a line that says so, if `UP_DATA_DIR` is not set.
    fn read() -> Option<Self> {
        let Some(folder) = std::env::var_os("UP_DATA_DIR").map(PathBuf::from) else {
            println!("skipped: UP_DATA_DIR names no folder with the NPL collection");
            return None;
        };
        let folder = folder.join("npl");
        let found = Self {
            documents: texts(
                &folder.join("doc-text.trec"),
                ["<DOCNO>", "</DOCNO>"],
                ["</DOCNO>", "</DOC>"],
            ),
            queries: texts(
                &folder.join("query-text.trec"),
                ["<num>", "</num>"],
                ["<title>", "</title>"],
            ),
            relevant: judgements(&folder.join("qrels")),
            folder,
        };
        let counts = (
            found.documents.len(),
            found.queries.len(),
            found.relevant.len(),
        );
        assert_eq!(counts, (11_429, 93, 93));
        Some(found)
    }

    /// The mean average precision over all queries, of the 1000 best documents of each.
    fn mean_average_precision(&self, mut query: impl FnMut(&str, &str) -> Query) -> f64 {
        let precisions = self.queries.iter().map(|(id, text)| {
            let query = query(id, text).top_k(1_000).weighting(Weighting::Idf);
            let ranked: Vec<_> = query.run().unwrap().into_iter().map(|hit| hit.id).collect();
            average_precision(&ranked, &self.relevant[id])
        });
        precisions.sum::<f64>() / 93.0
    }

    /// Sentence embeddings by the numbers of their texts; `what` is `docs` or `queries`.
    fn embeddings(&self, what: &str) -> HashMap<String, Vec<f32>> {
        let order = std::fs::read(self.folder.join("minilm-order.json")).unwrap();
        let order: serde_json::Value = serde_json::from_slice(&order).unwrap();
        let name = format!("{what}.minilm.f16.npy");
        let rows = half_precision_rows(&std::fs::read(self.folder.join(name)).unwrap());
        let numbers = order[what].as_array().unwrap();
        assert_eq!(rows.len(), numbers.len());
        let number = |value: &serde_json::Value| match value.as_str() {
            Some(text) => text.to_owned(),
            None => value.to_string(),
        };
        numbers.iter().map(number).zip(rows).collect()
    }
}

/// The rows of 384 numbers of a matrix in `NumPy`'s format, version 1.
fn half_precision_rows(file: &[u8]) -> Vec<Vec<f32>> {
    let header = usize::from(u16::from_le_bytes([file[8], file[9]]));
    let (numbers, rest) = file[10 + header..].as_chunks::<2>();
    assert!(rest.is_empty());
    let widen = |bytes: &[u8; 2]| {
        let bits = u16::from_le_bytes(*bytes);
        let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
        let fraction = f32::from(bits & 0x3ff) / 1024.0;
        match i32::from(bits >> 10 & 0x1f) {
            0 => sign * fraction * 2.0_f32.powi(-14),
            exponent => sign * (1.0 + fraction) * 2.0_f32.powi(exponent - 15),
        }
    };
    let rows = numbers.chunks_exact(384);
    rows.map(|row| row.iter().map(widen).collect()).collect()
}

#[test]
fn bm25_ranks_the_npl_collection() {
    let Some(npl) = Npl::read() else {
        return;
    };
    let spec = Spec::sparse().sparse_embedder(Bm25::english());
    let docs = Index::memory(spec).unwrap().namespace("npl");
    let records = npl.documents.iter();
    docs.upsert_many(records.map(|(id, text)| Record::text(id, text)))
        .unwrap();
    let mean = npl.mean_average_precision(|_, text| docs.query(Vector::text(text)));
    println!("mean average precision on NPL: {mean:.4}");
    assert!(mean >= 0.285, "{mean}");
}

#[test]
fn fusion_ranks_better_than_its_halves() {
    let Some(npl) = Npl::read() else {
        return;
    };
    let docs = Index::memory(Spec::hybrid(384, Metric::Cosine))
        .unwrap()
        .namespace("npl");
    let bm25 = Bm25::english();
    let dense = npl.embeddings("docs");
    let records = npl.documents.iter().map(|(id, text)| {
        let vector = Vector::hybrid(&*dense[id], bm25.embed_document(text));
        Record::new(id, vector)
    });
    docs.upsert_many(records).unwrap();
    let dense = npl.embeddings("queries");
    let query = |mode, fusion| {
        npl.mean_average_precision(|id, text| {
            let vector = Vector::hybrid(&*dense[id], bm25.embed_query(text));
            docs.query(vector).mode(mode).fusion(fusion)
        })
    };
    let by_rank = Fusion::ReciprocalRank;
    let halves = [QueryMode::Dense, QueryMode::Sparse].map(|mode| query(mode, by_rank));
    let fused = [by_rank, Fusion::DistributionBased].map(|fusion| query(QueryMode::Hybrid, fusion));
    println!("mean average precision on NPL: {halves:.4?} alone, {fused:.4?} fused");
    let better = halves[0].max(halves[1]);
    assert!(
        fused.iter().all(|fused| *fused > better),
        "{fused:?} {halves:?}"
    );
}
