//! What the index can refuse, grouped by what the caller can do about it.
//!
//! Invariant: after an error nothing has changed, unless it is an [`Error::Storage`] that says otherwise. The type stays small: texts
//! are boxed.

use std::fmt;

use upkv::storage;

/// The result of a call on the index.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call was refused or failed.
///
/// # Examples
///
/// ```
/// use upvector::{Error, Index, Metric, Record, Spec};
/// let index = Index::memory(Spec::dense(3, Metric::Cosine))?;
/// let error = index.namespace("").upsert(Record::new("a", vec![1.0, 2.0])).unwrap_err();
/// assert!(matches!(error, Error::DimensionMismatch { given: 2, expected: 3 }));
/// assert_eq!(error.to_string(), "Invalid vector dimension: 2, expected: 3");
/// # Ok::<(), upvector::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The call contradicts the documented contract; the text names the value.
    #[error("{0}")]
    Invalid(Box<str>),
    /// A dense vector has another number of components than the index.
    #[error("Invalid vector dimension: {given}, expected: {expected}")]
    DimensionMismatch {
        /// Components of the vector.
        given: u32,
        /// Components of every vector of the index.
        expected: u32,
    },
    /// A component of a vector is NaN or infinite.
    #[error("component {component} of the vector is {value}")]
    NotFinite {
        /// Which one, from 0.
        component: u32,
        /// What it is.
        value: f32,
    },
    /// The record or query lacks a vector that this type of index needs, or carries one that it does not take.
    #[error("This index requires {0}")]
    RequiresVectors(&'static str),
    /// Text was given to an index without the embedder for it.
    #[error(
        "Embedding data for this index is not allowed. \
         The index must be created with an embedding model to use it."
    )]
    NoEmbedder,
    /// A filter is not of the language; nothing was searched.
    #[error("{0}")]
    Filter(Box<FilterError>),
    /// A number is outside the documented range.
    #[error("{what} of {given} is not in {least}..={most}")]
    OutOfRange {
        /// Which number.
        what: &'static str,
        /// What was given.
        given: u32,
        /// The smallest that is allowed.
        least: u16,
        /// The largest that is allowed.
        most: u16,
    },
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
    /// The index was created with another specification than the one it is opened with.
    #[error("{0}")]
    SpecMismatch(Box<str>),
    /// There is no namespace of this name.
    #[error("namespace {0:?} does not exist")]
    NoSuchNamespace(Box<str>),
    /// The target of a rename exists, and replacing it was not asked for.
    #[error("namespace {0:?} exists already")]
    NamespaceExists(Box<str>),
    /// The store below refused or failed.
    #[error("{0}")]
    Storage(#[source] storage::Error),
}

const _: () = assert!(size_of::<Error>() <= 32);

/// Where and why a filter is not of the language.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilterError {
    /// Byte position in the text, from 0.
    pub position: usize,
    /// What is wrong there.
    pub message: Box<str>,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filter at byte {}: {}", self.position, self.message)
    }
}

impl std::error::Error for FilterError {}

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
    pub(crate) fn filter(position: usize, message: impl Into<String>) -> Self {
        let message = message.into().into();
        Self::Filter(Box::new(FilterError { position, message }))
    }

    #[cold]
    pub(crate) fn too_large(what: &'static str, given: usize, limit: u32) -> Self {
        let given = u32::try_from(given).unwrap_or(u32::MAX);
        Self::TooLarge { what, limit, given }
    }
}
