//! The records that have one dimension, in blocks in the order of their slots.
//!
//! Invariant: slots ascend through the blocks; no block is empty or over [`BLOCK_POSTINGS_MAX`]; no two neighbouring blocks hold a
//! quarter of that together, so blocks waste at most a bounded part of their memory however postings come and go; the bounds of a
//! block are exact. The bounds of the whole are never narrower than the blocks'.

/// Most postings of a block: 1 KiB of them. Tests get by with fewer, so that few records make many blocks.
const BLOCK_POSTINGS_MAX: usize = if cfg!(test) { 8 } else { 128 };

/// Neighbours that hold no more than this together become one block.
const MERGE_POSTINGS_MAX: usize = BLOCK_POSTINGS_MAX / 4;

/// One record's value in the dimension.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Posting {
    pub(super) slot: u32,
    pub(super) value: f32,
}

/// The least and the greatest of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    least: f32,
    greatest: f32,
}

#[derive(Debug)]
pub(super) struct Block {
    /// Slot of the first posting.
    first: u32,
    bounds: Bounds,
    postings: Vec<Posting>,
}

/// All postings of a dimension.
#[derive(Debug)]
pub(super) struct Postings {
    blocks: Vec<Block>,
    count: usize,
    bounds: Bounds,
    /// Removals since `bounds` were narrowed.
    removed: usize,
}

impl Bounds {
    /// Of no value: narrower than any.
    const NONE: Self = Self {
        least: f32::INFINITY,
        greatest: f32::NEG_INFINITY,
    };

    fn of(values: impl Iterator<Item = Bounds>) -> Self {
        values.fold(Self::NONE, Self::and)
    }

    fn one(value: f32) -> Self {
        Self {
            least: value,
            greatest: value,
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            least: self.least.min(other.least),
            greatest: self.greatest.max(other.greatest),
        }
    }

    /// Whether they may be narrower without a value.
    fn touched_by(self, value: f32) -> bool {
        value <= self.least || value >= self.greatest
    }

    /// The most that a value within can add to a score.
    pub(super) fn most(self, weight: f64) -> f64 {
        if weight < 0.0 {
            weight * f64::from(self.least)
        } else {
            weight * f64::from(self.greatest)
        }
    }
}

impl Block {
    fn new(postings: Vec<Posting>) -> Self {
        let mut block = Self {
            first: 0,
            bounds: Bounds::NONE,
            postings,
        };
        block.renew();
        block
    }

    fn is_full(&self) -> bool {
        self.postings.len() == BLOCK_POSTINGS_MAX
    }

    fn last(&self) -> u32 {
        self.postings.last().map_or(self.first, |one| one.slot)
    }

    /// Takes the upper half out.
    fn split(&mut self) -> Self {
        let tail = self.postings.split_off(BLOCK_POSTINGS_MAX / 2);
        self.renew();
        Self::new(tail)
    }

    fn renew(&mut self) {
        self.first = self.postings.first().map_or(0, |posting| posting.slot);
        self.bounds = Bounds::of(self.postings.iter().map(|one| Bounds::one(one.value)));
    }
}

impl Default for Postings {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            count: 0,
            bounds: Bounds::NONE,
            removed: 0,
        }
    }
}

impl Postings {
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// No value is outside of these.
    pub(super) fn bounds(&self) -> Bounds {
        self.bounds
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let postings: usize = self.blocks.iter().map(|one| one.postings.capacity()).sum();
        self.blocks.capacity() * size_of::<Block>() + postings * size_of::<Posting>()
    }

    /// The block where a slot is or would be.
    fn block_of(&self, slot: u32) -> usize {
        let after = self.blocks.partition_point(|block| block.first <= slot);
        after.saturating_sub(1)
    }

    /// Adds a posting for a slot that has none.
    pub(super) fn insert(&mut self, slot: u32, value: f32) {
        self.count += 1;
        self.bounds = self.bounds.and(Bounds::one(value));
        let posting = Posting { slot, value };
        // Slots mostly ascend, and then only the last block is looked at.
        if let Some(last) = self.blocks.last_mut()
            && last.last() < slot
            && !last.is_full()
        {
            last.postings.push(posting);
            last.bounds = last.bounds.and(Bounds::one(value));
            return;
        }
        let mut at = self.block_of(slot);
        // A full block is left full when they do, and halved when one comes between.
        let at_end = self.blocks.last().is_none_or(|last| last.last() < slot);
        if at_end && self.blocks.last().is_none_or(Block::is_full) {
            self.blocks.push(Block::new(vec![posting]));
            return;
        }
        if self.blocks[at].is_full() {
            let tail = self.blocks[at].split();
            let in_tail = tail.first <= slot;
            self.blocks.insert(at + 1, tail);
            at += usize::from(in_tail);
        }
        let block = &mut self.blocks[at];
        let place = block.postings.partition_point(|one| one.slot < slot);
        block.postings.insert(place, posting);
        block.first = block.first.min(slot);
        block.bounds = block.bounds.and(Bounds::one(value));
    }

    /// Takes the posting of a slot out; whether there was one.
    pub(super) fn remove(&mut self, slot: u32) -> bool {
        let at = self.block_of(slot);
        let Some(block) = self.blocks.get_mut(at) else {
            return false;
        };
        let Ok(place) = block.postings.binary_search_by_key(&slot, |one| one.slot) else {
            return false;
        };
        let posting = block.postings.remove(place);
        block.first = block.postings.first().map_or(slot, |one| one.slot);
        if block.bounds.touched_by(posting.value) {
            block.renew();
        }
        self.count -= 1;
        self.merge(at);
        self.narrow();
        true
    }

    /// Restores the invariant around a block that has lost a posting.
    fn merge(&mut self, at: usize) {
        if self.blocks[at].postings.is_empty() {
            self.blocks.remove(at);
        }
        for left in [at, at.wrapping_sub(1)] {
            let Some([one, two]) = self.blocks.get(left..).and_then(<[_]>::first_chunk) else {
                continue;
            };
            if one.postings.len() + two.postings.len() <= MERGE_POSTINGS_MAX {
                let two = self.blocks.remove(left + 1);
                let one = &mut self.blocks[left];
                one.postings.extend(two.postings);
                one.bounds = one.bounds.and(two.bounds);
            }
        }
    }

    /// Narrows the bounds of the whole once in as many removals as there are blocks, which makes its cost constant per removal.
    fn narrow(&mut self) {
        self.removed += 1;
        if self.removed >= self.blocks.len() {
            self.removed = 0;
            self.bounds = Bounds::of(self.blocks.iter().map(|block| block.bounds));
        }
    }

    /// The value of a slot.
    pub(super) fn value(&self, slot: u32) -> Option<f32> {
        let block = self.blocks.get(self.block_of(slot))?;
        let place = block.postings.binary_search_by_key(&slot, |one| one.slot);
        Some(block.postings[place.ok()?].value)
    }

    /// At the first posting.
    pub(super) fn cursor(&self) -> Cursor<'_> {
        Cursor {
            blocks: &self.blocks,
            place: 0,
        }
    }
}

/// A place in the postings of a dimension, which moves forward only.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    /// From the block of the place on; none at the end.
    blocks: &'a [Block],
    /// Within the first of `blocks`, and before its end.
    place: usize,
}

impl Cursor<'_> {
    /// The posting at the place.
    pub(super) fn posting(&self) -> Option<Posting> {
        let block = self.blocks.first()?;
        Some(block.postings[self.place])
    }

    /// Moves to the first posting at or after a slot.
    pub(super) fn seek(&mut self, slot: u32) {
        let Some(block) = self.blocks.first() else {
            return;
        };
        if block.last() < slot {
            let blocks = &self.blocks[1..];
            // Blocks that end before the slot are those with a follower that begins at or before it, and maybe one more.
            let mut reach = 1;
            while blocks.get(reach).is_some_and(|block| block.first <= slot) {
                reach *= 2;
            }
            let near = &blocks[..blocks.len().min(reach)];
            let after = near.partition_point(|block| block.first <= slot);
            self.blocks = &blocks[after.saturating_sub(1)..];
            self.place = 0;
            match self.blocks.first() {
                Some(block) if block.last() < slot => {
                    self.blocks = &self.blocks[1..];
                    return;
                }
                Some(_) => {}
                None => return,
            }
        }
        if let Some(block) = self.blocks.first() {
            let left = &block.postings[self.place..];
            self.place += left.partition_point(|one| one.slot < slot);
        }
    }

    /// Hands out the postings up to a slot and moves past them. Blocks that are to be passed over are not handed out; whether there were
    /// any.
    pub(super) fn take_up_to(
        &mut self,
        last: u32,
        pass_over: impl Fn(Bounds) -> bool,
        mut each: impl FnMut(Posting),
    ) -> bool {
        let mut passed_over = false;
        while let Some(block) = self.blocks.first() {
            let left = &block.postings[self.place..];
            let within = if block.last() <= last {
                left
            } else {
                &left[..left.partition_point(|one| one.slot <= last)]
            };
            if within.is_empty() {
                break;
            }
            if pass_over(block.bounds) {
                passed_over = true;
            } else {
                within.iter().copied().for_each(&mut each);
            }
            self.place += within.len();
            if self.place == block.postings.len() {
                self.blocks = &self.blocks[1..];
                self.place = 0;
            }
        }
        passed_over
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Everything that the head of this file promises, and that the postings are those of the model.
    fn check(postings: &Postings, model: &BTreeMap<u32, f32>) {
        let all = postings.blocks.iter().flat_map(|block| &block.postings);
        let all: Vec<_> = all.map(|one| (one.slot, one.value)).collect();
        assert_eq!(all, model.clone().into_iter().collect::<Vec<_>>());
        assert_eq!(postings.count(), model.len());
        for block in &postings.blocks {
            assert!((1..=BLOCK_POSTINGS_MAX).contains(&block.postings.len()));
            let fresh = Block::new(block.postings.clone());
            assert_eq!((block.first, block.bounds), (fresh.first, fresh.bounds));
            assert_eq!(postings.bounds.and(block.bounds), postings.bounds);
        }
        for pair in postings.blocks.windows(2) {
            assert!(pair[0].postings.len() + pair[1].postings.len() > MERGE_POSTINGS_MAX);
        }
    }

    #[test]
    fn ascending_slots_fill_blocks() {
        let mut postings = Postings::default();
        for slot in 0..1_000 {
            postings.insert(slot, 1.0);
        }
        assert_eq!(
            postings.blocks.len(),
            1_000_usize.div_ceil(BLOCK_POSTINGS_MAX)
        );
    }

    proptest! {
        #[test]
        fn postings_follow_a_map(
            operations in prop::collection::vec((any::<bool>(), 0..600_u32, -9..9_i8), 0..3_000),
            drain: bool,
        ) {
            let mut postings = Postings::default();
            let mut model = BTreeMap::new();
            for (insert, slot, value) in operations {
                let value = f32::from(value);
                if model.remove(&slot).is_some() {
                    prop_assert!(postings.remove(slot));
                } else {
                    prop_assert!(!postings.remove(slot));
                }
                if insert || !drain {
                    model.insert(slot, value);
                    postings.insert(slot, value);
                }
                prop_assert_eq!(postings.value(slot), model.get(&slot).copied());
            }
            check(&postings, &model);
            for slot in 0..if drain { 600 } else { 0 } {
                model.remove(&slot);
                postings.remove(slot);
                check(&postings, &model);
            }
        }

        #[test]
        fn cursors_move_as_in_a_list(
            slots in prop::collection::btree_set(0..20_000_u32, 0..2_000),
            moves in prop::collection::vec((any::<bool>(), 0..20_000_u32), 1..20),
        ) {
            let mut postings = Postings::default();
            for &slot in &slots {
                postings.insert(slot, f32::from((slot % 251) as u8));
            }
            let mut cursor = postings.cursor();
            let mut from = 0;
            let mut moves = moves;
            moves.sort_by_key(|(_, slot)| *slot);
            for (seek, to) in moves {
                if seek {
                    cursor.seek(to);
                    from = from.max(to);
                } else {
                    let mut taken = Vec::new();
                    let passed = cursor.take_up_to(to, |_| false, |one| taken.push(one.slot));
                    prop_assert!(!passed);
                    let expected: Vec<_> = slots.range(from..).copied().take_while(|slot| *slot <= to).collect();
                    prop_assert_eq!(taken, expected);
                    from = from.max(to + 1);
                }
                prop_assert_eq!(
                    cursor.posting().map(|one| one.slot),
                    slots.range(from..).next().copied()
                );
            }
        }
    }
}
