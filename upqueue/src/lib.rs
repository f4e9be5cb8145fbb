//! An at-least-once queue for embedding, with leases, retries, delays, deduplication and dead letters.
//!
//! A message is published once and delivered until it is acknowledged or has used up its deliveries; then it goes to the dead letters.
//! The queue is part of a [`Store`](upkv::Store): one directory and one log, shared with the other engines of the up suite, so that a
//! message can be published, or acknowledged, in one commit with a key write or a vector upsert.
//!
//! ```
//! use std::time::Duration;
//! use upqueue::{Backoff, Message, Queue};
//!
//! let queue = Queue::memory()?; // or Queue::open("data/queue")?
//! let receipt = queue.publish(
//!     Message::new("emails", "to: ada")
//!         .retries(5)
//!         .backoff(Backoff::exponential(Duration::from_secs(1)).cap(Duration::from_secs(60)))
//!         .deduplication_id("order-17"),
//! )?;
//! assert!(!receipt.deduplicated);
//! while let Some(job) = queue.receive("emails", Duration::ZERO)? {
//!     assert_eq!(job.body(), "to: ada");
//!     job.ack()?; // or job.nack("the server is down")?
//! }
//! # Ok::<(), upqueue::Error>(())
//! ```
//!
//! # Features
//!
//! - `test-util`: the decoders, for fuzz targets.

#![forbid(unsafe_code)]

mod backoff;
mod builder;
mod dead;
mod error;
mod inner;
mod job;
mod journal;
mod message;
mod options;
mod queue;
mod recent;
mod staged;
mod state;
mod stats;

pub use backoff::Backoff;
pub use builder::Builder;
pub use dead::{DeadLetter, DeadLetters};
pub use error::{Error, Result};
pub use job::{Job, LeaseToken};
pub use message::{
    BODY_BYTES_MAX, DEDUPLICATION_BYTES_MAX, HEADER_BYTES_MAX, Message, MessageId, NAME_BYTES_MAX,
    PRIORITIES, Receipt,
};
pub use options::{EngineOptions, LEASE_MAX, QueueOptions};
pub use queue::Queue;
pub use staged::StagedMessages;
pub use stats::QueueStats;

#[doc(hidden)]
#[cfg(feature = "test-util")]
pub mod fuzzing {
    //! The decoders, for fuzz targets.

    use crate::journal::{checkpoint, record};

    /// Decodes bytes as a record, the first one as its kind; what decodes must encode to the same bytes.
    pub fn record(bytes: &[u8]) {
        if let Some((kind, body)) = bytes.split_first()
            && let Ok(fact) = record::Fact::decode(*kind, body)
        {
            let (head, payload) = fact.encode();
            assert_eq!(
                (fact.kind(), [&head[..], &payload[..]].concat()),
                (*kind, body.to_vec())
            );
        }
    }

    /// Decodes bytes as a block of a checkpoint, the first one as its kind.
    pub fn checkpoint(bytes: &[u8]) {
        if let Some((kind, body)) = bytes.split_first() {
            let mut state = crate::state::State::default();
            // Messages need queues to be in.
            for id in 0..4 {
                state.names.insert(id.to_string().into(), id);
                state
                    .lanes
                    .push(crate::state::lane::Lane::new(&id.to_string()));
            }
            let _refused = checkpoint::decode_block(&mut state, *kind, body);
        }
    }
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
