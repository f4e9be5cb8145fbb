//! The engine as the store sees it: recovery, relocation, timers, maintenance.
//!
//! Invariant: what recovery retains and releases is exactly what live operation would have.

use bytes::Bytes;
use upkv::Timestamp;
use upkv::storage::{
    Budget, CheckpointReader, CheckpointWriter, Error, Participant, Record, Result, Section,
};

use super::checkpoint;
use super::record::Entry;
use crate::inner::Inner;

fn decode(record: &Record<'_>) -> Result<Entry> {
    let entry = Entry::decode(&Bytes::copy_from_slice(record.body))?;
    if entry.fact.kind() != record.kind {
        let what = format!(
            "a journal record of kind {} says {}",
            record.kind,
            entry.fact.kind()
        );
        return Err(Error::corrupt(
            "record",
            u64::from(record.address.offset),
            what,
        ));
    }
    Ok(entry)
}

impl Participant for Inner {
    fn apply(&self, section: &Section<'_>) -> Result<()> {
        let mut state = self.state.lock();
        for record in section.records() {
            let entry = decode(&record)?;
            let offset = u64::from(record.address.offset);
            let folded = state.fold(&self.mount, &entry, record.address);
            folded.map_err(|what| Error::corrupt("record", offset, what))?;
        }
        Ok(())
    }

    fn recovered(&self) -> Result<()> {
        let mut state = self.state.lock();
        let active: Vec<(u64, bool)> = state
            .runs
            .iter()
            .filter(|(_, run)| run.is_active() && run.blocked.is_none())
            .map(|(uid, run)| (*uid, run.parked || run.body_retry.is_some()))
            .collect();
        for (uid, waits) in active {
            self.arm(&mut state, uid);
            if !waits {
                self.enqueue(&mut state, uid);
            }
        }
        Ok(())
    }

    fn checkpoint(&self, out: &mut CheckpointWriter<'_>) -> Result<()> {
        let state = self.state.lock();
        out.begin(self.mount.last_seq())?;
        checkpoint::write(&state, out)
    }

    fn restore(&self, input: &mut CheckpointReader<'_>) -> Result<()> {
        checkpoint::read(&mut self.state.lock(), &self.mount, input)
    }

    fn relocate(&self, records: &[Record<'_>]) -> Result<()> {
        let mut frame = self.mount.frame();
        frame.mark_freeing();
        let mut moved = Vec::new();
        let mut state = self.state.lock();
        for record in records {
            let entry = decode(record)?;
            let run = state.runs.get(&entry.run);
            let here = run.and_then(|run| run.journal.get(entry.index as usize));
            if here == Some(&record.address) {
                frame.push(&self.mount, record.kind, &[record.body]);
                moved.push(entry);
            }
        }
        if moved.is_empty() {
            return Ok(());
        }
        let commit = self.mount.append(&mut frame)?;
        for (index, entry) in moved.iter().enumerate() {
            state
                .fold(&self.mount, entry, commit.address(index))
                .expect("the record was found in the journal under this lock");
        }
        Ok(())
    }

    fn timer(&self, token: u64, _now: Timestamp) -> Result<()> {
        let mut state = self.state.lock();
        if let Some(run) = state.runs.get_mut(&token) {
            run.live.timer = None;
            self.enqueue(&mut state, token);
        }
        Ok(())
    }

    fn maintain(&self, budget: &mut Budget<'_>) -> Result<bool> {
        loop {
            let more = self.retire(&mut self.state.lock(), 64)?;
            if !more || budget.exhausted() {
                return Ok(more);
            }
        }
    }
}
