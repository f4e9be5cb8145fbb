//! dashmap: a map of locked shards, with the hash that our engine uses.

use super::{KvEngine, KvReader, number};
use crate::Result;

/// The map.
#[derive(Debug, Default)]
pub struct DashMap(dashmap::DashMap<Vec<u8>, Vec<u8>, ahash::RandomState>);

impl KvEngine for DashMap {
    type Reader<'a> = &'a Self;

    fn name(&self) -> String {
        "dashmap".to_owned()
    }

    fn reader(&self) -> Result<Self::Reader<'_>> {
        Ok(self)
    }

    fn set(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.0.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn incr(&self, key: &[u8]) -> Result<i64> {
        if let Some(mut value) = self.0.get_mut(key) {
            let next = number(&value)? + 1;
            value.copy_from_slice(&next.to_le_bytes());
            return Ok(next);
        }
        let mut entry = self.0.entry(key.to_vec()).or_insert_with(|| vec![0; 8]);
        let next = number(&entry)? + 1;
        entry.copy_from_slice(&next.to_le_bytes());
        Ok(next)
    }
}

impl KvReader for &DashMap {
    fn get(&mut self, key: &[u8], out: &mut Vec<u8>) -> Result<bool> {
        let Some(value) = self.0.get(key) else {
            return Ok(false);
        };
        out.extend_from_slice(&value);
        Ok(true)
    }
}
