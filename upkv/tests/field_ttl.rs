//! Deadlines of hash fields as time passes: what readers see, what the timer clears away, what reopening
//! and the cold tier keep.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use upkv::{Db, DbOptions, Durability, ManualClock, Reply, SetOptions, Store, Timestamp, Ttl};

const START: u64 = 1_000_000;

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("upkv-fields-{name}-{}", std::process::id()));
        std::fs::remove_dir_all(&dir).ok();
        Self(dir)
    }

    fn open(&self, clock: &ManualClock) -> (Store, Db) {
        let store = Store::builder(&self.0)
            .background(false)
            .clock(Arc::new(clock.clone()))
            .open()
            .expect("a store");
        let options = DbOptions::new().durability(Durability::Os).shards(16);
        let db = Db::mount_with(&store, "kv", options).expect("mounts");
        (store, db)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn clock() -> ManualClock {
    ManualClock::new(Timestamp::from_millis(START))
}

fn ms(span: u64) -> Duration {
    Duration::from_millis(span)
}

fn maintain(store: &Store) {
    store.maintain(Duration::from_secs(1)).expect("maintains");
}

fn fields(db: &Db, key: &str) -> Vec<String> {
    let pairs = db
        .hash(key)
        .iter()
        .map(|pair| pair.expect("a field").0.to_string());
    let mut fields: Vec<String> = pairs.collect();
    fields.sort();
    fields
}

#[test]
fn overdue_fields_are_gone_for_readers_at_once_and_cleared_away_later() {
    let (dir, clock) = (Dir::new("readers"), clock());
    let (store, db) = dir.open(&clock);
    let hash = db.hash("h");
    hash.set_many([("a", "1"), ("b", "2"), ("c", "3")]).unwrap();
    hash.expire("a", ms(100)).unwrap();
    hash.expire("b", ms(200)).unwrap();
    clock.advance(ms(100));
    assert!(hash.get("a").unwrap().is_none());
    assert_eq!(hash.ttl("a").unwrap(), Ttl::Missing);
    assert_eq!(hash.ttl("b").unwrap(), Ttl::Left(ms(100)));
    assert_eq!(fields(&db, "h"), ["b", "c"]);
    assert_eq!(hash.len().unwrap(), 2);
    for _ in 0..20 {
        let Reply::Bulk(field) = db.command(["HRANDFIELD", "h"]).unwrap() else {
            panic!("a field")
        };
        assert_ne!(field, "a");
    }
    let Reply::Array(many) = db.command(["HRANDFIELD", "h", "-50"]).unwrap() else {
        panic!("fields")
    };
    assert_eq!(many.len(), 50);
    assert!(
        many.iter()
            .all(|field| *field != Reply::Bulk("a".to_string().into()))
    );
    assert_eq!(db.stats().expired_fields, 0);
    clock.advance(ms(500));
    maintain(&store);
    assert_eq!(db.stats().expired_fields, 2);
    assert_eq!(fields(&db, "h"), ["c"]);
    db.audit().unwrap();
    // A field that comes back is new, whether its predecessor was cleared away or not.
    hash.expire("c", ms(50)).unwrap();
    hash.set("d", "4").unwrap();
    clock.advance(ms(50));
    assert!(hash.set("c", "5").unwrap());
    assert_eq!(hash.ttl("c").unwrap(), Ttl::Forever);
    assert_eq!(hash.incr("c", 1).unwrap(), 6);
    db.audit().unwrap();
}

#[test]
fn the_key_goes_with_its_last_field() {
    let (dir, clock) = (Dir::new("last"), clock());
    let (store, db) = dir.open(&clock);
    let short = SetOptions::new().expire_in(ms(100));
    db.hash("h")
        .set_with([("a", "1"), ("b", "2")], short)
        .unwrap();
    db.hash("i").set_with([("a", "1")], short).unwrap();
    clock.advance(ms(99));
    assert!(db.exists("h").unwrap());
    clock.advance(ms(1));
    assert!(!db.exists("h").unwrap());
    assert_eq!(db.kind("h").unwrap(), None);
    assert_eq!(db.keys("*").count(), 0);
    assert_eq!(db.command(["DEL", "h"]).unwrap(), Reply::Int(0));
    // Another type may take the name before anything was cleared away.
    db.set("i", "text").unwrap();
    clock.advance(ms(1_000));
    maintain(&store);
    assert_eq!(db.stats().keys, 1);
    assert_eq!(db.get("i").unwrap().unwrap(), "text");
    db.audit().unwrap();
}

#[test]
fn deadlines_survive_reopening_demotion_and_checkpoints() {
    let (dir, clock) = (Dir::new("reopen"), clock());
    let (store, db) = dir.open(&clock);
    let long = "x".repeat(200);
    for n in 0..20 {
        let hash = db.hash(format!("h{n}"));
        hash.set_many([("keep", &long[..]), ("drop", "1")]).unwrap();
        hash.expire("drop", ms(1_000 + n)).unwrap();
        let all = SetOptions::new().expire_in(ms(5_000));
        db.hash(format!("gone{n}"))
            .set_with([("a", &long[..]), ("b", "2")], all)
            .unwrap();
    }
    // A change after the image, which recovery sees without reading the value.
    db.hash("gone0").persist("a").unwrap();
    db.demote_all().unwrap();
    db.hash("gone1").set("late", "1").unwrap();
    store.checkpoint().unwrap();
    db.hash("h3").persist("drop").unwrap();
    store.close().unwrap();
    drop((db, store));

    clock.advance(ms(2_000));
    let (store, db) = dir.open(&clock);
    assert_eq!(fields(&db, "h0"), ["keep"]);
    assert_eq!(fields(&db, "h3"), ["drop", "keep"]);
    maintain(&store);
    assert_eq!(db.stats().expired_fields, 19);
    db.audit().unwrap();
    clock.advance(ms(4_000));
    assert_eq!(fields(&db, "gone0"), ["a"]);
    assert_eq!(fields(&db, "gone1"), ["late"]);
    assert!(!db.exists("gone2").unwrap());
    db.demote_all().unwrap();
    maintain(&store);
    assert_eq!(db.stats().keys, 22);
    db.audit().unwrap();
    store.close().unwrap();
    drop((db, store));

    let (_store, db) = dir.open(&clock);
    assert_eq!(db.keys("gone*").count(), 2);
    assert_eq!(db.hash("gone0").ttl("a").unwrap(), Ttl::Forever);
    db.audit().unwrap();
}

#[test]
fn many_fields_that_are_due_at_once_go_in_portions() {
    let (dir, clock) = (Dir::new("many"), clock());
    let (store, db) = dir.open(&clock);
    let names: Vec<String> = (0..5_000).map(|n| format!("field:{n}")).collect();
    let pairs = names.iter().map(|name| (name.as_str(), "v"));
    db.hash("h")
        .set_with(pairs, SetOptions::new().expire_in(ms(100)))
        .unwrap();
    db.hash("h").set("stays", "1").unwrap();
    clock.advance(ms(1_000));
    assert_eq!(db.hash("h").len().unwrap(), 1);
    while db.stats().expired_fields < 5_000 {
        let before = db.stats().expired_fields;
        clock.advance(ms(200));
        maintain(&store);
        assert!(
            db.stats().expired_fields > before,
            "nothing was cleared away"
        );
    }
    assert_eq!(fields(&db, "h"), ["stays"]);
    db.audit().unwrap();
}

#[test]
fn swapped_databases_keep_their_deadlines() {
    let (dir, clock) = (Dir::new("swap"), clock());
    let (store, db) = dir.open(&clock);
    db.hash("h")
        .set_with([("a", "1")], SetOptions::new().expire_in(ms(100)))
        .unwrap();
    db.set("s", "1").unwrap();
    db.expire("s", ms(100)).unwrap();
    db.command(["SWAPDB", "0", "5"]).unwrap();
    clock.advance(ms(1_000));
    maintain(&store);
    assert_eq!(db.stats().expired, 2);
    assert_eq!(db.stats().keys, 0);
    db.audit().unwrap();
}

#[test]
fn a_transaction_that_aborts_restores_deadlines() {
    let (dir, clock) = (Dir::new("abort"), clock());
    let (_store, db) = dir.open(&clock);
    let hash = db.hash("h");
    hash.set_many([("a", "1"), ("b", "2"), ("c", "3")]).unwrap();
    hash.expire("a", ms(100)).unwrap();
    hash.expire("b", ms(9_000)).unwrap();
    clock.advance(ms(100));
    let outcome = db.transaction(|tx| {
        let hash = tx.hash("h");
        hash.set("b", "9")?;
        hash.expire("c", ms(5))?;
        hash.remove("c")?;
        tx.abort::<()>("on purpose")
    });
    outcome.unwrap_err();
    assert_eq!(hash.ttl("b").unwrap(), Ttl::Left(ms(8_900)));
    assert_eq!(hash.ttl("c").unwrap(), Ttl::Forever);
    assert_eq!(fields(&db, "h"), ["b", "c"]);
    db.audit().unwrap();
}
