//! What a work tells the world when it has committed: keyspace events, and that it would rather wait.

use super::Work;
use crate::command::Reply;
use crate::error::Result;
use crate::value::Kind;

/// Class of a keyspace event; the letters of `notify-keyspace-events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(pub(crate) u16);

impl Class {
    pub(crate) const GENERIC: Self = Self(1);
    pub(crate) const STRING: Self = Self(1 << 1);
    pub(crate) const LIST: Self = Self(1 << 2);
    pub(crate) const SET: Self = Self(1 << 3);
    pub(crate) const HASH: Self = Self(1 << 4);
    pub(crate) const ZSET: Self = Self(1 << 5);
    pub(crate) const EXPIRED: Self = Self(1 << 6);
    pub(crate) const EVICTED: Self = Self(1 << 7);
    pub(crate) const STREAM: Self = Self(1 << 8);
    pub(crate) const MODULE: Self = Self(1 << 9);
    pub(crate) const JSON: Self = Self::MODULE;
    pub(crate) const MISS: Self = Self(1 << 10);
    pub(crate) const NEW: Self = Self(1 << 11);
}

/// Something that happened to a key, told to subscribers after the commit.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) class: Class,
    pub(crate) name: &'static str,
    pub(crate) db: u8,
    pub(crate) key: Box<[u8]>,
}

/// What a blocking command waits for.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) keys: Vec<Box<[u8]>>,
    /// Type of value that can serve it.
    pub(crate) kind: Kind,
    /// `None` waits for ever.
    pub(crate) timeout_ms: Option<u64>,
    /// The reply when the time is over.
    pub(crate) empty: Reply,
}

impl Work<'_> {
    /// Notes a keyspace event; call it after a real change, with the name Redis uses.
    pub(crate) fn notify(&mut self, class: Class, name: &'static str, key: &[u8]) {
        if !self.engine.notifies(class) {
            return;
        }
        self.events.push(Event {
            class,
            name,
            db: self.db,
            key: key.into(),
        });
    }

    /// Ends a blocking command that found nothing.
    pub(crate) fn wait_for(&mut self, wait: Wait) -> Result<Reply> {
        Ok(wait.empty)
    }
}
