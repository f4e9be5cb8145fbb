//! The keys of a database: sharded, locked, counted, expiring.
//!
//! Lock order: shards in ascending number; a shard's lock is taken while holding a higher one only by
//! `try_lock`. The store's log and timer locks are inside shard locks. No value is read from the log
//! while a shard is locked, except after repeated conflicts.

pub(crate) mod access;
pub(crate) mod block;
pub(crate) mod direct;
pub(crate) mod engine;
pub(crate) mod entry;
pub(crate) mod evict;
pub(crate) mod expiry;
pub(crate) mod key;
pub(crate) mod libraries;
pub(crate) mod quick;
pub(crate) mod shard;
pub(crate) mod table;
pub(crate) mod work;
