//! WAITAOF on files: what was written before it survives a power loss.

use upkv::{Db, DbOptions, Durability, Reply, Store};

#[test]
fn earlier_writes_are_durable_when_it_answers() {
    let dir = std::env::temp_dir().join(format!("upkv-waitaof-{}", std::process::id()));
    std::fs::remove_dir_all(&dir).ok();
    let store = Store::builder(&dir)
        .background(false)
        .open()
        .expect("a store");
    let options = DbOptions::new().durability(Durability::Memory);
    let db = Db::mount_with(&store, "kv", options).expect("mounts");
    let numbers = |local, replicas| Reply::Array(vec![Reply::Int(local), Reply::Int(replicas)]);
    db.set("a", "1").expect("sets");
    assert_eq!(
        db.command(["WAITAOF", "0", "0", "0"]).expect("known"),
        numbers(0, 0)
    );
    assert_eq!(
        db.command(["WAITAOF", "1", "0", "0"]).expect("known"),
        numbers(1, 0)
    );
    assert_eq!(
        db.command(["WAITAOF", "0", "0", "0"]).expect("known"),
        numbers(1, 0)
    );
    let mut session = db.session();
    for line in [
        &["MULTI"][..],
        &["SET", "b", "1"],
        &["WAITAOF", "1", "5", "0"],
    ] {
        session.command(line).expect("queued");
    }
    let replies = session.command(["EXEC"]).expect("runs");
    assert_eq!(
        replies,
        Reply::Array(vec![Reply::Status("OK"), numbers(1, 0)])
    );
    store.close().expect("closes");
    std::fs::remove_dir_all(&dir).ok();
}
