//! The answer to one call: a plain value with no allocation behind it.

use std::time::Duration;

use crate::{Error, Result, Timestamp};

/// The answer to one call.
///
/// # Examples
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use upratelimit::{Algorithm, Limiter, ManualClock, Reason, Timestamp};
///
/// let clock = Arc::new(ManualClock::new(Timestamp::from_millis(60_250)));
/// let limiter = Limiter::builder(Algorithm::fixed_window(1, Duration::from_secs(1)))
///     .clock(clock)
///     .build();
/// limiter.limit("a");
/// let refused = limiter.limit("a");
/// assert_eq!(refused.reason, Reason::Limited);
/// assert_eq!(refused.remaining, 0);
/// assert_eq!(refused.retry_after, Some(Duration::from_millis(750)));
/// assert_eq!(refused.reset_at, Timestamp::from_millis(61_000));
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// Whether the cost was charged (or, for a peek, would be).
    pub allowed: bool,
    /// Why.
    pub reason: Reason,
    /// The most units a key can have: the window's limit or the bucket's capacity.
    pub limit: u64,
    /// Whole units left for this key after this call.
    pub remaining: u64,
    /// When the whole limit is available again if nothing more is charged; the time of the call if it is now.
    pub reset_at: Timestamp,
    /// The span from the call to `reset_at`.
    pub reset_after: Duration,
    /// The exact shortest wait after which the same cost passes if nothing else is charged; zero if it passed.
    /// `None` if no wait can be named: the cost exceeds the capacity, or the table of keys is full.
    pub retry_after: Option<Duration>,
}

impl Decision {
    /// Turns a cost that can never pass into an error; every other answer, refusals included, stays a value.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use upratelimit::{Algorithm, Error, Limiter};
    ///
    /// let limiter = Limiter::new(Algorithm::fixed_window(10, Duration::from_secs(1)));
    /// let never = limiter.limit_n("a", 11).possible(11);
    /// assert_eq!(never, Err(Error::ExceedsCapacity { given: 11, max: 10 }));
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ExceedsCapacity`] if `cost`, the cost the decision was about, is larger than the limit.
    pub const fn possible(self, cost: u64) -> Result<Self> {
        match self.reason {
            Reason::ExceedsCapacity => Err(Error::ExceedsCapacity {
                given: cost,
                max: self.limit,
            }),
            _ => Ok(self),
        }
    }
}

/// Why a decision came out as it did.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The cost fitted and was charged.
    Allowed,
    /// The cost does not fit now; `retry_after` says when it will.
    Limited,
    /// The cost is larger than the limit and will never fit.
    ExceedsCapacity,
    /// The table is full of keys in use and the limiter was built with [`Overflow::RefuseNew`](crate::Overflow).
    TableFull,
}
