//! Random changes against a map: taken back, replayed on a twin, written and read, and read from damaged bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;

fn empty() -> Zset {
    Zset::new(Arc::new(Hashers::for_tests()))
}

fn random(seed: &mut u64, limit: usize) -> usize {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    usize::try_from(*seed % limit as u64).expect("below a usize")
}

type Model = BTreeMap<Vec<u8>, f64>;

fn check(zset: &Zset, model: &Model) {
    let mut expected: Vec<(f64, &[u8])> = model
        .iter()
        .map(|(member, score)| (*score, &member[..]))
        .collect();
    expected.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)));
    let found: Vec<(f64, &[u8])> = zset
        .iter(0..usize::MAX)
        .map(|item| (item.score, item.member))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(zset.len(), expected.len());
    for (rank, (score, member)) in expected.iter().enumerate() {
        assert_eq!(zset.rank(member), Some((rank, *score)));
        assert_eq!(zset.score(member), Some(*score));
    }
}

/// One random change of both; how to take it back, if there was anything to do.
fn change(seed: &mut u64, zset: &mut Zset, model: &mut Model, delta: &mut Vec<u8>) -> Option<Undo> {
    // Scores that are often equal, so that members decide; long members leave the small form.
    const SCORES: [f64; 8] = [
        0.0,
        1.0,
        -1.0,
        0.5,
        f64::INFINITY,
        f64::NEG_INFINITY,
        1e300,
        5e-324,
    ];
    let number = random(seed, 300);
    let member = match random(seed, 400) {
        0 => vec![b'm'; 70 + number],
        _ => number.to_string().into_bytes(),
    };
    if random(seed, 3) == 0 {
        let undo = zset.remove(&member);
        assert_eq!(undo.is_some(), model.remove(&member).is_some());
        undo.inspect(|_| Zset::log_remove(delta, &member))
    } else {
        let score = SCORES[random(seed, SCORES.len())];
        let undo = zset.set(&member, score);
        assert_eq!(undo.previous(), model.insert(member.clone(), score));
        Zset::log_set(delta, &member, score);
        Some(undo)
    }
}

#[test]
fn random_changes_match_a_model_and_come_back() {
    for mut seed in 1..6 {
        let (mut zset, mut model, mut twin) = (empty(), Model::new(), empty());
        for step in 0..600 {
            let (before, mut delta) = (model.clone(), Vec::new());
            let changes = 1 + random(&mut seed, 4);
            let undos: Vec<_> = (0..changes)
                .filter_map(|_| change(&mut seed, &mut zset, &mut model, &mut delta))
                .collect();
            if step % 4 == 0 {
                undos.iter().rev().for_each(|undo| zset.undo(undo));
                check(&zset, &before);
                zset.replay(&delta).expect("well-formed");
            }
            twin.replay(&delta).expect("well-formed");
            if step % 20 == 0 {
                check(&zset, &model);
                check(&twin, &model);
            }
        }
        let mut image = Vec::new();
        zset.encode(&mut image);
        let hashers = Arc::new(Hashers::for_tests());
        let decoded = Zset::decode(Arc::clone(&hashers), &image).expect("well-formed");
        check(&decoded, &model);
        for _ in 0..300 {
            let mut bad = image.clone();
            let at = random(&mut seed, bad.len());
            bad[at] ^= 1 << random(&mut seed, 8);
            if let Some(decoded) = Zset::decode(Arc::clone(&hashers), &bad) {
                assert_eq!(decoded.iter(0..usize::MAX).count(), decoded.len());
            }
            bad.truncate(at);
            assert!(
                Zset::decode(Arc::clone(&hashers), &bad).is_none(),
                "cut at {at}"
            );
        }
    }
}
