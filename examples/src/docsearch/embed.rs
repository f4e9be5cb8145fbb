//! The built-in dense embedder: hashed sub-word random indexing, no model and no download.
//!
//! A word's vector is the sum of sparse random projections of its features: the word itself and its character n-grams of 3 to 5, with
//! marks at both ends. Words that share stems and spellings therefore lie near each other ("iterate", "iterator"), synonyms do not.
//! A text's vector is the sum over its distinct words, damped by the root of their count and by how common the word is in English and
//! in Rust documentation (smooth inverse frequency over a fixed table), divided by its length.
//!
//! Invariant: the vectors are stored, so equal text gives equal vectors in every version and on every machine; a golden value pins them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use upvector::DenseEmbedder;

use super::hash::hash64;

/// Components of every vector.
pub const DIMENSIONS: usize = 256;
/// Non-zero components that a feature contributes.
const SPARSITY: u32 = 7;
/// Weight of a word among its features, in the unit of one n-gram.
const WHOLE_WORD: i16 = 3;
/// Characters of a word that are looked at; what follows is cut off.
const WORD_CHARS_MAX: usize = 40;
/// Word vectors that one thread remembers, 8 MiB.
const REMEMBERED_MAX: usize = 1 << 15;
/// The smoothing constant of the inverse frequency.
const SMOOTHING: f32 = 2e-3;
/// The share of all words that a word takes which is not in the table.
const RARE: f32 = 1e-5;

/// The most common words, most common first; the share of the n-th is taken as 0.06 / n, as Zipf's law has it.
const COMMON: &str = "the a of to is in and for this that be if it an with as are or by value not from \
    will returns can on type at which when self use used function has new string into error trait \
    but all no one only its method given any number creates each example may data default have \
    does using you more return same than also set other first true false current must values because \
    implementation should some let so was we struct between e i s t g see called call like their there these then \
    provided without where";

/// What a word is scaled to: small enough that many stay in the processor's cache.
type WordVector = [i8; DIMENSIONS];

/// The embedder. Threads share it: each takes a memory of word vectors out of a pool while it works.
///
/// # Examples
///
/// ```
/// use examples::docsearch::WordHash;
/// use upvector::DenseEmbedder;
///
/// let embedder = WordHash::new();
/// let near = |a: &str, b: &str| -> f32 {
///     let (a, b) = (embedder.embed_document(a), embedder.embed_query(b));
///     a.iter().zip(&b).map(|(a, b)| a * b).sum()
/// };
/// assert!(near("an iterator over words", "iterate words") > 0.4);
/// assert!(near("an iterator over words", "close a socket") < 0.2);
/// ```
pub struct WordHash {
    common: HashMap<Box<str>, f32>,
    memories: Mutex<Vec<Memory>>,
}

impl fmt::Debug for WordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WordHash").finish_non_exhaustive()
    }
}

impl Default for WordHash {
    fn default() -> Self {
        Self::new()
    }
}

/// What one thread keeps between texts.
#[derive(Default)]
struct Memory {
    /// Where a word is in the three lists below.
    places: HashMap<Box<str>, u32>,
    vectors: Vec<WordVector>,
    rarities: Vec<f32>,
    /// How often the text at hand has the word.
    counts: Vec<f32>,
    /// The words of the text at hand in the order of their first occurrence.
    seen: Vec<u32>,
}

impl WordHash {
    /// An embedder of 256 dimensions.
    pub fn new() -> Self {
        let mut common = HashMap::new();
        for (rank, word) in (1_u16..).zip(COMMON.split_whitespace()) {
            common
                .entry(word.into())
                .or_insert_with(|| 0.06 / f32::from(rank));
        }
        Self {
            common,
            memories: Mutex::new(Vec::new()),
        }
    }

    fn pool(&self) -> MutexGuard<'_, Vec<Memory>> {
        // What a panicking thread held is lost with it, so the pool itself is whole.
        self.memories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DenseEmbedder for WordHash {
    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn embed_document(&self, text: &str) -> Vec<f32> {
        let taken = self.pool().pop();
        let mut memory = taken
            .filter(|memory| memory.vectors.len() <= REMEMBERED_MAX)
            .unwrap_or_default();
        for_each_word(text, |word| memory.count(&self.common, word));
        let vector = memory.sum();
        self.pool().push(memory);
        vector
    }
}

impl Memory {
    fn count(&mut self, common: &HashMap<Box<str>, f32>, word: &str) {
        let place = match self.places.get(word) {
            Some(place) => *place,
            None => self.learn(common, word),
        };
        let count = &mut self.counts[place as usize];
        if *count == 0.0 {
            self.seen.push(place);
        }
        *count += 1.0;
    }

    fn learn(&mut self, common: &HashMap<Box<str>, f32>, word: &str) -> u32 {
        let place = u32::try_from(self.vectors.len()).expect("a text has fewer than 2^32 words");
        let share = common.get(word).copied().unwrap_or(RARE);
        self.vectors.push(word_vector(word));
        self.rarities.push(SMOOTHING / (SMOOTHING + share));
        self.counts.push(0.0);
        self.places.insert(word.into(), place);
        place
    }

    /// The vector of the words counted since the last time.
    fn sum(&mut self) -> Vec<f32> {
        let mut sum = vec![0.0; DIMENSIONS];
        for place in self.seen.drain(..) {
            let place = place as usize;
            let count = std::mem::take(&mut self.counts[place]);
            // The square root damps as a logarithm does, and is exact on every machine.
            let weight = count.sqrt() * self.rarities[place];
            add(&mut sum, &self.vectors[place], weight);
        }
        let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
        if length > 0.0 {
            for x in &mut sum {
                *x /= length;
            }
        } else {
            // Cosine similarity needs a direction: a text without words gets the same one always.
            sum[0] = 1.0;
        }
        sum
    }
}

fn add(sum: &mut [f32], vector: &WordVector, weight: f32) {
    for (sum, x) in sum.iter_mut().zip(vector) {
        *sum += weight * f32::from(*x);
    }
}

/// Calls `f` for every run of letters and digits in lower case, and for the humps of one that is written `LikeThis`.
fn for_each_word(text: &str, mut f: impl FnMut(&str)) {
    let mut word = String::new();
    let mut humps: Vec<usize> = Vec::new();
    let mut after_lower = false;
    // The blank ends what is under way.
    for c in text.chars().chain(std::iter::once(' ')) {
        if c.is_alphanumeric() {
            if after_lower && c.is_uppercase() {
                humps.push(word.len());
            }
            after_lower = c.is_lowercase();
            if c.is_ascii() {
                word.push(c.to_ascii_lowercase());
            } else {
                word.extend(c.to_lowercase());
            }
            continue;
        }
        if !word.is_empty() {
            f(&word);
            if !humps.is_empty() {
                humps.push(word.len());
                let mut from = 0;
                for to in humps.drain(..) {
                    f(&word[from..to]);
                    from = to;
                }
            }
            word.clear();
        }
        after_lower = false;
    }
}

/// The sum of the projections of a word's features, scaled to a length of 127.
fn word_vector(word: &str) -> WordVector {
    let mut sum = [0_i16; DIMENSIONS];
    project(hash64(word.as_bytes()), WHOLE_WORD, &mut sum);
    let marked: Vec<char> = std::iter::once('<')
        .chain(word.chars().take(WORD_CHARS_MAX))
        .chain(std::iter::once('>'))
        .collect();
    let mut gram = String::new();
    for length in 3..=5 {
        for window in marked.windows(length) {
            gram.clear();
            gram.extend(window);
            project(hash64(gram.as_bytes()), 1, &mut sum);
        }
    }
    let squares = sum.iter().map(|x| f32::from(*x) * f32::from(*x));
    let length = squares.sum::<f32>().sqrt();
    let mut vector = [0; DIMENSIONS];
    if length > 0.0 {
        for (to, from) in vector.iter_mut().zip(sum) {
            #[expect(clippy::cast_possible_truncation, reason = "at most the length, 127")]
            let scaled = (f32::from(from) * 127.0 / length).round() as i8;
            *to = scaled;
        }
    }
    vector
}

/// Adds a feature's sparse random vector: 9 bits of the hash choose each component and its sign.
fn project(hash: u64, weight: i16, sum: &mut [i16; DIMENSIONS]) {
    for n in 0..SPARSITY {
        let bits = hash >> (9 * n);
        let sign = if bits & 0x100 == 0 { weight } else { -weight };
        sum[usize::from(bits.to_le_bytes()[0])] += sign;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        for_each_word(text, |word| words.push(word.to_owned()));
        words
    }

    #[test]
    fn identifiers_give_their_parts_too() {
        let wanted = ["a", "hashmap", "hash", "map", "s", "read", "to", "end"];
        assert_eq!(words("a HashMap's read_to_end"), wanted);
        assert_eq!(words("HTTP2 \u{c4}rger"), ["http2", "\u{e4}rger"]);
        assert!(words(" \t--!").is_empty());
    }

    #[test]
    fn vectors_have_length_one_and_do_not_depend_on_what_came_before() {
        let (fresh, used) = (WordHash::new(), WordHash::new());
        let emoji = "\u{1f600} \u{4f60}\u{597d}";
        for text in ["", "!", "x", "the the the", emoji, "Vec<T>::push appends"] {
            let vector = used.embed_document(text);
            let length: f32 = vector.iter().map(|x| x * x).sum();
            assert!((length - 1.0).abs() < 1e-4, "{text:?}: {length}");
            assert_eq!(vector, fresh.embed_query(text), "{text:?}");
            used.embed_document("something else push the");
        }
    }

    #[test]
    fn the_vectors_are_pinned() {
        let vector = WordHash::new().embed_document("Serializes a value to JSON");
        let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(hash64(&bytes), 0xa197_a61d_9dbc_214e);
    }

    #[test]
    fn the_memory_is_bounded() {
        let embedder = WordHash::new();
        for batch in 0..40 {
            let text: Vec<String> = (0..1_000).map(|n| format!("w{batch}x{n}")).collect();
            embedder.embed_document(&text.join(" "));
        }
        let pool = embedder.pool();
        let kept: usize = pool.iter().map(|memory| memory.vectors.len()).sum();
        assert!((1..=REMEMBERED_MAX + 1_000).contains(&kept), "{kept}");
    }
}
