//! `HyperLogLog` in a string, byte for byte as Redis keeps it: sixteen bytes of header, then registers.
//!
//! Header: `HYLL`, form (0 dense, 1 sparse), three zero bytes, the cached count (u64, little-endian; its
//! highest bit says that it is out of date). Dense: 16384 registers of six bits, lowest bits first. Sparse:
//! runs of registers, see [`sparse`].
//!
//! Invariant: no bytes make a function here panic; what is not an HLL is refused when it is read.

pub(crate) mod estimate;
pub(crate) mod sparse;

use crate::error::{Error, Result};

pub(crate) const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of a hash that pick the register.
pub(crate) const INDEX_BITS: u32 = 14;
/// Bits of a hash that are counted.
pub(crate) const RANK_BITS: u32 = 64 - INDEX_BITS;
const REGISTER_BITS: usize = 6;
pub(crate) const HEADER_BYTES: usize = 16;
const MAGIC: &[u8; 4] = b"HYLL";
const DENSE_BYTES: usize = HEADER_BYTES + REGISTERS * REGISTER_BITS / 8;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
/// Where the flag is that the cached count is out of date.
const STALE_AT: usize = 15;
const STALE: u8 = 1 << 7;

#[cold]
pub(crate) fn corrupted() -> Error {
    Error::refused("INVALIDOBJ Corrupted HLL object detected")
}

/// An HLL being read or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hll {
    bytes: Vec<u8>,
}

impl Hll {
    /// One that counts nothing.
    pub(crate) fn new() -> Self {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4] = SPARSE;
        sparse::push_zeros(&mut bytes, REGISTERS);
        Self { bytes }
    }

    /// Takes the bytes of a string, if they are an HLL.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        Self::check(bytes)?;
        let bytes = bytes.to_vec();
        Ok(Self { bytes })
    }

    fn check(bytes: &[u8]) -> Result<()> {
        let known = bytes.len() >= HEADER_BYTES && bytes.starts_with(MAGIC);
        let fits = known
            && match bytes[4] {
                DENSE => bytes.len() == DENSE_BYTES,
                form => form == SPARSE,
            };
        fits.then_some(())
            .ok_or_else(|| Error::refused("WRONGTYPE Key is not a valid HyperLogLog string value."))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn is_dense(&self) -> bool {
        self.bytes[4] == DENSE
    }

    /// The runs of the sparse form.
    pub(crate) fn runs(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..]
    }

    /// Counts an element; whether that changed a register.
    pub(crate) fn add(&mut self, element: &[u8]) -> Result<bool> {
        let (index, rank) = estimate::place(element);
        self.raise(index, rank)
    }

    /// Raises a register to `rank`; whether it was lower.
    pub(crate) fn raise(&mut self, index: usize, rank: u8) -> Result<bool> {
        if !self.is_dense() {
            match sparse::raise(&mut self.bytes, index, rank).ok_or_else(corrupted)? {
                sparse::Raised::Not => return Ok(false),
                sparse::Raised::Yes => return Ok(true),
                sparse::Raised::TooLarge => self.densify()?,
            }
        }
        let present = dense_register(&self.bytes, index);
        if rank > present {
            set_dense_register(&mut self.bytes, index, rank);
        }
        Ok(rank > present)
    }

    /// Says that the cached count is out of date.
    pub(crate) fn mark_stale(&mut self) {
        self.bytes[STALE_AT] |= STALE;
    }

    /// Whether the cached count is out of date.
    pub(crate) fn is_stale(&self) -> bool {
        self.bytes[STALE_AT] & STALE != 0
    }

    /// Caches the count.
    pub(crate) fn keep_count(&mut self, count: u64) {
        self.bytes[8..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
    }

    /// Changes to the dense form.
    pub(crate) fn densify(&mut self) -> Result<()> {
        if self.is_dense() {
            return Ok(());
        }
        let registers = self.registers()?;
        let mut dense = vec![0; DENSE_BYTES];
        dense[..HEADER_BYTES].copy_from_slice(&self.bytes[..HEADER_BYTES]);
        dense[4] = DENSE;
        for (index, rank) in registers.iter().enumerate() {
            if *rank > 0 {
                set_dense_register(&mut dense, index, *rank);
            }
        }
        self.bytes = dense;
        Ok(())
    }

    /// All registers.
    pub(crate) fn registers(&self) -> Result<Vec<u8>> {
        if self.is_dense() {
            let register = |index| dense_register(&self.bytes, index);
            return Ok((0..REGISTERS).map(register).collect());
        }
        sparse::registers(self.runs()).ok_or_else(corrupted)
    }

    /// The estimated number of distinct elements, from the cache if that is up to date.
    pub(crate) fn count(&self) -> Result<u64> {
        let (_, cached) = self.bytes[..HEADER_BYTES].split_at(8);
        let cached = cached.try_into().map(u64::from_le_bytes);
        match cached {
            Ok(cached) if self.bytes[STALE_AT] & STALE == 0 => Ok(cached),
            _ => Ok(estimate::count(&self.registers()?)),
        }
    }
}

fn dense_register(bytes: &[u8], index: usize) -> u8 {
    let (at, shift) = dense_place(index);
    let high = bytes.get(at + 1).copied().unwrap_or(0);
    let pair = u16::from_le_bytes([bytes[at], high]);
    (pair >> shift).to_le_bytes()[0] & 0x3f
}

fn set_dense_register(bytes: &mut [u8], index: usize, rank: u8) {
    let (at, shift) = dense_place(index);
    let high = bytes.get(at + 1).copied().unwrap_or(0);
    let pair = u16::from_le_bytes([bytes[at], high]);
    let pair = (pair & !(0x3f << shift)) | (u16::from(rank & 0x3f) << shift);
    let [low, high] = pair.to_le_bytes();
    bytes[at] = low;
    if let Some(next) = bytes.get_mut(at + 1) {
        *next = high;
    }
}

fn dense_place(index: usize) -> (usize, usize) {
    let bit = index * REGISTER_BITS;
    (HEADER_BYTES + bit / 8, bit % 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_one_is_eighteen_bytes() {
        let hll = Hll::new();
        assert_eq!(hll.bytes(), b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff");
        assert_eq!(hll.count().expect("valid"), 0);
    }

    #[test]
    fn both_forms_hold_the_same_registers() {
        let mut sparse = Hll::new();
        let mut dense = Hll::new();
        dense.densify().expect("valid");
        for element in 0..600_u32 {
            let element = element.to_le_bytes();
            let a = sparse.add(&element).expect("valid");
            let b = dense.add(&element).expect("valid");
            assert_eq!(a, b);
        }
        assert!(!sparse.is_dense());
        assert_eq!(
            sparse.registers().expect("valid"),
            dense.registers().expect("valid")
        );
        sparse.densify().expect("valid");
        assert_eq!(sparse, dense);
    }

    #[test]
    fn estimates_are_close_and_the_form_grows() {
        let mut hll = Hll::new();
        for element in 0..100_000_u32 {
            hll.add(&element.to_le_bytes()).expect("valid");
        }
        hll.mark_stale();
        assert!(hll.is_dense());
        let count = hll.count().expect("valid");
        assert!((97_000..103_000).contains(&count), "{count}");
    }

    #[test]
    fn any_bytes_are_refused_or_read() {
        for len in 0..40 {
            assert!(Hll::parse(&vec![b'x'; len]).is_err());
        }
        let mut damaged = Hll::new().bytes().to_vec();
        for last in 0..=255 {
            for more in [&[][..], &[0], &[0x80], &[0x40]] {
                damaged.truncate(HEADER_BYTES + 1);
                damaged.push(last);
                damaged.extend_from_slice(more);
                let mut hll = Hll::parse(&damaged).expect("a sparse header");
                hll.mark_stale();
                let (count, added) = (hll.count(), hll.add(b"x"));
                assert!(count.is_err() || added.is_ok());
            }
        }
        for len in [HEADER_BYTES, HEADER_BYTES + 1] {
            let mut hll = Hll::parse(&damaged[..len]).expect("a sparse header");
            hll.mark_stale();
            assert!(hll.count().is_err() && hll.add(b"x").is_err());
        }
    }
}
