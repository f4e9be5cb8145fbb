//! What a body asks for and how a step's code is held until it runs.

pub(crate) mod join;
pub(crate) mod operation;
pub(crate) mod transact;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use upkv::{Clock, Timestamp};

use crate::outcome::StepError;
use crate::retry::StepOptions;
use transact::StepTransaction;

/// A future that runs anywhere.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Attempt = Result<Bytes, StepError>;

/// What an operation needs to be carried out.
pub(crate) enum Request {
    Step {
        body: StepBody,
        options: StepOptions,
    },
    Sleep(Wake),
    Event {
        timeout: Option<Duration>,
    },
    Notify {
        run: Box<str>,
        data: Bytes,
    },
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step { options, .. } => f.debug_tuple("Step").field(options).finish(),
            Self::Sleep(wake) => f.debug_tuple("Sleep").field(wake).finish(),
            Self::Event { timeout } => f.debug_tuple("Event").field(timeout).finish(),
            Self::Notify { run, .. } => f.debug_tuple("Notify").field(run).finish(),
        }
    }
}

/// When a sleep ends.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Wake {
    After(Duration),
    At(Timestamp),
}

/// The code of a step. It may be run several times, on any thread.
#[derive(Clone)]
pub(crate) enum StepBody {
    Sync(Arc<SyncStep>),
    Async(Arc<AsyncStep>),
    Transact(Arc<TransactStep>),
}

type SyncStep = dyn Fn(&StepContext) -> Attempt + Send + Sync;
type AsyncStep = dyn Fn(StepContext) -> BoxFuture<Attempt> + Send + Sync;
type TransactStep = dyn Fn(&StepTransaction) -> Result<(), StepError> + Send + Sync;

/// What a step may know of itself while it runs.
///
/// # Examples
///
/// ```
/// use upflow::{Engine, Start, StepError, StepOptions};
/// let engine = Engine::memory()?;
/// engine.register("pay", 1, |ctx: upflow::Ctx, (): ()| async move {
///     let options = StepOptions::new().retries(0);
///     ctx.run_with("charge", options, |step| {
///         assert_eq!(step.attempt(), 1);
///         Ok::<_, StepError>(format!("{:032x}", step.idempotency_key()))
///     }).await
/// })?;
/// let run = engine.start::<String>("pay", Start::id("p-1"))?;
/// assert_eq!(run.result()?.len(), 32);
/// # Ok::<(), upflow::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StepContext {
    pub(crate) run_id: Arc<str>,
    pub(crate) key: u128,
    pub(crate) attempt: u32,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) cancel: Arc<AtomicBool>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl StepContext {
    /// The id of the run.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Number of this attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The same 128 bits on every attempt of this step of this run, and others for every other step: for services that accept such a
    /// key, so that a repeated attempt has no second effect.
    pub fn idempotency_key(&self) -> u128 {
        self.key
    }

    /// Whether the run was cancelled, so that a long step can give up.
    pub fn is_cancelled(&self) -> bool {
        // Relaxed: the flag carries nothing but itself.
        self.cancel.load(Ordering::Relaxed)
    }

    /// Time left until the step's timeout; `None` without one.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline
            .map(|at| at.saturating_since(self.clock.now()))
    }
}

/// FNV-1a over 128 bits: stable for ever, and nobody chooses the input to make it collide.
pub(crate) fn stable_key(parts: &[&[u8]]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let bytes = parts.iter().flat_map(|part| part.iter());
    bytes.fold(OFFSET, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(PRIME)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_published_hash() {
        assert_eq!(
            stable_key(&[b""]),
            0x6c62_272e_07bb_0142_62b8_2175_6295_c58d
        );
        assert_eq!(
            stable_key(&[b"a"]),
            0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964
        );
        assert_eq!(stable_key(&[b"ab", b"c"]), stable_key(&[b"a", b"bc"]));
    }
}
