//! Group commit: making commits reach the file and the disk, one leader for many.

use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::address::{Durability, Seq};
use super::super::error::{Error, ErrorKind, Result};
use super::{Chunk, Counters, Head, Log, Pending, Segment, Writer};

/// Slices per write call; kernels take at most 1024.
const SLICES_MAX: usize = 512;
/// The disk is asked to start on what was written at least this often.
const WRITEBACK_BYTES: u64 = 4 << 20;
/// Buffers above this are not kept for reuse.
const SPARE_BYTES_MAX: usize = 4 << 20;

impl Log {
    /// Blocks until commit `seq` holds at `level`. Call with no lock held.
    pub(crate) fn settle(&self, seq: Seq, level: Durability) -> Result<()> {
        match level {
            Durability::Memory => self.relieve(),
            Durability::Os | Durability::Interval(_) => self.flush(seq),
            Durability::Disk => self.sync(seq),
        }
    }

    /// Writes when a lot is waiting, so that `Memory` commits cannot grow the buffer without bound.
    fn relieve(&self) -> Result<()> {
        let head = self.head.lock();
        let (waiting, newest) = (head.pending.bytes, head.next_seq - 1);
        drop(head);
        if waiting >= self.options.buffer_bytes {
            self.flush(newest)
        } else {
            Ok(())
        }
    }

    /// Writes everything up to commit `seq` to the file.
    ///
    /// # Errors
    ///
    /// `OutcomeUnknown`: the bytes may or may not be found after reopening; the store is poisoned.
    pub(crate) fn flush(&self, seq: Seq) -> Result<()> {
        if self.written_seq() >= seq {
            return Ok(());
        }
        let mut writer = self.write.lock();
        if self.written_seq() >= seq {
            return Ok(());
        }
        self.unless_failed()?;
        let mut head = self.head.lock();
        let Some(segment) = head.segment.clone() else {
            // Nothing has a place in the log yet.
            self.written.store(head.next_seq - 1, Ordering::Release);
            return Ok(());
        };
        self.check_process()?;
        let pending = head.take_pending();
        let newest = head.next_seq - 1;
        drop(head);
        let pending = self.write_out(&mut writer, &segment, pending)?;
        // Release pairs with the Acquire in `written_seq`.
        self.written.store(newest, Ordering::Release);
        drop(writer);
        self.recycle(pending);
        Ok(())
    }

    /// Makes everything up to commit `seq` durable: the first caller leads, those who come meanwhile share the next sync.
    ///
    /// # Errors
    ///
    /// As [`Log::flush`].
    pub(crate) fn sync(&self, seq: Seq) -> Result<()> {
        if self.durable_seq() >= seq {
            return Ok(());
        }
        let mut state = self.sync.lock();
        while state.leading {
            if self.durable_seq() >= seq {
                return Ok(());
            }
            self.unless_failed()?;
            state.waiting += 1;
            self.synced.wait(&mut state);
            state.waiting -= 1;
        }
        if self.durable_seq() >= seq {
            return Ok(());
        }
        self.unless_failed()?;
        state.leading = true;
        let (company, window) = (
            state.last_group,
            self.options.group_window.min(state.last_sync),
        );
        drop(state);

        self.await_company(company, window);
        let from = self.clock.monotonic();
        let result = self.lead();
        let took = self.clock.monotonic().saturating_sub(from);

        let mut state = self.sync.lock();
        state.leading = false;
        state.last_sync = took;
        if let Ok(group) = result {
            state.last_group = group;
        }
        self.synced.notify_all();
        drop(state);
        result.map(|_| ())
    }

    /// One write and one sync of everything there is; returns how many commits it made durable.
    fn lead(&self) -> Result<u64> {
        let before = self.durable_seq();
        self.flush(self.last_seq())?;
        // `written` first, then the segment: if a new segment starts in between, its start made the old one durable.
        let target = self.written_seq();
        let segment = self.head.lock().segment.clone();
        if let Some(segment) = segment {
            self.sync_segment(&segment)?;
        }
        self.mark_durable(target);
        Ok(target.saturating_sub(before))
    }

    /// Lets writers that were just released append again before the next sync starts, at most for `window`. A lone writer never
    /// waits: its previous group had one commit.
    fn await_company(&self, expected: u64, window: std::time::Duration) {
        if expected < 2 {
            return;
        }
        let from = self.clock.monotonic();
        loop {
            let waiting = self.last_seq().saturating_sub(self.durable_seq());
            if waiting >= expected || self.clock.monotonic().saturating_sub(from) >= window {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// Writes what waits for the head segment; for callers that hold both locks.
    pub(super) fn write_pending(
        &self,
        writer: &mut Writer,
        head: &mut Head,
        segment: &Arc<Segment>,
    ) -> Result<()> {
        let pending = head.take_pending();
        self.write_out(writer, segment, pending)?;
        self.written.store(head.next_seq - 1, Ordering::Release);
        Ok(())
    }

    fn write_out(
        &self,
        writer: &mut Writer,
        segment: &Segment,
        pending: Pending,
    ) -> Result<Pending> {
        debug_assert!(
            pending.bytes == 0 || pending.start == writer.end,
            "log bytes are written in order"
        );
        let mut offset = pending.start;
        for chunks in pending.chunks.chunks(SLICES_MAX) {
            // Most writes are one buffer; those need no list.
            let (one, many);
            let slices: &[IoSlice<'_>] = if let [chunk] = chunks {
                one = [IoSlice::new(chunk.as_slice())];
                &one
            } else {
                many = chunks
                    .iter()
                    .map(|c| IoSlice::new(c.as_slice()))
                    .collect::<Vec<_>>();
                &many
            };
            let written = segment.file.write_at(offset, slices);
            written.map_err(|e| self.fail(&Error::io("write", &segment.path, e)))?;
            offset += chunks
                .iter()
                .map(|c| c.as_slice().len() as u64)
                .sum::<u64>();
            Counters::add(&self.counters.writes, 1);
        }
        if offset / WRITEBACK_BYTES > writer.end / WRITEBACK_BYTES {
            // A full segment is synced before the next one begins; the less is left to do then, the shorter that takes.
            let from = writer.end / WRITEBACK_BYTES * WRITEBACK_BYTES;
            segment.file.expect_sync(from, offset - from);
        }
        writer.end = writer.end.max(offset);
        Counters::add(&self.counters.bytes_written, pending.bytes);
        Ok(pending)
    }

    pub(super) fn sync_segment(&self, segment: &Segment) -> Result<()> {
        Counters::add(&self.counters.syncs, 1);
        segment
            .file
            .sync_data()
            .map_err(|e| self.fail(&Error::io("sync", &segment.path, e)))
    }

    pub(super) fn mark_durable(&self, seq: Seq) {
        // Release pairs with the Acquire in `durable_seq`; `fetch_max` because a segment change may be ahead of a leader.
        self.durable.fetch_max(seq, Ordering::AcqRel);
    }

    /// After bytes of published commits failed to reach the file, memory is ahead of the log: nothing may follow.
    #[cold]
    fn fail(&self, error: &Error) -> Error {
        self.poison(error);
        ErrorKind::OutcomeUnknown {
            cause: error.to_string(),
        }
        .into()
    }

    fn unless_failed(&self) -> Result<()> {
        match self.failure.get() {
            Some(cause) => Err(ErrorKind::OutcomeUnknown {
                cause: cause.clone(),
            }
            .into()),
            None => Ok(()),
        }
    }

    /// Keeps the emptied buffer for the commits to come.
    fn recycle(&self, mut pending: Pending) {
        pending.chunks.truncate(1);
        match pending.chunks.first_mut() {
            Some(Chunk::Copied(bytes)) if bytes.capacity() <= SPARE_BYTES_MAX => bytes.clear(),
            _ => return,
        }
        pending.bytes = 0;
        self.head.lock().spare = pending;
    }
}

impl Head {
    fn take_pending(&mut self) -> Pending {
        let mut next = std::mem::take(&mut self.spare);
        next.start = self.offset;
        std::mem::replace(&mut self.pending, next)
    }
}
