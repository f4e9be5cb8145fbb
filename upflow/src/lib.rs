//! Durable workflows for embedding: async functions whose progress survives any crash.
//!
//! A workflow is an ordinary async function. Each step, sleep, event and send it awaits is a record in a journal; after a crash the
//! function runs again from the top and gets the recorded results, until it is where it was. The journal is part of a
//! [`Store`](upkv::Store): one directory and one log, shared with the other engines of the up suite, so that a step can commit its
//! effects in them together with its result ([`Ctx::transact`]).
//!
//! ```
//! use std::time::Duration;
//! use upflow::{Ctx, Engine, Start, StepError};
//!
//! let engine = Engine::memory()?; // or Engine::open("data/flows")?
//! engine.register("order", 1, |ctx: Ctx, item: String| async move {
//!     let paid = ctx.run("charge", || Ok::<_, StepError>(42)).await?;
//!     ctx.sleep("cool-off", Duration::from_millis(5)).await?;
//!     let confirmed: Option<bool> = ctx.event_timeout("confirm", Duration::from_secs(60)).await?;
//!     Ok((item, paid, confirmed))
//! })?;
//! engine.start_workers(2)?;
//! let run = engine.start("order", Start::id("order-42").input("lamp"))?;
//! engine.notify("order-42", "confirm", &true)?;
//! let result: (String, u32, Option<bool>) = run.result()?;
//! assert_eq!(result, ("lamp".to_owned(), 42, Some(true)));
//! # Ok::<(), upflow::Error>(())
//! ```
//!
//! # Features
//!
//! - `test-util`: `TestFlow`, an engine in memory whose clock jumps to the next timer.

#![forbid(unsafe_code)]

mod act;
mod builder;
mod context;
mod engine;
mod error;
mod executor;
mod inner;
mod inspect;
mod journal;
mod outcome;
mod payload;
mod replay;
mod retry;
mod run;
mod scheduler;
mod step;
#[cfg(feature = "test-util")]
mod test_flow;

pub use builder::Builder;
pub use context::Ctx;
pub use engine::Engine;
pub use error::{Error, Result};
pub use inspect::{Filter, Inspection, OpInfo, OpState, Page, RunInfo};
pub use journal::record::Reason;
pub use outcome::{StepError, StepErrorKind};
pub use payload::{Codec, Json};
pub use replay::path::{OpId, OpKind, Path};
pub use retry::{Backoff, StepOptions};
pub use run::{RunHandle, RunState, Start};
pub use step::StepContext;
pub use step::join::Branches;
pub use step::operation::Operation;
pub use step::transact::{Completed, StagedFlows, StepScope, StepTransaction};
#[cfg(feature = "test-util")]
pub use test_flow::TestFlow;

#[doc(hidden)]
#[cfg(feature = "test-util")]
pub mod fuzzing {
    //! The decoders, for fuzz targets.

    /// Decodes bytes as a journal record; what decodes must encode to the same bytes.
    pub fn record(bytes: &[u8]) {
        let body = bytes::Bytes::copy_from_slice(bytes);
        if let Ok(entry) = crate::journal::record::Entry::decode(&body) {
            let (head, payload) = entry.encode();
            assert_eq!([&head[..], &payload[..]].concat(), bytes);
        }
    }

    /// Decodes bytes as a run in a checkpoint.
    pub fn checkpoint(bytes: &[u8]) {
        let mut reader = upkv::storage::codec::Reader::new(bytes);
        if let Ok((uid, run)) = crate::journal::checkpoint::decode(&mut reader) {
            let mut again = Vec::new();
            crate::journal::checkpoint::encode(uid, &run, &mut again);
            assert_eq!(again, bytes[..bytes.len() - reader.remaining()]);
        }
    }
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
