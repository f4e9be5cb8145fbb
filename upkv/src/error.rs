//! What the key-value engine can refuse, grouped by what the caller can do about it.
//!
//! Misuse errors print byte for byte what Redis replies, so a server can send `Display` as it is.

use std::borrow::Cow;

use crate::storage;

/// The result of a call on the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call was refused or failed. After an error nothing has changed, unless it is a
/// [`Error::Storage`] that says otherwise.
///
/// # Examples
///
/// ```
/// use upkv::{Db, Error, Store};
/// let store = Store::memory()?;
/// let db = Db::mount(&store, "cache")?;
/// db.set("name", "ada")?;
/// let error = db.incr("name").unwrap_err();
/// assert!(matches!(error, Error::NotInteger));
/// assert_eq!(error.to_string(), "ERR value is not an integer or out of range");
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key holds another type than the operation needs.
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    /// A text is not a base-10 `i64`.
    #[error("ERR value is not an integer or out of range")]
    NotInteger,
    /// A text is not a floating point number.
    #[error("ERR value is not a valid float")]
    NotFloat,
    /// The result would leave the range of `i64`.
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    /// The operation needs a key that does not exist.
    #[error("ERR no such key")]
    NoSuchKey,
    /// Any other refusal of a command; the text is the reply line.
    #[error("{0}")]
    Refused(Cow<'static, str>),
    /// A write that may grow the data was refused because of `max_memory_bytes`.
    #[error("OOM command not allowed when used memory > 'maxmemory'.")]
    OutOfMemory,
    /// A key or value is longer than 512 MiB.
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    TooLarge,
    /// The transaction closure gave up with this reason; everything it did was undone.
    #[error("{0}")]
    Aborted(Box<str>),
    /// The transaction has to start over; return this error from the closure, which is called again.
    #[error("the transaction starts over")]
    Restart,
    /// An RDB file could not be read or written.
    #[error("{0}")]
    Rdb(#[source] Box<crate::rdb::RdbError>),
    /// A value is not of the Rust type that was asked for, or cannot be written as JSON.
    #[cfg(feature = "serde")]
    #[error("ERR {0}")]
    Codec(#[source] Box<serde_json::Error>),
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

impl From<crate::rdb::RdbError> for Error {
    #[cold]
    fn from(error: crate::rdb::RdbError) -> Self {
        Self::Rdb(Box::new(error))
    }
}

impl Error {
    /// A refusal with a fixed reply line.
    #[cold]
    pub(crate) fn refused(text: &'static str) -> Self {
        Self::Refused(Cow::Borrowed(text))
    }

    /// A refusal whose reply line names a value.
    #[cold]
    pub(crate) fn refused_with(text: String) -> Self {
        Self::Refused(Cow::Owned(text))
    }

    /// `ERR syntax error`.
    #[cold]
    pub(crate) fn syntax() -> Self {
        Self::refused("ERR syntax error")
    }

    /// The line a Redis server sends for this error: it starts with an error code and holds no line breaks.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(upkv::Error::NoSuchKey.reply_line(), "ERR no such key");
    /// ```
    pub fn reply_line(&self) -> String {
        let text = match self {
            Self::Aborted(_) | Self::Restart | Self::Rdb(_) | Self::Storage(_) => {
                format!("ERR {self}")
            }
            _ => self.to_string(),
        };
        text.trim_end_matches(['\r', '\n'])
            .replace(['\r', '\n'], " ")
    }
}
