//! Writing all databases of a mount as one RDB file.

use std::io::Write;

use super::sink::{put_count, put_string};
use super::{RdbError, VERSION, VERSION_FIELD_DEADLINES, checksum, write};
use crate::db::Db;
use crate::error::Result;
use crate::keyspace::engine::{Engine, Keys};
use crate::keyspace::work::{ColdRef, Work};
use crate::value::Seen;

const AUX: u8 = 250;
const SIZES: u8 = 251;
const DEADLINE_MS: u8 = 252;
const DATABASE: u8 = 254;
const END: u8 = 255;
/// Bytes that are collected before they are written.
const BUFFER_BYTES: usize = 256 << 10;

/// What [`Db::export_rdb`] wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportReport {
    /// Keys in the file.
    pub keys: u64,
    /// Keys, by database and name, of types that the format does not have, and the name of the type.
    pub skipped: Vec<(u8, Vec<u8>, String)>,
}

/// Collects bytes, and keeps their checksum.
struct Output<'w> {
    to: &'w mut dyn Write,
    buffer: Vec<u8>,
    checksum: u64,
}

impl Output<'_> {
    fn drain(&mut self) -> Result<()> {
        self.checksum = checksum::update(self.checksum, &self.buffer);
        self.to.write_all(&self.buffer).map_err(RdbError::from)?;
        self.buffer.clear();
        Ok(())
    }
}

impl Db {
    /// Writes all 16 databases of the mount, with deadlines, as an RDB file that Redis 7.0 and later load;
    /// with deadlines of hash fields it takes Redis 7.4.
    ///
    /// The file shows one moment: every key is locked until the last byte is written. So give it a file or
    /// memory, not a slow connection, and a writer that does not use the database itself.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Rdb`] if `output` fails; [`crate::Error::Storage`] if a value cannot be read.
    ///
    /// # Complexity
    ///
    /// O(n) in all values; memory for the largest one.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// db.zset("board").add("ada", 10.0)?;
    /// let mut file = Vec::new();
    /// assert_eq!(db.export_rdb(&mut file)?.keys, 1);
    /// assert!(file.starts_with(b"REDIS0010"));
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn export_rdb(&self, mut output: impl Write) -> Result<ExportReport> {
        let engine = &*self.engine;
        let mut work = Work::new(engine, self.index, Vec::new(), true);
        Engine::lock(&mut work, Keys::Every)?;
        let mut output = Output {
            to: &mut output,
            buffer: Vec::new(),
            checksum: 0,
        };
        let report = file(engine, &mut work, &mut output)?;
        output.to.flush().map_err(RdbError::from)?;
        Ok(report)
    }
}

fn file(engine: &Engine, work: &mut Work<'_>, output: &mut Output<'_>) -> Result<ExportReport> {
    let now = work.now;
    let databases: Vec<u8> = engine.in_use().collect();
    let shards = |physical: u8| {
        let first = engine.first_shard(physical);
        first..first + engine.shard_count()
    };
    let mut version = VERSION;
    for index in databases.iter().flat_map(|physical| shards(*physical)) {
        let mut entries = work.shard(index)?.table.iter();
        if entries.any(|entry| entry.value().parts().first != 0) {
            version = VERSION_FIELD_DEADLINES;
        }
    }
    let head = format!("REDIS{version:04}");
    output.buffer.extend_from_slice(head.as_bytes());
    let created = (now / 1000).to_string();
    let about = [
        ("redis-ver", concat!("upkv-", env!("CARGO_PKG_VERSION"))),
        ("redis-bits", "64"),
        ("ctime", &created),
    ];
    for (name, value) in about {
        output.buffer.push(AUX);
        put_string(&mut output.buffer, name.as_bytes());
        put_string(&mut output.buffer, value.as_bytes());
    }
    let mut report = ExportReport::default();
    let mut order = databases;
    order.sort_unstable_by_key(|physical| engine.swapped.logical(*physical));
    for physical in order {
        let (mut keys, mut expiring) = (0, 0);
        for index in shards(physical) {
            for entry in work.shard(index)?.table.iter() {
                keys += 1;
                expiring += usize::from(entry.expire_at() != 0);
            }
        }
        if keys == 0 {
            continue;
        }
        let logical = engine.swapped.logical(physical);
        output.buffer.push(DATABASE);
        put_count(&mut output.buffer, logical.into());
        output.buffer.push(SIZES);
        put_count(&mut output.buffer, keys);
        put_count(&mut output.buffer, expiring);
        for index in shards(physical) {
            shard(engine, work, index, logical, output, &mut report)?;
        }
    }
    output.buffer.push(END);
    output.drain()?;
    let sum = output.checksum.to_le_bytes();
    output.to.write_all(&sum).map_err(RdbError::from)?;
    Ok(report)
}

fn shard(
    engine: &Engine,
    work: &mut Work<'_>,
    index: usize,
    logical: u8,
    output: &mut Output<'_>,
    report: &mut ExportReport,
) -> Result<()> {
    let now = work.now;
    for entry in work.shard(index)?.table.iter() {
        if entry.is_expired(now) {
            continue;
        }
        let cold = if entry.value().is_cold() {
            Some(engine.read_cold(&ColdRef {
                shard: index,
                key: entry.key().into(),
                kind: entry.kind(),
                chain: entry.home().chain(),
            })?)
        } else {
            None
        };
        let seen = cold.as_ref().map_or(entry.value(), Seen::Object);
        let value = match super::value(seen, now) {
            Ok(value) => value,
            Err(kind) => {
                let name = kind.name().to_owned();
                report.skipped.push((logical, entry.key().to_vec(), name));
                continue;
            }
        };
        if value.is_empty() {
            continue;
        }
        let expire_at = entry.expire_at();
        if expire_at != 0 {
            output.buffer.push(DEADLINE_MS);
            output.buffer.extend_from_slice(&expire_at.to_le_bytes());
        }
        write::value(&mut output.buffer, &value, |out| {
            put_string(out, entry.key());
        });
        report.keys += 1;
        if output.buffer.len() >= BUFFER_BYTES {
            output.drain()?;
        }
    }
    Ok(())
}
