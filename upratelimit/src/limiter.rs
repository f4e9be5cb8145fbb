//! The handle: reads the clock, finds the key's shard, decides. All state lives in [`store`](crate::store).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::store::Sharded;
use crate::{Algorithm, Builder, Clock, Decision, Result, Stats};

/// Limits calls per key by one algorithm, in memory. Clones share their keys.
///
/// A key is anything that yields bytes. No call fails or allocates once the table has its size; a call on a known
/// key takes one shard's lock for the length of the arithmetic.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use upratelimit::{Algorithm, Limiter, Reason};
///
/// let limiter = Limiter::new(Algorithm::fixed_window(2, Duration::from_secs(3_600)));
/// assert!(limiter.limit("a").allowed);
/// assert!(limiter.limit("a").allowed);
/// assert!(!limiter.limit("a").allowed);
/// assert!(limiter.limit("b").allowed); // keys do not see each other
/// assert_eq!(limiter.limit_n("b", 3).reason, Reason::ExceedsCapacity);
/// ```
#[derive(Clone)]
pub struct Limiter {
    inner: Arc<Inner>,
}

struct Inner {
    algorithm: Algorithm,
    keys: Sharded,
    clock: Arc<dyn Clock>,
}

impl Limiter {
    /// A limiter with every default: 1,048,576 keys, the system clock.
    pub fn new(algorithm: Algorithm) -> Self {
        Self::builder(algorithm).build()
    }

    /// Starts a limiter with settings of its own.
    pub const fn builder(algorithm: Algorithm) -> Builder {
        Builder::new(algorithm)
    }

    pub(crate) fn from_parts(algorithm: Algorithm, keys: Sharded, clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: Arc::new(Inner {
                algorithm,
                keys,
                clock,
            }),
        }
    }

    /// Spends one unit of `key` if it has one.
    ///
    /// # Complexity
    ///
    /// O(length of the key). No allocation for a known key.
    pub fn limit(&self, key: impl AsRef<[u8]>) -> Decision {
        self.limit_n(key, 1)
    }

    /// Spends `cost` units of `key`, all or nothing. A cost of 0 is allowed and leaves no trace.
    ///
    /// A cost above the limit is refused with [`Reason::ExceedsCapacity`](crate::Reason), and `retry_after` is `None`.
    pub fn limit_n(&self, key: impl AsRef<[u8]>, cost: u64) -> Decision {
        let now = self.inner.clock.now();
        self.inner.keys.decide(key.as_ref(), now, cost)
    }

    /// As [`Limiter::limit_n`], with a cost that can never pass as an error.
    ///
    /// # Errors
    ///
    /// [`Error::ExceedsCapacity`](crate::Error) if `cost` is larger than the limit; split it or raise the limit.
    pub fn try_limit_n(&self, key: impl AsRef<[u8]>, cost: u64) -> Result<Decision> {
        self.limit_n(key, cost).possible(cost)
    }

    /// What [`Limiter::limit_n`] would answer, without spending, creating or touching anything.
    ///
    /// `remaining` is what is left now, before the cost. A key not tracked is answered as new even if the table is
    /// full.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use upratelimit::{Algorithm, Limiter};
    ///
    /// let limiter = Limiter::new(Algorithm::token_bucket(1, Duration::from_secs(60), 3));
    /// assert!(limiter.peek("a", 3).allowed);
    /// assert_eq!(limiter.stats().keys, 0);
    /// ```
    pub fn peek(&self, key: impl AsRef<[u8]>, cost: u64) -> Decision {
        let now = self.inner.clock.now();
        let key = key.as_ref();
        let mut decision = self.inner.keys.peek(key, now, cost);
        if decision.allowed {
            // A decision counts what is left after its charge; nothing is charged here.
            decision = Decision {
                remaining: decision.remaining + cost,
                ..decision
            };
        }
        decision
    }

    /// Whole units `key` has left now. Spends nothing.
    pub fn remaining(&self, key: impl AsRef<[u8]>) -> u64 {
        self.peek(key, 0).remaining
    }

    /// Gives units of an earlier charge back, never above the limit, and returns what is left now.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use upratelimit::{Algorithm, Limiter};
    ///
    /// let limiter = Limiter::new(Algorithm::fixed_window(5, Duration::from_secs(86_400)));
    /// limiter.limit_n("a", 4);
    /// assert_eq!(limiter.refund("a", 2), 3);
    /// assert_eq!(limiter.refund("a", 99), 5);
    /// ```
    pub fn refund(&self, key: impl AsRef<[u8]>, units: u64) -> u64 {
        let now = self.inner.clock.now();
        self.inner.keys.refund(key.as_ref(), now, units)
    }

    /// Forgets `key`, which makes it new. Returns whether it was tracked.
    pub fn reset(&self, key: impl AsRef<[u8]>) -> bool {
        self.inner.keys.reset(key.as_ref())
    }

    /// Spends one unit of `key`, waiting for it up to `timeout`.
    ///
    /// Returns at once, refused and with nothing spent, if the unit cannot come before the timeout. Callers who wait
    /// for the same key compete when it has units again; there is no queue.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use upratelimit::{Algorithm, Limiter};
    ///
    /// let limiter = Limiter::new(Algorithm::gcra_with_burst(1_000, Duration::from_secs(1), 1));
    /// assert!(limiter.limit("a").allowed);
    /// assert!(limiter.block_until_ready("a", Duration::from_secs(10)).allowed);
    /// ```
    ///
    /// # Blocking
    ///
    /// Waits on the clock for up to `timeout`, holding no lock.
    pub fn block_until_ready(&self, key: impl AsRef<[u8]>, timeout: Duration) -> Decision {
        self.block_until_n_ready(key, 1, timeout)
    }

    /// Spends `cost` units of `key`, all or nothing, waiting for them up to `timeout`.
    ///
    /// # Blocking
    ///
    /// As [`Limiter::block_until_ready`].
    pub fn block_until_n_ready(
        &self,
        key: impl AsRef<[u8]>,
        cost: u64,
        timeout: Duration,
    ) -> Decision {
        let key = key.as_ref();
        let clock = &self.inner.clock;
        let mut now = clock.now();
        let deadline = now.saturating_add(timeout);
        loop {
            let decision = self.inner.keys.decide(key, now, cost);
            let Some(wait) = decision.retry_after.filter(|_| !decision.allowed) else {
                return decision;
            };
            let ready_at = now.saturating_add(wait);
            if ready_at > deadline {
                return decision;
            }
            clock.wait_until(ready_at);
            now = clock.now();
        }
    }

    /// Drops keys that are as good as new, looking at no more than `slots` slots of the table; returns how many.
    ///
    /// Optional: new keys sweep a little by themselves. Pass `usize::MAX` for the whole table.
    pub fn sweep(&self, slots: usize) -> usize {
        let now = self.inner.clock.now();
        self.inner.keys.sweep(now, slots)
    }

    /// Counters of the table of keys.
    pub fn stats(&self) -> Stats {
        self.inner.keys.stats()
    }

    /// The most keys this limiter tracks.
    pub fn max_keys(&self) -> usize {
        self.inner.keys.max_keys()
    }

    /// The algorithm every key is limited by.
    pub fn algorithm(&self) -> Algorithm {
        self.inner.algorithm
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("algorithm", &self.inner.algorithm)
            .field("clock", &self.inner.clock)
            .field("stats", &self.stats())
            .finish()
    }
}
