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
