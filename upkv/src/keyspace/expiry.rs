//! Which keys of a shard are due next, to the coarseness that cleaning up needs.
//!
//! A key is listed under a slot, the narrower the nearer its deadline. A slot that is near is at or after the deadlines
//! in it; one that is far is before them, and when its time comes its keys are listed anew, more finely. So the number
//! of slots stays small however far deadlines spread. Entries are hints: whoever takes one looks the key up and decides
//! by its real deadline. Moving a deadline later adds nothing until the old entry comes up. Visibility never depends on
//! this index.

use std::collections::BTreeMap;

use super::table::Probe;

/// Deadlines nearer than this many ms are in slots that are not listed anew.
const NEAR: u64 = 10_000;
/// Width of these slots in ms.
const NEAR_WIDTH: u64 = 128;
/// Far slots between a distance and twice that distance.
const FAR_SLOTS: u64 = 8;

/// See the module documentation.
#[derive(Debug, Default)]
pub(crate) struct Expiry {
    /// Packed probes by the time of their slot.
    slots: BTreeMap<u64, Vec<u64>>,
    /// Entries in all slots.
    len: usize,
    /// Bytes of all slots.
    bytes: usize,
}

/// Bytes of one slot.
fn bytes(keys: &Vec<u64>) -> usize {
    keys.capacity() * size_of::<u64>() + 48
}

/// The time of the slot that a deadline belongs to.
fn slot(now: u64, deadline: u64) -> u64 {
    let away = deadline.saturating_sub(now);
    if away < NEAR {
        let at = deadline.checked_next_multiple_of(NEAR_WIDTH);
        return at.unwrap_or(u64::MAX);
    }
    let width = (1 << away.ilog2()) / FAR_SLOTS;
    deadline / width * width
}

impl Expiry {
    /// Lists a key under its deadline; the slot's time.
    pub(crate) fn add(&mut self, now: u64, deadline: u64, probe: Probe) -> u64 {
        let at = slot(now, deadline);
        let keys = self.slots.entry(at).or_insert_with(|| {
            self.bytes += bytes(&Vec::new());
            Vec::new()
        });
        self.bytes -= bytes(keys);
        if keys.len() == keys.capacity() {
            // Many slots are never full, so they grow by less than doubling.
            keys.reserve_exact(4.max(keys.len() / 4));
        }
        keys.push(probe.pack());
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
            due.extend(keys.drain(keep..).map(Probe::unpack));
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
        keys.get(usize::try_from(at).ok()?)
            .copied()
            .map(Probe::unpack)
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
            .flat_map(|keys| keys.iter().copied().map(Probe::unpack))
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
            placement: n << 24,
            random: n,
        }
    }

    #[test]
    fn near_slots_are_after_their_deadlines_and_far_ones_ahead() {
        let mut expiry = Expiry::default();
        for deadline in [1, 127, 128, 9_999] {
            let at = expiry.add(0, deadline, probe(deadline));
            assert!(at >= deadline && at < deadline + NEAR_WIDTH);
        }
        for now in [0, 1_700_000_000_000] {
            for away in [10_000, 599_999, 700_000, 1 << 40, u64::MAX - now] {
                let deadline = now + away;
                let at = expiry.add(now, deadline, probe(away));
                assert!(at > now && at <= deadline);
                assert!(deadline - at <= away / FAR_SLOTS);
            }
        }
        assert_eq!(expiry.next(), Some(128));
    }

    #[test]
    fn a_far_deadline_is_listed_anew_a_few_times_only() {
        for deadline in [10_000, 86_400_000, 30 * 86_400_000, u64::MAX / 4] {
            let (mut now, mut steps) = (0, 0);
            while now < deadline {
                now = slot(now, deadline);
                steps += 1;
            }
            assert!(
                steps <= 24 && now - deadline < NEAR_WIDTH,
                "{deadline}: {steps}"
            );
        }
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
