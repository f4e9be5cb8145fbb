//! Settings: of one queue, durable and changeable at run time, and of the engine, given at each opening.

use std::time::Duration;

use upkv::storage::Durability;

use crate::backoff::Backoff;
use crate::error::{Error, Result};

/// Longest lease: 12 hours.
pub const LEASE_MAX: Duration = Duration::from_hours(12);

/// Settings of one queue. They are durable; a queue that was never configured has the defaults.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use upqueue::{Queue, QueueOptions};
/// let queue = Queue::memory()?;
/// queue.configure("emails", QueueOptions::new().lease(Duration::from_secs(5)).max_deliveries(3))?;
/// # Ok::<(), upqueue::Error>(())
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[must_use = "options do nothing until a queue is configured with them"]
pub struct QueueOptions {
    pub(crate) lease: Duration,
    pub(crate) max_deliveries: u32,
    pub(crate) capacity: u64,
    pub(crate) backoff: Backoff,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl QueueOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            lease: Duration::from_secs(30),
            max_deliveries: 16,
            capacity: u64::MAX,
            backoff: Backoff::default(),
        }
    }

    /// How long a consumer may keep a message before it is delivered again; default 30 s, 1 ms to 12 hours.
    pub fn lease(mut self, span: Duration) -> Self {
        self.lease = span;
        self
    }

    /// Deliveries of a message that does not say itself, before it goes to the dead letters; default 16, at least 1.
    pub fn max_deliveries(mut self, count: u32) -> Self {
        self.max_deliveries = count;
        self
    }

    /// Messages the queue holds, dead letters not counted, before publishing answers `Full`; default no limit.
    pub fn capacity(mut self, messages: u64) -> Self {
        self.capacity = messages;
        self
    }

    /// The rest between deliveries of a message that does not say itself; default 1 s doubling up to one hour.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        if !(Duration::from_millis(1)..=LEASE_MAX).contains(&self.lease) {
            let text = format!("lease of {:?} is not in 1 ms..={LEASE_MAX:?}", self.lease);
            return Err(Error::invalid(text));
        }
        if self.max_deliveries == 0 {
            return Err(Error::invalid("max_deliveries 0 is not at least 1"));
        }
        if self.capacity == 0 {
            return Err(Error::invalid("capacity 0 is not at least 1"));
        }
        Ok(())
    }
}

/// Settings of the engine that are not kept: each opening gives them anew.
#[derive(Copy, Clone, Debug)]
#[must_use = "options do nothing until an engine is mounted with them"]
pub struct EngineOptions {
    pub(crate) durability: Option<Durability>,
    pub(crate) ack_durability: Option<Durability>,
    pub(crate) deduplication_window: Duration,
    pub(crate) keep_leases: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl EngineOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            durability: None,
            ack_durability: None,
            deduplication_window: Duration::from_mins(10),
            keep_leases: false,
        }
    }

    /// What a call survives once it returns; default `Disk`, or the store's own level.
    pub fn durability(mut self, level: Durability) -> Self {
        self.durability = Some(level);
        self
    }

    /// What an acknowledgement survives; default as every call. A weaker level costs a second delivery after a crash, never a loss.
    pub fn ack_durability(mut self, level: Durability) -> Self {
        self.ack_durability = Some(level);
        self
    }

    /// How long a deduplication id is remembered; default 10 minutes.
    pub fn deduplication_window(mut self, span: Duration) -> Self {
        self.deduplication_window = span;
        self
    }

    /// Whether a message that was leased when the process stopped waits for the end of that lease; default no: its consumer is gone,
    /// so it is delivered again at once.
    pub fn keep_leases(mut self, keep: bool) -> Self {
        self.keep_leases = keep;
        self
    }
}
