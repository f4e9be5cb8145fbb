//! Which keys of a shard are due next, to the coarseness that cleaning up needs.
//!
//! A key is listed under a slot at or after its deadline, finer slots for nearer deadlines. Entries are
//! hints: whoever takes one looks the key up and decides by its real deadline. Moving a deadline later
//! adds nothing until the old entry comes up. Visibility never depends on this index.

use std::collections::BTreeMap;

use super::table::Probe;

/// Deadlines nearer than the first number of ms fall into slots of the second number of ms.
const SLOTS: [(u64, u64); 3] = [(10_000, 128), (600_000, 4_096), (u64::MAX, 65_536)];

/// See the module documentation.
#[derive(Debug, Default)]
pub(crate) struct Expiry {
    slots: BTreeMap<u64, Vec<Probe>>,
    /// Entries in all slots.
    len: usize,
    /// Bytes of all slots.
    bytes: usize,
}

/// Bytes of one slot.
fn bytes(keys: &Vec<Probe>) -> usize {
    keys.capacity() * size_of::<Probe>() + 48
}

impl Expiry {
    /// Lists a key under its deadline; the slot's time.
    pub(crate) fn add(&mut self, now: u64, deadline: u64, probe: Probe) -> u64 {
        let away = deadline.saturating_sub(now);
        let width = SLOTS
            .iter()
            .find(|(below, _)| away < *below)
            .map_or(65_536, |slot| slot.1);
        let at = deadline.checked_next_multiple_of(width).unwrap_or(u64::MAX);
        let keys = self.slots.entry(at).or_insert_with(|| {
            self.bytes += bytes(&Vec::new());
            Vec::new()
        });
        self.bytes -= bytes(keys);
        keys.push(probe);
        self.bytes += bytes(keys);
        self.len += 1;
        at
    }

    /// Time of the first slot.
    pub(crate) fn next(&self) -> Option<u64> {
        self.slots.first_key_value().map(|(at, _)| *at)
    }

    /// Takes up to `max` keys out of slots that are due.
    pub(crate) fn take_due(&mut self, now: u64, max: usize) -> Vec<Probe> {
        let mut due = Vec::new();
        while let Some(mut slot) = self.slots.first_entry() {
            if *slot.key() > now || due.len() >= max {
                break;
            }
            let keys = slot.get_mut();
            let keep = keys.len().saturating_sub(max - due.len());
            due.extend(keys.drain(keep..));
            if keys.is_empty() {
                self.bytes -= bytes(&slot.remove());
            }
        }
        self.len -= due.len();
        due
    }

    /// Some key of the first slot.
    pub(crate) fn nearest(&self, random: u64) -> Option<Probe> {
        let (_, keys) = self.slots.first_key_value()?;
        let at = random.checked_rem(keys.len() as u64)?;
        keys.get(usize::try_from(at).ok()?).copied()
    }

    /// All keys, slot by slot, from one of the first slots on.
    pub(crate) fn from(&self, random: u64) -> impl Iterator<Item = Probe> + '_ {
        /// Slots among which the first one is chosen: to step over more would cost too much.
        const START_MAX: usize = 64;
        let choices = self.slots.len().clamp(1, START_MAX) as u64;
        let start = usize::try_from(random % choices).unwrap_or(0);
        let slots = self.slots.values().skip(start);
        slots
            .chain(self.slots.values().take(start))
            .flat_map(|keys| keys.iter().copied())
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Number of entries, those of keys that are gone or were moved included.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes the index keeps in memory.
    pub(crate) fn memory(&self) -> usize {
        self.bytes
    }

    /// Recomputes what is counted; whether it agrees.
    pub(crate) fn audit(&self) -> bool {
        let len: usize = self.slots.values().map(Vec::len).sum();
        let all: usize = self.slots.values().map(bytes).sum();
        (len, all) == (self.len, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(n: u64) -> Probe {
        Probe {
            placement: n,
            random: n,
        }
    }

    #[test]
    fn slots_are_never_before_the_deadline() {
        let mut expiry = Expiry::default();
        for deadline in [1, 127, 128, 9_999, 10_001, 599_999, 700_000, u64::MAX] {
            assert!(expiry.add(0, deadline, probe(deadline)) >= deadline);
        }
        assert_eq!(expiry.next(), Some(128));
    }

    #[test]
    fn due_keys_come_in_bounded_portions() {
        let mut expiry = Expiry::default();
        for n in 0..100 {
            expiry.add(0, 50, probe(n));
        }
        expiry.add(0, 5_000, probe(100));
        assert!(expiry.take_due(49, 10).is_empty());
        let mut seen = 0;
        loop {
            let due = expiry.take_due(1_000, 30);
            assert!(due.len() <= 30 && expiry.audit());
            if due.is_empty() {
                break;
            }
            seen += due.len();
        }
        assert_eq!(seen, 100);
        assert_eq!(expiry.take_due(9_000, 30).len(), 1);
        assert_eq!(expiry.next(), None);
        assert_eq!((expiry.len(), expiry.memory()), (0, 0));
    }
}
