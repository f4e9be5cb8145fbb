//! What a script may use.

use std::time::Duration;

/// How much one run of a script may use before it is stopped and undone.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use upkv::{Db, DbOptions, ScriptLimits, Store};
/// let limits = ScriptLimits::new().time(Duration::from_millis(200)).memory_bytes(8 << 20);
/// let db = Db::mount_with(&Store::memory()?, "cache", DbOptions::new().script_limits(limits))?;
/// let error = db.command(["EVAL", "redis.call('SET', 'a', '1') while true do end", "0"]).unwrap_err();
/// assert!(error.to_string().contains("time limit"));
/// assert!(!db.exists("a")?);
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptLimits {
    pub(crate) time: Duration,
    pub(crate) instructions: u64,
    pub(crate) memory_bytes: usize,
}

impl Default for ScriptLimits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(5),
            instructions: 2_000_000_000,
            memory_bytes: 64 << 20,
        }
    }
}

impl ScriptLimits {
    /// The defaults: 5 seconds, 2 * 10^9 instructions, 64 MiB.
    pub fn new() -> Self {
        Self::default()
    }

    /// Longest time of one run. Others that need the same keys wait that long at most.
    #[must_use]
    pub fn time(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// Most instructions of one run, which unlike time is the same on every machine.
    #[must_use]
    pub fn instructions(mut self, count: u64) -> Self {
        self.instructions = count;
        self
    }

    /// Most memory of one run, at least 1 MiB: of Lua itself, and of what is built for it.
    #[must_use]
    pub fn memory_bytes(mut self, bytes: usize) -> Self {
        self.memory_bytes = bytes.max(1 << 20);
        self
    }
}
