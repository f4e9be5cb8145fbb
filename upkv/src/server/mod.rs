//! What the sessions of a database share: clients, channels, waiting callers, tracked keys, the monitor.
//!
//! Lock order: shards, then one of these registries, then an inbox. No registry is locked while another one is, and
//! nothing here takes a shard's lock except [`blocked`], which holds nothing else then.

pub(crate) mod acl;
pub(crate) mod blocked;
pub(crate) mod channels;
pub(crate) mod clients;
pub(crate) mod config;
pub(crate) mod events;
pub(crate) mod inbox;
pub(crate) mod latency;
pub(crate) mod monitor;
pub(crate) mod pause;
pub(crate) mod shutdown;
pub(crate) mod slowlog;
pub(crate) mod stats;
pub(crate) mod tracking;
pub(crate) mod waiter;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use self::acl::Acl;
use self::blocked::Blocked;
use self::channels::Channels;
use self::clients::Clients;
use self::config::Config;
use self::events::Events;
use self::inbox::{Inbox, Message, Wakes};
use self::latency::Latency;
use self::monitor::Monitor;
use self::pause::Pause;
use self::shutdown::ShutdownRequest;
use self::slowlog::SlowLog;
use self::stats::Counters;
use self::tracking::Tracking;
use crate::keyspace::work::event::Event;
use crate::storage::Timestamp;
use crate::storage::sync::{AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering};

/// The version of Redis that clients are told.
pub(crate) const VERSION: &str = "7.2.4";
/// Set in the number of a timer that is not a shard's.
pub(crate) const TIMER_BIT: u64 = 1 << 63;
/// Bytes that may wait for one client before it is cut off, as Redis' hard limit for subscribers.
const INBOX_BYTES_MAX: usize = 32 << 20;

/// See the module documentation.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) acl: Acl,
    pub(crate) blocked: Blocked,
    pub(crate) channels: Channels,
    pub(crate) clients: Clients,
    pub(crate) config: Config,
    pub(crate) events: Events,
    pub(crate) latency: Latency,
    pub(crate) monitor: Monitor,
    pub(crate) pause: Pause,
    pub(crate) slowlog: SlowLog,
    pub(crate) stats: Counters,
    pub(crate) tracking: Tracking,
    /// Bytes that may wait for one client; 0 is no limit.
    inbox_bytes_max: Arc<AtomicUsize>,
    next_timer: AtomicU64,
    /// Of the monotonic clock.
    started: OnceLock<Duration>,
    run_id: OnceLock<String>,
    /// Seconds since 1970; 0 before the first.
    saved: AtomicU64,
    closed: AtomicBool,
    shutdown: Mutex<Option<ShutdownRequest>>,
    /// What is overdue stays until somebody asks for it.
    keeps_overdue: AtomicBool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            acl: Acl::default(),
            blocked: Blocked::default(),
            channels: Channels::default(),
            clients: Clients::default(),
            config: Config::default(),
            events: Events::default(),
            latency: Latency::default(),
            monitor: Monitor::default(),
            pause: Pause::default(),
            slowlog: SlowLog::default(),
            stats: Counters::default(),
            tracking: Tracking::default(),
            inbox_bytes_max: Arc::new(AtomicUsize::new(INBOX_BYTES_MAX)),
            next_timer: AtomicU64::new(1),
            started: OnceLock::new(),
            run_id: OnceLock::new(),
            saved: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            shutdown: Mutex::default(),
            keeps_overdue: AtomicBool::new(false),
        }
    }
}

impl Server {
    /// An inbox for a client or a subscription.
    pub(crate) fn inbox(&self) -> Arc<Inbox> {
        let inbox = Inbox::new(self.clients.next_id(), Arc::clone(&self.inbox_bytes_max));
        if self.is_closed() {
            inbox.close(&mut Wakes::default());
        }
        inbox
    }

    /// Notes when the database was opened, on the monotonic clock and as a time in ms.
    pub(crate) fn start(&self, at: Duration, now: u64) {
        // A second start would be that of the same database.
        self.started.get_or_init(|| at);
        self.note_save(now);
    }

    pub(crate) fn started(&self) -> Duration {
        self.started.get().copied().unwrap_or_default()
    }

    /// A checkpoint was taken on request.
    pub(crate) fn note_save(&self, now: u64) {
        self.saved.store(now / 1_000, Ordering::Relaxed);
    }

    /// Seconds since 1970 when a checkpoint was last taken on request, or the database was opened.
    pub(crate) fn last_save(&self) -> u64 {
        self.saved.load(Ordering::Relaxed)
    }

    /// 40 digits that tell this opening of the database from others.
    pub(crate) fn run_id(&self, mut random: impl FnMut() -> u64) -> &str {
        self.run_id.get_or_init(|| {
            let mut text = format!("{:016x}{:016x}{:016x}", random(), random(), random());
            text.truncate(40);
            text
        })
    }

    /// Whether the store was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// The store was closed: every connection and subscription ends.
    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let mut wakes = Wakes::default();
        self.channels.close(&mut wakes);
        drop(wakes);
        self.clients.all().iter().for_each(|client| client.close());
        self.pause.end();
    }

    /// Sets how many bytes may wait for one client before it is cut off; 0 is no limit.
    pub(crate) fn set_inbox_limit(&self, bytes: usize) {
        self.inbox_bytes_max.store(bytes, Ordering::Relaxed);
    }

    /// A number for a timer, without its bit.
    pub(crate) fn next_timer(&self) -> u64 {
        self.next_timer.fetch_add(1, Ordering::Relaxed)
    }

    /// A timer that is not a shard's came due.
    pub(crate) fn timer(&self, token: u64, now: Timestamp) {
        let number = token & !TIMER_BIT;
        self.blocked.timer(number, now);
        self.pause.timer(number);
    }

    /// Delivers an event or message; called in the order of commits where that has to be kept.
    pub(crate) fn publish(&self, event: Event, wakes: &mut Wakes) {
        match event {
            Event::Key {
                class,
                name,
                db,
                key,
            } => self
                .events
                .publish(&self.channels, class, name, db, &key, wakes),
            Event::Message {
                channel,
                payload,
                sharded,
            } => {
                let message = Message {
                    channel,
                    pattern: None,
                    payload,
                    sharded,
                };
                self.channels.publish(&message, wakes);
            }
        }
    }
}
