//! Transactions: isolation, undo, panics, other engines, restarts, and what survives.

#![allow(clippy::unwrap_used, reason = "a failed test should stop here")]

use std::any::Any;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use upkv::storage::{self, Commit, Enlist, Frame, MountId, Staged};
use upkv::{Db, DbOptions, Error, Store};

fn db() -> Db {
    Db::mount_with(&Store::memory().unwrap(), "kv", DbOptions::new().shards(16)).unwrap()
}

fn fill(db: &Db) {
    db.set("text", "before").unwrap();
    db.set("count", "10").unwrap();
    db.hash("hash").set_many([("a", "1"), ("b", "2")]).unwrap();
    db.zset("zset").add_many([("x", 1.0), ("y", 2.0)]).unwrap();
    db.command(["PEXPIREAT", "text", "40000000000000"]).unwrap();
}

/// All that can be seen, in comparable form.
fn look(db: &Db) -> Vec<String> {
    let mut seen = Vec::new();
    let commands: [&[&str]; 8] = [
        &["GET", "text"],
        &["GET", "count"],
        &["HGETALL", "hash"],
        &["ZRANGE", "zset", "0", "-1", "WITHSCORES"],
        &["PEXPIRETIME", "text"],
        &["DBSIZE"],
        &["EXISTS", "new", "new2", "newhash"],
        &["OBJECT", "ENCODING", "hash"],
    ];
    for command in commands {
        seen.push(format!("{:?}", db.command(command)));
    }
    seen
}

fn change_everything(tx: &upkv::Transaction<'_>) -> upkv::Result<()> {
    tx.set("text", "after")?;
    tx.incr_by("count", 5)?;
    tx.hash("hash").set("a", "changed")?;
    tx.hash("hash").remove("b")?;
    tx.hash("hash").remove("a")?;
    tx.hash("hash").set("c", "anew")?;
    tx.zset("zset").add("x", 9.0)?;
    tx.zset("zset").pop_min(1)?;
    tx.set("new", "1")?;
    tx.append("new", "2")?;
    tx.hash("newhash").set("f", "v")?;
    tx.delete("count")?;
    tx.set("count", "3")?;
    tx.command(["RENAME", "text", "new2"])?;
    tx.command(["PERSIST", "new2"])?;
    Ok(())
}

#[test]
fn an_aborted_transaction_leaves_no_trace() {
    let db = db();
    fill(&db);
    let (before, token) = (look(&db), db.token());
    let result = db.transaction(|tx| {
        change_everything(tx)?;
        assert_eq!(
            tx.get("new")?.unwrap(),
            "12",
            "a transaction sees its own changes"
        );
        tx.abort::<()>("enough")
    });
    assert!(matches!(result, Err(Error::Aborted(reason)) if &*reason == "enough"));
    assert_eq!(look(&db), before);
    assert_eq!(db.token(), token, "nothing was logged");
    db.audit().unwrap();
}

#[test]
fn a_flush_is_undone_too() {
    let db = db();
    fill(&db);
    let before = look(&db);
    let result = db.transaction(|tx| {
        change_everything(tx)?;
        tx.command(["FLUSHALL"])?;
        tx.set("text", "alone")?;
        tx.command(["FLUSHALL"])?;
        tx.set("last", "1")?;
        tx.abort::<()>("no")
    });
    assert!(result.is_err());
    assert_eq!(look(&db), before);
    db.audit().unwrap();
    db.transaction(|tx| {
        change_everything(tx)?;
        tx.command(["FLUSHALL"])?;
        tx.set("last", "1")
    })
    .unwrap();
    assert_eq!(db.len().unwrap(), 1);
    db.audit().unwrap();
}

#[test]
fn a_panic_undoes_and_leaves_the_database_usable() {
    let db = db();
    fill(&db);
    let before = look(&db);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        db.transaction(|tx| {
            change_everything(tx)?;
            if tx.exists("text")? {
                Ok(())
            } else {
                panic!("in the middle")
            }
        })
    }));
    assert!(caught.is_err());
    assert_eq!(look(&db), before);
    db.set("still", "works").unwrap();
    db.audit().unwrap();
}

#[test]
fn a_committed_transaction_is_one_commit() {
    let db = db();
    fill(&db);
    let before = db.token().seq;
    db.transaction(|tx| change_everything(tx)).unwrap();
    assert_eq!(db.token().seq, before + 1);
    assert_eq!(db.get("new").unwrap().unwrap(), "12");
    assert_eq!(db.get("new2").unwrap().unwrap(), "after");
    assert_eq!(db.hash("hash").get("c").unwrap().unwrap(), "anew");
    db.audit().unwrap();
    let before = db.token().seq;
    db.transaction(|tx| tx.get("new")).unwrap();
    assert_eq!(db.token().seq, before, "reading logs nothing");
}

#[test]
fn transfers_in_opposite_directions_keep_the_sum() {
    let db = db();
    for account in 0..8 {
        db.set(format!("account:{account}"), "100").unwrap();
    }
    let restarts = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let (db, restarts) = (&db, &restarts);
            scope.spawn(move || {
                for round in 0..300 {
                    let from = (thread + round) % 8;
                    let to = (thread * 3 + round * 5 + 1) % 8;
                    db.transaction(|tx| {
                        restarts.fetch_add(1, Ordering::Relaxed);
                        tx.decr(format!("account:{from}"))?;
                        tx.incr(format!("account:{to}"))?;
                        if round % 7 == 0 {
                            tx.abort("sometimes")
                        } else {
                            Ok(())
                        }
                    })
                    .or_else(|error| match error {
                        Error::Aborted(_) => Ok(()),
                        other => Err(other),
                    })
                    .unwrap();
                    let keys = (0..8).map(|n| format!("account:{n}"));
                    let sum: i64 = db
                        .get_many(keys)
                        .unwrap()
                        .into_iter()
                        .map(|value| value.unwrap().as_str().unwrap().parse::<i64>().unwrap())
                        .sum();
                    assert_eq!(sum, 800, "no reader sees half a transaction");
                }
            });
        }
    });
    assert!(restarts.into_inner() >= 1_200);
    db.audit().unwrap();
}

#[test]
fn counters_add_up_across_threads() {
    let db = db();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    db.incr("counter").unwrap();
                    db.hash("h").incr("f", 1).unwrap();
                    db.zset("z").incr("m", 1.0).unwrap();
                }
            });
        }
    });
    assert_eq!(db.get("counter").unwrap().unwrap(), "2000");
    assert_eq!(db.hash("h").get("f").unwrap().unwrap(), "2000");
    assert_eq!(db.zset("z").score("m").unwrap(), Some(2000.0));
}

#[test]
fn cold_values_are_loaded_for_a_transaction() {
    let dir = std::env::temp_dir().join(format!("upkv-tx-{}", std::process::id()));
    std::fs::remove_dir_all(&dir).ok();
    let db = Db::builder(&dir)
        .background(false)
        .shards(16)
        .open()
        .unwrap();
    let long = "x".repeat(500);
    for n in 0..20 {
        db.set(format!("key:{n}"), &long).unwrap();
        db.hash(format!("hash:{n}")).set("f", &long).unwrap();
    }
    db.demote_all().unwrap();
    let total = db
        .transaction(|tx| {
            let mut total = 0;
            for n in 0..20 {
                total += tx.append(format!("key:{n}"), "y")?;
                tx.hash(format!("hash:{n}")).set("g", "1")?;
                total += tx
                    .hash(format!("hash:{n}"))
                    .get("f")?
                    .map_or(0, |value| value.len());
            }
            Ok(total)
        })
        .unwrap();
    assert_eq!(total, 20 * 1_001);
    db.audit().unwrap();
    db.close().unwrap();
    std::fs::remove_dir_all(&dir).ok();
}

#[test]
fn another_error_type_passes_through() {
    #[derive(Debug)]
    enum Refusal {
        Kv(Error),
        SoldOut(i64),
    }
    impl From<Error> for Refusal {
        fn from(error: Error) -> Self {
            Self::Kv(error)
        }
    }
    let db = db();
    let result = db.try_transaction(|tx| match tx.decr("stock")? {
        left if left < 0 => Err(Refusal::SoldOut(left)),
        left => Ok(left),
    });
    assert!(matches!(result, Err(Refusal::SoldOut(-1))));
    assert!(!db.exists("stock").unwrap());
    db.set("stock", "x").unwrap();
    let result: Result<i64, Refusal> = db.try_transaction(|tx| Ok(tx.decr("stock")?));
    assert!(matches!(result, Err(Refusal::Kv(Error::NotInteger))));
}

/// A stand-in for another engine: it notes what its store committed.
#[derive(Clone)]
struct Notes {
    host: Db,
    committed: Arc<Mutex<Vec<String>>>,
    refuse: bool,
}

struct Pending {
    notes: Notes,
    staged: Vec<String>,
}

impl Enlist for Notes {
    type Staged = Pending;

    fn mount_id(&self) -> MountId {
        // It writes no records, so it may answer with the number of the database it is tested with.
        self.host.mount_id()
    }

    fn belongs_to(&self, store: &Store) -> bool {
        self.host.belongs_to(store)
    }

    fn stage(&self) -> Pending {
        Pending {
            notes: self.clone(),
            staged: Vec::new(),
        }
    }
}

impl Staged for Pending {
    fn mount_id(&self) -> MountId {
        self.notes.host.mount_id()
    }

    fn commit(
        &mut self,
        frame: &mut Frame,
        rest: &mut dyn FnMut(&mut Frame) -> storage::Result<Commit>,
    ) -> storage::Result<Commit> {
        if self.notes.refuse {
            return Err(storage::Error::misuse("refused on purpose"));
        }
        let commit = rest(frame)?;
        self.notes
            .committed
            .lock()
            .unwrap()
            .append(&mut self.staged);
        Ok(commit)
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

#[test]
fn other_engines_commit_with_the_transaction_or_not_at_all() {
    let db = db();
    fill(&db);
    let committed = Arc::new(Mutex::new(Vec::new()));
    let notes = Notes {
        host: db.clone(),
        committed: Arc::clone(&committed),
        refuse: false,
    };
    let before = db.token().seq;
    db.transaction(|tx| {
        tx.incr("count")?;
        tx.enlist(&notes)?.staged.push("one".into());
        tx.enlist(&notes)?.staged.push("two".into());
        Ok(())
    })
    .unwrap();
    assert_eq!(*committed.lock().unwrap(), ["one", "two"]);
    assert_eq!(db.token().seq, before + 1);

    let seen = look(&db);
    let refusing = Notes {
        refuse: true,
        ..notes.clone()
    };
    let result = db.transaction(|tx| {
        change_everything(tx)?;
        tx.enlist(&refusing)?.staged.push("never".into());
        Ok(())
    });
    assert!(matches!(result, Err(Error::Storage(_))));
    let aborted = db.transaction(|tx| {
        tx.enlist(&notes)?.staged.push("never".into());
        tx.abort::<()>("no")
    });
    assert!(aborted.is_err());
    assert_eq!(look(&db), seen);
    assert_eq!(committed.lock().unwrap().len(), 2);
    let elsewhere = Notes {
        host: self::db(),
        ..notes
    };
    let result = db.transaction(|tx| tx.enlist(&elsewhere).map(drop));
    assert!(
        matches!(result, Err(Error::Storage(_))),
        "another store is refused"
    );
    db.audit().unwrap();
}
