//! The index against its model: reopening, power cuts at every operation, failing disks, damage.
#![cfg(feature = "test-util")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod workload;

use upkv::storage::testing::{
    CrashOptions, ErrorOptions, ModelOptions, RotOptions, crash_images, io_errors, model, rot,
    scaled,
};
use workload::VectorWorkload;

const FLAT: VectorWorkload = VectorWorkload {
    scan_max: 4096,
    payloads: true,
};
const GRAPH: VectorWorkload = VectorWorkload {
    scan_max: 4,
    payloads: true,
};

#[test]
fn random_operations_equal_the_model_across_reopening() {
    for workload in [FLAT, GRAPH] {
        let options = ModelOptions {
            seeds: scaled(6),
            steps: 600,
        };
        let report = model(&workload, options);
        assert!(
            report.commits > 1_500 && report.reopened > 5 && report.segments_removed > 5,
            "{report:?}"
        );
    }
}

#[test]
fn every_cut_leaves_a_prefix() {
    for workload in [FLAT, GRAPH] {
        let options = CrashOptions {
            first_seed: 1,
            seeds: scaled(3),
            steps: 80,
            images: 300,
            nested_one_in: 10,
        };
        let report = crash_images(&workload, &options);
        assert!(report.images > 500 && report.nested > 20, "{report:?}");
    }
}

#[test]
fn two_operations_survive_every_cut() {
    let options = CrashOptions {
        first_seed: 900,
        seeds: scaled(8),
        steps: 2,
        images: 400,
        nested_one_in: 10,
    };
    let report = crash_images(&GRAPH, &options);
    assert!(report.images > 400, "{report:?}");
}

#[test]
fn every_call_may_fail() {
    let options = ErrorOptions {
        seeds: scaled(1),
        steps: 40,
    };
    // Without payloads: after a failed sync nobody can read back what the disk dropped.
    let workload = VectorWorkload {
        scan_max: 4,
        payloads: false,
    };
    let report = io_errors(&workload, options);
    assert!(report.runs > 50 && report.refused > 0, "{report:?}");
}

#[test]
fn no_damage_passes_unseen() {
    let options = RotOptions {
        seed: 5,
        steps: 80,
        stride: 31,
        closed: true,
    };
    let report = rot(&GRAPH, &options);
    assert!(report.reported > 0 && report.shortened == 0, "{report:?}");
}
