//! Every algorithm against a slow, exact reference that keeps the whole history or counts unit by unit.
//!
//! The reference is asked at the newest time seen, which is what a clock that steps back within the algorithm's memory
//! must amount to. Refusals must leave the state alone and name the exact moment of relief.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use upratelimit::{Algorithm, Limiter, ManualClock, Reason, State, Timestamp};

const START: u64 = 1_790_000_000_000_000_000;

/// The slow reference: `room` units are left at `now`; `charge` takes some; `refund` gives some back.
trait Reference {
    fn room(&mut self, now: u64) -> u64;
    fn charge(&mut self, now: u64, cost: u64);
    fn refund(&mut self, now: u64, units: u64);
}

/// Both windows: the complete log of charges.
struct Log {
    limit: u64,
    window: u64,
    sliding: bool,
    charges: Vec<(u64, u64)>,
}

impl Log {
    fn used(&self, index: u64) -> u64 {
        self.charges
            .iter()
            .filter(|(at, _)| at / self.window == index)
            .map(|(_, n)| n)
            .sum()
    }
}

impl Reference for Log {
    fn room(&mut self, now: u64) -> u64 {
        let index = now / self.window;
        let current = self.used(index);
        let previous = if self.sliding {
            self.used(index - 1)
        } else {
            0
        };
        let covered = u128::from(self.window - now % self.window);
        // The largest cost for which previous * covered / window + current + cost <= limit.
        (0..=self.limit)
            .rev()
            .find(|cost| {
                let window = u128::from(self.window);
                u128::from(previous) * covered + u128::from(current + cost) * window
                    <= u128::from(self.limit) * window
            })
            .unwrap_or(0)
    }

    fn charge(&mut self, now: u64, cost: u64) {
        self.charges.push((now, cost));
    }

    fn refund(&mut self, now: u64, mut units: u64) {
        let oldest = now / self.window - u64::from(self.sliding);
        for (at, n) in self.charges.iter_mut().rev() {
            if *at / self.window >= oldest {
                let back = units.min(*n);
                *n -= back;
                units -= back;
            }
        }
    }
}

/// A bucket whose interval steps are taken one at a time.
struct Steps {
    refill: u64,
    interval: u64,
    capacity: u64,
    tokens: u64,
    stepped_at: u64,
}

impl Reference for Steps {
    fn room(&mut self, now: u64) -> u64 {
        while self.tokens < self.capacity && self.stepped_at + self.interval <= now {
            self.tokens = self.capacity.min(self.tokens + self.refill);
            self.stepped_at += self.interval;
        }
        self.tokens
    }

    fn charge(&mut self, now: u64, cost: u64) {
        if self.room(now) == self.capacity {
            self.stepped_at = now;
        }
        self.tokens -= cost;
    }

    fn refund(&mut self, now: u64, units: u64) {
        self.tokens = self.capacity.min(self.room(now).saturating_add(units));
    }
}

/// A bucket that refills every nanosecond, in units of `1 / period`.
struct Continuous {
    count: u64,
    period: u64,
    burst: u64,
    level: u128,
    seen: u64,
}

impl Reference for Continuous {
    fn room(&mut self, now: u64) -> u64 {
        let gained = u128::from(now - self.seen) * u128::from(self.count);
        self.seen = now;
        self.level = (self.level + gained).min(u128::from(self.burst) * u128::from(self.period));
        u64::try_from(self.level / u128::from(self.period)).expect("at most the burst")
    }

    fn charge(&mut self, now: u64, cost: u64) {
        self.room(now);
        self.level -= u128::from(cost) * u128::from(self.period);
    }

    fn refund(&mut self, now: u64, units: u64) {
        self.room(now);
        let full = u128::from(self.burst) * u128::from(self.period);
        self.level = full.min(self.level + u128::from(units) * u128::from(self.period));
    }
}

fn pair(kind: u8, limit: u64, period: u64, rate: u64) -> (Algorithm, Box<dyn Reference>) {
    let span = Duration::from_nanos(period);
    match kind {
        0 | 1 => {
            let sliding = kind == 1;
            let log = Log {
                limit,
                window: period,
                sliding,
                charges: Vec::new(),
            };
            let algorithm = if sliding {
                Algorithm::sliding_window(limit, span)
            } else {
                Algorithm::fixed_window(limit, span)
            };
            (algorithm, Box::new(log))
        }
        2 => {
            let (tokens, stepped_at) = (limit, START);
            let steps = Steps {
                refill: rate,
                interval: period,
                capacity: limit,
                tokens,
                stepped_at,
            };
            (Algorithm::token_bucket(rate, span, limit), Box::new(steps))
        }
        _ => {
            let level = u128::from(limit) * u128::from(period);
            let bucket = Continuous {
                count: rate,
                period,
                burst: limit,
                level,
                seen: 0,
            };
            (
                Algorithm::gcra_with_burst(rate, span, limit),
                Box::new(bucket),
            )
        }
    }
}

/// One step of a history: the clock moves by a part of the algorithm's memory, then something is asked.
type Step = (i64, u64, bool);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((-60_i64..200, 0_u64..8, prop::bool::weighted(0.1)), 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn decides_as_the_reference(
        kind in 0_u8..4,
        limit in 1_u64..12,
        period in prop_oneof![1_u64..10, 90_u64..110, Just(1_000_000_007)],
        rate in 1_u64..5,
        history in steps(),
    ) {
        let (algorithm, mut reference) = pair(kind, limit, period, rate);
        let clock = Arc::new(ManualClock::new(Timestamp::from_nanos(START)));
        let limiter = Limiter::builder(algorithm).clock(Arc::clone(&clock)).build();
        let memory = u64::try_from(algorithm.memory().as_nanos()).unwrap();
        limiter.limit_n("key", 0); // the first reading
        let (mut now, mut newest) = (START, START);
        for (parts, cost, refund) in history {
            let moved = i128::from(parts) * i128::from(memory) / 200;
            now = u64::try_from(i128::from(now) + moved).unwrap().max(newest - memory);
            newest = newest.max(now);
            clock.set(Timestamp::from_nanos(now));
            if refund {
                limiter.refund("key", cost);
                reference.refund(newest, cost);
                continue;
            }
            let room = reference.room(newest);
            let decision = limiter.limit_n("key", cost);
            prop_assert_eq!(decision.allowed, cost <= room, "cost {} of {}", cost, room);
            if decision.allowed {
                if cost > 0 {
                    reference.charge(newest, cost);
                }
                prop_assert_eq!(decision.remaining, room - cost);
                prop_assert_eq!(decision.retry_after, Some(Duration::ZERO));
            } else {
                prop_assert_eq!(decision.remaining, room);
                prop_assert_eq!(decision.reason == Reason::ExceedsCapacity, cost > limit);
                prop_assert_eq!(decision.retry_after.is_none(), cost > limit);
            }
            prop_assert_eq!(limiter.remaining("key"), reference.room(newest));
            let reset_at = Timestamp::from_nanos(now).saturating_add(decision.reset_after);
            prop_assert_eq!(reset_at, decision.reset_at);
        }
    }

    #[test]
    fn refusals_change_nothing_and_name_the_moment(
        kind in 0_u8..4,
        limit in 1_u64..12,
        period in prop_oneof![1_u64..10, 90_u64..110, Just(1_000_000_007)],
        rate in 1_u64..5,
        history in prop::collection::vec((0_u64..300, 1_u64..8), 1..80),
    ) {
        let (algorithm, _) = pair(kind, limit, period, rate);
        let memory = u64::try_from(algorithm.memory().as_nanos()).unwrap();
        let mut state = State::FRESH;
        let mut now = Timestamp::from_nanos(START);
        for (parts, cost) in history {
            let span = u128::from(memory) * u128::from(parts) / 1_000;
            now = now.saturating_add(Duration::from_nanos(u64::try_from(span).unwrap()));
            let (next, decision) = algorithm.decide(state, now, cost);
            if let (false, Some(wait)) = (decision.allowed, decision.retry_after) {
                prop_assert_eq!(next, state);
                prop_assert!(!wait.is_zero());
                let early = now.saturating_add(wait.saturating_sub(Duration::from_nanos(1)));
                prop_assert!(!algorithm.decide(state, early, cost).1.allowed);
                prop_assert!(algorithm.decide(state, now.saturating_add(wait), cost).1.allowed);
            }
            // At the moment of reset the key is as good as new, and not a nanosecond before.
            prop_assert!(algorithm.is_fresh(next, decision.reset_at));
            if decision.reset_at > now {
                let before = Timestamp::from_nanos(decision.reset_at.as_nanos() - 1);
                prop_assert!(!algorithm.is_fresh(next, before));
            }
            state = next;
        }
    }
}

#[test]
fn a_clock_set_far_back_neither_grants_nor_starves() {
    for kind in 0..4 {
        let (algorithm, _) = pair(kind, 5, 1_000, 2);
        let clock = Arc::new(ManualClock::new(Timestamp::from_nanos(START)));
        let limiter = Limiter::builder(algorithm)
            .clock(Arc::clone(&clock))
            .build();
        assert!(limiter.limit_n("key", 5).allowed);
        clock.set(Timestamp::from_nanos(START / 2));
        let refused = limiter.limit_n("key", 5);
        assert!(
            !refused.allowed,
            "{algorithm:?}: the step back must grant nothing"
        );
        let wait = refused.retry_after.expect("it fits later");
        assert!(
            wait <= algorithm.memory(),
            "{algorithm:?} starves for {wait:?}"
        );
        clock.advance(wait.saturating_sub(Duration::from_nanos(1)));
        assert!(!limiter.limit_n("key", 5).allowed, "{algorithm:?} is early");
        clock.advance(Duration::from_nanos(1));
        assert!(limiter.limit_n("key", 5).allowed, "{algorithm:?} is late");
    }
}

#[test]
fn periods_from_a_nanosecond_to_a_century() {
    let century = Duration::from_hours(100 * 365 * 24);
    for period in [Duration::from_nanos(1), Duration::from_millis(1), century] {
        for algorithm in [
            Algorithm::fixed_window(3, period),
            Algorithm::sliding_window(3, period),
            Algorithm::token_bucket(3, period, 3),
            Algorithm::gcra(3, period),
        ] {
            let now = Timestamp::from_nanos(START);
            let (state, decision) = algorithm.decide(State::FRESH, now, 3);
            assert!(decision.allowed && decision.reset_after > Duration::ZERO);
            assert!(decision.reset_after <= algorithm.memory());
            let (_, refused) = algorithm.decide(state, now, 1);
            let wait = refused.retry_after.expect("it fits later");
            assert!(
                algorithm
                    .decide(state, now.saturating_add(wait), 1)
                    .1
                    .allowed
            );
        }
    }
}
