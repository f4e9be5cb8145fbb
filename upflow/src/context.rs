//! What a workflow body works with.
//!
//! Invariant: nothing a body learns through its context differs between the first execution and a replay.

use std::any::Any;
use std::fmt::{self, Display};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use upkv::Timestamp;

use crate::outcome::StepError;
use crate::payload::{self, Codec};
use crate::replay::path::OpKind;
use crate::replay::{Outcome, Replay};
use crate::retry::StepOptions;
use crate::step::join::{self, Branches};
use crate::step::operation::Operation;
use crate::step::transact::{Completed, StepTransaction};
use crate::step::{Request, StepBody, StepContext, Wake};

/// What the context, its operations and the executor share.
#[doc(hidden)]
#[derive(Debug)]
pub struct Shared {
    pub(crate) replay: Mutex<Replay>,
    pub(crate) run_id: Arc<str>,
    pub(crate) codec: Arc<dyn Codec>,
}

impl Shared {
    fn read<T: DeserializeOwned>(&self, bytes: Bytes) -> Result<T, StepError> {
        payload::decode(&*self.codec, bytes).map_err(StepError::from)
    }
}

/// The door from a workflow body to everything outside it.
///
/// Code between operations runs again on every replay, so it must be deterministic and free of effects: put effects into steps, and take
/// time and chance from [`now`](Self::now) and [`random`](Self::random).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use upflow::{Ctx, Engine, Start, StepError};
///
/// async fn order(ctx: Ctx, item: String) -> Result<(u32, String), StepError> {
///     let paid = ctx.run("charge", || Ok::<_, StepError>(42)).await?;
///     let (shipped, mailed) = ctx.join((
///         ctx.run("ship", move || Ok::<_, StepError>(format!("{item} shipped"))),
///         ctx.run("mail", || Ok::<_, StepError>(())),
///     )).await?;
///     let () = mailed;
///     Ok((paid, shipped))
/// }
///
/// let engine = Engine::memory()?;
/// engine.register("order", 1, order)?;
/// let run = engine.start::<(u32, String)>("order", Start::id("order-42").input("lamp"))?;
/// assert_eq!(run.result()?, (42, "lamp shipped".to_owned()));
/// # Ok::<(), upflow::Error>(())
/// ```
#[derive(Clone)]
pub struct Ctx {
    pub(crate) shared: Arc<Shared>,
}

impl fmt::Debug for Ctx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctx")
            .field("run", &self.shared.run_id)
            .finish_non_exhaustive()
    }
}

impl Ctx {
    /// Runs `f` once and journals what it returns; a replay gets the recorded result. `f` runs on a worker thread, outside the body, and
    /// at least once: if the process dies between its effect and the record, it runs again. For exactly once see
    /// [`transact`](Self::transact).
    ///
    /// An error of any other type than [`StepError`] counts as retryable; there are 3 retries with [`crate::Backoff::default`].
    pub fn run<T, E, F>(&self, name: &str, f: F) -> Operation<T>
    where
        T: Serialize + DeserializeOwned,
        E: Display + Any,
        F: Fn() -> Result<T, E> + Send + Sync + 'static,
    {
        self.run_with(name, StepOptions::new(), move |_| f())
    }

    /// As [`run`](Self::run), with options, and for a closure that looks at its attempt.
    pub fn run_with<T, E, F>(&self, name: &str, options: StepOptions, f: F) -> Operation<T>
    where
        T: Serialize + DeserializeOwned,
        E: Display + Any,
        F: Fn(&StepContext) -> Result<T, E> + Send + Sync + 'static,
    {
        let codec = Arc::clone(&self.shared.codec);
        let body = StepBody::Sync(Arc::new(move |step| {
            let value = f(step).map_err(StepError::from_user)?;
            payload::encode(&*codec, &value).map_err(StepError::from)
        }));
        self.step(OpKind::Step, name, options, body)
    }

    /// As [`run`](Self::run), for an async step. It is driven by the worker thread it runs on; a step that needs its runtime's context
    /// spawns on a handle of it and awaits that.
    pub fn run_async<T, E, F, Fut>(&self, name: &str, f: F) -> Operation<T>
    where
        T: Serialize + DeserializeOwned,
        E: Display + Any,
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.run_async_with(name, StepOptions::new(), move |_| f())
    }

    /// As [`run_async`](Self::run_async), with options; a step over its timeout is dropped.
    pub fn run_async_with<T, E, F, Fut>(
        &self,
        name: &str,
        options: StepOptions,
        f: F,
    ) -> Operation<T>
    where
        T: Serialize + DeserializeOwned,
        E: Display + Any,
        F: Fn(StepContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let codec = Arc::clone(&self.shared.codec);
        let body = StepBody::Async(Arc::new(move |step| {
            let codec = Arc::clone(&codec);
            let future = f(step);
            Box::pin(async move {
                let value = future.await.map_err(StepError::from_user)?;
                payload::encode(&*codec, &value).map_err(StepError::from)
            })
        }));
        self.step(OpKind::Step, name, options, body)
    }

    /// A step whose effects in engines of the same store commit together with its result, in one frame: exactly once, whatever happens.
    /// See [`StepTransaction`].
    pub fn transact<T, E, F>(&self, name: &str, f: F) -> Operation<T>
    where
        T: Serialize + DeserializeOwned,
        E: Display + Any,
        F: Fn(&StepTransaction) -> Result<Completed<T>, E> + Send + Sync + 'static,
    {
        self.transact_with(name, StepOptions::new(), f)
    }

    /// As [`transact`](Self::transact), with options. A timeout has no effect on what has committed.
    pub fn transact_with<T, E, F>(&self, name: &str, options: StepOptions, f: F) -> Operation<T>
    where
        T: Serialize + DeserializeOwned,
        E: Display + Any,
        F: Fn(&StepTransaction) -> Result<Completed<T>, E> + Send + Sync + 'static,
    {
        let body = StepBody::Transact(Arc::new(move |step| {
            f(step).map(drop).map_err(StepError::from_user)
        }));
        self.step(OpKind::Transact, name, options, body)
    }

    fn step<T: DeserializeOwned>(
        &self,
        kind: OpKind,
        name: &str,
        options: StepOptions,
        body: StepBody,
    ) -> Operation<T> {
        let request = Request::Step { body, options };
        Operation::new(
            &self.shared,
            kind,
            name,
            Ok(request),
            |shared, outcome| match outcome {
                Outcome::Done(bytes) => shared.read(bytes),
                other => unexpected(other),
            },
        )
    }

    /// Waits for `span`, however long, across restarts; no thread waits. The end is fixed when the sleep begins.
    pub fn sleep(&self, name: &str, span: Duration) -> Operation<()> {
        self.sleep_op(name, Wake::After(span))
    }

    /// Waits until `at`.
    pub fn sleep_until(&self, name: &str, at: Timestamp) -> Operation<()> {
        self.sleep_op(name, Wake::At(at))
    }

    fn sleep_op(&self, name: &str, wake: Wake) -> Operation<()> {
        let request = Ok(Request::Sleep(wake));
        Operation::new(
            &self.shared,
            OpKind::Sleep,
            name,
            request,
            |_, outcome| match outcome {
                Outcome::Fired => Ok(()),
                other => unexpected(other),
            },
        )
    }

    /// The next event of this name that was or will be sent to this run. Events are kept, in order, until somebody waits for them.
    pub fn event<T: DeserializeOwned>(&self, name: &str) -> Operation<T> {
        let request = Ok(Request::Event { timeout: None });
        Operation::new(
            &self.shared,
            OpKind::Event,
            name,
            request,
            |shared, outcome| match outcome {
                Outcome::Received(bytes) => shared.read(bytes),
                other => unexpected(other),
            },
        )
    }

    /// As [`event`](Self::event); `None` if none came within `span`. An event that was there in time wins.
    pub fn event_timeout<T: DeserializeOwned>(
        &self,
        name: &str,
        span: Duration,
    ) -> Operation<Option<T>> {
        let request = Ok(Request::Event {
            timeout: Some(span),
        });
        Operation::new(
            &self.shared,
            OpKind::Event,
            name,
            request,
            |shared, outcome| match outcome {
                Outcome::Received(bytes) => shared.read(bytes).map(Some),
                Outcome::Fired => Ok(None),
                other => unexpected(other),
            },
        )
    }

    /// Sends an event to another run, exactly once. `false` if there is no active run with this id.
    pub fn notify<T: Serialize + ?Sized>(
        &self,
        run: &str,
        event: &str,
        data: &T,
    ) -> Operation<bool> {
        let request = payload::encode(&*self.shared.codec, data)
            .map(|data| Request::Notify {
                run: run.into(),
                data,
            })
            .map_err(StepError::from);
        Operation::new(
            &self.shared,
            OpKind::Notify,
            event,
            request,
            |_, outcome| match outcome {
                Outcome::Sent(delivered) => Ok(delivered),
                other => unexpected(other),
            },
        )
    }

    /// Runs two to eight branches side by side and waits for all of them.
    ///
    /// # Errors
    ///
    /// If branches fail, the error of the first in the tuple that did.
    pub fn join<B: Branches>(
        &self,
        branches: B,
    ) -> impl Future<Output = Result<B::Output, StepError>> + Send + use<B> {
        branches.join(Arc::clone(&self.shared))
    }

    /// Runs all branches side by side and waits for all of them.
    ///
    /// # Errors
    ///
    /// If branches fail, the error of the first that did.
    pub fn join_all<T, F, I>(
        &self,
        branches: I,
    ) -> impl Future<Output = Result<Vec<T>, StepError>> + Send + use<T, F, I>
    where
        I: IntoIterator<Item = F>,
        T: Send + 'static,
        F: Future<Output = Result<T, StepError>> + Send + 'static,
    {
        let all = self.join_all_settled(branches);
        async move { all.await.into_iter().collect() }
    }

    /// As [`join_all`](Self::join_all), giving the result of every branch.
    pub fn join_all_settled<T, F, I>(
        &self,
        branches: I,
    ) -> impl Future<Output = Vec<Result<T, StepError>>> + Send + use<T, F, I>
    where
        I: IntoIterator<Item = F>,
        T: Send + 'static,
        F: Future<Output = Result<T, StepError>> + Send + 'static,
    {
        join::join_all(Arc::clone(&self.shared), branches.into_iter().collect())
    }

    /// The time of the event that last woke the body: the same in every replay.
    pub fn now(&self) -> Timestamp {
        self.shared.replay.lock().now()
    }

    /// A random number: the same in every replay. Not for secrets.
    pub fn random(&self) -> u64 {
        self.shared.replay.lock().random()
    }

    /// A random UUID (version 4) as text: the same in every replay.
    pub fn uuid(&self) -> String {
        let wide = u128::from(self.random()) << 64 | u128::from(self.random());
        let wide = wide & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
        let hex = format!("{wide:032x}");
        let parts = [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ];
        parts.join("-")
    }

    /// The id of this run.
    pub fn run_id(&self) -> &str {
        &self.shared.run_id
    }

    /// Whether the run was asked to end. What was pending then returned [`crate::StepErrorKind::Cancelled`]; what is asked for from then on
    /// still works, for cleaning up within the engine's grace period.
    pub fn is_cancelled(&self) -> bool {
        self.shared.replay.lock().cancelled()
    }
}

fn unexpected<T>(outcome: Outcome) -> Result<T, StepError> {
    match outcome {
        Outcome::Failed(error) => Err(error),
        // A journal whose record fits the operation by name and place but not by kind of completion: written by nothing of ours.
        other => Err(StepError::non_retryable(format!(
            "the journal holds another outcome: {other:?}"
        ))),
    }
}
