//! Small operations of the store: a commit at each level, checksums, and reads through a mapping beside reads of a bare slice.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::path::PathBuf;

use benches::engine::log::store::StoreLog;
use benches::workload::{Rng, value};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use upkv::storage::{Durability, Map, checksum};

fn scratch(name: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    dir.join(format!("{name}-{}", std::process::id()))
}

fn commits(c: &mut Criterion) {
    let dir = scratch("commits");
    let log = StoreLog::open(&dir, 1 << 40).expect("a new store opens");
    let body = value(1, 100);
    for level in [Durability::Memory, Durability::Os, Durability::Disk] {
        c.bench_function(&format!("store/commit_{level:?}"), |b| {
            b.iter(|| log.append_at(&body, level).expect("the disk has room"));
        });
    }
    drop(log);
    std::fs::remove_dir_all(dir).expect("the store is closed");
}

/// Guards the claim that dispatch happens once a mapping and not once a read: the second must not be slower than the first.
fn map_get(c: &mut Criterion) {
    const BYTES: usize = 32 << 20;
    let path = scratch("map");
    let mut file = File::create(&path).expect("the target directory is writable");
    file.write_all(&value(2, BYTES)).expect("the disk has room");
    let file = File::open(&path).expect("it was just written");
    let map = Map::of_file(&file, BYTES).expect("the file is as long as that");
    let bare: &[u8] = map.as_slice();
    let offsets = || {
        let mut rng = Rng::new(3);
        (0..4096)
            .map(|_| usize::try_from(rng.below((BYTES - 64) as u64)))
            .collect::<Result<Vec<_>, _>>()
            .expect("offsets into memory fit usize")
    };
    let mut group = c.benchmark_group("store/map_get");
    group.throughput(Throughput::Elements(4096));
    group.bench_function("bare", |b| {
        b.iter_batched(
            offsets,
            |offsets| {
                offsets.iter().fold(0u64, |sum, &at| {
                    let bytes = black_box(bare).get(at..).and_then(|rest| rest.get(..64));
                    sum + u64::from(bytes.map_or(0, |bytes| bytes[63]))
                })
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("Map", |b| {
        b.iter_batched(
            offsets,
            |offsets| {
                offsets.iter().fold(0u64, |sum, &at| {
                    let bytes = black_box(&map).get(at, 64);
                    sum + u64::from(bytes.map_or(0, |bytes| bytes[63]))
                })
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
    std::fs::remove_file(path).expect("it is still there");
}

fn checksums(c: &mut Criterion) {
    let mut group = c.benchmark_group("store/crc32c");
    for size in [128usize, 4096, 1 << 20] {
        let bytes = value(4, size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(size.to_string(), |b| {
            b.iter(|| checksum::crc32c(black_box(&bytes)));
        });
    }
    group.finish();
}

criterion_group!(benches, commits, map_get, checksums);
criterion_main!(benches);
