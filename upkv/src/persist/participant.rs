//! The engine as the store sees it: recovery, relocation, timers, maintenance.
//!
//! Invariant: what `apply` and `restore` retain and release is exactly what live operation would have.

use super::checkpoint;
use super::record::{self, Body};
use crate::cold::DEMOTE_BYTES_MIN;
use crate::keyspace::access::Access;
use crate::keyspace::engine::{DATABASES, Engine};
use crate::keyspace::entry::{Entry, Home};
use crate::keyspace::libraries::Change;
use crate::keyspace::shard::Shard;
use crate::keyspace::table::{Probe, top_bits};
use crate::keyspace::work::ColdRef;
use crate::server::TIMER_BIT;
use crate::storage::{
    Address, Budget, CheckpointReader, CheckpointWriter, Participant, Record, Result, Section, Seq,
    Timestamp,
};
use crate::value::hash::Hash;
use crate::value::{Cold, Fresh, Kind, Object, PartDeadlines, Seen, text};

/// Up to which commit each slice of the restored state is folded; the slices are those of the checkpoint.
#[derive(Debug, Default)]
pub(crate) struct AsOf {
    pub(crate) bits: u32,
    /// By physical database, then by slice.
    pub(crate) seqs: [Vec<Seq>; DATABASES as usize],
    /// Up to which commit the order of the databases and the libraries are.
    pub(crate) swaps: Seq,
}

impl AsOf {
    fn holds(&self, db: u8, placement: u64, seq: Seq) -> bool {
        let slices = self.seqs.get(usize::from(db));
        slices
            .and_then(|slices| slices.get(top_bits(placement, self.bits)))
            .is_some_and(|as_of| seq <= *as_of)
    }
}

impl Engine {
    fn with_shard<R>(&self, db: u8, probe: Probe, change: impl FnOnce(&mut Shard) -> R) -> R {
        let index = self.first_shard(db) + self.shard_of(probe.placement);
        change(&mut self.shard(index).lock())
    }

    fn release_all(&self, home: &Home) {
        home.records().for_each(|at| self.mount.release(at));
    }

    fn apply_record(&self, record: &Record<'_>, seq: Seq) -> Result<()> {
        let body = Body::of(record)?;
        let (_, db) = record::split_kind(record.kind);
        let (Body::Image { key, .. }
        | Body::Delta { key, .. }
        | Body::Delete { key }
        | Body::Expire { key, .. }) = body
        else {
            self.apply_to_all(&body, db, seq);
            return Ok(());
        };
        let probe = self.hashers.probe(key);
        if self.as_of.lock().holds(db, probe.placement, seq) {
            return Ok(());
        }
        let at = record.address;
        let damaged = |what| move || record::damaged(record, what);
        self.with_shard(db, probe, |shard| match body {
            Body::Image {
                kind,
                expire_at,
                payload,
                ..
            } => {
                let value = self.recover_value(kind, payload);
                let value = value.ok_or_else(damaged("malformed value"))?;
                self.mount.retain(at);
                let entry = Entry::at(key, value, expire_at, Home::at(at));
                self.set_entry(shard, probe, entry);
                Ok(())
            }
            Body::Delta { kind, changes, .. } => {
                let found = shard.table.find_mut(probe, key);
                let entry = found.filter(|entry| entry.kind() == kind);
                let entry = entry.ok_or_else(damaged("change of a missing value"))?;
                let done = apply_delta(entry.object_mut(), changes);
                done.ok_or_else(damaged("malformed change"))?;
                entry.home_mut().push_delta(at);
                self.mount.retain(at);
                Ok(())
            }
            Body::Expire { expire_at, .. } => {
                let found = shard.table.find_mut(probe, key);
                let entry = found.ok_or_else(damaged("deadline of a missing key"))?;
                entry.set_expire_at(expire_at);
                self.mount.retain(at);
                if let Some(before) = entry.home_mut().set_expiry(at) {
                    self.mount.release(before);
                }
                Ok(())
            }
            Body::Delete { .. } | Body::Flush | Body::Swap { .. } | Body::Library { .. } => {
                if let Some(entry) = shard.table.take(probe, key) {
                    self.release_all(entry.home());
                }
                Ok(())
            }
        })
    }

    /// Applies what is not about one key.
    fn apply_to_all(&self, body: &Body<'_>, db: u8, seq: Seq) {
        match body {
            Body::Swap { a, b } if seq > self.as_of.lock().swaps => self.swapped.swap(*a, *b),
            Body::Library { name, code } if seq > self.as_of.lock().swaps => {
                self.libraries.apply(&[Change::of(name, code)]);
            }
            Body::Flush => self.apply_flush(db, seq),
            _ => {}
        }
    }

    /// Builds a small value, and leaves a large one in the log.
    fn recover_value<'p>(&self, kind: Kind, payload: &'p [u8]) -> Option<Fresh<'p>> {
        if payload.len() < DEMOTE_BYTES_MIN {
            return match kind {
                Kind::String => Some(Fresh::string(payload)),
                _ => Object::decode(kind, &self.hashers, payload).map(Fresh::Object),
            };
        }
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let parts = match kind {
            Kind::Hash => Hash::peek(payload)?,
            _ => PartDeadlines::default(),
        };
        Some(Object::from(Cold { kind, len, parts }).into())
    }

    fn set_entry(&self, shard: &mut Shard, probe: Probe, new: Entry) {
        match shard.table.find_mut(probe, new.key()) {
            Some(entry) => self.release_all(std::mem::replace(entry, new).home()),
            None => shard.table.insert_new(probe, new),
        }
    }

    fn apply_flush(&self, db: u8, seq: Seq) {
        let as_of = self.as_of.lock();
        let of_db = |(index, _): &(usize, _)| self.physical_of(*index) == db;
        for (_, shard) in self.shards().filter(of_db) {
            let mut shard = shard.lock();
            let gone: Vec<Box<[u8]>> = shard
                .table
                .iter()
                .filter(|entry| !as_of.holds(db, self.hashers.placement(entry.key()), seq))
                .map(|entry| entry.key().into())
                .collect();
            for key in gone {
                if let Some(entry) = shard.table.remove(&key) {
                    self.release_all(entry.home());
                }
            }
        }
    }

    /// Writes the values that have records among `records` once more, whole.
    fn relocate_records(&self, records: &[Record<'_>]) -> crate::error::Result<()> {
        for record in records {
            let Some(Body::Image { key, .. } | Body::Delta { key, .. } | Body::Expire { key, .. }) =
                Body::parse(record.kind, record.body)
            else {
                continue;
            };
            while !self.relocate_key(key, record)? {}
        }
        Ok(())
    }

    /// Moves one key if `record` is one of its records; `false` if it changed meanwhile and has to be
    /// looked at again.
    fn relocate_key(&self, key: &[u8], record: &Record<'_>) -> crate::error::Result<bool> {
        let probe = self.hashers.probe(key);
        let (_, db) = record::split_kind(record.kind);
        let index = self.first_shard(db) + self.shard_of(probe.placement);
        let mut loaded: Option<(Vec<Address>, Object)> = None;
        loop {
            let mut shard = self.shard(index).lock();
            let Some(entry) = shard.table.find_mut(probe, key) else {
                return Ok(true);
            };
            if !entry.home().holds(record.address) {
                return Ok(true);
            }
            let (kind, expire_at) = (entry.kind(), entry.expire_at());
            let mut frame = self.mount.frame();
            frame.mark_freeing();
            let id = &self.mount;
            let home = entry.home();
            let whole = home.deltas().is_empty() && home.image() == record.address;
            match (Body::parse(record.kind, record.body), &loaded) {
                // The record is the value: no need to read or encode anything.
                (Some(Body::Image { payload, .. }), _) if whole => {
                    record::push_payload(&mut frame, id, db, key, expire_at, kind, payload);
                }
                _ if !entry.value().is_cold() => {
                    record::push_image(&mut frame, id, db, key, expire_at, entry.value());
                }
                (_, Some((chain, object))) => {
                    if !home.is_chain(chain) {
                        return Ok(false);
                    }
                    let value = Seen::Object(object);
                    record::push_image(&mut frame, id, db, key, expire_at, value);
                }
                (_, None) => {
                    let wanted = ColdRef {
                        shard: index,
                        key: key.into(),
                        kind,
                        chain: home.chain(),
                    };
                    drop(shard);
                    let object = self.read_cold(&wanted)?;
                    loaded = Some((wanted.chain, object));
                    continue;
                }
            }
            let commit = self.mount.append(&mut frame)?;
            let before = entry.memory();
            self.move_home(entry, commit.address(0));
            shard.recount(probe, key, before);
            self.report_used(&mut shard);
            return Ok(true);
        }
    }

    fn move_home(&self, entry: &mut Entry, to: Address) {
        self.mount.retain(to);
        self.release_all(entry.home());
        *entry.home_mut() = Home::at(to);
    }
}

impl Participant for Engine {
    fn apply(&self, section: &Section<'_>) -> Result<()> {
        section
            .records()
            .try_for_each(|record| self.apply_record(&record, section.seq))
    }

    fn recovered(&self) -> Result<()> {
        *self.as_of.lock() = AsOf::default();
        let now = self.mount.now().as_millis();
        for (index, shard) in self.shards() {
            let mut shard = shard.lock();
            let shard = &mut *shard;
            let mut volatile = Vec::new();
            shard.used = 0;
            for segment in 0..shard.table.segment_count() {
                for entry in shard.table.segment_items_mut(segment) {
                    entry.set_access(Access::new(now, self.evictor.counts()));
                    shard.used += entry.memory();
                    let deadline = entry.next_deadline();
                    if deadline != 0 {
                        volatile.push((deadline, self.hashers.probe(entry.key())));
                    }
                }
            }
            for (deadline, probe) in volatile {
                self.list_deadline(shard, index, now, deadline, probe);
            }
            self.report_used(shard);
        }
        Ok(())
    }

    fn checkpoint(&self, out: &mut CheckpointWriter<'_>) -> Result<()> {
        checkpoint::write(self, out)
    }

    fn restore(&self, input: &mut CheckpointReader<'_>) -> Result<()> {
        checkpoint::read(self, input)
    }

    fn relocate(&self, records: &[Record<'_>]) -> Result<()> {
        self.relocate_records(records).map_err(|error| match error {
            crate::Error::Storage(error) => error,
            other => crate::storage::Error::engine(other),
        })
    }

    fn timer(&self, token: u64, now: Timestamp) -> Result<()> {
        if token & TIMER_BIT != 0 {
            self.server.timer(token, now);
            return Ok(());
        }
        if !self.server.expires_actively() {
            return Ok(());
        }
        let index = usize::try_from(token).unwrap_or(usize::MAX);
        into_storage(self.expire(index, now.as_millis()))
    }

    fn closed(&self) {
        self.end_waits();
    }

    fn maintain(&self, budget: &mut Budget<'_>) -> Result<bool> {
        if let Some(timeout) = self.server.config.timeout() {
            self.server.clients.close_idle(self.mount.now(), timeout);
        }
        while self.is_over_limit() {
            if budget.exhausted() {
                return Ok(true);
            }
            into_storage(self.sweep(16))?;
        }
        while self.is_over_max() {
            if budget.exhausted() {
                return Ok(true);
            }
            match self.evict_some() {
                Ok(()) => {}
                // Nothing can be evicted; writers are told.
                Err(crate::Error::OutOfMemory) => break,
                Err(error) => return into_storage(Err(error)),
            }
        }
        Ok(false)
    }
}

/// Takes in a change, as far as that can be done without reading a value that stays in the log.
fn apply_delta(object: &mut Object, changes: &[u8]) -> Option<()> {
    let Some(mut cold) = object.cold() else {
        return object.replay(changes);
    };
    if cold.kind == Kind::String {
        let now = text::peek_len(cold.len as usize, changes)?;
        cold.len = u32::try_from(now).unwrap_or(u32::MAX);
    }
    if cold.kind == Kind::Hash {
        cold.parts.note(Hash::peek_changes(changes)?);
        // A field without a deadline may have come; only reading the value tells.
        cold.parts.all = 0;
    }
    *object = cold.into();
    Some(())
}

fn into_storage<T>(result: crate::error::Result<T>) -> Result<T> {
    result.map_err(|error| match error {
        crate::Error::Storage(error) => error,
        other => crate::storage::Error::engine(other),
    })
}
