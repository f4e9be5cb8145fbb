//! What a work tells the world when it has committed: events, messages, keys that others wait for; and that it would
//! rather wait itself.

use super::Work;
use crate::command::Reply;
use crate::error::Result;
use crate::keyspace::engine::Engine;
use crate::keyspace::shard::Shard;
use crate::server::inbox::Wakes;
use crate::value::Kind;
use crate::value::owned::Value;

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

/// Something to tell subscribers after the commit, in the order in which it happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// Something happened to a key.
    Key {
        class: Class,
        name: &'static str,
        db: u8,
        key: Box<[u8]>,
    },
    /// A message for a channel.
    Message {
        channel: Value,
        payload: Value,
        sharded: bool,
    },
}

/// A key that changed while others waited for it, with its database.
pub(crate) type ReadyKey = (u8, Box<[u8]>);

/// What remains to be done after a commit, once no lock is held.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Tasks that have something new to read.
    pub(crate) wakes: Wakes,
    pub(crate) ready: Vec<ReadyKey>,
}

/// What a work tells the world when it has committed; mostly nothing.
#[derive(Debug, Default)]
pub(crate) struct News(Option<Box<Items>>);

#[derive(Debug, Default)]
struct Items {
    events: Vec<Event>,
    ready: Vec<ReadyKey>,
    /// Changed keys, where clients track any.
    changed: Vec<Box<[u8]>>,
    /// A whole database changed.
    all_changed: bool,
}

/// How a work that may wait does so.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    wanted: Option<Wait>,
    rewrites: Vec<(usize, Box<[u8]>)>,
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
        self.news.items().events.push(Event::Key {
            class,
            name,
            db: self.db,
            key: key.into(),
        });
    }

    /// Publishes a message when the work commits; how many will get it.
    pub(crate) fn publish_message(
        &mut self,
        channel: &[u8],
        payload: &[u8],
        sharded: bool,
    ) -> usize {
        let count = self.engine.server.channels.receivers(channel, sharded);
        if count > 0 {
            self.news.items().events.push(Event::Message {
                channel: Value::copy(channel),
                payload: Value::copy(payload),
                sharded,
            });
        }
        count
    }

    /// Ends a blocking command that found nothing. Where the caller can wait, the command is run again, from its
    /// arguments, when one of the keys is ready; else `empty` is the answer.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "a handler ends with it, as with everything else that runs on a work"
    )]
    pub(crate) fn wait_for(&mut self, wait: Wait) -> Result<Reply> {
        let reply = wait.empty.clone();
        if let Some(waiting) = &mut self.waiting {
            waiting.wanted = Some(wait);
        }
        Ok(reply)
    }

    /// When the command is run again after a wait, its argument at a position is this one: an id that stood for
    /// "from now on", for example.
    pub(crate) fn rewrite_argument(&mut self, at: usize, value: &[u8]) {
        if let Some(waiting) = &mut self.waiting {
            waiting.rewrites.push((at, value.into()));
        }
    }

    /// From here on [`Work::wait_for`] asks for a wait instead of giving up.
    pub(crate) fn allow_waiting(&mut self) {
        self.waiting = Some(Box::default());
    }

    /// What the command wants to wait for, if it does.
    pub(crate) fn take_wait(&mut self) -> Option<Wait> {
        self.waiting.as_mut()?.wanted.take()
    }

    pub(crate) fn take_rewrites(&mut self) -> Vec<(usize, Box<[u8]>)> {
        let waiting = self.waiting.as_mut();
        waiting.map_or_else(Vec::new, |waiting| std::mem::take(&mut waiting.rewrites))
    }

    /// Whether the work has to start over.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// See [`News::tell`].
    pub(crate) fn tell(&mut self) -> Told {
        std::mem::take(&mut self.news).tell(self.engine, self.client)
    }
}

impl News {
    fn items(&mut self) -> &mut Items {
        self.0.get_or_insert_default()
    }

    /// Notes that a key of a shard changed.
    pub(crate) fn changed(&mut self, engine: &Engine, shard: &Shard, index: usize, key: &[u8]) {
        if shard.is_waited_for(key) {
            let db = engine.swapped.logical(engine.physical_of(index));
            self.items().ready.push((db, key.into()));
        }
        if engine.server.tracking.is_used() {
            self.items().changed.push(key.into());
        }
    }

    /// Notes that keys of a shard for which somebody waits changed, as `is_there` says.
    #[expect(
        clippy::iter_over_hash_type,
        reason = "each key has its own waiters, the order shows nowhere"
    )]
    pub(crate) fn ready_where(
        &mut self,
        shard: &Shard,
        db: u8,
        mut is_there: impl FnMut(&[u8]) -> bool,
    ) {
        for key in shard.waiting.keys() {
            if is_there(key) {
                self.items().ready.push((db, key.clone()));
            }
        }
    }

    /// Tells subscribers and clients that track keys, while the locks still keep the order of changes. What may run
    /// code of others, or take locks, is left to the caller.
    fn tell(self, engine: &Engine, client: u64) -> Told {
        let mut told = Told::default();
        let Some(items) = self.0 else {
            return told;
        };
        told.ready = items.ready;
        let server = &engine.server;
        for event in items.events {
            server.publish(event, &mut told.wakes);
        }
        if items.all_changed {
            server.tracking.invalidate_all(client, &mut told.wakes);
        }
        if !items.changed.is_empty() {
            server
                .tracking
                .invalidate(&items.changed, client, &mut told.wakes);
        }
        told
    }

    /// Notes that everything in a database changed.
    pub(crate) fn all_changed(&mut self, engine: &Engine) {
        if engine.server.tracking.is_used() {
            self.items().all_changed = true;
        }
    }
}
