//! A small engine for the tests of the store: a map from one-byte keys to lists of payloads that stay in the log.
//!
//! It uses every part of the seam: several records in a commit, large payloads, addresses, accounting, relocation, checkpoints,
//! all levels of durability.
#![allow(dead_code, reason = "each test uses its own part of it")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use upkv::storage::codec::{Reader, put_u8, put_u32};
use upkv::storage::sync::Mutex;
use upkv::storage::testing::{Ack, Failure, Run, Workload};
use upkv::storage::{
    Address, CheckpointReader, CheckpointWriter, Commit, Durability, Enlist, Error, Frame, Mount,
    MountId, MountOptions, Participant, Record, Result, Section, Staged, Store, Transaction,
};

/// Number of the engine's kind.
pub(crate) const KIND: u8 = 200;

const SET: u8 = 1;
const APPEND: u8 = 2;
const DELETE: u8 = 3;
/// Another place for the payload at an index.
const MOVE: u8 = 4;

/// Payloads at least this long are written from their own buffer.
const SHARED_BYTES: usize = 64 * 1024;

type Lists = BTreeMap<u8, Vec<Address>>;

pub(crate) struct Ledger {
    mount: Mount,
    lists: Mutex<Lists>,
}

/// One change.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Set(u8, Vec<u8>),
    Append(u8, Vec<u8>),
    Delete(u8),
}

impl Ledger {
    pub(crate) fn mount(store: &Store, name: &str) -> Result<Arc<Self>> {
        let options = MountOptions::with_default(Durability::Disk);
        store.mount_participant(KIND, name, options, |mount| {
            Arc::new(Self {
                mount,
                lists: Mutex::default(),
            })
        })
    }

    /// Makes all changes in one commit.
    pub(crate) fn commit(&self, changes: &[Change], level: Durability) -> Result<()> {
        let mut lists = self.lists.lock();
        let mut frame = self.mount.frame();
        let freeing = changes
            .iter()
            .all(|change| matches!(change, Change::Delete(_)));
        if freeing {
            frame.mark_freeing();
        }
        let indexes: Vec<usize> = changes.iter().map(|c| self.push(&mut frame, c)).collect();
        let commit = self.mount.append(&mut frame)?;
        for (change, index) in changes.iter().zip(indexes) {
            self.publish(&mut lists, change, commit.address(index));
        }
        drop(lists);
        self.mount.settle(&commit, Some(level))
    }

    pub(crate) fn contents(&self) -> Result<BTreeMap<u8, Vec<Vec<u8>>>> {
        // Relocation may move what was looked up; reading under the lock keeps the addresses valid.
        let lists = self.lists.lock();
        let read = |at: &Address| {
            Ok(self
                .mount
                .read(*at)?
                .get(HEAD..)
                .unwrap_or_default()
                .to_vec())
        };
        let read_all = |list: &Vec<Address>| list.iter().map(read).collect::<Result<Vec<_>>>();
        lists
            .iter()
            .map(|(key, list)| Ok((*key, read_all(list)?)))
            .collect()
    }

    fn publish(&self, lists: &mut Lists, change: &Change, at: Address) {
        match change {
            Change::Set(key, _) => self.set(lists, *key, at),
            Change::Append(key, _) => self.add(lists, *key, at),
            Change::Delete(key) => self.remove(lists, *key),
        }
    }

    fn push(&self, frame: &mut Frame, change: &Change) -> usize {
        match change {
            Change::Set(key, payload) => self.push_payload(frame, SET, *key, payload),
            Change::Append(key, payload) => self.push_payload(frame, APPEND, *key, payload),
            Change::Delete(key) => frame.push(&self.mount, DELETE, &[&head(*key, 0)]),
        }
    }

    fn push_payload(&self, frame: &mut Frame, kind: u8, key: u8, payload: &[u8]) -> usize {
        let head = head(key, 0);
        if payload.len() >= SHARED_BYTES {
            frame.push_shared(&self.mount, kind, &head, Bytes::copy_from_slice(payload))
        } else {
            frame.push(&self.mount, kind, &[&head, payload])
        }
    }

    fn set(&self, lists: &mut Lists, key: u8, at: Address) {
        self.remove(lists, key);
        self.add(lists, key, at);
    }

    fn add(&self, lists: &mut Lists, key: u8, at: Address) {
        self.mount.retain(at);
        lists.entry(key).or_default().push(at);
    }

    fn remove(&self, lists: &mut Lists, key: u8) {
        for old in lists.remove(&key).unwrap_or_default() {
            self.mount.release(old);
        }
    }

    fn relocated(&self, lists: &mut Lists, key: u8, index: u32, at: Address) -> bool {
        let Some(slot) = lists
            .get_mut(&key)
            .and_then(|list| list.get_mut(index as usize))
        else {
            return false;
        };
        self.mount.retain(at);
        self.mount.release(std::mem::replace(slot, at));
        true
    }
}

/// Bytes before the payload: key, index.
const HEAD: usize = 5;

fn head(key: u8, index: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD);
    put_u8(&mut out, key);
    put_u32(&mut out, index);
    out
}

impl Participant for Ledger {
    fn apply(&self, section: &Section<'_>) -> Result<()> {
        let mut lists = self.lists.lock();
        for record in section.records() {
            let mut reader = Reader::new(record.body);
            let (key, index) = (reader.u8()?, reader.u32()?);
            match record.kind {
                SET => self.set(&mut lists, key, record.address),
                APPEND => self.add(&mut lists, key, record.address),
                DELETE => self.remove(&mut lists, key),
                MOVE if self.relocated(&mut lists, key, index, record.address) => {}
                other => {
                    let what = format!("record of kind {other} makes no sense here");
                    return Err(Error::corrupt(
                        "ledger",
                        u64::from(record.address.offset),
                        what,
                    ));
                }
            }
        }
        Ok(())
    }

    fn checkpoint(&self, out: &mut CheckpointWriter<'_>) -> Result<()> {
        let lists = self.lists.lock();
        out.begin(self.mount.last_seq())?;
        for (key, list) in &*lists {
            let mut bytes = vec![*key];
            put_u32(
                &mut bytes,
                u32::try_from(list.len()).expect("lists are short"),
            );
            for at in list {
                put_u32(&mut bytes, at.segment);
                put_u32(&mut bytes, at.offset);
                put_u32(&mut bytes, at.len);
            }
            out.write(&bytes)?;
        }
        Ok(())
    }

    fn restore(&self, input: &mut CheckpointReader<'_>) -> Result<()> {
        let mut lists = self.lists.lock();
        while input.remaining() > 0 {
            let head = input.take(5)?;
            let mut reader = Reader::new(&head);
            let (key, count) = (reader.u8()?, reader.u32()?);
            for _ in 0..count {
                let bytes = input.take(12)?;
                let mut reader = Reader::new(&bytes);
                let (segment, offset, len) = (reader.u32()?, reader.u32()?, reader.u32()?);
                self.add(
                    &mut lists,
                    key,
                    Address {
                        segment,
                        offset,
                        len,
                    },
                );
            }
        }
        Ok(())
    }

    fn relocate(&self, records: &[Record<'_>]) -> Result<()> {
        let mut lists = self.lists.lock();
        let mut frame = self.mount.frame();
        frame.mark_freeing();
        let mut moved = Vec::new();
        for record in records.iter().filter(|record| record.kind != DELETE) {
            let key = Reader::new(record.body).u8()?;
            let list = lists.get(&key).map(Vec::as_slice).unwrap_or_default();
            if let Some(index) = list.iter().position(|at| *at == record.address) {
                let index = u32::try_from(index).expect("lists are short");
                let payload = record.body.get(HEAD..).unwrap_or_default();
                let place = frame.push(&self.mount, MOVE, &[&head(key, index), payload]);
                moved.push((key, index, place));
            }
        }
        if moved.is_empty() {
            return Ok(());
        }
        let commit = self.mount.append(&mut frame)?;
        for (key, index, place) in moved {
            self.relocated(&mut lists, key, index, commit.address(place));
        }
        Ok(())
    }
}

/// Random changes on a few keys.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct LedgerWorkload {
    /// All commits at this level; at random ones by default.
    pub(crate) level: Option<Durability>,
    /// No payload over 64 KiB.
    pub(crate) small: bool,
}

impl LedgerWorkload {
    fn payload(self, run: &Run<'_>) -> Vec<u8> {
        let random = run.random;
        let len = match random.below(100) {
            0 if !self.small => 64 * 1024 + random.below(8 * 1024),
            1..=5 => random.below(4_000),
            _ => random.below(120),
        };
        let first = random.next_u64().to_le_bytes()[0];
        (0..len)
            .map(|i| first.wrapping_add(i.to_le_bytes()[0]))
            .collect()
    }

    fn change(self, run: &Run<'_>) -> Change {
        let key = run.random.below(6).to_le_bytes()[0];
        match run.random.below(10) {
            0 | 1 => Change::Delete(key),
            2..=5 => Change::Append(key, self.payload(run)),
            _ => Change::Set(key, self.payload(run)),
        }
    }

    fn changes(self, run: &Run<'_>) -> Vec<Change> {
        let count = 1 + run.random.below(3);
        (0..count).map(|_| self.change(run)).collect()
    }

    fn level(self, run: &Run<'_>) -> Durability {
        let drawn = match run.random.below(3) {
            0 => Durability::Memory,
            1 => Durability::Os,
            _ => Durability::Disk,
        };
        self.level.unwrap_or(drawn)
    }
}

/// Makes the changes in the model.
fn follow(model: &mut BTreeMap<u8, Vec<Vec<u8>>>, changes: Vec<Change>) {
    for change in changes {
        match change {
            Change::Set(key, payload) => {
                model.insert(key, vec![payload]);
            }
            Change::Append(key, payload) => model.entry(key).or_default().push(payload),
            Change::Delete(key) => {
                model.remove(&key);
            }
        }
    }
}

fn ack(level: Durability) -> Ack {
    match level {
        Durability::Disk => Ack::Disk,
        Durability::Memory => Ack::Memory,
        _ => Ack::Os,
    }
}

impl Workload for LedgerWorkload {
    type Engine = Arc<Ledger>;
    type Model = BTreeMap<u8, Vec<Vec<u8>>>;

    fn empty(&self) -> Self::Model {
        BTreeMap::new()
    }

    fn open(&self, store: &Store, name: &str) -> Result<Self::Engine, Failure> {
        Ok(Ledger::mount(store, name)?)
    }

    fn step(
        &self,
        engine: &Self::Engine,
        run: &Run<'_>,
        model: &mut Self::Model,
    ) -> Result<Ack, Failure> {
        let changes = self.changes(run);
        let level = self.level(run);
        let result = engine.commit(&changes, level).map_err(Failure::from);
        if matches!(result, Ok(()) | Err(Failure::Unknown(_))) {
            follow(model, changes);
        }
        result.map(|()| ack(level))
    }

    fn observe(&self, engine: &Self::Engine) -> Result<Self::Model, Failure> {
        Ok(engine.contents()?)
    }
}

/// A ledger as a party of transactions across engines.
#[derive(Clone)]
pub(crate) struct Party {
    ledger: Arc<Ledger>,
    store: Store,
}

pub(crate) struct StagedChanges {
    ledger: Arc<Ledger>,
    pub(crate) changes: Vec<Change>,
}

impl Enlist for Party {
    type Staged = StagedChanges;

    fn mount_id(&self) -> MountId {
        self.ledger.mount.id()
    }

    fn belongs_to(&self, store: &Store) -> bool {
        self.store.token().incarnation == store.token().incarnation
    }

    fn stage(&self) -> StagedChanges {
        StagedChanges {
            ledger: Arc::clone(&self.ledger),
            changes: Vec::new(),
        }
    }
}

impl Staged for StagedChanges {
    fn mount_id(&self) -> MountId {
        self.ledger.mount.id()
    }

    fn commit(
        &mut self,
        frame: &mut Frame,
        rest: &mut dyn FnMut(&mut Frame) -> Result<Commit>,
    ) -> Result<Commit> {
        let ledger = &self.ledger;
        let mut lists = ledger.lists.lock();
        let indexes: Vec<usize> = self.changes.iter().map(|c| ledger.push(frame, c)).collect();
        let commit = rest(frame)?;
        for (change, index) in self.changes.iter().zip(indexes) {
            ledger.publish(&mut lists, change, commit.address(index));
        }
        Ok(commit)
    }

    fn as_any_mut(&mut self) -> &mut dyn std::any::Any {
        self
    }
}

/// Transactions over two ledgers of one store: both change, or none.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct PairWorkload(pub(crate) LedgerWorkload);

impl Workload for PairWorkload {
    type Engine = [Party; 2];
    type Model = [BTreeMap<u8, Vec<Vec<u8>>>; 2];

    fn empty(&self) -> Self::Model {
        [BTreeMap::new(), BTreeMap::new()]
    }

    fn open(&self, store: &Store, name: &str) -> Result<Self::Engine, Failure> {
        let party = |side: &str| -> Result<Party, Failure> {
            let ledger = Ledger::mount(store, &format!("{name}-{side}"))?;
            Ok(Party {
                ledger,
                store: store.clone(),
            })
        };
        Ok([party("left")?, party("right")?])
    }

    fn step(
        &self,
        engine: &Self::Engine,
        run: &Run<'_>,
        model: &mut Self::Model,
    ) -> Result<Ack, Failure> {
        let level = self.0.level(run);
        let changes = [self.0.changes(run), self.0.changes(run)];
        let mut transaction = Transaction::new();
        for (party, changes) in engine.iter().zip(&changes) {
            transaction
                .enlist(run.store, party)?
                .changes
                .extend_from_slice(changes);
        }
        let result = transaction.commit(run.store, level).map_err(Failure::from);
        if matches!(result, Ok(_) | Err(Failure::Unknown(_))) {
            for (model, changes) in model.iter_mut().zip(changes) {
                follow(model, changes);
            }
        }
        result.map(|_| ack(level))
    }

    fn observe(&self, engine: &Self::Engine) -> Result<Self::Model, Failure> {
        Ok([engine[0].ledger.contents()?, engine[1].ledger.contents()?])
    }
}
