//! What is published, and what publishing answers.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use upkv::storage::{Durability, Timestamp, Token};

use crate::backoff::{Backoff, millis};
use crate::error::{Error, Result};
use crate::journal::record::{Body, Publish};

/// Longest name of a queue, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Longest deduplication id, in bytes.
pub const DEDUPLICATION_BYTES_MAX: usize = 256;
/// Largest body, in bytes.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// Most bytes of all headers of a message together.
pub const HEADER_BYTES_MAX: usize = 64 << 10;
/// Number of priority levels; 0 is served first.
pub const PRIORITIES: u8 = 8;
/// The level of a message that names none.
const PRIORITY_DEFAULT: u8 = 4;

/// The identity of a message in its store: opaque, increasing in the order of publishing, never given twice.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    pub(crate) number: u64,
    /// Tells apart numbers that were given out and lost in a crash.
    pub(crate) epoch: u64,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "msg_{:016x}{:016x}", self.number, self.epoch)
    }
}

impl FromStr for MessageId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::invalid(format!("{text:?} is no message id"));
        let digits = text.strip_prefix("msg_").ok_or_else(bad)?;
        if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let half = |from: usize| u64::from_str_radix(&digits[from..from + 16], 16);
        Ok(Self {
            number: half(0).map_err(|_| bad())?,
            epoch: half(16).map_err(|_| bad())?,
        })
    }
}

/// A message to publish.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use upqueue::{Backoff, Message, Queue};
/// let queue = Queue::memory()?;
/// let receipt = queue.publish(
///     Message::new("emails", "to: ada")
///         .retries(5)
///         .backoff(Backoff::exponential(Duration::from_secs(1)))
///         .deduplication_id("order-17"),
/// )?;
/// assert!(!receipt.deduplicated);
/// # Ok::<(), upqueue::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a message is sent by publishing it"]
pub struct Message {
    pub(crate) queue: String,
    body: Bytes,
    headers: Vec<(String, String)>,
    delay: Duration,
    not_before: Option<Timestamp>,
    retries: Option<u32>,
    backoff: Option<Backoff>,
    priority: u8,
    deduplication_id: Option<Vec<u8>>,
    pub(crate) durability: Option<Durability>,
}

impl Message {
    /// A message for `queue`, which appears with its first message. Limits: 256 bytes of name, 16 MiB of body.
    pub fn new(queue: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            queue: queue.into(),
            body: body.into(),
            headers: Vec::new(),
            delay: Duration::ZERO,
            not_before: None,
            retries: None,
            backoff: None,
            priority: PRIORITY_DEFAULT,
            deduplication_id: None,
            durability: None,
        }
    }

    /// Not delivered before this much time has passed.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Not delivered before this moment; wins over [`delay`](Self::delay).
    pub fn not_before(mut self, at: Timestamp) -> Self {
        self.not_before = Some(at);
        self
    }

    /// Deliveries after the first failed one; 0 means one delivery in all. Default: what the queue allows, 15.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = Some(retries);
        self
    }

    /// The rest between deliveries. Default: the queue's.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = Some(backoff);
        self
    }

    /// Level from 0, served first, to 7; default 4.
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// Within the deduplication window, 10 minutes by default, a second message with this id is accepted and dropped. 1 to 256
    /// bytes; one space of ids for all queues of the engine.
    pub fn deduplication_id(mut self, id: impl AsRef<[u8]>) -> Self {
        self.deduplication_id = Some(id.as_ref().to_vec());
        self
    }

    /// Adds a header; 64 KiB in all.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// What the message survives once publishing returns. Default: the engine's, which is `Disk`.
    pub fn durability(mut self, level: Durability) -> Self {
        self.durability = Some(level);
        self
    }

    /// Refuses what is over a limit.
    pub(crate) fn check(&self) -> Result<()> {
        check_name(&self.queue)?;
        if self.body.len() > BODY_BYTES_MAX {
            return Err(Error::too_large("body", BODY_BYTES_MAX, self.body.len()));
        }
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len());
        let header_bytes = headers.fold(0, usize::saturating_add);
        if header_bytes > HEADER_BYTES_MAX || self.headers.len() > usize::from(u16::MAX) {
            return Err(Error::too_large("headers", HEADER_BYTES_MAX, header_bytes));
        }
        if self.priority >= PRIORITIES {
            let text = format!("priority {} is not in 0..{PRIORITIES}", self.priority);
            return Err(Error::invalid(text));
        }
        if let Some(id) = &self.deduplication_id
            && !(1..=DEDUPLICATION_BYTES_MAX).contains(&id.len())
        {
            let text = format!(
                "deduplication id of {} bytes is not in 1..={DEDUPLICATION_BYTES_MAX}",
                id.len()
            );
            return Err(Error::invalid(text));
        }
        Ok(())
    }

    /// The record, all but its place.
    pub(crate) fn record(
        self,
        lane: u32,
        id: MessageId,
        now: Timestamp,
        window: Duration,
    ) -> Publish {
        let delayed = self
            .not_before
            .unwrap_or_else(|| now.saturating_add(self.delay));
        Publish {
            lane,
            id,
            published: now,
            not_before: delayed.max(now),
            retries: self.retries,
            backoff: self.backoff,
            priority: self.priority,
            deduplication: self.deduplication_id.map(|key| {
                let until = Timestamp::from_millis(now.as_millis().saturating_add(millis(window)));
                (key, until)
            }),
            content: Body {
                headers: self.headers,
                body: self.body,
            },
        }
    }

    pub(crate) fn deduplicates_by(&self) -> Option<&[u8]> {
        self.deduplication_id.as_deref()
    }
}

pub(crate) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        let text = format!(
            "queue name of {} bytes is not in 1..={NAME_BYTES_MAX}",
            name.len()
        );
        return Err(Error::invalid(text));
    }
    Ok(())
}

/// What publishing answers.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The message; the first one's, if this was a duplicate.
    pub id: MessageId,
    /// Whether a message with this deduplication id was there already, and this one was dropped.
    pub deduplicated: bool,
    /// The commit it is part of.
    pub token: Token,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_printed_and_nothing_else_is() {
        let id = MessageId {
            number: 7,
            epoch: u64::MAX,
        };
        let text = id.to_string();
        assert_eq!(text, "msg_0000000000000007ffffffffffffffff");
        assert_eq!(text.parse::<MessageId>().unwrap(), id);
        for bad in [
            "",
            "msg_",
            "msg_7",
            "msg_+000000000000007ffffffffffffffff",
            &text[1..],
        ] {
            assert!(bad.parse::<MessageId>().is_err(), "{bad}");
        }
    }
}
