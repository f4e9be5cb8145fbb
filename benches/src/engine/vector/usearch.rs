//! usearch: HNSW in C++ with kernels for this processor; memory only.

use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

use super::{VectorEngine, on_all_cores};
use crate::Result;
use crate::workload::Vectors;

/// An index of half-precision or single-precision vectors.
pub struct Usearch {
    half: bool,
    index: Option<Index>,
}

impl std::fmt::Debug for Usearch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Usearch")
            .field("half", &self.half)
            .finish_non_exhaustive()
    }
}

impl Usearch {
    /// An empty index that keeps vectors as `f16` or as `f32`.
    pub const fn new(half: bool) -> Self {
        Self { half, index: None }
    }

    fn index(&self) -> Result<&Index> {
        Ok(self.index.as_ref().ok_or("the index is not built")?)
    }
}

impl VectorEngine for Usearch {
    fn name(&self) -> String {
        format!("usearch {} M=16", if self.half { "f16" } else { "f32" })
    }

    fn build(&mut self, base: &Vectors) -> Result<()> {
        let options = IndexOptions {
            dimensions: base.dimensions,
            metric: MetricKind::Cos,
            quantization: if self.half {
                ScalarKind::F16
            } else {
                ScalarKind::F32
            },
            connectivity: 16,
            expansion_add: 128,
            ..IndexOptions::default()
        };
        let index = Index::new(&options)?;
        index.reserve(base.len())?;
        on_all_cores(base.len(), |i| Ok(index.add(i as u64, base.row(i))?))?;
        self.index = Some(index);
        Ok(())
    }

    fn search(&self, query: &[f32], k: usize, effort: usize, out: &mut Vec<u64>) -> Result<()> {
        let index = self.index()?;
        if index.expansion_search() != effort {
            index.change_expansion_search(effort);
        }
        out.clone_from(&index.search(query, k)?.keys);
        Ok(())
    }
}
