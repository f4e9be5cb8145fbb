//! How inputs, results and event data become bytes.
//!
//! Invariant: the codec of an engine is chosen when it is opened and must stay the same for runs that are alive; JSON, the default,
//! describes itself, so changed types fail loudly.

use std::fmt::Debug;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Largest payload: 64 MiB.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 64 << 20;

/// A translation between payload bytes and a self-describing value, for hosts that encrypt or compress what is journaled.
///
/// Values are serialised as JSON first; the codec sees those bytes.
pub trait Codec: Debug + Send + Sync {
    /// The bytes to journal for this JSON text.
    ///
    /// # Errors
    ///
    /// A text that says why; the call that needed it fails.
    fn encode(&self, json: Vec<u8>) -> Result<Vec<u8>, String>;

    /// The JSON text that was journaled as these bytes.
    ///
    /// # Errors
    ///
    /// A text that says why; the call that needed it fails.
    fn decode(&self, bytes: Bytes) -> Result<Bytes, String>;
}

/// The default [`Codec`]: JSON as it is.
#[derive(Copy, Clone, Debug, Default)]
pub struct Json;

impl Codec for Json {
    fn encode(&self, json: Vec<u8>) -> Result<Vec<u8>, String> {
        Ok(json)
    }

    fn decode(&self, bytes: Bytes) -> Result<Bytes, String> {
        Ok(bytes)
    }
}

pub(crate) fn encode<T: Serialize + ?Sized>(codec: &dyn Codec, value: &T) -> Result<Bytes> {
    let json = serde_json::to_vec(value)
        .map_err(|e| Error::Payload(format!("a value cannot be written as JSON: {e}").into()))?;
    let bytes = codec
        .encode(json)
        .map_err(|e| Error::Payload(format!("the codec refused a value: {e}").into()))?;
    if bytes.len() > PAYLOAD_BYTES_MAX {
        return Err(Error::TooLarge {
            what: "a payload in bytes",
            limit: u32::try_from(PAYLOAD_BYTES_MAX).unwrap_or(u32::MAX),
            given: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        });
    }
    Ok(bytes.into())
}

pub(crate) fn decode<T: DeserializeOwned>(codec: &dyn Codec, bytes: Bytes) -> Result<T> {
    let json = codec
        .decode(bytes)
        .map_err(|e| Error::Payload(format!("the codec cannot read a value: {e}").into()))?;
    serde_json::from_slice(&json).map_err(|e| {
        let wanted = std::any::type_name::<T>();
        Error::Payload(format!("a recorded value is not a {wanted}: {e}").into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_another_type_is_named() {
        let bytes = encode(&Json, "text").unwrap();
        assert_eq!(decode::<String>(&Json, bytes.clone()).unwrap(), "text");
        let error = decode::<u32>(&Json, bytes).unwrap_err().to_string();
        assert!(error.contains("u32"), "{error}");
    }
}
