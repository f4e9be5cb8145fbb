//! Settings for an engine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use upkv::storage::MountOptions;
use upkv::{Clock, Durability, Store};

use crate::engine::Engine;
use crate::error::Result;
use crate::inner::Options;
use crate::payload::{Codec, Json};
use crate::retry::Backoff;

/// The name under which a private store holds its one engine.
const NAME: &str = "main";

/// Settings for an [`Engine`]; see [`Engine::builder`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use upflow::Engine;
/// let store = upkv::Store::memory()?;
/// let flows = Engine::options().keep_ended(100).cancel_grace(Duration::from_secs(5)).mount(&store, "flows")?;
/// # let _ = flows;
/// # Ok::<(), upflow::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is opened or mounted"]
pub struct Builder {
    path: Option<PathBuf>,
    options: Options,
    durability: Option<Durability>,
    clock: Option<Arc<dyn Clock>>,
}

impl Builder {
    pub(crate) fn new(path: Option<&Path>) -> Self {
        let options = Options {
            codec: Arc::new(Json),
            keep_ended: 10_000,
            keep_ended_for: Duration::from_hours(7 * 24),
            cancel_grace: Duration::from_secs(30),
            resident_runs: 10_000,
            body_retries: 3,
            body_backoff: Backoff::exponential(Duration::from_secs(1)),
        };
        Self {
            path: path.map(Path::to_path_buf),
            options,
            durability: None,
            clock: None,
        }
    }

    /// What a record must survive before anybody sees it. Default: the store's, else `Disk`.
    pub fn durability(mut self, level: Durability) -> Self {
        self.durability = Some(level);
        self
    }

    /// The source of time of a store that this opens; default the system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// How payloads become bytes; default [`Json`].
    pub fn codec(mut self, codec: impl Codec + 'static) -> Self {
        self.options.codec = Arc::new(codec);
        self
    }

    /// Ended runs that are kept, newest first; default 10,000.
    pub fn keep_ended(mut self, runs: usize) -> Self {
        self.options.keep_ended = runs;
        self
    }

    /// How long ended runs are kept; default 7 days.
    pub fn keep_ended_for(mut self, span: Duration) -> Self {
        self.options.keep_ended_for = span;
        self
    }

    /// How long a cancelled run may clean up before it is ended by force; default 30 s.
    pub fn cancel_grace(mut self, span: Duration) -> Self {
        self.options.cancel_grace = span;
        self
    }

    /// Bodies kept in memory between events; default 10,000. The others are built again by replay.
    pub fn resident_runs(mut self, count: usize) -> Self {
        self.options.resident_runs = count;
        self
    }

    /// How often a body that panicked is tried again, and when; default 3 times after 1 s, 2 s, 4 s.
    pub fn body_retries(mut self, count: u32, backoff: Backoff) -> Self {
        self.options.body_retries = count;
        self.options.body_backoff = backoff;
        self
    }

    /// Opens the directory given to [`Engine::builder`], or a store in memory for [`Engine::options`].
    ///
    /// # Errors
    ///
    /// [`crate::Error::Storage`]: the directory is locked, damaged, of an unknown format, or cannot be created.
    pub fn open(self) -> Result<Engine> {
        let mut store = match &self.path {
            Some(path) => Store::builder(path),
            None => Store::memory_builder(),
        };
        if let Some(clock) = &self.clock {
            store = store.clock(Arc::clone(clock));
        }
        let store = store.open()?;
        self.mount(&store, NAME)
    }

    /// Mounts the engine on a store that other engines may share. An engine that is mounted already keeps its settings.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Storage`]: the store is closed, or the engine's data is damaged.
    pub fn mount(self, store: &Store, name: &str) -> Result<Engine> {
        let mut options = MountOptions::with_default(Durability::Disk);
        options.durability_override = self.durability;
        Engine::mount_with(store, name, options, self.options)
    }
}
