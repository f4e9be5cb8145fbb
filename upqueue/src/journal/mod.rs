//! The queue in the log: records, checkpoints, recovery.

pub(crate) mod checkpoint;
mod participant;
pub(crate) mod record;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;
