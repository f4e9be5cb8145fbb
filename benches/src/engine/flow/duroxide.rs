//! duroxide: orchestrations on tokio over its `SQLite` provider, which does not sync each commit.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use duroxide::providers::sqlite::SqliteProvider;
use duroxide::runtime::registry::ActivityRegistry;
use duroxide::runtime::{Runtime as Duroxides, RuntimeOptions};
use duroxide::{
    ActivityContext, Client, OrchestrationContext, OrchestrationRegistry, OrchestrationStatus,
};
use tokio::runtime::Runtime;
use tracing::subscriber::NoSubscriber;

use super::FlowEngine;
use crate::Result;

/// The runtime with its one orchestration.
pub struct Duroxide {
    runtime: Runtime,
    engine: Option<Arc<Duroxides>>,
    client: Client,
    started: AtomicU64,
}

impl std::fmt::Debug for Duroxide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Duroxide").finish_non_exhaustive()
    }
}

async fn count_to(ctx: OrchestrationContext, steps: String) -> Result<String, String> {
    let mut at = "0".to_owned();
    while at != steps {
        at = ctx.schedule_activity("add", at).await?;
    }
    Ok(at)
}

impl Duroxide {
    /// A new database at `path`, with the polling interval that its own measurements found fastest.
    pub fn create(path: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        // Its dispatchers warn of every moment in which SQLite was locked. The first subscriber stays, so that a second call says no.
        let _already_silent = tracing::subscriber::set_global_default(NoSubscriber::default());
        std::fs::File::create(path)?;
        let url = format!("sqlite:{}", path.display());
        let store = Arc::new(runtime.block_on(SqliteProvider::new(&url, None))?);
        let activities = ActivityRegistry::builder()
            .register("add", |_ctx: ActivityContext, at: String| async move {
                let at: u64 = at.parse().map_err(|e| format!("{at:?}: {e}"))?;
                Ok((at + 1).to_string())
            })
            .build();
        let flows = OrchestrationRegistry::builder()
            .register("count", count_to)
            .build();
        let options = RuntimeOptions {
            dispatcher_min_poll_interval: Duration::from_millis(1),
            ..RuntimeOptions::default()
        };
        let start = Duroxides::start_with_options(store.clone(), activities, flows, options);
        let engine = runtime.block_on(start);
        Ok(Self {
            runtime,
            engine: Some(engine),
            client: Client::new(store),
            started: AtomicU64::new(0),
        })
    }
}

impl FlowEngine for Duroxide {
    fn name(&self) -> String {
        "duroxide SQLite".to_owned()
    }

    fn run(&self, runs: u64, steps: u64) -> Result<()> {
        let first = self.started.fetch_add(runs, Ordering::Relaxed);
        let ids: Vec<String> = (first..first + runs).map(|n| format!("run-{n}")).collect();
        self.runtime.block_on(async {
            for id in &ids {
                self.client
                    .start_orchestration(id, "count", steps.to_string())
                    .await?;
            }
            for id in &ids {
                let limit = Duration::from_mins(5);
                match self.client.wait_for_orchestration(id, limit).await? {
                    OrchestrationStatus::Completed { output, .. }
                        if output == steps.to_string() => {}
                    other => return Err(format!("{id} ended as {other:?}").into()),
                }
            }
            Ok(())
        })
    }
}

impl Drop for Duroxide {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take() {
            self.runtime.block_on(engine.shutdown(Some(1_000)));
        }
    }
}
