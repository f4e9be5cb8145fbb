//! The cold tier: values that are in the log and not in memory.
//!
//! Nothing is written when a value is dropped, because the log holds it already; see [`sweep`] for what is
//! dropped and when, [`read`] for how values come back.

mod read;
mod sweep;

/// Strings shorter than this stay in memory: dropping them would gain nothing.
pub(crate) const DEMOTE_BYTES_MIN: usize = 64;
