//! Rate limiters: may this key go on now?

#[cfg(feature = "peers-ratelimit")]
pub mod governor;
pub mod upratelimit;

/// A limiter in memory, with a limit that the workload never reaches.
pub trait RateLimiter: Sync {
    /// Engine and settings, as the row shows them.
    fn name(&self) -> String;

    /// Spends one of `key`'s limit and says whether that was allowed.
    fn check(&self, key: &[u8; 16]) -> bool;
}
