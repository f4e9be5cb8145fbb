//! Records and vectors as the caller sees them, and how they become what the index stores.
//!
//! Invariant: what [`prepare`] lets through can be stored as it is; no later step refuses it.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::metadata::Metadata;
use crate::sparse::SparseVector;
use crate::spec::{Embedders, Shape, check_dimensions};

/// Bytes that an id may have.
pub(crate) const ID_BYTES_MAX: u32 = 4096;
/// Bytes that the text of a record may have.
pub(crate) const DATA_BYTES_MAX: u32 = 16 << 20;

/// A vector of a record or a query.
///
/// # Examples
///
/// ```
/// use upvector::{SparseVector, Vector};
/// let dense: Vector = vec![0.5, 0.25].into();
/// let words = SparseVector::new(vec![7, -3], vec![1.0, 2.0])?;
/// let both = Vector::hybrid(vec![0.5, 0.25], words);
/// assert_ne!(dense, both);
/// # Ok::<(), upvector::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Vector {
    pub(crate) dense: Option<Vec<f32>>,
    pub(crate) sparse: Option<SparseVector>,
    pub(crate) text: Option<String>,
}

impl Vector {
    /// One number for each dimension.
    pub fn dense(components: impl Into<Vec<f32>>) -> Self {
        Self {
            dense: Some(components.into()),
            sparse: None,
            text: None,
        }
    }

    /// Only the dimensions that are not zero.
    pub fn sparse(vector: SparseVector) -> Self {
        Self {
            dense: None,
            sparse: Some(vector),
            text: None,
        }
    }

    /// Both.
    pub fn hybrid(components: impl Into<Vec<f32>>, sparse: SparseVector) -> Self {
        Self {
            dense: Some(components.into()),
            sparse: Some(sparse),
            text: None,
        }
    }

    /// Whatever the embedders of the index make of a text.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            dense: None,
            sparse: None,
            text: Some(text.into()),
        }
    }

    /// The dense half, if it was given.
    pub fn as_dense(&self) -> Option<&[f32]> {
        self.dense.as_deref()
    }

    /// The sparse half, if it was given.
    pub fn as_sparse(&self) -> Option<&SparseVector> {
        self.sparse.as_ref()
    }
}

impl From<Vec<f32>> for Vector {
    fn from(components: Vec<f32>) -> Self {
        Self::dense(components)
    }
}

impl From<&Vec<f32>> for Vector {
    fn from(components: &Vec<f32>) -> Self {
        Self::dense(components.as_slice())
    }
}

impl From<&[f32]> for Vector {
    fn from(components: &[f32]) -> Self {
        Self::dense(components)
    }
}

impl<const N: usize> From<[f32; N]> for Vector {
    fn from(components: [f32; N]) -> Self {
        Self::dense(components)
    }
}

impl From<SparseVector> for Vector {
    fn from(vector: SparseVector) -> Self {
        Self::sparse(vector)
    }
}

/// One entry of a namespace: an id, a vector, and what else is known.
///
/// # Examples
///
/// ```
/// use serde_json::json;
/// use upvector::Record;
/// let record = Record::new("a1", vec![0.1, 0.2])
///     .metadata(json!({"lang": "en", "year": 2021}))
///     .data("the text itself");
/// assert_eq!(record.id, "a1");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// The name of the record in its namespace; 1 to 4096 bytes.
    pub id: String,
    /// Its vector or vectors.
    pub vector: Vector,
    /// A JSON object, which filters can ask about.
    pub metadata: Option<Metadata>,
    /// Text that is stored and returned, and never looked at; at most 16 MiB.
    pub data: Option<String>,
    /// Why the metadata cannot be stored, reported when it should be.
    problem: Option<Box<str>>,
}

impl Record {
    /// A record with nothing but a vector.
    pub fn new(id: impl Into<String>, vector: impl Into<Vector>) -> Self {
        Self {
            id: id.into(),
            vector: vector.into(),
            metadata: None,
            data: None,
            problem: None,
        }
    }

    /// A record whose vectors the embedders of the index make of `text`, which is kept as its data.
    pub fn text(id: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        Self::new(id, Vector::text(text.as_str())).data(text)
    }

    /// Sets the metadata: anything that serialises to a JSON object. What does not is refused when the record is upserted.
    #[must_use]
    pub fn metadata(mut self, metadata: impl Serialize) -> Self {
        match to_metadata(&metadata) {
            Ok(metadata) => (self.metadata, self.problem) = (Some(metadata), None),
            Err(why) => self.problem = Some(why.to_string().into()),
        }
        self
    }

    /// Sets the text.
    #[must_use]
    pub fn data(mut self, text: impl Into<String>) -> Self {
        self.data = Some(text.into());
        self
    }
}

/// Anything that serialises to a JSON object.
pub(crate) fn to_metadata(value: &impl Serialize) -> Result<Metadata> {
    let value =
        serde_json::to_value(value).map_err(|why| Error::invalid(format!("metadata: {why}")))?;
    Metadata::try_from(value)
}

/// A record that can be stored in an index of the shape it was prepared for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prepared {
    pub(crate) id: Box<str>,
    /// Empty if and only if the index has no dense vectors.
    pub(crate) dense: Vec<f32>,
    pub(crate) sparse: Option<SparseVector>,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) data: Option<Box<str>>,
}

/// Refuses an id that is empty or too long.
pub(crate) fn check_id(id: &str) -> Result<()> {
    if id.is_empty() {
        return Err(Error::invalid("the id of a record is empty"));
    }
    if id.len() > ID_BYTES_MAX as usize {
        return Err(Error::too_large("an id in bytes", id.len(), ID_BYTES_MAX));
    }
    Ok(())
}

/// Refuses a dense vector of the wrong length, or with a component that is not a number.
pub(crate) fn check_dense(vector: &[f32], dimensions: usize) -> Result<()> {
    check_dimensions(vector.len(), dimensions)?;
    if let Some(at) = vector.iter().position(|x| !x.is_finite()) {
        return Err(Error::NotFinite {
            component: u32::try_from(at).unwrap_or(u32::MAX),
            value: vector[at],
        });
    }
    Ok(())
}

/// Refuses text that is too long.
pub(crate) fn check_data(data: &str) -> Result<()> {
    if data.len() > DATA_BYTES_MAX as usize {
        return Err(Error::too_large(
            "data in bytes",
            data.len(),
            DATA_BYTES_MAX,
        ));
    }
    Ok(())
}

/// The vectors that `text` stands for in a document.
pub(crate) fn embed_document(text: &str, shape: &Shape, embedders: &Embedders) -> Result<Vector> {
    let dense = match (&shape.dense, &embedders.dense) {
        (None, _) => None,
        (Some(_), Some(embedder)) => Some(embedder.embed_document(text)),
        (Some(_), None) => return Err(Error::NoEmbedder),
    };
    let sparse = match (shape.sparse, &embedders.sparse) {
        (false, _) => None,
        (true, Some(embedder)) => Some(embedder.embed_document(text)),
        (true, None) => return Err(Error::NoEmbedder),
    };
    Ok(Vector {
        dense,
        sparse,
        text: None,
    })
}

/// Checks the halves of a vector that is to be stored: exactly those that the index has.
pub(crate) fn check_stored(
    vector: Vector,
    shape: &Shape,
) -> Result<(Vec<f32>, Option<SparseVector>)> {
    let dense = match (&shape.dense, vector.dense) {
        (Some(dense), Some(vector)) => {
            check_dense(&vector, dense.dimensions)?;
            vector
        }
        (None, None) => Vec::new(),
        (Some(_), None) => return Err(Error::RequiresVectors("dense vectors")),
        (None, Some(_)) => return Err(Error::RequiresVectors("sparse vectors")),
    };
    match (shape.sparse, &vector.sparse) {
        (true, None) => Err(Error::RequiresVectors("sparse vectors")),
        (false, Some(_)) => Err(Error::RequiresVectors("dense vectors")),
        _ => Ok((dense, vector.sparse)),
    }
}

/// Checks a record, and embeds its text if that is all it has.
pub(crate) fn prepare(record: Record, shape: &Shape, embedders: &Embedders) -> Result<Prepared> {
    check_id(&record.id)?;
    if let Some(problem) = record.problem {
        return Err(Error::Invalid(problem));
    }
    if let Some(metadata) = &record.metadata {
        metadata.check_limits(Metadata::JSON_BYTES_MAX)?;
    }
    if let Some(data) = &record.data {
        check_data(data)?;
    }
    let vector = match &record.vector.text {
        Some(text) => embed_document(text, shape, embedders)?,
        None => record.vector,
    };
    let (dense, sparse) = check_stored(vector, shape)?;
    Ok(Prepared {
        id: record.id.into(),
        dense,
        sparse,
        metadata: record.metadata,
        data: record.data.map(String::into_boxed_str),
    })
}
