//! What the store can refuse, grouped by what the caller can do about it.
//!
//! Invariant: an `Err` from a call that writes means that nothing was published, except for [`Error::OutcomeUnknown`],
//! which says so. The type stays one word wide; everything else is behind a box on the cold path.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The result of a store call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the store refused or failed.
///
/// # Examples
///
/// ```
/// use upkv::storage::{ErrorKind, Store};
/// let dir = std::env::temp_dir().join(format!("up-doc-error-{}", std::process::id()));
/// let first = Store::open(&dir)?;
/// let second = Store::open(&dir).unwrap_err();
/// assert!(matches!(second.kind(), ErrorKind::Locked { .. }));
/// # drop(first);
/// # std::fs::remove_dir_all(&dir).ok();
/// # Ok::<(), upkv::storage::Error>(())
/// ```
#[derive(Debug)]
pub struct Error(Box<ErrorKind>);

/// The families of [`Error`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call contradicts the documented contract; the text names the value.
    #[error("{0}")]
    Misuse(String),
    /// An engine that takes part in a transaction refused; nothing was committed.
    #[error(transparent)]
    Engine(Box<dyn std::error::Error + Send + Sync>),
    /// A value is over a documented limit.
    #[error("{what} of {given} bytes is over the limit of {limit}")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// The limit in bytes.
        limit: u64,
        /// What was given, in bytes.
        given: u64,
    },
    /// Another handle, in this or another process, has the directory open.
    #[error("the store is locked{}", Holder(.pid))]
    Locked {
        /// Process id of the holder, where it could be read.
        pid: Option<u32>,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The process was forked after the store was opened: the store is the parent's, the child must not write.
    #[error("the store belongs to process {parent}, from which this one was forked")]
    Forked {
        /// Process id of the owner.
        parent: u32,
    },
    /// A write or sync failed earlier; nothing is written until the store is reopened.
    #[error("the store stopped writing after an earlier failure: {cause}")]
    Poisoned {
        /// The failure that poisoned the store.
        cause: String,
    },
    /// The commit may or may not be found after reopening.
    #[error("the outcome of the commit is unknown: {cause}")]
    OutcomeUnknown {
        /// The failure behind it.
        cause: String,
    },
    /// There is no space for another log segment; nothing was changed.
    #[error("no space left for the log")]
    StorageFull,
    /// The operating system refused an operation.
    #[error("{op} {}: {source}", .path.display())]
    Io {
        /// The operation, such as `open` or `sync`.
        op: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Bytes on disk are not what was written.
    #[error("{} is damaged at byte {offset}: {what}", .file.display())]
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// Byte offset of the damage in it.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// The files were written by an unknown version; not one byte was changed.
    #[error("{} has format version {found}, this build reads {supported}", .file.display())]
    UnsupportedFormat {
        /// The file that says so.
        file: PathBuf,
        /// The version found.
        found: String,
        /// The versions this build reads.
        supported: &'static str,
    },
}

struct Holder<'a>(&'a Option<u32>);

impl fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, " by process {pid}"),
            None => Ok(()),
        }
    }
}

impl Error {
    /// The family and its values.
    pub fn kind(&self) -> &ErrorKind {
        &self.0
    }

    /// A call that contradicts its contract; `what` names the value.
    #[cold]
    pub fn misuse(what: impl Into<String>) -> Self {
        ErrorKind::Misuse(what.into()).into()
    }

    /// What an engine refuses when its part of a transaction is committed; its own error stays reachable through `kind()`.
    #[cold]
    pub fn engine(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        ErrorKind::Engine(Box::new(cause)).into()
    }

    /// Damage found at `offset` of `file`.
    #[cold]
    pub fn corrupt(file: impl Into<PathBuf>, offset: u64, what: impl Into<String>) -> Self {
        ErrorKind::Corrupt {
            file: file.into(),
            offset,
            what: what.into(),
        }
        .into()
    }

    #[cold]
    pub(crate) fn io(op: &'static str, path: &Path, source: io::Error) -> Self {
        // ENOSPC and EDQUOT: the one environment error that callers handle by freeing something.
        if matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ) {
            return ErrorKind::StorageFull.into();
        }
        ErrorKind::Io {
            op,
            path: path.to_path_buf(),
            source,
        }
        .into()
    }

    /// Whether freeing space, and then repeating the call, can help.
    pub fn is_storage_full(&self) -> bool {
        matches!(*self.0, ErrorKind::StorageFull)
    }

    /// Whether the store refuses writes until it is reopened.
    pub fn is_poisoned(&self) -> bool {
        matches!(
            *self.0,
            ErrorKind::Poisoned { .. } | ErrorKind::OutcomeUnknown { .. }
        )
    }

    /// Whether the error reports damaged bytes.
    pub fn is_corrupt(&self) -> bool {
        matches!(*self.0, ErrorKind::Corrupt { .. })
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self(Box::new(kind))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl From<super::codec::Malformed> for Error {
    #[cold]
    fn from(bad: super::codec::Malformed) -> Self {
        Self::corrupt("record", 0, bad.to_string())
    }
}

const _: () = assert!(size_of::<Error>() <= 8);
