//! Any sequence of operations on a small index with a graph: the parts agree afterwards, and searches find every record.
#![no_main]

use upvector::{GraphOptions, Index, Metric, Record, Spec};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let graph = GraphOptions {
        max_degree: 4,
        build_list: 10,
        scan_max: 3,
        ..GraphOptions::default()
    };
    let index = Index::memory(Spec::dense(2, Metric::Euclidean).graph(graph)).expect("in memory");
    let docs = index.namespace("n");
    for op in bytes.chunks_exact(4) {
        let id = (op[1] % 64).to_string();
        let done = match op[0] % 8 {
            0..=3 => docs.upsert(Record::new(id, [f32::from(op[2]), f32::from(op[3])])).map(drop),
            4 | 5 => docs.delete([id]).map(drop),
            6 => docs.delete_prefix(&id).map(drop),
            _ => index.store().maintain(std::time::Duration::MAX).map(drop).map_err(Into::into),
        };
        done.expect("memory does not fail");
    }
    index.audit().expect("the parts agree");
    let hits = docs.query([1.0, 1.0]).top_k(1000).run().expect("memory does not fail");
    assert_eq!(hits.len(), docs.len());
});
