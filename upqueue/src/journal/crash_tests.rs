//! The queue under the store's crash harness: random facts, every cut, every failing call, against a plain map.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use upkv::Store;
use upkv::storage::testing::{
    Ack, CrashOptions, ErrorOptions, Failure, ModelOptions, RotOptions, Run, Workload,
    crash_images, io_errors, model, replay, rot, scaled,
};
use upkv::storage::{Durability, Timestamp};

use super::record::{Body, Fact, Publish};
use crate::inner::Inner;
use crate::message::MessageId;
use crate::options::EngineOptions;
use crate::queue::Queue;
use crate::state::Stage;

const QUEUES: [&str; 3] = ["a", "b", "c"];

/// One message: its queue, its deliveries, why it is dead if it is, its body.
type Message = (usize, u32, Option<String>, Vec<u8>);

#[derive(Clone, Debug, PartialEq)]
struct Model {
    next: u64,
    messages: BTreeMap<u64, Message>,
    remembered: BTreeMap<Vec<u8>, u64>,
    queues: usize,
}

#[derive(Debug, Default)]
struct QueueWorkload;

fn payload(run: &Run<'_>) -> Vec<u8> {
    let len = match run.random.below(100) {
        0 => 64 * 1024 + run.random.below(4_000),
        1..=8 => run.random.below(3_000),
        _ => run.random.below(100),
    };
    let first = run.random.next_u64().to_le_bytes()[0];
    (0..len)
        .map(|i| first.wrapping_add(i.to_le_bytes()[0]))
        .collect()
}

fn publish(run: &Run<'_>, model: &mut Model, facts: &mut Vec<Fact>) {
    let lane = usize::try_from(run.random.below(QUEUES.len() as u64)).expect("three");
    while model.queues <= lane {
        facts.push(Fact::Lane {
            id: u32::try_from(model.queues).expect("three"),
            name: QUEUES[model.queues].into(),
            paused: false,
            options: crate::QueueOptions::new(),
        });
        model.queues += 1;
    }
    let number = model.next;
    model.next += 1;
    let body = payload(run);
    let now = run.clock_now();
    let key = (run.random.below(3) == 0).then(|| vec![run.random.next_u64().to_le_bytes()[0]]);
    if let Some(key) = &key {
        model.remembered.insert(key.clone(), number);
    }
    facts.push(Fact::Publish(Box::new(Publish {
        lane: u32::try_from(lane).expect("three"),
        id: MessageId { number, epoch: 1 },
        published: now,
        not_before: now.saturating_add(Duration::from_secs(run.random.below(2) * 5)),
        retries: None,
        backoff: None,
        priority: 4,
        deduplication: key.map(|key| (key, Timestamp::MAX)),
        content: Body {
            headers: vec![("n".into(), number.to_string())],
            body: Bytes::from(body.clone()),
        },
    })));
    model.messages.insert(number, (lane, 0, None, body));
}

/// A change of one message that is there.
fn change(run: &Run<'_>, model: &mut Model) -> Option<Fact> {
    let at = run.random.below(model.messages.len().max(1) as u64);
    let number = *model
        .messages
        .keys()
        .nth(usize::try_from(at).expect("few"))?;
    let now = run.clock_now();
    let message = model
        .messages
        .get_mut(&number)
        .expect("drawn from its keys");
    let numbers = vec![number];
    if message.2.is_some() {
        if run.random.below(2) == 0 {
            message.1 = 0;
            message.2 = None;
            return Some(Fact::Redrive { numbers });
        }
        model.messages.remove(&number);
        return Some(Fact::Remove { numbers });
    }
    Some(match run.random.below(8) {
        0..=2 => {
            message.1 += 1;
            let until = now.saturating_add(Duration::from_hours(1));
            Fact::Deliver { until, numbers }
        }
        3 | 4 => {
            model.messages.remove(&number);
            Fact::Ack { numbers }
        }
        5 => Fact::Retry {
            number,
            at: now.saturating_add(Duration::from_secs(3)),
        },
        6 => {
            message.1 = message.1.saturating_sub(1);
            Fact::Release { number }
        }
        _ => {
            message.2 = Some("gone".to_owned());
            Fact::Bury {
                number,
                at: now,
                reason: "gone".into(),
            }
        }
    })
}

trait Now {
    fn clock_now(&self) -> Timestamp;
}

impl Now for Run<'_> {
    fn clock_now(&self) -> Timestamp {
        upkv::storage::Clock::now(self.clock)
    }
}

fn level(run: &Run<'_>) -> (Durability, Ack) {
    match run.random.below(3) {
        0 => (Durability::Memory, Ack::Memory),
        1 => (Durability::Os, Ack::Os),
        _ => (Durability::Disk, Ack::Disk),
    }
}

impl Workload for QueueWorkload {
    type Engine = Queue;
    type Model = Model;

    fn empty(&self) -> Model {
        Model {
            next: 0,
            messages: BTreeMap::new(),
            remembered: BTreeMap::new(),
            queues: 0,
        }
    }

    fn open(&self, store: &Store, name: &str) -> Result<Queue, Failure> {
        Queue::mount_with(store, name, EngineOptions::new())
            .map_err(|error| Failure::from(&upkv::storage::Error::from(error)))
    }

    fn step(&self, queue: &Queue, run: &Run<'_>, model: &mut Model) -> Result<Ack, Failure> {
        if run.random.below(10) == 0 {
            run.clock.advance(Duration::from_secs(1));
        }
        let mut next = model.clone();
        let mut facts = Vec::new();
        if run.random.below(3) == 0 || model.messages.is_empty() {
            for _ in 0..=run.random.below(3) {
                publish(run, &mut next, &mut facts);
            }
        } else {
            facts.extend(change(run, &mut next));
        }
        let (level, ack) = level(run);
        let inner: &Arc<Inner> = queue.inner();
        let mut state = inner.state.lock();
        let commit = inner.commit(&mut state, &facts, false);
        if commit.is_ok() {
            inner.arm(&state);
        }
        drop(state);
        let commit = commit?;
        *model = next;
        inner.mount.settle(&commit, Some(level))?;
        Ok(ack)
    }

    fn observe(&self, queue: &Queue) -> Result<Model, Failure> {
        let inner = queue.inner();
        let state = inner.state.lock();
        let mut messages = BTreeMap::new();
        let mut counts = [0, 0];
        for number in 0..state.next_number {
            let Some(entry) = state.entries.get(&number) else {
                continue;
            };
            let record = inner.mount.read(entry.at)?;
            let message = Publish::decode_shared(&record)
                .map_err(|what| Failure::Damaged(what.to_string()))?;
            assert_eq!(message.id.number, number, "the record of another message");
            let dead = match &entry.stage {
                Stage::Dead(grave) => Some(grave.reason.to_string()),
                _ => None,
            };
            counts[usize::from(dead.is_some())] += 1;
            let lane = usize::try_from(entry.lane).expect("three");
            let body = message.content.body.to_vec();
            messages.insert(number, (lane, entry.deliveries, dead, body));
        }
        let live: u64 = state
            .lanes
            .iter()
            .map(crate::state::lane::Lane::waiting)
            .sum();
        let dead: usize = state.lanes.iter().map(|lane| lane.dead.len()).sum();
        assert_eq!((live, dead as u64), (counts[0], counts[1]), "counts");
        let remembered = state.deduplication.iter();
        Ok(Model {
            next: state.next_number,
            messages,
            remembered: remembered
                .map(|(key, seen)| (key.to_vec(), seen.first.number))
                .collect(),
            queues: state.lanes.len(),
        })
    }
}

#[test]
fn random_facts_equal_the_model_across_reopening() {
    let options = ModelOptions {
        seeds: scaled(12),
        steps: 800,
    };
    let report = model(&QueueWorkload, options);
    assert!(report.commits > 4_000, "{report:?}");
}

#[test]
fn every_cut_leaves_a_prefix() {
    let options = CrashOptions {
        first_seed: 1,
        seeds: scaled(6),
        steps: 90,
        images: 400,
        nested_one_in: 10,
    };
    let report = crash_images(&QueueWorkload, &options);
    assert!(report.images > 1_000 && report.nested > 50, "{report:?}");
}

#[test]
fn two_operations_survive_every_cut() {
    let options = CrashOptions {
        first_seed: 700,
        seeds: scaled(10),
        steps: 2,
        images: 400,
        nested_one_in: 10,
    };
    let report = crash_images(&QueueWorkload, &options);
    assert!(report.images > 500, "{report:?}");
}

#[test]
fn the_same_seed_writes_the_same_bytes() {
    for seed in 0..scaled(4) {
        replay(&QueueWorkload, seed, 200);
    }
}

#[test]
fn every_call_may_fail() {
    let options = ErrorOptions {
        seeds: scaled(1),
        steps: 40,
    };
    let report = io_errors(&QueueWorkload, options);
    assert!(report.runs > 50 && report.refused > 0, "{report:?}");
}

#[test]
fn no_damage_passes_unseen() {
    let options = RotOptions {
        seed: 5,
        steps: 80,
        stride: 31,
        closed: true,
    };
    let report = rot(&QueueWorkload, &options);
    assert!(report.reported > 0 && report.shortened == 0, "{report:?}");
}
