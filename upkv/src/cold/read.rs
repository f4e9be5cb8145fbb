//! Reading values that are only in the log, with no shard locked while the bytes are fetched.
//!
//! The address is read under the lock, the lock is released, the record is read and checked to be of its
//! key, and the lock is taken again only to install the value. A record that moved meanwhile is met at its
//! new address. The first cold read leaves a value cold, the second brings it back.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::DEMOTE_BYTES_MIN;
use crate::error::{Error, Result};
use crate::keyspace::direct::Direct;
use crate::keyspace::engine::{Engine, Keys};
use crate::keyspace::shard::Shard;
use crate::keyspace::work::{ColdRef, Loaded, Pending};
use crate::persist::record::{self, Body};
use crate::storage::{self, Address, ErrorKind};
use crate::value::{Fresh, Kind, Object};

impl Engine {
    /// Reads what a work is waiting for. No lock is held.
    pub(crate) fn load(&self, pending: Pending) -> Result<Vec<Loaded>> {
        let Pending::Cold(wanted) = pending else {
            return Ok(Vec::new());
        };
        let mut loaded = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            match self.read_cold(&wanted) {
                Ok(object) => {
                    loaded.push(Loaded {
                        shard: wanted.shard,
                        key: wanted.key,
                        chain: wanted.chain,
                        object,
                    });
                }
                // The records may have moved while they were read; then the work meets the new ones.
                Err(error) if self.is_current(&wanted) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(loaded)
    }

    fn is_current(&self, wanted: &ColdRef) -> bool {
        let probe = self.hashers.probe(&wanted.key);
        let shard = self.shard(wanted.shard).lock();
        let entry = shard.table.find(probe, &wanted.key);
        entry.is_some_and(|entry| entry.home().is_chain(&wanted.chain))
    }

    /// A record's body. That a read had to write out earlier commits, and could not, does not make the
    /// outcome of the caller's own operation unknown: nothing of it was appended.
    fn read(&self, at: Address) -> Result<Bytes> {
        self.mount.read(at).map_err(|error| match error.kind() {
            ErrorKind::OutcomeUnknown { cause } => Error::Storage(
                ErrorKind::Poisoned {
                    cause: cause.clone(),
                }
                .into(),
            ),
            _ => Error::Storage(error),
        })
    }

    /// Rebuilds a value from its image and deltas.
    pub(crate) fn read_cold(&self, wanted: &ColdRef) -> Result<Object> {
        self.cold_reads.fetch_add(1, Ordering::Relaxed);
        let damaged = |what| Error::Storage(storage::Error::corrupt("log", 0, what));
        let mut object = None;
        for at in &wanted.chain {
            let body = self.read(*at)?;
            let kind = if object.is_none() {
                record::IMAGE
            } else {
                record::DELTA
            };
            let parsed = Body::parse(kind, &body).ok_or_else(|| damaged("malformed value"))?;
            match (parsed, &mut object) {
                (
                    Body::Image {
                        kind, key, payload, ..
                    },
                    None,
                ) if *key == *wanted.key && kind == wanted.kind => {
                    object = Object::decode(kind, &self.hashers, payload);
                }
                (Body::Delta { key, changes, .. }, Some(object)) if *key == *wanted.key => {
                    object
                        .replay(changes)
                        .ok_or_else(|| damaged("malformed change"))?;
                }
                _ => return Err(damaged("a record belongs to another key")),
            }
        }
        object.ok_or_else(|| damaged("malformed value"))
    }

    /// The string at `key`: the short way, with the lock held only to look.
    pub(crate) fn get(&self, db: u8, key: &[u8]) -> Result<Option<Bytes>> {
        match self.get_directly(db, key, |shard| Some(shard.lock()))? {
            Direct::Done(value) => Ok(value),
            Direct::Ordinary => self.run(db, None, Keys::One(key), |work| {
                crate::ops::string::get(work, key)
            }),
        }
    }

    /// As [`Engine::get`], with the lock as `lock` gets it; without it the ordinary way has to be gone.
    pub(crate) fn get_directly<'e>(
        &'e self,
        db: u8,
        key: &[u8],
        lock: impl Fn(&'e Mutex<Shard>) -> Option<MutexGuard<'e, Shard>>,
    ) -> Result<Direct<Option<Bytes>>> {
        let probe = self.hashers.probe(key);
        let now = self.mount.now().as_millis();
        loop {
            let physical = self.swapped.physical(db);
            let index = self.first_shard(physical) + self.shard_of(probe.placement);
            let Some(mut shard) = lock(self.shard(index)) else {
                return Ok(Direct::Ordinary);
            };
            if self.swapped.physical(db) != physical {
                continue;
            }
            let Some(entry) = shard.live_mut(probe, key, now) else {
                shard.stats.misses += 1;
                return Ok(Direct::Done(None));
            };
            let cold = entry.value().cold().map(|cold| (cold.kind, cold.len));
            let (image, len) = match cold {
                // What changed since the image has to be replayed.
                Some((Kind::String, _)) if !entry.home().deltas().is_empty() => {
                    return Ok(Direct::Ordinary);
                }
                Some((Kind::String, len)) => (entry.home().image(), len as usize),
                Some(_) => return Err(Error::WrongType),
                None => {
                    let bytes = entry.value().string_bytes().ok_or(Error::WrongType)?;
                    self.note_use(entry, now);
                    shard.stats.hits += 1;
                    return Ok(Direct::Done(Some(bytes)));
                }
            };
            drop(shard);
            self.cold_reads.fetch_add(1, Ordering::Relaxed);
            let body = self.read(image);
            let mut shard = self.shard(index).lock();
            let current = shard.table.find_mut(probe, key);
            let Some(entry) = current
                .filter(|entry| entry.home().image() == image && entry.home().deltas().is_empty())
            else {
                if let (Ok(body), None) = (&body, shard.live(probe, key, now)) {
                    // Removed meanwhile: the value was there when the key was looked up.
                    return Ok(Direct::Done(Some(Self::payload(body, key)?)));
                }
                continue;
            };
            let value = Self::payload(&body?, key)?;
            let seen_before = self.note_use(entry, now) > 0;
            if entry.value().is_cold() && (seen_before || len < DEMOTE_BYTES_MIN) {
                let before = entry.memory();
                entry.set_value(Fresh::string(&value));
                let after = entry.memory();
                shard.used = shard.used + after - before;
                shard.stats.promoted += 1;
                self.report_used(&mut shard);
            }
            shard.stats.hits += 1;
            drop(shard);
            self.relieve();
            return Ok(Direct::Done(Some(value)));
        }
    }

    /// The payload of a string image, without copying it.
    fn payload(body: &Bytes, key: &[u8]) -> Result<Bytes> {
        match Body::parse(record::IMAGE, body) {
            Some(Body::Image {
                kind: Kind::String,
                key: found,
                payload,
                ..
            }) if found == key => Ok(body.slice_ref(payload)),
            _ => Err(Error::Storage(storage::Error::corrupt(
                "log",
                0,
                "a record belongs to another key",
            ))),
        }
    }
}
