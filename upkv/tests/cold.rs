//! The cold tier: more data than memory, reads from the log, promotion, relocation, expiry of cold keys.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use upkv::{Db, DbOptions, Durability, ManualClock, SetOptions, Store, Timestamp};

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("upkv-cold-{name}-{}", std::process::id()));
        std::fs::remove_dir_all(&dir).ok();
        Self(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn options() -> DbOptions {
    DbOptions::new().durability(Durability::Os).shards(16)
}

fn value(n: u64, len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|at| (n.wrapping_mul(31).wrapping_add(at) % 251) as u8)
        .collect()
}

#[test]
fn data_far_above_the_budget_stays_readable_within_it() {
    const LIMIT: u64 = 1 << 20;
    let dir = Dir::new("budget");
    let store = Store::builder(&dir.0)
        .segment_bytes(1 << 20)
        .background(false)
        .open()
        .unwrap();
    let db = Db::mount_with(&store, "kv", options().memory_limit_bytes(LIMIT)).unwrap();
    for n in 0..6_000 {
        db.set(format!("key:{n}"), value(n, 1_000)).unwrap();
    }
    let stats = db.stats();
    assert!(stats.cold_keys > 4_000, "{stats:?}");
    assert!(stats.used_bytes < LIMIT + LIMIT / 10, "{stats:?}");
    for n in (0..6_000).rev() {
        assert_eq!(
            db.get(format!("key:{n}")).unwrap().unwrap(),
            &value(n, 1_000)[..]
        );
        assert_eq!(db.strlen(format!("key:{n}")).unwrap(), 1_000);
    }
    assert!(db.stats().used_bytes < LIMIT + LIMIT / 10);
    db.audit().unwrap();
    // Keys that are read again and again come back into memory.
    for _ in 0..3 {
        for n in 0..50 {
            db.get(format!("key:{n}")).unwrap();
        }
    }
    assert!(db.stats().promoted >= 50, "{:?}", db.stats());
    let before = db.stats().cold_reads;
    db.get("key:7").unwrap();
    assert_eq!(
        db.stats().cold_reads,
        before,
        "a promoted value needs no read"
    );
    store.close().unwrap();
}

#[test]
fn the_first_cold_read_leaves_the_value_cold_and_the_second_promotes_it() {
    let dir = Dir::new("promote");
    let store = Store::builder(&dir.0).background(false).open().unwrap();
    let db = Db::mount_with(&store, "kv", options()).unwrap();
    db.set("a", value(1, 500)).unwrap();
    db.set("short", "under the limit").unwrap();
    db.demote_all().unwrap();
    assert_eq!(db.stats().cold_keys, 1, "short values stay");
    db.get("a").unwrap();
    assert_eq!((db.stats().cold_keys, db.stats().promoted), (1, 0));
    db.get("a").unwrap();
    assert_eq!((db.stats().cold_keys, db.stats().promoted), (0, 1));
}

#[test]
fn cold_collections_are_loaded_with_their_changes() {
    let dir = Dir::new("collections");
    let store = Store::builder(&dir.0).background(false).open().unwrap();
    let db = Db::mount_with(&store, "kv", options()).unwrap();
    let hash = db.hash("hash");
    let zset = db.zset("zset");
    for n in 0..900_u32 {
        hash.set(format!("field:{n}"), n.to_string()).unwrap();
        zset.add(format!("member:{n}"), f64::from(n)).unwrap();
        if n % 100 == 50 {
            db.demote_all().unwrap();
        }
    }
    db.demote_all().unwrap();
    assert_eq!(db.stats().cold_keys, 2);
    assert_eq!(hash.len().unwrap(), 900);
    assert_eq!(zset.rank("member:77").unwrap(), Some(77));
    db.audit().unwrap();
    store.close().unwrap();
    drop((db.clone(), store));
    let store = Store::builder(&dir.0).background(false).open().unwrap();
    let db = Db::mount_with(&store, "kv", options()).unwrap();
    assert_eq!(db.hash("hash").get("field:899").unwrap().unwrap(), "899");
    assert_eq!(db.zset("zset").count(..).unwrap(), 900);
    db.audit().unwrap();
}

#[test]
fn overwriting_does_not_grow_the_log_without_end() {
    let dir = Dir::new("gc");
    let store = Store::builder(&dir.0)
        .segment_bytes(256 << 10)
        .checkpoint_bytes(512 << 10)
        .background(false)
        .open()
        .unwrap();
    let db = Db::mount_with(&store, "kv", options().memory_limit_bytes(256 << 10)).unwrap();
    for round in 0..30 {
        for n in 0..400 {
            db.set(format!("key:{n}"), value(n + round, 1_000)).unwrap();
        }
        db.hash("hash")
            .set(format!("f{round}"), value(round, 300))
            .unwrap();
        store.maintain(Duration::from_secs(1)).unwrap();
    }
    for _ in 0..20 {
        store.checkpoint().unwrap();
        store.maintain(Duration::from_secs(1)).unwrap();
    }
    let live = db.stats().log_bytes;
    let disk: u64 = std::fs::read_dir(dir.0.join("seg"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(disk < live * 4, "{disk} bytes on disk for {live} live ones");
    db.audit().unwrap();
    for n in 0..400 {
        assert_eq!(
            db.get(format!("key:{n}")).unwrap().unwrap(),
            &value(n + 29, 1_000)[..]
        );
    }
    assert_eq!(db.hash("hash").len().unwrap(), 30);
}

#[test]
fn cold_keys_expire_without_being_read() {
    let dir = Dir::new("expire");
    let clock = ManualClock::new(Timestamp::from_millis(1_000_000));
    let store = Store::builder(&dir.0)
        .clock(Arc::new(clock.clone()))
        .background(false)
        .open()
        .unwrap();
    let db = Db::mount_with(&store, "kv", options()).unwrap();
    let soon = SetOptions::new().expire_in(Duration::from_mins(1));
    for n in 0..600 {
        db.set_with(format!("key:{n}"), value(n, 200), soon)
            .unwrap();
    }
    db.set("kept", value(1, 200)).unwrap();
    db.demote_all().unwrap();
    assert_eq!(db.stats().cold_keys, 601);
    clock.advance(Duration::from_mins(1));
    assert!(
        !db.exists("key:1").unwrap(),
        "an overdue key is invisible at once"
    );
    assert_eq!(db.get("key:1").unwrap(), None);
    // Cleaning up may come later, by as much as the index is coarse.
    clock.advance(Duration::from_secs(10));
    for _ in 0..20 {
        store.maintain(Duration::from_secs(1)).unwrap();
    }
    let stats = db.stats();
    assert_eq!(
        (stats.keys, stats.expired, stats.cold_reads),
        (1, 600, 0),
        "{stats:?}"
    );
    db.audit().unwrap();
}

#[test]
fn readers_and_writers_of_cold_values_do_not_disturb_each_other() {
    let dir = Dir::new("threads");
    let store = Store::builder(&dir.0)
        .segment_bytes(1 << 20)
        .background(false)
        .open()
        .unwrap();
    let db = Db::mount_with(&store, "kv", options().memory_limit_bytes(64 << 10)).unwrap();
    for n in 0..200 {
        db.set(format!("key:{n}"), value(0, 600)).unwrap();
    }
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let db = db.clone();
            scope.spawn(move || {
                for round in 0..400 {
                    let key = format!("key:{}", (round * 7 + thread * 13) % 200);
                    if thread == 0 {
                        db.set(&key, value(round, 600)).unwrap();
                    } else {
                        let found = db.get(&key).unwrap().unwrap();
                        let first = u64::from(found[0]);
                        let whole = (0..600).all(|at| {
                            u64::from(found[usize::try_from(at).unwrap()]) == (first + at) % 251
                        });
                        assert!(whole, "a value is whole or not there");
                    }
                    db.hash("shared")
                        .set(format!("t{thread}"), round.to_string())
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(db.hash("shared").len().unwrap(), 4);
    db.audit().unwrap();
}
