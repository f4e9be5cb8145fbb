//! How much a key is used, in 30 bits: the second of the last access, or under a frequency policy a minute
//! and a logarithmic counter that decays with time, as in Redis.
//!
//! Which of the two a word holds depends on the policy at the last access; after a change of policy the
//! words mean little until the keys are used again.

/// Counter that a new key starts with, so that it is not the first to go.
const COUNTER_START: u32 = 5;
/// Seconds wrap after 34 years.
const BITS: u32 = 30;
/// Longest idle time that is told from a clock that stepped back, in seconds: 17 years.
const IDLE_MAX: u64 = (1 << (BITS - 1)) - 1;
/// Minutes wrap after eight years.
const MINUTE_BITS: u32 = BITS - 8;

/// How counters rise and fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lfu {
    /// With 10, half a million accesses or so saturate the counter; with 0 every access counts.
    pub(crate) log_factor: u32,
    /// Minutes without an access after which the counter falls by one; with 0 it does not.
    pub(crate) decay_minutes: u32,
}

impl Default for Lfu {
    fn default() -> Self {
        Self {
            log_factor: 10,
            decay_minutes: 1,
        }
    }
}

/// See the module documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Access(u32);

/// The lowest `bits` bits of a number.
fn low(number: u64, bits: u32) -> u32 {
    u32::try_from(number & ((1 << bits) - 1)).expect("at most 30 bits are asked for")
}

fn seconds(now: u64) -> u32 {
    low(now / 1_000, BITS)
}

fn minutes(now: u64) -> u32 {
    low(now / 60_000, MINUTE_BITS)
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

    /// A key that was last used so many seconds ago.
    pub(crate) fn idle_for(now: u64, idle_seconds: u64) -> Self {
        let idle = low(idle_seconds.min(IDLE_MAX), BITS);
        Self(low(u64::from(seconds(now).wrapping_sub(idle)), BITS))
    }

    /// A key whose counter is at `frequency`.
    pub(crate) fn counted(now: u64, frequency: u8) -> Self {
        Self(minutes(now) << 8 | u32::from(frequency))
    }

    /// Notes an access, which is timed without `lfu`; `random` decides whether a high counter rises.
    pub(crate) fn note(&mut self, now: u64, lfu: Option<Lfu>, random: impl FnOnce() -> u64) {
        let Some(lfu) = lfu else {
            self.0 = seconds(now);
            return;
        };
        let counter = self.frequency(now, lfu);
        let above = u64::from(counter.saturating_sub(COUNTER_START));
        let one_of = above * u64::from(lfu.log_factor) + 1;
        let rises = one_of == 1 || random().is_multiple_of(one_of);
        let counter = (counter + u32::from(rises)).min(u32::from(u8::MAX));
        self.0 = minutes(now) << 8 | counter;
    }

    /// Seconds since the last access, where accesses are timed.
    pub(crate) fn idle_seconds(self, now: u64) -> u32 {
        let idle = low(u64::from(seconds(now).wrapping_sub(self.0)), BITS);
        // Beyond that the clock stepped back.
        if u64::from(idle) <= IDLE_MAX { idle } else { 0 }
    }

    /// The 30 bits.
    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The counter, where accesses are counted.
    pub(crate) fn frequency(self, now: u64, lfu: Lfu) -> u32 {
        let mask = (1 << MINUTE_BITS) - 1;
        let idle = minutes(now).wrapping_sub(self.0 >> 8) & mask;
        let steps = idle.checked_div(lfu.decay_minutes).unwrap_or(0);
        (self.0 & 0xff).saturating_sub(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;
    const LFU: Lfu = Lfu {
        log_factor: 10,
        decay_minutes: 1,
    };

    #[test]
    fn idle_time_counts_from_the_last_access() {
        let mut access = Access::new(NOW, false);
        assert_eq!(access.idle_seconds(NOW + 5_500), 5);
        access.note(NOW + 9_000, None, || 0);
        assert_eq!(access.idle_seconds(NOW + 9_999), 0);
        // A clock that stepped back.
        assert_eq!(access.idle_seconds(NOW - 3_600_000), 0);
    }

    #[test]
    fn counters_rise_slowly_saturate_and_decay() {
        let mut access = Access::new(NOW, true);
        assert_eq!(access.frequency(NOW, LFU), 5);
        access.note(NOW, Some(LFU), || 1);
        assert_eq!(access.frequency(NOW, LFU), 6);
        access.note(NOW, Some(LFU), || 1);
        assert_eq!(
            access.frequency(NOW, LFU),
            6,
            "11 accesses for the next step on average"
        );
        access.note(NOW, Some(LFU), || 11);
        assert_eq!(access.frequency(NOW, LFU), 7);
        for _ in 0..1_000 {
            access.note(NOW, Some(LFU), || 0);
        }
        assert_eq!(access.frequency(NOW, LFU), 255);
        assert_eq!(access.frequency(NOW + 100 * 60_000, LFU), 155);
        assert_eq!(access.frequency(NOW + 300 * 60_000, LFU), 0);
        access.note(NOW + 300 * 60_000, Some(LFU), || 1);
        assert_eq!(access.frequency(NOW + 300 * 60_000, LFU), 1);
    }

    #[test]
    fn counters_rise_and_fall_as_they_are_told() {
        let every = Lfu {
            log_factor: 0,
            decay_minutes: 0,
        };
        let mut access = Access::counted(NOW, 200);
        access.note(NOW, Some(every), || 1);
        assert_eq!(access.frequency(NOW + 60_000_000, every), 201);
        let slow = Lfu {
            log_factor: 10,
            decay_minutes: 5,
        };
        assert_eq!(access.frequency(NOW + 24 * 60_000, slow), 197);
        assert_eq!(Access::idle_for(NOW, 77).idle_seconds(NOW), 77);
        let longest = Access::idle_for(NOW, u64::MAX).idle_seconds(NOW);
        assert_eq!(u64::from(longest), IDLE_MAX);
        assert_eq!(Access::from_bits(longest).bits(), longest);
    }
}
