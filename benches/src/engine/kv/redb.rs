//! redb: a copy-on-write tree in one file; a write is a transaction, reads share one.

use std::path::Path;

use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};

use super::{KvEngine, KvReader, number};
use crate::Result;
use crate::workload::key;

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("bench");

/// The database and how durable its writes are.
#[derive(Debug)]
pub struct Redb {
    db: Database,
    durability: Durability,
    name: &'static str,
}

impl Redb {
    /// A new file at `path`, with a cache that holds everything; `synced` writes are on disk when they return, others are not kept by
    /// a crash at all.
    pub fn create(path: &Path, synced: bool) -> Result<Self> {
        let db = Database::builder().set_cache_size(4 << 30).create(path)?;
        let begun = db.begin_write()?;
        begun.open_table(TABLE)?;
        begun.commit()?;
        let (durability, name) = if synced {
            (Durability::Immediate, "redb Immediate")
        } else {
            (Durability::None, "redb None")
        };
        Ok(Self {
            db,
            durability,
            name,
        })
    }

    fn write<T>(
        &self,
        change: impl FnOnce(&mut redb::Table<'_, &[u8], &[u8]>) -> Result<T>,
    ) -> Result<T> {
        let mut begun = self.db.begin_write()?;
        begun.set_durability(self.durability)?;
        let mut table = begun.open_table(TABLE)?;
        let answer = change(&mut table)?;
        drop(table);
        begun.commit()?;
        Ok(answer)
    }
}

impl KvEngine for Redb {
    type Reader<'a> = Snapshot;

    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn reader(&self) -> Result<Self::Reader<'_>> {
        Ok(Snapshot(self.db.begin_read()?.open_table(TABLE)?))
    }

    fn set(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.write(|table| {
            table.insert(key, value)?;
            Ok(())
        })
    }

    fn incr(&self, key: &[u8]) -> Result<i64> {
        self.write(|table| {
            let old = table
                .get(key)?
                .map(|value| number(value.value()))
                .transpose()?;
            let next = old.unwrap_or(0) + 1;
            table.insert(key, &next.to_le_bytes()[..])?;
            Ok(next)
        })
    }

    fn load(&self, count: u64, value: &[u8]) -> Result<()> {
        self.write(|table| {
            for i in 0..count {
                table.insert(&key(i)[..], value)?;
            }
            Ok(())
        })
    }
}

/// A table as it was when the reader was made.
pub struct Snapshot(ReadOnlyTable<&'static [u8], &'static [u8]>);

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}

impl KvReader for Snapshot {
    fn get(&mut self, key: &[u8], out: &mut Vec<u8>) -> Result<bool> {
        let Some(value) = self.0.get(key)? else {
            return Ok(false);
        };
        out.extend_from_slice(value.value());
        Ok(true)
    }
}
