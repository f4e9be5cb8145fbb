//! Golden bytes, round trips and mutations of journal records.

use std::time::Duration;

use upkv::storage::Random;

use super::*;
use crate::replay::path::Branch;

fn op_at(ordinal: u32) -> OpId {
    let scopes = vec![Branch {
        join: 1,
        index: 0,
        of: 2,
    }];
    OpId {
        path: Path { scopes, ordinal },
        kind: OpKind::Step,
        name: "pay".into(),
    }
}

#[expect(clippy::too_many_lines, reason = "one of each kind, in a list")]
fn samples() -> Vec<Entry> {
    let at = Timestamp::from_millis(9);
    let error = StepError::retry_after(Duration::from_millis(5), "no");
    let facts = vec![
        Fact::Start {
            id: "o-1".into(),
            workflow: "order".into(),
            version: 3,
            seed: 7,
            input: Bytes::from_static(b"{}"),
        },
        Fact::StepDone {
            op: op_at(0),
            result: Bytes::from_static(b"1"),
        },
        Fact::StepFailed {
            op: op_at(1),
            attempt: 2,
            retry_at: Some(at),
            error: error.clone(),
        },
        Fact::StepFailed {
            op: op_at(1),
            attempt: 2,
            retry_at: None,
            error: error.clone(),
        },
        Fact::TimerSet {
            op: op_at(2),
            until: Timestamp::MAX,
            parked: true,
        },
        Fact::TimerFired { op: op_at(2) },
        Fact::MailIn {
            event: "go".into(),
            data: Bytes::from_static(b"null"),
        },
        Fact::Recv {
            op: op_at(3),
            mail: 5,
        },
        Fact::Sent {
            op: op_at(4),
            delivered: false,
        },
        Fact::Completed {
            result: Bytes::from_static(b"[]"),
        },
        Fact::Failed {
            error: error.clone(),
        },
        Fact::CancelRequested,
        Fact::Cancelled,
        Fact::Blocked {
            reason: Reason::NonDeterministic {
                recorded: Some(op_at(0)),
                requested: None,
            },
        },
        Fact::Blocked {
            reason: Reason::ForeignAwait {
                after: Some(op_at(9)),
            },
        },
        Fact::Resumed,
        Fact::BodyPanicked {
            attempt: 1,
            retry_at: at,
            error,
        },
        Fact::Tombstone,
    ];
    let entry = |fact| Entry {
        run: 4,
        index: 1,
        time: at,
        fact,
    };
    facts.into_iter().map(entry).collect()
}

fn joined(entry: &Entry) -> Bytes {
    let (head, payload) = entry.encode();
    [head, payload.to_vec()].concat().into()
}

#[test]
fn every_record_survives_encoding() {
    for entry in samples() {
        assert_eq!(Entry::decode(&joined(&entry)).unwrap(), entry);
    }
}

#[test]
fn the_bytes_of_a_step_result_are_these() {
    let entry = &samples()[1];
    let golden = [
        &[2][..],                  // kind
        &[4, 0, 0, 0, 0, 0, 0, 0], // run
        &[1, 0, 0, 0],             // index
        &[9, 0, 0, 0, 0, 0, 0, 0], // time
        &[1, 1, 0, 2, 0],          // one join: at 1, branch 0 of 2; ordinal 0
        &[1, 3, 0, 0, 0],          // a step, three bytes of name
        b"pay1",                   // name and payload
    ]
    .concat();
    assert_eq!(joined(entry), golden);
}

#[test]
fn cut_records_are_refused_unless_the_payload_is_what_is_cut() {
    for entry in samples() {
        let whole = joined(&entry);
        for len in 0..whole.len() {
            let cut = whole.slice(..len);
            if let Ok(read) = Entry::decode(&cut) {
                assert_eq!(joined(&read), cut, "what is read is what was there");
            }
        }
    }
}

#[test]
fn mutated_records_never_panic_and_never_have_two_encodings() {
    let random = Random::seeded(0x666c_6f77);
    let samples: Vec<_> = samples().iter().map(|e| joined(e).to_vec()).collect();
    for _ in 0..40_000 {
        let pick = usize::try_from(random.below(samples.len() as u64)).unwrap();
        let mut bytes = samples[pick].clone();
        for _ in 0..=random.below(4) {
            let at = usize::try_from(random.below(bytes.len() as u64 + 1)).unwrap();
            let byte = random.next_u64().to_le_bytes()[0];
            match random.below(4) {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => drop(bytes.remove(at)),
                2 if !bytes.is_empty() => bytes[0] = byte % 20,
                _ if at < bytes.len() => bytes[at] = byte,
                _ => bytes.truncate(at / 2),
            }
        }
        let bytes = Bytes::from(bytes);
        if let Ok(entry) = Entry::decode(&bytes) {
            assert_eq!(joined(&entry), bytes);
        }
    }
}
