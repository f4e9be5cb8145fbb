//! Our engine with its built-in executor.

use std::path::Path;
use std::time::Duration;

use upflow::{Ctx, Engine, RunHandle, Start, StepError};
use upkv::{Durability, Store};

use super::FlowEngine;
use crate::Result;

const WORKERS: usize = 2;

/// The engine on a store of its own.
#[derive(Debug)]
pub struct UpFlow {
    engine: Engine,
    name: String,
}

async fn count_to(ctx: Ctx, steps: u64) -> Result<u64, StepError> {
    let mut at = 0;
    while at < steps {
        at = ctx.run("add", move || Ok::<_, StepError>(at + 1)).await?;
    }
    Ok(at)
}

impl UpFlow {
    /// A new store in `dir` at `level`, with two workers.
    pub fn on_disk(dir: &Path, level: Durability) -> Result<Self> {
        let store = Store::builder(dir).durability(level).open()?;
        let engine = Engine::options().durability(level).mount(&store, "bench")?;
        engine.register("count", 1, count_to)?;
        engine.start_workers(WORKERS)?;
        Ok(Self {
            engine,
            name: format!("up {level:?}"),
        })
    }

    /// Closes the store.
    pub fn close(&self) -> Result<()> {
        Ok(self.engine.store().close()?)
    }
}

impl FlowEngine for UpFlow {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn run(&self, runs: u64, steps: u64) -> Result<()> {
        let started = (0..runs)
            .map(|_| self.engine.start("count", Start::new().input(&steps)))
            .collect::<Result<Vec<RunHandle<u64>>, _>>()?;
        for run in started {
            match run.result_within(Duration::from_mins(5))? {
                Some(at) if at == steps => {}
                other => return Err(format!("{} ended with {other:?}", run.id()).into()),
            }
        }
        Ok(())
    }
}
