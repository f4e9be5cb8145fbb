//! Redis-semantics key-value engine, and the store that every engine of the up suite stands on.

pub mod storage;
