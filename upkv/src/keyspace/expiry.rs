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
        self.slots.entry(at).or_default().push(probe);
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
                slot.remove();
            }
        }
        due
    }

    pub(crate) fn clear(&mut self) {
        self.slots.clear();
    }

    /// Bytes the index keeps in memory.
    pub(crate) fn memory(&self) -> usize {
        self.slots
            .values()
            .map(|keys| keys.capacity() * size_of::<Probe>() + 48)
            .sum()
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
            assert!(due.len() <= 30);
            if due.is_empty() {
                break;
            }
            seen += due.len();
        }
        assert_eq!(seen, 100);
        assert_eq!(expiry.take_due(9_000, 30).len(), 1);
        assert_eq!(expiry.next(), None);
    }
}
