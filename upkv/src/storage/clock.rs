//! Time and chance, both injected: the wall clock, the monotonic clock, waiting, and a seedable random source.
//!
//! Invariant: this is the only file that reads a clock of the machine. Wall time as seen through one handle never goes back,
//! whatever happens to the machine's clock, so an expired thing stays expired.

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::sync::{AtomicU64, Mutex, Ordering, Signal};

/// A wall-clock instant: milliseconds since the Unix epoch.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use upkv::storage::Timestamp;
/// let start = Timestamp::from_millis(1_000);
/// let end = start.saturating_add(Duration::from_secs(2));
/// assert_eq!(end.as_millis(), 3_000);
/// assert_eq!(end.saturating_since(start), Duration::from_secs(2));
/// assert_eq!(start.saturating_since(end), Duration::ZERO);
/// ```
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Later than everything else; as a deadline it means "never".
    pub const MAX: Self = Self(u64::MAX);

    /// The instant `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The instant `span` later; a part of a millisecond counts as a whole one, so that nothing is due early.
    #[must_use]
    pub fn saturating_add(self, span: Duration) -> Self {
        let millis = span.as_nanos().div_ceil(1_000_000);
        Self(
            self.0
                .saturating_add(u64::try_from(millis).unwrap_or(u64::MAX)),
        )
    }

    /// The time from `earlier` to this instant, zero if `earlier` is later.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// Where a store takes its time from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Wall time; never goes back within one clock value.
    fn now(&self) -> Timestamp;

    /// Time since an arbitrary fixed point, unaffected by changes of the wall clock; for measuring spans.
    fn monotonic(&self) -> Duration;

    /// Blocks until `signal` is notified after `ticket` was taken, or until `deadline`; may return earlier for no reason.
    ///
    /// # Blocking
    ///
    /// For ever if there is no deadline and nobody notifies.
    fn wait(&self, signal: &Arc<Signal>, ticket: u64, deadline: Option<Timestamp>);
}

/// The clocks of the machine.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
    latest: AtomicU64,
}

/// Longest single wait. The machine's clock may be stepped, or the machine suspended, while a thread sleeps on the monotonic
/// clock; looking again this often bounds how late a deadline is then noticed.
const WAIT_MAX: Duration = Duration::from_mins(1);

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
            latest: AtomicU64::new(0),
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
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let wall = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        Timestamp(raise(&self.latest, wall))
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    fn wait(&self, signal: &Arc<Signal>, ticket: u64, deadline: Option<Timestamp>) {
        let limit = match deadline {
            None => None,
            Some(at) => {
                let left = at.saturating_since(self.now());
                if left.is_zero() {
                    return;
                }
                Some(left.min(WAIT_MAX))
            }
        };
        signal.wait(ticket, limit);
    }
}

/// Raises `latest` to `value` if it is lower; returns the higher of the two.
fn raise(latest: &AtomicU64, value: u64) -> u64 {
    // Relaxed: the value stands alone. Most calls fall into one millisecond, and then there is nothing to write.
    let seen = latest.load(Ordering::Relaxed);
    if seen >= value {
        seen
    } else {
        latest.fetch_max(value, Ordering::Relaxed).max(value)
    }
}

/// A clock that moves only when told to, for tests of anything that waits.
///
/// Clones share one time. [`set`](Self::set) to an earlier time is what setting back the machine's clock is: `now` stands
/// still until the time set has caught up.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use upkv::storage::{Clock, ManualClock, Timestamp};
/// let clock = ManualClock::new(Timestamp::from_millis(1_000));
/// clock.advance(Duration::from_millis(500));
/// assert_eq!(clock.now().as_millis(), 1_500);
/// clock.set(Timestamp::from_millis(0));
/// assert_eq!(clock.now().as_millis(), 1_500, "time does not go back");
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock {
    shared: Arc<Mutex<ManualTime>>,
}

#[derive(Debug)]
struct ManualTime {
    wall: Timestamp,
    latest: Timestamp,
    monotonic: Duration,
    /// Signals that threads wait for right now; the same one appears once per thread.
    waiting: Vec<Arc<Signal>>,
}

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn new(start: Timestamp) -> Self {
        let time = ManualTime {
            wall: start,
            latest: start,
            monotonic: Duration::ZERO,
            waiting: Vec::new(),
        };
        Self {
            shared: Arc::new(Mutex::new(time)),
        }
    }

    /// Moves wall and monotonic time forward by `span` and wakes everyone who waits through this clock.
    pub fn advance(&self, span: Duration) {
        self.change(|time| {
            time.wall = time.wall.saturating_add(span);
            time.monotonic = time.monotonic.saturating_add(span);
        });
    }

    /// Steps the wall time to `to`, forward or back, and wakes everyone who waits through this clock.
    pub fn set(&self, to: Timestamp) {
        self.change(|time| time.wall = to);
    }

    fn change(&self, edit: impl FnOnce(&mut ManualTime)) {
        let mut time = self.shared.lock();
        edit(&mut time);
        time.latest = time.latest.max(time.wall);
        for signal in &time.waiting {
            signal.notify();
        }
    }
}

impl Default for ManualClock {
    /// Stands at 2024-01-01 00:00:00 UTC.
    fn default() -> Self {
        Self::new(Timestamp::from_millis(1_704_067_200_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.shared.lock().latest
    }

    fn monotonic(&self) -> Duration {
        self.shared.lock().monotonic
    }

    fn wait(&self, signal: &Arc<Signal>, ticket: u64, deadline: Option<Timestamp>) {
        {
            let mut time = self.shared.lock();
            if deadline.is_some_and(|at| at <= time.latest) {
                return;
            }
            // Registered under the lock that `change` takes: a step of the time from here on notifies the signal.
            time.waiting.push(Arc::clone(signal));
        }
        signal.wait(ticket, None);
        let mut time = self.shared.lock();
        if let Some(at) = time
            .waiting
            .iter()
            .position(|other| Arc::ptr_eq(other, signal))
        {
            time.waiting.swap_remove(at);
        }
    }
}

/// A random source: `SplitMix64` on one atomic word. Fast, shared, and with a given seed the same every time.
///
/// Good for salts, jitter and test schedules; not for secrets.
///
/// # Examples
///
/// ```
/// use upkv::storage::Random;
/// assert_eq!(Random::seeded(7).next_u64(), Random::seeded(7).next_u64());
/// assert!(Random::seeded(7).below(10) < 10);
/// ```
#[derive(Debug)]
pub struct Random {
    state: AtomicU64,
}

impl Random {
    /// A source that gives the same numbers for the same `seed`.
    pub const fn seeded(seed: u64) -> Self {
        Self {
            state: AtomicU64::new(seed),
        }
    }

    /// A source seeded by the operating system.
    pub fn from_os() -> Self {
        // The keys of the standard hasher come from the operating system's generator, on every platform.
        let mut hasher = std::hash::RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        Self::seeded(hasher.finish())
    }

    /// The next number.
    pub fn next_u64(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        // Relaxed: each caller only needs a value of the counter that nobody else got.
        let state = self
            .state
            .fetch_add(GAMMA, Ordering::Relaxed)
            .wrapping_add(GAMMA);
        mix64(state)
    }

    /// A number below `bound`, every one (very nearly) as likely; 0 if `bound` is 0.
    pub fn below(&self, bound: u64) -> u64 {
        // The high half of the product: no division, and a bias of at most bound / 2^64.
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        (wide >> 64) as u64
    }
}

/// The finishing permutation of `SplitMix64`.
fn mix64(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_saturate_and_round_up() {
        let at = Timestamp::from_millis(10);
        assert_eq!(at.saturating_add(Duration::from_micros(1)).as_millis(), 11);
        assert_eq!(at.saturating_add(Duration::MAX), Timestamp::MAX);
        assert_eq!(
            Timestamp::from_millis(5).saturating_since(at),
            Duration::ZERO
        );
    }

    #[test]
    fn system_time_never_goes_back() {
        let clock = SystemClock::new();
        let far = clock.now().as_millis() + 1_000_000;
        clock.latest.store(far, Ordering::Relaxed);
        assert_eq!(
            clock.now().as_millis(),
            far,
            "as after the machine's clock was set back"
        );
        let (a, b) = (clock.monotonic(), clock.monotonic());
        assert!(a <= b);
    }

    #[test]
    fn a_deadline_in_the_past_does_not_block() {
        let signal = Signal::new();
        for clock in [&SystemClock::new() as &dyn Clock, &ManualClock::default()] {
            clock.wait(&signal, signal.ticket(), Some(clock.now()));
        }
    }

    #[test]
    fn system_wait_ends_at_the_deadline() {
        let clock = SystemClock::new();
        let signal = Signal::new();
        let deadline = clock.now().saturating_add(Duration::from_millis(5));
        while clock.now() < deadline {
            clock.wait(&signal, signal.ticket(), Some(deadline));
        }
    }

    #[test]
    fn advancing_the_manual_clock_wakes_a_waiter() {
        let clock = ManualClock::default();
        let signal = Signal::new();
        let deadline = clock.now().saturating_add(Duration::from_hours(1));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                loop {
                    let ticket = signal.ticket();
                    if clock.now() >= deadline {
                        return clock.now();
                    }
                    clock.wait(&signal, ticket, Some(deadline));
                }
            });
            clock.advance(Duration::from_mins(30));
            clock.advance(Duration::from_mins(30));
            assert_eq!(waiter.join().unwrap(), deadline);
        });
        assert!(clock.shared.lock().waiting.is_empty());
        assert_eq!(clock.monotonic(), Duration::from_hours(1));
    }

    #[test]
    fn random_is_the_published_sequence_and_stays_below_its_bound() {
        // First outputs of SplitMix64 for the seed 1234567.
        let random = Random::seeded(1_234_567);
        let got: Vec<u64> = (0..3).map(|_| random.next_u64()).collect();
        assert_eq!(
            got,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
        let mut seen = [false; 7];
        for _ in 0..1_000 {
            seen[usize::try_from(random.below(7)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 7]);
        assert_eq!(random.below(0), 0);
        assert_ne!(Random::from_os().next_u64(), Random::from_os().next_u64());
    }
}
