//! fjall: a log-structured merge tree; every write goes to its journal.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{KvEngine, KvReader, number};
use crate::Result;

/// A database with one keyspace.
pub struct Fjall {
    db: Database,
    keys: Keyspace,
    synced: bool,
    counters: Mutex<()>,
}

impl std::fmt::Debug for Fjall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fjall")
            .field("synced", &self.synced)
            .finish_non_exhaustive()
    }
}

impl Fjall {
    /// A new database in `dir` with a cache that holds everything; `synced` writes are on disk when they return, others are with the
    /// operating system.
    pub fn create(dir: &Path, synced: bool) -> Result<Self> {
        let db = Database::builder(dir).cache_size(2 << 30).open()?;
        let keys = db.keyspace("bench", KeyspaceCreateOptions::default)?;
        Ok(Self {
            db,
            keys,
            synced,
            counters: Mutex::new(()),
        })
    }
}

impl KvEngine for Fjall {
    type Reader<'a> = &'a Self;

    fn name(&self) -> String {
        let level = if self.synced { "SyncData" } else { "Buffer" };
        format!("fjall {level}")
    }

    fn reader(&self) -> Result<Self::Reader<'_>> {
        Ok(self)
    }

    fn set(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.keys.insert(key, value)?;
        if self.synced {
            self.db.persist(PersistMode::SyncData)?;
        }
        Ok(())
    }

    fn incr(&self, key: &[u8]) -> Result<i64> {
        let _one_at_a_time = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self
            .keys
            .get(key)?
            .map(|value| number(&value))
            .transpose()?;
        let next = old.unwrap_or(0) + 1;
        self.set(key, &next.to_le_bytes())?;
        Ok(next)
    }
}

impl KvReader for &Fjall {
    fn get(&mut self, key: &[u8], out: &mut Vec<u8>) -> Result<bool> {
        let Some(value) = self.keys.get(key)? else {
            return Ok(false);
        };
        out.extend_from_slice(&value);
        Ok(true)
    }
}
