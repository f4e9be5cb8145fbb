//! Moments at which something took longer than the parameter allows, by event.
//!
//! Invariant: every event keeps at most [`SAMPLES_MAX`] samples, one a second at most; the names of events are fixed.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;

/// Samples kept of one event, as in Redis.
const SAMPLES_MAX: usize = 160;

/// What was seen of one event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Event {
    /// Seconds since 1970 with ms, the oldest first.
    pub(crate) samples: VecDeque<(u64, u64)>,
    pub(crate) max: u64,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    events: Mutex<BTreeMap<&'static str, Event>>,
}

impl Latency {
    /// Something took so many ms.
    #[cold]
    pub(crate) fn add(&self, event: &'static str, at: u64, millis: u64) {
        let mut events = self.events.lock();
        let event = events.entry(event).or_default();
        event.max = event.max.max(millis);
        match event.samples.back_mut() {
            Some((second, longest)) if *second == at => *longest = (*longest).max(millis),
            _ => event.samples.push_back((at, millis)),
        }
        if event.samples.len() > SAMPLES_MAX {
            event.samples.pop_front();
        }
    }

    pub(crate) fn all(&self) -> Vec<(&'static str, Event)> {
        let events = self.events.lock();
        events
            .iter()
            .map(|(name, event)| (*name, event.clone()))
            .collect()
    }

    pub(crate) fn of(&self, name: &[u8]) -> Option<Event> {
        let events = self.events.lock();
        let mut found = events.iter().filter(|(known, _)| known.as_bytes() == name);
        found.next().map(|(_, event)| event.clone())
    }

    /// Forgets events, all if none is named; how many there were.
    pub(crate) fn reset(&self, names: &[&[u8]]) -> usize {
        let mut events = self.events.lock();
        let before = events.len();
        events.retain(|known, _| !names.is_empty() && !names.contains(&known.as_bytes()));
        before - events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_keeps_its_longest_and_old_samples_go() {
        let latency = Latency::default();
        latency.add("command", 5, 10);
        latency.add("command", 5, 30);
        latency.add("command", 5, 20);
        assert_eq!(latency.of(b"command").expect("an event").samples, [(5, 30)]);
        for second in 6..1_000 {
            latency.add("command", second, 1);
        }
        let event = latency.of(b"command").expect("an event");
        assert_eq!((event.samples.len(), event.max), (SAMPLES_MAX, 30));
        assert_eq!(latency.reset(&[b"other"]), 0);
        assert_eq!(latency.reset(&[]), 1);
    }
}
