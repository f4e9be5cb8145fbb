//! Exact top-k over the postings of a query's dimensions.
//!
//! Slots are searched in windows of [`WINDOW_SLOTS`], each with an accumulator per slot, so memory does not grow with the index. Once `top_k`
//! hits are known, what a window's blocks can add at most decides (the `MaxScore` algorithm of Turtle and Flood, with the block maxima
//! of Ding and Suel):
//!
//! - If all terms together cannot reach the worst hit, the window is skipped.
//! - Terms that even together cannot reach it are optional: only records that have one of the others are candidates, the optional
//!   terms are looked up for those alone, and candidates are dropped as soon as the rest cannot lift them.
//!
//! Invariant: the score of a record is the sum of its products in the order of dimensions, in double precision, rounded once, whatever
//! was skipped. So pruning is invisible: a candidate that survives bounds (which allow for rounding) is scored anew in that order.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::postings::{Cursor, Postings};

/// Slots searched at a time: 32 KiB of accumulators stay in the nearest cache.
const WINDOW_SLOTS: u32 = 4_096;
const WINDOW: usize = WINDOW_SLOTS as usize;

/// Allowance for rounding in sums, relative to the magnitude of what is summed: over 1000 products, four times what can come up.
const SLACK: f64 = 1e-12;

/// One dimension of a query that some record has.
#[derive(Debug)]
pub(super) struct Term<'a> {
    weight: f64,
    postings: &'a Postings,
    cursor: Cursor<'a>,
    /// The most that it can add to the score of any record, and not less than nothing: a record need not have it.
    most: f64,
    /// The same within the window.
    window_most: f64,
}

impl<'a> Term<'a> {
    pub(super) fn new(weight: f64, postings: &'a Postings) -> Self {
        Self {
            weight,
            postings,
            cursor: postings.cursor(),
            most: postings.bounds().most(weight).max(0.0),
            window_most: 0.0,
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
    /// See [`SLACK`].
    slack: f64,
    accept: &'a mut dyn FnMut(u32) -> bool,
    tie: &'a dyn Fn(u32) -> u64,
}

impl Best<'_> {
    /// Whether no record of at most this score can be a hit. Equal scores can: the tie decides.
    fn is_hopeless(&self, score: f64) -> bool {
        match self.hits.peek() {
            Some(worst) if self.hits.len() == self.top_k => {
                rounded(score + self.slack) < worst.score
            }
            _ => false,
        }
    }

    fn is_full(&self) -> bool {
        self.hits.len() == self.top_k
    }

    /// Takes a record in if it is among the best and acceptable, which is asked last.
    fn offer(&mut self, slot: u32, score: f64) {
        let score = rounded(score);
        if !self.is_full() {
            if (self.accept)(slot) {
                let tie = (self.tie)(slot);
                self.hits.push(Hit { score, tie, slot });
            }
            return;
        }
        let Some(mut worst) = self.hits.peek_mut() else {
            return;
        };
        if score < worst.score {
            return;
        }
        let tie = (self.tie)(slot);
        let hit = Hit { score, tie, slot };
        if hit < *worst && (self.accept)(slot) {
            *worst = hit;
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
    touched: [u64; WINDOW / 64],
}

impl Window {
    fn zero() -> Self {
        let sums = vec![0.0; WINDOW].into_boxed_slice();
        Self {
            sums: sums.try_into().expect("the sums of a window are as many"),
            touched: [0; WINDOW / 64],
        }
    }

    /// Adds the postings of a term up to a slot, and moves past them.
    fn add(&mut self, term: &mut Term<'_>, last: u32) {
        let weight = term.weight;
        term.cursor.take_up_to(last, |posting| {
            let at = posting.slot as usize % WINDOW;
            self.sums[at] += weight * f64::from(posting.value);
            self.touched[at / 64] |= 1 << (at % 64);
        });
    }

    /// Hands out slots and sums in the order of slots, and zeroes them.
    fn drain(&mut self, base: u32, mut each: impl FnMut(u32, f64)) {
        for (word, bits) in (0..).zip(&mut self.touched) {
            while *bits != 0 {
                let slot = base + 64 * word + bits.trailing_zeros();
                *bits &= *bits - 1;
                let sum = &mut self.sums[slot as usize % WINDOW];
                each(slot, std::mem::take(sum));
            }
        }
    }
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
    let slack = SLACK * magnitudes.sum::<f64>();
    let mut best = Best {
        top_k,
        hits: BinaryHeap::new(),
        slack,
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
    // The weakest first, so that the optional ones are a prefix.
    let mut order: Vec<usize> = (0..terms.len()).collect();
    order.sort_by(|&left, &right| terms[left].most.total_cmp(&terms[right].most));
    let mut optional = 0;
    let mut optional_most = 0.0;
    let mut candidates = Vec::new();
    loop {
        // The worst hit only gets better, so a term once optional stays so.
        while let Some(&at) = order.get(optional)
            && best.is_hopeless(optional_most + terms[at].most)
        {
            optional_most += terms[at].most;
            optional += 1;
        }
        let needed = &order[optional..];
        let firsts = needed.iter().filter_map(|&at| terms[at].cursor.posting());
        let Some(first) = firsts.map(|posting| posting.slot).min() else {
            return;
        };
        let base = first - first % WINDOW_SLOTS;
        let last = base + (WINDOW_SLOTS - 1);
        let within = if best.is_full() {
            partition(terms, &order, best, first..=last)
        } else {
            Some((0, 0.0))
        };
        match within {
            None => {}
            Some((0, _)) => {
                for term in &mut *terms {
                    window.add(term, last);
                }
                window.drain(base, |slot, sum| best.offer(slot, sum));
            }
            Some((optional, most)) => {
                for &at in &order[optional..] {
                    window.add(&mut terms[at], last);
                }
                window.drain(base, |slot, sum| {
                    if !best.is_hopeless(sum + most) {
                        candidates.push((slot, sum));
                    }
                });
                lift(terms, &order[..optional], most, best, &mut candidates);
                for (slot, _) in candidates.drain(..) {
                    best.offer(slot, score(terms, slot));
                }
            }
        }
        let Some(next) = last.checked_add(1) else {
            return;
        };
        for &at in needed {
            terms[at].cursor.seek(next);
        }
    }
}

/// How many of the weakest terms are optional in a window, and what they can add together; nothing if all are.
fn partition(
    terms: &mut [Term<'_>],
    order: &[usize],
    best: &Best<'_>,
    window: std::ops::RangeInclusive<u32>,
) -> Option<(usize, f64)> {
    let mut optional = 0;
    let mut most = 0.0;
    let mut all = 0.0;
    for &at in order {
        let term = &mut terms[at];
        term.cursor.seek(*window.start());
        term.window_most = term.cursor.most_up_to(*window.end(), term.weight);
        all += term.window_most;
        if best.is_hopeless(all) {
            optional += 1;
            most = all;
        }
    }
    (optional < order.len()).then_some((optional, most))
}

/// Adds the optional terms to the candidates, the strongest first, and drops those that the rest cannot make hits.
fn lift(
    terms: &mut [Term<'_>],
    optional: &[usize],
    mut most: f64,
    best: &Best<'_>,
    candidates: &mut Vec<(u32, f64)>,
) {
    for &at in optional.iter().rev() {
        if candidates.is_empty() {
            return;
        }
        let term = &mut terms[at];
        most -= term.window_most;
        candidates.retain_mut(|(slot, sum)| {
            term.cursor.seek(*slot);
            match term.cursor.posting() {
                Some(posting) if posting.slot == *slot => {
                    *sum += term.weight * f64::from(posting.value);
                }
                _ => {}
            }
            !best.is_hopeless(*sum + most)
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
