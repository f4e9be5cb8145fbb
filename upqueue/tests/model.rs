//! Random calls on the front door against plain maps, on a clock that the test moves; also across crashes of the process.
#![cfg(feature = "test-util")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use upkv::storage::testing::scaled;
use upkv::storage::vfs::MemVfs;
use upkv::storage::{Durability, Random};
use upkv::{Clock, ManualClock, Store, Timestamp};
use upqueue::{
    Backoff, EngineOptions, Error, Job, LeaseToken, Message, MessageId, Queue, QueueOptions,
};

const QUEUES: [&str; 2] = ["a", "b"];
const LEASE: Duration = Duration::from_secs(30);
const LONGER: Duration = Duration::from_secs(50);
const REST: Duration = Duration::from_secs(5);
const WINDOW: Duration = Duration::from_mins(10);
const DELIVERIES: u32 = 3;

#[derive(Clone, Debug, PartialEq)]
enum Place {
    Ready,
    Resting(Timestamp),
    Leased(Timestamp),
    Dead(String),
    /// Used up when its process stopped: dead once a receive comes to it.
    Doomed,
}

#[derive(Clone, Debug)]
struct Known {
    queue: usize,
    priority: u8,
    body: String,
    attempts: u32,
    allowed: u32,
    place: Place,
}

impl Known {
    fn is_dead(&self) -> bool {
        matches!(self.place, Place::Dead(_))
    }

    /// Lost by its consumer: without a word, or with the process.
    fn lose(&mut self, last: Place) {
        self.place = if self.attempts < self.allowed {
            Place::Ready
        } else {
            last
        };
    }

    fn redrive(&mut self) {
        self.place = Place::Ready;
        self.attempts = 0;
    }
}

/// The engine, what is expected of it, and what is in the hands of consumers.
struct Play {
    random: Random,
    disk: MemVfs,
    clock: ManualClock,
    store: Store,
    queue: Queue,
    messages: BTreeMap<MessageId, Known>,
    seen: BTreeMap<String, (MessageId, Timestamp)>,
    paused: [bool; 2],
    jobs: Vec<Job>,
    over: Vec<LeaseToken>,
    newest: Option<MessageId>,
    /// Duplicates, refused leases, calls of an administrator, crashes.
    happened: [u64; 4],
    context: String,
}

fn open(disk: &MemVfs, clock: &ManualClock) -> (Store, Queue) {
    let store = Store::builder("/sim/store")
        .vfs(Arc::new(disk.clone()))
        .clock(Arc::new(clock.clone()))
        .durability(Durability::Os)
        .background(false)
        .segment_bytes(64 << 10)
        .open()
        .unwrap();
    let options = EngineOptions::new().durability(Durability::Os);
    let queue = Queue::mount_with(&store, "jobs", options).unwrap();
    (store, queue)
}

impl Play {
    fn new(seed: u64) -> Self {
        let (disk, clock) = (MemVfs::new(), ManualClock::default());
        let (store, queue) = open(&disk, &clock);
        for name in QUEUES {
            let options = QueueOptions::new()
                .lease(LEASE)
                .max_deliveries(DELIVERIES)
                .backoff(Backoff::constant(REST));
            queue.configure(name, options).unwrap();
        }
        Self {
            random: Random::seeded(seed),
            disk,
            clock,
            store,
            queue,
            messages: BTreeMap::new(),
            seen: BTreeMap::new(),
            paused: [false; 2],
            jobs: Vec::new(),
            over: Vec::new(),
            newest: None,
            happened: [0; 4],
            context: format!("seed {seed}"),
        }
    }

    fn below(&self, limit: usize) -> usize {
        usize::try_from(self.random.below(limit as u64)).unwrap()
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn after(&self, span: Duration) -> Timestamp {
        self.now().saturating_add(span)
    }

    fn step(&mut self) {
        let at = self.below(2);
        match self.below(24) {
            0..=6 => self.publish(at),
            7..=11 => self.receive(at),
            12..=16 => self.answer(),
            17 => self
                .clock
                .advance(Duration::from_secs(self.random.below(25))),
            18 => self.administer(),
            19 => self.answer_late(),
            20 if self.below(4) == 0 => self.pause_or_resume(at),
            21 if self.below(12) == 0 => self.purge(at),
            22 if self.below(3) == 0 => self.crash(),
            23 if self.below(8) == 0 => self.redrive_all(at),
            _ => {}
        }
        self.store.maintain(Duration::from_secs(1)).unwrap();
        self.tick();
        for at in 0..QUEUES.len() {
            self.compare(at);
        }
    }

    /// What time alone does.
    fn tick(&mut self) {
        let now = self.now();
        for known in self.messages.values_mut() {
            match known.place {
                Place::Resting(at) if at <= now => known.place = Place::Ready,
                Place::Leased(until) if until <= now => {
                    known.lose(Place::Dead("the lease of the last delivery ran out".into()));
                }
                _ => {}
            }
        }
        self.seen.retain(|_, (_, until)| *until > now);
    }

    /// A message, what is known of it, and its deduplication id.
    fn message(&self, at: usize, body: String) -> (Message, Known, Option<String>) {
        let priority = u8::try_from(self.below(8)).unwrap();
        let mut message = Message::new(QUEUES[at], body.clone()).priority(priority);
        let mut known = Known {
            queue: at,
            priority,
            body,
            attempts: 0,
            allowed: DELIVERIES,
            place: Place::Ready,
        };
        if self.below(3) == 0 {
            let delay = Duration::from_secs(self.random.below(20));
            message = message.delay(delay);
            if !delay.is_zero() {
                known.place = Place::Resting(self.after(delay));
            }
        }
        if self.below(3) == 0 {
            let retries = u32::try_from(self.below(3)).unwrap();
            message = message.retries(retries);
            known.allowed = retries + 1;
        }
        let key = (self.below(3) == 0).then(|| format!("k{}", self.below(12)));
        if let Some(key) = &key {
            message = message.deduplication_id(key);
        }
        (message, known, key)
    }

    fn publish(&mut self, at: usize) {
        let bodies = (0..=self.below(3)).map(|i| format!("{} {i}", self.context));
        let batch: Vec<_> = bodies.map(|body| self.message(at, body)).collect();
        let messages = batch.iter().map(|(message, ..)| message.clone());
        let receipts = self.queue.publish_many(messages).unwrap();
        assert_eq!(receipts.len(), batch.len());
        for (receipt, (_, known, key)) in receipts.into_iter().zip(batch) {
            let first = key.as_ref().and_then(|key| self.seen.get(key));
            if let Some((first, _)) = first {
                assert!(receipt.deduplicated, "{}", self.context);
                assert_eq!(receipt.id, *first, "{}", self.context);
                self.happened[0] += 1;
                continue;
            }
            assert!(!receipt.deduplicated, "{}", self.context);
            assert!(self.newest < Some(receipt.id), "{}", self.context);
            self.newest = Some(receipt.id);
            self.messages.insert(receipt.id, known);
            if let Some(key) = key {
                self.seen.insert(key, (receipt.id, self.after(WINDOW)));
            }
        }
    }

    fn receive(&mut self, at: usize) {
        let most = self.below(4) + 1;
        let jobs = self
            .queue
            .receive_many(QUEUES[at], most, Duration::ZERO)
            .unwrap();
        let ready = usize::try_from(self.counts(at)[0]).unwrap();
        let wanted = if self.paused[at] { 0 } else { most.min(ready) };
        assert_eq!(jobs.len(), wanted, "{}", self.context);
        let until = self.after(LEASE);
        for job in jobs {
            let ready = self.messages.values();
            let ready = ready.filter(|known| known.queue == at && known.place == Place::Ready);
            let best = ready.map(|known| known.priority).min();
            let known = self.messages.get_mut(&job.id()).unwrap();
            assert_eq!(known.place, Place::Ready, "{}", self.context);
            assert_eq!(Some(known.priority), best, "{}", self.context);
            known.attempts += 1;
            assert_eq!(job.attempt(), known.attempts, "{}", self.context);
            assert!(job.attempt() <= known.allowed, "{}", self.context);
            assert_eq!(job.body(), known.body.as_bytes(), "{}", self.context);
            known.place = Place::Leased(until);
            self.jobs.push(job);
        }
    }

    /// Whether the lease of a job that ends at `deadline` holds.
    fn holds(&self, id: MessageId, deadline: Timestamp) -> bool {
        let known = self.messages.get(&id);
        known.is_some_and(|known| known.place == Place::Leased(deadline))
    }

    fn answer(&mut self) {
        if self.jobs.is_empty() {
            return;
        }
        let mut job = self.jobs.swap_remove(self.below(self.jobs.len()));
        let (id, token) = (job.id(), job.receipt());
        let valid = self.holds(id, job.deadline());
        let mut known = self.messages.get(&id).cloned();
        let mut extended = None;
        let verdict = self.below(6);
        let result = match verdict {
            0 | 1 => job.ack(),
            2 => job.nack("no"),
            3 => job.release(),
            4 => job.dead_letter("bad"),
            _ => {
                let result = job.extend(LONGER);
                extended = Some(job);
                result
            }
        };
        if !valid {
            let lost = matches!(result, Err(Error::LeaseLost(lost)) if lost == id);
            assert!(lost, "{}: {result:?}", self.context);
            self.happened[1] += 1;
            // Its lease is over: a drop would say so once more.
            if let Some(job) = extended {
                std::mem::forget(job);
            }
            return;
        }
        result.unwrap();
        if let Some(known) = &mut known {
            known.place = match verdict {
                2 if known.attempts >= known.allowed => Place::Dead("no".into()),
                2 => Place::Resting(self.after(REST)),
                3 => {
                    known.attempts -= 1;
                    Place::Ready
                }
                4 => Place::Dead("bad".into()),
                _ => Place::Leased(self.after(LONGER)),
            };
        }
        match (verdict, known) {
            (0 | 1, _) | (_, None) => self.messages.remove(&id),
            (_, Some(known)) => self.messages.insert(id, known),
        };
        match extended {
            Some(job) => self.jobs.push(job),
            None => self.over.push(token),
        }
    }

    /// A lease that was answered, or was lost with its process, does nothing any more.
    fn answer_late(&mut self) {
        if let Some(token) = self.over.pop() {
            let result = self.queue.ack(token);
            let lost = matches!(result, Err(Error::LeaseLost(_)));
            assert!(lost, "{}: {result:?}", self.context);
        }
    }

    fn administer(&mut self) {
        let at = self.below(self.messages.len().max(1));
        let Some((id, known)) = self.messages.iter_mut().nth(at) else {
            return;
        };
        if known.place == Place::Doomed {
            return;
        }
        let (id, dead) = (*id, known.is_dead());
        let done = match self.random.below(3) {
            0 => self.queue.cancel(id).unwrap(),
            1 => {
                self.queue.redrive(id).unwrap() && {
                    known.redrive();
                    assert!(dead, "{}", self.context);
                    return;
                }
            }
            _ => {
                let done = self.queue.delete_dead(id).unwrap();
                assert_eq!(done, dead, "{}", self.context);
                done
            }
        };
        if done {
            self.messages.remove(&id);
        }
        self.happened[2] += 1;
    }

    fn pause_or_resume(&mut self, at: usize) {
        self.paused[at] = !self.paused[at];
        if self.paused[at] {
            self.queue.pause(QUEUES[at]).unwrap();
        } else {
            self.queue.resume(QUEUES[at]).unwrap();
        }
    }

    fn purge(&mut self, at: usize) {
        let before = self.messages.len();
        self.messages
            .retain(|_, known| known.queue != at || known.is_dead());
        let purged = self.queue.purge(QUEUES[at]).unwrap();
        assert_eq!(purged, before - self.messages.len(), "{}", self.context);
    }

    fn redrive_all(&mut self, at: usize) {
        let dead = self.messages.values_mut();
        let dead = dead.filter(|known| known.queue == at && known.is_dead());
        let count = dead.map(Known::redrive).count();
        let redriven = self.queue.redrive_all(QUEUES[at]).unwrap();
        assert_eq!(redriven, count, "{}", self.context);
    }

    /// The process stops where it stands; what was leased is there again.
    fn crash(&mut self) {
        if self.below(2) == 0 {
            self.store.checkpoint().unwrap();
        }
        self.disk = self.disk.copy();
        for job in self.jobs.drain(..) {
            self.over.push(job.receipt());
            std::mem::forget(job);
        }
        self.clock = ManualClock::new(self.clock.now());
        (self.store, self.queue) = open(&self.disk, &self.clock);
        for known in self.messages.values_mut() {
            if let Place::Leased(_) = known.place {
                known.lose(Place::Doomed);
            }
        }
        self.happened[3] += 1;
    }

    /// Ready, resting, leased, dead.
    fn counts(&self, at: usize) -> [u64; 4] {
        let mut counts = [0; 4];
        for known in self.messages.values().filter(|known| known.queue == at) {
            match known.place {
                Place::Ready => counts[0] += 1,
                Place::Resting(_) => counts[1] += 1,
                Place::Leased(_) => counts[2] += 1,
                Place::Dead(_) => counts[3] += 1,
                Place::Doomed => {}
            }
        }
        counts
    }

    fn compare(&mut self, at: usize) {
        let context = &self.context;
        let letters = self.queue.dead_letters(QUEUES[at]).map(Result::unwrap);
        let mut letters: BTreeMap<_, _> = letters.map(|letter| (letter.id, letter)).collect();
        let mut doomed = 0;
        let own = self.messages.iter_mut();
        for (id, known) in own.filter(|(_, known)| known.queue == at) {
            match (&known.place, letters.remove(id)) {
                (Place::Dead(why), Some(letter)) => {
                    assert_eq!(&letter.why, why, "{context}");
                    assert_eq!(letter.attempts, known.attempts, "{context}");
                    assert_eq!(letter.body, known.body.as_bytes(), "{context}");
                }
                (Place::Doomed, Some(letter)) => known.place = Place::Dead(letter.why),
                (Place::Doomed, None) => doomed += 1,
                (Place::Dead(_), None) => panic!("{context}: {id} is not among the dead"),
                (_, None) => {}
                (place, Some(letter)) => panic!("{context}: {place:?}, but {letter:?}"),
            }
        }
        assert!(letters.is_empty(), "{context}: {letters:?}");
        let mut wanted = self.counts(at);
        wanted[0] += doomed;
        let stats = self.queue.stats(QUEUES[at]);
        let found = [stats.ready, stats.delayed, stats.leased, stats.dead];
        assert_eq!(
            (found, stats.paused),
            (wanted, self.paused[at]),
            "{context}"
        );
    }
}

#[test]
fn random_calls_equal_the_model() {
    let mut total = [0; 4];
    for seed in 1..=scaled(20) {
        let mut play = Play::new(seed);
        for step in 0..2_000 {
            play.context = format!("seed {seed}, step {step}");
            play.step();
        }
        play.jobs.drain(..).for_each(std::mem::forget);
        let sums = total.iter_mut().zip(play.happened);
        sums.for_each(|(sum, n)| *sum += n);
    }
    assert!(total.iter().all(|n| *n > 50), "{total:?}");
}
