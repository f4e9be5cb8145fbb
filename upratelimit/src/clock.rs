//! Time, injected. Everything else in the crate takes `now` as an argument.
//!
//! The system clock is the monotonic clock counted from one reading of the wall clock, so it never steps back and
//! windows still line up with the calendar. The manual clock goes wherever a test puts it, back included.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::sync::{Condvar, Mutex};

/// A moment: nanoseconds since the Unix epoch, up to the year 2554. Arithmetic saturates.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use upratelimit::Timestamp;
///
/// let start = Timestamp::from_millis(1_500);
/// let later = start.saturating_add(Duration::from_nanos(7));
/// assert_eq!(later.as_nanos(), 1_500_000_007);
/// assert_eq!(later.saturating_since(start), Duration::from_nanos(7));
/// assert_eq!(start.saturating_since(later), Duration::ZERO);
/// ```
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The moment `millis` milliseconds after the epoch, or the last representable one.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the epoch, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The moment `span` later, or the last representable one.
    #[must_use]
    pub const fn saturating_add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos_of(span)))
    }

    /// The span since `earlier`, or zero if that is later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// The nanoseconds of a span, `u64::MAX` (584 years) if there are more.
#[expect(clippy::cast_possible_truncation, reason = "checked in the same line")]
pub(crate) const fn nanos_of(span: Duration) -> u64 {
    let nanos = span.as_nanos();
    if nanos > u64::MAX as u128 {
        u64::MAX
    } else {
        nanos as u64
    }
}

/// Where a limiter reads the time and waits.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present moment. Steps back are tolerated.
    fn now(&self) -> Timestamp;

    /// Blocks until `at` or a little later; may also return early.
    fn wait_until(&self, at: Timestamp);
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn wait_until(&self, at: Timestamp) {
        (**self).wait_until(at);
    }
}

/// The operating system's monotonic clock, counted from the wall time at which it was created.
///
/// It does not follow later corrections of the wall clock, so windows may drift from the calendar by that much.
///
/// # Examples
///
/// ```
/// use upratelimit::{Clock, SystemClock};
///
/// let clock = SystemClock::new();
/// assert!(clock.now() <= clock.now());
/// ```
#[derive(Clone, Debug)]
pub struct SystemClock {
    wall_at_start: Timestamp,
    start: Instant,
}

impl SystemClock {
    /// A clock that starts at the present wall time (at the epoch if the wall clock lies before it).
    pub fn new() -> Self {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Self {
            wall_at_start: Timestamp(nanos_of(wall)),
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.wall_at_start.saturating_add(self.start.elapsed())
    }

    fn wait_until(&self, at: Timestamp) {
        let span = at.saturating_since(self.now());
        if !span.is_zero() {
            std::thread::sleep(span);
        }
    }
}

/// A clock that stands still until it is told to move.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use upratelimit::{Clock, ManualClock, Timestamp};
///
/// let clock = ManualClock::new(Timestamp::from_millis(1_000));
/// clock.advance(Duration::from_millis(5));
/// assert_eq!(clock.now(), Timestamp::from_millis(1_005));
/// clock.set(Timestamp::from_millis(900)); // steps back are allowed
/// assert_eq!(clock.now(), Timestamp::from_millis(900));
/// ```
#[derive(Debug, Default)]
pub struct ManualClock {
    nanos: AtomicU64,
    lock: Mutex<()>,
    moved: Condvar,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub const fn new(start: Timestamp) -> Self {
        Self {
            nanos: AtomicU64::new(start.0),
            lock: Mutex::new(()),
            moved: Condvar::new(),
        }
    }

    /// Moves the clock forward and wakes whoever waits for it.
    pub fn advance(&self, span: Duration) {
        let _held = self.lock.lock();
        let next = self.now().saturating_add(span);
        self.nanos.store(next.0, Ordering::SeqCst);
        self.moved.notify_all();
    }

    /// Puts the clock anywhere, back included, and wakes whoever waits for it.
    pub fn set(&self, to: Timestamp) {
        let _held = self.lock.lock();
        self.nanos.store(to.0, Ordering::SeqCst);
        self.moved.notify_all();
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.nanos.load(Ordering::SeqCst))
    }

    /// Blocks until another thread moves the clock to `at` or past it.
    fn wait_until(&self, at: Timestamp) {
        let mut held = self.lock.lock();
        while self.now() < at {
            self.moved.wait(&mut held);
        }
    }
}
