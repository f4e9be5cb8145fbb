//! A pause of all clients, or of those that write: `CLIENT PAUSE`.
//!
//! Who is paused waits before its command starts, on a signal with the end of the pause as deadline, so a clock that
//! moves or an early end are both noticed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Waker};

use super::TIMER_BIT;
use crate::keyspace::engine::Engine;
use crate::storage::sync::{AtomicBool, Mutex, Ordering};
use crate::storage::{Signal, TimerId, Timestamp};

/// See the module documentation.
#[derive(Debug)]
pub(crate) struct Pause {
    /// Whether there may be a pause; a hint that spares the lock.
    on: AtomicBool,
    state: Mutex<State>,
    /// Notified when a pause ends early.
    pub(crate) signal: Arc<Signal>,
}

#[derive(Debug, Default)]
struct State {
    until: Timestamp,
    /// Only what changes data waits.
    writes_only: bool,
    /// Tasks that wait, by the number of their timer.
    tasks: BTreeMap<u64, Waker>,
}

impl Default for Pause {
    fn default() -> Self {
        Self {
            on: AtomicBool::new(false),
            state: Mutex::default(),
            signal: Signal::new(),
        }
    }
}

impl Pause {
    /// Starts a pause, or makes the present one longer and stricter; it never gets shorter or milder.
    pub(crate) fn start(&self, now: Timestamp, until: Timestamp, writes_only: bool) {
        let mut state = self.state.lock();
        let goes_on = self.on.load(Ordering::Acquire) && state.until > now;
        state.writes_only = writes_only && (!goes_on || state.writes_only);
        state.until = if goes_on {
            state.until.max(until)
        } else {
            until
        };
        self.on.store(true, Ordering::Release);
    }

    /// Ends the pause.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        self.on.store(false, Ordering::Release);
        let tasks = std::mem::take(&mut state.tasks);
        drop(state);
        self.signal.notify();
        tasks.into_values().for_each(Waker::wake);
    }

    /// Until when a command has to wait, if it has to.
    pub(crate) fn until(&self, now: Timestamp, writes: bool) -> Option<Timestamp> {
        if !self.on.load(Ordering::Acquire) {
            return None;
        }
        let state = self.state.lock();
        (state.until > now && (writes || !state.writes_only)).then_some(state.until)
    }

    /// Wakes a task at the end of the pause, whose timer has this number.
    fn wake_at_end(&self, number: u64, waker: &Waker) {
        self.state.lock().tasks.insert(number, waker.clone());
    }

    pub(super) fn timer(&self, number: u64) {
        let task = self.state.lock().tasks.remove(&number);
        if let Some(waker) = task {
            waker.wake();
        }
    }

    /// A task does not wait any more.
    fn forget(&self, number: u64) {
        self.state.lock().tasks.remove(&number);
    }
}

/// A task's wait for the end of a pause.
#[derive(Debug)]
pub(crate) struct PauseWait {
    engine: Arc<Engine>,
    timer: Option<(u64, TimerId)>,
}

impl PauseWait {
    pub(crate) fn new(engine: &Arc<Engine>) -> Self {
        Self {
            engine: Arc::clone(engine),
            timer: None,
        }
    }

    /// Whether a pause holds, until when `until` tells; the task is woken at its end.
    pub(crate) fn poll(
        &mut self,
        context: &Context<'_>,
        until: impl Fn() -> Option<Timestamp>,
    ) -> bool {
        self.end();
        let pause = &self.engine.server.pause;
        let Some(at) = until() else {
            return false;
        };
        let number = self.engine.server.next_timer();
        pause.wake_at_end(number, context.waker());
        let timer = self.engine.mount.set_timer(at, TIMER_BIT | number);
        self.timer = Some((number, timer));
        // It may have ended before the task was listed.
        until().is_some()
    }

    fn end(&mut self) {
        if let Some((number, timer)) = self.timer.take() {
            self.engine.mount.cancel_timer(timer);
            self.engine.server.pause.forget(number);
        }
    }
}

impl Drop for PauseWait {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_gets_only_longer_and_stricter() {
        let at = Timestamp::from_millis;
        let pause = Pause::default();
        assert_eq!(pause.until(at(0), true), None);
        pause.start(at(0), at(100), true);
        assert_eq!(pause.until(at(1), true), Some(at(100)));
        assert_eq!(pause.until(at(1), false), None);
        pause.start(at(1), at(50), false);
        assert_eq!(pause.until(at(2), false), Some(at(100)));
        pause.start(at(2), at(200), true);
        assert_eq!(pause.until(at(150), false), Some(at(200)));
        assert_eq!(pause.until(at(200), true), None);
        pause.start(at(300), at(400), true);
        assert_eq!(pause.until(at(301), false), None, "a new pause starts anew");
        pause.end();
        assert_eq!(pause.until(at(301), true), None);
    }
}
