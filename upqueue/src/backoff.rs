//! How long a message rests between two deliveries.

use std::time::Duration;

/// Longest rest, whatever the settings: one day.
pub(crate) const REST_MAX: Duration = Duration::from_hours(24);

/// The rest after a failed delivery, by how many deliveries there were.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use upqueue::Backoff;
/// let backoff = Backoff::exponential(Duration::from_secs(1)).cap(Duration::from_secs(60));
/// assert_eq!(backoff.after(1), Duration::from_secs(1));
/// assert_eq!(backoff.after(4), Duration::from_secs(8));
/// assert_eq!(backoff.after(40), Duration::from_secs(60));
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub(crate) base_ms: u64,
    pub(crate) cap_ms: u64,
    pub(crate) doubles: bool,
}

impl Default for Backoff {
    /// 1 s, doubling, at most one hour.
    fn default() -> Self {
        Self::exponential(Duration::from_secs(1)).cap(Duration::from_hours(1))
    }
}

impl Backoff {
    /// `base` after the first delivery, twice as long after each further one, at most one day.
    pub fn exponential(base: Duration) -> Self {
        Self {
            base_ms: millis(base),
            cap_ms: millis(REST_MAX),
            doubles: true,
        }
    }

    /// The same rest every time, at most one day.
    pub fn constant(rest: Duration) -> Self {
        Self {
            base_ms: millis(rest),
            cap_ms: millis(REST_MAX),
            doubles: false,
        }
    }

    /// No rest.
    pub fn none() -> Self {
        Self::constant(Duration::ZERO)
    }

    /// No rest is longer than `cap`.
    #[must_use]
    pub fn cap(mut self, cap: Duration) -> Self {
        self.cap_ms = millis(cap.min(REST_MAX));
        self
    }

    /// The rest after delivery number `deliveries`, counted from 1.
    pub fn after(&self, deliveries: u32) -> Duration {
        let factor = if self.doubles {
            1u64.checked_shl(deliveries.saturating_sub(1))
                .unwrap_or(u64::MAX)
        } else {
            1
        };
        Duration::from_millis(self.base_ms.saturating_mul(factor).min(self.cap_ms))
    }
}

pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_of_deliveries_overflows() {
        for backoff in [
            Backoff::exponential(Duration::MAX),
            Backoff::default(),
            Backoff::none(),
        ] {
            for deliveries in [0, 1, 63, 64, 65, u32::MAX] {
                assert!(backoff.after(deliveries) <= REST_MAX);
            }
        }
        assert_eq!(
            Backoff::constant(Duration::from_secs(5)).after(9),
            Duration::from_secs(5)
        );
        assert_eq!(Backoff::none().after(3), Duration::ZERO);
    }
}
