//! Embedded rate limiting: exact integer decisions in nanoseconds, with bounded memory.
//!
//! A [`Limiter`] answers one question: may this key spend `n` units now? The answer is a [`Decision`] that carries
//! the limit, what remains, when the key is as good as new, and the exact wait after which the same call would pass.
//! The arithmetic lives in [`Algorithm`], a pure function of `(state, now, cost)` that needs no clock, lock or store.
//!
//! ```
//! use std::time::Duration;
//! use upratelimit::{Algorithm, Limiter};
//!
//! const PER_USER: Algorithm = Algorithm::sliding_window(10, Duration::from_secs(10));
//!
//! let limiter = Limiter::builder(PER_USER).max_keys(1_000_000).build();
//! let decision = limiter.limit("user:1");
//! assert!(decision.allowed);
//! assert_eq!((decision.limit, decision.remaining), (10, 9));
//!
//! assert!(limiter.limit_n("user:1", 5).allowed); // five units at once, all or nothing
//! assert_eq!(limiter.remaining("user:1"), 4); // looks, does not spend
//! assert!(!limiter.limit_n("user:1", 5).allowed); // refused, and nothing was consumed
//! assert_eq!(limiter.remaining("user:1"), 4);
//! ```
//!
//! # Choosing an algorithm
//!
//! | constructor | admits at most | state | use it when |
//! |---|---|---|---|
//! | [`Algorithm::fixed_window`] | `2 * limit` across a boundary | one counter | quotas that follow the clock |
//! | [`Algorithm::sliding_window`] | the two-window estimate | two counters | the usual choice for requests |
//! | [`Algorithm::token_bucket`] | `capacity` at once, `refill` per interval | one counter | bursts, refilled in steps |
//! | [`Algorithm::gcra`] | `burst` at once, then evenly spaced | one instant | smooth rates, leaky bucket |
//!
//! # Guarantees
//!
//! - A key is never admitted beyond the bound of its algorithm, whatever the threads do.
//! - A refused call consumes nothing and writes nothing. The one exception repairs a state that is further in the
//!   future than the algorithm remembers, which happens when the clock jumped back; the repair consumes nothing.
//! - A clock that steps back grants nothing, and starves nobody for longer than the algorithm remembers.
//! - Memory is bounded: 40 bytes a slot, 4/3 slots a key and the rounding of one shard, `max_keys` keys (default
//!   1,048,576). At the cap, keys as good as new go first; then the key with the most capacity left, never
//!   the most restricted. [`Stats::evicted_live`] counts the evictions that lost information.
//! - Keys are arbitrary bytes, empty ones included. The table holds a keyed 128-bit hash in place of the key, with a
//!   random key per limiter.
//! - No floating point, no unsafe code, no thread, no runtime.
//!
//! # Features
//!
//! None. The crate depends on `parking_lot` and `thiserror` alone.

#![forbid(unsafe_code)]

mod algorithm;
mod builder;
mod clock;
mod decision;
mod error;
mod limiter;
mod store;
mod sync;

pub use algorithm::{Algorithm, State};
pub use builder::{Builder, Overflow};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use decision::{Decision, Reason};
pub use error::{Error, Parameter, Result};
pub use limiter::Limiter;
pub use store::Stats;

/// The README's examples, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
