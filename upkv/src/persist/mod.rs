//! Between the keyspace and the log: record bodies, recovery, checkpoints, relocation.
//!
//! The log holds effects only: whole values, changes of collections, deadlines, removals. Recovery sets
//! where each key's records are; values are read when they are first needed.

pub(crate) mod checkpoint;
pub(crate) mod participant;
pub(crate) mod record;
