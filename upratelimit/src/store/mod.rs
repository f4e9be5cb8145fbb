//! The keys in memory: a keyed hash of each, sharded, with a hard cap.
//!
//! Decisions on different shards never meet; a decision holds one shard's lock for the arithmetic alone.

mod fingerprint;
mod sharded;
mod table;

pub(crate) use sharded::Sharded;

/// Counters of a limiter's table.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Keys tracked now, those not yet swept included.
    pub keys: usize,
    /// Bytes the table has allocated.
    pub bytes: usize,
    /// Keys dropped because they were as good as new; no decision changed.
    pub evicted_fresh: u64,
    /// Keys dropped at the cap although they were in use; each starts anew, so more may pass than its limit.
    pub evicted_live: u64,
    /// New keys refused at the cap.
    pub refused_new: u64,
}
