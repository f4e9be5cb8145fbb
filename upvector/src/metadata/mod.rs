//! Metadata of a record: a JSON object in a binary form that filters read in place.
//!
//! Invariant: the bytes of a [`Metadata`] are the one encoding of an object (the table in `layout.rs`), so equal objects are equal
//! bytes.

mod layout;
mod path;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

pub(crate) use self::layout::{Number, View};
pub(crate) use self::path::{Path, continues_path, starts_path};
use crate::error::{Error, Result};

/// What is known about a record besides its vector: a JSON object.
///
/// Integers of 64 bits and floats are kept apart and exact, `null` members are kept, and members are in the order of their keys. A
/// clone shares the bytes.
///
/// # Examples
///
/// ```
/// use serde_json::json;
/// use upvector::Metadata;
/// let metadata = Metadata::from_json(br#"{"year": 1936, "tags": ["logic", "machines"]}"#)?;
/// assert_eq!(metadata.get("tags[#-1]"), Some(json!("machines")));
/// assert_eq!(metadata.get("tags[2]"), None);
/// assert_eq!(metadata.to_json(), br#"{"tags":["logic","machines"],"year":1936}"#);
/// # Ok::<(), upvector::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Metadata(Arc<[u8]>);

impl Metadata {
    /// Most bytes of JSON text that one record's metadata may be: 48 KiB.
    pub const JSON_BYTES_MAX: usize = 48 << 10;

    /// Most levels of objects and arrays, the outermost included.
    pub const DEPTH_MAX: usize = 64;

    /// Reads a JSON object. Of members with equal keys the last counts.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] over [`JSON_BYTES_MAX`](Self::JSON_BYTES_MAX) or [`DEPTH_MAX`](Self::DEPTH_MAX), [`Error::Invalid`] for what
    /// is not a JSON object.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        Self::from_json_within(json, Self::JSON_BYTES_MAX)
    }

    /// [`from_json`](Self::from_json) with another limit of bytes.
    ///
    /// # Errors
    ///
    /// As [`from_json`](Self::from_json).
    pub fn from_json_within(json: &[u8], bytes_max: usize) -> Result<Self> {
        if json.len() > bytes_max {
            return Err(too_large(json.len(), bytes_max));
        }
        let map: Map<String, Value> = serde_json::from_slice(json)
            .map_err(|error| Error::invalid(format!("metadata is not a JSON object: {error}")))?;
        let metadata = Self::from(map);
        metadata.check_depth()?;
        Ok(metadata)
    }

    /// Refuses what [`from_json`](Self::from_json) would have refused, for metadata made by a conversion.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] over `bytes_max` of compact JSON text or [`DEPTH_MAX`](Self::DEPTH_MAX).
    pub fn check_limits(&self, bytes_max: usize) -> Result<()> {
        self.check_depth()?;
        let json = self.to_json().len();
        if json > bytes_max {
            return Err(too_large(json, bytes_max));
        }
        Ok(())
    }

    fn check_depth(&self) -> Result<()> {
        let depth = View::read(&self.0).map_or(0, View::depth);
        if depth > Self::DEPTH_MAX {
            return Err(Error::too_large("depth of metadata", depth, DEPTH_LIMIT));
        }
        Ok(())
    }

    /// The object as compact JSON text.
    pub fn to_json(&self) -> Vec<u8> {
        self.to_value().to_string().into_bytes()
    }

    /// The object as a value of `serde_json`.
    pub fn to_value(&self) -> Value {
        Value::Object(self.to_map())
    }

    fn to_map(&self) -> Map<String, Value> {
        match View::read(&self.0) {
            Some(View::Object(members)) => members.to_json(),
            _ => Map::new(),
        }
    }

    /// The value at a path as filters write it, or nothing if the path leads nowhere or is not a path.
    ///
    /// # Complexity
    ///
    /// A binary search in each object on the way; what the path passes by is not read.
    pub fn get(&self, path: &str) -> Option<Value> {
        let path = Path::parse(path).ok()?;
        self.find(&path).map(View::to_json)
    }

    pub(crate) fn find(&self, path: &Path) -> Option<View<'_>> {
        View::read(&self.0)?.find(path.segments())
    }

    /// This object with a patch applied as RFC 7396 says: members of the patch replace those here, objects merge, `null` removes.
    ///
    /// # Examples
    ///
    /// ```
    /// use upvector::Metadata;
    /// let metadata = Metadata::from_json(br#"{"a": {"b": 1, "c": 2}, "d": 3}"#)?;
    /// let patch = Metadata::from_json(br#"{"a": {"b": null}, "d": 4}"#)?;
    /// assert_eq!(metadata.merge_patch(&patch).to_json(), br#"{"a":{"c":2},"d":4}"#);
    /// # Ok::<(), upvector::Error>(())
    /// ```
    #[must_use]
    pub fn merge_patch(&self, patch: &Self) -> Self {
        let mut target = self.to_map();
        merge(&mut target, patch.to_map());
        target.into()
    }

    /// The binary form, which [`from_bytes`](Self::from_bytes) reads back.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes the binary form back.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for bytes that [`as_bytes`](Self::as_bytes) does not return for any metadata of at most
    /// [`DEPTH_MAX`](Self::DEPTH_MAX) levels.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        layout::check(bytes, Self::DEPTH_MAX)
            .map_err(|malformed| Error::invalid(format!("bytes are not metadata: {malformed}")))?;
        Ok(Self(bytes.into()))
    }

    /// Bytes that this takes on the heap, shared by its clones.
    pub fn heap_bytes(&self) -> usize {
        self.0.len() + 2 * size_of::<usize>()
    }
}

/// [`Metadata::DEPTH_MAX`] as errors print it.
const DEPTH_LIMIT: u32 = 64;
const _: () = assert!(DEPTH_LIMIT as usize == Metadata::DEPTH_MAX);

#[cold]
fn too_large(given: usize, limit: usize) -> Error {
    Error::too_large(
        "metadata bytes",
        given,
        u32::try_from(limit).unwrap_or(u32::MAX),
    )
}

fn merge(target: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.remove(&key);
            }
            Value::Object(patch) => {
                // A patch also cleans an object it creates: its nulls name nothing to remove.
                let member = target.entry(key).or_insert(Value::Null);
                if !member.is_object() {
                    *member = Value::Object(Map::new());
                }
                if let Value::Object(member) = member {
                    merge(member, patch);
                }
            }
            value => {
                target.insert(key, value);
            }
        }
    }
}

impl Default for Metadata {
    fn default() -> Self {
        Map::new().into()
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Metadata").field(&self.to_value()).finish()
    }
}

impl From<Map<String, Value>> for Metadata {
    fn from(map: Map<String, Value>) -> Self {
        let mut bytes = Vec::new();
        layout::encode_object(&map, &mut bytes);
        Self(bytes.into())
    }
}

impl TryFrom<Value> for Metadata {
    type Error = Error;

    fn try_from(value: Value) -> Result<Self> {
        match value {
            Value::Object(map) => Ok(map.into()),
            other => Err(Error::invalid(format!(
                "metadata is not a JSON object: {other}"
            ))),
        }
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_map().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Map::deserialize(deserializer).map(Self::from)
    }
}
