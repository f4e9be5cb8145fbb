//! A workflow engine for tests: in memory, on one thread, with a clock that jumps to the next timer.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use upkv::{Clock, ManualClock, Store};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::run::{RunHandle, Start};

/// An [`Engine`] whose time is virtual: a workflow that sleeps for a month is tested in no time.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use upflow::{Ctx, Start, TestFlow};
///
/// let flow = TestFlow::new()?;
/// flow.engine().register("monthly", 1, |ctx: Ctx, (): ()| async move {
///     let start = ctx.now();
///     ctx.sleep("month", Duration::from_secs(30 * 86_400)).await?;
///     Ok(ctx.now().saturating_since(start).as_secs())
/// })?;
/// let slept: u64 = flow.run("monthly", Start::id("m-1"))?;
/// assert_eq!(slept, 30 * 86_400);
/// # Ok::<(), upflow::Error>(())
/// ```
#[derive(Debug)]
pub struct TestFlow {
    engine: Engine,
    clock: ManualClock,
}

impl TestFlow {
    /// An engine in memory, at a fixed time and with a fixed seed.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub fn new() -> Result<Self> {
        let clock = ManualClock::default();
        let store = Store::memory_builder()
            .clock(Arc::new(clock.clone()))
            .random_seed(1)
            .open()?;
        Self::over(&store, clock)
    }

    /// An engine on a store that was opened with `clock`.
    ///
    /// # Errors
    ///
    /// As [`Engine::mount`].
    pub fn over(store: &Store, clock: ManualClock) -> Result<Self> {
        Ok(Self {
            engine: Engine::mount(store, "flows")?,
            clock,
        })
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The virtual clock.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Lets `span` pass, doing at every timer on the way what becomes ready.
    ///
    /// # Errors
    ///
    /// As [`Engine::poll`].
    pub fn skip(&self, span: Duration) -> Result<()> {
        let end = self.clock.now().saturating_add(span);
        loop {
            self.engine.run_until_idle()?;
            match self.next_timer()? {
                Some(at) if at <= end => self.clock.advance(at.saturating_since(self.clock.now())),
                _ => break,
            }
        }
        self.clock.advance(end.saturating_since(self.clock.now()));
        self.engine.run_until_idle()
    }

    /// Does everything there is to do, jumping from timer to timer, until `done` holds; `false` if nothing is left before that.
    ///
    /// # Errors
    ///
    /// As [`Engine::poll`].
    pub fn run_until(&self, mut done: impl FnMut(&Engine) -> bool) -> Result<bool> {
        loop {
            if done(&self.engine) {
                return Ok(true);
            }
            if self.engine.poll()? {
                continue;
            }
            match self.next_timer()? {
                Some(at) => self.clock.advance(at.saturating_since(self.clock.now())),
                None => return Ok(false),
            }
        }
    }

    /// Starts a run and takes it to its end.
    ///
    /// # Errors
    ///
    /// As [`Engine::start`] and [`RunHandle::result`]; [`Error::WrongState`] if it waits for something that no timer brings.
    pub fn run<R: DeserializeOwned>(&self, workflow: &str, start: Start) -> Result<R> {
        let run: RunHandle<R> = self.engine.start(workflow, start)?;
        self.run_until(|_| !matches!(run.try_result(), Ok(None)))?;
        let waits = || {
            Error::WrongState(
                format!("{:?} waits for something that no timer brings", run.id()).into(),
            )
        };
        run.try_result()?.ok_or_else(waits)
    }

    fn next_timer(&self) -> Result<Option<upkv::Timestamp>> {
        Ok(self.engine.store().maintain(Duration::ZERO)?.next_timer)
    }
}
