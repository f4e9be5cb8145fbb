//! The key-value engine against its model: reopening, power cuts at every operation, failing disks, damage.
#![cfg(all(feature = "test-util", feature = "engine"))]

mod kv;

use kv::KvWorkload;
use upkv::storage::testing::{
    CrashOptions, ErrorOptions, ModelOptions, RotOptions, crash_images, io_errors, model, rot,
    scaled,
};

#[test]
fn random_operations_equal_the_model_across_reopening() {
    let options = ModelOptions {
        seeds: scaled(12),
        steps: 800,
    };
    let commits = model(&KvWorkload::default(), options).commits;
    assert!(commits > 4_000, "{commits}");
}

#[test]
fn moves_between_the_tiers_change_nothing() {
    let options = ModelOptions {
        seeds: scaled(12),
        steps: 800,
    };
    let commits = model(&KvWorkload { demote: true }, options).commits;
    assert!(commits > 4_000, "{commits}");
}

#[test]
fn every_cut_leaves_a_prefix() {
    let options = CrashOptions {
        first_seed: 1,
        seeds: scaled(6),
        steps: 90,
        images: 400,
        nested_one_in: 10,
    };
    let report = crash_images(&KvWorkload { demote: true }, &options);
    assert!(report.images > 1_000 && report.nested > 50, "{report:?}");
}

#[test]
fn two_operations_survive_every_cut() {
    let options = CrashOptions {
        first_seed: 900,
        seeds: scaled(10),
        steps: 2,
        images: 400,
        nested_one_in: 10,
    };
    let report = crash_images(&KvWorkload::default(), &options);
    assert!(report.images > 500, "{report:?}");
}

#[test]
fn every_call_may_fail() {
    let options = ErrorOptions {
        seeds: scaled(1),
        steps: 40,
    };
    // Without demotion: after a failed sync nobody can read back what the disk dropped.
    let report = io_errors(&KvWorkload::default(), options);
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
    let report = rot(&KvWorkload::default(), &options);
    assert!(report.reported > 0 && report.shortened == 0, "{report:?}");
}
