//! The program `docsearch`: search over the documentation on this machine, with all five engines on one store.
//!
//! A folder is scanned; each new or changed file becomes a message; each message starts a workflow that reads the file, cuts it into
//! chunks, embeds them, and then changes the index, the file's record and the queue in one commit. Questions are answered by hybrid
//! search, from a cache where nothing has changed.
//!
//! | engine | name | holds |
//! |---|---|---|
//! | `upkv` | `records` | `file:<path>` hashes, the hash `totals`, cached answers `answer:<hash>`, `asked:<user>` |
//! | `upvector` | `chunks` | a record per chunk, dense and sparse, with text and metadata |
//! | `upqueue` | `work` | a message per file that waits to be indexed, and the dead letters |
//! | `upflow` | `runs` | a run per file that is being indexed |
//!
//! Invariant: a file's chunks, its record, the totals and the acknowledgement of its message change in one commit.

mod chunk;
mod cli;
mod embed;
mod error;
mod extract;
mod hash;
mod library;
mod pipeline;
mod progress;
mod search;
mod source;
mod stats;
mod text;
mod workflow;

pub use cli::main;
pub use embed::{DIMENSIONS, WordHash};
pub use error::{Error, Result};
pub use library::{Library, NAMESPACE, QUEUE};
pub use pipeline::{Limits, Stop, Summary};
pub use progress::Progress;
pub use search::{Answer, Found, PER_USER, Question};
pub use source::Source;
pub use stats::Stats;
