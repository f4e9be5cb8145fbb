//! Why bytes are not what the RDB format says.

use std::io;

/// Why an RDB file cannot be read or written.
///
/// # Examples
///
/// ```
/// use upkv::{Db, Error, RdbError, Store};
/// let db = Db::mount(&Store::memory()?, "cache")?;
/// let error = db.import_rdb(&b"GIF89a..."[..]).unwrap_err();
/// let Error::Rdb(reason) = error else { panic!() };
/// assert!(matches!(*reason, RdbError::NotRdb));
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RdbError {
    /// The file does not start with `REDIS` and a version.
    #[error("not an RDB file")]
    NotRdb,
    /// The file is of a version newer than 12.
    #[error("RDB version {0} is newer than what can be read")]
    Version(u32),
    /// The bytes end before the value does.
    #[error("RDB data ends early, at byte {at}")]
    Truncated {
        /// Offset from the start.
        at: u64,
    },
    /// The bytes are not what the format says.
    #[error("malformed RDB data at byte {at}: {what}")]
    Malformed {
        /// Offset from the start, at or after the damage.
        at: u64,
        /// What was expected.
        what: &'static str,
    },
    /// A value of a type that is not known, so its end is not known either.
    #[error("RDB value of unknown type {code} at byte {at}")]
    UnknownType {
        /// The type's code.
        code: u8,
        /// Offset from the start.
        at: u64,
    },
    /// The checksum at the end is another.
    #[error("the checksum of the RDB file does not match")]
    Checksum,
    /// The reader or writer failed.
    #[error("RDB input or output failed: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for RdbError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
