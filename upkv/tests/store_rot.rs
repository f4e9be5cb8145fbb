//! The store with damaged files: every byte flipped, every truncation, blocks zeroed and swapped.
#![cfg(feature = "test-util")]

mod ledger;

use ledger::LedgerWorkload;
use upkv::storage::testing::{RotOptions, rot, scaled};

#[test]
fn no_damage_of_many_closed_stores_passes_unseen() {
    let workload = LedgerWorkload {
        small: true,
        ..Default::default()
    };
    for seed in 100..100 + scaled(12) {
        let options = RotOptions {
            seed,
            steps: [40, 70, 100, 130][usize::try_from(seed % 4).unwrap()],
            stride: 29,
            closed: true,
        };
        let report = rot(&workload, &options);
        assert!(
            report.reported > 0 && report.shortened == 0,
            "seed {seed}: {report:?}"
        );
    }
}

#[test]
fn no_damage_of_a_closed_store_passes_unseen() {
    let workload = LedgerWorkload {
        small: true,
        ..Default::default()
    };
    let report = rot(
        &workload,
        &RotOptions {
            seed: 3,
            steps: 60,
            stride: 1,
            closed: true,
        },
    );
    assert!(
        report.reported > report.harmless && report.shortened == 0,
        "{report:?}"
    );
}

#[test]
fn damage_of_an_unclosed_store_is_seen_or_looks_like_a_torn_tail() {
    let workload = LedgerWorkload {
        small: true,
        ..Default::default()
    };
    let report = rot(
        &workload,
        &RotOptions {
            seed: 4,
            steps: 60,
            stride: 3,
            closed: false,
        },
    );
    assert!(report.reported > 0 && report.shortened > 0, "{report:?}");
}
