//! What goes wrong, and with which exit code the program says so.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use upkv::storage::{self, ErrorKind};

use super::text::{escaped, span};

/// The result of what the program does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the program does not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It was asked for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// The user asks too often.
    #[error("{} has asked {limit} times in {}; try again in {}", escaped(.user), span(*.window), span(*.retry_after))]
    Limited {
        /// Who asks.
        user: String,
        /// Questions per window.
        limit: u64,
        /// The window.
        window: Duration,
        /// After this time the same question is answered.
        retry_after: Duration,
    },
    /// Another process works with the store.
    #[error("the store {} is in use{}; wait until that ends, or name another with --store", escaped(&.dir.display().to_string()), Holder(*.pid))]
    Locked {
        /// The store's folder.
        dir: PathBuf,
        /// The process, where it is known.
        pid: Option<u32>,
    },
    /// The key-value engine or the store.
    #[error(transparent)]
    Kv(#[from] upkv::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] storage::Error),
    /// The vector index.
    #[error(transparent)]
    Vector(#[from] upvector::Error),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] upqueue::Error),
    /// The workflows.
    #[error(transparent)]
    Flow(#[from] upflow::Error),
    /// A step of a workflow.
    #[error(transparent)]
    Step(#[from] upflow::StepError),
    /// A stored value is not what this program writes.
    #[error("a stored value cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// The operating system, outside the store.
    #[error("{}: {source}", escaped(&.path.display().to_string()))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

struct Holder(Option<u32>);

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(pid) => write!(f, " by process {pid}"),
            None => Ok(()),
        }
    }
}

impl Error {
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    /// What opening the store in `dir` answered.
    pub(crate) fn opening(dir: &Path, error: storage::Error) -> Self {
        match error.kind() {
            ErrorKind::Locked { pid } => Self::Locked {
                dir: dir.to_owned(),
                pid: *pid,
            },
            _ => Self::Store(error),
        }
    }

    /// 2 for what the user can say differently, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            _ => 1,
        }
    }
}
