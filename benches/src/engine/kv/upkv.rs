//! Our engine through its typed API.

use std::path::Path;

use upkv::{Db, DbOptions, Durability, Store};

use super::{KvEngine, KvReader};
use crate::Result;

/// A database with its store.
#[derive(Debug)]
pub struct UpKv {
    db: Db,
    name: String,
}

impl UpKv {
    /// A store in memory, without a log on disk.
    pub fn memory() -> Result<Self> {
        Ok(Self {
            db: Db::mount(&Store::memory()?, "bench")?,
            name: "up".to_owned(),
        })
    }

    /// A store on disk at `level`, with the thread that its default gives it.
    pub fn on_disk(dir: &Path, level: Durability, options: DbOptions) -> Result<Self> {
        let store = Store::builder(dir).durability(level).open()?;
        Ok(Self {
            db: Db::mount_with(&store, "bench", options)?,
            name: format!("up {level:?}"),
        })
    }

    /// The database.
    pub const fn db(&self) -> &Db {
        &self.db
    }
}

impl KvEngine for UpKv {
    type Reader<'a> = &'a Db;

    fn name(&self) -> String {
        self.name.clone()
    }

    fn reader(&self) -> Result<Self::Reader<'_>> {
        Ok(&self.db)
    }

    fn set(&self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.db.set(key, value)?)
    }

    fn incr(&self, key: &[u8]) -> Result<i64> {
        Ok(self.db.incr(key)?)
    }
}

impl KvReader for &Db {
    fn get(&mut self, key: &[u8], out: &mut Vec<u8>) -> Result<bool> {
        let Some(value) = Db::get(self, key)? else {
            return Ok(false);
        };
        out.extend_from_slice(&value);
        Ok(true)
    }
}
