//! Durable workflows: runs of steps whose results are journaled.

#[cfg(feature = "peers-flow")]
pub mod duroxide;
pub mod upflow;

use crate::Result;

/// An engine with one workflow registered, of sequential steps that add one to a number.
pub trait FlowEngine: Sync {
    /// Engine and settings, as the row shows them.
    fn name(&self) -> String;

    /// Starts `runs` runs of `steps` steps each and waits until all are done.
    fn run(&self, runs: u64, steps: u64) -> Result<()>;
}
