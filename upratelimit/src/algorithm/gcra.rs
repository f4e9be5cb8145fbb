//! Generic cell rate algorithm: one instant per key, the theoretical arrival time at which the bucket is full again.
//!
//! State: `first` and `second` are the low and high half of that instant in units of `1 / count` ns, so that the
//! spacing `period / count` is exact. A cost `n` moves it by `n * period`; it fits while the instant stays within
//! `burst * period` of now. The instant lies at most that far ahead of the last charge, which bounds how far the
//! clock can have been without storing it. Tested against exact fractions in `tests/model.rs`.

use super::{Rolled, Rule, State, div_ceil, div_floor};

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Gcra {
    pub(super) count: u64,
    pub(super) period: u64,
    pub(super) burst: u64,
    /// The time an empty bucket takes to fill, rounded up to nanoseconds.
    pub(super) fill_time: u64,
}

impl Gcra {
    fn scaled(&self, nanos: u64) -> u128 {
        u128::from(nanos) * u128::from(self.count)
    }

    /// How far the arrival time may lie ahead of now, scaled.
    fn tolerance(&self) -> u128 {
        u128::from(self.burst) * u128::from(self.period)
    }
}

const fn arrival(state: &State) -> u128 {
    (state.second as u128) << 64 | state.first as u128
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the two halves are what is wanted"
)]
const fn with_arrival(arrival: u128) -> State {
    State {
        time: 0,
        first: arrival as u64,
        second: (arrival >> 64) as u64,
    }
}

impl Rule for Gcra {
    fn limit(&self) -> u64 {
        self.burst
    }

    fn memory(&self) -> u64 {
        self.fill_time
    }

    fn roll(&self, state: State, now: u64) -> Rolled {
        let full_at_latest = self.scaled(now) + self.tolerance();
        if arrival(&state) > full_at_latest + self.tolerance() {
            return Rolled {
                state: with_arrival(full_at_latest),
                repaired: true,
            };
        }
        Rolled::current(state)
    }

    fn remaining(&self, state: &State, now: u64) -> u64 {
        let debt = arrival(state).saturating_sub(self.scaled(now));
        div_floor(self.tolerance().saturating_sub(debt), self.period)
    }

    fn charge(&self, state: State, now: u64, cost: u64) -> State {
        let base = arrival(&state).max(self.scaled(now));
        with_arrival(base + u128::from(cost) * u128::from(self.period))
    }

    fn refund(&self, state: State, now: u64, units: u64) -> State {
        let back = u128::from(units) * u128::from(self.period);
        let arrival = arrival(&state);
        with_arrival(
            arrival
                .saturating_sub(back)
                .max(arrival.min(self.scaled(now))),
        )
    }

    fn retry_at(&self, state: &State, now: u64, cost: u64) -> u64 {
        let after = arrival(state) + u128::from(cost) * u128::from(self.period);
        let wait = after
            .saturating_sub(self.tolerance())
            .saturating_sub(self.scaled(now));
        now.saturating_add(div_ceil(wait, self.count))
    }

    fn reset_at(&self, state: &State, now: u64) -> u64 {
        now.saturating_add(div_ceil(
            arrival(state).saturating_sub(self.scaled(now)),
            self.count,
        ))
    }

    fn is_fresh(&self, state: &State, now: u64) -> bool {
        arrival(state) <= self.scaled(now)
    }
}
