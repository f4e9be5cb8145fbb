//! Construction of a limiter; every setter states its default.

use std::sync::Arc;

use crate::store::Sharded;
use crate::{Algorithm, Clock, Error, Limiter, Parameter, Result, SystemClock};

/// What happens to a new key when `max_keys` keys are in use.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// Forget, of a sample of 16, the key with the most capacity left. That key may then exceed its limit.
    #[default]
    EvictRoomiest,
    /// Refuse the new key with [`Reason::TableFull`](crate::Reason), so that no limit is ever exceeded.
    RefuseNew,
}

/// Sets up a [`Limiter`]; made by [`Limiter::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    algorithm: Algorithm,
    max_keys: usize,
    overflow: Overflow,
    clock: Option<Arc<dyn Clock>>,
}

impl Builder {
    /// The largest cap: 2^32 keys.
    pub const MAX_KEYS: usize = 1 << 32;

    pub(crate) const fn new(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            max_keys: 1 << 20,
            overflow: Overflow::EvictRoomiest,
            clock: None,
        }
    }

    /// The most keys to track, 1 to 2^32; default 1,048,576, which costs at most 64 MiB once they are in use.
    ///
    /// Above 4096 keys the table is split into shards of equal share, so the first eviction happens a few percent
    /// below the cap.
    pub const fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// What happens to a new key at the cap; default [`Overflow::EvictRoomiest`].
    pub const fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Where the time comes from; default a [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Makes the limiter. No memory is taken before keys arrive.
    ///
    /// # Panics
    ///
    /// If `max_keys` is out of range; see [`Builder::try_build`].
    pub fn build(self) -> Limiter {
        match self.try_build() {
            Ok(limiter) => limiter,
            Err(error) => error.raise(),
        }
    }

    /// Makes the limiter from settings that may be wrong.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use upratelimit::{Algorithm, Error, Limiter, Parameter};
    ///
    /// let nothing = Limiter::builder(Algorithm::gcra(5, Duration::from_secs(1))).max_keys(0);
    /// let error = nothing.try_build().unwrap_err();
    /// assert!(matches!(error, Error::OutOfRange { parameter: Parameter::MaxKeys, given: 0, .. }));
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] if `max_keys` is 0 or above [`Builder::MAX_KEYS`].
    pub fn try_build(self) -> Result<Limiter> {
        if self.max_keys == 0 || self.max_keys > Self::MAX_KEYS {
            let (given, max) = (self.max_keys as u64, Self::MAX_KEYS as u64);
            return Err(Error::OutOfRange {
                parameter: Parameter::MaxKeys,
                given,
                max,
            });
        }
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let keys = Sharded::new(self.algorithm, self.max_keys, self.overflow);
        Ok(Limiter::from_parts(self.algorithm, keys, clock))
    }
}
