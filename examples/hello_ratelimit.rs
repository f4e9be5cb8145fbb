//! Rate limits in memory: `cargo run --example hello_ratelimit`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Duration;

use upratelimit::{Algorithm, Limiter, ManualClock, Timestamp};

const PER_USER: Algorithm = Algorithm::token_bucket(2, Duration::from_secs(1), 5);

fn main() -> Result<(), Box<dyn Error>> {
    // A clock that stands still shows the arithmetic; leave it out for the system's.
    let clock = std::sync::Arc::new(ManualClock::new(Timestamp::from_millis(0)));
    let limiter = Limiter::builder(PER_USER)
        .max_keys(100_000)
        .clock(clock.clone())
        .build();

    let allowed = (0..8).filter(|_| limiter.limit("user:1").allowed).count();
    println!("{allowed} of 8 at once");
    assert_eq!(allowed, 5);

    let refused = limiter.limit("user:1");
    let wait = refused.retry_after.ok_or("a cost of 1 is possible later")?;
    println!("of {} none left, retry in {wait:?}", refused.limit);
    clock.advance(wait);
    assert!(limiter.limit("user:1").allowed, "exactly then it passes");

    // Others are not concerned, and a batch is all or nothing.
    assert!(limiter.limit_n("user:2", 4).allowed);
    assert!(!limiter.limit_n("user:2", 4).allowed);
    assert_eq!(limiter.remaining("user:2"), 1);

    // The algorithm alone is a pure function: for states kept elsewhere.
    let now = Timestamp::from_millis(0);
    let (state, decision) = PER_USER.decide(upratelimit::State::FRESH, now, 3);
    println!("remaining {} at {now:?}", decision.remaining);
    assert_eq!(PER_USER.remaining(state, now), 2);
    Ok(())
}

#[test]
fn runs() {
    main().expect("the example runs");
}
