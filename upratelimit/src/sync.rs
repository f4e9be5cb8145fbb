//! The one place that names lock types, so that a model checker can take their place.
//!
//! Lock order: a shard's lock is a leaf; no code holds two of them, and none calls the clock under one.

pub(crate) use parking_lot::{Condvar, Mutex};
