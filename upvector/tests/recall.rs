//! What a search finds of what an exact one does, on seeded data: recall@10 at or above a bound.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::HashSet;
use std::time::Duration;

use common::Clusters;
use serde_json::json;
use upvector::{Index, Metric, Namespace, Record, Spec};

const METRICS: [Metric; 3] = [Metric::Cosine, Metric::Euclidean, Metric::DotProduct];

fn settle(index: &Index) {
    while index
        .store()
        .maintain(Duration::from_secs(60))
        .unwrap()
        .more
    {}
}

/// Ids by descending similarity in double precision, as far as `keep` lets them through.
fn exact(
    metric: Metric,
    points: &[Vec<f32>],
    query: &[f32],
    keep: impl Fn(usize) -> bool,
) -> Vec<usize> {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(x, y)| f64::from(*x) * f64::from(*y))
            .sum()
    };
    let similarity = |point: &[f32]| match metric {
        Metric::Cosine => dot(query, point) / dot(point, point).sqrt(),
        Metric::DotProduct => dot(query, point),
        _ => 2.0 * dot(query, point) - dot(point, point),
    };
    let mut order: Vec<(f64, usize)> = (0..points.len())
        .filter(|n| keep(*n))
        .map(|n| (similarity(&points[n]), n))
        .collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    order.into_iter().map(|(_, n)| n).collect()
}

fn recall(metric: Metric, docs: &Namespace, points: &[Vec<f32>], queries: &[Vec<f32>]) -> f64 {
    let mut hits = 0;
    for query in queries {
        let wanted: HashSet<String> = exact(metric, points, query, |_| true)[..10]
            .iter()
            .map(ToString::to_string)
            .collect();
        let found = docs.query(query).run().unwrap();
        assert_eq!(found.len(), 10);
        hits += found.iter().filter(|hit| wanted.contains(&hit.id)).count();
    }
    f64::from(u32::try_from(hits).unwrap())
        / (10.0 * f64::from(u32::try_from(queries.len()).unwrap()))
}

fn records(points: &[Vec<f32>]) -> impl Iterator<Item = Record> {
    points
        .iter()
        .enumerate()
        .map(|(n, point)| Record::new(n.to_string(), point))
}

#[test]
fn a_graph_finds_what_a_scan_finds() {
    for metric in METRICS {
        let clusters = Clusters::new(11, 48, 90);
        let points: Vec<_> = (0..8000).map(|_| clusters.next().0).collect();
        let queries: Vec<_> = (0..100).map(|_| clusters.next().0).collect();
        let index = Index::memory(Spec::dense(48, metric)).unwrap();
        let docs = index.namespace("");
        docs.upsert_many(records(&points)).unwrap();
        settle(&index);
        let info = index.info().namespaces[""];
        assert_eq!((info.graph_nodes, info.unindexed), (8000, 0));
        let found = recall(metric, &docs, &points, &queries);
        assert!(found >= 0.95, "{metric:?} {found}");
    }
}
