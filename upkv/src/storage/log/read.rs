//! Reading one record back from where it was written.

use std::sync::Arc;

use bytes::Bytes;

use super::super::address::Address;
use super::super::error::{Error, Result};
use super::super::format::{RECORD_HEADER, RecordHeader, verified_record};
use super::{Log, Segment};

/// A range of a mapped segment that keeps the mapping alive.
pub(crate) struct SegmentBytes {
    segment: Arc<Segment>,
    start: usize,
    len: usize,
}

impl SegmentBytes {
    /// The range, if it lies inside the sealed part of the segment.
    pub(crate) fn new(segment: Arc<Segment>, start: usize, len: usize) -> Option<Self> {
        segment.map()?.get(start, len)?;
        Some(Self {
            segment,
            start,
            len,
        })
    }
}

impl AsRef<[u8]> for SegmentBytes {
    fn as_ref(&self) -> &[u8] {
        self.segment
            .map()
            .and_then(|map| map.get(self.start, self.len))
            .unwrap_or_default()
    }
}

impl Log {
    /// The verified body of the record at `at`: a view into the mapping where the segment is sealed, a copy otherwise.
    ///
    /// # Errors
    ///
    /// `Corrupt` if the bytes are not the record that was written there.
    pub(crate) fn read(&self, at: Address) -> Result<Bytes> {
        let Some(segment) = self.segments.get(at.segment) else {
            let path = super::path_of(&self.dir, at.segment);
            return Err(Error::corrupt(
                path,
                u64::from(at.offset),
                "the segment is missing",
            ));
        };
        let damaged = || {
            Error::corrupt(
                &segment.path,
                u64::from(at.offset),
                "record checksum does not match",
            )
        };
        let start = at.offset as usize;
        let total = RECORD_HEADER + at.len as usize;
        if let Some(map) = segment.map() {
            let bytes = map.get(start, total).ok_or_else(damaged)?;
            check(bytes, segment.salt, at).ok_or_else(damaged)?;
            let body = SegmentBytes::new(segment.clone(), start + RECORD_HEADER, at.len as usize);
            return Ok(Bytes::from_owner(body.ok_or_else(damaged)?));
        }
        // The head: its newest bytes may still be in memory.
        self.flush(self.last_seq())?;
        let mut bytes = vec![0; total];
        let read = segment
            .file
            .read_at(u64::from(at.offset), &mut bytes)
            .map_err(|e| Error::io("read", &segment.path, e))?;
        bytes.truncate(read);
        check(&bytes, segment.salt, at).ok_or_else(damaged)?;
        Ok(Bytes::from(bytes).slice(RECORD_HEADER..))
    }

    /// Whether the record is in a sealed, mapped segment.
    pub(crate) fn is_sealed(&self, at: Address) -> bool {
        self.segments
            .get(at.segment)
            .is_some_and(|segment| segment.map().is_some())
    }
}

fn check(bytes: &[u8], salt: u64, at: Address) -> Option<()> {
    let header = RecordHeader::decode(bytes)?;
    (header.len == at.len).then_some(())?;
    verified_record(bytes, salt, at.offset).map(|_| ())
}
