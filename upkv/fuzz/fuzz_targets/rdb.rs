//! Whole RDB files into a database in memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use upkv::{Db, Store};

fuzz_target!(|bytes: &[u8]| {
    let db = Db::mount(&Store::memory().expect("a store"), "fuzz").expect("mounts");
    drop(db.import_rdb(bytes));
    db.audit().expect("the counts agree");
});
