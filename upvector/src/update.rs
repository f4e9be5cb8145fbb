//! Changing a part of a record.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::metadata::Metadata;
use crate::record::{
    Prepared, Record, Vector, check_data, check_id, check_stored, embed_document, to_metadata,
};
use crate::sparse::SparseVector;
use crate::spec::{Embedders, Shape};

/// What to change of a record; what is not mentioned stays.
///
/// # Examples
///
/// ```
/// use serde_json::json;
/// use upvector::{Index, Metric, Record, Spec, Update};
/// let index = Index::memory(Spec::dense(1, Metric::Euclidean))?;
/// let docs = index.namespace("docs");
/// docs.upsert(Record::new("a1", [1.0]).metadata(json!({"year": 2020, "draft": true})))?;
/// assert!(docs.update(Update::new("a1").merge_metadata(json!({"year": 2021, "draft": null})))?);
/// let record = docs.fetch(["a1"])?.remove(0).unwrap();
/// assert_eq!(record.metadata.unwrap().to_value(), json!({"year": 2021}));
/// assert!(!docs.update(Update::new("a2").data("nobody"))?);
/// # Ok::<(), upvector::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "an update does nothing until a namespace makes it"]
pub struct Update {
    id: String,
    vector: Option<Vector>,
    metadata: Option<Result<(Metadata, Mode), Box<str>>>,
    data: Option<String>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Mode {
    Overwrite,
    Patch,
}

impl Update {
    /// No change to the record with this id yet.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            vector: None,
            metadata: None,
            data: None,
        }
    }

    /// Another vector; both halves on a hybrid index.
    pub fn vector(mut self, vector: impl Into<Vector>) -> Self {
        self.vector = Some(vector.into());
        self
    }

    /// Other metadata in place of all that are there.
    pub fn metadata(mut self, metadata: impl Serialize) -> Self {
        self.metadata = Some(read(&metadata, Mode::Overwrite));
        self
    }

    /// Changes to single members, as RFC 7396 says: `null` removes one, objects are merged, everything else replaces.
    pub fn merge_metadata(mut self, patch: impl Serialize) -> Self {
        self.metadata = Some(read(&patch, Mode::Patch));
        self
    }

    /// Another text. If the index has embedders for all its vectors and none is given, they are made of it.
    pub fn data(mut self, text: impl Into<String>) -> Self {
        self.data = Some(text.into());
        self
    }

    /// Refuses what could not be stored.
    pub(crate) fn check(self, shape: &Shape, embedders: &Embedders) -> Result<Checked> {
        check_id(&self.id)?;
        if let Some(data) = &self.data {
            check_data(data)?;
        }
        let metadata = self.metadata.transpose().map_err(Error::Invalid)?;
        let embeds = (shape.dense.is_none() || embedders.dense.is_some())
            && (!shape.sparse || embedders.sparse.is_some());
        let text = match (&self.vector, &self.data) {
            (Some(vector), _) => vector.text.as_deref(),
            (None, Some(data)) if embeds => Some(data.as_str()),
            (None, _) => None,
        };
        let vector = match text {
            Some(text) => Some(embed_document(text, shape, embedders)?),
            None => self.vector,
        };
        Ok(Checked {
            id: self.id.into(),
            vector: vector
                .map(|vector| check_stored(vector, shape))
                .transpose()?,
            metadata,
            data: self.data.map(String::into_boxed_str),
        })
    }
}

fn read(value: &impl Serialize, mode: Mode) -> Result<(Metadata, Mode), Box<str>> {
    let metadata = to_metadata(value).map_err(|why| why.to_string())?;
    Ok((metadata, mode))
}

/// An update that can be made, as long as patched metadata do not grow too large.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) id: Box<str>,
    vector: Option<(Vec<f32>, Option<SparseVector>)>,
    metadata: Option<(Metadata, Mode)>,
    data: Option<Box<str>>,
}

impl Checked {
    /// The record as it is after the change.
    pub(crate) fn apply(&self, record: Record) -> Result<Prepared> {
        let metadata = match &self.metadata {
            None => record.metadata,
            Some((metadata, Mode::Overwrite)) => Some(metadata.clone()),
            Some((patch, Mode::Patch)) => {
                let before = record.metadata.unwrap_or_default();
                Some(before.merge_patch(patch))
            }
        };
        if let Some(metadata) = &metadata {
            metadata.check_limits(Metadata::JSON_BYTES_MAX)?;
        }
        let (dense, sparse) = match &self.vector {
            Some(vector) => vector.clone(),
            None => (
                record.vector.dense.unwrap_or_default(),
                record.vector.sparse,
            ),
        };
        let data = self.data.clone();
        Ok(Prepared {
            id: self.id.clone(),
            dense,
            sparse,
            metadata,
            data: data.or_else(|| record.data.map(String::into_boxed_str)),
        })
    }
}
