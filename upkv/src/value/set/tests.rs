//! Sets against a tree: random changes, their records, undoing and images.

use std::collections::BTreeSet;

use super::*;

fn fresh() -> Set {
    Set::new(Arc::new(Hashers::for_tests()))
}

fn members(set: &Set) -> BTreeSet<Vec<u8>> {
    set.iter().map(Cow::into_owned).collect()
}

/// A member of the kind that `shape` asks for: integers, short texts, or now and then a long one.
fn member(seed: &mut u64, shape: u64, range: u64) -> Vec<u8> {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    let value = (*seed >> 33) % range;
    match shape {
        0 => value.to_string().into_bytes(),
        1 => format!("member {value}").into_bytes(),
        _ if value == 3 => vec![b'x'; 200],
        _ => format!("0{value}").into_bytes(),
    }
}

#[test]
fn random_changes_match_a_model_and_come_back() {
    for (shape, range) in [(0, 60), (0, 1_500), (1, 60), (1, 400), (2, 90)] {
        let (mut set, mut model, mut seed) = (fresh(), BTreeSet::new(), range);
        let mut replayed = fresh();
        for step in 0..4_000 {
            let item = member(&mut seed, shape, range);
            let before = members_if(step, &set);
            let mut delta = Vec::new();
            let undo = if seed.is_multiple_of(3) {
                let undo = set.remove(&item);
                assert_eq!(undo.is_some(), model.remove(&item));
                Set::log_remove(&mut delta, &item);
                undo
            } else {
                let undo = set.add(&item);
                assert_eq!(undo.is_some(), model.insert(item.clone()));
                Set::log_add(&mut delta, &item);
                undo
            };
            replayed.replay(&delta).expect("well-formed");
            assert_eq!(set.contains(&item), model.contains(&item));
            assert_eq!(set.len(), model.len());
            if let (Some(before), Some(undo)) = (before, undo) {
                set.undo(&undo);
                assert_eq!(members(&set), before);
                let again = match undo {
                    Undo::Added(item) => set.add(&item),
                    Undo::Removed(item) => set.remove(&item),
                };
                assert!(again.is_some());
            }
        }
        assert_eq!(members(&set), model);
        assert_eq!(members(&replayed), model);
        assert_eq!(replayed.encoding(), set.encoding());
        let mut image = Vec::new();
        set.encode(&mut image);
        let decoded = Set::decode(Arc::new(Hashers::for_tests()), &image).expect("well-formed");
        assert_eq!(members(&decoded), model);
        assert_eq!(decoded.encoding(), set.encoding());
        let picked = set.pick(seed).expect("not empty");
        assert!(model.contains(&*picked));
        let (mut found, mut cursor) = (BTreeSet::new(), Some(0));
        while let Some(from) = cursor {
            cursor = set.scan(from, 10, |member| {
                found.insert(member.to_vec());
            });
        }
        assert_eq!(found, model);
    }
}

fn members_if(step: u32, set: &Set) -> Option<BTreeSet<Vec<u8>>> {
    step.is_multiple_of(50).then(|| members(set))
}

#[test]
fn forms_follow_the_members() {
    let mut set = fresh();
    for value in 0..512 {
        set.add(value.to_string().as_bytes());
    }
    assert_eq!(set.encoding(), "intset");
    set.add(b"512");
    assert_eq!(set.encoding(), "hashtable");
    let mut set = fresh();
    set.add(b"1");
    set.add(b"01");
    assert_eq!(set.encoding(), "listpack");
    assert!(set.contains(b"1") && set.contains(b"01") && !set.contains(b"001"));
    set.add(&[b'x'; 65]);
    assert_eq!(set.encoding(), "hashtable");
    assert_eq!(set.len(), 3);
}

#[test]
fn damaged_payloads_are_refused() {
    let mut set = fresh();
    for text in ["a", "b", "c"] {
        set.add(text.as_bytes());
    }
    let mut image = Vec::new();
    set.encode(&mut image);
    let hashers = Arc::new(Hashers::for_tests());
    for at in 0..image.len() {
        assert!(Set::decode(Arc::clone(&hashers), &image[..at]).is_none());
        for bit in 0..8 {
            let mut bad = image.clone();
            bad[at] ^= 1 << bit;
            if let Some(decoded) = Set::decode(Arc::clone(&hashers), &bad) {
                assert_eq!(decoded.iter().count(), decoded.len());
            }
        }
    }
    // Integers out of order, and twice.
    let ints = |values: &[i64]| {
        let mut payload = vec![0, values.len().to_le_bytes()[0]];
        for value in values {
            payload.extend_from_slice(&value.to_le_bytes());
        }
        Set::decode(Arc::clone(&hashers), &payload).is_some()
    };
    assert!(ints(&[-1, 4]) && ints(&[]));
    assert!(!ints(&[4, -1]) && !ints(&[4, 4]));
}
