//! Job queues: publish a body, and have it handled at least once.

#[cfg(feature = "peers-queue")]
pub mod effectum;
pub mod upqueue;

use crate::Result;

/// A queue with one topic.
pub trait QueueEngine: Sync {
    /// Engine and settings, as the row shows them.
    fn name(&self) -> String;

    /// Publishes one message; it is as safe as the queue's level says when this returns.
    fn publish(&self, body: &[u8]) -> Result<()>;

    /// Hands out and acknowledges `count` messages that were published, one consumer at a time.
    fn consume(&self, count: u64) -> Result<()>;
}
