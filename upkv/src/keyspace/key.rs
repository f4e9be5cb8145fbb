//! The name of a key as the tables hold it: short ones without an allocation of their own, so that finding one costs
//! one cache miss less.

use std::fmt;
use std::ops::Deref;

/// Longest key that is held in place; with its length and a mark it makes 24 bytes.
const INLINE_BYTES: usize = 22;

/// Bytes that do not change, found where the key is if they are few.
#[derive(Clone)]
pub(crate) struct Key(Bytes);

#[derive(Clone)]
enum Bytes {
    Here { len: u8, bytes: [u8; INLINE_BYTES] },
    Elsewhere(Box<[u8]>),
}

impl Key {
    /// A key that needs no allocation, if it is short enough.
    #[inline]
    pub(crate) fn in_place(key: &[u8]) -> Option<Self> {
        let mut bytes = [0; INLINE_BYTES];
        bytes.get_mut(..key.len())?.copy_from_slice(key);
        let len = u8::try_from(key.len()).ok()?;
        Some(Self(Bytes::Here { len, bytes }))
    }
}

impl Key {
    /// Bytes that a key takes beside itself.
    pub(crate) fn heap_bytes_of(key: &[u8]) -> usize {
        if key.len() <= INLINE_BYTES {
            0
        } else {
            key.len()
        }
    }
}

impl From<&[u8]> for Key {
    fn from(key: &[u8]) -> Self {
        Self::in_place(key).unwrap_or_else(|| Self(Bytes::Elsewhere(key.into())))
    }
}

impl From<Box<[u8]>> for Key {
    fn from(key: Box<[u8]>) -> Self {
        if key.len() <= INLINE_BYTES {
            Self::from(&*key)
        } else {
            Self(Bytes::Elsewhere(key))
        }
    }
}

impl From<Key> for Box<[u8]> {
    fn from(key: Key) -> Self {
        match key.0 {
            Bytes::Here { .. } => (*key).into(),
            Bytes::Elsewhere(bytes) => bytes,
        }
    }
}

impl Deref for Key {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Here { len, bytes } => &bytes[..usize::from(*len).min(INLINE_BYTES)],
            Bytes::Elsewhere(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_every_length_come_back() {
        for len in 0..64 {
            let bytes: Vec<u8> = (0..len).collect();
            let key = Key::from(&bytes[..]);
            assert_eq!(*key, bytes[..]);
            assert_eq!(*Key::from(bytes.clone().into_boxed_slice()), bytes[..]);
            assert_eq!(*Box::<[u8]>::from(key.clone()), bytes[..]);
            assert_eq!(
                Key::in_place(&bytes).is_some(),
                len as usize <= INLINE_BYTES
            );
        }
        assert_eq!(size_of::<Key>(), 24);
    }
}
