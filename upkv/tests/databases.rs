//! The 16 databases of a mount: apart from each other, in one log, and in their order after reopening.

use std::sync::Arc;

use upkv::storage::fault::SimVfs;
use upkv::{Db, Store};

fn open(vfs: &Arc<SimVfs>) -> Store {
    Store::builder("store")
        .vfs(Arc::clone(vfs) as Arc<_>)
        .background(false)
        .open()
        .expect("a sound store opens")
}

#[test]
fn databases_and_their_order_survive() {
    let vfs = Arc::new(SimVfs::new());
    let store = open(&vfs);
    let db = Db::mount(&store, "cache").expect("mounts");
    for index in 0..16 {
        let database = db.database(index).expect("in range");
        database.set("name", index.to_string()).expect("sets");
        database.zset("z").add("m", f64::from(index)).expect("adds");
    }
    assert!(db.database(16).is_err());
    db.command(["SWAPDB", "0", "3"]).expect("swaps");
    store.checkpoint().expect("a checkpoint");
    db.command(["SWAPDB", "3", "9"]).expect("swaps");
    db.database(5).expect("in range").flush().expect("flushes");
    db.database(3)
        .expect("in range")
        .set("late", "x")
        .expect("sets");
    let expected = |index: u8| match index {
        0 => Some("3".to_owned()),
        3 => Some("9".to_owned()),
        9 => Some("0".to_owned()),
        5 => None,
        other => Some(other.to_string()),
    };
    let check = |db: &Db| {
        for index in 0..16 {
            let database = db.database(index).expect("in range");
            let name = database.get("name").expect("reads");
            assert_eq!(
                name.map(|name| name.to_string()),
                expected(index),
                "{index}"
            );
        }
        let late = db
            .database(3)
            .expect("in range")
            .get("late")
            .expect("reads");
        assert_eq!(late.expect("set after the swap"), "x");
        db.audit().expect("the counts agree");
    };
    check(&db);
    store.close().expect("closes");
    drop((db, store));
    let store = open(&vfs);
    let db = Db::mount(&store, "cache").expect("mounts");
    check(&db);
    db.demote_all().expect("demotes");
    check(&db);
}

#[test]
fn flushing_one_of_several_in_a_transaction_is_undone_with_it() {
    let db = Db::mount(&Store::memory().expect("memory"), "cache").expect("mounts");
    let mut session = db.session();
    for line in ["SET a 1", "SELECT 1", "SET a 2", "SELECT 0"] {
        session.command(line.split(' ')).expect("runs");
    }
    let outcome: upkv::Result<()> = db.transaction(|tx| {
        tx.set("b", "1")?;
        tx.command(["FLUSHALL"])?;
        tx.set("c", "1")?;
        tx.abort("no")
    });
    assert!(outcome.is_err());
    assert_eq!(db.get("a").expect("reads").expect("undone"), "1");
    let other = db.database(1).expect("in range");
    assert_eq!(other.get("a").expect("reads").expect("undone"), "2");
    assert!(!db.exists("b").expect("reads") && !db.exists("c").expect("reads"));
    db.audit().expect("the counts agree");
}
