//! A delivery: the message, the lease, and what can be said of it.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use upkv::storage::Timestamp;

use crate::error::Result;
use crate::journal::record::Publish;
use crate::message::MessageId;
use crate::queue::Queue;

/// Names one delivery: what [`Queue::ack`] takes when the [`Job`] cannot be kept. It is refused once the lease is over.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeaseToken {
    pub(crate) id: MessageId,
    pub(crate) lease: u64,
    pub(crate) opening: u64,
}

impl LeaseToken {
    /// The message.
    pub fn id(&self) -> MessageId {
        self.id
    }
}

/// A message on lease to its consumer.
///
/// Answer it with [`ack`](Self::ack), [`nack`](Self::nack), [`release`](Self::release) or [`dead_letter`](Self::dead_letter). Dropped
/// unanswered it goes back to the front of its queue uncounted, or counted if the thread is panicking.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use upqueue::{Message, Queue};
/// let queue = Queue::memory()?;
/// queue.publish(Message::new("emails", "to: ada").header("kind", "welcome"))?;
/// let job = queue.receive("emails", Duration::ZERO)?.expect("published above");
/// assert_eq!((job.attempt(), job.header("kind")), (1, Some("welcome")));
/// job.ack()?;
/// # Ok::<(), upqueue::Error>(())
/// ```
#[must_use = "a job that is dropped goes back to its queue"]
pub struct Job {
    queue: Queue,
    token: LeaseToken,
    message: Publish,
    attempt: u32,
    deadline: Timestamp,
    answered: bool,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.token.id)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

impl Job {
    pub(crate) fn new(
        queue: Queue,
        token: LeaseToken,
        message: Publish,
        attempt: u32,
        deadline: Timestamp,
    ) -> Self {
        Self {
            queue,
            token,
            message,
            attempt,
            deadline,
            answered: false,
        }
    }

    /// The message's id, the same at each delivery.
    pub fn id(&self) -> MessageId {
        self.token.id
    }

    /// The body as it was published.
    pub fn body(&self) -> &Bytes {
        &self.message.content.body
    }

    /// Names and values of the headers, in the order they were given.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let headers = self.message.content.headers.iter();
        headers.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first header of this name, upper and lower case being the same.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Which delivery this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When the message was published.
    pub fn published_at(&self) -> Timestamp {
        self.message.published
    }

    /// When the lease ends.
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// Names this delivery, for [`Queue::ack`] and transactions.
    pub fn receipt(&self) -> LeaseToken {
        self.token
    }

    /// Done: the message is gone.
    ///
    /// # Errors
    ///
    /// [`crate::Error::LeaseLost`]: another consumer may have it; [`crate::Error::Storage`].
    ///
    /// # Durability
    ///
    /// Once this returns, the message is never delivered again, across what the engine's level for acknowledgements survives.
    pub fn ack(mut self) -> Result<()> {
        self.answered = true;
        self.queue.ack(self.token)
    }

    /// Failed: the message is delivered again after the rest that its backoff says, or goes to the dead letters with `why` if this was
    /// its last delivery.
    ///
    /// # Errors
    ///
    /// As [`ack`](Self::ack).
    pub fn nack(mut self, why: impl fmt::Display) -> Result<()> {
        self.answered = true;
        self.queue.nack(self.token, None, &why.to_string())
    }

    /// As [`nack`](Self::nack), with a rest of the consumer's choice, at most one day.
    ///
    /// # Errors
    ///
    /// As [`ack`](Self::ack).
    pub fn nack_after(mut self, rest: Duration, why: impl fmt::Display) -> Result<()> {
        self.answered = true;
        self.queue.nack(self.token, Some(rest), &why.to_string())
    }

    /// Given back to the front of the queue; this delivery is not counted.
    ///
    /// # Errors
    ///
    /// As [`ack`](Self::ack).
    pub fn release(mut self) -> Result<()> {
        self.answered = true;
        self.queue.release(self.token)
    }

    /// Given up: to the dead letters with `why`, of which 1,024 bytes are kept.
    ///
    /// # Errors
    ///
    /// As [`ack`](Self::ack).
    pub fn dead_letter(mut self, why: impl fmt::Display) -> Result<()> {
        self.answered = true;
        self.queue.bury(self.token, &why.to_string())
    }

    /// Starts the lease anew: it now ends `span` from now, at most 12 hours.
    ///
    /// # Errors
    ///
    /// As [`ack`](Self::ack).
    pub fn extend(&mut self, span: Duration) -> Result<()> {
        self.deadline = self.queue.extend(self.token, span)?;
        Ok(())
    }

    /// The delivery is answered elsewhere: in a transaction.
    pub(crate) fn forget(mut self) -> LeaseToken {
        self.answered = true;
        self.token
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        // Best effort: at worst the lease runs out.
        let _lost = if std::thread::panicking() {
            self.queue.nack(self.token, None, "the consumer panicked")
        } else {
            self.queue.release(self.token)
        };
    }
}
