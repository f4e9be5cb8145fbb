//! papaya: a lock-free map; reads pin one guard for many lookups, writes pin one each.

use super::{KvEngine, KvReader, number};
use crate::Result;

/// The map.
#[derive(Debug, Default)]
pub struct Papaya(papaya::HashMap<Vec<u8>, Vec<u8>, ahash::RandomState>);

/// The map with a guard held.
pub struct Pinned<'a>(
    papaya::HashMapRef<'a, Vec<u8>, Vec<u8>, ahash::RandomState, papaya::LocalGuard<'a>>,
);

impl std::fmt::Debug for Pinned<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pinned").finish_non_exhaustive()
    }
}

impl KvEngine for Papaya {
    type Reader<'a> = Pinned<'a>;

    fn name(&self) -> String {
        "papaya".to_owned()
    }

    fn reader(&self) -> Result<Self::Reader<'_>> {
        Ok(Pinned(self.0.pin()))
    }

    fn set(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.0.pin().insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn incr(&self, key: &[u8]) -> Result<i64> {
        let next = |old: &Vec<u8>| number(old).unwrap_or(0) + 1;
        let map = self.0.pin();
        let value = map.update_or_insert_with(
            key.to_vec(),
            |old| next(old).to_le_bytes().to_vec(),
            || 1i64.to_le_bytes().to_vec(),
        );
        number(value)
    }
}

impl KvReader for Pinned<'_> {
    fn get(&mut self, key: &[u8], out: &mut Vec<u8>) -> Result<bool> {
        let Some(value) = self.0.get(key) else {
            return Ok(false);
        };
        out.extend_from_slice(value);
        Ok(true)
    }
}
