//! The cap on keys: what is dropped, what never is, and how many bytes that takes.

use std::sync::Arc;
use std::time::Duration;

use upratelimit::{Algorithm, Limiter, ManualClock, Overflow, Reason, Timestamp};

const LONG: Duration = Duration::from_hours(1);

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_millis(7_200_000)))
}

#[test]
fn a_flood_of_new_keys_does_not_free_the_limited_ones() {
    for max_keys in [2_000, 20_000] {
        let limiter = Limiter::builder(Algorithm::fixed_window(5, LONG))
            .max_keys(max_keys)
            .clock(clock())
            .build();
        for key in 0..100_u32 {
            assert!(limiter.limit_n(key.to_le_bytes(), 5).allowed);
        }
        for flood in 100..400_000_u32 {
            assert!(limiter.limit(flood.to_le_bytes()).allowed);
        }
        for key in 0..100_u32 {
            assert!(
                !limiter.limit(key.to_le_bytes()).allowed,
                "key {key} was forgotten"
            );
        }
        let stats = limiter.stats();
        assert!(
            stats.keys <= max_keys && stats.keys > max_keys * 9 / 10,
            "{stats:?}"
        );
        assert!(
            stats.evicted_live >= 400_000 - 100 - max_keys as u64,
            "{stats:?}"
        );
        // 40 bytes a slot, 4/3 slots a key, one shard of 4096 slots for rounding, and the locks.
        assert!(
            stats.bytes <= max_keys * 54 + 4_096 * 40 + 4_096,
            "{stats:?}"
        );
    }
}

#[test]
fn fresh_keys_go_before_used_ones() {
    let clock = clock();
    let limiter = Limiter::builder(Algorithm::fixed_window(5, LONG))
        .max_keys(1_000)
        .clock(Arc::clone(&clock))
        .build();
    for key in 0..1_000_u32 {
        limiter.limit(key.to_le_bytes());
    }
    clock.advance(LONG);
    for key in 1_000..1_500_u32 {
        limiter.limit(key.to_le_bytes());
    }
    let stats = limiter.stats();
    assert_eq!(stats.evicted_live, 0, "{stats:?}");
    assert!(
        stats.keys <= 1_000 && stats.evicted_fresh >= 500,
        "{stats:?}"
    );
    for key in 1_000..1_500_u32 {
        assert_eq!(limiter.remaining(key.to_le_bytes()), 4, "key {key}");
    }
    clock.advance(LONG);
    limiter.sweep(usize::MAX);
    limiter.sweep(usize::MAX);
    assert_eq!(limiter.stats().keys, 0);
}

#[test]
fn refusing_new_keys_keeps_every_limit() {
    let clock = clock();
    let limiter = Limiter::builder(Algorithm::fixed_window(1, LONG))
        .max_keys(10)
        .overflow(Overflow::RefuseNew)
        .clock(Arc::clone(&clock))
        .build();
    for key in 0..10_u8 {
        assert!(limiter.limit([key]).allowed);
    }
    let refused = limiter.limit("new");
    assert_eq!(
        (refused.allowed, refused.reason),
        (false, Reason::TableFull)
    );
    assert_eq!(refused.retry_after, None);
    for key in 0..10_u8 {
        assert_eq!(limiter.limit([key]).reason, Reason::Limited);
    }
    assert_eq!((limiter.stats().keys, limiter.stats().refused_new), (10, 1));
    clock.advance(LONG);
    assert!(limiter.limit("new").allowed);
}

#[test]
fn only_a_charge_leaves_a_trace() {
    let limiter = Limiter::new(Algorithm::gcra(5, LONG));
    limiter.limit_n("a", 0);
    limiter.limit_n("a", 6);
    limiter.peek("a", 5);
    limiter.remaining("a");
    limiter.refund("a", 3);
    assert!(!limiter.reset("a"));
    assert_eq!(limiter.stats().keys, 0);
    assert_eq!(
        limiter.try_limit_n("a", 6).unwrap_err().to_string(),
        "cost 6 exceeds the capacity of 5"
    );
}

#[test]
fn keys_are_bytes() {
    let limiter = Limiter::new(Algorithm::fixed_window(1, LONG));
    let long = vec![0xff; 1 << 20];
    let keys: [&[u8]; 7] = [b"", b"\0", b"\0\0", b"a:b", b"a", &long, &long[1..]];
    for key in keys {
        assert!(limiter.limit(key).allowed);
        assert!(!limiter.limit(key).allowed);
    }
    assert_eq!(limiter.stats().keys, keys.len());
    assert!(limiter.reset(""));
    assert!(limiter.limit("").allowed);
}
