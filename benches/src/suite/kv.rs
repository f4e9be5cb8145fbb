//! The key-value engine beside concurrent maps (nothing kept) and embedded stores (each at the level its name says).

use std::time::Duration;

use upkv::{DbOptions, Durability};

use super::{Bench, Spec, higher, lower};
use crate::Result;
use crate::engine::kv::upkv::UpKv;
use crate::engine::kv::{KvEngine, KvReader};
use crate::measure::{Contender, nanos_per, rate_of_counted};
use crate::report::Goal;
use crate::workload::{Rng, key, value};

const VALUE_BYTES: usize = 64;

/// Measures the family.
pub fn run(bench: &mut Bench) -> Result<()> {
    let small = 10_000;
    let large = bench.effort.pick(1_000_000, 200_000);
    in_memory(bench, small, Goal::AtMost(30.0))?;
    in_memory(bench, large, Goal::RatioAtMost(0.75))?;
    with_log(bench, large)?;
    synced(bench)?;
    cold(bench)
}

/// A workload that any engine can run.
trait Work: Copy {
    /// One run: nanoseconds per operation, or operations per second.
    fn run<E: KvEngine>(self, engine: &E) -> Result<f64>;
}

#[derive(Clone, Copy)]
struct Gets {
    keys: u64,
    count: u64,
}

impl Work for Gets {
    fn run<E: KvEngine>(self, engine: &E) -> Result<f64> {
        let mut reader = engine.reader()?;
        let mut out = Vec::with_capacity(4096);
        let mut rng = Rng::new(self.count);
        let mut hits = 0;
        let nanos = nanos_per(self.count, |_| {
            out.clear();
            hits += u64::from(reader.get(&key(rng.below(self.keys)), &mut out)?);
            Ok(())
        })?;
        if hits != self.count || out.is_empty() {
            return Err(format!("{} found {hits} of {}", engine.name(), self.count).into());
        }
        Ok(nanos)
    }
}

#[derive(Clone, Copy)]
struct Sets {
    keys: u64,
    count: u64,
    bytes: usize,
}

impl Work for Sets {
    fn run<E: KvEngine>(self, engine: &E) -> Result<f64> {
        let value = value(9, self.bytes);
        let mut rng = Rng::new(self.count);
        nanos_per(self.count, |_| {
            engine.set(&key(rng.below(self.keys)), &value)
        })
    }
}

#[derive(Clone, Copy)]
struct Incrs {
    keys: u64,
    count: u64,
}

impl Work for Incrs {
    fn run<E: KvEngine>(self, engine: &E) -> Result<f64> {
        let mut rng = Rng::new(self.count);
        // Counters live beside the strings, not in their place.
        nanos_per(self.count, |_| {
            engine
                .incr(&key((1 << 40) + rng.below(self.keys)))
                .map(|_| ())
        })
    }
}

/// Gets of several threads at once.
#[derive(Clone, Copy)]
struct SharedGets {
    keys: u64,
    count: u64,
    threads: u64,
}

impl Work for SharedGets {
    fn run<E: KvEngine>(self, engine: &E) -> Result<f64> {
        rate_of_counted(self.threads, 1, |thread, _| {
            let mut reader = engine.reader()?;
            let mut out = Vec::with_capacity(4096);
            let mut rng = Rng::new(thread);
            for _ in 0..self.count {
                out.clear();
                reader.get(&key(rng.below(self.keys)), &mut out)?;
            }
            Ok(())
        })
        .map(|runs| runs * self.count as f64)
    }
}

/// Sets of several threads at once, each to keys of its own.
#[derive(Clone, Copy)]
struct SharedSets {
    threads: u64,
    count: u64,
}

impl Work for SharedSets {
    fn run<E: KvEngine>(self, engine: &E) -> Result<f64> {
        let value = value(9, VALUE_BYTES);
        rate_of_counted(self.threads, self.count, |thread, i| {
            engine.set(&key(thread * self.count + i), &value)
        })
    }
}

/// The engines of one table of rows: ours, and those that are compiled in.
struct Field {
    ours: UpKv,
    #[cfg(feature = "peers-kv")]
    maps: Option<Maps>,
    #[cfg(feature = "peers-kv")]
    stores: Option<Stores>,
}

#[cfg(feature = "peers-kv")]
#[derive(Default)]
struct Maps {
    dashmap: crate::engine::kv::dashmap::DashMap,
    papaya: crate::engine::kv::papaya::Papaya,
}

#[cfg(feature = "peers-kv")]
struct Stores {
    redb: crate::engine::kv::redb::Redb,
    fjall: crate::engine::kv::fjall::Fjall,
}

#[cfg(feature = "peers-kv")]
impl Stores {
    fn create(bench: &Bench, synced: bool) -> Result<Self> {
        let dir = bench.fresh_dir("kv-peers")?;
        Ok(Self {
            redb: crate::engine::kv::redb::Redb::create(&dir.join("redb"), synced)?,
            fjall: crate::engine::kv::fjall::Fjall::create(&dir.join("fjall"), synced)?,
        })
    }
}

impl Field {
    fn load(&self, count: u64, value: &[u8]) -> Result<()> {
        self.ours.load(count, value)?;
        #[cfg(feature = "peers-kv")]
        {
            if let Some(maps) = &self.maps {
                maps.dashmap.load(count, value)?;
                maps.papaya.load(count, value)?;
            }
            if let Some(stores) = &self.stores {
                stores.redb.load(count, value)?;
                stores.fjall.load(count, value)?;
            }
        }
        Ok(())
    }

    fn row<W: Work>(&self, bench: &mut Bench, spec: Spec, work: W) -> Result<()> {
        #[cfg_attr(
            not(feature = "peers-kv"),
            expect(unused_mut, reason = "no peers to add")
        )]
        let mut peers = Vec::new();
        #[cfg(feature = "peers-kv")]
        {
            if let Some(maps) = &self.maps {
                peers.push(Contender::new(maps.dashmap.name(), || {
                    work.run(&maps.dashmap)
                }));
                peers.push(Contender::new(maps.papaya.name(), || {
                    work.run(&maps.papaya)
                }));
            }
            if let Some(stores) = &self.stores {
                peers.push(Contender::new(stores.redb.name(), || {
                    work.run(&stores.redb)
                }));
                peers.push(Contender::new(stores.fjall.name(), || {
                    work.run(&stores.fjall)
                }));
            }
        }
        bench.row(
            spec,
            Contender::new(self.ours.name(), || work.run(&self.ours)),
            peers,
        )
    }
}

/// Nothing is kept: our store in memory beside the maps.
fn in_memory(bench: &mut Bench, keys: u64, goal: Goal) -> Result<()> {
    let field = Field {
        ours: UpKv::memory()?,
        #[cfg(feature = "peers-kv")]
        maps: Some(Maps::default()),
        #[cfg(feature = "peers-kv")]
        stores: None,
    };
    bench.progress(&format!("loading {keys} keys"));
    field.load(keys, &value(1, VALUE_BYTES))?;
    let count = bench.effort.pick(2_000_000, 300_000);
    let of = format!("{keys} keys x {VALUE_BYTES} B, in memory");
    field.row(
        bench,
        lower(format!("GET hit, {of}"), "ns", goal),
        Gets { keys, count },
    )?;
    let threads = 2;
    let spec = higher(
        format!("GET hit, {of}, {threads} threads"),
        "1/s",
        Goal::None,
    );
    field.row(
        bench,
        spec,
        SharedGets {
            keys,
            count: count / 2,
            threads,
        },
    )?;
    let spec = lower(format!("SET overwrite, {of}"), "ns", Goal::RatioAtMost(0.7));
    let bytes = VALUE_BYTES;
    field.row(
        bench,
        spec,
        Sets {
            keys,
            count: count / 2,
            bytes,
        },
    )?;
    let spec = lower(
        format!("INCR, {keys} counters, in memory"),
        "ns",
        Goal::AtMost(50.0),
    );
    field.row(
        bench,
        spec,
        Incrs {
            keys,
            count: count / 2,
        },
    )
}

/// Every write reaches a log, none waits for a sync; then reads with everything cached.
fn with_log(bench: &mut Bench, keys: u64) -> Result<()> {
    let level = Durability::Interval(Duration::from_secs(1));
    let dir = bench.fresh_dir("kv-ours")?;
    let field = Field {
        ours: UpKv::on_disk(&dir, level, DbOptions::new())?,
        #[cfg(feature = "peers-kv")]
        maps: None,
        #[cfg(feature = "peers-kv")]
        stores: Some(Stores::create(bench, false)?),
    };
    bench.progress(&format!("loading {keys} keys"));
    field.load(keys, &value(1, VALUE_BYTES))?;
    let of = format!("{keys} keys x {VALUE_BYTES} B");
    let count = bench.effort.pick(200_000, 30_000);
    let spec = lower(
        format!("GET hit, {of}, all cached, ours at Interval(1s)"),
        "ns",
        Goal::RatioAtMost(1.0 / 6.0),
    );
    field.row(bench, spec, Gets { keys, count })?;
    let spec = lower(
        format!("SET overwrite, {of}, one by one, ours at Interval(1s)"),
        "ns",
        Goal::AtMost(120.0),
    );
    let bytes = VALUE_BYTES;
    field.row(
        bench,
        spec,
        Sets {
            keys,
            count: count / 4,
            bytes,
        },
    )?;
    field.ours.db().store().close()?;
    drop(field);
    bench.drop_dir("kv-ours")
}

/// Every write is on disk when it returns.
fn synced(bench: &mut Bench) -> Result<()> {
    let dir = bench.fresh_dir("kv-ours")?;
    let field = Field {
        ours: UpKv::on_disk(&dir, Durability::Disk, DbOptions::new())?,
        #[cfg(feature = "peers-kv")]
        maps: None,
        #[cfg(feature = "peers-kv")]
        stores: Some(Stores::create(bench, true)?),
    };
    let count = bench.effort.pick(200, 50);
    let bytes = VALUE_BYTES;
    let spec = lower("SET of 64 B, synced, 1 writer", "ns", Goal::None);
    field.row(
        bench,
        spec,
        Sets {
            keys: count,
            count,
            bytes,
        },
    )?;
    let threads = bench.effort.pick(64, 16);
    let spec = higher(
        format!("SET of 64 B, synced, {threads} writers"),
        "1/s",
        Goal::None,
    );
    field.row(
        bench,
        spec,
        SharedSets {
            threads,
            count: count / 10,
        },
    )?;
    field.ours.db().store().close()?;
    drop(field);
    bench.drop_dir("kv-ours")
}

/// Values that memory has no room for are read from the mapped log.
fn cold(bench: &mut Bench) -> Result<()> {
    const BYTES: usize = 1024;
    let dir = bench.fresh_dir("kv-ours")?;
    let level = Durability::Interval(Duration::from_secs(1));
    let options = DbOptions::new().memory_limit_bytes(8 << 20);
    let ours = UpKv::on_disk(&dir, level, options)?;
    let keys = bench.effort.pick(300_000, 60_000);
    bench.progress(&format!("loading {keys} keys"));
    ours.load(keys, &value(1, BYTES))?;
    let count = keys / 6;
    bench.row(
        lower(
            format!("GET cold, {keys} keys x {BYTES} B in the page cache, 8 MiB in memory"),
            "ns",
            Goal::AtMost(1_500.0),
        ),
        Contender::new(ours.name(), || {
            ours.db().demote_all()?;
            Gets { keys, count }.run(&ours)
        }),
        Vec::new(),
    )?;
    ours.db().store().close()?;
    drop(ours);
    bench.drop_dir("kv-ours")
}
