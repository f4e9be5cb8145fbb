//! Golden bytes and damaged bytes of the records.

use std::fmt::Write as _;

use bytes::Bytes;
use upkv::storage::{Random, Timestamp};

use super::record::{Body, Fact, Publish};
use crate::backoff::Backoff;
use crate::message::MessageId;
use crate::options::QueueOptions;

fn message() -> Publish {
    Publish {
        lane: 1,
        id: MessageId {
            number: 2,
            epoch: 3,
        },
        published: Timestamp::from_millis(4),
        not_before: Timestamp::from_millis(5),
        retries: Some(6),
        backoff: Some(Backoff {
            base_ms: 7,
            cap_ms: 8,
            doubles: true,
        }),
        priority: 4,
        deduplication: Some((b"key".to_vec(), Timestamp::from_millis(9))),
        content: Body {
            headers: vec![("n".into(), "v".into())],
            body: Bytes::from_static(b"body"),
        },
    }
}

fn samples() -> Vec<Fact> {
    let at = Timestamp::from_millis(1_000);
    vec![
        Fact::Publish(Box::new(message())),
        Fact::Move(Box::new(message())),
        Fact::Deliver {
            until: at,
            numbers: vec![1, 300],
        },
        Fact::Ack { numbers: vec![7] },
        Fact::Retry { number: 7, at },
        Fact::Release { number: 7 },
        Fact::Extend {
            number: 7,
            until: at,
        },
        Fact::Bury {
            number: 7,
            at,
            reason: "why".into(),
        },
        Fact::Redrive { numbers: vec![7] },
        Fact::Remove { numbers: vec![7] },
        Fact::Lane {
            id: 0,
            name: "emails".into(),
            paused: true,
            options: QueueOptions::new(),
        },
    ]
}

fn bytes_of(fact: &Fact) -> Vec<u8> {
    let (head, body) = fact.encode();
    [&head[..], &body[..]].concat()
}

#[test]
fn every_record_survives_encoding() {
    for fact in samples() {
        assert_eq!(Fact::decode(fact.kind(), &bytes_of(&fact)), Ok(fact));
    }
}

#[test]
fn the_bytes_of_a_message_are_these() {
    let bytes = bytes_of(&Fact::Publish(Box::new(message())));
    let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    assert_eq!(
        hex,
        concat!(
            "01000000",
            "0200000000000000",
            "0300000000000000",
            "0400000000000000",
            "0500000000000000",
            "04",
            "07",
            "06000000",
            "01",
            "0700000000000000",
            "0800000000000000",
            "03000000",
            "6b6579",
            "0900000000000000",
            "0100",
            "01000000",
            "6e",
            "01000000",
            "76",
            "626f6479",
        )
    );
}

#[test]
fn damaged_records_never_panic_and_never_have_two_encodings() {
    let random = Random::seeded(3);
    for fact in samples() {
        let intact = bytes_of(&fact);
        for _ in 0..2_000 {
            let mut bytes = intact.clone();
            for _ in 0..=random.below(3) {
                let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
                bytes[at] = random.next_u64().to_le_bytes()[0];
            }
            let cut = usize::try_from(random.below(bytes.len() as u64 + 1)).unwrap();
            for candidate in [&bytes[..], &bytes[..cut]] {
                if let Ok(decoded) = Fact::decode(fact.kind(), candidate) {
                    assert_eq!(bytes_of(&decoded), candidate);
                }
            }
        }
    }
}
