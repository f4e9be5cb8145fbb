//! Reading the primitives of the format: bytes, lengths, strings; with position and checksum.

use std::io::{ErrorKind, Read};

use super::{RdbError, STRING_BYTES_MAX, Text, checksum, lzf};

/// Bytes that are asked for at once on the word of a length alone.
const CHUNK_BYTES: usize = 64 << 10;

pub(super) type Result<T> = std::result::Result<T, RdbError>;

/// See the module documentation.
pub(super) struct Source<'r> {
    input: &'r mut dyn Read,
    at: u64,
    checksum: u64,
}

/// A length, or the code of a special string encoding in its place.
enum Length {
    Plain(u64),
    Special(u8),
}

impl<'r> Source<'r> {
    pub(super) fn new(input: &'r mut dyn Read) -> Self {
        Self {
            input,
            at: 0,
            checksum: 0,
        }
    }

    /// Bytes read so far.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Checksum of the bytes read so far.
    pub(super) fn checksum(&self) -> u64 {
        self.checksum
    }

    pub(super) fn malformed(&self, what: &'static str) -> RdbError {
        RdbError::Malformed { at: self.at, what }
    }

    /// Whether nothing follows.
    pub(super) fn is_done(&mut self) -> Result<bool> {
        match self.array::<1>() {
            Ok(_) => Ok(false),
            Err(RdbError::Truncated { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        match self.input.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(RdbError::Truncated { at: self.at });
            }
            Err(error) => return Err(error.into()),
        }
        self.note(&bytes);
        Ok(bytes)
    }

    fn note(&mut self, bytes: &[u8]) {
        self.at += bytes.len() as u64;
        self.checksum = checksum::update(self.checksum, bytes);
    }

    /// `len` bytes; memory grows only as they arrive.
    fn bytes(&mut self, len: usize) -> Result<Text> {
        let mut bytes = Vec::with_capacity(len.min(CHUNK_BYTES));
        Read::take(&mut *self.input, len as u64).read_to_end(&mut bytes)?;
        self.note(&bytes);
        if bytes.len() < len {
            return Err(RdbError::Truncated { at: self.at });
        }
        Ok(bytes)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(super) fn f64(&mut self) -> Result<f64> {
        self.array().map(f64::from_le_bytes)
    }

    fn length_or_special(&mut self) -> Result<Length> {
        let first = self.u8()?;
        let low = first & 0x3f;
        Ok(match (first >> 6, first) {
            (0, _) => Length::Plain(u64::from(low)),
            (1, _) => Length::Plain(u64::from(low) << 8 | u64::from(self.u8()?)),
            (3, _) => Length::Special(low),
            (_, 0x80) => Length::Plain(u64::from(u32::from_be_bytes(self.array()?))),
            (_, 0x81) => Length::Plain(u64::from_be_bytes(self.array()?)),
            _ => return Err(self.malformed("a length")),
        })
    }

    /// A length or other unsigned number.
    pub(super) fn length(&mut self) -> Result<u64> {
        match self.length_or_special()? {
            Length::Plain(value) => Ok(value),
            Length::Special(_) => Err(self.malformed("a length")),
        }
    }

    /// A string in any of its encodings.
    pub(super) fn string(&mut self) -> Result<Text> {
        let decimal = |value: i32| value.to_string().into_bytes();
        match self.length_or_special()? {
            Length::Plain(len) => {
                let len = self.size(len)?;
                self.bytes(len)
            }
            Length::Special(0) => Ok(decimal(i8::from_le_bytes(self.array()?).into())),
            Length::Special(1) => Ok(decimal(i16::from_le_bytes(self.array()?).into())),
            Length::Special(2) => Ok(decimal(i32::from_le_bytes(self.array()?))),
            Length::Special(3) => {
                let (packed, len) = (self.length()?, self.length()?);
                let (packed, len) = (self.size(packed)?, self.size(len)?);
                let packed = self.bytes(packed)?;
                lzf::decompress(&packed, len).ok_or_else(|| self.malformed("a compressed string"))
            }
            Length::Special(_) => Err(self.malformed("a string encoding")),
        }
    }

    fn size(&self, len: u64) -> Result<usize> {
        let len = usize::try_from(len).ok();
        len.filter(|len| *len <= STRING_BYTES_MAX)
            .ok_or_else(|| self.malformed("a string of at most 512 MiB"))
    }
}
