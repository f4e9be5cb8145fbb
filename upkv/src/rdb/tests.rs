//! Values against their own bytes, and hostile bytes: seeded changes of good payloads and files.

use std::sync::Arc;

use super::{Consumer, Entry, Field, Group, Id, Pending, Refused, Stream, Value, dump, restore};
use crate::{Db, Error, RdbError, Store};

fn random(seed: &mut u64) -> usize {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    usize::try_from(*seed >> 8).expect("64 bits")
}

fn text(value: usize) -> Vec<u8> {
    match value % 5 {
        0 => value.to_string().into_bytes(),
        1 => format!("-{value}").into_bytes(),
        2 => vec![b'a'; value % 300],
        3 => format!("item {value}").into_bytes(),
        _ => vec![0, 0xff, value.to_le_bytes()[0], value.to_le_bytes()[1]],
    }
}

fn texts(count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|at| format!("member {at}").into_bytes())
        .collect()
}

fn stream(count: u64) -> Stream {
    let names: Arc<[Vec<u8>]> = Arc::from([b"a".to_vec(), b"b".to_vec()]);
    let other: Arc<[Vec<u8>]> = Arc::from([b"12".to_vec()]);
    let id = |at: u64| Id {
        ms: 1_000 + at / 3,
        seq: at,
    };
    let entry = |at: u64| {
        let names = if at % 7 == 3 { &other } else { &names };
        Entry {
            id: id(at),
            names: Arc::clone(names),
            values: (0..names.len()).map(|part| text(part * 31 + 5)).collect(),
        }
    };
    let pending = |at: u64| Pending {
        id: id(at),
        delivered: 1_700_000_000_000,
        count: at,
    };
    let consumer = |name: &[u8], pending: Vec<Pending>| Consumer {
        name: name.to_vec(),
        seen: 5,
        active: 5,
        pending,
    };
    Stream {
        entries: (0..count).map(entry).collect(),
        last: id(count + 5),
        max_deleted: id(2),
        added: count + 9,
        groups: vec![Group {
            name: b"group".to_vec(),
            last: id(1),
            read: Some(2),
            consumers: vec![
                consumer(b"one", vec![pending(1), pending(4)]),
                consumer(b"two", vec![pending(3)]),
                consumer(b"idle", Vec::new()),
            ],
        }],
    }
}

/// Values in every encoding that is written.
fn values() -> Vec<Value> {
    let mut values: Vec<Value> = (0..40).map(|at| Value::String(text(at * 977))).collect();
    for count in [1, 20, 128, 129, 600, 3_000] {
        values.push(Value::List((0..count).map(text).collect()));
        values.push(Value::Set(texts(count)));
        let ints = (0..count).map(|at| (at * 40).to_string().into_bytes());
        values.push(Value::Set(ints.collect()));
        let scores = [-1.5, 0.0, 3.0, 1e300, f64::INFINITY, f64::NEG_INFINITY];
        let mut members: Vec<_> = texts(count)
            .into_iter()
            .enumerate()
            .map(|(at, text)| (text, scores[at % 6]))
            .collect();
        members.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
        values.push(Value::Zset(members));
        for deadlines in [0, 4_000_000_000_000] {
            let field = |(at, name): (usize, Vec<u8>)| Field {
                name,
                value: text(at),
                deadline: if at % 2 == 0 { deadlines } else { 0 },
            };
            values.push(Value::Hash(
                texts(count).into_iter().enumerate().map(field).collect(),
            ));
        }
        values.push(Value::Stream(Box::new(stream(count as u64 + 9))));
    }
    values.push(Value::List(vec![vec![b'x'; 100_000], b"y".to_vec()]));
    values.push(Value::Stream(Box::default()));
    values
}

#[test]
fn every_value_comes_back() {
    for value in values() {
        assert_eq!(restore(&dump(&value)).expect("its own payload"), value);
    }
}

#[test]
fn footers_are_checked() {
    let payload = b"\x00\x01\x76\x06\x00\x07\xe5\xa6\x32\xec\x6d\xb6\x5d";
    assert_eq!(
        restore(payload).expect("as Redis wrote it"),
        Value::String(b"v".to_vec())
    );
    for at in 0..payload.len() {
        let mut payload = *payload;
        payload[at] ^= 1;
        assert!(matches!(restore(&payload), Err(Refused::Footer)), "{at}");
        assert!(
            matches!(restore(&payload[..at]), Err(Refused::Footer)),
            "{at}"
        );
    }
    assert!(matches!(
        restore(&sealed(b"\x00\x01v", 13)),
        Err(Refused::Footer)
    ));
    assert!(matches!(
        restore(&sealed(b"\x00\x01v.", 10)),
        Err(Refused::Value)
    ));
    assert!(matches!(
        restore(&sealed(b"\x01\x00", 10)),
        Err(Refused::Value)
    ));
}

/// A payload with a footer that fits.
fn sealed(body: &[u8], version: u32) -> Vec<u8> {
    super::payload::sealed(body.to_vec(), version)
}

#[test]
fn lengths_that_lie_are_refused() {
    let huge = [0x81, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    for code in 0..=30_u8 {
        for lie in [
            &huge[..],
            &[0x80, 0x1f, 0xff, 0xff, 0xff],
            &[0xc3, 0x02, 0x80, 0x1f, 0xff, 0xff, 0xff, 0, 1],
        ] {
            for lead in 0..10 {
                let body = [&[code][..], &vec![1; lead], lie].concat();
                let outcome = restore(&sealed(&body, 12));
                // What leads may make the lie a part of a sound value.
                assert!(lead > 0 || outcome.is_err(), "{code} {lie:?}");
            }
        }
    }
}

#[test]
fn changed_payloads_are_refused_or_sound() {
    let payloads: Vec<Vec<u8>> = values()
        .iter()
        .map(dump)
        .filter(|p| p.len() < 5_000)
        .collect();
    let mut seed = 0x5eed;
    let (mut sound, mut refused) = (0, 0);
    for round in 0..20_000 {
        let payload = &payloads[round % payloads.len()];
        let mut body = payload[..payload.len() - 10].to_vec();
        for _ in 0..=random(&mut seed) % 3 {
            let at = random(&mut seed) % body.len();
            match random(&mut seed) % 4 {
                0 => body[at] ^= 1 << (random(&mut seed) % 8),
                1 => body[at] = random(&mut seed).to_le_bytes()[0],
                2 => body[0] = (random(&mut seed) % 27).to_le_bytes()[0],
                _ => body.truncate(at + 1),
            }
        }
        match restore(&sealed(&body, 12)) {
            Ok(value) => {
                sound += 1;
                let ours = dump(&value);
                let again = restore(&ours).expect("its own payload");
                assert_eq!(dump(&again), ours);
            }
            Err(_) => refused += 1,
        }
    }
    assert!(
        sound > 100 && refused > 5_000,
        "{sound} sound, {refused} refused"
    );
}

fn mounted() -> Db {
    Db::mount(&Store::memory().expect("a store"), "cache").expect("mounts")
}

#[test]
fn changed_files_are_refused_or_sound() {
    let db = mounted();
    for at in 0..30 {
        db.set(text(at * 7 + 3), text(at)).expect("sets");
        db.hash("hash").set(text(at), text(at + 1)).expect("sets");
        db.zset("zset").add(text(at), 1.5).expect("adds");
    }
    let mut file = Vec::new();
    db.export_rdb(&mut file).expect("exports");
    mounted().import_rdb(&file[..]).expect("its own file");
    let mut seed = 0xf11e;
    for _ in 0..300 {
        let mut bad = file.clone();
        // The version in the header is not damage that a checksum of 0 would let through.
        let at = 9 + random(&mut seed) % (bad.len() - 9);
        if random(&mut seed).is_multiple_of(3) {
            bad.truncate(at);
        } else {
            bad[at] ^= 1 << (random(&mut seed) % 8);
        }
        let db = mounted();
        let error = db
            .import_rdb(&bad[..])
            .expect_err("the checksum covers everything");
        assert!(matches!(error, Error::Rdb(_)), "{error}");
        db.audit().expect("the counts agree");
    }
}

#[test]
fn headers_and_modules_are_told_apart() {
    let reason = |file: &[u8]| match mounted().import_rdb(file) {
        Err(Error::Rdb(reason)) => *reason,
        other => panic!("{other:?}"),
    };
    assert!(matches!(reason(b""), RdbError::NotRdb));
    assert!(matches!(reason(b"REDIS00x1"), RdbError::NotRdb));
    assert!(matches!(reason(b"REDIS0013"), RdbError::Version(13)));
    assert!(matches!(
        reason(b"REDIS0010"),
        RdbError::Truncated { at: 9 }
    ));
    assert!(matches!(
        reason(b"REDIS0010\x63\x01k"),
        RdbError::UnknownType { code: 99, .. }
    ));
    // A module's value: its id, a string, an integer, the end; then a string behind it.
    let id = b"ReJSON-RL".iter().fold(0_u64, |id, letter| {
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let at = letters
            .iter()
            .position(|known| known == letter)
            .expect("a letter of names");
        id << 6 | at as u64
    });
    let mut file = b"REDIS0010\x07\x03doc\x81".to_vec();
    file.extend_from_slice(&(id << 10 | 3).to_be_bytes());
    file.extend_from_slice(b"\x05\x02{}\x02\x01\x00\x00\x01k\x01v\xff\0\0\0\0\0\0\0\0");
    let db = mounted();
    let report = db.import_rdb(&file[..]).expect("a sound file");
    assert_eq!(report.keys, 1);
    assert_eq!(
        report.skipped,
        [(0, b"doc".to_vec(), "ReJSON-RL".to_owned())]
    );
    assert_eq!(db.get("k").expect("reads").expect("imported"), "v");
}
