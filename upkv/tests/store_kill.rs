//! The store in real processes that are killed at work.
#![cfg(feature = "test-util")]

mod ledger;

use ledger::LedgerWorkload;
use upkv::storage::testing::{KillOptions, kill, scaled};

#[test]
fn killed_processes_lose_nothing_acknowledged() {
    let options = KillOptions {
        kills: scaled(50),
        fresh_every: 5,
        lanes: 4,
        after_ms_max: 60,
        seed: 11,
    };
    let test = "killed_processes_lose_nothing_acknowledged";
    let report = kill(
        &LedgerWorkload {
            small: true,
            ..Default::default()
        },
        test,
        &options,
    );
    assert!(
        report.kills >= 50 && report.acknowledged > 1_000,
        "{report:?}"
    );
}
