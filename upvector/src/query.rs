//! Searching: what can be asked, and putting the answers of both halves together.

use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::hybrid::{self, Fusion, QueryMode, Weighting};
use crate::inner::Space;
use crate::metadata::Metadata;
use crate::namespace::Namespace;
use crate::record::{Vector, check_dense};
use crate::sparse::SparseVector;
use crate::spec::in_range;
use crate::store::search::Wanted;
use crate::store::state::State;
use upkv::storage::Address;

/// Hits that one query may return.
const TOP_K_MAX: u16 = 1000;
/// Candidates that a search may keep.
const LIST_MAX: u16 = 10_000;

/// A search that has not run yet; made by [`Namespace::query`].
///
/// # Examples
///
/// ```
/// use serde_json::json;
/// use upvector::{Index, Metric, Record, Spec};
/// let index = Index::memory(Spec::dense(2, Metric::Cosine))?;
/// let docs = index.namespace("docs");
/// docs.upsert(Record::new("old", [1.0, 0.0]).metadata(json!({"year": 1999})))?;
/// docs.upsert(Record::new("new", [0.9, 0.1]).metadata(json!({"year": 2021})))?;
/// let hits = docs.query([1.0, 0.0]).filter("year >= 2000").include_metadata().run()?;
/// assert_eq!(hits.len(), 1);
/// assert_eq!(hits[0].metadata.as_ref().unwrap().to_value(), json!({"year": 2021}));
/// let error = docs.query([1.0, 0.0]).filter("year >=").run().unwrap_err();
/// assert!(matches!(error, upvector::Error::Filter(_)));
/// # Ok::<(), upvector::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a query does nothing until it is run"]
pub struct Query {
    namespace: Namespace,
    vector: Vector,
    top_k: usize,
    filter: Option<String>,
    include: Include,
    weighting: Weighting,
    fusion: Fusion,
    mode: QueryMode,
    list: Option<usize>,
}

#[derive(Copy, Clone, Debug, Default)]
struct Include {
    vectors: bool,
    metadata: bool,
    data: bool,
}

/// A record that was found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Hit {
    /// Its id.
    pub id: String,
    /// How well it matches; higher is better. See [`Metric`](crate::Metric) for dense vectors; the inner product for sparse ones; what
    /// the [`Fusion`] says for both.
    pub score: f32,
    /// Its dense vector, if vectors were asked for and it has one.
    pub vector: Option<Vec<f32>>,
    /// Its sparse vector, if vectors were asked for and it has one.
    pub sparse: Option<SparseVector>,
    /// Its metadata, if they were asked for and it has some.
    pub metadata: Option<Metadata>,
    /// Its text, if it was asked for and it has one.
    pub data: Option<String>,
}

/// The vectors to search with; at least one is there.
struct Halves {
    dense: Option<Vec<f32>>,
    sparse: Option<SparseVector>,
}

impl Query {
    pub(crate) fn new(namespace: Namespace, vector: Vector) -> Self {
        Self {
            namespace,
            vector,
            top_k: 10,
            filter: None,
            include: Include::default(),
            weighting: Weighting::default(),
            fusion: Fusion::default(),
            mode: QueryMode::default(),
            list: None,
        }
    }

    /// Hits to return at most, 1 to 1000; default 10. With a filter, all of them if as many records match.
    pub fn top_k(mut self, hits: usize) -> Self {
        self.top_k = hits;
        self
    }

    /// Only records whose metadata match; see [`crate::filter`] for the language.
    pub fn filter(mut self, filter: impl Into<String>) -> Self {
        self.filter = Some(filter.into());
        self
    }

    /// Returns the vectors, bit for bit as they were given.
    pub fn include_vectors(mut self) -> Self {
        self.include.vectors = true;
        self
    }

    /// Returns the metadata.
    pub fn include_metadata(mut self) -> Self {
        self.include.metadata = true;
        self
    }

    /// Returns the texts.
    pub fn include_data(mut self) -> Self {
        self.include.data = true;
        self
    }

    /// What a dimension of a sparse vector counts; default as it is given.
    pub fn weighting(mut self, weighting: Weighting) -> Self {
        self.weighting = weighting;
        self
    }

    /// How the hits of both halves become one list; default by their ranks.
    pub fn fusion(mut self, fusion: Fusion) -> Self {
        self.fusion = fusion;
        self
    }

    /// Which halves of a hybrid index to search; default those that the query has.
    pub fn mode(mut self, mode: QueryMode) -> Self {
        self.mode = mode;
        self
    }

    /// Candidates kept while the graph is searched, 1 to 10,000: more find more and take longer. Default 80, and at least `top_k`.
    pub fn search_list(mut self, candidates: usize) -> Self {
        self.list = Some(candidates);
        self
    }

    /// Runs the search; best hits first, equal scores in the order of insertion. No record is in a namespace that does not exist.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] for a number out of range, [`Error::Filter`] for a filter that is not of the language,
    /// [`Error::DimensionMismatch`], [`Error::NotFinite`] or [`Error::RequiresVectors`] for a vector that the index does not take,
    /// [`Error::NoEmbedder`] for text without an embedder; [`Error::Storage`] if a hit cannot be read.
    ///
    /// # Complexity
    ///
    /// Dense: about `search_list` times `max_degree` distances in a graph, or one for each record of at most 4096, or one for each match
    /// of a filter that lets few through. Sparse: the postings of the query's dimensions.
    pub fn run(mut self) -> Result<Vec<Hit>> {
        in_range("top_k", self.top_k, 1, TOP_K_MAX)?;
        if let Some(list) = self.list {
            in_range("search_list", list, 1, LIST_MAX)?;
        }
        let filter = self.filter.take().map(|text| Filter::parse(&text));
        let filter = filter.transpose()?.filter(|filter| !filter.is_empty());
        let halves = self.halves()?;
        let Some(space) = self.namespace.space() else {
            return Ok(Vec::new());
        };
        let picked = {
            let state = space.state.read();
            let found = self.search(&state, &halves, filter.as_ref());
            found
                .into_iter()
                .map(|(slot, score)| self.pick(&state, slot, score))
                .collect()
        };
        self.complete(&space, picked)
    }

    /// The vectors to search with.
    fn halves(&mut self) -> Result<Halves> {
        let index = self.namespace.index();
        let (shape, embedders) = (index.inner().shape(), index.embedders());
        let wants_dense = shape.dense.is_some() && self.mode != QueryMode::Sparse;
        let wants_sparse = shape.sparse && self.mode != QueryMode::Dense;
        let halves = if let Some(text) = &self.vector.text {
            let mut halves = Halves {
                dense: None,
                sparse: None,
            };
            if wants_dense {
                let embedder = embedders.dense.as_ref().ok_or(Error::NoEmbedder)?;
                halves.dense = Some(embedder.embed_query(text));
            }
            if wants_sparse {
                let embedder = embedders.sparse.as_ref().ok_or(Error::NoEmbedder)?;
                halves.sparse = Some(embedder.embed_query(text));
            }
            halves
        } else {
            if shape.dense.is_none() && self.vector.dense.is_some() {
                return Err(Error::RequiresVectors("sparse vectors"));
            }
            if !shape.sparse && self.vector.sparse.is_some() {
                return Err(Error::RequiresVectors("dense vectors"));
            }
            Halves {
                dense: self.vector.dense.take().filter(|_| wants_dense),
                sparse: self.vector.sparse.take().filter(|_| wants_sparse),
            }
        };
        if halves.dense.is_none() && halves.sparse.is_none() {
            let what = if wants_dense {
                "dense vectors"
            } else {
                "sparse vectors"
            };
            return Err(Error::RequiresVectors(what));
        }
        if let (Some(vector), Some(dense)) = (&halves.dense, shape.dense) {
            check_dense(vector, dense.dimensions)?;
        }
        Ok(halves)
    }

    /// The slots that match best, and their scores.
    fn search(&self, state: &State, halves: &Halves, filter: Option<&Filter>) -> Vec<(u32, f32)> {
        let sequence = |slot: u32| state.slot(slot).sequence;
        let dense = halves.dense.as_ref().map(|query| {
            let wanted = Wanted {
                query,
                top_k: self.top_k,
                list: self.list,
                filter,
            };
            let pool = &self.namespace.index().inner().pool;
            pool.with(|scratch| state.search_dense(&wanted, scratch))
        });
        let sparse = halves.sparse.as_ref().map(|query| {
            let mut accept = |slot| state.matches(slot, filter);
            state.sparse.as_ref().map_or_else(Vec::new, |sparse| {
                sparse.search(query, self.weighting, self.top_k, &mut accept, &sequence)
            })
        });
        match (dense, sparse) {
            (Some(dense), Some(sparse)) => {
                hybrid::fuse(self.fusion, &dense, &sparse, self.top_k, &sequence)
            }
            (Some(found), None) | (None, Some(found)) => found,
            (None, None) => Vec::new(),
        }
    }

    /// A hit as far as it is in memory, and where the rest is if any is wanted.
    fn pick(&self, state: &State, slot: u32, score: f32) -> (Hit, Option<(u64, Address)>) {
        let known = state.slot(slot);
        let dense = state.dense.as_ref().filter(|_| self.include.vectors);
        let hit = Hit {
            id: known.id.to_string(),
            score,
            vector: dense.map(|dense| dense.space.vector(slot).to_vec()),
            sparse: None,
            metadata: known.metadata.clone().filter(|_| self.include.metadata),
            data: None,
        };
        let reads = (self.include.data && known.has_data)
            || (self.include.vectors && state.sparse.is_some());
        (hit, reads.then_some((known.sequence, known.at)))
    }

    /// Reads what of the hits is only in the log, with no lock held.
    fn complete(
        &self,
        space: &Space,
        picked: Vec<(Hit, Option<(u64, Address)>)>,
    ) -> Result<Vec<Hit>> {
        let inner = self.namespace.index().inner();
        let mut hits = Vec::with_capacity(picked.len());
        for (mut hit, place) in picked {
            if let Some((sequence, at)) = place {
                // Deleted since it was found.
                let Some(payload) = inner.payload(space, sequence, at)? else {
                    continue;
                };
                hit.sparse = payload.sparse.filter(|_| self.include.vectors);
                let data = payload.data.filter(|_| self.include.data);
                hit.data = data.map(String::from);
            }
            hits.push(hit);
        }
        Ok(hits)
    }
}
