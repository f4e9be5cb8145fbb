//! What a search finds of what an exact one does, on seeded data: recall@10 at or above a bound.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use common::Clusters;
use serde_json::json;
use upkv::storage::Random;
use upvector::{GraphOptions, Index, Metric, Namespace, Record, Spec};

const METRICS: [Metric; 3] = [Metric::Cosine, Metric::Euclidean, Metric::DotProduct];

fn settle(index: &Index) {
    while index.store().maintain(Duration::from_mins(1)).unwrap().more {}
}

/// All points by descending similarity in double precision.
fn exact(metric: Metric, points: &[Vec<f32>], query: &[f32]) -> Vec<usize> {
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
        .map(|n| (similarity(&points[n]), n))
        .collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    order.into_iter().map(|(_, n)| n).collect()
}

fn recall(metric: Metric, docs: &Namespace, points: &[Vec<f32>], queries: &[Vec<f32>]) -> f64 {
    let mut hits = 0;
    for query in queries {
        let wanted: HashSet<String> = exact(metric, points, query)[..10]
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

#[test]
fn replacing_records_again_and_again_keeps_the_recall() {
    let clusters = Clusters::new(5, 32, 60);
    let mut points: Vec<_> = (0..3000).map(|_| clusters.next().0).collect();
    let graph = GraphOptions {
        scan_max: 500,
        ..GraphOptions::default()
    };
    let fresh = |points: &[Vec<f32>]| {
        let index = Index::memory(Spec::dense(32, Metric::Euclidean).graph(graph)).unwrap();
        index.namespace("").upsert_many(records(points)).unwrap();
        settle(&index);
        index
    };
    let index = fresh(&points);
    let docs = index.namespace("");
    for cycle in 0..20 {
        for n in (0..points.len()).filter(|n| n % 10 == cycle % 10) {
            points[n] = clusters.next().0;
            docs.upsert(Record::new(n.to_string(), &points[n])).unwrap();
        }
        settle(&index);
        let info = index.info().namespaces[""];
        assert!(5 * info.dead_nodes <= info.graph_nodes, "{info:?}");
    }
    let queries: Vec<_> = (0..200).map(|_| clusters.next().0).collect();
    let churned = recall(Metric::Euclidean, &docs, &points, &queries);
    let rebuilt = recall(
        Metric::Euclidean,
        &fresh(&points).namespace(""),
        &points,
        &queries,
    );
    assert!(
        churned >= rebuilt - 0.01,
        "{churned} after 20 cycles, {rebuilt} built anew"
    );
}

/// Filters that let through about one in so many, at random or as the clusters lie.
#[test]
fn a_filter_loses_no_match_at_any_rate() {
    let clusters = Clusters::new(7, 24, 40);
    let random = Random::seeded(8);
    let drawn: Vec<_> = (0..20_000).map(|_| clusters.next()).collect();
    let points: Vec<Vec<f32>> = drawn.iter().map(|(point, _)| point.clone()).collect();
    let labels: Vec<u64> = points.iter().map(|_| random.below(10_000)).collect();
    let graph = GraphOptions {
        scan_max: 1000,
        ..GraphOptions::default()
    };
    let index = Index::memory(Spec::dense(24, Metric::Cosine).graph(graph)).unwrap();
    let docs = index.namespace("");
    let with = |(n, record): (usize, Record)| {
        record.metadata(json!({"label": labels[n], "cluster": drawn[n].1}))
    };
    docs.upsert_many(records(&points).enumerate().map(with))
        .unwrap();
    settle(&index);
    let mut recalls: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (query, centre) in (0..6).map(|_| clusters.next()) {
        let mut cases: Vec<(String, Vec<bool>)> = [1, 10, 100, 1000, 3000, 6000, 10_000]
            .iter()
            .map(|most| {
                (
                    format!("label < {most}"),
                    labels.iter().map(|l| l < most).collect(),
                )
            })
            .collect();
        let of = |test: &dyn Fn(usize) -> bool| drawn.iter().map(|(_, c)| test(*c)).collect();
        cases.push((format!("cluster = {centre}"), of(&|c| c == centre)));
        cases.push((format!("cluster != {centre}"), of(&|c| c != centre)));
        cases.push(("cluster < 20".to_owned(), of(&|c| c < 20)));
        let order = exact(Metric::Cosine, &points, &query);
        for (filter, keep) in cases {
            let wanted: Vec<usize> = order.iter().copied().filter(|n| keep[*n]).collect();
            let hits = docs.query(&query).filter(&filter).run().unwrap();
            assert_eq!(hits.len(), wanted.len().min(10), "{filter}");
            assert!(
                hits.iter()
                    .all(|hit| keep[hit.id.parse::<usize>().unwrap()]),
                "{filter}"
            );
            let near: HashSet<String> = wanted.iter().take(10).map(ToString::to_string).collect();
            let found = hits.iter().filter(|hit| near.contains(&hit.id)).count();
            let kind = filter.replace(&centre.to_string(), "the query's");
            let sum = recalls.entry(kind).or_default();
            *sum = (sum.0 + found, sum.1 + near.len());
        }
    }
    for (filter, (found, wanted)) in recalls {
        assert!(100 * found >= 95 * wanted, "{filter}: {found} of {wanted}");
    }
}
