//! effectum: jobs in `SQLite`, written ahead and not synced on each commit (`synchronous = normal`), handled by workers on tokio.

use std::path::Path;
use std::sync::Arc;

use effectum::{Error, Job, JobRunner, Queue, RunningJob, Worker};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use super::QueueEngine;
use crate::Result;

const JOB: &str = "bench";

/// The queue with a worker that only counts.
pub struct Effectum {
    runtime: Runtime,
    queue: Option<Queue>,
    handled: Arc<Semaphore>,
}

impl std::fmt::Debug for Effectum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Effectum").finish_non_exhaustive()
    }
}

async fn count(_job: RunningJob, handled: Arc<Semaphore>) -> Result<(), Error> {
    handled.add_permits(1);
    Ok(())
}

impl Effectum {
    /// A new database at `path`.
    pub fn create(path: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let queue = runtime.block_on(Queue::new(path))?;
        Ok(Self {
            runtime,
            queue: Some(queue),
            handled: Arc::new(Semaphore::new(0)),
        })
    }
}

impl Effectum {
    fn queue(&self) -> Result<&Queue> {
        Ok(self.queue.as_ref().ok_or("the queue is closed")?)
    }
}

impl Drop for Effectum {
    fn drop(&mut self) {
        // Dropping a queue and its connections spawns tasks: the runtime must still be there, and be the current one.
        let _inside = self.runtime.enter();
        self.queue = None;
    }
}

impl QueueEngine for Effectum {
    fn name(&self) -> String {
        "effectum SQLite normal".to_owned()
    }

    fn publish(&self, body: &[u8]) -> Result<()> {
        let job = Job::builder(JOB).payload(body.to_vec()).build();
        self.runtime.block_on(self.queue()?.add_job(job))?;
        Ok(())
    }

    fn consume(&self, count_of_jobs: u64) -> Result<()> {
        let queue = self.queue()?;
        let runner = JobRunner::builder(JOB, count).build();
        self.runtime.block_on(async {
            let worker = Worker::builder(queue, self.handled.clone())
                .max_concurrency(64)
                .jobs([runner])
                .build()
                .await?;
            let all = self
                .handled
                .acquire_many(u32::try_from(count_of_jobs)?)
                .await?;
            all.forget();
            worker.unregister(None).await?;
            Ok(())
        })
    }
}
