//! Scripts and functions in Lua 5.1.
//!
//! A script runs inside one work: its commands see one moment and are logged as one frame. Every thread has one Lua state;
//! a script sees nothing of what ran in it before. Time, memory and nesting are bounded (see [`Limits`]); a script that
//! exceeds a bound, or is killed, leaves no change. One that raises an error keeps what it wrote before, as in Redis.
//!
//! If the work has to start over, the script runs again from its start on the undone data.
//!
//! - `state`: the Lua state of a thread; `prelude.lua` makes the sandbox, `lib` has what Redis adds to Lua
//! - `call`, `convert`: commands that a script calls, and values between Lua and replies
//! - `tally`: how calls are counted
//! - `busy`: what others are told meanwhile
//! - `meter`: the bounds; `flags`: the first line of a script; `cache`: scripts by digest
//! - `catalog`: what libraries of functions register; `dump`: libraries as Redis dumps them

mod busy;
mod cache;
mod call;
pub(crate) mod catalog;
mod convert;
pub(crate) mod dump;
pub(crate) mod flags;
mod frames;
mod handle;
mod lib;
mod limits;
mod meter;
mod number;
mod run;
mod state;
mod tally;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use parking_lot::Mutex;

pub use handle::Script;
pub use limits::ScriptLimits;

pub(crate) use busy::NotKilled;
pub(crate) use cache::{Cached, digest_of};
pub(crate) use meter::Running;
pub(crate) use run::{Job, Program, check, run};

use self::cache::Cache;

/// What the scripts of a mount share.
#[derive(Debug)]
pub(crate) struct Scripts {
    pub(crate) limits: ScriptLimits,
    cache: Mutex<Cache>,
    running: Mutex<Vec<Arc<Running>>>,
    /// How many run; spares others the lock.
    count: AtomicUsize,
}

impl Scripts {
    pub(crate) fn new(limits: ScriptLimits) -> Self {
        Self {
            limits,
            cache: Mutex::default(),
            running: Mutex::default(),
            count: AtomicUsize::new(0),
        }
    }

    pub(crate) fn cache(&self) -> parking_lot::MutexGuard<'_, Cache> {
        self.cache.lock()
    }
}
