//! Dead letters: messages that used up their deliveries or were given up.

use bytes::Bytes;
use upkv::storage::Timestamp;

use crate::error::Result;
use crate::message::MessageId;
use crate::queue::Queue;
use crate::state::Stage;

/// A message that is not delivered any more, until it is redriven.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The message.
    pub id: MessageId,
    /// Its queue.
    pub queue: String,
    /// Its body.
    pub body: Bytes,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// What the last consumer said, or what became of the last delivery.
    pub why: String,
    /// Deliveries it had.
    pub attempts: u32,
    /// When it was given up.
    pub died_at: Timestamp,
}

/// Iterates over the dead letters of one queue; see [`Queue::dead_letters`].
#[derive(Debug)]
pub struct DeadLetters {
    engine: Queue,
    queue: String,
    next: u64,
}

impl DeadLetters {
    pub(crate) fn new(engine: Queue, queue: &str) -> Self {
        Self {
            engine,
            queue: queue.to_owned(),
            next: 0,
        }
    }
}

impl Iterator for DeadLetters {
    type Item = Result<DeadLetter>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (number, entry) = {
                let state = self.engine.inner().state.lock();
                let lane = state.lane(&self.queue)?;
                let number = *lane.dead.range(self.next..).next()?;
                (number, state.entries[&number].clone())
            };
            self.next = number + 1;
            let Stage::Dead(grave) = entry.stage else {
                continue;
            };
            let message = match self.engine.inner().read(number, entry.at) {
                Ok(Some(message)) => message,
                // Removed in between.
                Ok(None) => continue,
                Err(error) => return Some(Err(error)),
            };
            return Some(Ok(DeadLetter {
                id: message.id,
                queue: self.queue.clone(),
                body: message.content.body,
                headers: message.content.headers,
                why: grave.reason.into(),
                attempts: entry.deliveries,
                died_at: grave.at,
            }));
        }
    }
}
