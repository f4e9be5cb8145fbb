//! Writers, a deleter, searchers and maintenance at once: nobody sees what is not there, or misses what is.
#![cfg(feature = "test-util")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::vector;
use serde_json::json;
use upkv::storage::Random;
use upvector::{GraphOptions, Index, Metric, Record, Spec, Update};

const DIMENSIONS: usize = 12;
const WRITERS: u32 = 2;
const EACH: u32 = 600;

fn index() -> Index {
    let graph = GraphOptions {
        scan_max: 64,
        max_degree: 12,
        build_list: 30,
        ..GraphOptions::default()
    };
    Index::memory(Spec::dense(DIMENSIONS, Metric::Euclidean).graph(graph)).unwrap()
}

#[test]
fn readers_writers_and_maintenance_agree() {
    let index = index();
    let docs = index.namespace("n");
    let (running, deleted) = (AtomicUsize::new(WRITERS as usize), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (docs, running, deleted) = (&docs, &running, &deleted);
            scope.spawn(move || {
                let random = Random::seeded(writer.into());
                for n in 0..EACH {
                    let id = format!("{writer}-{n}");
                    let own = vector(&random, DIMENSIONS);
                    docs.upsert(Record::new(&id, &own).metadata(json!({"writer": writer})))
                        .unwrap();
                    assert!(docs.fetch([&id]).unwrap()[0].is_some());
                    // Its own vector again, under a filter that few records pass: found exactly.
                    let hits = docs
                        .query(&own)
                        .filter(format!("writer = {writer}"))
                        .top_k(1)
                        .run()
                        .unwrap();
                    assert_eq!((hits[0].id.as_str(), hits[0].score), (id.as_str(), 1.0));
                    if n % 3 == 0 {
                        assert_eq!(docs.delete([&id]).unwrap(), 1);
                        deleted.fetch_add(1, Ordering::SeqCst);
                        let hits = docs.query(&own).top_k(5).run().unwrap();
                        assert!(hits.iter().all(|hit| hit.id != id), "{id} is deleted");
                    } else if n % 5 == 0 {
                        assert!(
                            docs.update(Update::new(&id).merge_metadata(json!({"n": n})))
                                .unwrap()
                        );
                    } else if n % 7 == 0 {
                        docs.upsert(
                            Record::new(&id, vector(&random, DIMENSIONS))
                                .metadata(json!({"writer": writer})),
                        )
                        .unwrap();
                    }
                }
                running.fetch_sub(1, Ordering::SeqCst);
            });
        }
        let (docs, running) = (&docs, &running);
        scope.spawn(move || {
            let random = Random::seeded(77);
            while running.load(Ordering::SeqCst) > 0 {
                let hits = docs
                    .query(vector(&random, DIMENSIONS))
                    .top_k(20)
                    .include_metadata()
                    .run()
                    .unwrap();
                assert!(hits.windows(2).all(|pair| pair[0].score >= pair[1].score));
                assert!(hits.iter().all(|hit| hit.metadata.is_some()));
            }
        });
        let store = index.store().clone();
        scope.spawn(move || {
            while running.load(Ordering::SeqCst) > 0 {
                store.maintain(Duration::from_millis(5)).unwrap();
            }
        });
    });
    index.audit().unwrap();
    assert_eq!(docs.len(), (WRITERS * EACH) as usize - deleted.into_inner());
    assert!(index.info().namespaces["n"].graph_nodes > 0);
}

#[test]
fn updates_of_one_record_are_all_made() {
    let index = index();
    let docs = index.namespace("n");
    docs.upsert(Record::new("a", vec![0.0; DIMENSIONS]).metadata(json!({})))
        .unwrap();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let docs = &docs;
            scope.spawn(move || {
                for n in 0..50 {
                    let patch = json!({format!("{thread}-{n}"): n});
                    assert!(docs.update(Update::new("a").merge_metadata(patch)).unwrap());
                }
            });
        }
    });
    let record = docs.fetch(["a"]).unwrap().remove(0).unwrap();
    assert_eq!(
        record
            .metadata
            .unwrap()
            .to_value()
            .as_object()
            .unwrap()
            .len(),
        150
    );
}

#[test]
fn namespaces_come_and_go_under_their_readers() {
    let index = index();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (one, done) = (&index, &done);
        scope.spawn(move || {
            for n in 0..200_u16 {
                let name = format!("n{}", n % 5);
                let docs = one.namespace(&name);
                docs.upsert(Record::new("a", vec![f32::from(n); DIMENSIONS]))
                    .unwrap();
                match n % 4 {
                    0 => assert!(one.delete_namespace(&name).unwrap()),
                    1 => drop(one.rename_namespace(&name, "other", true).unwrap()),
                    2 => docs.reset().unwrap(),
                    _ => drop(one.reset_all().unwrap()),
                }
            }
            done.store(true, Ordering::SeqCst);
        });
        scope.spawn(move || {
            while !done.load(Ordering::SeqCst) {
                for name in one.list_namespaces() {
                    let docs = one.namespace(&name);
                    let hits = docs.query(vec![1.0; DIMENSIONS]).run().unwrap();
                    assert!(hits.len() <= 1 && docs.range(0, 10).unwrap().records.len() <= 1);
                }
            }
        });
    });
    index.audit().unwrap();
}
