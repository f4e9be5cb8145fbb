//! The one background-job loop: timers, interval syncs, engine maintenance, checkpoints, garbage collection.
//!
//! The thread and [`Store::maintain`] run the same code. No step keeps state on its stack between calls.
//!
//! Invariants: a checkpoint is named only when the log is durable up to it; a segment is unlinked only when no engine counts a live
//! byte in it, the moved records are durable, and no retained checkpoint replays from it.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::checkpoint::{Builder, Checkpoint, ReplayFrom, path_of};
use super::clock::Timestamp;
use super::error::{Error, Result};
use super::format::{SEGMENT_HEADER, verified_frame};
use super::log::Counters;
use super::participant::{Budget, Record, records_of};
use super::store::{Inner, Store};

/// Space may grow to live bytes times this, in percent, plus [`SLACK_SEGMENTS`] so that small stores are left alone.
const SPACE_PERCENT: u64 = 150;
const SLACK_SEGMENTS: u64 = 2;
/// Records handed to an engine at once when a segment is emptied.
const MOVE_RECORDS: usize = 512;
const MOVE_BYTES: usize = 1 << 20;
/// One pass of the thread.
const PASS: Duration = Duration::from_millis(20);

/// State of maintenance between passes.
#[derive(Debug, Default)]
pub(crate) struct Maintenance {
    /// `bytes_written` at the last checkpoint.
    checkpoint_at: u64,
    /// Segment and offset up to which the current victim was emptied.
    victim: Option<(u32, u64)>,
    /// Segments that an engine would not empty, with the checkpoint they were tried under.
    stuck: Vec<u32>,
    /// Segments there had been when `stuck` was last forgotten in a store without checkpoints.
    stuck_since: u64,
}

/// What to collect next.
enum Choice {
    Victim(u32),
    /// A checkpoint was taken; look again.
    Again,
    Nothing,
}

/// What a maintenance pass left.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// More work is waiting now.
    pub more: bool,
    /// When the next timer is due.
    pub next_timer: Option<Timestamp>,
    /// In how long the interval level wants a sync.
    pub sync_in: Option<Duration>,
}

impl Store {
    /// Does pending background work for about `budget`: due timers, interval sync, engine maintenance, checkpoint, collection of
    /// segments. Hosts without a background thread call it now and then; several callers do not disturb each other.
    ///
    /// # Errors
    ///
    /// The first failure; what was done before it stays.
    pub fn maintain(&self, budget: Duration) -> Result<Progress> {
        let core = &self.inner.core;
        core.log.check_alive()?;
        core.log.check_process()?;
        self.fire_timers()?;
        if core.sync_due_in() == Some(Duration::ZERO) {
            core.sync_all()?;
        }
        let mut more = false;
        if let Some(mut state) = self.inner.maintenance.try_lock() {
            let mut budget = Budget::new(&*core.clock, budget);
            let participants = self.inner.participants();
            for (_, participant) in participants {
                if budget.exhausted() {
                    more = true;
                    break;
                }
                more |= participant.maintain(&mut budget)?;
            }
            let written = core.log.counters.bytes_written.load(Ordering::Relaxed);
            // Memory is never opened again, so it needs no checkpoint.
            let due = !core.memory
                && written.saturating_sub(state.checkpoint_at) >= self.inner.checkpoint_bytes;
            let created = core.log.counters.segments_created.load(Ordering::Relaxed);
            if core.memory && created > state.stuck_since {
                state.stuck_since = created;
                state.stuck.clear();
            }
            let taken = if due {
                self.inner.checkpoint_locked(&mut state)
            } else {
                Ok(())
            };
            // On a full disk the checkpoint fails and collecting is what helps.
            while !budget.exhausted() && self.inner.collect(&mut state, &budget)? {
                more = true;
            }
            core.log.keep_reserve();
            taken?;
        }
        Ok(Progress {
            more,
            next_timer: core.next_timer(),
            sync_in: core.sync_due_in(),
        })
    }

    /// Runs the timers that are due.
    pub(crate) fn fire_timers(&self) -> Result<()> {
        let core = &self.inner.core;
        let now = core.clock.now();
        let due = core.due_timers(now);
        if due.is_empty() {
            return Ok(());
        }
        let participants = self.inner.participants();
        let mut result = Ok(());
        for (_, (mount, token)) in due {
            if let Some((_, participant)) = participants.iter().find(|(id, _)| *id == mount) {
                // The others must not miss theirs because one failed.
                result = result.and(participant.timer(token, now));
            }
        }
        result
    }

    /// Writes a checkpoint now, so that the next opening replays nothing.
    ///
    /// # Errors
    ///
    /// Those of the engines and of the disk; the previous checkpoint stays current then.
    pub fn checkpoint(&self) -> Result<()> {
        self.inner.checkpoint()
    }
}

impl Inner {
    /// Whether enough was written since the last checkpoint to make the next opening notice.
    pub(crate) fn checkpoint_worthwhile(&self) -> bool {
        let written = self.core.log.counters.bytes_written.load(Ordering::Relaxed);
        let replayed = self.report().frame_bytes;
        let state = self.maintenance.lock();
        written.saturating_sub(state.checkpoint_at) + replayed
            >= (1 << 20).min(self.checkpoint_bytes)
    }

    pub(crate) fn checkpoint(&self) -> Result<()> {
        self.core.log.check_alive()?;
        self.core.log.check_process()?;
        let mut state = self.maintenance.lock();
        self.checkpoint_locked(&mut state)
    }

    fn checkpoint_locked(&self, state: &mut Maintenance) -> Result<()> {
        let log = &self.core.log;
        let mut registry = self.registry.lock();
        let written = log.counters.bytes_written.load(Ordering::Relaxed);
        let (segment, offset, seq) = log.position();
        let from = match segment {
            Some(segment) => ReplayFrom {
                segment,
                offset,
                seq,
            },
            None => ReplayFrom {
                segment: log.next_segment(),
                offset: SEGMENT_HEADER,
                seq,
            },
        };
        let id = registry.manifest.next_checkpoint;
        let uuid = registry.manifest.uuid;
        let floor = registry
            .first_pending()
            .map_or(from.segment, |first| first.min(from.segment));
        let mut builder = Builder::create(&log.vfs, &log.dir, id, uuid, from, floor)?;
        for engine in &registry.engines {
            engine.checkpoint(registry.base.as_deref(), &mut builder)?;
        }
        let last = log.last_seq();
        builder.finish(&log.vfs, last)?;
        self.core.sync_all()?;
        let checkpoint = Checkpoint::load(&log.vfs, &log.dir, id, registry.manifest.uuid)?;
        let mut manifest = registry.manifest.clone();
        manifest.checkpoints.push(id);
        manifest.next_checkpoint = id + 1;
        let dropped: Vec<u64> = match manifest.checkpoints.len().checked_sub(2) {
            Some(extra) => manifest.checkpoints.drain(..extra).collect(),
            None => Vec::new(),
        };
        manifest.save(&log.vfs, &log.dir)?;
        registry.manifest = manifest;
        let previous = registry.base.as_ref().map_or(0, |base| base.floor);
        registry.floor = previous;
        registry.base = Some(std::sync::Arc::new(checkpoint));
        for old in dropped {
            let _left_for_later = log.vfs.unlink(&path_of(&log.dir, old));
        }
        state.checkpoint_at = written;
        state.stuck.clear();
        Counters::add(&log.counters.checkpoints, 1);
        Ok(())
    }

    /// Empties one stretch of the worst segment; `false` if there is nothing worth collecting.
    fn collect(&self, state: &mut Maintenance, budget: &Budget<'_>) -> Result<bool> {
        let (victim, from) = match state.victim {
            Some(victim) => victim,
            None => match self.choose(state)? {
                Choice::Victim(id) => (id, SEGMENT_HEADER),
                Choice::Again => return Ok(true),
                Choice::Nothing => return Ok(false),
            },
        };
        let log = &self.core.log;
        let Some(segment) = log.segments.get(victim) else {
            state.victim = None;
            return Ok(true);
        };
        let map = segment
            .map()
            .ok_or_else(|| Error::misuse("only sealed segments are collected"))?;
        let bytes = map.as_slice();
        let participants = self.participants();
        let mut at = from;
        let mut batches: Vec<Vec<Record<'_>>> = participants.iter().map(|_| Vec::new()).collect();
        let (mut count, mut size) = (0, 0);
        while at < bytes.len() as u64
            && count < MOVE_RECORDS
            && size < MOVE_BYTES
            && !budget.exhausted()
        {
            let offset = u32::try_from(at).expect("segments are under 4 GiB");
            let Some(header) = verified_frame(bytes, segment.salt, offset) else {
                // Padding between pages, or damage; records in damage are found missing by the live count.
                at += super::format::ALIGN;
                continue;
            };
            let frame = &bytes[offset as usize..offset as usize + header.len as usize];
            for (mount, record) in records_of(frame, victim, offset) {
                if let Some(index) = participants.iter().position(|(id, _)| id.0 == mount) {
                    batches[index].push(record);
                }
                count += 1;
            }
            size += header.len as usize;
            at += u64::from(header.len);
        }
        for ((_, participant), records) in participants.iter().zip(&batches) {
            if !records.is_empty() {
                participant.relocate(records)?;
            }
        }
        Counters::add(&log.counters.bytes_relocated, size as u64);
        if at < bytes.len() as u64 {
            state.victim = Some((victim, at));
            return Ok(true);
        }
        state.victim = None;
        // The copies must be on disk before the originals go.
        self.core.sync_all()?;
        if self.live_in(victim) > 0 {
            state.stuck.push(victim);
            return Ok(true);
        }
        log.segments.remove(victim);
        log.vfs
            .unlink(&segment.path)
            .map_err(|e| Error::io("unlink", &segment.path, e))?;
        Counters::add(&log.counters.segments_removed, 1);
        Ok(true)
    }

    /// The sealed segment with the lowest share of live bytes, if space is over its bound or the segment is empty.
    fn choose(&self, state: &mut Maintenance) -> Result<Choice> {
        let log = &self.core.log;
        let segments = log.segments.all();
        let sealed: Vec<_> = segments.iter().filter(|s| s.map().is_some()).collect();
        let used: u64 = sealed.iter().map(|s| s.used()).sum();
        let live: u64 = sealed.iter().map(|s| self.live_in(s.id)).sum();
        let bound = live / 100 * SPACE_PERCENT;
        let over = used > bound + SLACK_SEGMENTS * self.segment_bytes;
        // Nearly empty segments are cheap to empty, so those do not wait until space is short.
        let loose = used > bound;
        let crowded = sealed
            .iter()
            .filter(|s| s.used() < self.segment_bytes / 8)
            .count()
            > 16;
        if sealed.is_empty() {
            return Ok(Choice::Nothing);
        }
        let floor = if self.core.memory {
            u32::MAX
        } else {
            self.registry.lock().floor
        };
        let best = sealed
            .iter()
            .filter(|s| s.id < floor && !state.stuck.contains(&s.id) && !self.pinned(s.id))
            .map(|s| (self.live_in(s.id) * 1000 / s.used().max(1), s.used(), s.id))
            .filter(|(share, used, _)| {
                *share == 0
                    || (loose && *share < 250)
                    || (over && *share < 667)
                    || (crowded && *used < self.segment_bytes / 8)
            })
            .min();
        if let Some((_, _, id)) = best {
            return Ok(Choice::Victim(id));
        }
        if self.core.memory {
            return Ok(Choice::Nothing);
        }
        // Garbage that a checkpoint would set free: segments between the floor and the head.
        let base = self.registry.lock().base.clone();
        let head = log.next_segment().saturating_sub(1);
        let (replayed, kept) = base.map_or((0, 0), |base| (base.from.segment, base.floor));
        if over && (head > replayed || kept > floor) {
            self.checkpoint_locked(state)?;
            return Ok(Choice::Again);
        }
        Ok(Choice::Nothing)
    }

    pub(crate) fn live_in(&self, segment: u32) -> u64 {
        self.registry
            .lock()
            .engines
            .iter()
            .map(|engine| engine.live.of(segment))
            .sum()
    }

    /// Whether an engine that is not mounted has something in the segment.
    fn pinned(&self, segment: u32) -> bool {
        let registry = self.registry.lock();
        registry
            .engines
            .iter()
            .filter(|engine| engine.participant.is_none())
            .any(|engine| {
                let part = registry.base.as_ref().and_then(|base| base.part(engine.id));
                engine
                    .pending
                    .iter()
                    .any(|section| section.segment == segment)
                    || part.is_some_and(|part| part.live.iter().any(|(id, _)| *id == segment))
            })
    }
}

/// The background thread: works while there is work, then sleeps until something is due.
pub(crate) fn run(weak: &Weak<Inner>) {
    loop {
        let Some(store) = Store::from_weak(weak) else {
            return;
        };
        let core = store.inner.core.clone();
        let ticket = core.wake.ticket();
        if store.inner.stopping.load(Ordering::Acquire) {
            return;
        }
        let progress = store.maintain(PASS);
        let now = core.clock.now();
        drop(store);
        let until = match progress {
            Ok(Progress { more: true, .. }) => continue,
            Ok(progress) => {
                let sync = progress.sync_in.map(|span| now.saturating_add(span));
                let idle =
                    now.saturating_add(core.interval().map_or(IDLE, |every| IDLE.min(every / 2)));
                [Some(idle), sync, progress.next_timer]
                    .into_iter()
                    .flatten()
                    .min()
            }
            // Poisoned or closed: nothing more to do here. Other failures are met again, not in a hurry.
            Err(_) if core.log.check_alive().is_err() => return,
            Err(_) => Some(now.saturating_add(IDLE)),
        };
        core.clock.wait(&core.wake, ticket, until);
    }
}

/// Longest sleep of the thread: bounds how late the interval level notices a first unsynced commit.
const IDLE: Duration = Duration::from_millis(200);
