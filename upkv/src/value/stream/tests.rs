//! Entries and groups against a plain model; codec, deltas, undo, hostile bytes.

use std::collections::BTreeMap;

use super::*;

fn empty() -> Stream {
    Stream::new(Arc::new(Hashers::for_tests()))
}

fn hashers() -> Arc<Hashers> {
    Arc::new(Hashers::for_tests())
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;
type Content = Vec<(StreamId, Pairs)>;

fn owned(entry: Entry<'_>) -> (StreamId, Pairs) {
    let fields = entry.fields.map(|(n, v)| (n.to_vec(), v.to_vec()));
    (entry.id, fields.collect())
}

fn content(stream: &Stream) -> Content {
    let all = stream.entries().range(StreamId::MIN, StreamId::MAX);
    all.map(owned).collect()
}

/// Everything that can be seen of a stream.
fn picture(stream: &Stream) -> String {
    format!(
        "{:?} {:?} {:?}",
        content(stream),
        stream.counters(),
        stream.groups()
    )
}

fn encoded(stream: &Stream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.encode(&mut bytes);
    bytes
}

struct Steps(u32);

impl Steps {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) % bound
    }
}

fn append(id: StreamId, fields: &[&[u8]], run: impl FnOnce(&Effect<'_>)) {
    run(&Effect::Append {
        id,
        fields: fields.to_vec(),
    });
}

#[test]
#[expect(clippy::too_many_lines, reason = "one arm a step")]
fn entries_follow_a_map() {
    for (seed, width) in [(1, 8), (2, 300), (3, 6000)] {
        let mut steps = Steps(seed);
        let mut stream = empty();
        let mut model: BTreeMap<StreamId, Pairs> = BTreeMap::new();
        for _ in 0..1_500 {
            let last = stream.last_id();
            match steps.below(10) {
                0 => {
                    let id = StreamId::new(u64::from(steps.below(40)), u64::from(steps.below(4)));
                    let gone = stream.apply(&Effect::Delete { id }).is_some();
                    assert_eq!(gone, model.remove(&id).is_some());
                }
                1 if steps.below(30) == 0 => {
                    let at = usize::try_from(steps.below(500)).expect("small");
                    let id = model.keys().nth(at).copied().unwrap_or_default();
                    stream
                        .apply(&Effect::TrimThrough { id })
                        .expect("always makes sense");
                    model.retain(|other, _| *other > id);
                }
                2..5 => {
                    let at = usize::try_from(steps.below(2_000)).expect("small");
                    if let Some(id) = model.keys().nth(at % model.len().max(1)).copied() {
                        assert!(stream.apply(&Effect::Delete { id }).is_some());
                        model.remove(&id);
                    }
                }
                kind => {
                    let id = if kind < 7 {
                        StreamId::new(last.ms + u64::from(steps.below(3_000)) + 1, 0)
                    } else {
                        last.next().expect("far from the end")
                    };
                    let name = format!("n{}", steps.below(10) / 8);
                    let value = vec![b'v'; usize::try_from(steps.below(width)).expect("small")];
                    let mut fields: Vec<&[u8]> = vec![name.as_bytes(), &value];
                    if steps.below(5) == 0 {
                        fields.extend([&b"more"[..], b""]);
                    }
                    append(id, &fields, |effect| {
                        stream.apply(effect).expect("above the last");
                    });
                    let pairs = fields.chunks(2).map(|f| (f[0].to_vec(), f[1].to_vec()));
                    model.insert(id, pairs.collect());
                }
            }
            assert_eq!(stream.len(), model.len());
        }
        let expected: Content = model.clone().into_iter().collect();
        assert_eq!(content(&stream), expected);
        for _ in 0..50 {
            let mut bound = || StreamId::new(u64::from(steps.below(2_000_000)), 0);
            let (start, end) = (bound(), bound());
            let forth: Vec<_> = stream.entries().range(start, end).map(|e| e.id).collect();
            let mut back: Vec<_> = stream
                .entries()
                .reverse_range(start, end)
                .map(|e| e.id)
                .collect();
            back.reverse();
            let inside = |id: &&StreamId| **id >= start && **id <= end;
            let expected: Vec<_> = model.keys().filter(inside).copied().collect();
            assert_eq!((forth, back), (expected.clone(), expected));
        }
        let bytes = encoded(&stream);
        let back = Stream::decode(hashers(), &bytes).expect("own bytes decode");
        assert_eq!(picture(&back), picture(&stream));
        for cut in 0..bytes.len().min(400) {
            assert!(Stream::decode(hashers(), &bytes[..cut]).is_none());
        }
    }
}

/// Random effects on a few entries and two groups.
fn random_effect(steps: &mut Steps, stream: &Stream, run: impl FnOnce(&Effect<'_>)) {
    let pick = |steps: &mut Steps| {
        let ids: Vec<_> = stream
            .entries()
            .range(StreamId::MIN, StreamId::MAX)
            .map(|e| e.id)
            .collect();
        ids.get(steps.below(40) as usize % ids.len().max(1))
            .copied()
            .unwrap_or_default()
    };
    let group: &[u8] = [&b"g1"[..], b"g2"][steps.below(2) as usize];
    let consumer: &[u8] = [&b"alice"[..], b"bob", b""][steps.below(3) as usize];
    let number = u64::from(steps.below(1000));
    let effect = match steps.below(14) {
        0..4 => Effect::Append {
            id: stream.last_id().next().expect("far from the end"),
            fields: vec![b"name", consumer],
        },
        4 => Effect::Delete { id: pick(steps) },
        5 if number < 50 => Effect::TrimThrough { id: pick(steps) },
        5 | 6 => Effect::Consumer {
            group,
            consumer,
            seen: number,
            active: (number > 500).then_some(number),
        },
        7 => Effect::Group {
            group,
            last: pick(steps),
            read: (number > 500).then_some(number),
        },
        8 if number < 100 => Effect::DropGroup { group },
        9 if number < 100 => Effect::DropConsumer { group, consumer },
        10 => Effect::Counters(Counters {
            last: stream.last_id(),
            max_deleted: pick(steps),
            added: number,
        }),
        11 => Effect::Ack {
            group,
            ids: vec![pick(steps), pick(steps)],
        },
        _ => Effect::Assign {
            group,
            consumer,
            delivered: number,
            ids: vec![(pick(steps), number), (pick(steps), 1)],
        },
    };
    run(&effect);
}

#[test]
fn effects_are_logged_replayed_and_taken_back() {
    let mut stream = empty();
    let mut copy = empty();
    let mut steps = Steps(7);
    let mut applied = 0;
    for _ in 0..400 {
        let before = picture(&stream);
        let mut undos = Vec::new();
        let mut delta = Vec::new();
        for _ in 0..steps.below(8) {
            let mut step = Steps(steps.below(u32::MAX));
            let view = Stream::decode(hashers(), &encoded(&stream)).expect("own bytes");
            random_effect(&mut step, &view, |effect| {
                if let Some(undo) = stream.apply(effect) {
                    effect.put(&mut delta);
                    undos.push(undo);
                }
            });
        }
        applied += undos.len();
        if steps.below(3) == 0 {
            let memory = stream.len();
            undos.iter().rev().for_each(|undo| stream.undo(undo));
            assert_eq!(picture(&stream), before, "after {memory} entries");
        } else {
            assert_eq!(copy.replay(&delta), Some(()));
        }
        assert_eq!(picture(&copy), picture(&stream));
        let back = Stream::decode(hashers(), &encoded(&stream)).expect("own bytes decode");
        assert_eq!(picture(&back), picture(&stream));
        for group in stream.groups().values() {
            let held: usize = group.consumers.values().map(|c| c.pending.len()).sum();
            assert_eq!(held, group.pending.len());
        }
    }
    assert!(applied > 500, "{applied}");
}

#[test]
fn damaged_bytes_are_refused_without_a_panic() {
    let mut stream = empty();
    let mut steps = Steps(3);
    for _ in 0..300 {
        let view = Stream::decode(hashers(), &encoded(&stream)).expect("own bytes");
        random_effect(&mut steps, &view, |effect| drop(stream.apply(effect)));
    }
    let good = encoded(&stream);
    for at in 0..good.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = value;
            if let Some(back) = Stream::decode(hashers(), &bytes) {
                assert_eq!(content(&back).len(), back.len());
            }
        }
    }
    for delta in [
        &[0][..],
        &[1, 1],
        &[1, 0, 0, 0],
        &[9, 1, b'g', 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[10, 0xff],
    ] {
        assert_eq!(empty().replay(delta), None);
    }
}

#[test]
fn ids_are_ordered_and_printed() {
    assert_eq!(StreamId::parse("1-2"), Some(StreamId::new(1, 2)));
    assert_eq!(
        StreamId::parse_or(b"18446744073709551615", 9),
        Some(StreamId::new(u64::MAX, 9))
    );
    for bad in [
        "",
        "-",
        "1-",
        "-1",
        "18446744073709551616",
        "1-2-3",
        "x",
        "1 ",
    ] {
        assert_eq!(StreamId::parse(bad), None, "{bad}");
    }
}

#[test]
fn memory_follows_what_is_held() {
    let mut stream = empty();
    let base = stream.memory();
    for ms in 1..1_000 {
        let value = [b'v'; 20];
        append(StreamId::new(ms, 0), &[b"temperature", &value], |effect| {
            stream.apply(effect).expect("above the last");
        });
    }
    let full = stream.memory() - base;
    assert!((999 * 20..999 * 30).contains(&full), "{full}");
    stream
        .apply(&Effect::TrimThrough { id: StreamId::MAX })
        .expect("always makes sense");
    assert!(stream.memory() - base < 2_000, "{}", stream.memory());
}
