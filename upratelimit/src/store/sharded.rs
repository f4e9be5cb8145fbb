//! Shards of the table, each behind its own lock on its own cache lines, and the rule for whom to forget.
//!
//! Per shard the time never runs backwards: a reading older than the newest one seen counts as that one, unless the
//! clock stepped back further than the algorithm remembers. So forgetting a fresh key never grants anything. At the
//! cap a new key first drops fresh keys found from a moving hand, then the least restricted of a sample.

use std::time::Duration;

use crate::sync::Mutex;
use crate::{Algorithm, Decision, Overflow, Reason, State, Timestamp};

use super::Stats;
use super::fingerprint::{Fingerprint, Hasher};
use super::table::Table;

/// Slots looked at when a new key arrives: a little sweep always, a larger sample at the cap.
const SWEEP_SLOTS: usize = 2;
const SAMPLE_KEYS: usize = 16;

/// A cap up to this many keys is kept in one shard and so is exact to the key.
const ONE_SHARD_KEYS: usize = 4096;
const SHARDS_WANTED: usize = 64;

pub(crate) struct Sharded {
    shards: Vec<Shard>,
    hasher: Hasher,
    algorithm: Algorithm,
    memory: u64,
    overflow: Overflow,
}

/// Two lines, because adjacent ones are fetched in pairs.
#[repr(align(128))]
struct Shard(Mutex<Keys>);

struct Keys {
    table: Table,
    key_limit: usize,
    /// The newest moment seen.
    seen: u64,
    /// The next slot to sweep or sample.
    hand: usize,
    evicted_fresh: u64,
    evicted_live: u64,
    refused_new: u64,
}

impl Sharded {
    pub(crate) fn new(algorithm: Algorithm, max_keys: usize, overflow: Overflow) -> Self {
        let shards = shard_limits(max_keys).into_iter().map(|key_limit| {
            Shard(Mutex::new(Keys {
                table: Table::default(),
                key_limit,
                seen: 0,
                hand: 0,
                evicted_fresh: 0,
                evicted_live: 0,
                refused_new: 0,
            }))
        });
        Self {
            shards: shards.collect(),
            hasher: Hasher::random(),
            algorithm,
            memory: algorithm.memory_nanos(),
            overflow,
        }
    }

    /// Runs `work` on the shard of `key`, with the shard's view of the time.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "below the number of shards"
    )]
    fn with<R>(
        &self,
        key: &[u8],
        now: Timestamp,
        work: impl FnOnce(&mut Keys, Fingerprint, Timestamp) -> R,
    ) -> (R, Duration) {
        let fingerprint = self.hasher.fingerprint(key);
        let index = (u128::from(fingerprint[0]) * self.shards.len() as u128) >> 64;
        let mut keys = self.shards[index as usize].0.lock();
        let effective = keys.observe(now.as_nanos(), self.memory);
        let result = work(&mut keys, fingerprint, effective);
        (result, effective.saturating_since(now))
    }

    pub(crate) fn decide(&self, key: &[u8], now: Timestamp, cost: u64) -> Decision {
        let (decision, behind) = self.with(key, now, |keys, fingerprint, now| {
            let Some(state) = keys.table.get_mut(fingerprint) else {
                return self.decide_new(keys, fingerprint, now, cost);
            };
            let (next, decision) = self.algorithm.decide(*state, now, cost);
            *state = next;
            decision
        });
        as_seen_from(decision, behind)
    }

    /// A key not in the table: it enters only if something is charged to it.
    #[cold]
    fn decide_new(
        &self,
        keys: &mut Keys,
        fingerprint: Fingerprint,
        now: Timestamp,
        cost: u64,
    ) -> Decision {
        let (next, decision) = self.algorithm.decide(State::FRESH, now, cost);
        if !decision.allowed || cost == 0 {
            return decision;
        }
        if !keys.make_room(&self.algorithm, now, self.overflow) {
            keys.refused_new += 1;
            let (_, untouched) = self.algorithm.decide(State::FRESH, now, 0);
            return Decision {
                allowed: false,
                reason: Reason::TableFull,
                retry_after: None,
                ..untouched
            };
        }
        keys.table.insert(fingerprint, next);
        decision
    }

    pub(crate) fn peek(&self, key: &[u8], now: Timestamp, cost: u64) -> Decision {
        let fingerprint = self.hasher.fingerprint(key);
        let keys = self.shard(fingerprint).0.lock();
        let effective = keys.effective(now.as_nanos(), self.memory);
        let state = keys.table.get(fingerprint).unwrap_or(State::FRESH);
        drop(keys);
        let (_, decision) = self.algorithm.decide(state, effective, cost);
        as_seen_from(decision, effective.saturating_since(now))
    }

    pub(crate) fn refund(&self, key: &[u8], now: Timestamp, units: u64) -> u64 {
        let work = |keys: &mut Keys, fingerprint, now| {
            let Some(state) = keys.table.get_mut(fingerprint) else {
                return self.algorithm.limit();
            };
            *state = self.algorithm.refund(*state, now, units);
            self.algorithm.remaining(*state, now)
        };
        self.with(key, now, work).0
    }

    pub(crate) fn reset(&self, key: &[u8]) -> bool {
        let fingerprint = self.hasher.fingerprint(key);
        self.shard(fingerprint).0.lock().table.remove(fingerprint)
    }

    pub(crate) fn sweep(&self, now: Timestamp, mut slots: usize) -> usize {
        let mut dropped = 0;
        for shard in &self.shards {
            let mut keys = shard.0.lock();
            let now = keys.observe(now.as_nanos(), self.memory);
            let share = slots.min(keys.table.slot_count());
            dropped += keys.sweep(&self.algorithm, now, share);
            slots -= share;
            if slots == 0 {
                break;
            }
        }
        dropped
    }

    pub(crate) fn stats(&self) -> Stats {
        let bytes = self.shards.len() * size_of::<Shard>();
        let mut stats = Stats {
            bytes,
            ..Stats::default()
        };
        for shard in &self.shards {
            let keys = shard.0.lock();
            stats.keys += keys.table.len();
            stats.bytes += keys.table.bytes();
            stats.evicted_fresh += keys.evicted_fresh;
            stats.evicted_live += keys.evicted_live;
            stats.refused_new += keys.refused_new;
        }
        stats
    }

    pub(crate) fn max_keys(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.0.lock().key_limit)
            .sum()
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "below the number of shards"
    )]
    fn shard(&self, fingerprint: Fingerprint) -> &Shard {
        let index = (u128::from(fingerprint[0]) * self.shards.len() as u128) >> 64;
        &self.shards[index as usize]
    }
}

impl Keys {
    /// The time to decide with: never older than what was seen, unless the clock was really set back.
    fn effective(&self, now: u64, memory: u64) -> Timestamp {
        let ahead = self.seen > now && self.seen - now <= memory;
        Timestamp::from_nanos(if ahead { self.seen } else { now })
    }

    fn observe(&mut self, now: u64, memory: u64) -> Timestamp {
        let effective = self.effective(now, memory);
        self.seen = effective.as_nanos();
        effective
    }

    /// Drops fresh keys among the next `slots` slots.
    fn sweep(&mut self, algorithm: &Algorithm, now: Timestamp, slots: usize) -> usize {
        let mut dropped = 0;
        for _ in 0..slots {
            let Some(index) = self.hand.checked_rem(self.table.slot_count()) else {
                break;
            };
            match self.table.at(index) {
                // The hand stays: another key may have moved into the slot.
                Some((_, state)) if algorithm.is_fresh(state, now) => {
                    self.table.remove_at(index);
                    dropped += 1;
                }
                _ => self.hand = index + 1,
            }
        }
        self.evicted_fresh += dropped as u64;
        dropped
    }

    /// Makes sure one more key fits under the cap; `false` if the policy is to refuse it.
    fn make_room(&mut self, algorithm: &Algorithm, now: Timestamp, overflow: Overflow) -> bool {
        let full = self.table.len() >= self.key_limit;
        if full || self.table.must_grow() {
            // Before doubling, and at the cap, look harder for keys that need not be kept.
            let slots = if full {
                SAMPLE_KEYS * 2
            } else {
                self.table.slot_count()
            };
            self.sweep(algorithm, now, slots);
        } else {
            self.sweep(algorithm, now, SWEEP_SLOTS);
        }
        if self.table.len() < self.key_limit {
            return true;
        }
        if overflow == Overflow::RefuseNew {
            return false;
        }
        if let Some(victim) = self.least_restricted(algorithm, now) {
            self.table.remove(victim);
            self.evicted_live += 1;
        }
        true
    }

    /// Of the next keys from the hand on, the one with the most units left; of several, the first to be fresh.
    fn least_restricted(&mut self, algorithm: &Algorithm, now: Timestamp) -> Option<Fingerprint> {
        let mut best: Option<(u64, u64, Fingerprint)> = None;
        let mut sampled = 0;
        for _ in 0..self.table.slot_count() {
            let index = self.hand % self.table.slot_count();
            self.hand = index + 1;
            let Some((key, state)) = self.table.at(index) else {
                continue;
            };
            let (remaining, reset_at) = algorithm.restriction(state, now.as_nanos());
            let better = best.is_none_or(|(most, first, _)| {
                remaining > most || (remaining == most && reset_at < first)
            });
            if better {
                best = Some((remaining, reset_at, key));
            }
            sampled += 1;
            if sampled == SAMPLE_KEYS {
                break;
            }
        }
        best.map(|(_, _, key)| key)
    }
}

/// Spans count from the caller's reading, which may lie behind the shard's.
fn as_seen_from(mut decision: Decision, behind: Duration) -> Decision {
    if !behind.is_zero() {
        decision.reset_after = decision.reset_after.saturating_add(behind);
        if !decision.allowed {
            decision.retry_after = decision.retry_after.map(|span| span.saturating_add(behind));
        }
    }
    decision
}

/// How many keys each shard may hold: together at most `max_keys`, each just filling a power of two of slots.
fn shard_limits(max_keys: usize) -> Vec<usize> {
    if max_keys <= ONE_SHARD_KEYS {
        return vec![max_keys];
    }
    let wanted = (max_keys / SHARDS_WANTED).max(ONE_SHARD_KEYS);
    let slots = 1_usize << wanted.ilog2();
    let count = max_keys.div_ceil(slots / 4 * 3);
    (0..count)
        .map(|i| max_keys / count + usize::from(i < max_keys % count))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_the_cap_and_fill_their_slots() {
        for max_keys in [1, 7, 4096, 4097, 10_000, 1 << 20, 1_000_000, 100_000_000] {
            let limits = shard_limits(max_keys);
            assert_eq!(limits.iter().sum::<usize>(), max_keys);
            let sizes = limits
                .iter()
                .map(|keys| (keys * 4).div_ceil(3).next_power_of_two());
            let (slots, largest) = (sizes.clone().sum::<usize>(), sizes.max().expect("a shard"));
            // Rounding to powers of two costs one shard in all, not one slot in two.
            assert!(
                slots <= max_keys * 4 / 3 + largest,
                "{max_keys} keys in {slots} slots"
            );
        }
    }
}
