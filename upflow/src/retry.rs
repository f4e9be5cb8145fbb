//! When a failed attempt is repeated: pure functions of the attempt number and one random word.
//!
//! Invariant: no delay is over the cap, whatever the numbers are.

use std::time::Duration;

use upkv::Durability;

/// The pause before the next attempt of a failed step.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use upflow::Backoff;
/// let backoff = Backoff::exponential(Duration::from_secs(1)).cap(Duration::from_secs(3)).jitter(0.0);
/// assert_eq!(backoff.delay(1, 0), Duration::from_secs(1));
/// assert_eq!(backoff.delay(2, 0), Duration::from_secs(2));
/// assert_eq!(backoff.delay(3, 0), Duration::from_secs(3), "the cap");
/// ```
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Backoff {
    base: Duration,
    factor: f64,
    cap: Duration,
    jitter: f64,
}

impl Backoff {
    /// The same pause after every attempt.
    pub const fn fixed(pause: Duration) -> Self {
        Self {
            base: pause,
            factor: 1.0,
            cap: pause,
            jitter: 0.0,
        }
    }

    /// `base`, twice that, four times that, and so on, up to a day; a fifth of it at random.
    pub const fn exponential(base: Duration) -> Self {
        Self {
            base,
            factor: 2.0,
            cap: Duration::from_hours(24),
            jitter: 0.2,
        }
    }

    /// The longest pause; default 24 h.
    #[must_use]
    pub const fn cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// The part of each pause that is random, 0 to 1; default 0.2. Values outside are taken as the nearest bound.
    #[must_use]
    pub fn jitter(mut self, part: f64) -> Self {
        self.jitter = if part.is_nan() {
            0.0
        } else {
            part.clamp(0.0, 1.0)
        };
        self
    }

    /// The pause after failed attempt number `attempt`, counted from 1; `random` is any number.
    pub fn delay(&self, attempt: u32, random: u64) -> Duration {
        let power = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let cap = self.cap.as_secs_f64();
        let full = (self.base.as_secs_f64() * self.factor.powi(power)).min(cap);
        let unit = f64::from(u32::try_from(random >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        let pause = full * (1.0 - self.jitter * unit);
        Duration::try_from_secs_f64(pause)
            .unwrap_or(self.cap)
            .min(self.cap)
    }
}

impl Default for Backoff {
    /// 1 s, 2 s, 4 s and so on up to a day.
    fn default() -> Self {
        Self::exponential(Duration::from_secs(1))
    }
}

/// How a step is attempted. Defaults: 3 retries, [`Backoff::default`], no timeout, the engine's durability.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use upflow::{Backoff, StepOptions};
/// let options = StepOptions::new()
///     .retries(5)
///     .backoff(Backoff::fixed(Duration::from_secs(2)))
///     .timeout(Duration::from_secs(30));
/// # let _ = options;
/// ```
#[derive(Copy, Clone, Debug)]
#[must_use]
pub struct StepOptions {
    pub(crate) retries: u32,
    pub(crate) backoff: Backoff,
    pub(crate) timeout: Option<Duration>,
    pub(crate) durability: Option<Durability>,
}

impl StepOptions {
    /// The defaults.
    pub const fn new() -> Self {
        let backoff = Backoff::exponential(Duration::from_secs(1));
        Self {
            retries: 3,
            backoff,
            timeout: None,
            durability: None,
        }
    }

    /// Attempts after the first one; default 3.
    pub const fn retries(mut self, count: u32) -> Self {
        self.retries = count;
        self
    }

    /// The pause between attempts.
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Longest duration of one attempt; default none. An async step is dropped when it is over. A closure cannot be interrupted: its
    /// result counts as a timeout when it comes too late, unless it committed in a transaction.
    pub const fn timeout(mut self, span: Duration) -> Self {
        self.timeout = Some(span);
        self
    }

    /// What the step's result must survive before the workflow sees it; default the engine's level.
    pub const fn durability(mut self, level: Durability) -> Self {
        self.durability = Some(level);
        self
    }
}

impl Default for StepOptions {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_delay_is_over_the_cap_or_panics() {
        let cap = Duration::from_mins(1);
        for base in [Duration::ZERO, Duration::from_millis(1), Duration::MAX] {
            for attempt in [0, 1, 2, 63, 64, 1_000, u32::MAX] {
                for random in [0, 1, u64::MAX] {
                    for jitter in [f64::NAN, -1.0, 0.5, 2.0] {
                        let backoff = Backoff::exponential(base).cap(cap).jitter(jitter);
                        assert!(backoff.delay(attempt, random) <= cap);
                    }
                }
            }
        }
    }

    #[test]
    fn jitter_takes_away_at_most_its_part() {
        let backoff = Backoff::exponential(Duration::from_secs(10)).jitter(0.2);
        assert_eq!(backoff.delay(1, 0), Duration::from_secs(10));
        assert_eq!(backoff.delay(1, u64::MAX), Duration::from_secs(8));
    }
}
