# The same commands as .ci/run, one by one.

test:
    cargo nextest run --locked && cargo test --doc --locked

fmt:
    cargo fmt --all --check

lint:
    cargo clippy --locked --all-targets -- -D warnings

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

bench-check:
    cargo clippy --locked -p benches --no-default-features --all-targets -- -D warnings

scoreboard *args:
    cargo run --release -p benches --bin scoreboard -- {{args}}

ci:
    .ci/run
