//! Every form of metadata against the others, limits, and golden bytes.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::error::Error;

fn metadata(value: Value) -> Metadata {
    Metadata::try_from(value).unwrap()
}

/// Any JSON value, with numbers at the edges of each kind.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-5_i64..5).prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has no such number", |value| value.is_finite())
            .prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "[a-z]{250,260}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map("[a-d]{0,2}", inner, 0..8)
                .prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    })
}

fn objects() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map("[a-d]{0,2}", values(), 0..8)
        .prop_map(|members| members.into_iter().collect())
}

proptest! {
    #[test]
    fn an_object_survives_all_its_forms(object in objects()) {
        let metadata = Metadata::from(object.clone());
        prop_assert_eq!(metadata.to_value(), Value::Object(object));
        prop_assert_eq!(&Metadata::from_bytes(metadata.as_bytes()).unwrap(), &metadata);
        let text = serde_json::to_string(&metadata).unwrap();
        prop_assert_eq!(text.as_bytes(), metadata.to_json());
        prop_assert_eq!(&serde_json::from_str::<Metadata>(&text).unwrap(), &metadata);
        prop_assert_eq!(&Metadata::from_json(text.as_bytes()).unwrap(), &metadata);
    }

    /// A changed byte is refused, or it is the encoding of another object.
    #[test]
    fn bytes_have_one_reading_or_none(object in objects(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = Metadata::from(object).as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(other) = Metadata::from_bytes(&bytes) {
            let again = Metadata::from(other.to_map());
            prop_assert_eq!(again.as_bytes(), bytes);
        }
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = Metadata::from_bytes(&bytes);
        if let Some(value) = View::read(&bytes) {
            let path = Path::parse("a[0].b[#-1]").unwrap();
            let _ = value.find(path.segments()).map(View::to_json);
        }
    }

    #[test]
    fn every_member_and_element_is_found(object in objects()) {
        let metadata = Metadata::from(object.clone());
        for (key, value) in &object {
            let found = View::read(metadata.as_bytes()).unwrap();
            let segment = path::Segment::Key(key.as_str().into());
            let found = found.find(&[segment]).unwrap();
            prop_assert_eq!(&found.to_json(), value);
            for (index, element) in value.as_array().into_iter().flatten().enumerate() {
                let index = u32::try_from(index).unwrap();
                let back = u32::try_from(value.as_array().unwrap().len()).unwrap() - index;
                for segment in [path::Segment::Index(index), path::Segment::FromEnd(back)] {
                    prop_assert_eq!(&found.find(&[segment]).unwrap().to_json(), element);
                }
            }
        }
    }
}

#[test]
fn paths_lead_to_values_or_nowhere() {
    let metadata = metadata(json!({"a": {"b": [1, {"c": null}]}, "d": "text"}));
    assert_eq!(metadata.get("a.b[0]"), Some(json!(1)));
    assert_eq!(metadata.get("a.b[1].c"), Some(json!(null)));
    assert_eq!(metadata.get("a.b[#-1].c"), Some(json!(null)));
    for nowhere in [
        "a.b[2]", "a.b[#-3]", "a.b[#-0]", "a.c", "d.x", "d[0]", "a[0]", "", "a..b",
    ] {
        assert_eq!(metadata.get(nowhere), None, "{nowhere}");
    }
}

#[test]
fn tables_widen_with_what_they_hold() {
    for length in [10, 1_000, 100_000] {
        let text = "x".repeat(length);
        let metadata = metadata(json!({"a": [text, 7], "b": text}));
        assert_eq!(metadata.get("a[1]"), Some(json!(7)));
        assert_eq!(metadata.get("b"), Some(json!(text)));
        assert_eq!(Metadata::from_bytes(metadata.as_bytes()).unwrap(), metadata);
    }
}

#[test]
fn the_binary_form_is_pinned() {
    let metadata = metadata(json!({"b": [true, -2, 300], "a": 0.5}));
    let golden = [
        12, 2, 0, 11, // object of 2, offsets
        1, b'a', 5, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f, // "a": 0.5
        1, b'b', 8, 3, 0, 1, 3, 2, 4, 1, 3, 0xac, 2, // "b": [true, -2, 300]
    ];
    assert_eq!(metadata.as_bytes(), golden);
}

#[test]
fn the_patch_of_rfc_7396() {
    for (target, patch, result) in [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (
            json!({"a": "b"}),
            json!({"b": "c"}),
            json!({"a": "b", "b": "c"}),
        ),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (
            json!({"a": "b", "b": "c"}),
            json!({"a": null}),
            json!({"b": "c"}),
        ),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (
            json!({"a": {"b": "c"}}),
            json!({"a": {"b": "d", "c": null}}),
            json!({"a": {"b": "d"}}),
        ),
        (
            json!({"a": [{"b": "c"}]}),
            json!({"a": [1]}),
            json!({"a": [1]}),
        ),
        (
            json!({"e": null}),
            json!({"a": 1}),
            json!({"e": null, "a": 1}),
        ),
        (
            json!({}),
            json!({"a": {"bb": {"ccc": null}}}),
            json!({"a": {"bb": {}}}),
        ),
    ] {
        let patched = metadata(target).merge_patch(&metadata(patch));
        assert_eq!(patched.to_value(), result);
    }
}

#[test]
fn limits_are_named() {
    let error = Metadata::from_json(b"[1]").unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    let error = Metadata::try_from(json!(7)).unwrap_err();
    assert_eq!(error.to_string(), "metadata is not a JSON object: 7");

    let text = format!("{{\"a\":\"{}\"}}", "x".repeat(Metadata::JSON_BYTES_MAX - 8));
    assert_eq!(text.len(), Metadata::JSON_BYTES_MAX);
    let whole = Metadata::from_json(text.as_bytes()).unwrap();
    whole.check_limits(text.len()).unwrap();
    for error in [
        whole.check_limits(text.len() - 1).unwrap_err(),
        Metadata::from_json_within(text.as_bytes(), text.len() - 1).unwrap_err(),
    ] {
        assert_eq!(
            error.to_string(),
            "metadata bytes of 49152 is over the limit of 49151"
        );
    }

    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
        Metadata::from_json(format!("{{\"a\":{open}{close}}}").as_bytes())
    };
    let deepest = nested(64).unwrap();
    assert_eq!(Metadata::from_bytes(deepest.as_bytes()).unwrap(), deepest);
    assert_eq!(
        nested(65).unwrap_err().to_string(),
        "depth of metadata of 65 is over the limit of 64"
    );
}
