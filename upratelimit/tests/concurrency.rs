//! Threads on one limiter with a stepped clock: what is admitted is counted exactly, not about.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use upratelimit::{Algorithm, Limiter, ManualClock, Timestamp};

const THREADS: u64 = 8;
const WINDOW: Duration = Duration::from_secs(1);

/// Runs `THREADS` threads through `ticks` ticks of one window each; per tick every thread asks `asks` times.
fn admitted_per_tick(algorithm: Algorithm, ticks: usize, asks: u64) -> Vec<u64> {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000_000)));
    let limiter = Limiter::builder(algorithm)
        .clock(Arc::clone(&clock))
        .build();
    let admitted: Vec<AtomicU64> = (0..ticks).map(|_| AtomicU64::new(0)).collect();
    let barrier = Barrier::new(usize::try_from(THREADS).expect("a few threads"));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (limiter, clock, admitted, barrier) = (&limiter, &clock, &admitted, &barrier);
            scope.spawn(move || {
                for count in admitted {
                    barrier.wait();
                    for _ in 0..asks {
                        let spent = u64::from(limiter.limit("shared").allowed);
                        count.fetch_add(spent, Ordering::Relaxed);
                    }
                    barrier.wait();
                    if thread == 0 {
                        clock.advance(WINDOW);
                    }
                }
            });
        }
    });
    admitted.into_iter().map(AtomicU64::into_inner).collect()
}

#[test]
fn exactly_the_limit_passes() {
    let limit = 1_000;
    assert_eq!(
        admitted_per_tick(Algorithm::fixed_window(limit, WINDOW), 5, 500),
        [limit; 5]
    );
    // The clock stands on a window's start, where the whole previous window still counts.
    let sliding = Algorithm::sliding_window(limit, WINDOW);
    assert_eq!(admitted_per_tick(sliding, 4, 500), [limit, 0, limit, 0]);
    let bucket = Algorithm::token_bucket(300, WINDOW, limit);
    assert_eq!(admitted_per_tick(bucket, 3, 500), [limit, 300, 300]);
    let even = Algorithm::gcra_with_burst(7, WINDOW, limit);
    assert_eq!(admitted_per_tick(even, 3, 500), [limit, 7, 7]);
}

#[test]
fn charges_and_refunds_balance() {
    let limiter = Limiter::builder(Algorithm::fixed_window(64, WINDOW))
        .clock(ManualClock::new(Timestamp::from_millis(5_000)))
        .build();
    let in_use = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for cost in (1..=20).cycle().take(2_000) {
                    if limiter.limit_n("shared", cost).allowed {
                        let now = in_use.fetch_add(cost, Ordering::SeqCst) + cost;
                        assert!(now <= 64, "{now} units in use of 64");
                        in_use.fetch_sub(cost, Ordering::SeqCst);
                        limiter.refund("shared", cost);
                    }
                }
            });
        }
    });
    assert_eq!(limiter.remaining("shared"), 64);
}

#[test]
fn waiting_ends_when_the_clock_arrives() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(10_000)));
    let limiter = Limiter::builder(Algorithm::fixed_window(1, WINDOW))
        .clock(Arc::clone(&clock))
        .build();
    assert!(limiter.limit("a").allowed);
    // Too short a timeout answers at once and spends nothing.
    let refused = limiter.block_until_ready("a", WINDOW.saturating_sub(Duration::from_nanos(1)));
    assert!(!refused.allowed);
    assert!(!limiter.block_until_n_ready("a", 2, Duration::MAX).allowed);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| limiter.block_until_ready("a", WINDOW));
        clock.advance(WINDOW);
        assert!(waiter.join().unwrap().allowed);
    });
    assert_eq!(limiter.remaining("a"), 0);
}
