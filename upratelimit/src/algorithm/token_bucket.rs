//! Token bucket: `refill` units every `interval`, in steps, up to `capacity`.
//!
//! State: `time` the last refill step, `first` the units missing. Counting what is missing makes a full bucket the
//! fresh state; its steps start with the next charge, so forgetting it changes nothing. A step that lies ahead (the
//! clock stepped back) waits for the clock. Tested against a unit-by-unit reference in `tests/model.rs`.

use super::{Rolled, Rule, State};

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct TokenBucket {
    pub(super) refill: u64,
    pub(super) interval: u64,
    pub(super) capacity: u64,
    /// The time an empty bucket takes to fill.
    pub(super) fill_time: u64,
}

impl TokenBucket {
    /// The step after which `missing` units have come back.
    fn step_at(&self, state: &State, missing: u64) -> u64 {
        let steps = missing.div_ceil(self.refill);
        state
            .time
            .saturating_add(steps.saturating_mul(self.interval))
    }
}

impl Rule for TokenBucket {
    fn limit(&self) -> u64 {
        self.capacity
    }

    fn memory(&self) -> u64 {
        self.fill_time
    }

    fn roll(&self, state: State, now: u64) -> Rolled {
        let State {
            time: refilled_at,
            first: missing,
            ..
        } = state;
        if missing > 0 && refilled_at <= now {
            let age = now - refilled_at;
            if age < self.interval {
                return Rolled::current(state);
            }
            let steps = age / self.interval;
            let missing = missing.saturating_sub(steps.saturating_mul(self.refill));
            if missing > 0 {
                let time = refilled_at + steps * self.interval;
                return Rolled::current(State {
                    time,
                    first: missing,
                    ..state
                });
            }
        } else if missing > 0 {
            let repaired = refilled_at - now > self.memory();
            let time = if repaired { now } else { refilled_at };
            return Rolled {
                state: State { time, ..state },
                repaired,
            };
        }
        Rolled::current(State {
            time: now,
            ..State::FRESH
        })
    }

    fn remaining(&self, state: &State, _now: u64) -> u64 {
        self.capacity.saturating_sub(state.first)
    }

    fn charge(&self, state: State, _now: u64, cost: u64) -> State {
        State {
            first: state.first + cost,
            ..state
        }
    }

    fn refund(&self, state: State, _now: u64, units: u64) -> State {
        State {
            first: state.first.saturating_sub(units),
            ..state
        }
    }

    fn retry_at(&self, state: &State, _now: u64, cost: u64) -> u64 {
        let room = self.capacity.saturating_sub(cost);
        self.step_at(state, state.first.saturating_sub(room))
    }

    fn reset_at(&self, state: &State, _now: u64) -> u64 {
        if state.first == 0 {
            0
        } else {
            self.step_at(state, state.first)
        }
    }
}
