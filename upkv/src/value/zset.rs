//! The sorted set type: members ordered by score, then bytes, with ranks.
//!
//! A [`Small`] set is one buffer. A large one is a counted [`Tree`] that holds the order, and a member [`Table`], so that
//! `ZSCORE` stays O(1); both share the member bytes. Scores are never NaN and never -0. A set that outgrew the small form
//! never goes back, as in Redis.

mod small;

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;
use triomphe::ThinArc;

use self::small::Small;
use super::forms;
use super::packed::{self, Walk};
use super::tree::{self, Tree};
use crate::keyspace::key::Key;
use crate::keyspace::table::{Hashers, Keyed, Table};

const OP_SET: u8 = 1;
const OP_REMOVE: u8 = 2;

/// One member with its score.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'z> {
    pub(crate) score: f64,
    pub(crate) member: &'z [u8],
}

impl PartialEq for Item<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Item<'_> {}

impl PartialOrd for Item<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score
            .total_cmp(&other.score)
            .then_with(|| self.member.cmp(other.member))
    }
}

/// A member of a large set.
#[derive(Clone)]
struct Shared {
    score: f64,
    member: ThinArc<(), u8>,
}

impl Shared {
    /// Bytes of a member's allocation beside its own: a counter and a length.
    const BESIDE: usize = 2 * size_of::<usize>();

    fn new(item: Item<'_>) -> Self {
        Self {
            score: item.score,
            member: ThinArc::from_header_and_slice((), item.member),
        }
    }

    fn item(&self) -> Item<'_> {
        Item {
            score: self.score,
            member: &self.member.slice,
        }
    }
}

impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        self.item() == other.item()
    }
}

impl Eq for Shared {}

impl PartialOrd for Shared {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Shared {
    fn cmp(&self, other: &Self) -> Ordering {
        self.item().cmp(&other.item())
    }
}

impl Keyed for Shared {
    fn key(&self) -> &[u8] {
        &self.member.slice
    }
}

/// One end of a score range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ScoreBound {
    pub(crate) score: f64,
    pub(crate) exclusive: bool,
}

/// One end of a range of members.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LexBound {
    /// `-`: before every member.
    Lowest,
    /// `+`: after every member.
    Highest,
    /// `[member`.
    Inclusive(Box<[u8]>),
    /// `(member`.
    Exclusive(Box<[u8]>),
}

/// Members of one key.
#[derive(Debug)]
pub(crate) struct Zset {
    hashers: Arc<Hashers>,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Small(Small),
    Large(Box<Large>),
}

#[derive(Debug)]
struct Large {
    tree: Tree<Shared>,
    members: Table<Shared>,
    /// Bytes of all members.
    data_bytes: usize,
}

/// What takes one change back.
#[derive(Debug)]
pub(crate) struct Undo {
    member: Key,
    score: Option<f64>,
}

impl Undo {
    /// The score the member had before the change.
    pub(crate) fn previous(&self) -> Option<f64> {
        self.score
    }
}

impl Large {
    fn new(hashers: &Arc<Hashers>) -> Self {
        Self {
            tree: Tree::new(),
            members: Table::new(Arc::clone(hashers), 0),
            data_bytes: 0,
        }
    }

    fn set(&mut self, item: Item<'_>) -> Option<f64> {
        let probe = self.members.hashers().probe(item.member);
        let Some(present) = self.members.find_mut(probe, item.member) else {
            let new = Shared::new(item);
            self.data_bytes += item.member.len();
            self.tree.insert(new.clone());
            self.members.insert_new(probe, new);
            return None;
        };
        let before = present.score;
        if before.to_bits() != item.score.to_bits() {
            self.tree.remove(present);
            present.score = item.score;
            self.tree.insert(present.clone());
        }
        Some(before)
    }

    fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let removed = self.members.remove(member)?;
        self.tree.remove(&removed);
        self.data_bytes -= member.len();
        Some(removed.score)
    }
}

/// Members in order, from either end.
pub(crate) struct Iter<'z>(Items<'z>);

enum Items<'z> {
    Small(smallvec::IntoIter<[Item<'z>; 8]>),
    Large(tree::Iter<'z, Shared>),
}

impl std::fmt::Debug for Iter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}

impl<'z> Iterator for Iter<'z> {
    type Item = Item<'z>;

    fn next(&mut self) -> Option<Item<'z>> {
        match &mut self.0 {
            Items::Small(items) => items.next(),
            Items::Large(items) => items.next().map(Shared::item),
        }
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Items::Small(items) => items.next_back(),
            Items::Large(items) => items.next_back().map(Shared::item),
        }
    }
}

impl Zset {
    pub(crate) fn new(hashers: Arc<Hashers>) -> Self {
        Self {
            hashers,
            form: Form::Small(Small::default()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.form {
            Form::Small(small) => small.len(),
            Form::Large(large) => large.tree.len(),
        }
    }

    /// Whether the small form is in use.
    pub(crate) fn is_small(&self) -> bool {
        matches!(self.form, Form::Small(_))
    }

    /// Bytes this value keeps in memory.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>()
            + match &self.form {
                Form::Small(small) => small.memory(),
                Form::Large(large) => {
                    size_of::<Large>()
                        + large.data_bytes
                        + large.tree.len() * Shared::BESIDE
                        + large.tree.memory()
                        + large.members.memory()
                }
            }
    }

    pub(crate) fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.form {
            Form::Small(small) => small.score(member),
            Form::Large(large) => large.members.get(member).map(|found| found.score),
        }
    }

    /// Sets a member's score; what takes it back. The caller made sure the score is not NaN.
    pub(crate) fn set(&mut self, member: &[u8], score: f64) -> Undo {
        self.set_within(member, score, self.hashers.forms.zset())
    }

    fn set_within(&mut self, member: &[u8], score: f64, small: forms::Small) -> Undo {
        debug_assert!(!score.is_nan(), "NaN has no place in the order");
        let score = if score == 0.0 { 0.0 } else { score };
        let item = Item { score, member };
        if member.len() > small.bytes {
            self.grow();
        }
        let previous = match &mut self.form {
            Form::Small(set) => set.set(item),
            Form::Large(large) => large.set(item),
        };
        if self.len() > small.items {
            self.grow();
        }
        Undo {
            member: member.into(),
            score: previous,
        }
    }

    /// Removes a member; what takes it back, if it was there.
    pub(crate) fn remove(&mut self, member: &[u8]) -> Option<Undo> {
        let score = match &mut self.form {
            Form::Small(small) => small.remove(member),
            Form::Large(large) => large.remove(member),
        };
        Some(Undo {
            member: member.into(),
            score: Some(score?),
        })
    }

    /// Takes one change back.
    pub(crate) fn undo(&mut self, undo: &Undo) {
        match undo.score {
            Some(score) => {
                self.set(&undo.member, score);
            }
            None => {
                self.remove(&undo.member);
            }
        }
    }

    fn partition_point(&self, mut before: impl FnMut(Item<'_>) -> bool) -> usize {
        match &self.form {
            Form::Small(small) => small.partition_point(before),
            Form::Large(large) => large.tree.partition_point(|item| before(item.item())),
        }
    }

    /// Rank of a member, lowest score first, and its score.
    pub(crate) fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let score = self.score(member)?;
        Some((self.rank_of_position(score, member), score))
    }

    /// Ranks whose scores lie between two bounds.
    pub(crate) fn ranks_by_score(&self, min: ScoreBound, max: ScoreBound) -> Range<usize> {
        let start = self.partition_point(|item| {
            if min.exclusive {
                item.score <= min.score
            } else {
                item.score < min.score
            }
        });
        let end = self.partition_point(|item| {
            if max.exclusive {
                item.score < max.score
            } else {
                item.score <= max.score
            }
        });
        start..end.max(start)
    }

    /// Ranks whose members lie between two bounds; meaningful when all scores are equal.
    pub(crate) fn ranks_by_lex(&self, min: &LexBound, max: &LexBound) -> Range<usize> {
        let start = self.partition_point(|item| match min {
            LexBound::Lowest => false,
            LexBound::Highest => true,
            LexBound::Inclusive(bound) => *item.member < **bound,
            LexBound::Exclusive(bound) => *item.member <= **bound,
        });
        let end = self.partition_point(|item| match max {
            LexBound::Lowest => false,
            LexBound::Highest => true,
            LexBound::Inclusive(bound) => *item.member <= **bound,
            LexBound::Exclusive(bound) => *item.member < **bound,
        });
        start..end.max(start)
    }

    /// Number of members before a position in the order, whether or not a member is there.
    pub(crate) fn rank_of_position(&self, score: f64, member: &[u8]) -> usize {
        self.partition_point(|item| item < Item { score, member })
    }

    /// Number of members up to and including a position in the order.
    pub(crate) fn rank_after(&self, score: f64, member: &[u8]) -> usize {
        self.partition_point(|item| item <= Item { score, member })
    }

    /// Members with ranks in `ranks`, from either end.
    pub(crate) fn iter(&self, ranks: Range<usize>) -> Iter<'_> {
        match &self.form {
            Form::Small(small) => {
                let items = small.iter().skip(ranks.start).take(ranks.len());
                Iter(Items::Small(items.collect::<SmallVec<_>>().into_iter()))
            }
            Form::Large(large) => Iter(Items::Large(large.tree.range(ranks))),
        }
    }

    /// The member at a rank.
    pub(crate) fn at(&self, rank: usize) -> Option<Item<'_>> {
        match &self.form {
            Form::Small(small) => small.iter().nth(rank),
            Form::Large(large) => large.tree.get(rank).map(Shared::item),
        }
    }

    /// One scan step; see [`Table::scan`]. A small set is returned whole.
    pub(crate) fn scan<'z>(
        &'z self,
        from: u64,
        count: usize,
        mut emit: impl FnMut(Item<'z>),
    ) -> Option<u64> {
        match &self.form {
            Form::Small(small) => {
                small.iter().for_each(emit);
                None
            }
            Form::Large(large) => large
                .members
                .scan(from, count, |member| emit(member.item())),
        }
    }

    /// Appends the whole value: form (1: the large one), member count, then score bits and members in order.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(!self.is_small()));
        packed::put_len(out, self.len());
        for item in self.iter(0..usize::MAX) {
            out.extend_from_slice(&item.score.to_bits().to_le_bytes());
            packed::put(out, item.member);
        }
    }

    /// Rebuilds a value from [`Zset::encode`]'s bytes; `None` when they are malformed.
    pub(crate) fn decode(hashers: Arc<Hashers>, bytes: &[u8]) -> Option<Self> {
        let mut walk = Walk::new(bytes);
        let large = match walk.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let count = walk.len()?;
        let mut zset = Self::new(hashers);
        if large {
            zset.grow();
        }
        for _ in 0..count {
            let score = read_score(&mut walk)?;
            zset.set_within(walk.bytes()?, score, forms::Small::CAP);
        }
        let same_form = zset.is_small() != large;
        (walk.is_done() && zset.len() == count && same_form).then_some(zset)
    }

    /// Appends the delta record of a set member.
    pub(crate) fn log_set(out: &mut Vec<u8>, member: &[u8], score: f64) {
        out.push(OP_SET);
        out.extend_from_slice(&score.to_bits().to_le_bytes());
        packed::put(out, member);
    }

    /// Appends the delta record of a removed member.
    pub(crate) fn log_remove(out: &mut Vec<u8>, member: &[u8]) {
        out.push(OP_REMOVE);
        packed::put(out, member);
    }

    /// Replays delta records; `None` when they are malformed.
    pub(crate) fn replay(&mut self, bytes: &[u8]) -> Option<()> {
        let mut walk = Walk::new(bytes);
        while !walk.is_done() {
            match walk.u8()? {
                OP_SET => {
                    let score = read_score(&mut walk)?;
                    self.set(walk.bytes()?, score);
                }
                OP_REMOVE => {
                    self.remove(walk.bytes()?);
                }
                _ => return None,
            }
        }
        Some(())
    }

    /// Goes over to the large form.
    fn grow(&mut self) {
        if let Form::Small(small) = &self.form {
            let mut large = Box::new(Large::new(&self.hashers));
            for item in small.iter() {
                large.set(item);
            }
            self.form = Form::Large(large);
        }
    }
}

fn read_score(walk: &mut Walk<'_>) -> Option<f64> {
    let score = f64::from_bits(walk.u64()?);
    (!score.is_nan()).then_some(score)
}

#[cfg(test)]
mod model_tests;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn empty() -> Zset {
        Zset::new(Arc::new(Hashers::for_tests()))
    }

    fn content(zset: &Zset) -> Vec<(f64, Vec<u8>)> {
        zset.iter(0..usize::MAX)
            .map(|item| (item.score, item.member.to_vec()))
            .collect()
    }

    fn model_order(model: &BTreeMap<Vec<u8>, f64>) -> Vec<(f64, Vec<u8>)> {
        let mut items: Vec<_> = model.iter().map(|(m, s)| (*s, m.clone())).collect();
        items.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
        items
    }

    #[test]
    fn follows_a_map_through_both_forms_and_back_from_bytes() {
        for members in [60_u32, 900] {
            let mut zset = empty();
            let mut model = BTreeMap::new();
            let mut state = 9_u32;
            for _ in 0..6_000 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let member = format!("m{}", (state >> 10) % members).into_bytes();
                if (state >> 5).is_multiple_of(4) {
                    assert_eq!(
                        zset.remove(&member).is_some(),
                        model.remove(&member).is_some()
                    );
                } else {
                    let score = f64::from((state >> 20) % 50) - 25.0;
                    let undo = zset.set(&member, score);
                    assert_eq!(undo.previous(), model.insert(member, score));
                }
            }
            let ordered = model_order(&model);
            assert_eq!(content(&zset), ordered);
            assert_eq!(zset.is_small(), members == 60);
            for (rank, (score, member)) in ordered.iter().enumerate() {
                assert_eq!(zset.rank(member), Some((rank, *score)));
            }
            let inside = |score: f64| ordered.iter().filter(|item| item.0 < score).count();
            let bound = |score, exclusive| ScoreBound { score, exclusive };
            assert_eq!(
                zset.ranks_by_score(bound(-3.0, false), bound(7.0, true)),
                inside(-3.0)..inside(7.0)
            );
            let mut bytes = Vec::new();
            zset.encode(&mut bytes);
            let back = Zset::decode(Arc::clone(&zset.hashers), &bytes).expect("own bytes decode");
            assert_eq!(content(&back), ordered);
            for cut in 0..bytes.len().min(300) {
                assert!(Zset::decode(Arc::clone(&zset.hashers), &bytes[..cut]).is_none());
            }
        }
    }

    #[test]
    fn negative_zero_is_zero() {
        let mut zset = empty();
        zset.set(b"a", -0.0);
        assert!(zset.score(b"a").expect("set above").is_sign_positive());
        assert_eq!(zset.set(b"a", 0.0).previous(), Some(0.0));
    }

    #[test]
    fn changes_are_taken_back_and_deltas_replay() {
        let mut zset = empty();
        zset.set(b"a", 1.0);
        let before = content(&zset);
        let mut undos = vec![zset.set(b"a", 5.0), zset.set(b"b", 2.0)];
        undos.extend(zset.remove(b"a"));
        undos.iter().rev().for_each(|undo| zset.undo(undo));
        assert_eq!(content(&zset), before);
        let mut delta = Vec::new();
        Zset::log_set(&mut delta, b"c", -1.0);
        Zset::log_remove(&mut delta, b"a");
        assert_eq!(zset.replay(&delta), Some(()));
        assert_eq!(content(&zset), vec![(-1.0, b"c".to_vec())]);
        assert_eq!(zset.replay(&[OP_SET, 1]), None);
    }

    #[test]
    fn lexical_ranges_include_and_exclude() {
        let mut zset = empty();
        for member in ["a", "b", "c", "d"] {
            zset.set(member.as_bytes(), 0.0);
        }
        let incl = |s: &str| LexBound::Inclusive(s.as_bytes().into());
        let excl = |s: &str| LexBound::Exclusive(s.as_bytes().into());
        assert_eq!(
            zset.ranks_by_lex(&LexBound::Lowest, &LexBound::Highest),
            0..4
        );
        assert_eq!(zset.ranks_by_lex(&excl("a"), &incl("c")), 1..3);
        assert_eq!(
            zset.ranks_by_lex(&LexBound::Highest, &LexBound::Lowest),
            4..4
        );
        assert_eq!(zset.ranks_by_lex(&incl("c"), &excl("b")), 2..2);
    }
}
