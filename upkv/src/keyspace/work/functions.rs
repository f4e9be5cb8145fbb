//! Libraries of functions inside a work: as they will be when it commits.
//!
//! Invariant: who changes libraries holds the first shard of all, so changes come one after the other.

use std::sync::Arc;

use super::Work;
use crate::error::Result;
use crate::keyspace::libraries::{Change, Libraries};

#[cfg_attr(
    not(feature = "lua"),
    allow(
        dead_code,
        reason = "builds without scripts keep libraries as they are"
    )
)]
impl Work<'_> {
    /// The libraries, with what this work changed.
    pub(crate) fn libraries(&self) -> Arc<Libraries> {
        match &self.libraries {
            Some(libraries) => Arc::clone(libraries),
            None => self.engine.libraries.current(),
        }
    }

    /// Keeps others from changing libraries until this work ends.
    pub(crate) fn hold_libraries(&mut self) -> Result<()> {
        self.shard(0).map(drop)
    }

    /// Changes libraries when the work commits. The caller holds them.
    pub(crate) fn change_libraries(&mut self, changes: Vec<Change>) {
        let mut libraries = (*self.libraries()).clone();
        for change in &changes {
            libraries.apply(change);
        }
        self.libraries = Some(Arc::new(libraries));
        self.library_changes.extend(changes);
    }

    /// Makes the commit of this work fail, so that all of it is undone.
    pub(crate) fn doom(&mut self, reason: &str) {
        self.doomed = Some(reason.into());
    }
}
