//! Fixed window: one counter per epoch-aligned window `[k * window, (k + 1) * window)`.
//!
//! State: `time` the start of the window, `first` the units used in it. A window that lies ahead (the clock stepped
//! back) keeps counting, so the step grants nothing. Tested against an exact log in `tests/model.rs`.

use super::{Rolled, Rule, State, window_start};

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct FixedWindow {
    pub(super) limit: u64,
    pub(super) window: u64,
}

impl Rule for FixedWindow {
    fn limit(&self) -> u64 {
        self.limit
    }

    fn memory(&self) -> u64 {
        self.window
    }

    fn roll(&self, state: State, now: u64) -> Rolled {
        let State {
            time: start,
            first: used,
            ..
        } = state;
        if used > 0 && start <= now && now - start < self.window {
            return Rolled::current(state);
        }
        if used == 0 || start <= now {
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

    fn remaining(&self, state: &State, _now: u64) -> u64 {
        self.limit.saturating_sub(state.first)
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

    fn retry_at(&self, state: &State, _now: u64, _cost: u64) -> u64 {
        state.time.saturating_add(self.window)
    }

    fn reset_at(&self, state: &State, _now: u64) -> u64 {
        if state.first == 0 {
            0
        } else {
            state.time.saturating_add(self.window)
        }
    }
}
