//! The journal: what is written, what it folds to, and how the store brings it back.

pub(crate) mod checkpoint;
pub(crate) mod fold;
pub(crate) mod participant;
pub(crate) mod record;
