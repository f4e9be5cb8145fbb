//! What the engine can refuse, grouped by what the caller can do about it.
//!
//! Invariant: after an error nothing has changed, unless it is a [`Error::Storage`] that says otherwise. The type stays small; what a
//! run failed with is boxed.

use upkv::storage;

use crate::outcome::StepError;

/// The result of a call on the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call was refused or failed.
///
/// # Examples
///
/// ```
/// use upflow::{Engine, Error, Start};
/// let engine = Engine::memory()?;
/// let error = engine.start::<()>("order", Start::id("order-42")).unwrap_err();
/// assert!(matches!(error, Error::UnknownWorkflow(_)));
/// assert_eq!(error.to_string(), "no workflow is registered as \"order\"");
/// # Ok::<(), upflow::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The call contradicts the documented contract; the text names the value.
    #[error("{0}")]
    Invalid(Box<str>),
    /// No workflow of this name, or not in this version, is registered.
    #[error("no workflow is registered as {0:?}")]
    UnknownWorkflow(Box<str>),
    /// There is no run with this id.
    #[error("there is no run {0:?}")]
    NoSuchRun(Box<str>),
    /// The run is in a state that the call is not for.
    #[error("run {0}")]
    WrongState(Box<str>),
    /// The run ended with an error.
    #[error("the run failed: {0}")]
    Failed(Box<StepError>),
    /// The run was cancelled.
    #[error("the run was cancelled")]
    Cancelled,
    /// The run is parked until someone resumes it; the text says why.
    #[error("the run is blocked: {0}")]
    Blocked(Box<str>),
    /// A value is over a documented limit.
    #[error("{what} of {given} is over the limit of {limit}")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// The limit.
        limit: u32,
        /// What was given, at most the largest number of 32 bits.
        given: u32,
    },
    /// A payload could not be written or read as the type asked for.
    #[error("{0}")]
    Payload(Box<str>),
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
}
