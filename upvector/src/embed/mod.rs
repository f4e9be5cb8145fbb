//! Text to vectors: the traits a host implements, and the BM25 embedder that is built in.
//!
//! Invariant: the vectors of [`Bm25`] are part of the file format, since they are stored; golden values pin them.

mod bm25;
mod stem;
mod stop_words;
mod tokenize;

pub use self::bm25::Bm25;
use crate::sparse::SparseVector;

/// Makes dense vectors of text, with a model that the host brings.
///
/// # Examples
///
/// ```
/// use upvector::DenseEmbedder;
///
/// /// Counts letters and digits, which is enough for a page that explains the trait.
/// struct Counts;
///
/// impl DenseEmbedder for Counts {
///     fn dimensions(&self) -> usize {
///         2
///     }
///     fn embed_document(&self, text: &str) -> Vec<f32> {
///         let count = |of: fn(char) -> bool| text.chars().filter(|one| of(*one)).count() as f32;
///         vec![count(char::is_alphabetic), count(char::is_numeric)]
///     }
/// }
///
/// assert_eq!(Counts.embed_document("up 2.0"), [2.0, 2.0]);
/// assert_eq!(Counts.embed_query("up"), [2.0, 0.0]);
/// ```
pub trait DenseEmbedder: Send + Sync {
    /// Components of every vector this makes.
    fn dimensions(&self) -> usize;

    /// The vector of a text to store.
    fn embed_document(&self, text: &str) -> Vec<f32>;

    /// The vector of a text to search for. The same as for a document unless the model distinguishes them.
    fn embed_query(&self, text: &str) -> Vec<f32> {
        self.embed_document(text)
    }
}

/// Makes sparse vectors of text: [`Bm25`], or a model that the host brings.
///
/// # Examples
///
/// ```
/// use upvector::{Bm25, SparseEmbedder};
/// let embedder: &dyn SparseEmbedder = &Bm25::english();
/// assert_eq!(
///     embedder.embed_query("the walls").indices(),
///     embedder.embed_query("a wall").indices(),
/// );
/// ```
pub trait SparseEmbedder: Send + Sync {
    /// The vector of a text to store.
    fn embed_document(&self, text: &str) -> SparseVector;

    /// The vector of a text to search for. The same as for a document unless the model distinguishes them.
    fn embed_query(&self, text: &str) -> SparseVector {
        self.embed_document(text)
    }
}
