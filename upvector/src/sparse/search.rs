//! Exact top-k over the postings of a query's dimensions.
//!
//! Slots are searched in windows of [`WINDOW_SLOTS`], each with an accumulator per slot, so memory does not grow with the index. Once
//! `top_k` hits are known, what terms can add at most decides (the `MaxScore` algorithm of Turtle and Flood):
//!
//! - Terms that even together cannot reach the worst hit may be optional: only records that have one of the others are candidates, the
//!   optional terms are looked up for those alone, and candidates are dropped as soon as the rest cannot lift them. A lookup costs as
//!   much as many postings in a row, so the split is where that saves most, and may be nowhere.
//! - A block of postings is passed over if its own maximum and all other terms together cannot reach the worst hit.
//!
//! Invariant: the score of a record is the sum of its products in the order of dimensions, in double precision, rounded once, whatever
//! was passed over. So pruning is invisible: a candidate that survives the bounds (which allow for rounding) is scored anew in that
//! order.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::postings::{Bounds, Cursor, Postings};

/// Slots searched at a time: 128 KiB of accumulators stay in the second cache, and a window costs little beside its postings.
const WINDOW_SLOTS: u32 = if cfg!(test) { 4_096 } else { 16_384 };
const WINDOW: usize = WINDOW_SLOTS as usize;

/// Allowance for rounding in sums, relative to the magnitude of what is summed: over 1000 products, four times what can come up.
const SLACK: f64 = 1e-12;

/// Postings that are read in a row in the time of one lookup. Tests take lookups as cheap, so that few records make terms optional.
const LOOKUP_POSTINGS: usize = if cfg!(test) { 1 } else { 16 };

/// One dimension of a query that some record has.
#[derive(Debug)]
pub(super) struct Term<'a> {
    weight: f64,
    postings: &'a Postings,
    cursor: Cursor<'a>,
    /// The most that it can add to the score of any record, and not less than nothing: a record need not have it.
    most: f64,
}

impl<'a> Term<'a> {
    pub(super) fn new(weight: f64, postings: &'a Postings) -> Self {
        Self {
            weight,
            postings,
            cursor: postings.cursor(),
            most: postings.bounds().most(weight).max(0.0),
        }
    }
}

/// A hit, where the greater is the worse.
struct Hit {
    score: f32,
    tie: u64,
    slot: u32,
}

impl Ord for Hit {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_score = other.score.total_cmp(&self.score);
        by_score.then((self.tie, self.slot).cmp(&(other.tie, other.slot)))
    }
}

impl PartialOrd for Hit {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Hit {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Hit {}

/// The best hits so far.
struct Best<'a> {
    top_k: usize,
    hits: BinaryHeap<Hit>,
    /// No record of a score below this can be a hit, nor can one whose score is estimated below it by sums in another order.
    floor: f64,
    /// See [`SLACK`].
    slack: f64,
    accept: &'a mut dyn FnMut(u32) -> bool,
    tie: &'a dyn Fn(u32) -> u64,
}

impl Best<'_> {
    /// Takes a record in if it is among the best and acceptable, which is asked last.
    fn offer(&mut self, slot: u32, score: f64) {
        // Most records end here.
        if score < self.floor {
            return;
        }
        let score = rounded(score);
        let is_full = self.hits.len() == self.top_k;
        let worst = self.hits.peek().filter(|_| is_full);
        // An equal score can be better: the tie decides.
        if worst.is_some_and(|worst| score < worst.score) {
            return;
        }
        let tie = (self.tie)(slot);
        let hit = Hit { score, tie, slot };
        if worst.is_some_and(|worst| hit > *worst) || !(self.accept)(slot) {
            return;
        }
        if is_full {
            self.hits.pop();
        }
        self.hits.push(hit);
        if self.hits.len() == self.top_k
            && let Some(worst) = self.hits.peek()
        {
            self.floor = f64::from(worst.score.next_down()) - self.slack;
        }
    }
}

/// To the precision of results, finite and without a negative zero.
#[expect(
    clippy::cast_possible_truncation,
    reason = "results carry single precision"
)]
fn rounded(score: f64) -> f32 {
    (score as f32).clamp(f32::MIN, f32::MAX) + 0.0
}

/// Accumulators of a window, all zero between windows.
struct Window {
    sums: Box<[f64; WINDOW]>,
    /// A bit for each slot that has a term.
    touched: Box<[u64; WINDOW / 64]>,
    /// A bit for each word of `touched` that is not zero.
    words: [u64; WINDOW / 64 / 64],
}

impl Window {
    fn zero() -> Self {
        const OF_LENGTH: &str = "the vector has the length of the array";
        Self {
            sums: vec![0.0; WINDOW].try_into().expect(OF_LENGTH),
            touched: vec![0; WINDOW / 64].try_into().expect(OF_LENGTH),
            words: [0; WINDOW / 64 / 64],
        }
    }

    /// Adds the postings of a term up to a slot, and moves past them. Blocks in which none adds as much as `needed` are passed over;
    /// whether there were any.
    fn add(&mut self, term: &mut Term<'_>, last: u32, needed: f64) -> bool {
        let weight = term.weight;
        let passed_over = |block: Bounds| block.most(weight) < needed;
        term.cursor.take_up_to(last, passed_over, |posting| {
            let at = posting.slot as usize % WINDOW;
            self.sums[at] += weight * f64::from(posting.value);
            let word = at / 64;
            self.touched[word] |= 1 << (at % 64);
            self.words[word / 64] |= 1 << (word % 64);
        })
    }

    /// Hands out slots and sums in the order of slots, and zeroes them.
    fn drain(&mut self, base: u32, mut each: impl FnMut(u32, f64)) {
        for (group, words) in (0..).zip(&mut self.words) {
            for word in bits(std::mem::take(words)).map(|bit| 64 * group + bit) {
                let touched = std::mem::take(&mut self.touched[word as usize]);
                for at in bits(touched).map(|bit| 64 * word + bit) {
                    each(base + at, std::mem::take(&mut self.sums[at as usize]));
                }
            }
        }
    }
}

/// The places of the bits that are set.
fn bits(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        (word != 0).then(|| {
            word &= word - 1;
            bit
        })
    })
}

thread_local! {
    /// Reused by the searches of a thread. A search within a search's callbacks makes its own.
    static WINDOW_OF_THREAD: Cell<Option<Window>> = const { Cell::new(None) };
}

/// The best records, best first: those with the highest scores, of equal ones those with the lowest `tie`. Terms are in the order of
/// their dimensions.
pub(super) fn search(
    terms: &mut [Term<'_>],
    top_k: usize,
    accept: &mut dyn FnMut(u32) -> bool,
    tie: &dyn Fn(u32) -> u64,
) -> Vec<(u32, f32)> {
    if top_k == 0 {
        return Vec::new();
    }
    let magnitudes = terms.iter().map(|term| {
        let bounds = term.postings.bounds();
        bounds
            .most(term.weight)
            .abs()
            .max(bounds.most(-term.weight).abs())
    });
    let mut best = Best {
        top_k,
        hits: BinaryHeap::new(),
        floor: f64::NEG_INFINITY,
        slack: SLACK * magnitudes.sum::<f64>(),
        accept,
        tie,
    };
    let mut window = WINDOW_OF_THREAD.take().unwrap_or_else(Window::zero);
    scan(terms, &mut best, &mut window);
    WINDOW_OF_THREAD.set(Some(window));
    let hits = best.hits.into_sorted_vec();
    hits.into_iter().map(|hit| (hit.slot, hit.score)).collect()
}

fn scan(terms: &mut [Term<'_>], best: &mut Best<'_>, window: &mut Window) {
    let mut plan = Plan::new(terms);
    let mut candidates = Vec::new();
    loop {
        plan.follow(terms, best.floor);
        let firsts = plan
            .needed
            .iter()
            .filter_map(|&at| terms[at].cursor.posting());
        let Some(first) = firsts.map(|posting| posting.slot).min() else {
            return;
        };
        let base = first - first % WINDOW_SLOTS;
        let last = base + (WINDOW_SLOTS - 1);
        let mut exact = plan.optional().is_empty();
        for &at in &plan.needed {
            let term = &mut terms[at];
            let others = plan.most - term.most;
            exact &= !window.add(term, last, best.floor - others);
        }
        if exact {
            window.drain(base, |slot, sum| best.offer(slot, sum));
        } else {
            let partial_min = best.floor - plan.optional_most;
            window.drain(base, |slot, sum| {
                if sum >= partial_min {
                    candidates.push((slot, sum));
                }
            });
            lift(terms, &plan, best.floor, &mut candidates);
            for (slot, _) in candidates.drain(..) {
                best.offer(slot, score(terms, slot));
            }
        }
        if last == u32::MAX {
            return;
        }
    }
}

/// Which terms are optional. Terms go by their places in the order of dimensions.
struct Plan {
    /// All terms, those first that can add least.
    weakest: Vec<usize>,
    /// The most that all terms can add together.
    most: f64,
    /// How many of the weakest cannot make a hit even together, and what they can add.
    hopeless: usize,
    hopeless_most: f64,
    /// How many of those are optional, and what they can add.
    optional: usize,
    optional_most: f64,
    /// The others, in the order of dimensions.
    needed: Vec<usize>,
}

impl Plan {
    fn new(terms: &[Term<'_>]) -> Self {
        let mut weakest: Vec<usize> = (0..terms.len()).collect();
        weakest.sort_by(|&left, &right| terms[left].most.total_cmp(&terms[right].most));
        Self {
            weakest,
            most: terms.iter().map(|term| term.most).sum(),
            hopeless: 0,
            hopeless_most: 0.0,
            optional: 0,
            optional_most: 0.0,
            needed: (0..terms.len()).collect(),
        }
    }

    fn optional(&self) -> &[usize] {
        &self.weakest[..self.optional]
    }

    /// Makes terms optional that have become so with a higher floor. The floor only rises, and the best split moves up with it, so a
    /// term is not needed again whose cursor has been left behind.
    fn follow(&mut self, terms: &[Term<'_>], floor: f64) {
        let before = self.hopeless;
        while let Some(&at) = self.weakest.get(self.hopeless)
            && self.hopeless_most + terms[at].most < floor
        {
            self.hopeless_most += terms[at].most;
            self.hopeless += 1;
        }
        if self.hopeless == before {
            return;
        }
        self.optional = if self.hopeless == terms.len() {
            self.hopeless
        } else {
            self.best_split(terms)
        };
        let optional = self.optional().iter();
        self.optional_most = optional.map(|&at| terms[at].most).sum();
        self.needed = self.weakest[self.optional..].to_vec();
        self.needed.sort_unstable();
    }

    /// How many terms to make optional so that the fewest postings are read, lookups counted as [`LOOKUP_POSTINGS`].
    fn best_split(&self, terms: &[Term<'_>]) -> usize {
        let count = |&at: &usize| terms[at].postings.count();
        let mut rare: usize = self.weakest.iter().map(count).sum();
        let mut common = 0;
        let mut best = (0, 0);
        for (split, at) in (1..).zip(&self.weakest[..self.hopeless]) {
            common += count(at);
            rare -= count(at);
            let saved = common.saturating_sub(rare.saturating_mul(split * LOOKUP_POSTINGS));
            if saved > best.0 {
                best = (saved, split);
            }
        }
        best.1
    }
}

/// Adds the optional terms to the candidates, the strongest first, and drops those that the rest cannot make hits.
fn lift(terms: &mut [Term<'_>], plan: &Plan, floor: f64, candidates: &mut Vec<(u32, f64)>) {
    let mut rest = plan.optional_most;
    for &at in plan.optional().iter().rev() {
        if candidates.is_empty() {
            return;
        }
        let term = &mut terms[at];
        rest -= term.most;
        candidates.retain_mut(|(slot, sum)| {
            term.cursor.seek(*slot);
            let posting = term.cursor.posting();
            if let Some(posting) = posting.filter(|posting| posting.slot == *slot) {
                *sum += term.weight * f64::from(posting.value);
            }
            *sum + rest >= floor
        });
    }
}

/// The score of a record: its products summed in the order of dimensions.
fn score(terms: &[Term<'_>], slot: u32) -> f64 {
    let products = terms.iter().filter_map(|term| {
        let value = term.postings.value(slot)?;
        Some(term.weight * f64::from(value))
    });
    products.fold(0.0, |sum, product| sum + product)
}
