//! Seam for documents; to be replaced by the type.

use std::sync::Arc;

use crate::keyspace::table::Hashers;

#[derive(Debug)]
pub(crate) struct Json;

#[derive(Debug)]
pub(crate) enum Undo {}

impl Json {
    pub(crate) fn new(_hashers: Arc<Hashers>) -> Self {
        Self
    }

    pub(crate) fn len(&self) -> usize {
        0
    }

    pub(crate) fn memory(&self) -> usize {
        0
    }

    pub(crate) fn encode(&self, _out: &mut Vec<u8>) {}

    pub(crate) fn decode(_hashers: Arc<Hashers>, _payload: &[u8]) -> Option<Self> {
        None
    }

    pub(crate) fn replay(&mut self, _delta: &[u8]) -> Option<()> {
        None
    }

    pub(crate) fn undo(&mut self, undo: &Undo) {
        match *undo {}
    }
}
