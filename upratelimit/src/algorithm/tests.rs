//! Ranges of the constructors, and decisions at the edges of every range.

use super::*;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn corners() -> Vec<Algorithm> {
    let periods = [
        Duration::from_nanos(1),
        secs(1),
        Algorithm::MAX_PERIOD / 2,
        Algorithm::MAX_PERIOD,
    ];
    let limits = [1, 2, 1_000, Algorithm::MAX_LIMIT];
    let mut all = Vec::new();
    for period in periods {
        for limit in limits {
            all.push(Algorithm::fixed_window(limit, period));
            all.push(Algorithm::sliding_window(limit, period));
            all.push(Algorithm::gcra(limit, period));
            all.push(Algorithm::token_bucket(limit, period, limit));
        }
    }
    all
}

#[test]
fn parameters_out_of_range_are_named() {
    let max = Algorithm::MAX_LIMIT;
    let limit = |given| {
        Err(Error::OutOfRange {
            parameter: Parameter::Limit,
            given,
            max,
        })
    };
    assert_eq!(Algorithm::try_fixed_window(0, secs(1)), limit(0));
    assert_eq!(
        Algorithm::try_sliding_window(max + 1, secs(1)),
        limit(max + 1)
    );
    assert_eq!(Algorithm::try_gcra(0, secs(1), 1), limit(0));
    let period = |given| {
        Err(Error::OutOfRange {
            parameter: Parameter::Period,
            given,
            max: MAX_PERIOD_NANOS,
        })
    };
    assert_eq!(Algorithm::try_fixed_window(1, Duration::ZERO), period(0));
    assert_eq!(
        Algorithm::try_fixed_window(1, Duration::MAX),
        period(u64::MAX)
    );
    assert!(matches!(
        Algorithm::try_token_bucket(1, secs(1_000_000), Algorithm::MAX_LIMIT),
        Err(Error::OutOfRange {
            parameter: Parameter::FillTime,
            given: u64::MAX,
            ..
        })
    ));
    assert!(matches!(
        Algorithm::try_token_bucket(0, secs(1), 1),
        Err(Error::OutOfRange {
            parameter: Parameter::Refill,
            given: 0,
            ..
        })
    ));
    assert!(matches!(
        Algorithm::try_gcra(1, secs(1), 0),
        Err(Error::OutOfRange {
            parameter: Parameter::Capacity,
            given: 0,
            ..
        })
    ));
}

#[test]
fn costs_at_the_edges() {
    for algorithm in corners() {
        let limit = algorithm.limit();
        let now = Timestamp::from_millis(1_790_000_000_000);
        for cost in [0, 1, limit - 1, limit, limit + 1, u64::MAX] {
            let (state, decision) = algorithm.decide(State::FRESH, now, cost);
            assert_eq!(decision.allowed, cost <= limit, "{algorithm:?} cost {cost}");
            if cost > limit {
                assert_eq!(decision.reason, Reason::ExceedsCapacity);
                assert_eq!(decision.retry_after, None);
            } else {
                assert_eq!(
                    decision.remaining,
                    limit - cost,
                    "{algorithm:?} cost {cost}"
                );
            }
            if cost == 0 || cost > limit {
                assert_eq!(state, State::FRESH, "{algorithm:?} cost {cost}");
                assert_eq!(decision.reset_after, Duration::ZERO);
            }
        }
    }
}

#[test]
fn no_state_and_no_time_panics() {
    let words = [0, 1, 1_000_000_007, 1 << 48, u64::MAX / 2, u64::MAX];
    for algorithm in corners() {
        for time in words {
            for first in words {
                for second in words {
                    let state = State {
                        time,
                        first,
                        second,
                    };
                    for now in words.map(Timestamp::from_nanos) {
                        for cost in [0, 1, u64::MAX] {
                            let (next, decision) = algorithm.decide(state, now, cost);
                            assert!(decision.reset_at >= now);
                            let _ = algorithm.refund(next, now, cost);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn three_a_second_does_not_drift() {
    let algorithm = Algorithm::gcra_with_burst(3, secs(1), 1);
    let mut state = State::FRESH;
    let mut now = Timestamp::from_nanos(0);
    for _ in 0..3_000_000 {
        let (next, decision) = algorithm.decide(state, now, 1);
        assert!(decision.allowed);
        let (_, refused) = algorithm.decide(next, now, 1);
        now = now.saturating_add(refused.retry_after.expect("fits later"));
        state = next;
    }
    assert!(
        now.as_nanos() - 1_000_000 * 1_000_000_000 <= 3_000_000,
        "at most 1 ns a unit late"
    );
}
