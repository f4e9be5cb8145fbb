//! One decision of each algorithm: pure, on one hot key, and over many keys.

use std::hint::black_box;
use std::time::Duration;

use benches::workload::{Rng, key};
use criterion::{Criterion, criterion_group, criterion_main};
use upratelimit::{Algorithm, Limiter, State, Timestamp};

const LIMIT: u64 = 1_000_000_000;
const SECOND: Duration = Duration::from_secs(1);
const ALGORITHMS: [(&str, Algorithm); 4] = [
    ("fixed_window", Algorithm::fixed_window(LIMIT, SECOND)),
    ("sliding_window", Algorithm::sliding_window(LIMIT, SECOND)),
    (
        "token_bucket",
        Algorithm::token_bucket(LIMIT, SECOND, LIMIT),
    ),
    ("gcra", Algorithm::gcra(LIMIT, SECOND)),
];

fn decide(c: &mut Criterion) {
    for (name, algorithm) in ALGORITHMS {
        let now = Timestamp::from_millis(1_700_000_000_000);
        c.bench_function(&format!("ratelimit/decide/{name}"), |b| {
            b.iter(|| algorithm.decide(black_box(State::default()), black_box(now), 1));
        });
    }
}

fn limit(c: &mut Criterion) {
    for (name, algorithm) in ALGORITHMS {
        for keys in [1, 100_000] {
            let limiter = Limiter::builder(algorithm).max_keys(200_000).build();
            let mut rng = Rng::new(1);
            c.bench_function(&format!("ratelimit/limit_{keys}_keys/{name}"), |b| {
                b.iter(|| limiter.limit(key(rng.below(keys))));
            });
        }
    }
}

criterion_group!(benches, decide, limit);
criterion_main!(benches);
