//! Every kind of record: its bytes for ever, and what mutated bytes do.

use serde_json::json;
use upkv::storage::Random;

use super::*;
use crate::distance::metric::Metric;
use crate::record::to_metadata;
use crate::spec::Dense;

fn record(metadata: bool, data: Option<&str>) -> Prepared {
    let metadata = metadata.then(|| to_metadata(&json!({"a": 1})).unwrap());
    Prepared {
        id: "id".into(),
        dense: vec![1.0, -0.5],
        sparse: Some(SparseVector::new(vec![-1, 7], vec![2.0, 0.25]).unwrap()),
        metadata,
        data: data.map(Box::from),
    }
}

fn upsert(record: Prepared) -> Upsert {
    Upsert {
        namespace: 3,
        sequence: 258,
        keeps_vector: true,
        record,
    }
}

fn samples() -> Vec<Fact> {
    let dense = Some(Dense {
        dimensions: 384,
        metric: Metric::Cosine,
    });
    let bare = Prepared {
        dense: Vec::new(),
        ..record(false, Some(""))
    };
    vec![
        Fact::Spec(Shape {
            dense,
            sparse: true,
        }),
        Fact::Created {
            namespace: 3,
            name: "ab".into(),
        },
        Fact::Renamed {
            namespace: 3,
            name: "".into(),
        },
        Fact::Deleted { namespace: 3 },
        Fact::Reset { namespace: 3 },
        Fact::Upsert(upsert(record(true, Some("txt")))),
        Fact::Moved(upsert(record(false, None))),
        Fact::Upsert(upsert(bare)),
        Fact::Removed {
            namespace: 3,
            sequences: vec![1, 256],
        },
    ]
}

#[test]
fn every_kind_has_its_bytes_for_ever() {
    let head = "03000000 0201000000000000";
    let vectors = "02000000 0000803f 000000bf 02000000 ffffffff 07000000 00000040 0000803e";
    // An object with one member: a table of one offset, the key, an integer.
    let metadata = "07000000 0c 01 00 0161 0301";
    let expected = [
        (1, "8001 01 01".to_owned()),
        (2, "03000000 02000000 6162".to_owned()),
        (3, "03000000 00000000".to_owned()),
        (4, "03000000".to_owned()),
        (5, "03000000".to_owned()),
        (
            6,
            format!("{head} 1f 02000000 6964 {vectors} {metadata} 747874"),
        ),
        (7, format!("{head} 07 02000000 6964 {vectors}")),
        (
            6,
            format!("{head} 15 02000000 6964 02000000 ffffffff 07000000 00000040 0000803e"),
        ),
        (8, "03000000 0100000000000000 0001000000000000".to_owned()),
    ];
    for (fact, (kind, bytes)) in samples().iter().zip(expected) {
        let (found, body) = fact.encode();
        assert_eq!(
            (found, hex(&body)),
            (kind, bytes.replace(' ', "")),
            "{fact:?}"
        );
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn every_kind_survives_encoding() {
    for fact in samples() {
        let (kind, body) = fact.encode();
        assert_eq!(Fact::decode(kind, &body).unwrap(), fact);
        for len in 0..body.len() {
            if let Ok(shorter) = Fact::decode(kind, &body[..len]) {
                assert_ne!(shorter, fact);
            }
        }
    }
    let body = samples()[5].encode().1;
    assert_eq!(upsert_head(&body).unwrap(), (3, 258));
}

#[test]
fn mutated_records_never_panic_and_have_one_encoding() {
    let random = Random::seeded(3);
    let samples: Vec<_> = samples().iter().map(Fact::encode).collect();
    let mut read = 0;
    for round in 0..30_000 {
        let (kind, mut body) = samples[round % samples.len()].clone();
        for _ in 0..=random.below(3) {
            let at = usize::try_from(random.below(body.len() as u64)).unwrap();
            body[at] = random.next_u64().to_le_bytes()[0];
        }
        body.truncate(
            body.len()
                - usize::try_from(random.below(4))
                    .unwrap()
                    .min(body.len() - 1),
        );
        if let Ok(fact) = Fact::decode(kind, &body) {
            assert_eq!(fact.encode(), (kind, body));
            read += 1;
        }
    }
    assert!(read > 1000, "{read}");
}

#[test]
fn what_is_out_of_range_is_refused() {
    let (kind, good) = samples()[5].encode();
    // The sequence, the length of the id, a component of the dense vector.
    for (at, bytes) in [
        (4, vec![0, 0]),
        (13, vec![0]),
        (25, vec![0x80, 0x7f]),
        (12, vec![0xff]),
    ] {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(&bytes);
        assert!(Fact::decode(kind, &bad).is_err(), "at {at}");
    }
    assert!(Fact::decode(9, &good).is_err() && Fact::decode(0, &[]).is_err());
}
