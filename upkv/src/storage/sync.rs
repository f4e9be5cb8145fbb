//! The locks and atomics of the crate, in one place, and [`Signal`], what a thread waits on.
//!
//! Invariant: nothing else in the crate names `parking_lot` or `std::sync::atomic`, so a model checker can be put underneath
//! here. A signal never loses a wake-up: whoever took its ticket before checking a condition is woken by every later notify.

use std::sync::Arc;
use std::time::Duration;

pub use parking_lot::{
    Condvar, MappedMutexGuard, MappedRwLockReadGuard, MappedRwLockWriteGuard, Mutex, MutexGuard,
    RwLock, RwLockReadGuard, RwLockWriteGuard,
};
pub use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

/// An event counter: waiting for "something changed since I looked".
///
/// Take a [`ticket`](Self::ticket), check the condition, and only then wait with the ticket; a change between the check and
/// the wait is then never missed. Notifying without waiters costs one atomic addition and one load.
///
/// # Examples
///
/// ```
/// use upkv::storage::Signal;
/// let signal = Signal::new();
/// let ticket = signal.ticket();
/// signal.notify();
/// assert!(signal.wait(ticket, None), "the notify came after the ticket, so this returns at once");
/// ```
#[derive(Debug, Default)]
pub struct Signal {
    count: AtomicU64,
    waiters: AtomicUsize,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Signal {
    /// A signal that nobody has notified.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// The present count; take it before checking the condition to wait for.
    pub fn ticket(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// Wakes everyone who took a ticket before this call.
    pub fn notify(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
        // Pairs with the order in `wait`: a waiter not counted here reads the new count and does not sleep.
        if self.waiters.load(Ordering::SeqCst) > 0 {
            // A waiter between its check of the count and its sleep holds the lock.
            drop(self.lock.lock());
            self.changed.notify_all();
        }
    }

    /// Waits for a notify later than `ticket`, at most `timeout`; says whether there was one.
    ///
    /// # Blocking
    ///
    /// Until notified, or until the real time given has passed; for ever with `None` if nobody notifies. Code that has a
    /// [`Clock`](super::clock::Clock) waits through it instead, so that tests can move the time.
    pub fn wait(&self, ticket: u64, timeout: Option<Duration>) -> bool {
        self.waiters.fetch_add(1, Ordering::SeqCst);
        let mut guard = self.lock.lock();
        while self.ticket() == ticket {
            match timeout {
                None => self.changed.wait(&mut guard),
                Some(limit) => {
                    // One wait per call: after a spurious wake-up the caller looks at its clock again.
                    self.changed.wait_for(&mut guard, limit);
                    break;
                }
            }
        }
        drop(guard);
        self.waiters.fetch_sub(1, Ordering::SeqCst);
        self.ticket() != ticket
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notify_between_ticket_and_wait_is_not_lost() {
        let signal = Signal::new();
        let ticket = signal.ticket();
        signal.notify();
        assert!(signal.wait(ticket, None));
    }

    #[test]
    fn without_a_notify_the_timeout_ends_the_wait() {
        let signal = Signal::new();
        assert!(!signal.wait(signal.ticket(), Some(Duration::from_millis(1))));
    }

    #[test]
    fn every_waiter_sees_every_round() {
        const ROUNDS: u64 = 2_000;
        let signal = Signal::new();
        let round = Arc::new(AtomicU64::new(0));
        let seen = Arc::new(AtomicU64::new(0));
        let back = Signal::new();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for wanted in 1..=ROUNDS {
                        loop {
                            let ticket = signal.ticket();
                            if round.load(Ordering::SeqCst) >= wanted {
                                break;
                            }
                            signal.wait(ticket, None);
                        }
                        seen.fetch_add(1, Ordering::SeqCst);
                        back.notify();
                    }
                });
            }
            for wanted in 1..=ROUNDS {
                round.store(wanted, Ordering::SeqCst);
                signal.notify();
                loop {
                    let ticket = back.ticket();
                    if seen.load(Ordering::SeqCst) == 3 * wanted {
                        break;
                    }
                    back.wait(ticket, None);
                }
            }
        });
        assert_eq!(seen.load(Ordering::SeqCst), 3 * ROUNDS);
    }
}
