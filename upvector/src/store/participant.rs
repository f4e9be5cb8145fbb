//! The index as the store sees it: recovery, relocation, maintenance.
//!
//! Invariant: what recovery retains and releases is exactly what live operation would have.

use std::collections::BTreeMap;
use std::sync::Arc;

use upkv::storage::{
    Budget, CheckpointReader, CheckpointWriter, Error, Participant, Record, Result, Section,
};

use super::checkpoint;
use super::journal::{Fact, Upsert, kind, upsert_head};
use crate::inner::{Inner, Space};

fn corrupt(record: &Record<'_>, what: impl Into<String>) -> Error {
    Error::corrupt("record", u64::from(record.address.offset), what)
}

impl Inner {
    /// Takes one fact of the log in. `Err` says what it contradicts.
    fn fold(&self, fact: Fact, record: &Record<'_>) -> Result<(), &'static str> {
        match fact {
            Fact::Spec(shape) => {
                if *self.shape.get_or_init(|| shape) != shape {
                    return Err("a second specification of an index");
                }
            }
            Fact::Created { namespace, name } => {
                let mut spaces = self.spaces.write();
                if spaces.by_name.contains_key(&*name) || spaces.numbered(namespace).is_some() {
                    return Err("a namespace that exists already");
                }
                spaces.insert(&name, self.new_space(namespace));
            }
            Fact::Renamed { namespace, name } => {
                let mut spaces = self.spaces.write();
                if spaces.by_name.contains_key(&*name) {
                    return Err("a namespace that exists already");
                }
                let space = spaces.remove(namespace);
                spaces.insert(&name, space.ok_or("a new name for no namespace")?);
            }
            Fact::Deleted { namespace } => {
                let space = self.spaces.write().remove(namespace);
                let space = space.ok_or("the end of no namespace")?;
                space.state.write().clear(&self.mount);
            }
            Fact::Reset { namespace } => {
                let space = self.numbered(namespace)?;
                space.state.write().clear(&self.mount);
            }
            Fact::Upsert(upsert) => self.fold_upsert(upsert, record)?,
            Fact::Moved(upsert) => {
                let space = self.numbered(upsert.namespace)?;
                let mut state = space.state.write();
                let slot = state.order.get(&upsert.sequence).copied();
                let slot = slot.ok_or("a record that moved and was not there")?;
                if *state.slot(slot).id != *upsert.record.id {
                    return Err("a record that moved under another id");
                }
                state.relocate(&self.mount, slot, record.address);
            }
            Fact::Removed {
                namespace,
                sequences,
            } => {
                let space = self.numbered(namespace)?;
                let mut state = space.state.write();
                for sequence in sequences {
                    if !state.remove(&self.mount, sequence) {
                        return Err("the end of no record");
                    }
                }
            }
        }
        Ok(())
    }

    fn numbered(&self, number: u32) -> Result<Arc<Space>, &'static str> {
        let space = self.spaces.read().numbered(number).cloned();
        space.ok_or("a record of no namespace")
    }

    fn fold_upsert(&self, upsert: Upsert, record: &Record<'_>) -> Result<(), &'static str> {
        let common = self.common().ok_or("a record before the specification")?;
        let space = self.numbered(upsert.namespace)?;
        let dimensions = common.shape.dense.map_or(0, |dense| dense.dimensions);
        if upsert.record.dense.len() != dimensions
            || upsert.record.sparse.is_some() != common.shape.sparse
        {
            return Err("a record of another kind than the index");
        }
        let mut state = space.state.write();
        match state.find(&upsert.record.id) {
            Some(slot) if state.slot(slot).sequence != upsert.sequence => {
                return Err("a record with another place in the order than before");
            }
            None if upsert.keeps_vector || state.order.contains_key(&upsert.sequence) => {
                return Err("a new record in the place of another");
            }
            _ => {}
        }
        state.upsert(
            &self.mount,
            &common,
            upsert.sequence,
            upsert.keeps_vector,
            upsert.record,
            record.address,
        );
        Ok(())
    }

    /// Moves the records of one namespace that are still where they were found.
    fn relocate_in(&self, space: &Space, records: &[(u64, &Record<'_>)]) -> Result<()> {
        let mut frame = self.mount.frame();
        frame.mark_freeing();
        let mut state = space.state.write();
        let mut moved = Vec::new();
        for (sequence, record) in records {
            if let Some(slot) = state.order.get(sequence).copied()
                && state.slot(slot).at == record.address
            {
                frame.push(&self.mount, kind::MOVED, &[record.body]);
                moved.push(slot);
            }
        }
        if moved.is_empty() {
            return Ok(());
        }
        let commit = self.mount.append(&mut frame)?;
        for (index, slot) in moved.into_iter().enumerate() {
            state.relocate(&self.mount, slot, commit.address(index));
        }
        Ok(())
    }
}

impl Participant for Inner {
    fn apply(&self, section: &Section<'_>) -> Result<()> {
        for record in section.records() {
            let fact = Fact::decode(record.kind, record.body)
                .map_err(|malformed| corrupt(&record, malformed.0))?;
            self.fold(fact, &record)
                .map_err(|what| corrupt(&record, what))?;
        }
        Ok(())
    }

    fn recovered(&self) -> Result<()> {
        self.reload()
    }

    fn checkpoint(&self, out: &mut CheckpointWriter<'_>) -> Result<()> {
        let _gate = self.gate.write();
        out.begin(self.mount.last_seq())?;
        checkpoint::write(self, out)
    }

    fn restore(&self, input: &mut CheckpointReader<'_>) -> Result<()> {
        checkpoint::read(self, input)
    }

    fn relocate(&self, records: &[Record<'_>]) -> Result<()> {
        let mut of: BTreeMap<u32, Vec<(u64, &Record<'_>)>> = BTreeMap::new();
        for record in records {
            if matches!(record.kind, kind::UPSERT | kind::MOVED) {
                let (namespace, sequence) =
                    upsert_head(record.body).map_err(|malformed| corrupt(record, malformed.0))?;
                of.entry(namespace).or_default().push((sequence, record));
            }
        }
        let _gate = self.gate.read();
        let spaces = self.spaces.read();
        for (namespace, records) in of {
            if let Some(space) = spaces.numbered(namespace) {
                self.relocate_in(space, &records)?;
            }
        }
        Ok(())
    }

    fn maintain(&self, budget: &mut Budget<'_>) -> Result<bool> {
        loop {
            let Some(number) = self.waiting.lock().pop_first() else {
                return Ok(false);
            };
            let space = self.spaces.read().numbered(number).cloned();
            let Some(space) = space else { continue };
            while self.build_step(&space) {
                if budget.exhausted() {
                    self.waiting.lock().insert(number);
                    return Ok(true);
                }
            }
        }
    }
}
