//! Records with right checksums and wrong contents: whatever a log or a checkpoint claims, mounting ends with a database whose
//! counts agree, or with an error.
#![cfg(all(feature = "test-util", feature = "engine"))]

mod kv;

use std::sync::Arc;

use kv::every::{EveryWorkload, observe};
use upkv::storage::Random;
use upkv::storage::testing::{Run, Workload, decode, scaled};
use upkv::storage::vfs::MemVfs;
use upkv::{Db, ManualClock, Store};

fn open(disk: &MemVfs) -> Result<Store, upkv::storage::Error> {
    Store::builder("/sim/store")
        .vfs(Arc::new(disk.clone()))
        .clock(Arc::new(ManualClock::default()))
        .segment_bytes(64 * 1024)
        .background(false)
        .open()
}

fn below(random: &Random, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).expect("below a usize")
}

/// Changes a few bytes in place.
fn change(body: &mut [u8], random: &Random) {
    const EDGES: [u8; 8] = [0, 1, 2, 0x7f, 0x80, 0xfe, 0xff, 0x40];
    for _ in 0..=random.below(3) {
        if body.is_empty() {
            return;
        }
        let at = below(random, body.len());
        match random.below(4) {
            0 => body[at] ^= 1 << random.below(8),
            1 => body[at] = EDGES[below(random, EDGES.len())],
            2 => body[at] = random.next_u64().to_le_bytes()[0],
            _ => {
                let len = below(random, 12.min(body.len() - at) + 1);
                let to = below(random, body.len() - len + 1);
                body.copy_within(at..at + len, to);
            }
        }
    }
}

fn run(disk: &MemVfs, seed: u64, steps: u64, checkpoint: bool) {
    let store = open(disk).expect("a store");
    let workload = EveryWorkload::default();
    let db = workload.open(&store, "kv").expect("mounts");
    let random = Random::seeded(seed);
    let clock = ManualClock::default();
    let run = Run {
        random: &random,
        clock: &clock,
        store: &store,
    };
    let mut model = workload.empty();
    for _ in 0..steps {
        workload.step(&db, &run, &mut model).expect("works");
    }
    if checkpoint {
        store.checkpoint().expect("writes");
    }
    store.close().expect("closes");
}

#[test]
fn wrong_contents_are_refused_or_read() {
    let (mut mounted, mut refused) = (0, 0);
    for seed in 0..scaled(6) {
        let source = MemVfs::new();
        run(&source, seed, 250, seed % 2 == 0);
        for round in 0..scaled(60) {
            let random = Random::seeded(seed << 32 | round);
            let target = source.copy();
            for (path, bytes) in source.contents() {
                let mut seldom = |body: &mut [u8]| {
                    if random.below(40) == 0 {
                        change(body, &random);
                    }
                };
                let extension = path.extension().and_then(|end| end.to_str());
                let bytes = match extension {
                    Some("log") => decode::with_other_contents(&bytes, &mut seldom),
                    Some("ckp") => {
                        decode::with_other_blocks(&bytes, &mut |block| change(block, &random))
                    }
                    _ => bytes,
                };
                target.put(&path, bytes);
            }
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| mount(&target)));
            match outcome.unwrap_or_else(|_| panic!("seed {seed}, round {round}")) {
                Ok(()) => mounted += 1,
                Err(_) => refused += 1,
            }
        }
    }
    assert!(
        mounted > 20 && refused > 20,
        "{mounted} mounted, {refused} refused"
    );
}

/// Opens what is there and looks at everything in it.
fn mount(disk: &MemVfs) -> Result<(), String> {
    let store = open(disk).map_err(|error| error.to_string())?;
    let db = Db::mount(&store, "kv").map_err(|error| error.to_string())?;
    db.audit().expect("the counts agree");
    observe(&db).map_err(|error| error.to_string())?;
    db.command(["FLUSHALL"])
        .map_err(|error| error.to_string())?;
    db.audit().expect("the counts agree");
    Ok(())
}
