//! How much a key is used, in 32 bits: the second of the last access, or under a frequency policy a minute
//! and a logarithmic counter that decays with time, as in Redis.
//!
//! Which of the two a word holds depends on the policy at the last access; after a change of policy the
//! words mean little until the keys are used again.

/// Counter that a new key starts with, so that it is not the first to go.
const COUNTER_START: u32 = 5;
/// Half a million accesses or so saturate the counter.
const LOG_FACTOR: u32 = 10;
/// Minutes without an access after which the counter falls by one.
const DECAY_MINUTES: u32 = 1;
const MINUTE_BITS: u32 = 24;

/// See the module documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Access(u32);

fn seconds(now: u64) -> u32 {
    u32::try_from(now / 1_000).unwrap_or(u32::MAX)
}

/// Minutes since the epoch, which wrap after 31 years.
fn minutes(now: u64) -> u32 {
    let [a, b, c, ..] = (now / 60_000).to_le_bytes();
    u32::from_le_bytes([a, b, c, 0])
}

impl Access {
    /// A key that was just made.
    pub(crate) fn new(now: u64, counts: bool) -> Self {
        if counts {
            Self(minutes(now) << 8 | COUNTER_START)
        } else {
            Self(seconds(now))
        }
    }

    /// Notes an access; `random` decides whether a high counter rises.
    pub(crate) fn note(&mut self, now: u64, counts: bool, random: impl FnOnce() -> u64) {
        if !counts {
            self.0 = seconds(now);
            return;
        }
        let counter = self.frequency(now);
        let above = counter.saturating_sub(COUNTER_START);
        let rises = above == 0 || random().is_multiple_of(u64::from(above * LOG_FACTOR + 1));
        let counter = (counter + u32::from(rises)).min(u32::from(u8::MAX));
        self.0 = minutes(now) << 8 | counter;
    }

    /// Seconds since the last access, where accesses are timed.
    pub(crate) fn idle_seconds(self, now: u64) -> u32 {
        seconds(now).saturating_sub(self.0)
    }

    /// The counter, where accesses are counted.
    pub(crate) fn frequency(self, now: u64) -> u32 {
        let mask = (1 << MINUTE_BITS) - 1;
        let idle = minutes(now).wrapping_sub(self.0 >> 8) & mask;
        (self.0 & 0xff).saturating_sub(idle / DECAY_MINUTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    #[test]
    fn idle_time_counts_from_the_last_access() {
        let mut access = Access::new(NOW, false);
        assert_eq!(access.idle_seconds(NOW + 5_500), 5);
        access.note(NOW + 9_000, false, || 0);
        assert_eq!(access.idle_seconds(NOW + 9_999), 0);
        // A clock that stepped back.
        assert_eq!(access.idle_seconds(0), 0);
    }

    #[test]
    fn counters_rise_slowly_saturate_and_decay() {
        let mut access = Access::new(NOW, true);
        assert_eq!(access.frequency(NOW), 5);
        access.note(NOW, true, || 1);
        assert_eq!(access.frequency(NOW), 6);
        access.note(NOW, true, || 1);
        assert_eq!(
            access.frequency(NOW),
            6,
            "11 accesses for the next step on average"
        );
        access.note(NOW, true, || 11);
        assert_eq!(access.frequency(NOW), 7);
        for _ in 0..1_000 {
            access.note(NOW, true, || 0);
        }
        assert_eq!(access.frequency(NOW), 255);
        assert_eq!(access.frequency(NOW + 100 * 60_000), 155);
        assert_eq!(access.frequency(NOW + 300 * 60_000), 0);
        access.note(NOW + 300 * 60_000, true, || 1);
        assert_eq!(access.frequency(NOW + 300 * 60_000), 1);
    }
}
