//! `hnsw_rs`: HNSW in Rust; memory only.

use hnsw_rs::prelude::{DistDot, Hnsw};

use super::VectorEngine;
use crate::Result;
use crate::workload::Vectors;

/// An index over single-precision vectors.
#[derive(Default)]
pub struct HnswRs(Option<Hnsw<'static, f32, DistDot>>);

impl std::fmt::Debug for HnswRs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HnswRs").finish_non_exhaustive()
    }
}

impl VectorEngine for HnswRs {
    fn name(&self) -> String {
        "hnsw_rs f32 M=16".to_owned()
    }

    fn build(&mut self, base: &Vectors) -> Result<()> {
        let index = Hnsw::new(16, base.len(), 16, 200, DistDot {});
        let rows: Vec<(&[f32], usize)> = base.iter().zip(0..).collect();
        index.parallel_insert_slice(&rows);
        self.0 = Some(index);
        Ok(())
    }

    fn search(&self, query: &[f32], k: usize, effort: usize, out: &mut Vec<u64>) -> Result<()> {
        let index = self.0.as_ref().ok_or("the index is not built")?;
        out.clear();
        out.extend(
            index
                .search(query, k, effort)
                .iter()
                .map(|hit| hit.d_id as u64),
        );
        Ok(())
    }
}
