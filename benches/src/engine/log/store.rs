//! Our store under the smallest engine there can be: it appends records, keeps all of them alive and remembers only how many.

use std::path::Path;
use std::sync::Arc;

use upkv::storage::{
    CheckpointReader, CheckpointWriter, Durability, Mount, MountOptions, Participant, Record,
    Result as StoreResult, Section, Store, Timestamp, sync::Mutex,
};

use super::{Level, LogEngine};
use crate::Result;

const KIND: u8 = 250;
const APPENDED: u8 = 1;

/// The engine: a count of what it has seen.
struct Appender {
    mount: Mount,
    count: Mutex<u64>,
}

impl Participant for Appender {
    fn apply(&self, section: &Section<'_>) -> StoreResult<()> {
        let mut count = self.count.lock();
        for record in section.records() {
            self.mount.retain(record.address);
            *count += 1;
        }
        Ok(())
    }

    fn checkpoint(&self, out: &mut CheckpointWriter<'_>) -> StoreResult<()> {
        let count = self.count.lock();
        out.begin(self.mount.last_seq())?;
        out.write(&count.to_le_bytes())
    }

    fn restore(&self, input: &mut CheckpointReader<'_>) -> StoreResult<()> {
        let mut bytes = [0; 8];
        input.read_exact(&mut bytes)?;
        *self.count.lock() = u64::from_le_bytes(bytes);
        Ok(())
    }

    fn relocate(&self, _records: &[Record<'_>]) -> StoreResult<()> {
        Ok(())
    }

    fn timer(&self, _token: u64, _now: Timestamp) -> StoreResult<()> {
        Ok(())
    }
}

/// The store with that engine on it.
pub struct StoreLog {
    store: Store,
    engine: Arc<Appender>,
}

impl std::fmt::Debug for StoreLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreLog")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl StoreLog {
    /// Opens or creates the store in `dir`: default segments, no thread, no checkpoint before `checkpoint_bytes` of log.
    pub fn open(dir: &Path, checkpoint_bytes: u64) -> Result<Self> {
        let store = Store::builder(dir)
            .background(false)
            .checkpoint_bytes(checkpoint_bytes)
            .open()?;
        let options = MountOptions::with_default(Durability::Os);
        let engine = store.mount_participant(KIND, "log", options, |mount| {
            Arc::new(Appender {
                mount,
                count: Mutex::new(0),
            })
        })?;
        Ok(Self { store, engine })
    }

    /// The store beneath.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Records appended or recovered so far.
    pub fn count(&self) -> u64 {
        *self.engine.count.lock()
    }

    /// Appends one record of the head and body at any level of the store.
    pub fn append_at(&self, body: &[u8], level: Durability) -> Result<()> {
        let mount = &self.engine.mount;
        let mut frame = mount.frame();
        frame.push(mount, APPENDED, &[body]);
        let mut count = self.engine.count.lock();
        let commit = mount.append(&mut frame)?;
        mount.retain(commit.address(0));
        *count += 1;
        drop(count);
        mount.settle(&commit, Some(level))?;
        Ok(())
    }
}

impl LogEngine for StoreLog {
    fn name(&self) -> String {
        "upkv::storage".to_owned()
    }

    fn append(&self, body: &[u8], level: Level) -> Result<()> {
        let level = match level {
            Level::Os => Durability::Os,
            Level::Disk => Durability::Disk,
        };
        self.append_at(body, level)
    }
}
