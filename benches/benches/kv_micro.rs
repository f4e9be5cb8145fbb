//! Small operations of the key-value engine, one by one, in memory.

use benches::workload::{Rng, key, value};
use criterion::{Criterion, criterion_group, criterion_main};
use upkv::{Db, Store};

const KEYS: u64 = 10_000;

fn loaded() -> Db {
    let store = Store::memory().expect("a store in memory opens");
    let db = Db::mount(&store, "bench").expect("an empty store can be mounted");
    let value = value(1, 64);
    for i in 0..KEYS {
        db.set(key(i), &value).expect("memory takes 10,000 keys");
    }
    db
}

fn strings(c: &mut Criterion) {
    let db = loaded();
    let mut rng = Rng::new(1);
    c.bench_function("kv/get_hit", |b| {
        b.iter(|| db.get(key(rng.below(KEYS))).expect("reads in memory"));
    });
    c.bench_function("kv/get_miss", |b| {
        b.iter(|| {
            db.get(key(KEYS + rng.below(KEYS)))
                .expect("reads in memory")
        });
    });
    let value = value(2, 64);
    c.bench_function("kv/set_overwrite", |b| {
        b.iter(|| {
            db.set(key(rng.below(KEYS)), &value)
                .expect("writes in memory");
        });
    });
    c.bench_function("kv/incr", |b| {
        b.iter(|| {
            db.incr(key((1 << 40) + rng.below(KEYS)))
                .expect("writes in memory");
        });
    });
    c.bench_function("kv/command_get", |b| {
        b.iter(|| {
            let key = key(rng.below(KEYS));
            db.command([&b"GET"[..], &key]).expect("reads in memory")
        });
    });
}

fn collections(c: &mut Criterion) {
    let db = loaded();
    let mut rng = Rng::new(2);
    let hash = db.hash("hash");
    c.bench_function("kv/hset_1000_fields", |b| {
        b.iter(|| {
            hash.set(key(rng.below(1000)), "value")
                .expect("writes in memory");
        });
    });
    c.bench_function("kv/hget_1000_fields", |b| {
        b.iter(|| hash.get(key(rng.below(1000))).expect("reads in memory"));
    });
    let board = db.zset("board");
    c.bench_function("kv/zadd_1000_members", |b| {
        b.iter(|| {
            let member = u32::try_from(rng.below(1000)).expect("it is below 1,000");
            board
                .add(key(member.into()), f64::from(member))
                .expect("writes in memory");
        });
    });
}

criterion_group!(benches, strings, collections);
criterion_main!(benches);
