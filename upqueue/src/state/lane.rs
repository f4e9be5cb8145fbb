//! One queue: its line of ready messages by priority, its counts, its settings.

use std::collections::{BTreeSet, VecDeque};

use crate::message::PRIORITIES;
use crate::options::QueueOptions;

/// How far a message that comes back looks for its old place at the front of its line.
const LOOK_AHEAD: usize = 64;

/// One queue.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) name: Box<str>,
    pub(crate) paused: bool,
    pub(crate) options: QueueOptions,
    /// One line a priority. Numbers of messages that are not ready any more are skipped when they are met.
    lines: [VecDeque<u64>; PRIORITIES as usize],
    /// Ready messages, and how many numbers in the lines lead nowhere.
    pub(crate) ready: u64,
    stale: u64,
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
            stale: 0,
            resting: 0,
            leased: 0,
            dead: BTreeSet::new(),
        }
    }

    /// Messages that wait or are worked on.
    pub(crate) fn waiting(&self) -> u64 {
        self.ready + self.resting + self.leased
    }

    pub(crate) fn push_ready(&mut self, priority: u8, number: u64, front: bool) {
        let line = &mut self.lines[usize::from(priority)];
        if front {
            // Its old place: several that come back one after another stay in order.
            let ahead = line.iter().take(LOOK_AHEAD);
            let at = ahead.take_while(|other| **other < number).count();
            line.insert(at, number);
        } else {
            line.push_back(number);
        }
        self.ready += 1;
    }

    /// The message leaves the line: from its front at once, from elsewhere when it is met.
    pub(crate) fn forget_ready(&mut self, priority: u8, number: u64) {
        self.ready -= 1;
        let line = &mut self.lines[usize::from(priority)];
        if line.front() == Some(&number) {
            line.pop_front();
        } else {
            self.stale += 1;
        }
        if self.ready == 0 {
            self.lines.iter_mut().for_each(VecDeque::clear);
            self.stale = 0;
        }
    }

    /// Drops the numbers that lead nowhere once they are most of the lines. `is_ready` says which do not.
    pub(crate) fn tidy(&mut self, mut is_ready: impl FnMut(u64) -> bool) {
        if self.stale > 64 + self.ready {
            for line in &mut self.lines {
                line.retain(|number| is_ready(*number));
            }
            self.stale = 0;
        }
    }

    /// The numbers in the order they are served in.
    pub(crate) fn line(&self) -> impl Iterator<Item = u64> + '_ {
        self.lines.iter().flatten().copied()
    }
}
