//! The engines on one store, and the layout of what the program keeps in them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use upflow::Engine;
use upkv::{Db, DbOptions, Durability, Store};
use upqueue::{Queue, QueueOptions};
use upvector::{Bm25, GraphOptions, Index, Metric, Spec};

use super::embed::{DIMENSIONS, WordHash};
use super::error::{Error, Result};
use super::hash::hash128;
use super::workflow::{self, Work};

/// Queue of the files to index.
pub const QUEUE: &str = "files";
/// Namespace of the chunks.
pub const NAMESPACE: &str = "chunks";
/// Hash of the sums over all files; its field `version` goes up with every change of the index.
pub(crate) const TOTALS: &str = "totals";

/// What a power cut may cost: work that is found undone and done again. A crash of the process costs nothing.
const DURABILITY: Durability = Durability::Interval(Duration::from_secs(1));
/// Values of the key-value engine above this stay in the log.
const MEMORY_BYTES: u64 = 32 << 20;
/// A thinner graph than the default one: it is built in half the time, and exact sparse search finds what it misses.
const MAX_DEGREE: u16 = 24;
const BUILD_LIST: u16 = 40;
/// Ended runs that are kept for looking at.
const KEEP_RUNS: usize = 1_000;
const LEASE: Duration = Duration::from_mins(1);
/// A file that takes the process with it this often goes to the dead letters.
const DELIVERIES_MAX: u32 = 100;

/// An open store of documentation.
#[derive(Debug)]
pub struct Library {
    dir: PathBuf,
    store: Store,
    pub(crate) work: Arc<Work>,
    pub(crate) flows: Engine,
}

impl Library {
    /// Opens the store in `dir`, which is made if there is none. Nothing is worked on before it is asked for.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] if another process works with it; [`Error::Store`] if it is damaged or cannot be made.
    pub fn open(dir: &Path) -> Result<Self> {
        if let Some(parent) = dir.parent() {
            std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
        }
        let store = Store::builder(dir).durability(DURABILITY);
        let store = store.open().map_err(|error| Error::opening(dir, error))?;
        Self::mount(dir, store)
    }

    /// Mounts the engines on a store in `dir` that is open already.
    ///
    /// # Errors
    ///
    /// As [`Library::open`].
    pub fn mount(dir: &Path, store: Store) -> Result<Self> {
        let options = DbOptions::new().memory_limit_bytes(MEMORY_BYTES);
        let db = Db::mount_with(&store, "records", options)?;
        let spec = Spec::hybrid(DIMENSIONS, Metric::Cosine)
            .dense_embedder(WordHash::new())
            .sparse_embedder(Bm25::english())
            .graph(GraphOptions {
                max_degree: MAX_DEGREE,
                build_list: BUILD_LIST,
                ..GraphOptions::default()
            });
        let index = Index::mount(&store, "chunks", spec)?;
        let queue = Queue::mount(&store, "work")?;
        if !queue.list().iter().any(|name| name == QUEUE) {
            let options = QueueOptions::new().lease(LEASE);
            queue.configure(QUEUE, options.max_deliveries(DELIVERIES_MAX))?;
        }
        let flows = Engine::options().keep_ended(KEEP_RUNS);
        let flows = flows.mount(&store, "runs")?;
        let work = Arc::new(Work::new(db, index, queue));
        workflow::register(&flows, &work)?;
        Ok(Self {
            dir: dir.to_owned(),
            store,
            work,
            flows,
        })
    }

    /// The folder of the store.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Files, totals, cached answers.
    pub fn db(&self) -> &Db {
        &self.work.db
    }

    /// The chunks.
    pub fn index(&self) -> &Index {
        &self.work.index
    }

    /// The files that wait.
    pub fn queue(&self) -> &Queue {
        &self.work.queue
    }

    /// Closes the store.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the last commits cannot be written.
    pub fn close(self) -> Result<()> {
        // Its worker threads end first.
        drop(self.flows);
        Ok(self.store.close()?)
    }
}

/// Key of a file's record.
pub(crate) fn file_key(path: &str) -> String {
    format!("file:{path}")
}

/// Id of a chunk of a file.
pub(crate) fn chunk_id(path: &str, number: u32) -> String {
    format!("{:032x}.{number}", hash128(path.as_bytes()))
}

/// Reads a whole number that this program wrote; 0 if there is none.
pub(crate) fn count(value: Option<impl AsRef<[u8]>>) -> i64 {
    let text = value.and_then(|value| std::str::from_utf8(value.as_ref()).ok()?.parse().ok());
    text.unwrap_or(0)
}
