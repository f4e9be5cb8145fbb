//! Small messages that were just published: most are received soon, and those need no read of the log.
//!
//! Invariant: at most [`BYTES_MAX`] bytes of messages; what is not here is read from the log, so dropping one loses nothing.

use std::collections::VecDeque;

use ahash::AHashMap;
use bytes::Bytes;

use crate::journal::record::Publish;

/// Bytes of bodies and headers that are kept, in all.
const BYTES_MAX: usize = 4 << 20;
/// A message over this is not kept.
const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// What a message takes besides its body and headers.
const OVERHEAD: usize = 256;

/// The messages, in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    messages: AHashMap<u64, Box<Publish>>,
    order: VecDeque<(u64, usize)>,
    bytes: usize,
}

impl Recent {
    pub(crate) fn insert(&mut self, mut message: Box<Publish>) {
        let headers = message.content.headers.iter();
        let headers = headers.map(|(name, value)| name.len() + value.len());
        let bytes = message.content.body.len() + headers.sum::<usize>() + OVERHEAD;
        if bytes > MESSAGE_BYTES_MAX {
            return;
        }
        // A copy: the publisher's buffer may be a small part of a large one.
        message.content.body = Bytes::copy_from_slice(&message.content.body);
        self.bytes += bytes;
        self.order.push_back((message.id.number, bytes));
        self.messages.insert(message.id.number, message);
        while self.bytes > BYTES_MAX
            && let Some((number, bytes)) = self.order.pop_front()
        {
            self.bytes -= bytes;
            self.messages.remove(&number);
        }
    }

    /// The message, once.
    pub(crate) fn take(&mut self, number: u64) -> Option<Box<Publish>> {
        let message = self.messages.remove(&number)?;
        // Mostly it is the oldest; the places of others are dropped as they get old.
        while let Some((oldest, bytes)) = self.order.front()
            && !self.messages.contains_key(oldest)
        {
            self.bytes -= bytes;
            self.order.pop_front();
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message, MessageId};
    use std::time::Duration;
    use upkv::storage::Timestamp;

    fn message(number: u64, len: usize) -> Box<Publish> {
        let id = MessageId { number, epoch: 0 };
        let message = Message::new("q", vec![0; len]);
        Box::new(message.record(0, id, Timestamp::default(), Duration::ZERO))
    }

    #[test]
    fn memory_is_bounded_whatever_is_taken() {
        let mut recent = Recent::default();
        for number in 0..20_000 {
            recent.insert(message(number, 1_000));
            if number % 3 == 0 {
                assert!(recent.take(number).is_some());
            }
            assert!(recent.bytes <= BYTES_MAX && recent.order.len() <= 4_000);
        }
        assert!(recent.take(0).is_none() && recent.take(19_999).is_some());
        recent.insert(message(30_000, MESSAGE_BYTES_MAX));
        assert!(recent.take(30_000).is_none(), "too large to keep");
    }
}
