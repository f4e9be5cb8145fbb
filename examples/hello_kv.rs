//! Redis-style keys in a folder of your own: `cargo run --example hello_kv`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Duration;

use upkv::{Db, SetOptions, Ttl};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = examples::scratch("hello_kv")?;
    let db = Db::open(&dir)?;

    // Strings, counters, keys that end.
    db.set("user:1", "ada")?;
    assert_eq!(db.incr("visits")?, 1);
    let soon = SetOptions::new().expire_in(Duration::from_mins(1));
    db.set_with("otp:1", "9134", soon.if_absent())?;
    assert!(matches!(db.ttl("otp:1")?, Ttl::Left(_)));

    // A hash and a sorted set are handles bound to a key.
    db.hash("order:7").set("item", "lamp")?;
    let board = db.zset("board");
    board.add_many([("ada", 10.0), ("bob", 7.5), ("cleo", 12.0)])?;
    let best: Vec<String> = board
        .range(8.0..)
        .map(|entry| entry.map(|entry| String::from_utf8_lossy(&entry.member).into_owned()))
        .collect::<Result<_, _>>()?;
    println!("at least 8 points: {best:?}");
    assert_eq!(best, ["ada", "cleo"]);

    // All or nothing: what a transaction did is undone if it gives up.
    db.set("stock:7", "1")?;
    let buy = || {
        db.transaction(|tx| {
            if tx.decr("stock:7")? < 0 {
                return tx.abort("sold out");
            }
            tx.incr("sold:7")
        })
    };
    assert_eq!(buy()?, 1);
    println!("second try: {}", buy().expect_err("one was in stock"));

    // Everything is there when the folder is opened again.
    db.close()?;
    let db = Db::open(&dir)?;
    assert_eq!(db.get("user:1")?.as_deref(), Some(&b"ada"[..]));
    assert_eq!(db.get("stock:7")?.as_deref(), Some(&b"0"[..]));
    println!("{} keys after reopening", db.len()?);
    Ok(())
}

#[test]
fn runs() {
    main().expect("the example runs");
}
