//! Commands of every type against what the engine showed when they were done: reopening, power cuts at every operation, failing
//! disks, damage, killed processes.
#![cfg(all(feature = "test-util", feature = "engine"))]

mod kv;

use std::sync::Arc;

use kv::every::{EveryWorkload, idle, twins};
use upkv::storage::testing::{
    CrashOptions, ErrorOptions, KillOptions, ModelOptions, RotOptions, Run, crash_images,
    io_errors, kill, model, rot, scaled,
};
use upkv::storage::vfs::MemVfs;
use upkv::{Db, ManualClock, Store};

const DEMOTING: EveryWorkload = EveryWorkload {
    demote: true,
    predictable: false,
};

#[test]
fn every_command_has_something_to_do() {
    let clock = ManualClock::default();
    let store = Store::memory_builder().clock(Arc::new(clock.clone()));
    let store = store.background(false).open().expect("a store");
    let db = Db::mount(&store, "kv").expect("mounts");
    let random = upkv::storage::Random::seeded(3);
    let run = Run {
        random: &random,
        clock: &clock,
        store: &store,
    };
    let idle = idle(&run, &db, 30_000).expect("memory does not fail");
    // Those that wait are tried in transactions only.
    let idle: Vec<&str> = idle.iter().map(String::as_str).collect();
    assert_eq!(idle, ["BLMOVE", "BZPOPMIN", "XREADGROUP GROUP i c"]);
}

#[test]
fn replies_do_not_depend_on_where_values_are() {
    let clock = ManualClock::default();
    let store = Store::memory_builder().clock(Arc::new(clock.clone()));
    let store = store.background(false).open().expect("a store");
    let hot = Db::mount(&store, "kv").expect("mounts");
    let disk = Store::builder("/sim/store").vfs(Arc::new(MemVfs::new()));
    let disk = disk.clock(Arc::new(clock.clone())).background(false);
    let disk = disk.open().expect("a store");
    let cold = Db::mount(&disk, "kv").expect("mounts");
    let random = upkv::storage::Random::seeded(5);
    let run = Run {
        random: &random,
        clock: &clock,
        store: &store,
    };
    let commands = usize::try_from(scaled(4_000)).expect("a small number");
    let reads = twins(&run, (&hot, &cold), commands).expect("memory does not fail");
    assert!(reads > 3_000, "{reads}");
}

#[test]
fn what_is_reopened_shows_what_was_there() {
    let options = ModelOptions {
        seeds: scaled(6),
        steps: 700,
    };
    let commits = model(&EveryWorkload::default(), options).commits;
    assert!(commits > 1_500, "{commits}");
}

#[test]
fn moves_between_the_tiers_change_nothing() {
    let options = ModelOptions {
        seeds: scaled(6),
        steps: 700,
    };
    let commits = model(&DEMOTING, options).commits;
    assert!(commits > 1_500, "{commits}");
}

#[test]
fn every_cut_leaves_a_prefix() {
    let options = CrashOptions {
        first_seed: 1,
        seeds: scaled(5),
        steps: 120,
        images: 200,
        nested_one_in: 20,
    };
    let report = crash_images(&DEMOTING, &options);
    assert!(report.images > 500 && report.nested > 10, "{report:?}");
}

#[test]
fn every_call_may_fail() {
    let options = ErrorOptions {
        seeds: scaled(1),
        steps: 40,
    };
    // Without demotion: after a failed sync nobody can read back what the disk dropped.
    let report = io_errors(&EveryWorkload::default(), options);
    assert!(report.runs > 50 && report.refused > 0, "{report:?}");
}

#[test]
fn no_damage_passes_unseen() {
    let options = RotOptions {
        seed: 9,
        steps: 90,
        stride: 37,
        closed: true,
    };
    let report = rot(&EveryWorkload::default(), &options);
    assert!(report.reported > 0 && report.shortened == 0, "{report:?}");
}

#[test]
fn killed_processes_lose_nothing_acknowledged() {
    let options = KillOptions {
        kills: scaled(10),
        fresh_every: 5,
        lanes: 3,
        after_ms_max: 200,
        seed: 17,
    };
    let workload = EveryWorkload {
        demote: true,
        predictable: true,
    };
    let test = "killed_processes_lose_nothing_acknowledged";
    let report = kill(&workload, test, &options);
    assert!(
        report.kills >= 10 && report.acknowledged > 100,
        "{report:?}"
    );
}
