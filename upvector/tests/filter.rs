//! Filters at the front door: every operator on queries and deletes of all kinds of index, and the promise that a filter never costs a
//! hit.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cmp::Ordering;

use proptest::prelude::*;
use serde_json::{Value, json};
use upvector::filter::Filter;
use upvector::{
    Error, Index, Metadata, Metric, Namespace, Record, SparseVector, Spec, Update, Vector,
};

fn cities() -> [(&'static str, Option<Value>); 5] {
    [
        (
            "istanbul",
            Some(json!({
                "country": "Turkiye", "population": 15_460_000, "capital": false,
                "economy": {"sectors": ["tourism", "textiles"], "rank": 1},
            })),
        ),
        (
            "ankara",
            Some(json!({
                "country": "Turkiye", "population": 5_700_000, "capital": true,
                "economy": {"sectors": ["government"], "rank": null},
            })),
        ),
        (
            "tokyo",
            Some(json!({
                "country": "Japan", "population": 13_960_000.0, "capital": 1,
                "economy": {"sectors": ["finance", "tourism", 7]},
            })),
        ),
        (
            "atlantis",
            Some(json!({"population": "unknown", "capital": null})),
        ),
        ("nowhere", None),
    ]
}

fn sparse() -> SparseVector {
    SparseVector::new([1], [1.0]).unwrap()
}

/// A namespace of each kind of index, with the cities in it.
fn namespaces() -> Vec<(Namespace, Vector)> {
    let kinds = [
        (Spec::dense(2, Metric::Cosine), Vector::dense([1.0, 1.0])),
        (Spec::sparse(), Vector::sparse(sparse())),
        (
            Spec::hybrid(2, Metric::Euclidean),
            Vector::hybrid([1.0, 1.0], sparse()),
        ),
    ];
    let fill = |(spec, vector): (Spec, Vector)| {
        let docs = Index::memory(spec).unwrap().namespace("cities");
        for (id, metadata) in cities() {
            let record = Record::new(id, vector.clone());
            let record = match metadata {
                Some(metadata) => record.metadata(metadata),
                None => record,
            };
            docs.upsert(record).unwrap();
        }
        (docs, vector)
    };
    kinds.into_iter().map(fill).collect()
}

fn ids(docs: &Namespace, vector: &Vector, filter: &str) -> Vec<String> {
    let hits = docs.query(vector.clone()).filter(filter).run().unwrap();
    let mut ids: Vec<_> = hits.into_iter().map(|hit| hit.id).collect();
    ids.sort();
    ids
}

#[test]
fn every_operator_selects_on_every_kind_of_index() {
    let cases: [(&str, &[&str]); 19] = [
        ("", &["ankara", "atlantis", "istanbul", "nowhere", "tokyo"]),
        ("country = 'Turkiye'", &["ankara", "istanbul"]),
        ("country != 'Turkiye'", &["tokyo"]),
        ("population = 13960000", &["tokyo"]),
        ("population > 5700000", &["istanbul", "tokyo"]),
        ("population >= 5.7e6", &["ankara", "istanbul", "tokyo"]),
        ("population < 1e7 OR population <= 5700000", &["ankara"]),
        ("capital = 1", &["ankara", "tokyo"]),
        ("capital = true", &["ankara"]),
        ("capital != true", &["atlantis", "istanbul", "tokyo"]),
        ("country GLOB '?[au]*[^a-x]*'", &["ankara", "istanbul"]),
        ("country NOT GLOB 'J*'", &["ankara", "istanbul"]),
        ("country IN ('Japan', 'France')", &["tokyo"]),
        (
            "population NOT IN (5700000, 'x')",
            &["atlantis", "istanbul", "tokyo"],
        ),
        ("economy.sectors CONTAINS 'tourism'", &["istanbul", "tokyo"]),
        ("economy.sectors NOT CONTAINS 'tourism'", &["ankara"]),
        (
            "economy.sectors[#-1] = 7 or economy.sectors[0] = 'government'",
            &["ankara", "tokyo"],
        ),
        ("HAS FIELD economy.rank", &["ankara", "istanbul"]),
        ("has not field country", &["atlantis", "nowhere"]),
    ];
    for (docs, vector) in namespaces() {
        for (filter, expected) in cases {
            assert_eq!(ids(&docs, &vector, filter), expected, "{filter}");
        }
    }
}

#[test]
fn a_filter_that_is_not_one_changes_nothing() {
    for (docs, vector) in namespaces() {
        let error = docs.query(vector).filter("population >").run().unwrap_err();
        let Error::Filter(error) = error else {
            panic!("{error}");
        };
        assert_eq!(error.position, 12);
        let error = docs.delete_where("population = 1 AND").unwrap_err();
        assert!(matches!(error, Error::Filter(_)), "{error}");
        assert_eq!(docs.len(), 5);
    }
}

#[test]
fn deletes_take_filters_and_filters_see_updates() {
    for (docs, vector) in namespaces() {
        let patch = json!({"capital": null, "economy": {"rank": 2}});
        assert!(
            docs.update(Update::new("tokyo").merge_metadata(patch))
                .unwrap()
        );
        let renamed = json!({"country": "Galatia"});
        assert!(
            docs.update(Update::new("ankara").metadata(renamed))
                .unwrap()
        );
        assert_eq!(
            ids(&docs, &vector, "HAS NOT FIELD capital"),
            ["ankara", "nowhere", "tokyo"]
        );
        assert_eq!(
            ids(&docs, &vector, "economy.rank IN (1, 2)"),
            ["istanbul", "tokyo"]
        );
        assert_eq!(
            docs.delete_where("country IN ('Galatia', 'Japan')")
                .unwrap(),
            2
        );
        assert_eq!(docs.delete_where("country = 'Japan'").unwrap(), 0);
        assert_eq!(ids(&docs, &vector, ""), ["atlantis", "istanbul", "nowhere"]);
    }
}

/// If as many records as asked for match, as many are returned, however few of all they are.
#[test]
fn no_filter_costs_a_hit() {
    for is_dense in [true, false] {
        let spec = if is_dense {
            Spec::dense(4, Metric::Euclidean)
        } else {
            Spec::sparse()
        };
        let docs = Index::memory(spec).unwrap().namespace("");
        let vector = |n: u16| -> Vector {
            let value = f32::from(n % 97) + 1.0;
            if is_dense {
                Vector::dense([value, f32::from(n / 97), 1.0, f32::from(n % 13)])
            } else {
                let indices = [i32::from(n % 7), 7 + i32::from(n % 11)];
                Vector::sparse(SparseVector::new(indices, [value, 1.0]).unwrap())
            }
        };
        let record = |n: u16| {
            let metadata = json!({"n": n, "half": n % 2, "rare": n % 500});
            Record::new(n.to_string(), vector(n)).metadata(metadata)
        };
        docs.upsert_many((0..2_000).map(record)).unwrap();
        let query = if is_dense {
            Vector::dense([50.0, 3.0, 1.0, 2.0])
        } else {
            let all: Vec<_> = (0..18).collect();
            Vector::sparse(SparseVector::new(all, vec![1.0; 18]).unwrap())
        };
        for (filter, matching) in [
            ("half = 0", 1_000),
            ("rare = 123", 4),
            ("rare IN (1, 2, 3, 4, 5)", 20),
            ("n < 30", 30),
            ("n >= 2000", 0),
        ] {
            let hits = docs
                .query(query.clone())
                .filter(filter)
                .top_k(25)
                .run()
                .unwrap();
            assert_eq!(hits.len(), matching.min(25), "{filter}");
        }
    }
}

/// Values on which equality, order and absence differ.
fn scalars() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-2..3_i64).prop_map(Value::from),
        (-2..3_i32).prop_map(|half| json!(f64::from(half) / 2.0)),
        any::<bool>().prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from),
        Just(Value::Null),
    ]
}

fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{text}'"),
        Value::Null => "'null'".to_owned(),
        other => other.to_string(),
    }
}

/// The table of operators, once more, on JSON as `serde_json` has it.
fn holds(value: Option<&Value>, operator: &str, literal: &Value) -> bool {
    let Some(value) = value else {
        return false;
    };
    let equal = match (value, literal) {
        (Value::Bool(value), Value::Number(number)) => {
            number.as_f64() == Some(f64::from(u8::from(*value)))
        }
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Null, _) => false,
        (left, right) => left == right,
    };
    let order = match (value, literal) {
        (Value::Number(left), Value::Number(right)) => left.as_f64().partial_cmp(&right.as_f64()),
        _ => None,
    };
    match operator {
        "=" => equal,
        "!=" => !equal,
        "<" => order.is_some_and(Ordering::is_lt),
        "<=" => order.is_some_and(Ordering::is_le),
        ">" => order.is_some_and(Ordering::is_gt),
        _ => order.is_some_and(Ordering::is_ge),
    }
}

proptest! {
    #[test]
    fn comparisons_follow_their_table(
        value in prop::option::of(scalars()),
        other in prop::option::of(scalars()),
        operators in prop::array::uniform2(prop::sample::select(vec!["=", "!=", "<", "<=", ">", ">="])),
        literals in prop::array::uniform2(scalars()),
        conjunction: bool,
    ) {
        let literals = literals.map(|one| if one.is_null() { json!("null") } else { one });
        let join = if conjunction { "AND" } else { "OR" };
        let [first, second] = &operators;
        let text = format!("a {first} {} {join} b.c[0] {second} {}", literal(&literals[0]), literal(&literals[1]));
        let mut metadata = json!({"b": {"c": []}});
        if let Some(value) = &value {
            metadata["a"] = value.clone();
        }
        if let Some(other) = &other {
            metadata["b"]["c"] = json!([other]);
        }
        let metadata = Metadata::try_from(metadata).unwrap();
        let (left, right) = (
            holds(value.as_ref(), first, &literals[0]),
            holds(other.as_ref(), second, &literals[1]),
        );
        let expected = if conjunction { left && right } else { left || right };
        prop_assert_eq!(Filter::parse(&text).unwrap().matches(Some(&metadata)), expected, "{}", text);
    }
}
