//! Counters of a database.

/// What a database holds and has done since it was opened, or since `CONFIG RESETSTAT`.
///
/// # Examples
///
/// ```
/// let store = upkv::Store::memory()?;
/// let db = upkv::Db::mount(&store, "cache")?;
/// db.set("a", "1")?;
/// db.get("a")?;
/// let stats = db.stats();
/// assert_eq!((stats.keys, stats.hits), (1, 1));
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Keys, including overdue ones that were not cleaned up yet.
    pub keys: u64,
    /// Keys whose value is only in the log.
    pub cold_keys: u64,
    /// Bytes of keys, hot values and bookkeeping in memory.
    pub used_bytes: u64,
    /// Bytes of records in the log that the database needs.
    pub log_bytes: u64,
    /// Reads that found their key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Values read from the log because they were cold.
    pub cold_reads: u64,
    /// Values dropped from memory.
    pub demoted: u64,
    /// Values brought back into memory.
    pub promoted: u64,
    /// Keys removed because memory was over `max_memory_bytes`.
    pub evicted: u64,
    /// Keys removed because they were overdue.
    pub expired: u64,
    /// Hash fields removed because they were overdue, without those that went with their key.
    pub expired_fields: u64,
    /// Sessions that are open.
    pub clients: u64,
    /// Sessions that were opened.
    pub clients_accepted: u64,
    /// Callers that wait in a blocking command.
    pub blocked_callers: u64,
    /// Sessions that are told which keys to forget.
    pub tracking_clients: u64,
    /// Keys that such sessions have read.
    pub tracked_keys: u64,
}

/// The counters that one shard keeps under its own lock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ShardStats {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) demoted: u64,
    pub(crate) promoted: u64,
    pub(crate) evicted: u64,
    pub(crate) expired: u64,
    pub(crate) expired_fields: u64,
}
