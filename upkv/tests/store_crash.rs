//! The store against its model, and after power cuts at every operation of the disk.
#![cfg(feature = "test-util")]

mod ledger;

use ledger::{LedgerWorkload, PairWorkload};
use upkv::storage::testing::{CrashOptions, ModelOptions, crash_images, model, replay, scaled};

#[test]
fn random_operations_equal_the_model_across_reopening() {
    let report = model(
        &LedgerWorkload::default(),
        ModelOptions {
            seeds: scaled(40),
            steps: 1_000,
        },
    );
    assert!(
        report.commits > 39_000 && report.reopened > 200,
        "{report:?}"
    );
    assert!(
        report.checkpoints > 500 && report.segments_removed > 500,
        "{report:?}"
    );
}

#[test]
fn two_operations_survive_every_cut() {
    let options = CrashOptions {
        first_seed: 1_000,
        seeds: scaled(30),
        steps: 2,
        images: 1_200,
        nested_one_in: 10,
    };
    let report = crash_images(
        &LedgerWorkload {
            small: true,
            ..Default::default()
        },
        &options,
    );
    assert!(
        report.images > 4_500 && report.nested > 1_000 && report.surplus > 0,
        "{report:?}"
    );
}

#[test]
fn long_runs_survive_every_cut() {
    let options = CrashOptions {
        first_seed: 1,
        seeds: scaled(20),
        steps: 120,
        images: 700,
        nested_one_in: 10,
    };
    let report = crash_images(
        &LedgerWorkload {
            small: true,
            ..Default::default()
        },
        &options,
    );
    assert!(
        report.images > 10_000 && report.nested > 1_000 && report.surplus > 0,
        "{report:?}"
    );
}

#[test]
fn large_payloads_survive_every_cut() {
    let options = CrashOptions {
        first_seed: 500,
        seeds: scaled(4),
        steps: 60,
        images: 150,
        nested_one_in: 20,
    };
    let report = crash_images(&LedgerWorkload::default(), &options);
    assert!(report.images > 400, "{report:?}");
}

#[test]
fn transactions_over_two_engines_are_whole_after_every_cut() {
    let workload = PairWorkload(LedgerWorkload {
        small: true,
        ..Default::default()
    });
    model(
        &workload,
        ModelOptions {
            seeds: scaled(10),
            steps: 500,
        },
    );
    let options = CrashOptions {
        first_seed: 9_000,
        seeds: scaled(12),
        steps: 40,
        images: 700,
        nested_one_in: 10,
    };
    let report = crash_images(&workload, &options);
    assert!(report.images > 4_000 && report.surplus > 0, "{report:?}");
}

#[test]
fn the_same_seed_writes_the_same_bytes() {
    for seed in 0..scaled(10) {
        replay(&LedgerWorkload::default(), seed, 200);
    }
}
