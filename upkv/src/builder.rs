//! Settings for a database in a directory of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::db::Db;
use crate::error::Result;
use crate::options::{DbOptions, Eviction};
use crate::profile::{Limits, Profile};
use crate::storage::{Clock, Durability, Store};

/// The name under which a private store holds its one database.
const NAME: &str = "main";

/// Settings for [`Db::open`]; see [`Db::builder`].
///
/// # Examples
///
/// ```
/// use upkv::{Db, Durability};
/// let dir = std::env::temp_dir().join(format!("upkv-doc-builder-{}", std::process::id()));
/// let db = Db::builder(&dir)
///     .memory_limit_bytes(512 << 20)
///     .durability(Durability::Disk)
///     .open()?;
/// db.set("a", "1")?;
/// # db.close()?;
/// # std::fs::remove_dir_all(&dir).ok();
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    path: PathBuf,
    options: DbOptions,
    background: Option<bool>,
    clock: Option<Arc<dyn Clock>>,
}

impl Builder {
    pub(crate) fn new(path: &Path) -> Self {
        let path = path.to_path_buf();
        Self {
            path,
            options: DbOptions::new(),
            background: None,
            clock: None,
        }
    }

    /// See [`DbOptions::memory_limit_bytes`]. Default: no limit.
    pub fn memory_limit_bytes(mut self, bytes: u64) -> Self {
        self.options = self.options.memory_limit_bytes(bytes);
        self
    }

    /// See [`DbOptions::max_memory_bytes`]. Default: none.
    pub fn max_memory_bytes(mut self, bytes: u64) -> Self {
        self.options = self.options.max_memory_bytes(bytes);
        self
    }

    /// See [`DbOptions::eviction`]. Default: [`Eviction::NoEviction`].
    pub fn eviction(mut self, policy: Eviction) -> Self {
        self.options = self.options.eviction(policy);
        self
    }

    /// What a write survives once it returns. Default: `Interval(1 s)`.
    pub fn durability(mut self, level: Durability) -> Self {
        self.options = self.options.durability(level);
        self
    }

    /// See [`DbOptions::shards`]. Default: `max(16, 32 x cores)`.
    pub fn shards(mut self, count: usize) -> Self {
        self.options = self.options.shards(count);
        self
    }

    /// See [`DbOptions::profile`]. Default: [`Profile::Redis`].
    pub fn profile(mut self, profile: Profile) -> Self {
        self.options = self.options.profile(profile);
        self
    }

    /// See [`DbOptions::limits`]. Default: none.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.options = self.options.limits(limits);
        self
    }

    /// Whether a thread does maintenance: expiry, interval syncs, demotion, checkpoints, garbage
    /// collection. Default: the store's, which is `true` for `Interval`. Without it call
    /// [`Store::maintain`].
    pub fn background(mut self, on: bool) -> Self {
        self.background = Some(on);
        self
    }

    /// The source of time. Default: the system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Opens or creates the directory and the database in it.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Storage`]: the directory is locked, damaged, of an unknown format, or cannot be
    /// created.
    pub fn open(self) -> Result<Db> {
        let mut store = Store::builder(&self.path);
        if let Some(on) = self.background {
            store = store.background(on);
        }
        if let Some(clock) = self.clock {
            store = store.clock(clock);
        }
        Db::mount_with(&store.open()?, NAME, self.options)
    }
}
