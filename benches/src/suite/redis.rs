//! Commands in process beside a `redis-server` on a Unix socket, what the command layer itself costs, and memory by element.

use std::time::{Duration, Instant};

use upkv::{Db, DbOptions, Durability, Store};

use super::{Bench, higher, lower};
use crate::Result;
use crate::allocator;
use crate::engine::redis::{Batch, Commands, InProcess, Server};
use crate::measure::{Contender, nanos_per};
use crate::report::Goal;
use crate::workload::{Rng, key, value};

/// Commands that a client sends before it reads the replies.
const PIPELINE: u64 = 100;
const VALUE_BYTES: usize = 64;

/// Measures the family.
pub fn run(bench: &mut Bench) -> Result<()> {
    overhead(bench)?;
    for log in [false, true] {
        commands(bench, log)?;
    }
    memory(bench)
}

/// What `command()` adds to the typed call: table lookup, arguments, reply.
fn overhead(bench: &mut Bench) -> Result<()> {
    const KEYS: u64 = 10_000;
    let db = Db::mount(&Store::memory()?, "bench")?;
    let value = value(1, VALUE_BYTES);
    for i in 0..KEYS {
        db.set(key(i), &value)?;
    }
    let count = bench.effort.pick(1_000_000, 200_000);
    let hash = db.hash("hash");
    let mut pair = |name: &str,
                    typed: &dyn Fn(&[u8; 16]) -> Result<()>,
                    command: &dyn Fn(&[u8; 16]) -> Result<()>| {
        let mut rng = Rng::new(7);
        let spec = lower(
            format!("command() beyond the typed call, {name}"),
            "ns",
            Goal::AtMost(60.0),
        );
        let ours = Contender::new("up", || {
            // Short turns, so that both meet the same minute of the machine; the typed one goes first in every other turn.
            let (mut with, mut without) = (0.0, 0.0);
            for turn in 0..20 {
                let mut one = |command_turn: bool| -> Result<()> {
                    if command_turn {
                        with += nanos_per(count / 20, |_| command(&key(rng.below(KEYS))))?;
                    } else {
                        without += nanos_per(count / 20, |_| typed(&key(rng.below(KEYS))))?;
                    }
                    Ok(())
                };
                one(turn % 2 == 0)?;
                one(turn % 2 == 1)?;
            }
            Ok((with - without) / 20.0)
        });
        bench.row(spec, ours, Vec::new())
    };
    pair(
        "GET",
        &|key| {
            std::hint::black_box(db.get(key)?);
            Ok(())
        },
        &|key| {
            std::hint::black_box(db.command([&b"GET"[..], key])?);
            Ok(())
        },
    )?;
    pair("SET", &|key| Ok(db.set(key, &value)?), &|key| {
        db.command([&b"SET"[..], key, &value])?;
        Ok(())
    })?;
    pair(
        "HSET",
        &|key| {
            hash.set(&key[..2], &value)?;
            Ok(())
        },
        &|key| {
            db.command([&b"HSET"[..], b"hash", &key[..2], &value])?;
            Ok(())
        },
    )
}

/// The commands that are measured: name, and the words of the one for a random key.
type Form = (&'static str, fn(&mut Batch, &[u8; 16], &[u8]));

const FORMS: &[Form] = &[
    ("SET", |batch, key, value| batch.push(&[b"SET", key, value])),
    ("GET", |batch, key, _| batch.push(&[b"GET", key])),
    ("INCR", |batch, key, _| {
        batch.push(&[b"INCR", &[b"n:", &key[..]].concat()]);
    }),
    ("LPUSH", |batch, key, value| {
        batch.push(&[b"LPUSH", &[b"l:", &key[..1]].concat(), &value[..16]]);
    }),
    ("HSET", |batch, key, value| {
        batch.push(&[
            b"HSET",
            &[b"h:", &key[..1]].concat(),
            &key[8..],
            &value[..16],
        ]);
    }),
    ("SADD", |batch, key, _| {
        batch.push(&[b"SADD", &[b"s:", &key[..1]].concat(), &key[8..]]);
    }),
    ("ZADD", |batch, key, _| {
        let score = u16::from_le_bytes([key[2], key[3]]).to_string();
        batch.push(&[
            b"ZADD",
            &[b"z:", &key[..1]].concat(),
            score.as_bytes(),
            &key[8..],
        ]);
    }),
];

fn commands(bench: &mut Bench, log: bool) -> Result<()> {
    let keys = bench.effort.pick(100_000, 10_000);
    let count = bench.effort.pick(500_000, 50_000);
    let dir = bench.fresh_dir("redis-ours")?;
    let (store, kept) = if log {
        let level = Durability::Interval(Duration::from_secs(1));
        (
            Store::builder(&dir).durability(level).open()?,
            "synced every second",
        )
    } else {
        (Store::memory()?, "nothing kept")
    };
    // Where the disk is waited for, a client's pipeline waits once; so does ours.
    let mut ours = InProcess::new(
        Db::mount_with(&store, "bench", DbOptions::new())?,
        kept,
        log,
    );
    let peer_dir = bench.fresh_dir("redis-peer")?;
    let mut peer = Server::start("redis-server", &peer_dir, log)?;
    bench.progress(&format!("loading {keys} keys"));
    let value = value(1, VALUE_BYTES);
    load(&mut ours, keys, &value)?;
    if let Some(server) = &mut peer {
        load(server, keys, &value)?;
    }
    for (name, form) in FORMS {
        let spec = higher(
            format!(
                "{} {name}, {keys} keys x {VALUE_BYTES} B, {kept}, 1 thread",
                if log {
                    "pipeline() of 100"
                } else {
                    "command()"
                }
            ),
            "1/s",
            Goal::RatioAtLeast(3.0),
        );
        let rate = |engine: &mut dyn Commands| -> Result<f64> {
            let mut rng = Rng::new(count);
            let mut batch = Batch::default();
            let mut spent = Duration::ZERO;
            for _ in 0..count / PIPELINE {
                batch.clear();
                for _ in 0..PIPELINE {
                    form(&mut batch, &key(rng.below(keys)), &value);
                }
                // What clients do to make up commands is not counted.
                let start = Instant::now();
                engine.run(&batch)?;
                spent += start.elapsed();
            }
            Ok(count as f64 / spent.as_secs_f64())
        };
        let peers = peer
            .as_mut()
            .map(|server| Contender::new(server.name(), || rate(server)));
        let name = ours.name();
        bench.row(
            spec,
            Contender::new(name, || rate(&mut ours)),
            peers.into_iter().collect(),
        )?;
    }
    drop(ours);
    store.close()?;
    drop(peer);
    bench.drop_dir("redis-peer")?;
    bench.drop_dir("redis-ours")
}

fn load(engine: &mut dyn Commands, keys: u64, value: &[u8]) -> Result<()> {
    fill(engine, keys, &|batch, i| {
        batch.push(&[b"SET", &key(i), value]);
    })
}

/// Runs the commands number `0..count` in pipelines.
fn fill(engine: &mut dyn Commands, count: u64, form: &dyn Fn(&mut Batch, u64)) -> Result<()> {
    let mut batch = Batch::default();
    for i in 0..count {
        form(&mut batch, i);
        if batch.len() as u64 == PIPELINE || i + 1 == count {
            engine.run(&batch)?;
            batch.clear();
        }
    }
    Ok(())
}

/// What of 100,000 equal things one takes.
type Thing = (&'static str, fn(&mut Batch, u64));

const THINGS: &[Thing] = &[
    ("key 16 B, value 8 B", |batch, i| {
        batch.push(&[b"SET", &key(i), &value(i, 8)]);
    }),
    ("key 16 B, integer", |batch, i| {
        batch.push(&[b"SET", &key(i), (i + 1_000_000).to_string().as_bytes()]);
    }),
    ("key 16 B, value 16 B", |batch, i| {
        batch.push(&[b"SET", &key(i), &value(i, 16)]);
    }),
    ("key 16 B, value 32 B", |batch, i| {
        batch.push(&[b"SET", &key(i), &value(i, 32)]);
    }),
    ("key 16 B, value 64 B", |batch, i| {
        batch.push(&[b"SET", &key(i), &value(i, 64)]);
    }),
    ("key 16 B, value 100 B", |batch, i| {
        batch.push(&[b"SET", &key(i), &value(i, 100)]);
    }),
    ("key 16 B, value 16 B, with TTL", |batch, i| {
        batch.push(&[
            b"SET",
            &key(i),
            &value(i, 16),
            b"EX",
            (10_000 + i).to_string().as_bytes(),
        ]);
    }),
    ("hash element, 16 B and 16 B", |batch, i| {
        batch.push(&[b"HSET", b"hash", &key(i), &value(i, 16)]);
    }),
    ("hash element, 16 B and integer", |batch, i| {
        batch.push(&[b"HSET", b"hash", &key(i), i.to_string().as_bytes()]);
    }),
    ("set member, 16 B", |batch, i| {
        batch.push(&[b"SADD", b"set", &key(i)]);
    }),
    ("set member, large integer", |batch, i| {
        batch.push(&[
            b"SADD",
            b"set",
            (10_000_000_000 + i * 7_919).to_string().as_bytes(),
        ]);
    }),
    ("sorted set member, 16 B", |batch, i| {
        batch.push(&[
            b"ZADD",
            b"zset",
            (i * 7_919 % 100_003).to_string().as_bytes(),
            &key(i),
        ]);
    }),
    ("list element, 16 B", |batch, i| {
        batch.push(&[b"RPUSH", b"list", &value(i, 16)]);
    }),
    ("list element, integer of 8 digits", |batch, i| {
        batch.push(&[b"RPUSH", b"list", (10_000_000 + i).to_string().as_bytes()]);
    }),
    ("stream entry, 8 B and 16 B", |batch, i| {
        let id = format!("{}-0", 1_700_000_000_000 + i);
        batch.push(&[
            b"XADD",
            b"stream",
            id.as_bytes(),
            b"quantity",
            &value(i, 16),
        ]);
    }),
    ("hash of 10 pairs, 6 B and 10 B", |batch, i| {
        for n in 0..10 {
            let field = format!("field{n}");
            batch.push(&[b"HSET", &key(i), field.as_bytes(), &value(i * 10 + n, 10)]);
        }
    }),
    ("sorted set of 10 members, 10 B", |batch, i| {
        for n in 0..10 {
            batch.push(&[
                b"ZADD",
                &key(i),
                n.to_string().as_bytes(),
                &value(i * 10 + n, 10),
            ]);
        }
    }),
    ("list of 10 elements, 10 B", |batch, i| {
        for n in 0..10 {
            batch.push(&[b"RPUSH", &key(i), &value(i * 10 + n, 10)]);
        }
    }),
    ("set of 10 members, 10 B", |batch, i| {
        for n in 0..10 {
            batch.push(&[b"SADD", &key(i), &value(i * 10 + n, 10)]);
        }
    }),
    ("set of 10 small integers", |batch, i| {
        for n in 0..10 {
            batch.push(&[b"SADD", &key(i), (i % 100 + n).to_string().as_bytes()]);
        }
    }),
];

/// Bytes of the heap by key or element; the peer's as `used_memory` of `INFO` grows.
fn memory(bench: &mut Bench) -> Result<()> {
    let count = bench.effort.pick(100_000, 10_000);
    // The newest version that is there is the one to beat.
    let program = std::env::var("UP_REDIS_8").unwrap_or_else(|_| "redis-server".to_owned());
    let peer_dir = bench.fresh_dir("redis-peer")?;
    let mut peer = Server::start(&program, &peer_dir, false)?;
    for (name, form) in THINGS {
        let spec = lower(
            format!("memory, {name}, of {count}"),
            "B",
            Goal::RatioAtMost(1.0),
        );
        let ours = Contender::new("up, its heap", || {
            let db = Db::mount(&Store::memory()?, "bench")?;
            let mut engine = InProcess::new(db, "", false);
            // As in the server, the empty database is there before.
            let mut touch = Batch::default();
            touch.push(&[b"SET", b"", b""]);
            touch.push(&[b"FLUSHALL"]);
            engine.run(&touch)?;
            let (filled, grown) = allocator::growth(|| fill(&mut engine, count, form));
            filled?;
            Ok(grown as f64 / count as f64)
        });
        let peers = peer.as_mut().map(|server| {
            Contender::new(server.name(), || {
                let mut flush = Batch::default();
                flush.push(&[b"FLUSHALL", b"SYNC"]);
                server.run(&flush)?;
                let before = server.used_bytes()?;
                fill(server, count, form)?;
                Ok((server.used_bytes()? as f64 - before as f64) / count as f64)
            })
        });
        bench.row(spec, ours, peers.into_iter().collect())?;
    }
    drop(peer);
    bench.drop_dir("redis-peer")
}
