//! The longest common subsequence of two strings.

use std::ops::Range;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::value::STRING_BYTES_MAX;

/// Where the strings agree.
#[derive(Debug)]
pub(crate) struct Lcs {
    /// Parts of both strings that are equal, last first.
    matches: Vec<(Range<usize>, Range<usize>)>,
}

impl Lcs {
    /// Compares two strings.
    ///
    /// # Complexity
    ///
    /// O(n times m) in time and memory; what would take more than 512 MiB is refused.
    pub(crate) fn of(a: &[u8], b: &[u8]) -> Result<Self> {
        let width = b.len() + 1;
        let cells = (a.len() + 1).checked_mul(width);
        let cells = cells.filter(|cells| *cells <= STRING_BYTES_MAX / size_of::<u32>());
        let cells = cells.ok_or_else(|| {
            Error::refused(
                "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
            )
        })?;
        // Length for the first i and j bytes, at i * width + j.
        let mut lens = vec![0_u32; cells];
        for (i, x) in a.iter().enumerate() {
            for (j, y) in b.iter().enumerate() {
                let above = i * width + j;
                let len = if x == y {
                    lens[above] + 1
                } else {
                    lens[above + 1].max(lens[above + width])
                };
                lens[above + width + 1] = len;
            }
        }
        let (mut i, mut j) = (a.len(), b.len());
        let mut matches: Vec<(Range<usize>, Range<usize>)> = Vec::new();
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                (i, j) = (i - 1, j - 1);
                match matches.last_mut() {
                    Some((in_a, in_b)) if in_a.start == i + 1 && in_b.start == j + 1 => {
                        (in_a.start, in_b.start) = (i, j);
                    }
                    _ => matches.push((i..i + 1, j..j + 1)),
                }
            } else if lens[(i - 1) * width + j] > lens[i * width + j - 1] {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        Ok(Self { matches })
    }

    pub(crate) fn len(&self) -> usize {
        self.matches.iter().map(|(a, _)| a.len()).sum()
    }

    /// Parts of both strings that are equal, last first.
    pub(crate) fn matches(&self) -> &[(Range<usize>, Range<usize>)] {
        &self.matches
    }

    /// The subsequence, taken from the first string.
    pub(crate) fn text(&self, a: &[u8]) -> Bytes {
        let parts = self.matches.iter().rev();
        parts
            .flat_map(|(part, _)| a[part.clone()].iter().copied())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(a: &str, b: &str) -> String {
        let found = Lcs::of(a.as_bytes(), b.as_bytes()).expect("small");
        String::from_utf8(found.text(a.as_bytes()).to_vec()).expect("text")
    }

    #[test]
    fn finds_the_longest() {
        assert_eq!(text("ohmytext", "mynewtext"), "mytext");
        assert_eq!(text("abc", "xyz"), "");
        assert_eq!(text("", "abc"), "");
        assert_eq!(text("abc", "abc"), "abc");
    }

    #[test]
    fn matches_come_last_first_and_joined() {
        let found = Lcs::of(b"ohmytext", b"mynewtext").expect("small");
        assert_eq!(found.matches(), [(4..8, 5..9), (2..4, 0..2)]);
        assert_eq!(found.len(), 6);
    }

    /// The length by trying every subsequence of `a`.
    fn longest(a: &[u8], b: &[u8]) -> usize {
        let is_within = |part: &[u8]| {
            let mut rest = b.iter();
            part.iter().all(|byte| rest.any(|other| other == byte))
        };
        let chosen = |mask: u32| -> Vec<u8> {
            let bytes = a.iter().enumerate();
            let bytes = bytes.filter(|(at, _)| mask >> at & 1 == 1);
            bytes.map(|(_, byte)| *byte).collect()
        };
        let parts = (0..1_u32 << a.len()).map(chosen);
        let fits = parts.filter(|part| is_within(part));
        fits.map(|part| part.len()).max().expect("nothing fits too")
    }

    #[test]
    fn is_as_long_as_any_common_subsequence() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut bytes = |most: u64| -> Vec<u8> {
            let mut next = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state >> 20
            };
            let len = next() % (most + 1);
            (0..len).map(|_| b"abc"[(next() % 3) as usize]).collect()
        };
        for _ in 0..400 {
            let (a, b) = (bytes(9), bytes(12));
            let found = Lcs::of(&a, &b).expect("small");
            assert_eq!(found.len(), longest(&a, &b), "{a:?} {b:?}");
            for (in_a, in_b) in found.matches() {
                assert_eq!(a[in_a.clone()], b[in_b.clone()]);
            }
            assert_eq!(found.text(&a).len(), found.len());
        }
    }

    #[test]
    fn refuses_a_table_that_is_too_large() {
        let long = vec![0; 1 << 14];
        assert!(Lcs::of(&long, &long).is_err());
        let empty = Lcs::of(&long, b"").expect("a table of one row");
        assert_eq!((empty.len(), empty.matches()), (0, &[][..]));
    }
}
