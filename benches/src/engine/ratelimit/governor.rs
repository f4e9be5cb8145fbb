//! governor: GCRA over a sharded map, with the clock it comes with.

use std::num::NonZeroU32;

use governor::{DefaultKeyedRateLimiter, Quota};

use super::RateLimiter;

/// One limiter for all keys.
pub struct Governor(DefaultKeyedRateLimiter<[u8; 16]>);

impl std::fmt::Debug for Governor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Governor").finish_non_exhaustive()
    }
}

impl Default for Governor {
    fn default() -> Self {
        Self(DefaultKeyedRateLimiter::keyed(Quota::per_second(
            NonZeroU32::MAX,
        )))
    }
}

impl RateLimiter for Governor {
    fn name(&self) -> String {
        "governor keyed".to_owned()
    }

    fn check(&self, key: &[u8; 16]) -> bool {
        self.0.check_key(key).is_ok()
    }
}
