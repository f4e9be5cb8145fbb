//! Logs: append a body, and have it as safe as the level says when the call returns.

pub mod bare;
pub mod store;

use crate::Result;

/// How safe a write is when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Handed to the operating system: survives the process.
    Os,
    /// Synced: survives the machine.
    Disk,
}

/// An append-only log.
pub trait LogEngine: Sync {
    /// Engine and settings, as the row shows them.
    fn name(&self) -> String;

    /// Appends one record.
    fn append(&self, body: &[u8], level: Level) -> Result<()>;
}
