//! What an index keeps: slots with their vectors in memory, every record whole in the log.
//!
//! Invariant: memory is a function of the log; nothing but the graph's edges, which any order of building may choose, is lost when
//! only the log is left.

#[cfg(feature = "test-util")]
mod audit;
pub(crate) mod build;
pub(crate) mod checkpoint;
pub(crate) mod commit;
pub(crate) mod dense;
pub(crate) mod ids;
pub(crate) mod journal;
pub(crate) mod participant;
pub(crate) mod reload;
pub(crate) mod rows;
pub(crate) mod search;
pub(crate) mod space;
pub(crate) mod state;
