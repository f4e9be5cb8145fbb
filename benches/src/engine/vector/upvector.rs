//! Our index, in memory for search, on disk for building and reopening.

use std::path::Path;

use upkv::{Durability, Store};
use upvector::{Index, Metric, Record, Spec};

use super::VectorEngine;
use crate::Result;
use crate::workload::Vectors;

/// Records per commit while building.
const BATCH: usize = 1_000;

/// The index with its default settings and no text.
#[derive(Debug)]
pub struct UpVector {
    store: Store,
    index: Index,
}

impl UpVector {
    /// An empty index in memory.
    pub fn in_memory(dimensions: usize) -> Result<Self> {
        Self::on(Store::memory()?, dimensions)
    }

    /// The index in `dir`.
    pub fn on_disk(dir: &Path, dimensions: usize, level: Durability) -> Result<Self> {
        let store = Store::builder(dir).durability(level).background(false);
        Self::on(store.open()?, dimensions)
    }

    fn on(store: Store, dimensions: usize) -> Result<Self> {
        let index = Index::mount(&store, "bench", Spec::dense(dimensions, Metric::Cosine))?;
        Ok(Self { store, index })
    }

    /// The store that the index stands on.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.index.namespace("").len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl VectorEngine for UpVector {
    fn name(&self) -> String {
        "up f32 R=32".to_owned()
    }

    fn build(&mut self, base: &Vectors) -> Result<()> {
        let namespace = self.index.namespace("");
        for start in (0..base.len()).step_by(BATCH) {
            let end = (start + BATCH).min(base.len());
            let record = |i: usize| Record::new(i.to_string(), base.row(i));
            namespace.upsert_many((start..end).map(record))?;
        }
        while self.store.maintain(std::time::Duration::from_mins(1))?.more {}
        Ok(())
    }

    fn search(&self, query: &[f32], k: usize, effort: usize, out: &mut Vec<u64>) -> Result<()> {
        let hits = self
            .index
            .namespace("")
            .query(query)
            .top_k(k)
            .search_list(effort)
            .run()?;
        out.clear();
        for hit in &hits {
            out.push(hit.id.parse()?);
        }
        Ok(())
    }
}
