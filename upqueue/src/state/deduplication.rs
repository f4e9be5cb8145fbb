//! Deduplication ids and until when they are remembered.

use std::collections::BTreeSet;
use std::sync::Arc;

use ahash::AHashMap;
use upkv::storage::Timestamp;

use crate::message::MessageId;

/// What is remembered of publishing under an id.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) first: MessageId,
    pub(crate) until: Timestamp,
}

/// The ids of one engine.
#[derive(Debug, Default)]
pub(crate) struct Deduplication {
    seen: AHashMap<Arc<[u8]>, Seen>,
    expiry: BTreeSet<(Timestamp, Arc<[u8]>)>,
}

impl Deduplication {
    /// The first message under `key`, as long as it is remembered.
    pub(crate) fn find(&self, key: &[u8], now: Timestamp) -> Option<MessageId> {
        let seen = self.seen.get(key)?;
        (seen.until > now).then_some(seen.first)
    }

    pub(crate) fn insert(&mut self, key: &[u8], first: MessageId, until: Timestamp) {
        let key: Arc<[u8]> = key.into();
        if let Some(old) = self.seen.insert(key.clone(), Seen { first, until }) {
            self.expiry.remove(&(old.until, key.clone()));
        }
        self.expiry.insert((until, key));
    }

    /// Forgets what nobody needs to remember any more.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        while self.expiry.first().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, key)) = self.expiry.pop_first() {
                self.seen.remove(&key);
            }
        }
    }

    pub(crate) fn next_expiry(&self) -> Option<Timestamp> {
        self.expiry.first().map(|(until, _)| *until)
    }

    /// All ids by the end of their window.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], Seen)> {
        self.expiry.iter().map(|(_, key)| (&**key, self.seen[key]))
    }
}
