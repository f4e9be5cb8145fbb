//! Bytes to values and back: the hand-written little-endian codec, and the only place that names `bincode`.
//!
//! Invariant: a decoder never panics and never allocates more than the input it was given, whatever the bytes are; every
//! encoding is pinned by golden bytes below. `bincode` serves small cold records only, behind a checksum: its configuration is
//! little-endian, fixed-width, limited to 1 MiB, and every byte must be consumed.

use std::fmt;

pub use bincode::{Decode, Encode};

/// Why bytes are not a value; names what was expected.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed bytes: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// Appends one byte.
pub fn put_u8(out: &mut Vec<u8>, value: u8) {
    out.push(value);
}

/// Appends two bytes, little-endian.
pub fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends four bytes, little-endian.
pub fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends eight bytes, little-endian.
pub fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends eight bytes, two's complement, little-endian.
pub fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends the four bytes of an IEEE 754 number, little-endian.
pub fn put_f32(out: &mut Vec<u8>, value: f32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends the eight bytes of an IEEE 754 number, little-endian.
pub fn put_f64(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a four-byte length and then the bytes.
///
/// # Panics
///
/// If there are 4 GiB of bytes or more: every caller's own limit is far below.
pub fn put_bytes(out: &mut Vec<u8>, value: &[u8]) {
    let len = u32::try_from(value.len()).expect("limits of callers keep lengths below 4 GiB");
    put_u32(out, len);
    out.extend_from_slice(value);
}

/// Appends an unsigned number in groups of seven bits, lowest first, one to ten bytes.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Reads values off the front of a slice.
///
/// # Examples
///
/// ```
/// use upkv::storage::codec::{Reader, put_bytes, put_u16, put_varint};
/// let mut out = Vec::new();
/// put_u16(&mut out, 7);
/// put_bytes(&mut out, b"ada");
/// put_varint(&mut out, 300);
/// let mut reader = Reader::new(&out);
/// assert_eq!((reader.u16()?, reader.bytes()?, reader.varint()?), (7, &b"ada"[..], 300));
/// reader.finish()?;
/// # Ok::<(), upkv::storage::codec::Malformed>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// Bytes not read yet.
    pub const fn remaining(&self) -> usize {
        self.left.len()
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let (head, tail) = self.left.split_first_chunk::<N>().ok_or(Malformed(what))?;
        self.left = tail;
        Ok(*head)
    }

    /// One byte.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if nothing is left.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>("u8").map(|[byte]| byte)
    }

    /// Two bytes, little-endian.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if fewer are left.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array("u16").map(u16::from_le_bytes)
    }

    /// Four bytes, little-endian.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if fewer are left.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array("u32").map(u32::from_le_bytes)
    }

    /// Eight bytes, little-endian.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if fewer are left.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array("u64").map(u64::from_le_bytes)
    }

    /// Eight bytes, two's complement, little-endian.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if fewer are left.
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.array("i64").map(i64::from_le_bytes)
    }

    /// The four bytes of an IEEE 754 number; any bit pattern, not-a-number included.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if fewer are left.
    pub fn f32(&mut self) -> Result<f32, Malformed> {
        self.array("f32").map(f32::from_le_bytes)
    }

    /// The eight bytes of an IEEE 754 number; any bit pattern, not-a-number included.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if fewer are left.
    pub fn f64(&mut self) -> Result<f64, Malformed> {
        self.array("f64").map(f64::from_le_bytes)
    }

    /// A slice preceded by its four-byte length; nothing is copied.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the length says more than is left.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let start = self.left;
        let len = self.u32()? as usize;
        self.take(len)
            .inspect_err(|_| self.left = start)
            .map_err(|_| Malformed("byte string"))
    }

    /// A byte string, as [`bytes`](Self::bytes), that is UTF-8.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the length says more than is left, or the bytes are not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("UTF-8 text"))
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if fewer are left.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self
            .left
            .split_at_checked(n)
            .ok_or(Malformed("more bytes"))?;
        self.left = tail;
        Ok(head)
    }

    /// A number written by [`put_varint`], in its shortest form only.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the bytes end inside it, it is over 64 bits, or a shorter form exists.
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8().map_err(|_| Malformed("varint"))?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed("varint of at most 64 bits"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                // One encoding per value: two files with equal content are equal.
                return if byte == 0 && shift > 0 {
                    Err(Malformed("shortest varint"))
                } else {
                    Ok(value)
                };
            }
        }
        Err(Malformed("varint of at most 64 bits"))
    }

    /// Everything left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.left)
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if bytes are left over.
    pub fn finish(self) -> Result<(), Malformed> {
        if self.left.is_empty() {
            Ok(())
        } else {
            Err(Malformed("end of the value"))
        }
    }
}

/// Most bytes [`decode_small`] reads; who writes more with [`encode_small`] cannot read it again.
pub const SMALL_BYTES_MAX: usize = 1 << 20;

fn small() -> impl bincode::config::Config {
    bincode::config::standard()
        .with_little_endian()
        .with_fixed_int_encoding()
        .with_limit::<SMALL_BYTES_MAX>()
}

/// Encodes a small cold record.
///
/// # Panics
///
/// If a hand-written `Encode` of the type fails; derived ones cannot.
pub fn encode_small<T: Encode>(value: &T) -> Vec<u8> {
    bincode::encode_to_vec(value, small()).expect("encoding into memory does not fail")
}

/// Decodes a small cold record whose checksum has been verified.
///
/// # Errors
///
/// [`Malformed`] if the bytes are not exactly one value of the type, or more than [`SMALL_BYTES_MAX`].
pub fn decode_small<T: Decode<()>>(bytes: &[u8]) -> Result<T, Malformed> {
    let (value, used) =
        bincode::decode_from_slice(bytes, small()).map_err(|_| Malformed("small record"))?;
    if used == bytes.len() {
        Ok(value)
    } else {
        Err(Malformed("end of the small record"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_bytes() {
        let mut out = Vec::new();
        put_u8(&mut out, 1);
        put_u16(&mut out, 0x0203);
        put_u32(&mut out, 0x0405_0607);
        put_u64(&mut out, 0x0809_0a0b_0c0d_0e0f);
        put_i64(&mut out, -2);
        put_f32(&mut out, 1.5);
        put_f64(&mut out, -0.25);
        put_bytes(&mut out, b"ab");
        put_varint(&mut out, 300);
        let want = [
            &[1][..],
            &[3, 2],
            &[7, 6, 5, 4],
            &[15, 14, 13, 12, 11, 10, 9, 8],
            &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0, 0, 0xc0, 0x3f],
            &[0, 0, 0, 0, 0, 0, 0xd0, 0xbf],
            &[2, 0, 0, 0, b'a', b'b'],
            &[0xac, 0x02],
        ]
        .concat();
        assert_eq!(out, want);
        let mut reader = Reader::new(&out);
        assert_eq!(
            (reader.u8(), reader.u16(), reader.u32()),
            (Ok(1), Ok(0x0203), Ok(0x0405_0607))
        );
        assert_eq!(
            (reader.u64(), reader.i64()),
            (Ok(0x0809_0a0b_0c0d_0e0f), Ok(-2))
        );
        assert_eq!((reader.f32(), reader.f64()), (Ok(1.5), Ok(-0.25)));
        assert_eq!((reader.text(), reader.varint()), (Ok("ab"), Ok(300)));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[derive(Encode, Decode, Debug, PartialEq)]
    struct Sample {
        id: u32,
        name: String,
        extra: Option<u64>,
        list: Vec<u16>,
        kind: Kind,
    }

    #[derive(Encode, Decode, Debug, PartialEq)]
    enum Kind {
        Zero,
        One(bool),
    }

    #[test]
    fn golden_small_record() {
        let sample = Sample {
            id: 0x0102,
            name: "ab".into(),
            extra: Some(3),
            list: vec![4, 5],
            kind: Kind::One(true),
        };
        let want = [
            &[2, 1, 0, 0][..],
            &[2, 0, 0, 0, 0, 0, 0, 0, b'a', b'b'],
            &[1, 3, 0, 0, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0, 0, 0, 0, 0, 4, 0, 5, 0],
            &[1, 0, 0, 0, 1],
        ]
        .concat();
        assert_eq!(encode_small(&sample), want);
        assert_eq!(decode_small(&want), Ok(sample));
        assert_eq!(encode_small(&Kind::Zero), [0, 0, 0, 0]);
        let mut longer = want.clone();
        longer.push(0);
        assert_eq!(
            decode_small::<Sample>(&longer),
            Err(Malformed("end of the small record"))
        );
        for cut in 0..want.len() {
            assert!(
                decode_small::<Sample>(&want[..cut]).is_err(),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_declared_length_allocates_nothing() {
        let mut huge = vec![0; 4];
        put_u64(&mut huge, u64::MAX >> 1);
        assert!(decode_small::<Sample>(&huge).is_err());
        assert_eq!(
            Reader::new(&[0xff; 8]).bytes(),
            Err(Malformed("byte string"))
        );
    }

    #[test]
    fn varints_have_one_form() {
        for value in [
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            u64::from(u32::MAX),
            u64::MAX,
        ] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(Reader::new(&out).varint(), Ok(value));
            for cut in 0..out.len() {
                assert!(Reader::new(&out[..cut]).varint().is_err());
            }
        }
        for bad in [&[0x80, 0][..], &[0xff; 10], &[0xff; 11]] {
            assert!(Reader::new(bad).varint().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn reading_random_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), ops in proptest::collection::vec(0_u8..9, 0..40)) {
            let mut reader = Reader::new(&bytes);
            for op in ops {
                let before = reader.remaining();
                let failed = match op {
                    0 => reader.u8().is_err(),
                    1 => reader.u16().is_err(),
                    2 => reader.u32().is_err(),
                    3 => reader.u64().is_err(),
                    4 => reader.bytes().is_err(),
                    5 => reader.f64().is_err(),
                    6 => reader.take(3).is_err(),
                    7 => reader.text().is_err(),
                    _ => reader.varint().is_err(),
                };
                prop_assert!(reader.remaining() < before || failed);
            }
            let _any = decode_small::<Sample>(&bytes);
        }

        #[test]
        fn small_records_round_trip(id: u32, name: String, extra: Option<u64>, list: Vec<u16>) {
            let sample = Sample { id, name, extra, list, kind: Kind::Zero };
            prop_assert_eq!(decode_small(&encode_small(&sample)), Ok(sample));
        }
    }
}
