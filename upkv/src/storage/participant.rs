//! What an engine is to the store: the one seam between them.
//!
//! Invariant: the store never knows what a record means, and an engine never knows where segments begin or end. `apply` and
//! `restore` use no clock, no random number and no hash order, so that a replayed log gives the same engine everywhere.

use std::any::Any;
use std::time::Duration;

use super::address::{Address, MountId, Seq};
use super::checkpoint::{CheckpointReader, CheckpointWriter};
use super::clock::{Clock, Timestamp};
use super::error::Result;
use super::format::{FRAME_HEADER, RecordHeader, record_bytes};

/// An engine that stands on the store.
pub trait Participant: Any + Send + Sync {
    /// Takes in one commit's records of this engine, in commit order, while opening. Payloads need not be read.
    ///
    /// # Errors
    ///
    /// A record that does not decode is damage; the mount fails.
    fn apply(&self, section: &Section<'_>) -> Result<()>;

    /// Called once after the last [`Participant::apply`] and before anything else: load payloads, arm timers.
    ///
    /// # Errors
    ///
    /// Fails the mount.
    fn recovered(&self) -> Result<()> {
        Ok(())
    }

    /// Writes the state as one consistent cut. Call [`CheckpointWriter::begin`] first, with the commit number up to which the
    /// state is folded.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    fn checkpoint(&self, out: &mut CheckpointWriter<'_>) -> Result<()>;

    /// Reads what [`Participant::checkpoint`] wrote. The segments that old addresses point to may have been collected since; the
    /// commits that moved their records follow through `apply`.
    ///
    /// # Errors
    ///
    /// Fails the mount.
    fn restore(&self, input: &mut CheckpointReader<'_>) -> Result<()>;

    /// Moves those of `records` that are still live: append them again, release the old address, retain the new one. Dead ones need
    /// nothing.
    ///
    /// # Errors
    ///
    /// The collection of this segment is given up for now.
    fn relocate(&self, records: &[Record<'_>]) -> Result<()>;

    /// A timer set with [`super::Mount::set_timer`] is due.
    ///
    /// # Errors
    ///
    /// Reported by [`super::Store::maintain`].
    #[expect(
        unused_variables,
        reason = "an engine without timers has nothing to do"
    )]
    fn timer(&self, token: u64, now: Timestamp) -> Result<()> {
        Ok(())
    }

    /// The store was closed: whoever waits in the engine has to be told. No lock of the store is held.
    fn closed(&self) {}

    /// Does deferred work until it is done or the budget is used up; `true` means that more is waiting.
    ///
    /// # Errors
    ///
    /// Reported by [`super::Store::maintain`].
    #[expect(
        unused_variables,
        reason = "an engine without deferred work has nothing to do"
    )]
    fn maintain(&self, budget: &mut Budget<'_>) -> Result<bool> {
        Ok(false)
    }
}

/// One record as found in the log.
#[derive(Copy, Clone, Debug)]
pub struct Record<'a> {
    /// What it is, in the engine's own numbering.
    pub kind: u8,
    /// Engine-defined flags.
    pub flags: u8,
    /// The bytes that were pushed.
    pub body: &'a [u8],
    /// Where it is.
    pub address: Address,
}

/// The records of one engine in one commit.
#[derive(Debug)]
pub struct Section<'a> {
    /// Number of the commit.
    pub seq: Seq,
    frame: &'a [u8],
    segment: u32,
    offset: u32,
    mount: MountId,
}

impl<'a> Section<'a> {
    /// `frame` is a verified frame at `offset` of `segment`.
    pub(crate) fn new(
        seq: Seq,
        frame: &'a [u8],
        segment: u32,
        offset: u32,
        mount: MountId,
    ) -> Self {
        Self {
            seq,
            frame,
            segment,
            offset,
            mount,
        }
    }

    /// The records, in the order they were pushed.
    pub fn records(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let mount = self.mount.0;
        records_of(self.frame, self.segment, self.offset)
            .filter(move |(owner, _)| *owner == mount)
            .map(|(_, record)| record)
    }
}

/// All records of a verified frame with their owners.
pub(crate) fn records_of(
    frame: &[u8],
    segment: u32,
    offset: u32,
) -> impl Iterator<Item = (u16, Record<'_>)> {
    let mut at = FRAME_HEADER;
    std::iter::from_fn(move || {
        let header = RecordHeader::decode(frame.get(at..)?)?;
        let start = at + super::format::RECORD_HEADER;
        let body = frame.get(start..start.checked_add(header.len as usize)?)?;
        let place = offset.checked_add(u32::try_from(at).ok()?)?;
        at += usize::try_from(record_bytes(u64::from(header.len))).ok()?;
        let address = Address {
            segment,
            offset: place,
            len: header.len,
        };
        Some((
            header.mount,
            Record {
                kind: header.kind,
                flags: header.flags,
                body,
                address,
            },
        ))
    })
}

/// How long a maintenance call may take.
#[derive(Debug)]
pub struct Budget<'a> {
    clock: &'a dyn Clock,
    until: Duration,
}

impl<'a> Budget<'a> {
    /// A budget of `span` from now.
    pub fn new(clock: &'a dyn Clock, span: Duration) -> Self {
        Self {
            clock,
            until: clock.monotonic().saturating_add(span),
        }
    }

    /// Whether the time is used up.
    pub fn exhausted(&self) -> bool {
        self.clock.monotonic() >= self.until
    }
}
