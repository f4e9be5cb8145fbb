//! Our limiter, with the algorithm of the peers and room for exactly the keys of the workload.

use std::time::Duration;

use upratelimit::{Algorithm, Limiter};

use super::RateLimiter;

/// A second's worth that no run uses up.
const LIMIT: u64 = 1_000_000_000;

/// One limiter for all keys.
#[derive(Debug)]
pub struct UpRateLimit {
    limiter: Limiter,
    name: &'static str,
}

impl UpRateLimit {
    /// Evenly spaced with bursts, as the peers decide.
    pub fn gcra(keys: usize) -> Self {
        let algorithm = Algorithm::gcra(LIMIT, Duration::from_secs(1));
        Self::new(algorithm, keys, "up gcra")
    }

    /// The estimate over two windows, the usual choice for requests.
    pub fn sliding_window(keys: usize) -> Self {
        let algorithm = Algorithm::sliding_window(LIMIT, Duration::from_secs(1));
        Self::new(algorithm, keys, "up sliding window")
    }

    fn new(algorithm: Algorithm, keys: usize, name: &'static str) -> Self {
        let limiter = Limiter::builder(algorithm).max_keys(keys.max(1024)).build();
        Self { limiter, name }
    }
}

impl RateLimiter for UpRateLimit {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn check(&self, key: &[u8; 16]) -> bool {
        self.limiter.limit(key).allowed
    }
}
