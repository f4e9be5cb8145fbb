//! The index in a checkpoint: every key with the addresses of its records, no values.
//!
//! | field | bytes |
//! |---|---|
//! | version, shard bits | u8 = 3, u8 |
//! | commit up to which the order of databases and the libraries are, the order | u64, 16 x u8 |
//! | bytes of libraries; per library: name, code | u64; varint length and bytes each |
//! | databases that were ever used, a bit each | u16 |
//! | per database in use, per shard: folded-up-to commit, bytes of entries | u64, u64 |
//! | per entry: type, flags (1 deadline, 2 chain, 4 deadline record, 8 deadlines of parts) | u8, u8 |
//! | deadline if flag 1 | u64 |
//! | if flag 8: when the first part is due, when none is left (0: some stay) | u64, u64 |
//! | key | varint length, bytes |
//! | payload length, image address | u32, 3 x u32 |
//! | if flag 4: address of the deadline record | 3 x u32 |
//! | if flag 2: number of deltas, their addresses | u32, 3 x u32 each |
//!
//! Shards are written one after the other, each as of the moment it was locked; recovery skips, per
//! shard, what that shard already holds. Invariant: `begin` is given the smallest of these numbers.

use crate::keyspace::engine::{DATABASES, Engine};
use crate::keyspace::entry::{Entry, Home};
use crate::keyspace::libraries::Libraries;
use crate::keyspace::shard::Shard;
use crate::persist::participant::AsOf;
use crate::storage::{Address, CheckpointReader, CheckpointWriter, Error, Result, Seq};
use crate::value::packed::{self, Walk};
use crate::value::{Cold, Kind, Object, PartDeadlines, STRING_BYTES_MAX};

const VERSION: u8 = 3;
const VERSION_NO_LIBRARIES: u8 = 2;
const VERSION_ONE_DATABASE: u8 = 1;
const HAS_DEADLINE: u8 = 1;
const HAS_CHAIN: u8 = 2;
const HAS_DEADLINE_RECORD: u8 = 4;
const HAS_PART_DEADLINES: u8 = 8;
const FLAGS: u8 = HAS_DEADLINE | HAS_CHAIN | HAS_DEADLINE_RECORD | HAS_PART_DEADLINES;
/// Most shards a checkpoint may have been written with, as a power of two.
const BITS_MAX: u32 = 12;

pub(crate) fn write(engine: &Engine, out: &mut CheckpointWriter<'_>) -> Result<()> {
    let (swaps, map, libraries) = {
        let _same_order = engine.swapped.change.lock();
        let _same_libraries = engine.libraries.change.lock();
        let libraries = engine.libraries.current();
        (engine.mount.last_seq(), engine.swapped.copy(), libraries)
    };
    let bits = u8::try_from(engine.shard_bits).expect("at most 4,096 shards");
    let in_use: Vec<u8> = engine.in_use().collect();
    let used = in_use.iter().fold(0, |used, db| used | 1_u16 << db);
    // Shards are locked later, so this number is the smallest.
    out.begin(swaps)?;
    out.write(&[VERSION, bits])?;
    out.write(&swaps.to_le_bytes())?;
    out.write(&map)?;
    let libraries = libraries.encode();
    out.write(&(libraries.len() as u64).to_le_bytes())?;
    out.write(&libraries)?;
    out.write(&used.to_le_bytes())?;
    for db in in_use {
        let first = engine.first_shard(db);
        for index in first..first + engine.shard_count() {
            let (seq, entries) = {
                let shard = engine.shard(index).lock();
                // No commit of this shard can be appended while it is locked.
                (engine.mount.last_seq(), encode_shard(&shard))
            };
            out.write(&seq.to_le_bytes())?;
            out.write(&(entries.len() as u64).to_le_bytes())?;
            out.write(&entries)?;
        }
    }
    Ok(())
}

fn encode_shard(shard: &Shard) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in shard.table.iter() {
        encode_entry(&mut out, entry);
    }
    out
}

fn encode_entry(out: &mut Vec<u8>, entry: &Entry) {
    let (expire_at, home) = (entry.expire_at(), entry.home());
    let mut flags = 0;
    flags |= if expire_at == 0 { 0 } else { HAS_DEADLINE };
    flags |= if home.deltas().is_empty() {
        0
    } else {
        HAS_CHAIN
    };
    flags |= home.expiry().map_or(0, |_| HAS_DEADLINE_RECORD);
    let parts = entry.value().parts();
    if parts.first != 0 {
        flags |= HAS_PART_DEADLINES;
    }
    out.extend_from_slice(&[entry.kind() as u8, flags]);
    if expire_at != 0 {
        out.extend_from_slice(&expire_at.to_le_bytes());
    }
    if parts.first != 0 {
        out.extend_from_slice(&parts.first.to_le_bytes());
        out.extend_from_slice(&parts.all.to_le_bytes());
    }
    packed::put(out, entry.key());
    out.extend_from_slice(&payload_len(entry).to_le_bytes());
    put_address(out, home.image());
    if let Some(at) = home.expiry() {
        put_address(out, at);
    }
    if flags & HAS_CHAIN != 0 {
        let count = u32::try_from(home.deltas().len()).expect("chains are bounded by bytes");
        out.extend_from_slice(&count.to_le_bytes());
        home.deltas().iter().for_each(|at| put_address(out, *at));
    }
}

fn payload_len(entry: &Entry) -> u32 {
    if let Some(cold) = entry.value().cold() {
        return cold.len;
    }
    match entry.value().string_len() {
        Some(len) => u32::try_from(len).unwrap_or(u32::MAX),
        None => entry.home().image().len,
    }
}

fn put_address(out: &mut Vec<u8>, at: Address) {
    for part in [at.segment, at.offset, at.len] {
        out.extend_from_slice(&part.to_le_bytes());
    }
}

pub(crate) fn read(engine: &Engine, input: &mut CheckpointReader<'_>) -> Result<()> {
    let damaged = || Error::corrupt("checkpoint", 0, "malformed key-value index");
    let mut head = [0; 2];
    input.read_exact(&mut head)?;
    let bits = u32::from(head[1]);
    if bits > BITS_MAX {
        return Err(damaged());
    }
    let mut as_of = AsOf {
        bits,
        ..AsOf::default()
    };
    let used = match head[0] {
        version @ (VERSION | VERSION_NO_LIBRARIES) => {
            let mut order = [0; 24];
            input.read_exact(&mut order)?;
            let mut walk = Walk::new(&order);
            as_of.swaps = walk.u64().ok_or_else(damaged)?;
            let map = walk
                .rest()
                .get(..usize::from(DATABASES))
                .ok_or_else(damaged)?;
            let map = map.try_into().map_err(|_| damaged())?;
            if !engine.swapped.restore(map) {
                return Err(damaged());
            }
            if version == VERSION {
                let mut len = [0; 8];
                input.read_exact(&mut len)?;
                let len = usize::try_from(u64::from_le_bytes(len)).map_err(|_| damaged())?;
                let libraries = input.take(len)?;
                let libraries = Libraries::decode(&libraries).ok_or_else(damaged)?;
                engine.libraries.restore(libraries);
            }
            let mut used = [0; 2];
            input.read_exact(&mut used)?;
            u16::from_le_bytes(used)
        }
        // Written before there were several databases.
        VERSION_ONE_DATABASE => 1,
        _ => return Err(damaged()),
    };
    for db in (0..DATABASES).filter(|db| used >> db & 1 == 1) {
        for _ in 0..1_usize << bits {
            let seq = read_slice(engine, input, db)?;
            as_of.seqs[usize::from(db)].push(seq);
        }
    }
    *engine.as_of.lock() = as_of;
    Ok(())
}

/// Takes in one slice of a database; the commit up to which it is folded.
fn read_slice(engine: &Engine, input: &mut CheckpointReader<'_>, db: u8) -> Result<Seq> {
    let damaged = || Error::corrupt("checkpoint", 0, "malformed key-value index");
    let mut fixed = [0; 16];
    input.read_exact(&mut fixed)?;
    let mut walk = Walk::new(&fixed);
    let (seq, len) = walk.u64().zip(walk.u64()).ok_or_else(damaged)?;
    let entries = input.take(usize::try_from(len).map_err(|_| damaged())?)?;
    let mut walk = Walk::new(&entries);
    while !walk.is_done() {
        let entry = decode_entry(&mut walk).ok_or_else(damaged)?;
        let probe = engine.hashers.probe(entry.key());
        let index = engine.first_shard(db) + engine.shard_of(probe.placement);
        let mut shard = engine.shard(index).lock();
        if shard.table.find(probe, entry.key()).is_some() {
            return Err(damaged());
        }
        entry
            .home()
            .records()
            .for_each(|at| engine.mount.retain(at));
        shard.table.insert_new(probe, entry);
    }
    Ok(seq)
}

fn decode_entry(walk: &mut Walk<'_>) -> Option<Entry> {
    let kind = Kind::from_u8(walk.u8()?)?;
    let flags = walk.u8()?;
    if flags & !FLAGS != 0 {
        return None;
    }
    let expire_at = if flags & HAS_DEADLINE != 0 {
        walk.u64()?
    } else {
        0
    };
    let mut parts = PartDeadlines::default();
    if flags & HAS_PART_DEADLINES != 0 {
        (parts.first, parts.all) = (walk.u64()?, walk.u64()?);
    }
    let key = walk.bytes().filter(|key| key.len() <= STRING_BYTES_MAX)?;
    let len = walk.u32()?;
    let mut home = Home::at(take_address(walk)?);
    if home.is_none() {
        return None;
    }
    if flags & HAS_DEADLINE_RECORD != 0 {
        home.set_expiry(take_address(walk)?);
    }
    if flags & HAS_CHAIN != 0 {
        for _ in 0..walk.u32()? {
            home.push_delta(take_address(walk)?);
        }
    }
    let value = Object::from(Cold { kind, len, parts });
    Some(Entry::at(key, value.into(), expire_at, home))
}

fn take_address(walk: &mut Walk<'_>) -> Option<Address> {
    Some(Address {
        segment: walk.u32()?,
        offset: walk.u32()?,
        len: walk.u32()?,
    })
}
