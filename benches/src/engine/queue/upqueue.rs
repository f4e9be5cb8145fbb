//! Our queue.

use std::path::Path;
use std::time::Duration;

use upkv::{Durability, Store};
use upqueue::{Message, Queue};

use super::QueueEngine;
use crate::Result;

const NAME: &str = "bench";

/// The queue on a store of its own, one message a call.
#[derive(Debug)]
pub struct UpQueue {
    store: Store,
    queue: Queue,
    name: String,
}

impl UpQueue {
    /// A new store in `dir` at `level`.
    pub fn on_disk(dir: &Path, level: Durability) -> Result<Self> {
        let store = Store::builder(dir).durability(level).open()?;
        Self::on(store, format!("up {level:?}"))
    }

    /// A queue without files.
    pub fn in_memory() -> Result<Self> {
        Self::on(Store::memory()?, "up in memory".to_owned())
    }

    fn on(store: Store, name: String) -> Result<Self> {
        let queue = Queue::mount(&store, "bench")?;
        Ok(Self { store, queue, name })
    }

    /// Closes the store.
    pub fn close(&self) -> Result<()> {
        Ok(self.store.close()?)
    }
}

impl QueueEngine for UpQueue {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn publish(&self, body: &[u8]) -> Result<()> {
        self.queue.publish(Message::new(NAME, body.to_vec()))?;
        Ok(())
    }

    fn consume(&self, count: u64) -> Result<()> {
        for _ in 0..count {
            let job = self.queue.receive(NAME, Duration::ZERO)?;
            job.ok_or("the queue is empty")?.ack()?;
        }
        Ok(())
    }
}
