//! The sparse form: runs of equal registers.
//!
//! | bytes | run |
//! |---|---|
//! | `00nnnnnn` | n + 1 registers are zero |
//! | `01nnnnnn nnnnnnnn` | n + 1 registers are zero |
//! | `1vvvvvnn` | n + 1 registers are v + 1 |
//!
//! A change splits the run that holds the register and joins equal neighbours within the next five runs,
//! which is where Redis looks, so that the bytes are the same.

use super::{HEADER_BYTES, REGISTERS};

/// Longest sparse HLL, header included; Redis' `hll-sparse-max-bytes`.
const SPARSE_BYTES_MAX: usize = 3000;
/// Highest rank a run can hold.
const RANK_MAX: u8 = 32;
const VALUES_MAX: usize = 4;
const SHORT_ZEROS_MAX: usize = 64;
/// Runs looked at to join neighbours.
const JOIN_RUNS: usize = 5;

/// One run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// 0 for zeros.
    pub(crate) rank: u8,
    pub(crate) len: usize,
    /// Bytes it takes.
    size: usize,
}

/// The run that bytes begin with; `None` if it is cut short.
fn first(bytes: &[u8]) -> Option<Run> {
    let head = *bytes.first()?;
    let low = usize::from(head & 0x3f);
    Some(match head >> 6 {
        0 => Run {
            rank: 0,
            len: low + 1,
            size: 1,
        },
        1 => Run {
            rank: 0,
            len: (low << 8 | usize::from(*bytes.get(1)?)) + 1,
            size: 2,
        },
        _ => Run {
            rank: (head >> 2 & 0x1f) + 1,
            len: usize::from(head & 3) + 1,
            size: 1,
        },
    })
}

/// All runs; the last item is `None` if the bytes are cut short.
pub(crate) fn runs(mut bytes: &[u8]) -> impl Iterator<Item = Option<Run>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let run = first(bytes);
        bytes = run.map_or(&[], |run| &bytes[run.size..]);
        Some(run)
    })
}

impl Run {
    /// Whether it is a run of zeros in two bytes.
    pub(crate) fn is_long_zeros(self) -> bool {
        self.rank == 0 && self.size == 2
    }
}

/// The registers that runs stand for, if they are as many as there have to be.
pub(crate) fn registers(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut registers = Vec::with_capacity(REGISTERS);
    for run in runs(bytes) {
        let run = run?;
        let len = registers.len() + run.len;
        if len > REGISTERS {
            return None;
        }
        registers.resize(len, run.rank);
    }
    (registers.len() == REGISTERS).then_some(registers)
}

/// Appends a run of zeros, at least one.
pub(super) fn push_zeros(out: &mut Vec<u8>, len: usize) {
    let [low, high, ..] = (len - 1).to_le_bytes();
    if len > SHORT_ZEROS_MAX {
        out.extend([0x40 | high, low]);
    } else {
        out.push(low);
    }
}

/// One to four registers of one rank above zero.
fn values(rank: u8, len: usize) -> u8 {
    let [low, ..] = (len - 1).to_le_bytes();
    0x80 | (rank - 1) << 2 | low
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Raised {
    Yes,
    /// The register was that high.
    Not,
    /// It needs the dense form; nothing changed.
    TooLarge,
}

/// Raises a register of the sparse HLL in `bytes`; `None` if the runs are malformed.
pub(super) fn raise(bytes: &mut Vec<u8>, index: usize, rank: u8) -> Option<Raised> {
    if rank > RANK_MAX {
        return Some(Raised::TooLarge);
    }
    let (mut at, mut start, mut before) = (HEADER_BYTES, 0, None);
    let run = loop {
        let run = first(bytes.get(at..)?)?;
        if index < start + run.len {
            break run;
        }
        before = Some(at);
        at += run.size;
        start += run.len;
    };
    if run.rank >= rank {
        return Some(Raised::Not);
    }
    let mut parts = Vec::with_capacity(5);
    let unchanged = |parts: &mut Vec<u8>, len: usize| match (len, run.rank) {
        (0, _) => {}
        (len, 0) => push_zeros(parts, len),
        (len, value) => parts.push(values(value, len)),
    };
    unchanged(&mut parts, index - start);
    parts.push(values(rank, 1));
    unchanged(&mut parts, start + run.len - 1 - index);
    if parts.len() > run.size && bytes.len() + parts.len() - run.size > SPARSE_BYTES_MAX {
        return Some(Raised::TooLarge);
    }
    bytes.splice(at..at + run.size, parts);
    join(bytes, before.unwrap_or(HEADER_BYTES));
    Some(Raised::Yes)
}

/// Joins neighbouring runs of one rank, from a position on.
fn join(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOIN_RUNS {
        let Some(run) = bytes.get(at..).and_then(first) else {
            return;
        };
        let next = bytes.get(at + run.size..).and_then(first);
        match next {
            Some(next)
                if run.rank > 0 && next.rank == run.rank && run.len + next.len <= VALUES_MAX =>
            {
                bytes[at + 1] = values(run.rank, run.len + next.len);
                bytes.remove(at);
            }
            _ => at += run.size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        push_zeros(&mut bytes, REGISTERS);
        bytes
    }

    #[test]
    fn runs_split_and_join() {
        let mut bytes = empty();
        for (index, rank, expected) in [
            (0, 1, &[0x80, 0x7f, 0xfe][..]),
            (2, 1, &[0x80, 0x00, 0x80, 0x7f, 0xfc]),
            (1, 1, &[0x82, 0x7f, 0xfc]),
            (1, 3, &[0x80, 0x88, 0x80, 0x7f, 0xfc]),
            (16_383, 32, &[0x80, 0x88, 0x80, 0x7f, 0xfb, 0xfc]),
        ] {
            assert_eq!(raise(&mut bytes, index, rank), Some(Raised::Yes));
            assert_eq!(&bytes[HEADER_BYTES..], expected);
            assert_eq!(raise(&mut bytes, index, rank), Some(Raised::Not));
        }
        assert_eq!(raise(&mut bytes, 5, 33), Some(Raised::TooLarge));
    }

    #[test]
    fn registers_agree_with_an_array() {
        let (mut bytes, mut expected) = (empty(), vec![0_u8; REGISTERS]);
        let mut seed = 3_u64;
        for _ in 0..1500 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let index = usize::try_from(seed >> 33).expect("31 bits") % 2000;
            let rank = (seed >> 20).to_le_bytes()[0] % 6 + 1;
            let raised = raise(&mut bytes, index, rank).expect("well formed");
            if raised == Raised::TooLarge {
                continue;
            }
            assert_eq!(raised == Raised::Yes, rank > expected[index]);
            expected[index] = expected[index].max(rank);
            assert_eq!(registers(&bytes[HEADER_BYTES..]), Some(expected.clone()));
        }
        assert!(bytes.len() <= SPARSE_BYTES_MAX);
    }
}
