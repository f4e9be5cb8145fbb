//! The clients that are connected, as others see them.
//!
//! A session writes the facts about itself here; whoever lists, kills or unblocks clients reads them. Invariant: a client
//! is listed from the start of its session to the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::inbox::{Inbox, Wakes};
use super::waiter::Waiter;
use crate::storage::Timestamp;
use crate::storage::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering, RwLock};

/// See the module documentation.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    listed: RwLock<BTreeMap<u64, Arc<Client>>>,
    last_id: AtomicU64,
    /// Clients since the database was opened.
    accepted: AtomicU64,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) inbox: Arc<Inbox>,
    created: Timestamp,
    facts: Mutex<Facts>,
    parked: Mutex<Option<Arc<Waiter>>>,
    closing: AtomicBool,
}

/// What is told about a client.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) address: String,
    pub(crate) local_address: String,
    pub(crate) name: String,
    pub(crate) library: String,
    pub(crate) library_version: String,
    /// Name of the user; empty before authentication.
    pub(crate) user: String,
    pub(crate) db: u8,
    pub(crate) proto: u8,
    pub(crate) last: Timestamp,
    pub(crate) command: &'static str,
    pub(crate) channels: usize,
    pub(crate) patterns: usize,
    pub(crate) shards: usize,
    /// Number of queued commands, inside MULTI.
    pub(crate) queued: Option<usize>,
    pub(crate) watched: usize,
    pub(crate) monitors: bool,
    pub(crate) no_evict: bool,
    pub(crate) no_touch: bool,
    /// Bytes of requests that were not run yet, and of replies that were not taken yet.
    pub(crate) input_bytes: usize,
    pub(crate) output_bytes: usize,
}

impl Client {
    pub(crate) fn id(&self) -> u64 {
        self.inbox.id
    }

    pub(crate) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock()
    }

    /// Notes, or forgets, that the client waits.
    pub(crate) fn set_parked(&self, waiter: Option<Arc<Waiter>>) {
        *self.parked.lock() = waiter;
    }

    /// Ends the wait of a client that waits; whether it did.
    pub(crate) fn unblock(&self, with_error: bool) -> bool {
        let parked = self.parked.lock().clone();
        parked.is_some_and(|waiter| waiter.unblock(with_error))
    }

    /// Closes the connection once what runs there has ended.
    pub(crate) fn close(&self) {
        // Release pairs with the Acquire in `is_closing`.
        self.closing.store(true, Ordering::Release);
        self.unblock(false);
        let mut wakes = Wakes::default();
        self.inbox.close(&mut wakes);
    }

    /// Whether the connection is to be closed.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire) || self.inbox.is_closed()
    }

    /// Closes the connection after the reply to the present command.
    pub(crate) fn close_after_reply(&self) {
        self.closing.store(true, Ordering::Release);
    }

    fn is_parked(&self) -> bool {
        self.parked.lock().is_some()
    }
}

impl Facts {
    /// Channels and patterns of all kinds.
    pub(crate) fn subscriptions(&self) -> usize {
        self.channels + self.patterns + self.shards
    }
}

impl Clients {
    /// The next number of a client; numbers only grow.
    pub(super) fn next_id(&self) -> u64 {
        // Relaxed: the number only has to be unique.
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn enter(&self, inbox: Arc<Inbox>, now: Timestamp, db: u8) -> Arc<Client> {
        let facts = Facts {
            address: "127.0.0.1:0".into(),
            local_address: "127.0.0.1:0".into(),
            name: String::new(),
            library: String::new(),
            library_version: String::new(),
            user: String::new(),
            db,
            proto: 2,
            last: now,
            command: "NULL",
            channels: 0,
            patterns: 0,
            shards: 0,
            queued: None,
            watched: 0,
            monitors: false,
            no_evict: false,
            no_touch: false,
            input_bytes: 0,
            output_bytes: 0,
        };
        let client = Arc::new(Client {
            inbox,
            created: now,
            facts: Mutex::new(facts),
            parked: Mutex::new(None),
            closing: AtomicBool::new(false),
        });
        self.accepted.fetch_add(1, Ordering::Relaxed);
        let listed = Arc::clone(&client);
        self.listed.write().insert(client.id(), listed);
        client
    }

    pub(crate) fn leave(&self, id: u64) {
        self.listed.write().remove(&id);
    }

    pub(crate) fn find(&self, id: u64) -> Option<Arc<Client>> {
        self.listed.read().get(&id).cloned()
    }

    /// All clients, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        self.listed.read().values().cloned().collect()
    }

    /// Closes clients that have asked for nothing for `timeout`, unless they wait or listen.
    pub(crate) fn close_idle(&self, now: Timestamp, timeout: Duration) {
        for client in self.all() {
            let facts = client.facts();
            let listens = facts.subscriptions() > 0 || facts.monitors;
            let is_idle = !listens && now.saturating_since(facts.last) > timeout;
            drop(facts);
            if is_idle && !client.is_parked() {
                client.close();
            }
        }
    }

    /// Number of clients.
    pub(crate) fn len(&self) -> usize {
        self.listed.read().len()
    }

    /// Counts new clients from zero.
    pub(crate) fn reset_accepted(&self) {
        self.accepted.store(0, Ordering::Relaxed);
    }

    /// Number of clients since the database was opened.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

/// How a client tracks keys, as far as a line about it tells.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TrackingFacts {
    pub(crate) on: bool,
    pub(crate) prefixes: bool,
    pub(crate) broken: bool,
    /// -1 without tracking, 0 without another client.
    pub(crate) redirect: i64,
}

impl Client {
    /// The line that `CLIENT LIST` shows.
    pub(crate) fn line(&self, now: Timestamp, tracking: TrackingFacts) -> String {
        let facts = self.facts().clone();
        let (pushes, push_bytes) = self.inbox.load();
        let seconds = |since| now.saturating_since(since).as_secs();
        let mut flags = String::new();
        for (letter, set) in [
            ('O', facts.monitors),
            ('P', facts.subscriptions() > 0),
            ('x', facts.queued.is_some()),
            ('b', self.is_parked()),
            ('t', tracking.on),
            ('R', tracking.broken),
            ('B', tracking.prefixes),
            ('c', self.is_closing()),
            ('e', facts.no_evict),
            ('T', facts.no_touch),
        ] {
            flags.extend(set.then_some(letter));
        }
        if flags.is_empty() {
            flags.push('N');
        }
        let Facts {
            address,
            local_address,
            name,
            library,
            library_version,
            user,
            ..
        } = &facts;
        let multi = facts
            .queued
            .map_or(-1, |count| i64::try_from(count).unwrap_or(i64::MAX));
        let (input, output) = (facts.input_bytes, facts.output_bytes + push_bytes);
        format!(
            "id={} addr={address} laddr={local_address} fd=-1 name={name} age={} idle={} flags={flags} db={} sub={} \
             psub={} ssub={} multi={multi} watch={} qbuf={input} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 \
             obl={} oll={pushes} omem={output} tot-mem={} events=r cmd={} user={user} redir={} resp={} \
             lib-name={library} lib-ver={library_version}\n",
            self.id(),
            seconds(self.created),
            seconds(facts.last),
            facts.db,
            facts.channels,
            facts.patterns,
            facts.shards,
            facts.watched,
            facts.output_bytes,
            input + output + size_of::<Self>(),
            facts.command,
            tracking.redirect,
            facts.proto,
        )
    }

    /// The class that `TYPE` names.
    pub(crate) fn class(&self) -> &'static str {
        if self.facts().subscriptions() > 0 {
            "pubsub"
        } else {
            "normal"
        }
    }

    pub(crate) fn age_seconds(&self, now: Timestamp) -> u64 {
        now.saturating_since(self.created).as_secs()
    }
}
