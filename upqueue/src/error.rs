//! What the queue can refuse, grouped by what the caller can do about it.
//!
//! Invariant: after an error nothing has changed, unless it is an [`Error::Storage`] that says otherwise. A duplicate, an empty queue
//! and an unknown message are values, not errors.

use upkv::storage;

/// The result of a call on a queue.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call was refused or failed.
///
/// # Examples
///
/// ```
/// use upqueue::{Error, Message, Queue};
/// let queue = Queue::memory()?;
/// let error = queue.publish(Message::new("", "body")).unwrap_err();
/// assert_eq!(error.to_string(), "queue name of 0 bytes is not in 1..=256");
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The call contradicts the documented contract; the text names the value.
    #[error("{0}")]
    Invalid(Box<str>),
    /// Something is over a documented limit.
    #[error("{what} of {given} is over the limit of {limit}")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// The limit.
        limit: u32,
        /// What was given, at most the largest number of 32 bits.
        given: u32,
    },
    /// The queue holds as many messages as its capacity allows.
    #[error("queue {0:?} is full")]
    Full(Box<str>),
    /// The lease is over: it ran out, was answered, or belongs to an earlier opening of the store.
    #[error("the lease of {0} is lost")]
    LeaseLost(crate::MessageId),
    /// The store below refused or failed.
    #[error("{0}")]
    Storage(#[source] storage::Error),
}

const _: () = assert!(size_of::<Error>() <= 32);

impl From<storage::Error> for Error {
    #[cold]
    fn from(error: storage::Error) -> Self {
        Self::Storage(error)
    }
}

impl From<Error> for storage::Error {
    #[cold]
    fn from(error: Error) -> Self {
        match error {
            Error::Storage(error) => error,
            other => Self::engine(other),
        }
    }
}

impl Error {
    #[cold]
    pub(crate) fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid(what.into().into())
    }

    #[cold]
    pub(crate) fn too_large(what: &'static str, limit: usize, given: usize) -> Self {
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self::TooLarge {
            what,
            limit: clamp(limit),
            given: clamp(given),
        }
    }
}
