//! The engine as the store sees it: recovery, relocation, timers.
//!
//! Invariant: what recovery retains and releases is exactly what live operation would have.

use upkv::storage::{
    CheckpointReader, CheckpointWriter, Error, Participant, Record, Result, Section, Timestamp,
};

use super::checkpoint;
use super::record::{Fact, MOVE, PUBLISH};
use crate::inner::Inner;
use crate::state::Stage;

fn decode(record: &Record<'_>) -> Result<Fact> {
    Ok(Fact::decode(record.kind, record.body)?)
}

impl Participant for Inner {
    fn apply(&self, section: &Section<'_>) -> Result<()> {
        let mut state = self.state.lock();
        for record in section.records() {
            let fact = decode(&record)?;
            let folded = state.fold(&self.mount, &fact, record.address);
            let offset = u64::from(record.address.offset);
            folded.map_err(|what| Error::corrupt("record", offset, what))?;
        }
        Ok(())
    }

    fn recovered(&self) -> Result<()> {
        let mut state = self.state.lock();
        if !self.options.keep_leases {
            // Their consumers are gone with the process.
            let leased = |stage: &Stage| matches!(stage, Stage::Leased(..));
            let entries = state.entries.iter();
            let gone = entries.filter(|(_, entry)| leased(&entry.stage));
            let mut gone: Vec<u64> = gone.map(|(number, _)| *number).collect();
            gone.sort_unstable();
            for number in gone {
                state
                    .shift(number, Stage::READY, true)
                    .map_err(|what| Error::corrupt("record", 0, what))?;
            }
        }
        self.arm(&state);
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
            if record.kind != PUBLISH && record.kind != MOVE {
                continue;
            }
            let fact = Fact::decode(MOVE, record.body)?;
            let Fact::Move(message) = &fact else { continue };
            let entry = state.entries.get(&message.id.number);
            if entry.is_some_and(|entry| entry.at == record.address) {
                frame.push(&self.mount, MOVE, &[record.body]);
                moved.push(fact);
            }
        }
        if moved.is_empty() {
            return Ok(());
        }
        let commit = self.mount.append(&mut frame)?;
        self.publish(&mut state, &moved, &commit, 0);
        Ok(())
    }

    fn timer(&self, _token: u64, _now: Timestamp) -> Result<()> {
        *self.timer.lock() = None;
        self.run_due()
    }
}
