//! Several branches of a body at once.
//!
//! Invariant: each branch numbers its operations in a scope of its own, so branches never disturb each other's identities.

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::context::Shared;
use crate::outcome::StepError;
use crate::replay::Scope;
use crate::step::BoxFuture;

mod sealed {
    pub trait Sealed {}
}

/// A tuple of two to eight branches for [`Ctx::join`](crate::Ctx::join): futures that end in a [`Result`] with a [`StepError`].
pub trait Branches: sealed::Sealed {
    /// The tuple of what the branches return.
    type Output: Send;

    #[doc(hidden)]
    fn join(self, shared: Arc<Shared>) -> BoxFuture<Result<Self::Output, StepError>>;
}

struct Branch<T> {
    scope: Scope,
    future: BoxFuture<Result<T, StepError>>,
    out: Option<Result<T, StepError>>,
}

impl<T> Branch<T> {
    fn new<F>(scope: Scope, future: F) -> Self
    where
        F: Future<Output = Result<T, StepError>> + Send + 'static,
    {
        Self {
            scope,
            future: Box::pin(future),
            out: None,
        }
    }

    /// Polls the branch in its scope; whether it is done.
    fn poll(&mut self, shared: &Shared, cx: &mut Context<'_>) -> bool {
        if self.out.is_none() {
            shared.replay.lock().swap_scope(&mut self.scope);
            let polled = Pin::new(&mut self.future).poll(cx);
            shared.replay.lock().swap_scope(&mut self.scope);
            if let Poll::Ready(out) = polled {
                self.out = Some(out);
            }
        }
        self.out.is_some()
    }

    fn take(self) -> Result<T, StepError> {
        self.out.expect("a join is over when every branch is")
    }
}

async fn open(shared: &Shared, of: usize) -> std::vec::IntoIter<Scope> {
    let scopes = shared.replay.lock().open_join(of);
    match scopes {
        Some(scopes) => scopes.into_iter(),
        // The run is about to be stopped.
        None => pending().await,
    }
}

macro_rules! branches {
    ($count:literal: $($future:ident $value:ident $at:ident),+) => {
        impl<$($future, $value),+> sealed::Sealed for ($($future,)+)
        where
            $($future: Future<Output = Result<$value, StepError>> + Send + 'static,
            $value: Send + 'static,)+
        {
        }

        impl<$($future, $value),+> Branches for ($($future,)+)
        where
            $($future: Future<Output = Result<$value, StepError>> + Send + 'static,
            $value: Send + 'static,)+
        {
            type Output = ($($value,)+);

            fn join(self, shared: Arc<Shared>) -> BoxFuture<Result<Self::Output, StepError>> {
                Box::pin(async move {
                    let ($($at,)+) = self;
                    let mut scopes = open(&shared, $count).await;
                    let mut scope = || scopes.next().expect("one scope a branch");
                    $(let mut $at = Branch::new(scope(), $at);)+
                    poll_fn(|cx| {
                        // Every branch is polled, so no `&&`.
                        let done = [$($at.poll(&shared, cx)),+];
                        if done.contains(&false) { Poll::Pending } else { Poll::Ready(()) }
                    })
                    .await;
                    Ok(($($at.take()?,)+))
                })
            }
        }
    };
}

branches!(2: A TA a, B TB b);
branches!(3: A TA a, B TB b, C TC c);
branches!(4: A TA a, B TB b, C TC c, D TD d);
branches!(5: A TA a, B TB b, C TC c, D TD d, E TE e);
branches!(6: A TA a, B TB b, C TC c, D TD d, E TE e, F TF f);
branches!(7: A TA a, B TB b, C TC c, D TD d, E TE e, F TF f, G TG g);
branches!(8: A TA a, B TB b, C TC c, D TD d, E TE e, F TF f, G TG g, H TH h);

pub(crate) fn join_all<T, F>(
    shared: Arc<Shared>,
    futures: Vec<F>,
) -> BoxFuture<Vec<Result<T, StepError>>>
where
    T: Send + 'static,
    F: Future<Output = Result<T, StepError>> + Send + 'static,
{
    Box::pin(async move {
        let scopes = open(&shared, futures.len()).await;
        let pairs = scopes.zip(futures);
        let mut branches: Vec<_> = pairs.map(|(scope, f)| Branch::new(scope, f)).collect();
        poll_fn(|cx| {
            let waiting = branches
                .iter_mut()
                .filter_map(|b| (!b.poll(&shared, cx)).then_some(()));
            if waiting.count() > 0 {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
        branches.into_iter().map(Branch::take).collect()
    })
}
