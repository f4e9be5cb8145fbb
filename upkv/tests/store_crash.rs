//! The store against its model, and after power cuts at every operation of the disk.
#![cfg(feature = "test-util")]

mod ledger;

use ledger::LedgerWorkload;
use upkv::storage::testing::{CrashOptions, ModelOptions, crash_images, model, scaled};

#[test]
fn random_operations_equal_the_model_across_reopening() {
    let commits = model(
        &LedgerWorkload::default(),
        ModelOptions {
            seeds: scaled(40),
            steps: 1_000,
        },
    );
    assert!(commits > 39_000, "{commits}");
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
