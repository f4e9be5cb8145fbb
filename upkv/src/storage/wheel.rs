//! The timer wheel: expiry, delays, leases and sleeps of every engine wait here.
//!
//! Time is cut into ticks of one millisecond. Level 0 has a slot per tick for the next 64 ticks, level 1 a slot per 64 ticks, and
//! so on; eleven levels reach every 64-bit timestamp, so there is no overflow list. A timer sits on the level of the highest
//! six-bit digit in which its deadline differs from the wheel's position, and moves down when the position reaches its slot.
//!
//! Invariant: every occupied slot of level L lies in the future within the digit L of the position (the slot of the position
//! itself on level 0 holds what was due when inserted), hence the lowest occupied slot of the lowest occupied level is next.
//! Tested against a sorted map.

use std::cell::Cell;

use super::clock::Timestamp;

const DIGIT: u32 = 6;
const SLOTS: usize = 1 << DIGIT;
const LEVELS: usize = 11;

const _: () = assert!(LEVELS == u64::BITS.div_ceil(DIGIT) as usize);
const NIL: u32 = u32::MAX;

/// Names one timer of a wheel; stale once the timer fired or was cancelled, and then never valid again.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId {
    index: u32,
    generation: u32,
}

/// Timers in deadline order.
///
/// # Complexity
///
/// Inserting and cancelling are O(1); a timer is touched at most eleven times before it fires, however far the time jumps.
/// A timer takes 32 bytes beside its value.
///
/// # Examples
///
/// ```
/// use upkv::storage::{Timestamp, wheel::Wheel};
/// let at = Timestamp::from_millis;
/// let mut wheel = Wheel::new(at(1_000));
/// wheel.insert(at(1_500), "later");
/// let soon = wheel.insert(at(1_200), "soon");
/// assert_eq!(wheel.next_deadline(), Some(at(1_200)));
/// assert_eq!(wheel.cancel(soon), Some("soon"));
/// let mut fired = Vec::new();
/// wheel.advance(at(1_499), &mut fired);
/// assert!(fired.is_empty(), "never early");
/// wheel.advance(at(9_000), &mut fired);
/// assert_eq!(fired, [(at(1_500), "later")]);
/// ```
#[derive(Debug)]
pub struct Wheel<T> {
    /// Everything up to here has fired, except what was inserted overdue since.
    position: u64,
    levels: [Level; LEVELS],
    nodes: Vec<Node<T>>,
    free: u32,
    len: usize,
    next_order: u64,
    /// The earliest deadline, where it is known without a search.
    next: Cell<Next>,
}

#[derive(Copy, Clone, Debug)]
enum Next {
    Known(Option<u64>),
    Unknown,
}

#[derive(Clone, Debug)]
struct Level {
    /// One bit per slot that has timers.
    occupied: u64,
    heads: [u32; SLOTS],
}

#[derive(Debug)]
struct Node<T> {
    deadline: u64,
    /// Insertion number: equal deadlines fire in this order.
    order: u64,
    next: u32,
    prev: u32,
    generation: u32,
    level: u8,
    slot: u8,
    value: Option<T>,
}

const _: () = assert!(size_of::<Node<()>>() <= 40);

impl<T> Wheel<T> {
    /// An empty wheel whose time stands at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self {
            position: start.as_millis(),
            levels: std::array::from_fn(|_| Level {
                occupied: 0,
                heads: [NIL; SLOTS],
            }),
            nodes: Vec::new(),
            free: NIL,
            len: 0,
            next_order: 0,
            next: Cell::new(Next::Known(None)),
        }
    }

    /// Timers waiting.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a timer; one that is overdue fires at the next [`advance`](Self::advance).
    ///
    /// # Panics
    ///
    /// With 2^32 - 1 timers waiting.
    pub fn insert(&mut self, at: Timestamp, value: T) -> TimerId {
        let deadline = at.as_millis();
        let order = self.next_order;
        self.next_order += 1;
        let index = self.take_node(deadline, order, value);
        self.attach(index);
        self.len += 1;
        if let Next::Known(next) = self.next.get() {
            self.next.set(Next::Known(Some(
                next.map_or(deadline, |other| other.min(deadline)),
            )));
        }
        TimerId {
            index,
            generation: self.node(index).generation,
        }
    }

    /// Removes a timer that has not fired; `None` for a stale id.
    pub fn cancel(&mut self, id: TimerId) -> Option<T> {
        let node = self.nodes.get(id.index as usize)?;
        if node.generation != id.generation || node.value.is_none() {
            return None;
        }
        if matches!(self.next.get(), Next::Known(Some(next)) if next == node.deadline) {
            self.next.set(Next::Unknown);
        }
        self.detach(id.index);
        let (_, _, value) = self.give_back(id.index);
        self.len -= 1;
        Some(value)
    }

    /// The earliest deadline.
    ///
    /// # Complexity
    ///
    /// O(1), but a search through one slot after the earliest timer fired or was cancelled.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let next = match self.next.get() {
            Next::Known(next) => next,
            Next::Unknown => {
                let found = self.first_slot().map(|(level, slot, _)| {
                    let mut at = self.levels[usize::from(level)].heads[usize::from(slot)];
                    let mut earliest = u64::MAX;
                    while at != NIL {
                        earliest = earliest.min(self.node(at).deadline);
                        at = self.node(at).next;
                    }
                    earliest
                });
                self.next.set(Next::Known(found));
                found
            }
        };
        next.map(Timestamp::from_millis)
    }

    /// Moves the time to `now` and appends what is due to `fired`, by deadline, equal ones in the order of insertion.
    ///
    /// A `now` before the present position fires only what was inserted overdue and is due at `now`.
    pub fn advance(&mut self, now: Timestamp, fired: &mut Vec<(Timestamp, T)>) {
        let now = now.as_millis();
        let mut due = Vec::new();
        let mut early = Vec::new();
        while let Some((level, slot, start)) = self.first_slot() {
            if start > now.max(self.position) {
                break;
            }
            let whole_slot_due = slot_end(level, start) <= now;
            self.position = self.position.max(start);
            let mut at = self.empty_slot(level, slot);
            while at != NIL {
                let next = self.node(at).next;
                if whole_slot_due || self.node(at).deadline <= now {
                    due.push(self.give_back(at));
                } else if level > 0 {
                    self.attach(at);
                } else {
                    // `now` lies before the position: stays in the slot of the position.
                    early.push(at);
                }
                at = next;
            }
            if !early.is_empty() {
                break;
            }
        }
        for at in early {
            self.attach(at);
        }
        // Every slot left starts later, so the position may move up to `now` without passing one.
        self.position = self.position.max(now);
        if due.is_empty() {
            return;
        }
        self.next.set(Next::Unknown);
        self.len -= due.len();
        due.sort_unstable_by_key(|(deadline, order, _)| (*deadline, *order));
        fired.extend(
            due.into_iter()
                .map(|(deadline, _, value)| (Timestamp::from_millis(deadline), value)),
        );
    }

    fn node(&self, index: u32) -> &Node<T> {
        &self.nodes[index as usize]
    }

    fn node_mut(&mut self, index: u32) -> &mut Node<T> {
        &mut self.nodes[index as usize]
    }

    fn take_node(&mut self, deadline: u64, order: u64, value: T) -> u32 {
        if self.free == NIL {
            let index = u32::try_from(self.nodes.len()).unwrap_or(NIL);
            assert!(index != NIL, "a wheel holds at most 2^32 - 1 timers");
            let (generation, level, slot) = (0, 0, 0);
            let value = Some(value);
            let node = Node {
                deadline,
                order,
                next: NIL,
                prev: NIL,
                generation,
                level,
                slot,
                value,
            };
            self.nodes.push(node);
            return index;
        }
        let index = self.free;
        self.free = self.node(index).next;
        let node = self.node_mut(index);
        (node.deadline, node.order, node.value) = (deadline, order, Some(value));
        index
    }

    /// Puts an unlinked node on the free list; returns deadline, order and value of its timer.
    fn give_back(&mut self, index: u32) -> (u64, u64, T) {
        let free = self.free;
        let node = self.node_mut(index);
        node.generation = node.generation.wrapping_add(1);
        node.next = free;
        let value = node.value.take().expect("a linked node has a value");
        let parts = (node.deadline, node.order, value);
        self.free = index;
        parts
    }

    /// Links a node into the slot that its deadline has at the present position.
    fn attach(&mut self, index: u32) {
        let at = self.node(index).deadline.max(self.position);
        let level = ((((at ^ self.position) | 1).ilog2() / DIGIT) & 0xff) as u8;
        let slot = ((at >> shift(level)) & 63) as u8;
        let place = &mut self.levels[usize::from(level)];
        place.occupied |= 1 << slot;
        let head = std::mem::replace(&mut place.heads[usize::from(slot)], index);
        if head != NIL {
            self.node_mut(head).prev = index;
        }
        let node = self.node_mut(index);
        (node.next, node.prev) = (head, NIL);
        (node.level, node.slot) = (level, slot);
    }

    fn detach(&mut self, index: u32) {
        let node = self.node(index);
        let (next, prev) = (node.next, node.prev);
        let (level, slot) = (usize::from(node.level), usize::from(node.slot));
        if next != NIL {
            self.node_mut(next).prev = prev;
        }
        if prev == NIL {
            self.levels[level].heads[slot] = next;
            if next == NIL {
                self.levels[level].occupied &= !(1 << slot);
            }
        } else {
            self.node_mut(prev).next = next;
        }
    }

    /// Takes all timers out of a slot; returns the first of the chain.
    fn empty_slot(&mut self, level: u8, slot: u8) -> u32 {
        let level = &mut self.levels[usize::from(level)];
        level.occupied &= !(1 << slot);
        std::mem::replace(&mut level.heads[usize::from(slot)], NIL)
    }

    /// Level, slot and first tick of the next slot that has timers.
    fn first_slot(&self) -> Option<(u8, u8, u64)> {
        let (level, place) = (0_u8..)
            .zip(&self.levels)
            .find(|(_, place)| place.occupied != 0)?;
        let slot = (place.occupied.trailing_zeros() & 63) as u8;
        // The digits above this level are those of the position, the ones below are zero.
        let above = self.position.checked_shr(shift(level) + DIGIT).unwrap_or(0);
        let above = above.checked_shl(shift(level) + DIGIT).unwrap_or(0);
        Some((level, slot, above | u64::from(slot) << shift(level)))
    }
}

/// Bits below the digit of a level.
fn shift(level: u8) -> u32 {
    u32::from(level) * DIGIT
}

/// The last tick of the slot that starts at `start`.
fn slot_end(level: u8, start: u64) -> u64 {
    start | ((1 << shift(level)) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn equal_deadlines_fire_in_insertion_order_across_levels() {
        let mut wheel = Wheel::new(at(0));
        wheel.insert(at(1_000_000), 1);
        let mut fired = Vec::new();
        wheel.advance(at(999_990), &mut fired);
        wheel.insert(at(1_000_000), 2);
        wheel.insert(at(999_995), 0);
        wheel.advance(at(1_000_000), &mut fired);
        assert_eq!(
            fired,
            [(at(999_995), 0), (at(1_000_000), 1), (at(1_000_000), 2)]
        );
    }

    #[test]
    fn overdue_timers_fire_at_the_next_advance_even_without_progress() {
        let mut wheel = Wheel::new(at(500));
        wheel.insert(at(3), "b");
        wheel.insert(at(2), "a");
        wheel.insert(at(500), "c");
        assert_eq!(wheel.next_deadline(), Some(at(2)));
        let mut fired = Vec::new();
        wheel.advance(at(2), &mut fired);
        assert_eq!(
            fired,
            [(at(2), "a")],
            "a clock that lags behind the wheel fires nothing early"
        );
        wheel.advance(at(500), &mut fired);
        assert_eq!(fired, [(at(2), "a"), (at(3), "b"), (at(500), "c")]);
    }

    #[test]
    fn ids_are_never_valid_again() {
        let mut wheel = Wheel::new(at(0));
        let first = wheel.insert(at(1), 1);
        assert_eq!(wheel.cancel(first), Some(1));
        assert_eq!(wheel.cancel(first), None);
        let second = wheel.insert(at(1), 2);
        assert_eq!((second.index, wheel.cancel(first)), (first.index, None));
        let mut fired = Vec::new();
        wheel.advance(at(1), &mut fired);
        assert_eq!(wheel.cancel(second), None);
        assert_eq!((wheel.len(), wheel.nodes.len()), (0, 1));
    }

    #[test]
    fn the_whole_range_of_time_is_covered() {
        let mut wheel = Wheel::new(at(0));
        let times = [u64::MAX, u64::MAX - 1, 1 << 63, 1 << 53, 1 << 36, 63, 64, 0];
        for time in times {
            wheel.insert(at(time), time);
        }
        let mut fired = Vec::new();
        wheel.advance(at(u64::MAX), &mut fired);
        let got: Vec<u64> = fired.into_iter().map(|(_, time)| time).collect();
        assert_eq!(
            got,
            [0, 63, 64, 1 << 36, 1 << 53, 1 << 63, u64::MAX - 1, u64::MAX]
        );
        wheel.insert(at(u64::MAX), 1);
        assert_eq!(wheel.next_deadline(), Some(at(u64::MAX)));
    }

    #[test]
    fn jumping_years_costs_nothing_per_tick() {
        const YEAR: u64 = 365 * 86_400_000;
        let mut wheel = Wheel::new(at(0));
        let mut fired = Vec::new();
        for year in 1..=10_000 {
            wheel.insert(at(year * YEAR), year);
        }
        for year in 1..=10_000 {
            wheel.advance(at(year * YEAR - 1), &mut fired);
            assert_eq!(fired.len() as u64, year - 1);
            wheel.advance(at(year * YEAR), &mut fired);
            assert_eq!(fired.last(), Some(&(at(year * YEAR), year)));
        }
        assert!(wheel.is_empty());
    }

    #[derive(Clone, Debug)]
    enum Op {
        Insert(u64),
        Cancel(usize),
        Advance(u64),
        Back(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        // Spans of every magnitude, so that all levels and the cascades between them are used.
        let span = (0_u32..50, any::<u64>()).prop_map(|(bits, x)| x & ((1 << bits) - 1));
        prop_oneof![
            6 => span.clone().prop_map(Op::Insert),
            2 => any::<usize>().prop_map(Op::Cancel),
            3 => span.clone().prop_map(Op::Advance),
            1 => span.prop_map(Op::Back),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn equals_a_sorted_map(start in 0_u64..1 << 45, ops in proptest::collection::vec(op(), 1..120)) {
            let mut now = start;
            let mut wheel = Wheel::new(at(start));
            let mut model = BTreeMap::new();
            let mut ids: Vec<(TimerId, (u64, u64))> = Vec::new();
            for (order, op) in (0_u64..).zip(ops) {
                match op {
                    Op::Insert(span) => {
                        // A tenth of them overdue.
                        let deadline = if span % 10 == 0 { now.saturating_sub(span) } else { now + span };
                        ids.push((wheel.insert(at(deadline), order), (deadline, order)));
                        model.insert((deadline, order), order);
                    }
                    Op::Cancel(which) if !ids.is_empty() => {
                        let (id, key) = ids[which % ids.len()];
                        prop_assert_eq!(wheel.cancel(id), model.remove(&key));
                    }
                    Op::Cancel(_) => {}
                    Op::Advance(span) | Op::Back(span) => {
                        let to = if matches!(op, Op::Back(_)) { now.saturating_sub(span) } else { now + span };
                        let mut fired = Vec::new();
                        wheel.advance(at(to), &mut fired);
                        let rest = model.split_off(&(to + 1, 0));
                        let want: Vec<_> = model.into_iter().map(|((d, _), v)| (at(d), v)).collect();
                        prop_assert_eq!(fired, want);
                        model = rest;
                        now = now.max(to);
                    }
                }
                prop_assert_eq!(wheel.len(), model.len());
                let next = model.keys().next().map(|(deadline, _)| at(*deadline));
                prop_assert_eq!(wheel.next_deadline(), next);
            }
        }
    }
}
