//! Searches of small namespaces against a list that is scored and sorted: same hits, same scores, same order.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;
use upvector::{GraphOptions, Index, Metric, Record, Spec, Update};

const DIMENSIONS: usize = 3;
const METRICS: [Metric; 3] = [Metric::Cosine, Metric::Euclidean, Metric::DotProduct];

#[derive(Clone, Debug)]
enum Op {
    Upsert(u8, [i8; DIMENSIONS], u8),
    Relabel(u8, u8),
    Delete(u8),
    DeleteWhere(u8),
    Reset,
    Query([i8; DIMENSIONS], usize, Option<u8>),
}

fn op() -> impl Strategy<Value = Op> {
    let point = || prop::array::uniform3(-3_i8..=3);
    prop_oneof![
        8 => (0_u8..40, point(), 0_u8..4).prop_map(|(id, at, label)| Op::Upsert(id, at, label)),
        2 => (0_u8..40, 0_u8..4).prop_map(|(id, label)| Op::Relabel(id, label)),
        3 => (0_u8..40).prop_map(Op::Delete),
        1 => (0_u8..4).prop_map(Op::DeleteWhere),
        1 => Just(Op::Reset),
        8 => (point(), 1_usize..30, prop::option::of(0_u8..4)).prop_map(|(at, k, label)| Op::Query(at, k, label)),
    ]
}

fn floats(point: [i8; DIMENSIONS]) -> Vec<f32> {
    point.map(f32::from).to_vec()
}

/// The definition, in exact arithmetic as far as it goes.
fn score(metric: Metric, a: [i8; DIMENSIONS], b: [i8; DIMENSIONS]) -> f64 {
    let sum = |term: &dyn Fn(f64, f64) -> f64| -> f64 {
        a.iter()
            .zip(&b)
            .map(|(x, y)| term(f64::from(*x), f64::from(*y)))
            .sum()
    };
    let dot = sum(&|x, y| x * y);
    match metric {
        Metric::Euclidean => 1.0 / (1.0 + sum(&|x, y| (x - y) * (x - y))),
        Metric::DotProduct => f64::midpoint(1.0, dot),
        _ => {
            let norms = sum(&|x, _| x * x) * sum(&|_, y| y * y);
            let cosine = if norms > 0.0 { dot / norms.sqrt() } else { 0.0 };
            f64::midpoint(1.0, cosine)
        }
    }
}

/// Sequence, point and label by id.
#[derive(Default)]
struct Model {
    records: BTreeMap<u8, (u64, [i8; DIMENSIONS], u8)>,
    next: u64,
}

impl Model {
    fn expected(
        &self,
        metric: Metric,
        at: [i8; DIMENSIONS],
        k: usize,
        label: Option<u8>,
    ) -> Vec<(String, f32)> {
        let matching = self
            .records
            .iter()
            .filter(|(_, known)| label.is_none_or(|label| known.2 == label));
        #[expect(clippy::cast_possible_truncation, reason = "scores are rounded to f32")]
        let mut all: Vec<(f32, u64, u8)> = matching
            .map(|(id, known)| (score(metric, at, known.1) as f32, known.0, *id))
            .collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        all.truncate(k);
        all.into_iter()
            .map(|(score, _, id)| (id.to_string(), score))
            .collect()
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Upsert(id, at, label) => {
                let new = self.next;
                let entry = self.records.entry(*id).or_insert((new, *at, *label));
                self.next += u64::from(entry.0 == new);
                *entry = (entry.0, *at, *label);
            }
            Op::Relabel(id, label) => {
                if let Some(known) = self.records.get_mut(id) {
                    known.2 = *label;
                }
            }
            Op::Delete(id) => {
                self.records.remove(id);
            }
            Op::DeleteWhere(label) => self.records.retain(|_, known| known.2 != *label),
            Op::Reset => self.records.clear(),
            Op::Query(..) => {}
        }
    }
}

fn check(metric: Metric, scan_max: u32, exact: bool, ops: &[Op]) -> Result<(), TestCaseError> {
    let graph = GraphOptions {
        scan_max,
        max_degree: 8,
        ..GraphOptions::default()
    };
    let index = Index::memory(Spec::dense(DIMENSIONS, metric).graph(graph)).unwrap();
    let docs = index.namespace("n");
    let mut model = Model::default();
    for op in ops {
        let known = model.records.len();
        match op {
            Op::Upsert(id, at, label) => {
                let record =
                    Record::new(id.to_string(), floats(*at)).metadata(json!({"label": label}));
                docs.upsert(record).unwrap();
            }
            Op::Relabel(id, label) => {
                let update = Update::new(id.to_string()).metadata(json!({"label": label}));
                prop_assert_eq!(docs.update(update).unwrap(), model.records.contains_key(id));
            }
            Op::Delete(id) => {
                let gone = docs.delete([id.to_string()]).unwrap();
                prop_assert_eq!(gone, usize::from(model.records.contains_key(id)));
            }
            Op::DeleteWhere(label) => {
                let gone = docs.delete_where(&format!("label = {label}")).unwrap();
                let matching = model.records.values().filter(|known| known.2 == *label);
                prop_assert_eq!(gone, matching.count());
            }
            Op::Reset => docs.reset().unwrap(),
            Op::Query(at, k, label) => {
                let mut query = docs.query(floats(*at)).top_k(*k);
                if let Some(label) = label {
                    query = query.filter(format!("label = {label}"));
                }
                let hits = query.run().unwrap();
                let found: Vec<(String, f32)> =
                    hits.into_iter().map(|hit| (hit.id, hit.score)).collect();
                let expected = model.expected(metric, *at, *k, *label);
                if exact {
                    prop_assert_eq!(found, expected, "of {} records", known);
                } else {
                    prop_assert_eq!(found.len(), expected.len(), "of {} records", known);
                    prop_assert!(found.windows(2).all(|pair| pair[0].1 >= pair[1].1));
                }
            }
        }
        model.apply(op);
        prop_assert_eq!(docs.len(), model.records.len());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_scan_is_exact(metric in 0_usize..3, ops in vec(op(), 1..120)) {
        check(METRICS[metric], 4096, true, &ops)?;
    }

    #[test]
    fn a_graph_returns_as_many_as_match(metric in 0_usize..3, ops in vec(op(), 1..160)) {
        check(METRICS[metric], 4, false, &ops)?;
    }
}
