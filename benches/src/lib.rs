//! Measurements of the suite beside its peers: one trait per engine family, seeded workloads, one report.
//!
//! A row of the scoreboard is a workload that several contenders run in turn, round after round, in one process on one machine. What is
//! compared is always of the same round; the same engine entered twice gives the noise below which a difference means nothing.
//!
//! - [`allocator`]: how much of the heap is in use. [`engine`]: what a contender must be able to do, and one adapter per engine.
//! - [`workload`]: keys, values and vectors from a seed.
//! - [`measure`]: interleaved runs and their statistics. [`report`]: rows, verdicts, machine facts, kept results.
//! - [`machine`]: what it was measured on. [`floor`]: what that can do at best. [`suite`]: the rows, family by family.
#![deny(unsafe_code)]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts and times become floating-point figures for people to read"
)]
#![allow(
    clippy::missing_errors_doc,
    reason = "every function here fails as the engine beneath it does"
)]

#[allow(unsafe_code, reason = "an allocator cannot be written without")]
pub mod allocator;
pub mod engine;
pub mod floor;
pub mod machine;
pub mod measure;
pub mod report;
pub mod suite;
pub mod workload;

/// Whatever a contender or the machine answered.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A result of a measurement.
pub type Result<T, E = Error> = std::result::Result<T, E>;
