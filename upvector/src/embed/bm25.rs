//! BM25 as a sparse embedder.

use super::SparseEmbedder;
use super::tokenize::{Terms, terms};
use crate::error::{Error, Result};
use crate::sparse::SparseVector;

/// Embeds English text by the words in it, so that the inner product under [`Weighting::Idf`](crate::Weighting::Idf) is its BM25 score.
///
/// A text is lower-cased and split at what is neither a letter nor a digit; stop words are dropped, the rest stemmed (Porter2). A
/// dimension is a 32-bit hash of the stem. In a document it weighs
/// `f * (k1 + 1) / (f + k1 * (1 - b + b * length / average_length))`, with `f` the times the stem occurs and `length` the words of the
/// text; in a query it weighs `f`. The inverse document frequency is left to the query's weighting, so that it follows what is stored.
///
/// Of a text with more than 1000 distinct stems the 1000 that weigh most are kept.
///
/// The parameters shape what is stored: an index keeps those it was filled with.
///
/// # Examples
///
/// ```
/// use upvector::{Bm25, SparseEmbedder};
/// let embedder = Bm25::english().average_length(100.0)?;
/// let document = embedder.embed_document("Computing machinery and intelligence, and machines");
/// let query = embedder.embed_query("machine");
/// assert_eq!(document.len(), 4);
/// assert_eq!(query.values(), [1.0]);
/// # Ok::<(), upvector::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Bm25 {
    k1: f32,
    b: f32,
    average_length: f32,
}

impl Bm25 {
    /// For English, with `k1` 1.2, `b` 0.75 and an average length of 32 words.
    pub fn english() -> Self {
        Self {
            k1: 1.2,
            b: 0.75,
            average_length: 32.0,
        }
    }

    /// How slowly the weight of a word saturates as it recurs: 0 is at once. The default is 1.2.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if it is negative or not finite.
    pub fn k1(self, k1: f32) -> Result<Self> {
        check("k1", k1, k1 >= 0.0 && k1.is_finite())?;
        Ok(Self { k1, ..self })
    }

    /// How much the length of a text counts against its words: from 0, not at all, to 1. The default is 0.75.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] outside of 0 to 1.
    pub fn b(self, b: f32) -> Result<Self> {
        check("b", b, (0.0..=1.0).contains(&b))?;
        Ok(Self { b, ..self })
    }

    /// The length, in words without stop words, at which length counts neither for nor against. The default is 32.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if it is not positive or not finite.
    pub fn average_length(self, words: f32) -> Result<Self> {
        check("average length", words, words > 0.0 && words.is_finite())?;
        Ok(Self {
            average_length: words,
            ..self
        })
    }
}

fn check(what: &str, value: f32, holds: bool) -> Result<()> {
    if holds {
        Ok(())
    } else {
        Err(Error::invalid(format!("BM25 cannot have {what} {value}")))
    }
}

impl Default for Bm25 {
    fn default() -> Self {
        Self::english()
    }
}

impl SparseEmbedder for Bm25 {
    fn embed_document(&self, text: &str) -> SparseVector {
        let Terms { counts, length } = terms(text);
        let (k1, b) = (f64::from(self.k1), f64::from(self.b));
        let relative = f64::from(length) / f64::from(self.average_length);
        let dampening = k1 * (1.0 - b + b * relative);
        vector(counts, |count| count * (k1 + 1.0) / (count + dampening))
    }

    fn embed_query(&self, text: &str) -> SparseVector {
        vector(terms(text).counts, |count| count)
    }
}

fn vector(mut counts: Vec<(i32, u32)>, weight: impl Fn(f64) -> f64) -> SparseVector {
    // Weight rises with the count, so the counts decide which weigh most.
    if counts.len() > SparseVector::ENTRIES_MAX {
        counts.sort_by_key(|&(dimension, count)| (std::cmp::Reverse(count), dimension));
        counts.truncate(SparseVector::ENTRIES_MAX);
        counts.sort_unstable();
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "vectors carry single precision"
    )]
    let entries = counts
        .into_iter()
        .map(|(dimension, count)| (dimension, weight(f64::from(count)) as f32));
    let (indices, values): (Vec<_>, Vec<_>) = entries.unzip();
    SparseVector::new(indices, values).expect("weights are finite and at most as many as allowed")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored vectors depend on every step before them.
    #[test]
    fn vectors_are_pinned() {
        let embedder = Bm25::english();
        let document = embedder.embed_document("The walls of Troy; the wall's towers.");
        assert_eq!(
            document.indices(),
            [144_071_538, 1_869_668_634, 1_946_547_886]
        );
        // Four words of which one is there twice; the dampening is 1.2 * (0.25 + 0.75 * 4 / 32).
        let (once, twice) = (2.2 / 1.4125, 4.4 / 2.4125);
        for (found, expected) in document.values().iter().zip([once, once, twice]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        let query = embedder.embed_query("WALL walls tower");
        assert_eq!(query.indices(), [144_071_538, 1_946_547_886]);
        assert_eq!(query.values(), [1.0, 2.0]);
    }

    #[test]
    fn weights_follow_the_formula() {
        let embedder = Bm25::english().k1(2.0).unwrap().b(0.5).unwrap();
        let embedder = embedder.average_length(4.0).unwrap();
        let one = embedder.embed_document("wall");
        let expected = 3.0 / (1.0 + 2.0 * (0.5 + 0.5 / 4.0));
        assert!((one.values()[0] - expected).abs() < 1e-6);
        let binary = embedder.k1(0.0).unwrap().embed_document("wall wall tower");
        assert_eq!(binary.values(), [1.0, 1.0]);
        assert!(Bm25::default().embed_document("").is_empty());
    }

    #[test]
    fn the_heaviest_stems_of_long_texts_are_kept() {
        let once = (0..2_000).map(|number| format!("n{number} "));
        let twice = (0..900).map(|number| format!("t{number} t{number} "));
        let text: String = once.chain(twice).collect();
        let query = Bm25::english().embed_query(&text);
        assert_eq!(query.len(), 1_000);
        let (once, twice): (Vec<f32>, Vec<f32>) =
            query.values().iter().partition(|one| **one < 2.0);
        assert_eq!((once.len(), twice.len()), (100, 900));
        assert!(query.indices().is_sorted());
        assert_eq!(
            Bm25::english().embed_document(&text).indices(),
            query.indices()
        );
    }

    #[test]
    fn bad_parameters_are_named() {
        let embedder = Bm25::english();
        for (result, message) in [
            (embedder.clone().k1(-1.0), "BM25 cannot have k1 -1"),
            (embedder.clone().b(1.5), "BM25 cannot have b 1.5"),
            (embedder.clone().b(f32::NAN), "BM25 cannot have b NaN"),
            (
                embedder.average_length(0.0),
                "BM25 cannot have average length 0",
            ),
        ] {
            assert_eq!(result.unwrap_err().to_string(), message);
        }
    }
}
