//! What an index holds: the specification given when it is opened, and the part of it that is recorded for ever.
//!
//! Invariant: dimension, metric and kind never change once the first opening has recorded them; everything else may differ from one
//! opening to the next.

use std::fmt;
use std::sync::Arc;

use upkv::Durability;

use crate::distance::metric::Metric;
use crate::embed::{DenseEmbedder, SparseEmbedder};
use crate::error::{Error, Result};
use crate::graph::GraphOptions;

/// Components that a dense vector may have.
pub(crate) const DIMENSIONS_MAX: u16 = 8192;

/// What an index holds and how; given to [`Index::open`](crate::Index::open).
///
/// # Examples
///
/// ```
/// use upkv::Durability;
/// use upvector::{Bm25, Index, Metric, Spec};
/// let spec = Spec::hybrid(384, Metric::Cosine)
///     .sparse_embedder(Bm25::english())
///     .durability(Durability::Os);
/// let index = Index::memory(spec)?;
/// assert_eq!(index.info().dimension, 384);
/// # Ok::<(), upvector::Error>(())
/// ```
#[derive(Clone)]
pub struct Spec {
    pub(crate) dimensions: Option<(usize, Metric)>,
    pub(crate) sparse: bool,
    pub(crate) embedders: Embedders,
    pub(crate) durability: Option<Durability>,
    pub(crate) graph: GraphOptions,
}

/// What turns text into vectors.
#[derive(Clone, Default)]
pub(crate) struct Embedders {
    pub(crate) dense: Option<Arc<dyn DenseEmbedder>>,
    pub(crate) sparse: Option<Arc<dyn SparseEmbedder>>,
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spec")
            .field("dimensions", &self.dimensions)
            .field("sparse", &self.sparse)
            .field("durability", &self.durability)
            .field("graph", &self.graph)
            .finish_non_exhaustive()
    }
}

impl Spec {
    fn new(dimensions: Option<(usize, Metric)>, sparse: bool) -> Self {
        Self {
            dimensions,
            sparse,
            embedders: Embedders::default(),
            durability: None,
            graph: GraphOptions::default(),
        }
    }

    /// Every record has a dense vector of `dimensions` components, 1 to 8192.
    pub fn dense(dimensions: usize, metric: Metric) -> Self {
        Self::new(Some((dimensions, metric)), false)
    }

    /// Every record has a sparse vector.
    pub fn sparse() -> Self {
        Self::new(None, true)
    }

    /// Every record has both: a dense vector of `dimensions` components, 1 to 8192, and a sparse one.
    pub fn hybrid(dimensions: usize, metric: Metric) -> Self {
        Self::new(Some((dimensions, metric)), true)
    }

    /// What turns text into dense vectors. It is not recorded: give the same one at every opening.
    #[must_use]
    pub fn dense_embedder(mut self, embedder: impl DenseEmbedder + 'static) -> Self {
        self.embedders.dense = Some(Arc::new(embedder));
        self
    }

    /// What turns text into sparse vectors. It is not recorded: give the same one at every opening.
    #[must_use]
    pub fn sparse_embedder(mut self, embedder: impl SparseEmbedder + 'static) -> Self {
        self.embedders.sparse = Some(Arc::new(embedder));
        self
    }

    /// What a write must survive before it returns; default the store's, else `Interval` of one second: a process crash
    /// loses nothing, a power cut at most the last second.
    #[must_use]
    pub fn durability(mut self, level: Durability) -> Self {
        self.durability = Some(level);
        self
    }

    /// How the graph over dense vectors is built.
    #[must_use]
    pub fn graph(mut self, options: GraphOptions) -> Self {
        self.graph = options;
        self
    }

    /// Refuses numbers out of range; what is to be recorded.
    pub(crate) fn check(&self) -> Result<Shape> {
        if let Some((given, _)) = self.dimensions {
            in_range("dimension", given, 1, DIMENSIONS_MAX)?;
        }
        in_range("max_degree", self.graph.max_degree.into(), 4, 128)?;
        in_range("build_list", self.graph.build_list.into(), 10, 1000)?;
        if !(1.0..=2.0).contains(&self.graph.alpha) {
            let text = format!("alpha of {} is not in 1..=2", self.graph.alpha);
            return Err(Error::invalid(text));
        }
        if let (Some((expected, _)), Some(embedder)) = (self.dimensions, &self.embedders.dense) {
            check_dimensions(embedder.dimensions(), expected)?;
        }
        Ok(Shape {
            dense: self
                .dimensions
                .map(|(dimensions, metric)| Dense { dimensions, metric }),
            sparse: self.sparse,
        })
    }
}

/// Refuses a number outside `least..=most`.
pub(crate) fn in_range(what: &'static str, given: usize, least: u16, most: u16) -> Result<()> {
    if (usize::from(least)..=usize::from(most)).contains(&given) {
        return Ok(());
    }
    let given = u32::try_from(given).unwrap_or(u32::MAX);
    Err(Error::OutOfRange {
        what,
        given,
        least,
        most,
    })
}

/// Refuses a vector of another length.
pub(crate) fn check_dimensions(given: usize, expected: usize) -> Result<()> {
    if given == expected {
        return Ok(());
    }
    let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Err(Error::DimensionMismatch {
        given: narrow(given),
        expected: narrow(expected),
    })
}

/// The dense half of a [`Shape`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dense {
    pub(crate) dimensions: usize,
    pub(crate) metric: Metric,
}

/// The part of a specification that is recorded; at least one half is there.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) dense: Option<Dense>,
    pub(crate) sparse: bool,
}

impl Shape {
    /// Bytes in a file: dimension u16 (0 without dense vectors), metric u8 (likewise), sparse u8.
    pub(crate) fn encode(&self) -> [u8; 4] {
        let dense = self
            .dense
            .map(|dense| (dense.dimensions, dense.metric.code()));
        let (dimensions, metric) = dense.unwrap_or((0, 0));
        let dimensions = u16::try_from(dimensions).expect("a dimension is at most 8192");
        let [low, high] = dimensions.to_le_bytes();
        [low, high, metric, u8::from(self.sparse)]
    }

    pub(crate) fn decode(bytes: [u8; 4]) -> Option<Self> {
        let [low, high, metric, sparse] = bytes;
        let dimensions = u16::from_le_bytes([low, high]);
        let dense = match (dimensions, metric) {
            (0, 0) => None,
            (1..=DIMENSIONS_MAX, code) => Some(Dense {
                dimensions: dimensions.into(),
                metric: Metric::from_code(code)?,
            }),
            _ => return None,
        };
        let sparse = match sparse {
            0 => false,
            1 => true,
            _ => return None,
        };
        (dense.is_some() || sparse).then_some(Self { dense, sparse })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dense {
            None => f.write_str("sparse vectors"),
            Some(dense) => {
                let kind = if self.sparse { "hybrid" } else { "dense" };
                write!(
                    f,
                    "{kind} vectors of {} dimensions, {:?}",
                    dense.dimensions, dense.metric
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_survive_encoding_and_others_are_refused() {
        let mut good = 0;
        for dimensions in [0_u16, 1, 384, 8192, 8193, u16::MAX] {
            for metric in 0..5 {
                for sparse in 0..3 {
                    let [low, high] = dimensions.to_le_bytes();
                    let bytes = [low, high, metric, sparse];
                    if let Some(shape) = Shape::decode(bytes) {
                        assert_eq!(shape.encode(), bytes);
                        good += 1;
                    }
                }
            }
        }
        assert_eq!(good, 3 * 3 * 2 + 1);
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let error = Spec::dense(0, Metric::Cosine).check().unwrap_err();
        assert_eq!(error.to_string(), "dimension of 0 is not in 1..=8192");
        let graph = GraphOptions {
            alpha: f32::NAN,
            ..GraphOptions::default()
        };
        assert!(Spec::sparse().graph(graph).check().is_err());
        assert!(Spec::dense(8192, Metric::Cosine).check().is_ok());
    }
}
