//! Disks for tests: one that remembers everything and can show every state a power cut could leave, and one that fails on plan.
//!
//! Invariant: both behave exactly like the disk below them until told otherwise. [`SimVfs`] models a weak file system: unsynced
//! sectors, lengths and names persist in any combination. [`FaultyVfs`] wraps any disk. Feature `test-util` only.

mod faulty;
mod image;
mod sim;
mod state;

pub use faulty::{Fault, FaultyVfs, OpKind, Plan};
pub use image::{CrashPoint, Image};
pub use sim::SimVfs;
