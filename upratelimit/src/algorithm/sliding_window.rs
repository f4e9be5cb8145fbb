//! Sliding window, the two-window estimate: the previous window counts for the part the sliding one still covers.
//!
//! State: `time` the start of the current window, `first` the units of the previous one, `second` those of the
//! current one. `previous * (window - elapsed) / window + current` is compared with the limit exactly: the division
//! rounds up, never in the caller's favour. Without further charges the estimate only falls, also across the
//! boundary where current becomes previous, so the moment of relief can be computed. Tested in `tests/model.rs`.

use super::{Rolled, Rule, State, div_ceil, div_floor, window_start};

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct SlidingWindow {
    pub(super) limit: u64,
    pub(super) window: u64,
}

impl SlidingWindow {
    /// What the previous window still counts for, rounded up.
    fn carried(&self, state: &State, now: u64) -> u64 {
        if state.first == 0 {
            return 0;
        }
        // Before the window's start (the clock stepped back) the whole previous window counts.
        let elapsed = now.saturating_sub(state.time).min(self.window);
        div_ceil(
            u128::from(state.first) * u128::from(self.window - elapsed),
            self.window,
        )
    }

    /// The first offset into a window at which `previous` units have faded to `room`.
    fn faded(&self, previous: u64, room: u64) -> u64 {
        if previous <= room {
            return 0;
        }
        let covered = div_floor(u128::from(room) * u128::from(self.window), previous);
        self.window.saturating_sub(covered)
    }
}

impl Rule for SlidingWindow {
    fn limit(&self) -> u64 {
        self.limit
    }

    fn memory(&self) -> u64 {
        self.window * 2
    }

    fn roll(&self, state: State, now: u64) -> Rolled {
        let State {
            time: start,
            first: previous,
            second: current,
        } = state;
        if start <= now {
            let age = now - start;
            if age < self.window {
                return Rolled::current(state);
            }
            let next = State {
                time: window_start(now, self.window),
                ..State::FRESH
            };
            if age - self.window < self.window {
                return Rolled::current(State {
                    first: current,
                    ..next
                });
            }
            return Rolled::current(next);
        }
        if previous == 0 && current == 0 {
            let start = window_start(now, self.window);
            return Rolled::current(State {
                time: start,
                ..State::FRESH
            });
        }
        if start - now <= self.memory() {
            return Rolled::current(state);
        }
        let start = window_start(now, self.window);
        Rolled {
            state: State {
                time: start,
                ..state
            },
            repaired: true,
        }
    }

    fn remaining(&self, state: &State, now: u64) -> u64 {
        self.limit
            .saturating_sub(state.second)
            .saturating_sub(self.carried(state, now))
    }

    fn charge(&self, state: State, _now: u64, cost: u64) -> State {
        State {
            second: state.second + cost,
            ..state
        }
    }

    /// The latest charges are undone first.
    fn refund(&self, state: State, _now: u64, units: u64) -> State {
        let beyond = units.saturating_sub(state.second);
        State {
            first: state.first.saturating_sub(beyond),
            second: state.second.saturating_sub(units),
            ..state
        }
    }

    fn retry_at(&self, state: &State, _now: u64, cost: u64) -> u64 {
        let room = self.limit.saturating_sub(cost);
        if state.second <= room {
            let offset = self.faded(state.first, room - state.second);
            return state.time.saturating_add(offset);
        }
        let offset = self.faded(state.second, room);
        state
            .time
            .saturating_add(self.window)
            .saturating_add(offset)
    }

    fn reset_at(&self, state: &State, _now: u64) -> u64 {
        match (state.first, state.second) {
            (0, 0) => 0,
            (_, 0) => state.time.saturating_add(self.window),
            _ => state.time.saturating_add(self.memory()),
        }
    }
}
