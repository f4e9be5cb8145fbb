//! The language of metadata filters.
//!
//! A filter is predicates over paths, joined by `AND` (binds tighter) and `OR`, grouped by parentheses:
//!
//! | predicate | true for |
//! |---|---|
//! | `path = x`, `path != x` | strings, numbers (`1` equals `1.0`), booleans |
//! | `path < n`, `<=`, `>`, `>=` | numbers |
//! | `path GLOB 'p'`, `NOT GLOB` | strings that match whole: `*` any run, `?` one character, `[a-z]`, `[^a-z]` |
//! | `path IN (x, y)`, `NOT IN` | strings, numbers, booleans |
//! | `path CONTAINS x`, `NOT CONTAINS` | arrays with an element equal to `x` |
//! | `HAS FIELD path`, `HAS NOT FIELD path` | anything, `null` included |
//!
//! A path is `key.key[0][#-1]`, where `[#-1]` is the last element; keys are letters, digits, `_`, `-` and `#`. Literals are numbers,
//! strings in single or double quotes (a quote inside is written twice), `true` and `false`; `1` and `0` equal booleans too. Keywords
//! are taken in any case and name no field at the start of a path.
//!
//! A path that leads nowhere makes every predicate false except `HAS NOT FIELD`. A value of a type that an operator does not cover
//! makes the plain form false and the negated form (`!=`, `NOT ...`) true.

mod ast;
mod eval;
mod glob;
mod lexer;
mod parser;
#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use crate::metadata::Metadata;

use self::ast::Node;

/// Most bytes of a filter's text.
const BYTES_MAX: u32 = 8 << 10;

/// A condition on metadata.
///
/// # Examples
///
/// ```
/// use upvector::{Metadata, filter::Filter};
/// let filter = Filter::parse("year >= 1936 AND (lang = 'en' OR tags[#-1] GLOB 'logic*')")?;
/// let metadata = Metadata::from_json(br#"{"year": 1936, "tags": ["machines", "logics"]}"#)?;
/// assert!(filter.matches(Some(&metadata)));
/// assert!(!filter.matches(None));
/// let error = Filter::parse("year >= ").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "filter at byte 8: expected a number, a string, true or false, found the end of the filter"
/// );
/// # Ok::<(), upvector::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Filter(Option<Node>);

impl Filter {
    /// Reads a filter. A blank text is the filter that everything meets.
    ///
    /// # Errors
    ///
    /// [`Error::Filter`] with the byte position if the text is not of the language or its groups nest over 64 deep;
    /// [`Error::TooLarge`] over 8 KiB.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > BYTES_MAX as usize {
            return Err(Error::too_large("filter bytes", text.len(), BYTES_MAX));
        }
        parser::parse(text).map(Self)
    }

    /// Whether a record with this metadata meets the filter.
    ///
    /// # Complexity
    ///
    /// Linear in the predicates; each is a path lookup and its test. A list of `IN` is searched in logarithmic time; `GLOB` takes time
    /// proportional to the string times a 64th of the pattern.
    pub fn matches(&self, metadata: Option<&Metadata>) -> bool {
        self.0
            .as_ref()
            .is_none_or(|node| eval::matches(node, metadata))
    }

    /// Whether this is the filter of a blank text, which everything meets.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}
