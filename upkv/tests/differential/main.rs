//! Random commands on this engine and on a real `redis-server`: replies must be equal, and in the end the data.
//!
//! The servers are the `redis-server` of the machine and, with all that is newer, the one that `DIFFERENTIAL_SERVER`
//! names. `DIFFERENTIAL_COMMANDS` sets how many commands each is sent, 100,000 without it; `DIFFERENTIAL_SEED` runs the
//! one case that a failure named, or from there on if both are set; `DIFFERENTIAL_CHAPTER` one chapter of `generate/`.
//! Half of the cases speak RESP3; a quarter drop every value from memory now and then, which must not change a reply.
//! A failure prints its seed and the fewest commands that still differ. Skips, saying so, where there is no server.

#[path = "../common/mod.rs"]
mod common;
mod compare;
#[cfg(feature = "lua")]
mod corpus;
mod exchange;
mod generate;
mod known;
mod run;
mod server;
mod walk;

use common::Redis;

/// Commands in one case.
const LENGTH: usize = 400;
/// Failures that are shown before the rest is left out.
const FAILURES: usize = 8;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.replace('_', "").parse().expect("a number"))
}

#[test]
fn replies_equal_those_of_redis() {
    if let Some(server) = Redis::start("differential") {
        compare(&server);
    }
}

#[test]
fn replies_equal_those_of_a_newer_redis() {
    if let Some(server) = Redis::start_newer("differential-newer") {
        compare(&server);
    }
}

fn compare(server: &Redis) {
    let mut theirs = server::Theirs::connect(server);
    let commands = number("DIFFERENTIAL_COMMANDS");
    let cases = commands.unwrap_or(100_000).div_ceil(LENGTH as u64);
    let (first, cases) = match number("DIFFERENTIAL_SEED") {
        Some(seed) if commands.is_none() => (seed, 1),
        seed => (seed.unwrap_or(1), cases),
    };
    let mut failures = Vec::new();
    for seed in first..first + cases {
        failures.extend(run::case(&mut theirs, seed, LENGTH));
        if failures.len() == FAILURES {
            break;
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
