//! The store on disks that fail: every call once and for ever, full disks, syncs that lose data.
#![cfg(feature = "test-util")]

mod ledger;

use ledger::LedgerWorkload;
use upkv::storage::Durability;
use upkv::storage::testing::{ErrorOptions, io_errors, scaled};

#[test]
fn every_call_may_fail_at_random_levels() {
    let workload = LedgerWorkload {
        small: true,
        ..Default::default()
    };
    let report = io_errors(
        &workload,
        ErrorOptions {
            seeds: scaled(4),
            steps: 40,
        },
    );
    assert!(
        report.runs > 500 && report.refused > 0 && report.unknown > 0,
        "{report:?}"
    );
}

#[test]
fn every_call_may_fail_at_level_disk() {
    let workload = LedgerWorkload {
        small: true,
        level: Some(Durability::Disk),
    };
    let report = io_errors(
        &workload,
        ErrorOptions {
            seeds: scaled(1),
            steps: 40,
        },
    );
    assert!(
        report.runs > 200 && report.refused > 0 && report.unknown > 0,
        "{report:?}"
    );
}
