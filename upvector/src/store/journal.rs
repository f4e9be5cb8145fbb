//! Facts about an index as bodies of log records, and back; `docs/format.md` has the byte tables.
//!
//! Invariant: decoding accepts exactly what encoding produces, without a panic and without allocating more than the bytes there are.

use bytes::Bytes;
use upkv::storage::codec::{Malformed, Reader, put_bytes, put_u8, put_u32, put_u64};

use crate::metadata::Metadata;
use crate::record::{DATA_BYTES_MAX, ID_BYTES_MAX, Prepared};
use crate::sparse::SparseVector;
use crate::spec::{DIMENSIONS_MAX, Shape};

/// Kinds of records.
pub(crate) mod kind {
    pub(crate) const SPEC: u8 = 1;
    pub(crate) const CREATED: u8 = 2;
    pub(crate) const RENAMED: u8 = 3;
    pub(crate) const DELETED: u8 = 4;
    pub(crate) const RESET: u8 = 5;
    pub(crate) const UPSERT: u8 = 6;
    pub(crate) const MOVED: u8 = 7;
    pub(crate) const REMOVED: u8 = 8;
}

const KEEPS_VECTOR: u8 = 1;
const DENSE: u8 = 2;
const SPARSE: u8 = 4;
const METADATA: u8 = 8;
const DATA: u8 = 16;

/// Bytes that the name of a namespace may have.
pub(crate) const NAME_BYTES_MAX: u32 = 4096;

/// One whole record of a namespace.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Upsert {
    pub(crate) namespace: u32,
    /// Its place in the order of insertion, from 1.
    pub(crate) sequence: u64,
    /// The dense vector is that of the version before, bit for bit.
    pub(crate) keeps_vector: bool,
    pub(crate) record: Prepared,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fact {
    Spec(Shape),
    Created {
        namespace: u32,
        name: Box<str>,
    },
    Renamed {
        namespace: u32,
        name: Box<str>,
    },
    Deleted {
        namespace: u32,
    },
    Reset {
        namespace: u32,
    },
    Upsert(Upsert),
    /// Collection wrote an upsert again.
    Moved(Upsert),
    Removed {
        namespace: u32,
        sequences: Vec<u64>,
    },
}

/// The body of an upsert.
pub(crate) fn encode_upsert(
    namespace: u32,
    sequence: u64,
    keeps_vector: bool,
    record: &Prepared,
    out: &mut Vec<u8>,
) {
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    put_u32(out, namespace);
    put_u64(out, sequence);
    put_u8(
        out,
        flag(keeps_vector, KEEPS_VECTOR)
            | flag(!record.dense.is_empty(), DENSE)
            | flag(record.sparse.is_some(), SPARSE)
            | flag(record.metadata.is_some(), METADATA)
            | flag(record.data.is_some(), DATA),
    );
    put_bytes(out, record.id.as_bytes());
    if !record.dense.is_empty() {
        put_u32(out, narrow(record.dense.len()));
        out.reserve(4 * record.dense.len());
        for x in &record.dense {
            out.extend_from_slice(&x.to_le_bytes());
        }
    }
    if let Some(sparse) = &record.sparse {
        put_u32(out, narrow(sparse.indices().len()));
        for index in sparse.indices() {
            out.extend_from_slice(&index.to_le_bytes());
        }
        for value in sparse.values() {
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
    if let Some(metadata) = &record.metadata {
        put_bytes(out, metadata.as_bytes());
    }
    if let Some(data) = &record.data {
        out.extend_from_slice(data.as_bytes());
    }
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).expect("a prepared vector has at most a few thousand components")
}

/// Namespace and sequence of an upsert, which its body begins with.
pub(crate) fn upsert_head(body: &[u8]) -> Result<(u32, u64), Malformed> {
    let mut input = Reader::new(body);
    Ok((input.u32()?, input.u64()?))
}

/// Reads an upsert.
pub(crate) fn decode_upsert(body: &[u8]) -> Result<Upsert, Malformed> {
    let mut input = Reader::new(body);
    let (namespace, sequence) = (input.u32()?, input.u64()?);
    let flags = input.u8()?;
    if flags >= 2 * DATA || sequence == 0 {
        return Err(Malformed("flags or sequence of a record"));
    }
    let id = text(&mut input, ID_BYTES_MAX)?;
    if id.is_empty() {
        return Err(Malformed("id of a record"));
    }
    let mut dense = Vec::new();
    if flags & DENSE != 0 {
        let count = input.u32()?;
        if count == 0 || count > u32::from(DIMENSIONS_MAX) {
            return Err(Malformed("dimension of a vector"));
        }
        dense = floats(input.take(4 * count as usize)?);
        if !dense.iter().all(|x| x.is_finite()) {
            return Err(Malformed("component of a vector"));
        }
    }
    let mut sparse = None;
    if flags & SPARSE != 0 {
        let count = input.u32()? as usize;
        let bytes = count.checked_mul(4).ok_or(Malformed("size of a vector"))?;
        let (indices, values) = (input.take(bytes)?, input.take(bytes)?);
        let indices = indices.as_chunks::<4>().0.iter().copied();
        let indices: Vec<i32> = indices.map(i32::from_le_bytes).collect();
        let vector = SparseVector::new(indices, floats(values));
        sparse = Some(vector.map_err(|_| Malformed("sparse vector"))?);
    }
    let mut metadata = None;
    if flags & METADATA != 0 {
        let value = Metadata::from_bytes(input.bytes()?);
        metadata = Some(value.map_err(|_| Malformed("metadata"))?);
    }
    let mut data = None;
    if flags & DATA != 0 {
        let rest = input.rest();
        if rest.len() > DATA_BYTES_MAX as usize {
            return Err(Malformed("length of data"));
        }
        let text = std::str::from_utf8(rest).map_err(|_| Malformed("text of data"))?;
        data = Some(text.into());
    }
    input.finish()?;
    Ok(Upsert {
        namespace,
        sequence,
        keeps_vector: flags & KEEPS_VECTOR != 0,
        record: Prepared {
            id,
            dense,
            sparse,
            metadata,
            data,
        },
    })
}

pub(crate) fn floats(bytes: &[u8]) -> Vec<f32> {
    let chunks = bytes.as_chunks::<4>().0.iter();
    chunks.map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn text(input: &mut Reader<'_>, most: u32) -> Result<Box<str>, Malformed> {
    let text = input.text()?;
    if text.len() > most as usize {
        return Err(Malformed("length of a name"));
    }
    Ok(text.into())
}

impl Fact {
    /// Kind and body of every fact but upserts, which [`encode_upsert`] writes without owning them.
    pub(crate) fn encode(&self) -> (u8, Vec<u8>) {
        let mut out = Vec::with_capacity(32);
        let kind = match self {
            Self::Spec(shape) => {
                out.extend_from_slice(&shape.encode());
                kind::SPEC
            }
            Self::Created { namespace, name } => {
                put_u32(&mut out, *namespace);
                put_bytes(&mut out, name.as_bytes());
                kind::CREATED
            }
            Self::Renamed { namespace, name } => {
                put_u32(&mut out, *namespace);
                put_bytes(&mut out, name.as_bytes());
                kind::RENAMED
            }
            Self::Deleted { namespace } => {
                put_u32(&mut out, *namespace);
                kind::DELETED
            }
            Self::Reset { namespace } => {
                put_u32(&mut out, *namespace);
                kind::RESET
            }
            Self::Upsert(upsert) | Self::Moved(upsert) => {
                let Upsert {
                    namespace,
                    sequence,
                    keeps_vector,
                    record,
                } = upsert;
                encode_upsert(*namespace, *sequence, *keeps_vector, record, &mut out);
                let moved = matches!(self, Self::Moved(_));
                if moved { kind::MOVED } else { kind::UPSERT }
            }
            Self::Removed {
                namespace,
                sequences,
            } => {
                put_u32(&mut out, *namespace);
                for sequence in sequences {
                    put_u64(&mut out, *sequence);
                }
                kind::REMOVED
            }
        };
        (kind, out)
    }

    /// Reads a record.
    pub(crate) fn decode(kind: u8, body: &[u8]) -> Result<Self, Malformed> {
        let mut input = Reader::new(body);
        let fact = match kind {
            kind::SPEC => {
                let bytes = input.take(4)?.as_chunks::<4>().0;
                let shape = bytes.first().and_then(|bytes| Shape::decode(*bytes));
                Self::Spec(shape.ok_or(Malformed("specification of an index"))?)
            }
            kind::CREATED => Self::Created {
                namespace: input.u32()?,
                name: text(&mut input, NAME_BYTES_MAX)?,
            },
            kind::RENAMED => Self::Renamed {
                namespace: input.u32()?,
                name: text(&mut input, NAME_BYTES_MAX)?,
            },
            kind::DELETED => Self::Deleted {
                namespace: input.u32()?,
            },
            kind::RESET => Self::Reset {
                namespace: input.u32()?,
            },
            kind::UPSERT => return Ok(Self::Upsert(decode_upsert(body)?)),
            kind::MOVED => return Ok(Self::Moved(decode_upsert(body)?)),
            kind::REMOVED => {
                let namespace = input.u32()?;
                let (sequences, rest) = input.rest().as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(Malformed("list of removed records"));
                }
                let sequences = sequences.iter().map(|n| u64::from_le_bytes(*n)).collect();
                Self::Removed {
                    namespace,
                    sequences,
                }
            }
            _ => return Err(Malformed("kind of a record")),
        };
        input.finish()?;
        Ok(fact)
    }
}

/// What a reader wants of a record besides what is in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Payload {
    pub(crate) sparse: Option<SparseVector>,
    pub(crate) data: Option<Box<str>>,
}

/// The parts of an upsert that are not kept in memory.
pub(crate) fn decode_payload(body: &Bytes) -> Result<Payload, Malformed> {
    let Prepared { sparse, data, .. } = decode_upsert(body)?.record;
    Ok(Payload { sparse, data })
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
