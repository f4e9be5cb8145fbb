//! One key: its value, deadline and place in the log.

use crate::keyspace::access::Access;
use crate::keyspace::key::Key;
use crate::keyspace::table::Keyed;
use crate::storage::Address;
use crate::value::Object;

/// Deltas after which a new image may be written, once they are as large as the image.
const CHAIN_MAX: usize = 32;
/// Highest value of the two-bit access counter.
const HEAT_MAX: u8 = 3;
/// Bytes of table slot that one key costs on average, at two thirds load.
const SLOT_BYTES: usize = 14;

/// A key and what is known of it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) slot: Slot,
}

impl Keyed for Entry {
    fn key(&self) -> &[u8] {
        &self.key
    }
}

/// Everything about a key except its name.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) object: Object,
    /// Deadline in ms since the Unix epoch; 0 without one.
    pub(crate) expire_at: u64,
    pub(crate) home: Home,
    /// Use of the key, for eviction.
    pub(crate) access: Access,
    /// Two-bit access counter of the CLOCK sweep.
    heat: u8,
    /// Whether `OBJECT ENCODING` answers `raw` for a short string because it was edited in place.
    pub(crate) raw: bool,
    /// Bytes last added to the shard's total for this key.
    pub(crate) counted: usize,
}

impl Slot {
    pub(crate) fn new(object: Object, expire_at: u64) -> Self {
        Self {
            object,
            expire_at,
            home: Home::default(),
            access: Access::default(),
            heat: 0,
            raw: false,
            counted: 0,
        }
    }

    /// Whether the key is gone: its time has come, or that of every part of its value.
    pub(crate) fn is_expired(&self, now: u64) -> bool {
        let passed = |at: u64| at != 0 && at <= now;
        passed(self.expire_at) || passed(self.object.parts().all)
    }

    /// When the key or a part of its value is due next; 0 if never.
    pub(crate) fn next_deadline(&self) -> u64 {
        let mut next = self.object.parts();
        next.note(self.expire_at);
        next.first
    }

    /// Notes an access; the value before.
    pub(crate) fn warm(&mut self) -> u8 {
        let before = self.heat;
        if before < HEAT_MAX {
            self.heat = before + 1;
        }
        before
    }

    /// Accesses counted so far, without one more.
    pub(crate) fn heat(&self) -> u8 {
        self.heat
    }

    /// A value that replaces another is as much in use as that one was.
    pub(crate) fn inherit_heat(&mut self, before: &Self) {
        self.heat = before.heat;
    }

    /// Takes one access away; whether there was none left.
    pub(crate) fn cool(&mut self) -> bool {
        let idle = self.heat == 0;
        self.heat = self.heat.saturating_sub(1);
        idle
    }
}

impl Entry {
    /// Bytes this key keeps in memory, value included.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>()
            + SLOT_BYTES
            + self.key.heap_bytes()
            + self.slot.home.memory()
            + self.slot.object.memory()
    }
}

/// The records that make up a key's value: an image, deltas after it, and a newer deadline.
#[derive(Debug, Default)]
pub(crate) struct Home {
    /// Zero length means that nothing is in the log yet; an image is never empty.
    image: Address,
    more: Option<Box<More>>,
}

#[derive(Debug, Default)]
struct More {
    expiry: Option<Address>,
    deltas: Vec<Address>,
    delta_bytes: u64,
}

impl Home {
    pub(crate) fn at(image: Address) -> Self {
        Self { image, more: None }
    }

    pub(crate) fn is_none(&self) -> bool {
        self.image.len == 0
    }

    pub(crate) fn image(&self) -> Address {
        self.image
    }

    pub(crate) fn deltas(&self) -> &[Address] {
        self.more.as_ref().map_or(&[], |more| &more.deltas)
    }

    pub(crate) fn expiry(&self) -> Option<Address> {
        self.more.as_ref().and_then(|more| more.expiry)
    }

    /// Image and deltas, oldest first: what has to be read to rebuild the value.
    pub(crate) fn chain(&self) -> Vec<Address> {
        let mut chain = Vec::with_capacity(1 + self.deltas().len());
        chain.push(self.image);
        chain.extend_from_slice(self.deltas());
        chain
    }

    /// Whether `chain` is still what [`Home::chain`] answers.
    pub(crate) fn is_chain(&self, chain: &[Address]) -> bool {
        chain
            .split_first()
            .is_some_and(|(image, deltas)| *image == self.image && deltas == self.deltas())
    }

    /// Every record the key keeps alive.
    pub(crate) fn records(&self) -> impl Iterator<Item = Address> + '_ {
        let image = (!self.is_none()).then_some(self.image);
        image
            .into_iter()
            .chain(self.deltas().iter().copied())
            .chain(self.expiry())
    }

    pub(crate) fn push_delta(&mut self, at: Address) {
        let more = self.more.get_or_insert_default();
        more.deltas.push(at);
        more.delta_bytes += u64::from(at.len);
    }

    /// Sets the newest deadline record; the one it replaces.
    pub(crate) fn set_expiry(&mut self, at: Address) -> Option<Address> {
        self.more.get_or_insert_default().expiry.replace(at)
    }

    /// Whether the next change should be logged as a whole image instead of one more delta.
    pub(crate) fn wants_image(&self) -> bool {
        self.more.as_ref().is_some_and(|more| {
            more.deltas.len() >= CHAIN_MAX && more.delta_bytes >= u64::from(self.image.len)
        })
    }

    fn memory(&self) -> usize {
        let more = self.more.as_ref();
        more.map_or(0, |more| {
            size_of::<More>() + more.deltas.capacity() * size_of::<Address>()
        })
    }
}
