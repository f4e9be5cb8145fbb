//! The small values every engine and the log agree on: sequence numbers, addresses, tokens, levels.
//!
//! Invariant: these are plain data; nothing here does I/O or takes a lock.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::error::Error;

/// Commit number: the first commit of a store is 1, each later one is one more; 0 means "nothing yet".
pub type Seq = u64;

/// Where one record is in the log: segment, byte offset of its header, and bytes of its body.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Segment number.
    pub segment: u32,
    /// Byte offset of the record header in the segment.
    pub offset: u32,
    /// Bytes of the record's body.
    pub len: u32,
}

impl Address {
    /// Bytes the record takes in the log: header, body and padding.
    pub fn log_bytes(self) -> u64 {
        super::format::record_bytes(u64::from(self.len))
    }
}

/// Small number a mounted engine is known by inside one store.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MountId(pub(crate) u16);

impl MountId {
    /// The number as written in records.
    pub fn get(self) -> u16 {
        self.0
    }
}

/// What a commit survives once it is acknowledged.
///
/// | level | process crash | power loss |
/// |---|---|---|
/// | `Memory` | may be lost | may be lost |
/// | `Os` | kept | may be lost |
/// | `Interval(d)` | kept | the last `d` may be lost |
/// | `Disk` | kept | kept |
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Acknowledged from memory; lost with the process unless something later was written.
    Memory,
    /// Written to the operating system before the acknowledgement.
    Os,
    /// As `Os`, and synced at least once per interval.
    Interval(Duration),
    /// Written and synced (`fdatasync`) before the acknowledgement; concurrent commits share one sync.
    Disk,
}

/// A position in the one commit order of a store, the same for all its engines.
///
/// Printed and parsed as `incarnation-seq` in hexadecimal; opaque to callers otherwise.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// Changes whenever a store is opened after an unclean stop, so numbers of a lost tail are never mistaken for new ones.
    pub incarnation: u64,
    /// The commit number.
    pub seq: Seq,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:x}", self.incarnation, self.seq)
    }
}

impl FromStr for Token {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parse = |part: &str| u64::from_str_radix(part, 16).ok();
        text.split_once('-')
            .and_then(|(incarnation, seq)| {
                Some(Self {
                    incarnation: parse(incarnation)?,
                    seq: parse(seq)?,
                })
            })
            .ok_or_else(|| Error::misuse(format!("{text:?} is not a token")))
    }
}
