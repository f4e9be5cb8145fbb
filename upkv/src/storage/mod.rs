//! The store: one directory, one append-only log, one commit order for several engines.
//!
//! An engine is an index over the log: it appends records, keeps their addresses, and reads payloads back from where they were
//! written. A commit is a frame with the records of every engine it touches, recovered whole or not at all. `docs/format.md` has
//! the byte tables; [`Participant`] is the only seam between the store and an engine.
//!
//! This module imports nothing from the rest of the crate and is built and tested without it.

mod address;
mod builder;
mod check;
mod checkpoint;
pub mod checksum;
pub mod clock;
pub mod codec;
mod error;
#[cfg(any(test, feature = "test-util"))]
pub mod fault;
mod format;
mod live;
pub mod lock;
mod log;
mod maintain;
mod manifest;
pub mod mapped;
mod mount;
mod participant;
mod process;
mod registry;
mod salvage;
mod stats;
mod store;
pub mod sync;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
mod transaction;
pub mod vfs;
pub mod wheel;

pub use address::{Address, Durability, MountId, Seq, Token};
pub use builder::{OpenReport, StoreBuilder};
pub use check::CheckReport;
pub use checkpoint::{CheckpointReader, CheckpointWriter};
pub use clock::{Clock, ManualClock, Random, SystemClock, Timestamp};
pub use error::{Error, ErrorKind, Result};
pub use log::{Commit, Frame};
pub use maintain::Progress;
pub use mapped::Map;
pub use mount::Mount;
pub use participant::{Budget, Participant, Record, Section};
pub use salvage::{SalvageReport, salvage};
pub use stats::{SegmentStats, StoreStats};
pub use store::{MountOptions, Store};
pub use sync::Signal;
pub use transaction::{Enlist, Hold, Staged, Transaction};
pub use wheel::TimerId;
