//! Records with right checksums and wrong contents: whatever a log or a checkpoint claims, mounting ends with a database whose
//! counts agree, or with an error.
#![cfg(all(feature = "test-util", feature = "engine"))]

mod kv;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kv::every::{EveryWorkload, observe};
use upkv::storage::Random;
use upkv::storage::testing::{Run, Workload, decode, scaled};
use upkv::{Db, ManualClock, Store};

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("upkv-damage-{name}-{}", std::process::id()));
        std::fs::remove_dir_all(&dir).ok();
        Self(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn open(dir: &Path) -> Result<Store, upkv::storage::Error> {
    Store::builder(dir)
        .clock(Arc::new(ManualClock::default()))
        .segment_bytes(256 * 1024)
        .background(false)
        .open()
}

/// All files of a directory, by their paths in it.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("listed").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).expect("a file");
            found.push((path, bytes));
        }
    }
    found.sort();
    found
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

fn run(dir: &Path, seed: u64, steps: u64, checkpoint: bool) {
    let store = open(dir).expect("a store");
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
    let (source, target) = (Dir::new("source"), Dir::new("target"));
    let (mut mounted, mut refused) = (0, 0);
    for seed in 0..scaled(6) {
        std::fs::remove_dir_all(&source.0).ok();
        let checkpoint = seed % 2 == 0;
        run(&source.0, seed, 250, checkpoint);
        let intact = files(&source.0);
        for round in 0..scaled(100) {
            let random = Random::seeded(seed << 32 | round);
            std::fs::remove_dir_all(&target.0).ok();
            for (path, bytes) in &intact {
                let to = target.0.join(path.strip_prefix(&source.0).expect("inside"));
                std::fs::create_dir_all(to.parent().expect("inside")).expect("makes it");
                let mut change = |body: &mut [u8]| {
                    if random.below(40) == 0 {
                        self::change(body, &random);
                    }
                };
                let extension = path.extension().and_then(|end| end.to_str());
                let bytes = match extension {
                    Some("log") => decode::with_other_contents(bytes, &mut change),
                    Some("ckp") => {
                        decode::with_other_blocks(bytes, &mut |block| self::change(block, &random))
                    }
                    _ => bytes.clone(),
                };
                std::fs::write(&to, bytes).expect("writes");
            }
            let outcome = std::panic::catch_unwind(|| mount(&target.0));
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
fn mount(dir: &Path) -> Result<(), String> {
    let store = open(dir).map_err(|error| error.to_string())?;
    let db = Db::mount(&store, "kv").map_err(|error| error.to_string())?;
    db.audit().expect("the counts agree");
    observe(&db).map_err(|error| error.to_string())?;
    db.command(["FLUSHALL"])
        .map_err(|error| error.to_string())?;
    db.audit().expect("the counts agree");
    Ok(())
}
