//! Opening a queue in a directory of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use upkv::Store;
use upkv::storage::{Clock, Durability};

use crate::error::Result;
use crate::options::EngineOptions;
use crate::queue::Queue;

/// Name of the engine in a store of its own.
const NAME: &str = "queue";

/// Settings of a queue that opens a store of its own.
///
/// # Examples
///
/// ```
/// use upqueue::{Message, Queue};
/// let dir = std::env::temp_dir().join(format!("upqueue-doc-builder-{}", std::process::id()));
/// let queue = Queue::builder(&dir).durability(upkv::Durability::Os).open()?;
/// queue.publish(Message::new("a", "1"))?;
/// queue.close()?;
/// # std::fs::remove_dir_all(&dir).ok();
/// # Ok::<(), upqueue::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until it is opened"]
pub struct Builder {
    path: Option<PathBuf>,
    clock: Option<Arc<dyn Clock>>,
    options: EngineOptions,
}

impl Builder {
    pub(crate) fn new(path: Option<&Path>) -> Self {
        Self {
            path: path.map(Path::to_path_buf),
            clock: None,
            options: EngineOptions::new(),
        }
    }

    /// See [`EngineOptions::durability`].
    pub fn durability(mut self, level: Durability) -> Self {
        self.options = self.options.durability(level);
        self
    }

    /// See [`EngineOptions::ack_durability`].
    pub fn ack_durability(mut self, level: Durability) -> Self {
        self.options = self.options.ack_durability(level);
        self
    }

    /// See [`EngineOptions::deduplication_window`].
    pub fn deduplication_window(mut self, span: Duration) -> Self {
        self.options = self.options.deduplication_window(span);
        self
    }

    /// See [`EngineOptions::keep_leases`].
    pub fn keep_leases(mut self, keep: bool) -> Self {
        self.options = self.options.keep_leases(keep);
        self
    }

    /// The source of time; default the system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Opens the directory, or a store in memory for [`Queue::memory`].
    ///
    /// # Errors
    ///
    /// [`crate::Error::Storage`]: the directory is locked, damaged, of an unknown format, or cannot be created.
    pub fn open(self) -> Result<Queue> {
        let mut store = match &self.path {
            Some(path) => Store::builder(path),
            None => Store::memory_builder(),
        };
        if let Some(clock) = self.clock {
            store = store.clock(clock);
        }
        Queue::mount_with(&store.open()?, NAME, self.options)
    }
}
