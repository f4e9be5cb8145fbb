//! One key: its value, deadline and place in the log.

use bytes::Bytes;

use crate::keyspace::access::Access;
use crate::keyspace::block::Block;
use crate::keyspace::table::Keyed;
use crate::storage::Address;
use crate::value::{Fresh, Kind, Object, Seen};

/// Deltas after which a new image may be written, once they are as large as the image.
const CHAIN_MAX: usize = 32;
/// Bits of the access counter, and its highest value.
const HEAT_BITS: u32 = 2;
const HEAT_MAX: u32 = 3;
/// Bytes of table slot that one key costs on average, at three quarters load.
const SLOT_BYTES: usize = 12;
/// That of every key of which nothing is in the log.
static NO_HOME: Home = Home {
    image: Address {
        segment: 0,
        offset: 0,
        len: 0,
    },
    more: None,
};

/// A key and all that is known of it.
pub(crate) struct Entry(Block);

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key().escape_ascii().to_string())
            .field("value", &self.value())
            .field("home", &self.home())
            .finish_non_exhaustive()
    }
}

impl Keyed for Entry {
    #[inline]
    fn key(&self) -> &[u8] {
        self.0.key()
    }
}

impl Entry {
    pub(crate) fn new(key: &[u8], value: Fresh<'_>, expire_at: u64) -> Self {
        Self(Block::new(key, value, expire_at, None))
    }

    /// A key whose value is in the log.
    pub(crate) fn at(key: &[u8], value: Fresh<'_>, expire_at: u64, home: Home) -> Self {
        Self(Block::new(key, value, expire_at, Some(home)))
    }

    /// Its name.
    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        self.0.key()
    }

    #[inline]
    pub(crate) fn value(&self) -> Seen<'_> {
        self.0.value()
    }

    pub(crate) fn kind(&self) -> Kind {
        self.value().kind()
    }

    /// The value, to be changed in place; a text that is held with the key becomes one of its own first.
    pub(crate) fn object_mut(&mut self) -> &mut Object {
        if let Seen::Text(text) = self.0.value() {
            let object = Object::shared(Bytes::copy_from_slice(text));
            self.0.set_value(Fresh::Object(object));
        }
        self.0.object_mut().expect("the text was just moved")
    }

    /// Takes another value; all else stays.
    pub(crate) fn set_value(&mut self, value: Fresh<'_>) {
        self.0.set_value(value);
    }

    /// Takes a value that was read from the log; a short text goes behind the key.
    pub(crate) fn take_in(&mut self, object: Object) {
        match object.fresh() {
            Some(fresh) => self.0.set_value(fresh),
            None => self.0.set_value(object.into()),
        }
    }

    /// Deadline in ms since the Unix epoch; 0 without one.
    #[inline]
    pub(crate) fn expire_at(&self) -> u64 {
        self.0.deadline()
    }

    pub(crate) fn set_expire_at(&mut self, at: u64) {
        self.0.set_deadline(at);
    }

    pub(crate) fn home(&self) -> &Home {
        self.0.home().unwrap_or(&NO_HOME)
    }

    pub(crate) fn home_mut(&mut self) -> &mut Home {
        self.0.home_mut()
    }

    /// Whether the key is gone: its time has come, or that of every part of its value.
    #[inline]
    pub(crate) fn is_expired(&self, now: u64) -> bool {
        let passed = |at: u64| at != 0 && at <= now;
        passed(self.expire_at()) || passed(self.value().parts().all)
    }

    /// When the key or a part of its value is due next; 0 if never.
    pub(crate) fn next_deadline(&self) -> u64 {
        let mut next = self.value().parts();
        next.note(self.expire_at());
        next.first
    }

    /// Use of the key, for eviction.
    pub(crate) fn access(&self) -> Access {
        Access::from_bits(self.0.usage() >> HEAT_BITS)
    }

    pub(crate) fn set_access(&mut self, access: Access) {
        let heat = u32::from(self.heat());
        *self.0.usage_mut() = access.bits() << HEAT_BITS | heat;
    }

    /// Two-bit access counter of the CLOCK sweep.
    pub(crate) fn heat(&self) -> u8 {
        (self.0.usage() & HEAT_MAX) as u8
    }

    /// Notes an access; the value before.
    pub(crate) fn warm(&mut self) -> u8 {
        let before = self.heat();
        if u32::from(before) < HEAT_MAX {
            *self.0.usage_mut() += 1;
        }
        before
    }

    /// A value that replaces another is as much in use as that one was.
    pub(crate) fn inherit_heat(&mut self, before: &Self) {
        let usage = self.0.usage_mut();
        *usage = *usage & !HEAT_MAX | u32::from(before.heat());
    }

    /// Takes one access away; whether there was none left.
    pub(crate) fn cool(&mut self) -> bool {
        let idle = self.heat() == 0;
        if !idle {
            *self.0.usage_mut() -= 1;
        }
        idle
    }

    /// Bytes this key keeps in memory, value included.
    pub(crate) fn memory(&self) -> usize {
        self.0.bytes() + SLOT_BYTES + self.home().memory() + self.value().memory()
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
    /// Whether one of the deltas comes before the one that was made before it, as far as addresses go.
    jumbled: bool,
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

    /// Whether a record is one of those the key keeps alive. O(log deltas): addresses grow with the log.
    pub(crate) fn holds(&self, at: Address) -> bool {
        if self.image == at && !self.is_none() {
            return true;
        }
        self.more.as_ref().is_some_and(|more| {
            more.expiry == Some(at)
                || if more.jumbled {
                    more.deltas.contains(&at)
                } else {
                    more.deltas.binary_search(&at).is_ok()
                }
        })
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
        more.jumbled |= more.deltas.last().is_some_and(|last| *last > at);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(segment: u32, offset: u32) -> Address {
        Address {
            segment,
            offset,
            len: 8,
        }
    }

    #[test]
    fn a_home_holds_what_it_was_given_in_any_order() {
        for places in [
            vec![(1, 16), (1, 64), (2, 16), (7, 32)],
            vec![(3, 16), (1, 64), (9, 16), (2, 32)],
        ] {
            let mut home = Home::at(at(0, 48));
            home.set_expiry(at(5, 5));
            for (segment, offset) in &places {
                assert!(!home.holds(at(*segment, *offset)));
                home.push_delta(at(*segment, *offset));
            }
            assert_eq!(home.records().count(), 2 + places.len());
            assert!(home.records().all(|record| home.holds(record)));
            assert!(!home.holds(at(1, 48)) && !home.holds(at(0, 0)));
        }
        assert!(!Home::default().holds(Address::default()));
    }
}
