//! How a work looks at keys and values.

use super::event::Class;
use super::{Loaded, Pending, Place, Work, cold_ref, position_of};
use crate::cold::DEMOTE_BYTES_MIN;
use crate::error::{Error, Result};
use crate::keyspace::entry::Entry;
use crate::keyspace::table::Probe;
use crate::value::hash::{Hash, Live};
use crate::value::zset::Zset;
use crate::value::{Collection, Kind, Seen};

impl Work<'_> {
    /// The key if it exists; its value may be cold.
    pub(crate) fn entry(&mut self, key: &[u8]) -> Result<Option<&Entry>> {
        let now = self.now;
        let (held, probe) = self.place(key)?;
        Ok(self.held[held].1.live(probe, key, now))
    }

    /// Whether the key exists; counts a hit or a miss.
    pub(crate) fn exists(&mut self, key: &[u8]) -> Result<bool> {
        let now = self.now;
        let (held, probe) = self.place(key)?;
        let shard = &mut self.held[held].1;
        let found = shard.live(probe, key, now).is_some();
        if found {
            shard.stats.hits += 1;
        } else {
            shard.stats.misses += 1;
            self.tell_miss(key);
        }
        Ok(found)
    }

    pub(super) fn tell_miss(&mut self, key: &[u8]) {
        if self.reads {
            self.notify(Class::MISS, "keymiss", key);
        }
    }

    /// The type of the key's value.
    pub(crate) fn kind(&mut self, key: &[u8]) -> Result<Option<Kind>> {
        Ok(self.entry(key)?.map(Entry::kind))
    }

    /// The value, read from the log if it is cold.
    pub(crate) fn value(&mut self, key: &[u8]) -> Result<Option<Seen<'_>>> {
        let now = self.now;
        match self.resolve(key, false)? {
            None => Ok(None),
            Some(Place::Loaded(at)) => Ok(Some(Seen::Object(&self.loaded[at].object))),
            Some(Place::Hot { held, probe }) => {
                let entry = self.held[held].1.live(probe, key, now);
                Ok(entry.map(Entry::value))
            }
        }
    }

    /// Lets `body` look at values without that counting as use.
    pub(crate) fn quietly<R>(&mut self, body: impl FnOnce(&mut Self) -> R) -> R {
        let touches = std::mem::replace(&mut self.touches, false);
        let reads = std::mem::replace(&mut self.reads, false);
        let outcome = body(self);
        (self.touches, self.reads) = (touches, reads);
        outcome
    }

    /// Notes that a key was used, whatever it holds; whether it exists.
    pub(crate) fn refresh(&mut self, key: &[u8]) -> Result<bool> {
        let found = self.exists(key)?;
        let (now, engine) = (self.now, self.engine);
        let (held, probe) = self.place(key)?;
        if let Some(entry) = self.held[held].1.live_mut(probe, key, now) {
            engine.note_use(entry, now);
        }
        Ok(found)
    }

    /// The collection at `key`.
    pub(crate) fn read<T: Collection>(&mut self, key: &[u8]) -> Result<Option<&T>> {
        if let Some((held, probe, ())) =
            self.use_if(key, |entry| T::of(entry.value()).map(|_| ()))?
        {
            let entry = self.held[held].1.table.find(probe, key);
            return Ok(entry.and_then(|entry| T::of(entry.value())));
        }
        self.expect_kind(key, T::KIND)?;
        let value = self.value(key)?;
        value
            .map(|value| T::of(value).ok_or(Error::WrongType))
            .transpose()
    }

    /// Counts the use of a live key if `look` makes something of it, with one search where the ordinary way takes
    /// several; else nothing is noted.
    pub(super) fn use_if<R>(
        &mut self,
        key: &[u8],
        look: impl FnOnce(&Entry) -> Option<R>,
    ) -> Result<Option<(usize, Probe, R)>> {
        let (now, engine, touches) = (self.now, self.engine, self.touches);
        let (held, probe) = self.place(key)?;
        let shard = &mut *self.held[held].1;
        let Some(entry) = shard.live_mut(probe, key, now) else {
            return Ok(None);
        };
        let Some(seen) = look(entry) else {
            return Ok(None);
        };
        if touches {
            engine.note_use(entry, now);
        }
        shard.stats.hits += 1;
        Ok(Some((held, probe, seen)))
    }

    /// The hash at `key`, without overdue fields; `None` if it has no others.
    pub(crate) fn hash(&mut self, key: &[u8]) -> Result<Option<Live<'_>>> {
        let now = self.now;
        let hash = self.read::<Hash>(key)?.map(|hash| hash.live(now));
        Ok(hash.filter(|hash| hash.len() > 0))
    }

    /// The sorted set at `key`.
    pub(crate) fn zset(&mut self, key: &[u8]) -> Result<Option<&Zset>> {
        self.read(key)
    }

    /// Refuses a key of another type without reading its value.
    pub(crate) fn expect_kind(&mut self, key: &[u8], kind: Kind) -> Result<()> {
        match self.kind(key)? {
            Some(found) if found != kind => Err(Error::WrongType),
            _ => Ok(()),
        }
    }

    /// Asks for all cold strings among `keys` at once, so that a command over many keys starts over once.
    pub(crate) fn prefetch_strings(&mut self, keys: &[&[u8]]) -> Result<()> {
        let mut wanted = Vec::new();
        for key in keys {
            let now = self.now;
            let (held, probe) = self.place(key)?;
            let shard = self.held[held].0;
            let known = |loaded: &Loaded, entry: &Entry| {
                loaded.shard == shard
                    && *loaded.key == **key
                    && entry.home().is_chain(&loaded.chain)
            };
            if let Some(entry) = self.held[held].1.live(probe, key, now)
                && entry
                    .value()
                    .cold()
                    .is_some_and(|cold| cold.kind == Kind::String)
                && !self.loaded.iter().any(|loaded| known(loaded, entry))
            {
                wanted.push(cold_ref(shard, entry));
            }
        }
        if wanted.is_empty() || self.impatient {
            return Ok(());
        }
        self.pending = Some(Pending::Cold(wanted));
        Err(Error::Restart)
    }

    /// Finds a key's value and brings it into memory where it is used twice or `install` asks for it.
    pub(super) fn resolve(&mut self, key: &[u8], install: bool) -> Result<Option<Place>> {
        let now = self.now;
        let (held, probe) = self.place(key)?;
        let (index, shard) = &mut self.held[held];
        let (index, shard) = (*index, &mut **shard);
        let engine = self.engine;
        let touches = self.touches;
        let note_use = |entry: &mut Entry| {
            if touches {
                engine.note_use(entry, now)
            } else {
                entry.heat()
            }
        };
        let Some(entry) = shard.live_mut(probe, key, now) else {
            shard.stats.misses += 1;
            self.tell_miss(key);
            return Ok(None);
        };
        let Some((kind, len)) = entry.value().cold().map(|cold| (cold.kind, cold.len)) else {
            note_use(entry);
            shard.stats.hits += 1;
            return Ok(Some(Place::Hot { held, probe }));
        };
        let known = |loaded: &Loaded| {
            loaded.shard == index && *loaded.key == *key && entry.home().is_chain(&loaded.chain)
        };
        let at = match self.loaded.iter().position(known) {
            Some(at) => at,
            None if self.impatient => {
                let wanted = cold_ref(index, entry);
                let object = self.engine.read_cold(&wanted)?;
                self.loaded.push(Loaded {
                    shard: index,
                    key: wanted.key,
                    chain: wanted.chain,
                    object,
                });
                self.loaded.len() - 1
            }
            None => {
                self.pending = Some(Pending::Cold(vec![cold_ref(index, entry)]));
                return Err(Error::Restart);
            }
        };
        debug_assert_eq!(self.loaded[at].object.kind(), kind);
        let seen_before = note_use(entry) > 0;
        if !install && !seen_before && len as usize >= DEMOTE_BYTES_MIN {
            shard.stats.hits += 1;
            return Ok(Some(Place::Loaded(at)));
        }
        let before = entry.memory();
        entry.take_in(self.loaded.swap_remove(at).object);
        let after = entry.memory();
        shard.used = shard.used + after - before;
        shard.stats.hits += 1;
        shard.stats.promoted += 1;
        // What this work changes of the count is told from what the key took before it.
        if let Some(at) = position_of(&self.touched, index, probe, key) {
            let noted = &mut self.touched[at];
            noted.old_memory = noted.old_memory + after - before;
        }
        Ok(Some(Place::Hot { held, probe }))
    }
}
