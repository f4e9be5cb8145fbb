//! The future behind every operation of a context.
//!
//! Invariant: an operation takes its number when it is first polled, in the scope of the branch that polls it; it completes only
//! through the journal.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::context::Shared;
use crate::outcome::StepError;
use crate::replay::Outcome;
use crate::replay::path::{OpKind, Position};
use crate::step::Request;

/// An operation of a workflow: await it to have it done once, however often the body is replayed.
///
/// Nothing happens before it is first polled.
#[must_use = "an operation does nothing until it is awaited"]
pub struct Operation<T> {
    shared: Arc<Shared>,
    state: State,
    read: fn(&Shared, Outcome) -> Result<T, StepError>,
}

enum State {
    New(OpKind, Box<str>, Result<Request, StepError>),
    Waiting(Position),
    /// The run is being stopped: the body must not go on.
    Stuck,
}

impl<T> fmt::Debug for Operation<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::New(kind, name, _) => format!("new {kind} {name:?}"),
            State::Waiting(at) => format!("waiting at {at:?}"),
            State::Stuck => "stopped".to_owned(),
        };
        f.debug_tuple("Operation").field(&state).finish()
    }
}

impl<T> Operation<T> {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        kind: OpKind,
        name: &str,
        request: Result<Request, StepError>,
        read: fn(&Shared, Outcome) -> Result<T, StepError>,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            state: State::New(kind, name.into(), request),
            read,
        }
    }
}

impl<T> Future for Operation<T> {
    type Output = Result<T, StepError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut replay = this.shared.replay.lock();
        let at = match std::mem::replace(&mut this.state, State::Stuck) {
            State::New(kind, name, Ok(request)) => replay.request(kind, &name, request),
            State::New(_, _, Err(error)) => return Poll::Ready(Err(error)),
            State::Waiting(at) => Some(at),
            State::Stuck => None,
        };
        let Some(at) = at else { return Poll::Pending };
        let Some(outcome) = replay.take(&at, cx.waker()) else {
            this.state = State::Waiting(at);
            return Poll::Pending;
        };
        drop(replay);
        Poll::Ready((this.read)(&this.shared, outcome))
    }
}
