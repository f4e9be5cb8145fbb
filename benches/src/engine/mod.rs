//! What a contender of each family must be able to do, with one adapter per engine below each trait.
//!
//! An adapter does what a careful user of that engine would write, and says its settings in [`name`](kv::KvEngine::name). Nothing of an
//! engine's setup is inside a measured call.

pub mod flow;
pub mod kv;
pub mod log;
pub mod queue;
pub mod ratelimit;
pub mod redis;
pub mod vector;
