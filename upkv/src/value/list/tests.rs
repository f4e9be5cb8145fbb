//! Lists against a vector: random changes, their records, undoing and images.

use super::*;

const NODE: Small = Small {
    items: usize::MAX,
    bytes: NODE_BYTES_MAX,
};

fn elements(list: &List) -> Vec<Vec<u8>> {
    list.iter(0..usize::MAX).map(Cow::into_owned).collect()
}

fn random(seed: &mut u64, below: usize) -> usize {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize % below.max(1)
}

/// Few distinct ones, so that some are equal; now and then one larger than a node.
fn element(seed: &mut u64) -> Vec<u8> {
    match random(seed, 40) {
        0 => vec![b'L'; 9_000],
        1..=5 => vec![b'm'; 1_000 + random(seed, 3)],
        6..=20 => random(seed, 30).to_string().into_bytes(),
        _ => format!("element {}", random(seed, 12)).into_bytes(),
    }
}

fn check(list: &List, model: &[Vec<u8>]) {
    assert_eq!(elements(list), model);
    assert_eq!(list.len(), model.len());
    let capacity: usize = list.nodes.iter().map(Node::capacity).sum();
    assert_eq!(list.node_bytes, capacity);
    for node in &list.nodes {
        assert!(node.count() == 1 || (node.count() > 1 && node.size() <= NODE_BYTES_MAX));
    }
}

/// One random change of a list and of its model, with its record.
fn change(
    seed: &mut u64,
    list: &mut List,
    model: &mut Vec<Vec<u8>>,
    delta: &mut Vec<u8>,
) -> Option<Undo> {
    let front = random(seed, 2) == 0;
    let len = model.len();
    match random(seed, 10) {
        0..=3 => {
            let item = element(seed);
            List::log_push(delta, front, &item);
            let undo = list.push(front, &item);
            model.insert(if front { 0 } else { len }, item);
            Some(undo)
        }
        4 => {
            let count = random(seed, 8);
            List::log_cut(delta, front, count);
            let cut = count.min(len);
            let range = if front { 0..cut } else { len - cut..len };
            model.drain(range);
            Some(list.cut(front, count))
        }
        5 | 6 if len > 0 => {
            let (index, item) = (random(seed, len), element(seed));
            List::log_set(delta, index, &item);
            let undo = list.set(index, &item);
            model[index] = item;
            Some(undo)
        }
        7 | 8 => {
            let (index, item) = (random(seed, len + 1), element(seed));
            List::log_insert(delta, index, &item);
            let undo = list.insert(index, &item);
            model.insert(index, item);
            Some(undo)
        }
        _ => {
            let (count, item) = (1 + random(seed, 3), element(seed));
            List::log_remove(delta, front, count, &item);
            let equal = model
                .iter()
                .enumerate()
                .filter(|(_, other)| **other == item);
            let mut at: Vec<usize> = equal.map(|(index, _)| index).collect();
            if !front {
                at.reverse();
            }
            at.truncate(count);
            at.sort_unstable();
            for index in at.iter().rev() {
                model.remove(*index);
            }
            let undo = list.remove_equal(front, count, &item);
            assert_eq!(undo.is_some(), !at.is_empty());
            undo
        }
    }
}

#[test]
fn random_changes_match_a_model_and_come_back() {
    for mut seed in 1..8 {
        let (mut list, mut model, mut replayed) = (List::default(), Vec::new(), List::default());
        for step in 0..1_500 {
            let (before, mut delta) = (model.clone(), Vec::new());
            let undo = change(&mut seed, &mut list, &mut model, &mut delta);
            replayed.replay(&delta).expect("well-formed");
            if step % 5 == 0 {
                check(&list, &model);
                if let Some(undo) = undo {
                    list.undo(&undo);
                    check(&list, &before);
                    list.replay(&delta).expect("well-formed");
                }
            }
            let index = random(&mut seed, model.len() + 2);
            assert_eq!(
                list.get(index).as_deref(),
                model.get(index).map(Vec::as_slice)
            );
        }
        check(&list, &model);
        check(&replayed, &model);
        let mut image = Vec::new();
        list.encode(&mut image);
        let hashers = Arc::new(Hashers::for_tests());
        let decoded = List::decode(Arc::clone(&hashers), &image).expect("well-formed");
        check(&decoded, &model);
        for _ in 0..300 {
            let mut bad = image.clone();
            let at = random(&mut seed, bad.len());
            bad[at] ^= 1 << random(&mut seed, 8);
            if let Some(decoded) = List::decode(Arc::clone(&hashers), &bad) {
                assert_eq!(elements(&decoded).len(), decoded.len());
            }
        }
    }
}

#[test]
fn ranges_and_positions() {
    let mut list = List::default();
    for index in 0..5_000 {
        list.push(false, (index % 7).to_string().as_bytes());
    }
    assert!(!list.is_packed(NODE));
    let part: Vec<_> = list.iter(3_498..3_503).map(Cow::into_owned).collect();
    assert_eq!(part.concat(), b"56012");
    assert_eq!(list.iter(5_000..9_000).count(), 0);
    assert_eq!(list.positions(&Entry::new(b"3"), true, 11), [3, 10]);
    assert_eq!(list.positions(&Entry::new(b"0"), false, 3), [4_998]);
    assert_eq!(
        list.positions(&Entry::new(b"03"), true, usize::MAX),
        [0_usize; 0]
    );
}

#[test]
fn records_that_point_nowhere_are_refused() {
    let mut list = List::default();
    list.push(true, b"a");
    for delta in [&[5, 1, 0][..], &[6, 2, 0], &[9], &[0], &[1, 5, 1], &[3]] {
        assert!(list.replay(delta).is_none(), "{delta:?}");
    }
    assert!(list.replay(&[3, 200, 1]).is_some());
    assert_eq!(list.len(), 0);
}
