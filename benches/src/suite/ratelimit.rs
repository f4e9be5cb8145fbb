//! The rate limiter: nanoseconds per decision on one hot key and on more keys than any cache holds.

use super::{Bench, Spec, higher, lower};
use crate::Result;
use crate::engine::ratelimit::RateLimiter;
use crate::engine::ratelimit::upratelimit::UpRateLimit;
use crate::measure::{Contender, nanos_per, rate_of_counted};
use crate::report::Goal;
use crate::workload::{Rng, key};

/// Measures the family.
pub fn run(bench: &mut Bench) -> Result<()> {
    let count = bench.effort.pick(2_000_000, 300_000);
    let many = bench.effort.pick(1_000_000, 200_000);
    for keys in [1, many] {
        let named = |what: &str| format!("{what}, {keys} keys, the cap at {}", keys.max(1024));
        for make in [UpRateLimit::gcra, UpRateLimit::sliding_window] {
            let ours = make(keys as usize);
            let name = named(&format!("decision, {}, 1 thread", ours.name()));
            let spec = lower(name, "ns", Goal::RatioAtMost(0.5));
            row(bench, spec, &ours, keys, |limiter| {
                decisions(limiter, keys, count)
            })?;
        }
        let ours = UpRateLimit::gcra(keys as usize);
        let spec = higher(named("decisions, up gcra, 2 threads"), "1/s", Goal::None);
        row(bench, spec, &ours, keys, |limiter| {
            shared(limiter, keys, count / 2)
        })?;
    }
    Ok(())
}

/// One row over limiters that have seen every key.
fn row(
    bench: &mut Bench,
    spec: Spec,
    ours: &UpRateLimit,
    keys: u64,
    work: impl Fn(&dyn RateLimiter) -> Result<f64>,
) -> Result<()> {
    let work = &work;
    warm(ours, keys)?;
    #[cfg(feature = "peers-ratelimit")]
    let governor = crate::engine::ratelimit::governor::Governor::default();
    #[cfg(feature = "peers-ratelimit")]
    warm(&governor, keys)?;
    let peers = vec![
        #[cfg(feature = "peers-ratelimit")]
        Contender::new(governor.name(), || work(&governor)),
    ];
    bench.row(spec, Contender::new(ours.name(), || work(ours)), peers)
}

fn warm(limiter: &dyn RateLimiter, keys: u64) -> Result<()> {
    (0..keys).try_for_each(|i| spend(limiter, i))
}

fn spend(limiter: &dyn RateLimiter, i: u64) -> Result<()> {
    if limiter.check(&key(i)) {
        return Ok(());
    }
    Err(format!("{} refused below its limit", limiter.name()).into())
}

fn decisions(limiter: &dyn RateLimiter, keys: u64, count: u64) -> Result<f64> {
    let mut rng = Rng::new(5);
    nanos_per(count, |_| spend(limiter, rng.below(keys)))
}

fn shared(limiter: &dyn RateLimiter, keys: u64, count: u64) -> Result<f64> {
    let runs = rate_of_counted(2, 1, |thread, _| {
        let mut rng = Rng::new(thread);
        (0..count).try_for_each(|_| spend(limiter, rng.below(keys)))
    })?;
    Ok(runs * count as f64)
}
