//! Key-value engines: arbitrary bytes to arbitrary bytes, shared by threads.

#[cfg(feature = "peers-kv")]
pub mod dashmap;
#[cfg(feature = "peers-kv")]
pub mod fjall;
#[cfg(feature = "peers-kv")]
pub mod papaya;
#[cfg(feature = "peers-kv")]
pub mod redb;
pub mod upkv;

use crate::Result;

/// A map of byte strings.
pub trait KvEngine: Sync {
    /// What a thread reads through.
    type Reader<'a>: KvReader
    where
        Self: 'a;

    /// Engine and settings, as the row shows them.
    fn name(&self) -> String;

    /// Prepares reading as a careful user would, once for many reads: a transaction, a guard, or nothing.
    fn reader(&self) -> Result<Self::Reader<'_>>;

    /// Sets `key`, whether it exists or not.
    fn set(&self, key: &[u8], value: &[u8]) -> Result<()>;

    /// Adds one to the number at `key`, atomically; an absent key counts as zero.
    fn incr(&self, key: &[u8]) -> Result<i64>;

    /// Sets keys `0..count` of the workload to `value`, as fast as the engine can.
    fn load(&self, count: u64, value: &[u8]) -> Result<()> {
        (0..count).try_for_each(|i| self.set(&crate::workload::key(i), value))
    }
}

/// Reads of one thread.
pub trait KvReader {
    /// Copies the value of `key` to the end of `out`, and says whether there is one.
    fn get(&mut self, key: &[u8], out: &mut Vec<u8>) -> Result<bool>;
}

/// The number that an engine without numbers of its own keeps as eight bytes.
#[cfg(feature = "peers-kv")]
fn number(bytes: &[u8]) -> Result<i64> {
    Ok(i64::from_le_bytes(bytes.try_into()?))
}
