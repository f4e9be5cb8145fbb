//! One queue: its lines of ready messages by priority, its counts, its settings.
//!
//! Invariant: a line holds exactly the ready messages of its level, each once; a message that leaves takes its place with it, so that
//! one that comes again later stands behind those that waited.

use std::collections::{BTreeSet, VecDeque};

use crate::message::PRIORITIES;
use crate::options::QueueOptions;

/// In a line: nobody stands here any more. No message has this number.
const GAP: u64 = u64::MAX;
/// The place of a message that came back: before the line.
const RETURNED: u64 = u64::MAX;
/// Gaps that are never worth closing.
const GAPS_MIN: usize = 64;

/// The ready messages of one level.
#[derive(Debug, Default)]
struct Line {
    /// Served first, by number: they are older than what is in the line.
    returned: BTreeSet<u64>,
    slots: VecDeque<u64>,
    /// Place of the first slot; a message's place is this plus its index.
    first: u64,
    gaps: usize,
}

impl Line {
    fn enter(&mut self, number: u64, front: bool) -> u64 {
        if front {
            self.returned.insert(number);
            return RETURNED;
        }
        self.slots.push_back(number);
        self.first + self.slots.len() as u64 - 1
    }

    fn leave(&mut self, number: u64, place: u64) {
        if place == RETURNED {
            self.returned.remove(&number);
            return;
        }
        let slot = usize::try_from(place - self.first)
            .ok()
            .and_then(|index| self.slots.get_mut(index))
            .expect("a ready message knows its place");
        debug_assert_eq!(*slot, number, "a place is one message's");
        *slot = GAP;
        self.gaps += 1;
        while self.slots.front() == Some(&GAP) {
            self.slots.pop_front();
            self.first += 1;
            self.gaps -= 1;
        }
    }

    fn is_untidy(&self) -> bool {
        self.gaps > GAPS_MIN && self.gaps > self.slots.len() / 2
    }

    fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        let waiting = self.slots.iter().filter(|number| **number != GAP);
        self.returned.iter().chain(waiting).copied()
    }
}

/// One queue.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) name: Box<str>,
    pub(crate) paused: bool,
    pub(crate) options: QueueOptions,
    lines: [Line; PRIORITIES as usize],
    pub(crate) ready: u64,
    pub(crate) resting: u64,
    pub(crate) leased: u64,
    pub(crate) dead: BTreeSet<u64>,
}

impl Lane {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            paused: false,
            options: QueueOptions::new(),
            lines: Default::default(),
            ready: 0,
            resting: 0,
            leased: 0,
            dead: BTreeSet::new(),
        }
    }

    /// Messages that wait or are worked on.
    pub(crate) fn waiting(&self) -> u64 {
        self.ready + self.resting + self.leased
    }

    /// Puts a message at the end of its line, or before it; the place it must name when it leaves.
    pub(crate) fn push_ready(&mut self, priority: u8, number: u64, front: bool) -> u64 {
        self.ready += 1;
        self.lines[usize::from(priority)].enter(number, front)
    }

    pub(crate) fn forget_ready(&mut self, priority: u8, number: u64, place: u64) {
        self.ready -= 1;
        self.lines[usize::from(priority)].leave(number, place);
    }

    /// Whether most of a line is gaps.
    pub(crate) fn is_untidy(&self) -> bool {
        self.lines.iter().any(Line::is_untidy)
    }

    /// Closes the gaps; `moved` is told of each message's new place.
    pub(crate) fn tidy(&mut self, mut moved: impl FnMut(u64, u64)) {
        for line in self.lines.iter_mut().filter(|line| line.is_untidy()) {
            line.slots.retain(|number| *number != GAP);
            line.slots.shrink_to_fit();
            line.gaps = 0;
            for (number, place) in line.slots.iter().zip(line.first..) {
                moved(*number, place);
            }
        }
    }

    /// The ready messages in the order they are served in.
    pub(crate) fn line(&self) -> impl Iterator<Item = u64> + '_ {
        self.lines.iter().flat_map(Line::iter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_closed_and_places_stay_true() {
        let mut lane = Lane::new("q");
        let mut places: Vec<u64> = (0..1_000).map(|n| lane.push_ready(4, n, false)).collect();
        for number in 1..900 {
            lane.forget_ready(4, number, places[usize::try_from(number).unwrap()]);
        }
        assert!(lane.is_untidy());
        lane.tidy(|number, place| places[usize::try_from(number).unwrap()] = place);
        assert!(!lane.is_untidy());
        let returned = lane.push_ready(4, 500, true);
        let wanted: Vec<u64> = [500, 0].into_iter().chain(900..1_000).collect();
        assert_eq!(lane.line().collect::<Vec<_>>(), wanted);
        lane.forget_ready(4, 500, returned);
        for number in [950, 0, 999, 900] {
            lane.forget_ready(4, number, places[usize::try_from(number).unwrap()]);
        }
        let wanted: Vec<u64> = (901..999).filter(|n| *n != 950).collect();
        assert_eq!(lane.line().collect::<Vec<_>>(), wanted);
        assert_eq!(lane.ready, wanted.len() as u64);
    }
}
