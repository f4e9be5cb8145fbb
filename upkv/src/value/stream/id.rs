//! Ids of stream entries: a time and a number, ordered, never reused.

use std::fmt;

/// The id of an entry: a time in ms since the Unix epoch, and a number among the entries of that time.
///
/// # Examples
///
/// ```
/// use upkv::StreamId;
/// let id = StreamId::new(1_526_919_030_474, 55);
/// assert_eq!(id.to_string(), "1526919030474-55");
/// assert!(id < StreamId::new(1_526_919_030_475, 0));
/// assert_eq!(StreamId::parse("7-1"), Some(StreamId::new(7, 1)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Time in ms since the Unix epoch.
    pub ms: u64,
    /// Number among the entries of that time.
    pub seq: u64,
}

impl StreamId {
    /// Below every entry; no entry has it.
    pub const MIN: Self = Self::new(0, 0);
    /// The highest id there can be.
    pub const MAX: Self = Self::new(u64::MAX, u64::MAX);

    /// An id of two parts.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(upkv::StreamId::new(0, 0), upkv::StreamId::MIN);
    /// ```
    pub const fn new(ms: u64, seq: u64) -> Self {
        Self { ms, seq }
    }

    /// The id that follows; `None` after the highest.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::StreamId;
    /// assert_eq!(StreamId::new(1, 2).next(), Some(StreamId::new(1, 3)));
    /// assert_eq!(StreamId::MAX.next(), None);
    /// ```
    pub fn next(self) -> Option<Self> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Self::new(self.ms, seq)),
            None => Some(Self::new(self.ms.checked_add(1)?, 0)),
        }
    }

    /// The id before; `None` before the lowest.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::StreamId;
    /// assert_eq!(StreamId::new(1, 0).previous(), Some(StreamId::new(0, u64::MAX)));
    /// assert_eq!(StreamId::MIN.previous(), None);
    /// ```
    pub fn previous(self) -> Option<Self> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Self::new(self.ms, seq)),
            None => Some(Self::new(self.ms.checked_sub(1)?, u64::MAX)),
        }
    }

    /// Reads `ms-seq`, or `ms` alone, which has 0 for the number; `None` if the text is neither.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::StreamId;
    /// assert_eq!(StreamId::parse("5"), Some(StreamId::new(5, 0)));
    /// assert_eq!(StreamId::parse("5-x"), None);
    /// ```
    pub fn parse(text: impl AsRef<[u8]>) -> Option<Self> {
        Self::parse_or(text.as_ref(), 0)
    }

    /// As [`StreamId::parse`] with another number for `ms` alone.
    pub(crate) fn parse_or(text: &[u8], seq: u64) -> Option<Self> {
        match text.iter().position(|byte| *byte == b'-') {
            None => Some(Self::new(part(text)?, seq)),
            Some(at) => Some(Self::new(part(&text[..at])?, part(&text[at + 1..])?)),
        }
    }
}

/// A part of an id: decimal digits.
pub(crate) fn part(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}
