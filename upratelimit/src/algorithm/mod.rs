//! The arithmetic of limiting: `(state, now, cost)` in, `(state, decision)` out, integers only.
//!
//! Each algorithm implements [`Rule`] in its own file; this file owns the parameters' ranges and the one decision
//! procedure they share. Invariants: a refusal returns the state it was given unless that state had to be repaired;
//! no input overflows, divides by zero or panics; a state whose `reset_at` has passed decides as a fresh one.
//! Products are taken in `u128`: limits stay below 2^48 and periods below 2^62 ns, so no product reaches 2^112.

mod fixed_window;
mod gcra;
mod sliding_window;
mod token_bucket;

use std::time::Duration;

use crate::clock::nanos_of;
use crate::{Decision, Error, Parameter, Reason, Result, Timestamp};

use fixed_window::FixedWindow;
use gcra::Gcra;
use sliding_window::SlidingWindow;
use token_bucket::TokenBucket;

/// `?` for constant functions, where the trait behind it is not available.
macro_rules! in_range {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return Err(error),
        }
    };
}

/// What an algorithm remembers of one key: 24 bytes, opaque. The default is a key never seen.
///
/// A state belongs to the algorithm that made it; given to another it decides something, but nothing useful.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub(crate) time: u64,
    pub(crate) first: u64,
    pub(crate) second: u64,
}

impl State {
    /// The state of a key never seen.
    pub const FRESH: Self = Self {
        time: 0,
        first: 0,
        second: 0,
    };
}

/// A state brought to the present.
struct Rolled {
    state: State,
    /// The stored time lay further ahead than the algorithm remembers and was moved to now.
    repaired: bool,
}

impl Rolled {
    const fn current(state: State) -> Self {
        Self {
            state,
            repaired: false,
        }
    }
}

/// One algorithm. All but `roll` take a rolled state; times and spans are nanoseconds.
trait Rule {
    /// The most units a key can have.
    fn limit(&self) -> u64;
    /// The longest a used-up key takes to become fresh.
    fn memory(&self) -> u64;
    /// Applies the passage of time.
    fn roll(&self, state: State, now: u64) -> Rolled;
    /// Whole units left.
    fn remaining(&self, state: &State, now: u64) -> u64;
    /// Takes `cost` units, `1 <= cost <= remaining`.
    fn charge(&self, state: State, now: u64, cost: u64) -> State;
    /// Gives back up to `units`.
    fn refund(&self, state: State, now: u64, units: u64) -> State;
    /// The first moment at which `cost` fits, for `remaining < cost <= limit`.
    fn retry_at(&self, state: &State, now: u64, cost: u64) -> u64;
    /// The first moment at which the state decides as a fresh one; any past moment if it does now.
    fn reset_at(&self, state: &State, now: u64) -> u64;
    /// Whether the state decides as a fresh one, now and ever after.
    fn is_fresh(&self, state: &State, now: u64) -> bool {
        self.reset_at(state, now) <= now
    }
}

/// A limit and the way it is measured: a small `Copy` value that can be a constant.
///
/// The constructors come in two forms. The plain ones are for constants: a parameter out of range stops the build
/// (outside a constant it panics). The `try_` ones return an [`Error`], for parameters that come from elsewhere.
///
/// Ranges: limits, refills and capacities 1 to 2^48 - 1; periods 1 ns to 2^62 - 1 ns (146 years); an empty bucket
/// must fill within the same 146 years.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use upratelimit::{Algorithm, State, Timestamp};
///
/// const DAILY: Algorithm = Algorithm::fixed_window(1_000, Duration::from_secs(86_400));
///
/// let now = Timestamp::from_millis(0);
/// let (state, decision) = DAILY.decide(State::FRESH, now, 400);
/// assert_eq!(decision.remaining, 600);
/// let (same, refused) = DAILY.decide(state, now, 601);
/// assert!(!refused.allowed);
/// assert_eq!(same, state); // a refusal changes nothing
/// assert_eq!(refused.retry_after, Some(Duration::from_secs(86_400)));
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Algorithm(Kind);

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Kind {
    FixedWindow(FixedWindow),
    SlidingWindow(SlidingWindow),
    TokenBucket(TokenBucket),
    Gcra(Gcra),
}

/// Runs one expression with the rule of whatever kind this is.
macro_rules! with_rule {
    ($algorithm:expr, $rule:ident => $body:expr) => {
        match &$algorithm.0 {
            Kind::FixedWindow($rule) => $body,
            Kind::SlidingWindow($rule) => $body,
            Kind::TokenBucket($rule) => $body,
            Kind::Gcra($rule) => $body,
        }
    };
}

impl Algorithm {
    /// The largest limit, refill, capacity or burst: 2^48 - 1.
    pub const MAX_LIMIT: u64 = (1 << 48) - 1;

    /// The longest window, period or interval: 2^62 - 1 nanoseconds, 146 years.
    pub const MAX_PERIOD: Duration = Duration::from_nanos(MAX_PERIOD_NANOS);

    /// At most `limit` units in each window; windows are half open and aligned to the Unix epoch.
    ///
    /// Up to `2 * limit` units may pass in a short span across a boundary.
    ///
    /// # Panics
    ///
    /// If a parameter is out of range; see [`Algorithm::try_fixed_window`].
    pub const fn fixed_window(limit: u64, window: Duration) -> Self {
        accept(Self::try_fixed_window(limit, window))
    }

    /// At most `limit` units in each window, from parameters that may be wrong.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] for a limit or window outside its range.
    pub const fn try_fixed_window(limit: u64, window: Duration) -> Result<Self> {
        let limit = in_range!(units(Parameter::Limit, limit));
        let window = in_range!(period(window));
        Ok(Self(Kind::FixedWindow(FixedWindow { limit, window })))
    }

    /// At most `limit` units in any span of one window, as estimated from two aligned ones.
    ///
    /// The previous window counts in proportion to how much of it the sliding one still covers, as if its units had
    /// been spread evenly. The estimate is compared exactly, without rounding in the caller's favour. If the previous
    /// window's units all came at its end, up to just under `2 * limit` may pass in one true window.
    ///
    /// # Panics
    ///
    /// If a parameter is out of range; see [`Algorithm::try_sliding_window`].
    pub const fn sliding_window(limit: u64, window: Duration) -> Self {
        accept(Self::try_sliding_window(limit, window))
    }

    /// A sliding window from parameters that may be wrong.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] for a limit or window outside its range.
    pub const fn try_sliding_window(limit: u64, window: Duration) -> Result<Self> {
        let limit = in_range!(units(Parameter::Limit, limit));
        let window = in_range!(period(window));
        Ok(Self(Kind::SlidingWindow(SlidingWindow { limit, window })))
    }

    /// A bucket of `capacity` units, full at first, to which `refill` units are added every `interval`.
    ///
    /// Refilling happens in steps. The steps of a key count from the first charge after it was full, so a full bucket
    /// has no phase and can be forgotten. No span of time `t` sees more than
    /// `capacity + (floor(t / interval) + 1) * refill` units pass.
    ///
    /// # Panics
    ///
    /// If a parameter is out of range; see [`Algorithm::try_token_bucket`].
    pub const fn token_bucket(refill: u64, interval: Duration, capacity: u64) -> Self {
        accept(Self::try_token_bucket(refill, interval, capacity))
    }

    /// A token bucket from parameters that may be wrong.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] for a refill, interval or capacity outside its range, or an empty bucket that takes more
    /// than 146 years to fill.
    pub const fn try_token_bucket(refill: u64, interval: Duration, capacity: u64) -> Result<Self> {
        let refill = in_range!(units(Parameter::Refill, refill));
        let interval = in_range!(period(interval));
        let capacity = in_range!(units(Parameter::Capacity, capacity));
        let fill_time = in_range!(fill_time(
            capacity.div_ceil(refill) as u128 * interval as u128
        ));
        Ok(Self(Kind::TokenBucket(TokenBucket {
            refill,
            interval,
            capacity,
            fill_time,
        })))
    }

    /// `count` units per `period`, evenly spaced, with up to `count` at once: the generic cell rate algorithm.
    ///
    /// Same as a bucket of `count` units that refills continuously. Three per second stays three per second: the
    /// spacing is kept exactly, not rounded to nanoseconds.
    ///
    /// # Panics
    ///
    /// If a parameter is out of range; see [`Algorithm::try_gcra`].
    pub const fn gcra(count: u64, period: Duration) -> Self {
        accept(Self::try_gcra(count, period, count))
    }

    /// `count` units per `period`, evenly spaced, with up to `burst` at once. A burst of 1 is a leaky bucket.
    ///
    /// Where a peer's `max_burst` means "beyond the first", pass that plus one.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use upratelimit::{Algorithm, State, Timestamp};
    ///
    /// let even = Algorithm::gcra_with_burst(3, Duration::from_secs(1), 1);
    /// let (state, first) = even.decide(State::FRESH, Timestamp::from_nanos(0), 1);
    /// assert!(first.allowed);
    /// let (_, second) = even.decide(state, Timestamp::from_nanos(0), 1);
    /// assert_eq!(second.retry_after, Some(Duration::from_nanos(333_333_334)));
    /// ```
    ///
    /// # Panics
    ///
    /// If a parameter is out of range; see [`Algorithm::try_gcra`].
    pub const fn gcra_with_burst(count: u64, period: Duration, burst: u64) -> Self {
        accept(Self::try_gcra(count, period, burst))
    }

    /// An evenly spaced rate from parameters that may be wrong.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] for a count, period or burst outside its range, or an empty bucket that takes more than
    /// 146 years to fill.
    pub const fn try_gcra(count: u64, period_span: Duration, burst: u64) -> Result<Self> {
        let count = in_range!(units(Parameter::Limit, count));
        let period = in_range!(period(period_span));
        let burst = in_range!(units(Parameter::Capacity, burst));
        let scaled = burst as u128 * period as u128;
        let fill_time = in_range!(fill_time(scaled.div_ceil(count as u128)));
        Ok(Self(Kind::Gcra(Gcra {
            count,
            period,
            burst,
            fill_time,
        })))
    }

    /// The most units a key can have at once: the window's limit or the bucket's capacity.
    pub fn limit(&self) -> u64 {
        with_rule!(self, rule => rule.limit())
    }

    /// The longest a used-up key takes to become fresh, and so the furthest a clock may step back unnoticed.
    ///
    /// One window for the fixed window, two for the sliding one, the time to fill for the others.
    pub fn memory(&self) -> Duration {
        Duration::from_nanos(self.memory_nanos())
    }

    pub(crate) fn memory_nanos(&self) -> u64 {
        with_rule!(self, rule => rule.memory())
    }

    /// Decides one call: the whole algorithm, with no clock, lock or store.
    ///
    /// Returns the state to keep. It equals `state` when the call is refused or costs nothing, unless `state` lay
    /// further ahead of `now` than [`Algorithm::memory`]; then it is moved to `now` with its consumption kept.
    /// A cost of 0 is always allowed.
    pub fn decide(&self, state: State, now: Timestamp, cost: u64) -> (State, Decision) {
        with_rule!(self, rule => decide(rule, state, now.as_nanos(), cost))
    }

    /// Gives `units` back, never above the limit, and returns the state to keep.
    ///
    /// Meant to undo a charge. Units that time has already restored are not given twice.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use upratelimit::{Algorithm, State, Timestamp};
    ///
    /// let bucket = Algorithm::token_bucket(1, Duration::from_secs(1), 5);
    /// let now = Timestamp::from_millis(500);
    /// let (state, _) = bucket.decide(State::FRESH, now, 3);
    /// let state = bucket.refund(state, now, 100);
    /// assert_eq!(bucket.remaining(state, now), 5);
    /// ```
    #[must_use]
    pub fn refund(&self, state: State, now: Timestamp, units: u64) -> State {
        let now = now.as_nanos();
        with_rule!(self, rule => {
            let rolled = rule.roll(state, now);
            rule.refund(rolled.state, now, units)
        })
    }

    /// Whole units left.
    pub fn remaining(&self, state: State, now: Timestamp) -> u64 {
        let now = now.as_nanos();
        with_rule!(self, rule => rule.remaining(&rule.roll(state, now).state, now))
    }

    /// Whether the state decides as one never seen, so that it may be forgotten.
    pub fn is_fresh(&self, state: State, now: Timestamp) -> bool {
        let now = now.as_nanos();
        with_rule!(self, rule => rule.is_fresh(&rule.roll(state, now).state, now))
    }

    /// How restricted a key is: units left, then the moment it is fresh again. The largest is the least restricted
    /// once the moment is negated; used to choose whom to forget.
    pub(crate) fn restriction(&self, state: State, now: u64) -> (u64, u64) {
        with_rule!(self, rule => {
            let rolled = rule.roll(state, now).state;
            (rule.remaining(&rolled, now), rule.reset_at(&rolled, now))
        })
    }
}

const MAX_PERIOD_NANOS: u64 = (1 << 62) - 1;

/// The one decision procedure.
fn decide<R: Rule>(rule: &R, state: State, now: u64, cost: u64) -> (State, Decision) {
    let limit = rule.limit();
    let rolled = rule.roll(state, now);
    let remaining = rule.remaining(&rolled.state, now);
    let unchanged = if rolled.repaired { rolled.state } else { state };
    let (next, reset_of, remaining, reason, retry_at) = if cost == 0 {
        (
            unchanged,
            rolled.state,
            remaining,
            Reason::Allowed,
            Some(now),
        )
    } else if cost <= remaining {
        let next = rule.charge(rolled.state, now, cost);
        (next, next, remaining - cost, Reason::Allowed, Some(now))
    } else if cost > limit {
        (
            unchanged,
            rolled.state,
            remaining,
            Reason::ExceedsCapacity,
            None,
        )
    } else {
        let retry_at = rule.retry_at(&rolled.state, now, cost);
        (
            unchanged,
            rolled.state,
            remaining,
            Reason::Limited,
            Some(retry_at),
        )
    };
    let reset_at = rule.reset_at(&reset_of, now).max(now);
    let decision = Decision {
        allowed: matches!(reason, Reason::Allowed),
        reason,
        limit,
        remaining,
        reset_at: Timestamp::from_nanos(reset_at),
        reset_after: Duration::from_nanos(reset_at - now),
        retry_after: retry_at.map(|at| Duration::from_nanos(at.saturating_sub(now))),
    };
    (next, decision)
}

/// The start of the aligned window that holds `now`.
const fn window_start(now: u64, window: u64) -> u64 {
    now - now % window
}

/// `floor(n / d)`, saturating. The fast path matters: a 128-bit division costs as much as the rest of a decision.
#[expect(clippy::cast_possible_truncation, reason = "checked in the same line")]
const fn div_floor(n: u128, d: u64) -> u64 {
    if n >> 64 == 0 {
        n as u64 / d
    } else {
        saturate(n / d as u128)
    }
}

/// `ceil(n / d)`, saturating.
#[expect(clippy::cast_possible_truncation, reason = "checked in the same line")]
const fn div_ceil(n: u128, d: u64) -> u64 {
    if n >> 64 == 0 {
        (n as u64).div_ceil(d)
    } else {
        saturate(n.div_ceil(d as u128))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "checked in the same line")]
const fn saturate(n: u128) -> u64 {
    if n > u64::MAX as u128 {
        u64::MAX
    } else {
        n as u64
    }
}

const fn units(parameter: Parameter, given: u64) -> Result<u64> {
    if given == 0 || given > Algorithm::MAX_LIMIT {
        return Err(Error::OutOfRange {
            parameter,
            given,
            max: Algorithm::MAX_LIMIT,
        });
    }
    Ok(given)
}

const fn period(span: Duration) -> Result<u64> {
    let given = nanos_of(span);
    if given == 0 || given > MAX_PERIOD_NANOS {
        let parameter = Parameter::Period;
        return Err(Error::OutOfRange {
            parameter,
            given,
            max: MAX_PERIOD_NANOS,
        });
    }
    Ok(given)
}

const fn fill_time(nanos: u128) -> Result<u64> {
    let given = saturate(nanos);
    if given > MAX_PERIOD_NANOS {
        let parameter = Parameter::FillTime;
        return Err(Error::OutOfRange {
            parameter,
            given,
            max: MAX_PERIOD_NANOS,
        });
    }
    Ok(given)
}

const fn accept(result: Result<Algorithm>) -> Algorithm {
    match result {
        Ok(algorithm) => algorithm,
        Err(error) => error.raise(),
    }
}

#[cfg(test)]
mod tests;
