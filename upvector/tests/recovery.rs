//! What opening finds: the graph as it was, records as they were given, and damage by its name.
#![cfg(feature = "test-util")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::vector;
use serde_json::json;
use upkv::storage::Random;
use upkv::storage::vfs::MemVfs;
use upkv::{Durability, Store};
use upvector::{Error, GraphOptions, Index, Metric, NamespaceInfo, Record, Spec};

const DIMENSIONS: usize = 16;

fn store(disk: &MemVfs) -> Store {
    Store::builder(Path::new("/sim/store"))
        .vfs(Arc::new(disk.clone()))
        .segment_bytes(16 * 1024)
        .durability(Durability::Os)
        .background(false)
        .open()
        .unwrap()
}

fn spec() -> Spec {
    let graph = GraphOptions {
        max_degree: 8,
        scan_max: 50,
        ..GraphOptions::default()
    };
    Spec::dense(DIMENSIONS, Metric::Cosine).graph(graph)
}

fn open(store: &Store) -> Index {
    let index = Index::mount(store, "v", spec()).unwrap();
    index.audit().unwrap();
    index
}

fn fill(index: &Index, from: u32, to: u32) {
    let random = Random::seeded(from.into());
    let record = |n: u32| {
        let record = Record::new(format!("id-{n}"), vector(&random, DIMENSIONS));
        record.metadata(json!({"n": n})).data(format!("text {n}"))
    };
    let records: Vec<Record> = (from..to).map(record).collect();
    // Small commits, so that they spread over many segments.
    for some in records.chunks(10) {
        index.namespace("a").upsert_many(some.to_vec()).unwrap();
    }
}

fn settle(index: &Index) {
    while index.store().maintain(Duration::from_mins(1)).unwrap().more {}
}

fn numbers(index: &Index) -> NamespaceInfo {
    index.info().namespaces["a"]
}

/// Answers to the same questions.
fn answers(index: &Index) -> Vec<Vec<(String, u32)>> {
    let random = Random::seeded(99);
    let answer = |_| {
        let hits = index
            .namespace("a")
            .query(vector(&random, DIMENSIONS))
            .run()
            .unwrap();
        hits.into_iter()
            .map(|hit| (hit.id, hit.score.to_bits()))
            .collect()
    };
    (0..40).map(answer).collect()
}

#[test]
fn a_graph_is_reopened_and_not_built_again() {
    let disk = MemVfs::new();
    let (before, records, known) = {
        let store = store(&disk);
        let index = open(&store);
        fill(&index, 0, 600);
        settle(&index);
        let gone: Vec<String> = (0..60).map(|n| format!("id-{}", 7 * n)).collect();
        assert_eq!(index.namespace("a").delete(&gone).unwrap(), 60);
        store.checkpoint().unwrap();
        let records = index.namespace("a").range(0, 1000).unwrap();
        let before = (answers(&index), records, numbers(&index));
        store.close().unwrap();
        before
    };
    let store = store(&disk);
    let index = open(&store);
    let after = numbers(&index);
    assert_eq!((after.graph_nodes, after.unindexed), (known.graph_nodes, 0));
    assert!(
        after.dead_nodes == known.dead_nodes && after.dead_nodes > 0,
        "{after:?}"
    );
    assert_eq!(index.namespace("a").range(0, 1000).unwrap(), records);
    assert_eq!(answers(&index), before);
}

#[test]
fn the_log_alone_is_enough() {
    let disk = MemVfs::new();
    let store_before = store(&disk);
    let index = open(&store_before);
    fill(&index, 0, 300);
    // A copy while it is open: what the end of the process leaves.
    let left = disk.copy();
    let reopened = store(&left);
    let again = open(&reopened);
    let expected = index.namespace("a").range(0, 1000).unwrap();
    assert_eq!(again.namespace("a").range(0, 1000).unwrap(), expected);
    assert_eq!(numbers(&again).unindexed, 300);
    settle(&again);
    assert_eq!(
        (numbers(&again).unindexed, numbers(&again).graph_nodes),
        (0, 300)
    );
}

#[test]
fn what_came_after_the_checkpoint_is_found_too() {
    let disk = MemVfs::new();
    let store_before = store(&disk);
    let index = open(&store_before);
    fill(&index, 0, 300);
    settle(&index);
    store_before.checkpoint().unwrap();
    fill(&index, 250, 350);
    let docs = index.namespace("a");
    docs.delete((0..10).map(|n| format!("id-{n}"))).unwrap();
    let update = upvector::Update::new("id-100").metadata(json!({"changed": true}));
    assert!(docs.update(update).unwrap());
    let left = disk.copy();
    let reopened = store(&left);
    let again = open(&reopened);
    let numbers = numbers(&again);
    // 50 replaced, 50 new: fresh. What they replaced, and what was deleted, are dead nodes.
    assert_eq!(
        (numbers.graph_nodes, numbers.dead_nodes, numbers.unindexed),
        (300, 60, 100)
    );
    let expected = docs.range(0, 1000).unwrap();
    assert_eq!(again.namespace("a").range(0, 1000).unwrap(), expected);
    let hits = again
        .namespace("a")
        .query(vec![1.0; DIMENSIONS])
        .filter("changed = true")
        .run()
        .unwrap();
    assert_eq!(hits[0].id, "id-100");
}

#[test]
fn dead_nodes_whose_records_were_collected_are_taken_out() {
    let disk = MemVfs::new();
    let store_before = store(&disk);
    let index = open(&store_before);
    fill(&index, 0, 400);
    settle(&index);
    // Twice: the older of two checkpoints that are kept decides what may be collected.
    store_before.checkpoint().unwrap();
    fill(&index, 400, 420);
    settle(&index);
    store_before.checkpoint().unwrap();
    let stats = store_before.stats();
    // So few that the graph is not consolidated, but whole segments are without a live record.
    let docs = index.namespace("a");
    docs.delete((100..170).map(|n| format!("id-{n}"))).unwrap();
    settle(&index);
    let removed = store_before.stats().segments_removed - stats.segments_removed;
    assert!(removed > 0, "no segment was collected");
    let left = disk.copy();
    let reopened = store(&left);
    let again = open(&reopened);
    assert_eq!(again.namespace("a").len(), 350);
    let numbers = numbers(&again);
    assert!(
        numbers.graph_nodes - numbers.dead_nodes == 350 && numbers.graph_nodes < 420,
        "{numbers:?}"
    );
    let page = again.namespace("a").range(0, 1000).unwrap();
    for record in page.records {
        let own = record.vector.as_dense().unwrap();
        let hits = again.namespace("a").query(own).top_k(1).run().unwrap();
        assert_eq!(
            (hits[0].id.as_str(), hits[0].score),
            (record.id.as_str(), 1.0)
        );
    }
}

#[test]
fn a_damaged_record_fails_the_opening_by_its_file_and_offset() {
    let disk = MemVfs::new();
    {
        let store = store(&disk);
        let index = open(&store);
        fill(&index, 0, 200);
        store.checkpoint().unwrap();
        store.close().unwrap();
    }
    let needle = b"text 5";
    let (path, mut bytes, at) = disk
        .contents()
        .into_iter()
        .find_map(|(path, bytes)| {
            let at = bytes
                .windows(needle.len())
                .position(|window| window == needle)?;
            Some((path, bytes, at))
        })
        .unwrap();
    bytes[at] ^= 1;
    disk.put(&path, bytes);
    let opened = Store::builder(Path::new("/sim/store"))
        .vfs(Arc::new(disk.clone()))
        .background(false)
        .open()
        .map_err(Error::from)
        .and_then(|store| Index::mount(&store, "v", spec()));
    let text = match opened {
        Err(Error::Storage(error)) if error.is_corrupt() => error.to_string(),
        other => panic!("{other:?}"),
    };
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(text.contains(name) && text.contains("at byte"), "{text}");
}
