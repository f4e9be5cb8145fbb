//! A hash table whose growth never disturbs a scan.
//!
//! Elements live in segments; a segment owns a contiguous range of *placement* hashes and splits in
//! two when it is full, so one insert moves at most [`SEGMENT_ITEMS_MAX`] elements. A scan walks
//! placement hashes upwards: its cursor is a position in that order and stays valid through every
//! split. Inside a segment elements are found by a second, random hash, so crafted keys that collide
//! in placement cost nothing.
//!
//! Invariant: an element with placement hash `h` is in `segments[directory[top `depth` bits of h]]`.

use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashTable;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

use crate::value::forms::Forms;

/// A segment with this many elements splits before it takes another one.
const SEGMENT_ITEMS_MAX: usize = 896;
/// Splitting stops at this many placement bits; a segment below simply grows.
const DEPTH_MAX: u32 = 40;
/// Empty segments one scan step walks over before it returns to its caller.
const EMPTY_SEGMENTS_MAX: usize = 64;

/// An element that carries its own key.
pub(crate) trait Keyed {
    /// The key bytes the element is found by.
    fn key(&self) -> &[u8];
}

impl<T: Keyed> Keyed for Box<T> {
    fn key(&self) -> &[u8] {
        (**self).key()
    }
}

/// The two hash functions of a database: one stable per store, one drawn anew at each opening.
pub(crate) struct Hashers {
    placement: RapidSecrets,
    random: RandomState,
    /// What collections that have these hashers obey.
    pub(crate) forms: Forms,
}

impl std::fmt::Debug for Hashers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Seeds stay out of logs: they protect against crafted keys.
        f.debug_struct("Hashers").finish_non_exhaustive()
    }
}

/// Both hashes of one key, computed once per operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    /// Orders scans and places the key; equal in every process that opens the store.
    pub(crate) placement: u64,
    /// Finds the key inside its segment; its lowest bits tell the others, see [`spread`].
    pub(crate) random: u64,
}

/// Bits of the random hash that are drawn. A segment has a thousand elements, so they are enough to tell them apart.
const RANDOM: u64 = (1 << (64 - DEPTH_MAX)) - 1;

/// A random hash from its lowest bits: tables look at the highest ones too.
fn spread(random: u64) -> u64 {
    let low = random & RANDOM;
    low | low.wrapping_mul(0x9e37_79b9_7f4a_7c15) & !RANDOM
}

impl Probe {
    /// What finds a key again, in half the bytes: the bits of `placement` that segments go by, and the drawn ones.
    pub(crate) fn pack(self) -> u64 {
        self.placement & !RANDOM | self.random & RANDOM
    }

    /// What [`Table::find_hashed`] takes, from [`Probe::pack`]'s bits.
    pub(crate) fn unpack(bits: u64) -> Self {
        Self {
            placement: bits & !RANDOM,
            random: spread(bits),
        }
    }
}

impl Hashers {
    /// `seed` must be the persisted seed of the store: it decides the order of scans. `random` comes from the
    /// store's source, which a simulation seeds.
    pub(crate) fn new(seed: u64, mut random: impl FnMut() -> u64) -> Self {
        Self {
            placement: RapidSecrets::seed(seed),
            random: RandomState::with_seeds(random(), random(), random(), random()),
            forms: Forms::default(),
        }
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let mut next = 0;
        Self::new(7, || {
            next += 1;
            next
        })
    }

    /// Both hashes of `key`.
    pub(crate) fn probe(&self, key: &[u8]) -> Probe {
        Probe {
            placement: self.placement(key),
            random: self.random(key),
        }
    }

    /// The stable hash of `key`.
    pub(crate) fn placement(&self, key: &[u8]) -> u64 {
        rapidhash_v3_seeded(key, &self.placement)
    }

    fn random(&self, key: &[u8]) -> u64 {
        spread(self.random.hash_one(key))
    }
}

/// The number that the top `bits` bits of a placement hash make; `bits` is at most 40.
pub(crate) fn top_bits(placement: u64, bits: u32) -> usize {
    let number = placement.checked_shr(64 - bits).unwrap_or(0);
    usize::try_from(number).expect("directories are indexed by far fewer bits")
}

/// See the module documentation.
pub(crate) struct Table<T> {
    hashers: Arc<Hashers>,
    /// Placement bits already spent by the owner (the shard number).
    skip: u32,
    depth: u32,
    directory: Vec<u32>,
    segments: Vec<Segment<T>>,
    len: usize,
    /// Bytes that the slots of all segments take.
    slot_bytes: usize,
}

struct Segment<T> {
    depth: u32,
    items: HashTable<T>,
}

impl<T> std::fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("len", &self.len)
            .field("segments", &self.segments.len())
            .finish_non_exhaustive()
    }
}

impl<T: Keyed> Table<T> {
    /// An empty table that places by the bits below the top `skip` ones; allocates no slots yet.
    pub(crate) fn new(hashers: Arc<Hashers>, skip: u32) -> Self {
        let first = Segment {
            depth: 0,
            items: HashTable::new(),
        };
        Self {
            hashers,
            skip,
            depth: 0,
            directory: vec![0],
            segments: vec![first],
            len: 0,
            slot_bytes: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes that it keeps in memory beside itself and what its elements own.
    pub(crate) fn memory(&self) -> usize {
        self.directory.capacity() * size_of::<u32>()
            + self.segments.capacity() * size_of::<Segment<T>>()
            + self.slot_bytes
    }

    pub(crate) fn hashers(&self) -> &Arc<Hashers> {
        &self.hashers
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&T> {
        self.find(self.hashers.probe(key), key)
    }

    pub(crate) fn find(&self, probe: Probe, key: &[u8]) -> Option<&T> {
        self.segment(probe)
            .items
            .find(probe.random, |item| item.key() == key)
    }

    pub(crate) fn find_mut(&mut self, probe: Probe, key: &[u8]) -> Option<&mut T> {
        self.segment_mut(probe)
            .items
            .find_mut(probe.random, |item| item.key() == key)
    }

    /// The element with these hashes, packed ones too, for callers that no longer know its key.
    pub(crate) fn find_hashed(&self, probe: Probe) -> Option<&T> {
        let hashers = &self.hashers;
        self.segment(probe).items.find(probe.random, |item| {
            (hashers.placement(item.key()) ^ probe.placement) & !RANDOM == 0
        })
    }

    /// Adds an element whose key is not in the table yet.
    pub(crate) fn insert_new(&mut self, probe: Probe, item: T) {
        debug_assert!(
            self.find(probe, item.key()).is_none(),
            "the key is already in the table"
        );
        while self.segment(probe).items.len() >= SEGMENT_ITEMS_MAX
            && self.segment(probe).depth + self.skip < DEPTH_MAX
        {
            self.split(self.slot_of(probe.placement));
        }
        let hashers = Arc::clone(&self.hashers);
        let items = &mut self.segment_mut(probe).items;
        let before = items.allocation_size();
        items.insert_unique(probe.random, item, |item| hashers.random(item.key()));
        let after = items.allocation_size();
        self.slot_bytes = self.slot_bytes + after - before;
        self.len += 1;
    }

    /// Adds or replaces; the element that was there before.
    pub(crate) fn insert(&mut self, item: T) -> Option<T> {
        let probe = self.hashers.probe(item.key());
        if let Some(present) = self.find_mut(probe, item.key()) {
            return Some(std::mem::replace(present, item));
        }
        self.insert_new(probe, item);
        None
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<T> {
        let probe = self.hashers.probe(key);
        self.take(probe, key)
    }

    pub(crate) fn take(&mut self, probe: Probe, key: &[u8]) -> Option<T> {
        let hashers = Arc::clone(&self.hashers);
        let items = &mut self.segment_mut(probe).items;
        let entry = items
            .find_entry(probe.random, |item| item.key() == key)
            .ok()?;
        let (item, _) = entry.remove();
        let before = items.allocation_size();
        if items.capacity() > 64 && items.len() * 8 < items.capacity() {
            items.shrink_to(items.len() * 2, |item| hashers.random(item.key()));
        }
        let after = items.allocation_size();
        self.slot_bytes = self.slot_bytes + after - before;
        self.len -= 1;
        Some(item)
    }

    /// All elements, segment by segment.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.segments
            .iter()
            .flat_map(|segment| segment.items.iter())
    }

    /// Number of segments, for callers that visit the table piece by piece.
    pub(crate) fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// The elements of one segment.
    pub(crate) fn segment_items_mut(&mut self, index: usize) -> impl Iterator<Item = &mut T> {
        self.segments
            .get_mut(index)
            .into_iter()
            .flat_map(|segment| segment.items.iter_mut())
    }

    /// Some element, near enough to uniform for `RANDOMKEY`; `random` picks it.
    pub(crate) fn pick(&self, random: u64) -> Option<&T> {
        if self.len == 0 {
            return None;
        }
        let start = usize::try_from(random >> 32).unwrap_or(0) % self.directory.len();
        let rounds = self.directory[start..]
            .iter()
            .chain(&self.directory[..start]);
        rounds
            .map(|at| &self.segments[*at as usize].items)
            .find(|items| !items.is_empty())
            .and_then(|items| {
                items
                    .iter()
                    .nth((random & 0xffff_ffff) as usize % items.len())
            })
    }

    /// Emits about `count` elements with a placement hash of at least `from`, in hash order.
    ///
    /// The answer is where the next step starts, or `None` after the last element. Elements with
    /// equal placement hashes are emitted in one step, so the position never falls between them.
    pub(crate) fn scan<'t>(
        &'t self,
        from: u64,
        count: usize,
        mut emit: impl FnMut(&'t T),
    ) -> Option<u64> {
        let mut emitted = 0;
        let mut empty = 0;
        let mut slot = self.slot_of(from);
        let mut batch: Vec<(u64, &T)> = Vec::new();
        loop {
            let segment = &self.segments[self.directory[slot] as usize];
            batch.clear();
            for item in &segment.items {
                let hash = self.hashers.placement(item.key());
                if hash >= from {
                    batch.push((hash, item));
                }
            }
            batch.sort_unstable_by_key(|(hash, _)| *hash);
            let mut last = None;
            for (hash, item) in batch.drain(..) {
                if emitted >= count && last != Some(hash) {
                    return Some(hash);
                }
                emit(item);
                emitted += 1;
                last = Some(hash);
            }
            empty += usize::from(last.is_none());
            // Several directory slots may share the segment; step to the first slot behind it.
            let span = 1_usize << (self.depth - segment.depth);
            slot = (slot / span + 1) * span;
            if slot >= self.directory.len() {
                return None;
            }
            if emitted >= count || empty >= EMPTY_SEGMENTS_MAX {
                return Some(self.slot_start(slot, from));
            }
        }
    }

    /// First placement hash of a directory slot, with the owner's bits taken from `like`.
    fn slot_start(&self, slot: usize, like: u64) -> u64 {
        let kept = if self.skip == 0 {
            0
        } else {
            like & !(u64::MAX >> self.skip)
        };
        kept | ((slot as u64) << (64 - self.depth) >> self.skip)
    }

    fn slot_of(&self, placement: u64) -> usize {
        top_bits(placement << self.skip, self.depth)
    }

    fn segment(&self, probe: Probe) -> &Segment<T> {
        &self.segments[self.directory[self.slot_of(probe.placement)] as usize]
    }

    fn segment_mut(&mut self, probe: Probe) -> &mut Segment<T> {
        let slot = self.slot_of(probe.placement);
        &mut self.segments[self.directory[slot] as usize]
    }

    /// Splits the segment behind a directory slot by its next placement bit.
    fn split(&mut self, slot: usize) {
        let index = self.directory[slot];
        let depth = self.segments[index as usize].depth + 1;
        if depth > self.depth {
            self.directory = self.directory.iter().flat_map(|at| [*at, *at]).collect();
            self.depth += 1;
        }
        let bit = 1_u64 << (64 - depth - self.skip);
        let hashers = Arc::clone(&self.hashers);
        let old = &mut self.segments[index as usize];
        old.depth = depth;
        let before = old.items.allocation_size();
        let (mut low, mut high) = (HashTable::new(), HashTable::new());
        for item in std::mem::take(&mut old.items) {
            let probe = hashers.probe(item.key());
            let half = if probe.placement & bit == 0 {
                &mut low
            } else {
                &mut high
            };
            half.insert_unique(probe.random, item, |item: &T| hashers.random(item.key()));
        }
        let after = low.allocation_size() + high.allocation_size();
        old.items = low;
        self.slot_bytes = self.slot_bytes + after - before;
        let upper = u32::try_from(self.segments.len()).expect("a directory holds fewer than 2^32");
        self.segments.push(Segment { depth, items: high });
        for (at, owner) in self.directory.iter_mut().enumerate() {
            if *owner == index && (at >> (self.depth - depth)) & 1 == 1 {
                *owner = upper;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    impl Keyed for String {
        fn key(&self) -> &[u8] {
            self.as_bytes()
        }
    }

    fn table(skip: u32) -> Table<String> {
        Table::new(Arc::new(Hashers::for_tests()), skip)
    }

    fn scan_all(table: &Table<String>, count: usize) -> Vec<String> {
        let mut seen = Vec::new();
        let mut from = Some(0);
        while let Some(at) = from {
            from = table.scan(at, count, |item| seen.push(item.clone()));
            if let Some(next) = from {
                assert!(next > at, "a scan must advance");
            }
        }
        seen
    }

    #[test]
    fn finds_what_was_inserted_through_splits() {
        let mut table = table(0);
        for n in 0..20_000 {
            assert_eq!(table.insert(format!("key:{n}")), None);
        }
        assert!(table.segment_count() > 16);
        assert_eq!(table.len(), 20_000);
        for n in 0..20_000 {
            let key = format!("key:{n}");
            assert_eq!(table.get(key.as_bytes()), Some(&key));
            let packed = table.hashers.probe(key.as_bytes()).pack();
            assert_eq!(table.find_hashed(Probe::unpack(packed)), Some(&key));
        }
        assert_eq!(table.get(b"absent"), None);
        for n in (0..20_000).step_by(2) {
            assert!(table.remove(format!("key:{n}").as_bytes()).is_some());
        }
        assert_eq!(table.iter().count(), 10_000);
        assert!(table.pick(99).is_some());
    }

    #[test]
    fn a_scan_returns_everything_once_at_rest() {
        for skip in [0, 5] {
            let mut table = table(skip);
            let hashers = Arc::clone(table.hashers());
            let mut expected = BTreeSet::new();
            for n in 0..9_000 {
                let key = format!("k{n}");
                // A table below a shard only ever sees keys of that shard.
                if skip == 0 || hashers.placement(key.as_bytes()) >> 59 == 0 {
                    expected.insert(key.clone());
                    table.insert(key);
                }
            }
            for count in [1, 10, 5_000] {
                let seen = scan_all(&table, count);
                assert_eq!(seen.len(), expected.len());
                assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected);
            }
        }
    }

    #[test]
    fn a_scan_keeps_its_promise_while_the_table_grows_and_shrinks() {
        let mut table = table(0);
        for n in 0..500 {
            table.insert(format!("stay:{n}"));
        }
        let mut seen = BTreeSet::new();
        let mut from = Some(0);
        let mut next = 0;
        while let Some(at) = from {
            from = table.scan(at, 7, |item| {
                seen.insert(item.clone());
            });
            for _ in 0..200 {
                table.insert(format!("new:{next}"));
                next += 1;
            }
            if next > 6_000 {
                for n in 0..next {
                    table.remove(format!("new:{n}").as_bytes());
                }
                next = 0;
            }
        }
        for n in 0..500 {
            assert!(seen.contains(&format!("stay:{n}")), "stay:{n} was missed");
        }
    }

    #[test]
    fn memory_is_what_the_parts_take() {
        let mut table = table(0);
        let count = |table: &Table<String>| {
            let slots = table.segments.iter();
            let slots: usize = slots.map(|segment| segment.items.allocation_size()).sum();
            slots
                + table.directory.capacity() * 4
                + table.segments.capacity() * size_of::<Segment<String>>()
        };
        for n in 0..9_000 {
            table.insert(n.to_string());
            assert_eq!(table.memory(), count(&table));
        }
        for n in 0..9_000 {
            table.remove(&n.to_string().into_bytes());
            assert_eq!(table.memory(), count(&table));
        }
    }
}
