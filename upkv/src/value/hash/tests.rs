//! Both forms against a map, codec, deltas, undo, deadlines.

use std::collections::BTreeMap;

use super::*;

fn empty() -> Hash {
    Hash::new(Arc::new(Hashers::for_tests()))
}

fn content(hash: &Hash) -> BTreeMap<Vec<u8>, Vec<u8>> {
    hash.iter().map(|(f, v)| (f.to_vec(), v.to_vec())).collect()
}

#[test]
fn follows_a_map_through_both_forms_and_back_from_bytes() {
    for (fields, width) in [(40_u32, 10), (700, 10), (40, 90)] {
        let mut hash = empty();
        let mut model = BTreeMap::new();
        let mut state = 1_u32;
        for _ in 0..4_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let field = format!("f{}", (state >> 10) % fields).into_bytes();
            if (state >> 5).is_multiple_of(4) {
                assert_eq!(
                    hash.remove(&field).is_some(),
                    model.remove(&field).is_some()
                );
            } else {
                let value = vec![b'v'; (state >> 20) as usize % width];
                let undo = hash.set(&field, &value);
                assert_eq!(undo.existed(), model.insert(field, value).is_some());
            }
        }
        assert_eq!(content(&hash), model);
        let data: usize = model.iter().map(|(f, v)| f.len() + v.len()).sum();
        assert_eq!(hash.data_bytes, data);
        let mut bytes = Vec::new();
        hash.encode(&mut bytes);
        let back = Hash::decode(Arc::clone(&hash.hashers), &bytes).expect("own bytes decode");
        assert_eq!(content(&back), model);
        for cut in 0..bytes.len().min(300) {
            assert!(Hash::decode(Arc::clone(&hash.hashers), &bytes[..cut]).is_none());
        }
    }
}

#[test]
fn changes_are_taken_back_in_reverse() {
    let mut hash = empty();
    hash.set(b"a", b"1");
    let before = content(&hash);
    let mut undos = vec![hash.set(b"a", b"2"), hash.set(b"b", b"3")];
    undos.extend(hash.remove(b"a"));
    for undo in undos.iter().rev() {
        hash.undo(undo);
    }
    assert_eq!(content(&hash), before);
}

#[test]
fn deltas_replay() {
    let mut hash = empty();
    hash.set(b"a", b"1");
    let mut delta = Vec::new();
    Hash::log_set(&mut delta, b"b", b"2", false);
    Hash::log_remove(&mut delta, b"a");
    assert_eq!(hash.replay(&delta), Some(()));
    assert_eq!(
        content(&hash),
        BTreeMap::from([(b"b".to_vec(), b"2".to_vec())])
    );
    assert_eq!(hash.replay(&[9]), None);
    assert_eq!(hash.replay(&[1, 200]), None);
}

#[test]
fn scans_whole_when_packed_and_in_steps_afterwards() {
    let mut hash = empty();
    for n in 0..5_000 {
        hash.set(format!("field:{n}").as_bytes(), b"x");
    }
    assert!(!hash.is_packed());
    let mut seen = std::collections::BTreeSet::new();
    let mut from = Some(0);
    let mut steps = 0;
    while let Some(at) = from {
        from = hash.scan(at, 100, |field, _| {
            seen.insert(field.to_vec());
        });
        steps += 1;
    }
    assert_eq!(seen.len(), 5_000);
    assert!(steps > 20);
}

/// Fields with values and deadlines.
type Timed = BTreeMap<Vec<u8>, (Vec<u8>, u64)>;

fn timed(hash: &Hash) -> Timed {
    let with_deadline = |(f, v): (&[u8], &[u8])| (f.to_vec(), (v.to_vec(), hash.deadline(f)));
    hash.iter().map(with_deadline).collect()
}

#[test]
fn deadlines_follow_a_model_with_undo_replay_and_codec() {
    for (fields, steps) in [(8_u32, 2_000), (600, 1_500)] {
        let mut hash = empty();
        let mut copy = empty();
        let mut model = Timed::new();
        let mut state = 7_u32;
        for step in 0..steps {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let field = format!("f{}", (state >> 12) % fields).into_bytes();
            let value = step.to_string().into_bytes();
            let at = u64::from(state >> 24) % 50;
            let before = timed(&hash);
            let mut delta = Vec::new();
            let undo = match state >> 8 & 7 {
                0..=2 => {
                    Hash::log_set(&mut delta, &field, &value, false);
                    model.insert(field.clone(), (value.clone(), 0));
                    Some(hash.set(&field, &value))
                }
                3 => {
                    Hash::log_set(&mut delta, &field, &value, true);
                    let kept = model.get(&field).map_or(0, |entry| entry.1);
                    model.insert(field.clone(), (value.clone(), kept));
                    Some(hash.set_kept(&field, &value))
                }
                4 | 5 => {
                    Hash::log_deadline(&mut delta, &field, at);
                    if let Some(entry) = model.get_mut(&field) {
                        entry.1 = at;
                    }
                    hash.set_deadline(&field, at)
                }
                _ => {
                    Hash::log_remove(&mut delta, &field);
                    model.remove(&field);
                    hash.remove(&field)
                }
            };
            assert_eq!(timed(&hash), model);
            if let Some(undo) = undo {
                hash.undo(&undo);
                assert_eq!(timed(&hash), before);
                assert_eq!(hash.replay(&delta), Some(()));
            }
            assert_eq!(copy.replay(&delta), Some(()));
            let first = model
                .values()
                .map(|(_, at)| *at)
                .filter(|at| *at != 0)
                .min();
            let all = model.values().map(|(_, at)| *at).max().unwrap_or(0);
            let lasting = model.values().any(|(_, at)| *at == 0);
            let expected = PartDeadlines {
                first: first.unwrap_or(0),
                all: if lasting { 0 } else { all },
            };
            assert_eq!(hash.part_deadlines(), expected);
            if step % 64 == 0 {
                check_views(&hash, &model, expected, state);
            }
        }
        assert_eq!(timed(&copy), model);
    }
}

/// The payload, and what readers see at one moment, are those of the model.
fn check_views(hash: &Hash, model: &Timed, expected: PartDeadlines, random: u32) {
    let mut bytes = Vec::new();
    hash.encode(&mut bytes);
    assert_eq!(Hash::peek(&bytes), Some(expected));
    let back = Hash::decode(Arc::clone(&hash.hashers), &bytes).expect("own bytes");
    assert_eq!(timed(&back), *model);
    let live = hash.live(25);
    let shown = |(f, _): (&[u8], &[u8])| f.to_vec();
    let lives = model.iter().filter(|(_, (_, at))| *at == 0 || *at > 25);
    let mut found: Vec<_> = live.iter().map(shown).collect();
    found.sort();
    assert_eq!(found, lives.map(|(f, _)| f.clone()).collect::<Vec<_>>());
    assert_eq!(live.len(), found.len());
    assert_eq!(live.pick(u64::from(random)).is_some(), !found.is_empty());
    for cut in 0..bytes.len().min(200) {
        assert!(Hash::decode(Arc::clone(&hash.hashers), &bytes[..cut]).is_none());
        assert!(cut == 0 || bytes[0] & 2 == 0 || Hash::peek(&bytes[..cut]).is_none());
    }
}

#[test]
fn malformed_deadlines_are_refused() {
    let mut hash = empty();
    hash.set(b"a", b"1");
    hash.set_deadline(b"a", 9);
    let mut bytes = Vec::new();
    hash.encode(&mut bytes);
    assert_eq!(bytes[0], 2);
    let decode = |bytes: &[u8]| Hash::decode(Arc::new(Hashers::for_tests()), bytes);
    assert!(decode(&bytes).is_some());
    // A payload that says it has deadlines and has none, and an unknown form.
    bytes.truncate(bytes.len() - 8);
    bytes.extend_from_slice(&[0; 8]);
    assert!(decode(&bytes).is_none());
    bytes[0] = 4;
    assert!(decode(&bytes).is_none() && Hash::peek(&bytes).is_none());
    assert_eq!(Hash::peek_changes(&[4, 1, 2]), None);
    assert_eq!(hash.set_deadline(b"missing", 5).map(drop), None);
}
