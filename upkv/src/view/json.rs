//! The JSON view.

use super::Target;
use crate::error::{Error, Result};
use crate::ops::json as ops;
use crate::options::Condition;
use crate::value::json::parse::parse;
use crate::value::json::path::Path;
use crate::value::json::print::{Printer, Style};
use crate::value::json::select::Matches;
use crate::value::json::{self, Node};

/// The JSON document at one key.
///
/// Values go in and come out as JSON text. Paths are `JSONPath` (`$.a[0]`, `$..name`, `$.l[?(@.price < 10)]`),
/// which work on every match, or the older form (`.a[0]`, `a[0]`), which works on the first match. Methods
/// that answer with a list have one answer a match, with `None` where the value there is of another type.
/// `n` below is the size of the document.
///
/// # Examples
///
/// ```
/// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
/// let user = db.json("user:1");
/// user.set("$", r#"{"name":"ada","visits":1,"tags":["a"]}"#)?;
/// assert_eq!(user.incr("$.visits", "2")?, [Some("3".to_string())]);
/// assert_eq!(user.push("$.tags", [r#""b""#])?, [Some(2)]);
/// user.merge("$", r#"{"name":null,"city":"London"}"#)?;
/// assert_eq!(user.get(".")?.expect("set above"), r#"{"visits":3,"tags":["a","b"],"city":"London"}"#);
/// assert_eq!(user.get("$..tags[-1]")?.expect("set above"), r#"["b"]"#);
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Json<'t, T: Target> {
    target: &'t T,
    key: Box<[u8]>,
}

fn path(text: impl AsRef<str>) -> Result<Path> {
    Path::parse(text.as_ref().as_bytes())
}

fn value(text: impl AsRef<str>) -> Result<Node> {
    parse(text.as_ref().as_bytes())
}

fn values<V: AsRef<str>>(texts: impl IntoIterator<Item = V>) -> Result<Vec<Node>> {
    texts.into_iter().map(value).collect()
}

fn texts(answers: ops::Answers<Node>) -> Vec<Option<String>> {
    let text = |answer: Option<Node>| answer.map(|node| node.to_text());
    answers.into_iter().map(text).collect()
}

impl<'t, T: Target> Json<'t, T> {
    pub(crate) fn new(target: &'t T, key: &[u8]) -> Self {
        Self {
            target,
            key: key.into(),
        }
    }

    fn read<R>(&self, text: impl AsRef<str>, answer: impl Fn(&Node) -> R) -> Result<Vec<R>> {
        let path = path(text)?;
        self.target.run(&self.key, false, |work| {
            let found = ops::read(work, &self.key, &path, &answer)?;
            Ok(found.unwrap_or_default())
        })
    }

    fn put(&self, at: impl AsRef<str>, text: impl AsRef<str>, how: Condition) -> Result<bool> {
        let (path, value) = (path(at)?, value(text)?);
        self.target.run(&self.key, true, |work| {
            ops::set(work, &self.key, &path, &value, how)
        })
    }

    /// Sets every value that a path matches, or adds the one member that is missing; `$` is the whole
    /// document. O(n).
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the path or the text is malformed, or if there is no object to add the member
    /// to; [`Error::WrongType`], [`Error::TooLarge`], [`Error::OutOfMemory`], [`Error::Storage`].
    pub fn set(&self, path: impl AsRef<str>, json: impl AsRef<str>) -> Result<()> {
        self.put(path, json, Condition::Always).map(drop)
    }

    /// As [`Json::set`] if the path matches nothing; whether it was set.
    ///
    /// # Errors
    ///
    /// As [`Json::set`].
    pub fn set_if_absent(&self, path: impl AsRef<str>, json: impl AsRef<str>) -> Result<bool> {
        self.put(path, json, Condition::IfAbsent)
    }

    /// As [`Json::set`] if the path matches something; whether it was set.
    ///
    /// # Errors
    ///
    /// As [`Json::set`].
    pub fn set_if_present(&self, path: impl AsRef<str>, json: impl AsRef<str>) -> Result<bool> {
        self.put(path, json, Condition::IfPresent)
    }

    /// What a path matches, as text: an array for a `JSONPath`, the first match for the older form. `None`
    /// without a document, and without a first match. O(n).
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the path is malformed; [`Error::WrongType`], [`Error::TooLarge`],
    /// [`Error::Storage`].
    pub fn get(&self, path: impl AsRef<str>) -> Result<Option<String>> {
        let path = self::path(path)?;
        self.target.run(&self.key, false, |work| {
            let Some(json) = work.read::<json::Json>(&self.key)? else {
                return Ok(None);
            };
            let found = Matches::of(json.root(), &path)?;
            let mut printer = Printer::new(Style::default());
            match (path.legacy, found.nodes().next()) {
                (true, None) => return Ok(None),
                (true, Some(node)) => printer.node(node)?,
                (false, _) => printer.array(found.nodes())?,
            }
            Ok(Some(printer.into_text()))
        })
    }

    /// The types of what a path matches: `object`, `array`, `string`, `integer`, `number`, `boolean`, `null`.
    /// O(n).
    ///
    /// # Errors
    ///
    /// As [`Json::get`].
    pub fn kinds(&self, path: impl AsRef<str>) -> Result<Vec<&'static str>> {
        self.read(path, Node::kind)
    }

    /// The number of elements of arrays and members of objects, and the bytes of texts. O(n).
    ///
    /// # Errors
    ///
    /// As [`Json::get`].
    pub fn lens(&self, path: impl AsRef<str>) -> Result<Vec<Option<usize>>> {
        self.read(path, |node| match node {
            Node::Text(text) => Some(text.len()),
            Node::Array(_) | Node::Object(_) => Some(node.children()),
            _ => None,
        })
    }

    /// The names of objects' members, in order. O(n).
    ///
    /// # Errors
    ///
    /// As [`Json::get`].
    pub fn names(&self, path: impl AsRef<str>) -> Result<Vec<Option<Vec<String>>>> {
        self.read(path, |node| match node {
            Node::Object(object) => Some(object.iter().map(|(name, _)| name.into()).collect()),
            _ => None,
        })
    }

    /// Where a value is in arrays; `Some(None)` if it is not in one. O(n).
    ///
    /// # Errors
    ///
    /// As [`Json::get`]; [`Error::Refused`] if the text is malformed.
    pub fn index_of(
        &self,
        path: impl AsRef<str>,
        json: impl AsRef<str>,
    ) -> Result<Vec<Option<Option<usize>>>> {
        let (path, value) = (self::path(path)?, value(json)?);
        self.target.run(&self.key, false, |work| {
            let found = ops::index_of(work, &self.key, &path, &value, 0, 0)?;
            Ok(found.unwrap_or_default())
        })
    }

    /// Merges a patch into what a path matches (RFC 7396): members are set, null removes them, objects
    /// merge. Creates the document if the path is `$`. O(n).
    ///
    /// # Errors
    ///
    /// As [`Json::set`].
    pub fn merge(&self, path: impl AsRef<str>, json: impl AsRef<str>) -> Result<()> {
        let (path, value) = (self::path(path)?, value(json)?);
        self.target.run(&self.key, true, |work| {
            ops::merge(work, &self.key, &path, &value)
        })
    }

    /// Removes what a path matches; the number of values. `$` removes the key. O(n).
    ///
    /// # Errors
    ///
    /// As [`Json::get`].
    pub fn remove(&self, path: impl AsRef<str>) -> Result<usize> {
        let path = self::path(path)?;
        self.target
            .run(&self.key, false, |work| ops::remove(work, &self.key, &path))
    }

    /// Empties containers and sets numbers to 0; the number of values that changed. O(n).
    ///
    /// # Errors
    ///
    /// As [`Json::get`]; [`Error::Refused`] without a document.
    pub fn clear(&self, path: impl AsRef<str>) -> Result<usize> {
        let path = self::path(path)?;
        self.target
            .run(&self.key, false, |work| ops::clear(work, &self.key, &path))
    }

    /// Adds to numbers; the sums, as text with all digits. Integers stay integers. O(n).
    ///
    /// # Errors
    ///
    /// As [`Json::set`]; [`Error::Refused`] without a document, if `number` is none or a sum is not finite;
    /// [`Error::Overflow`].
    pub fn incr(
        &self,
        path: impl AsRef<str>,
        number: impl AsRef<str>,
    ) -> Result<Vec<Option<String>>> {
        let (path, number) = (self::path(path)?, value(number)?);
        self.target.run(&self.key, true, |work| {
            ops::plus(work, &self.key, &path, &number).map(texts)
        })
    }

    /// Multiplies numbers; the products, as text with all digits. O(n).
    ///
    /// # Errors
    ///
    /// As [`Json::incr`].
    pub fn multiply(
        &self,
        path: impl AsRef<str>,
        number: impl AsRef<str>,
    ) -> Result<Vec<Option<String>>> {
        let (path, number) = (self::path(path)?, value(number)?);
        self.target.run(&self.key, true, |work| {
            ops::multiply(work, &self.key, &path, &number).map(texts)
        })
    }

    /// Appends to texts; their lengths in bytes. `suffix` is plain text, not JSON. O(n).
    ///
    /// # Errors
    ///
    /// As [`Json::set`]; [`Error::Refused`] without a document.
    pub fn append(
        &self,
        path: impl AsRef<str>,
        suffix: impl AsRef<str>,
    ) -> Result<Vec<Option<usize>>> {
        let (path, suffix) = (self::path(path)?, suffix.as_ref());
        if suffix.len() > crate::value::STRING_BYTES_MAX {
            return Err(Error::TooLarge);
        }
        self.target.run(&self.key, true, |work| {
            ops::append_text(work, &self.key, &path, suffix)
        })
    }

    /// Turns truth values around; the new ones. O(n).
    ///
    /// # Errors
    ///
    /// As [`Json::append`].
    pub fn toggle(&self, path: impl AsRef<str>) -> Result<Vec<Option<bool>>> {
        let path = self::path(path)?;
        self.target
            .run(&self.key, true, |work| ops::toggle(work, &self.key, &path))
    }

    /// Appends values to arrays; their lengths. O(n).
    ///
    /// # Errors
    ///
    /// As [`Json::append`].
    pub fn push<V: AsRef<str>>(
        &self,
        path: impl AsRef<str>,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Vec<Option<usize>>> {
        let (path, values) = (self::path(path)?, self::values(values)?);
        self.target.run(&self.key, true, |work| {
            ops::push(work, &self.key, &path, &values)
        })
    }

    /// Inserts values into arrays before a position, which may count from the end; their lengths. O(n).
    ///
    /// # Errors
    ///
    /// As [`Json::append`]; [`Error::Refused`] if the position is outside of one of the arrays.
    pub fn insert<V: AsRef<str>>(
        &self,
        path: impl AsRef<str>,
        position: i64,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Vec<Option<usize>>> {
        let (path, values) = (self::path(path)?, self::values(values)?);
        self.target.run(&self.key, true, |work| {
            ops::splice(work, &self.key, &path, position, &values)
        })
    }

    /// Removes one element of arrays, at a position that may count from the end and is moved to the nearest
    /// end; the elements as text, `None` also for an empty array. O(n).
    ///
    /// # Errors
    ///
    /// As [`Json::clear`].
    pub fn pop(&self, path: impl AsRef<str>, position: i64) -> Result<Vec<Option<String>>> {
        let path = self::path(path)?;
        self.target.run(&self.key, false, |work| {
            let popped = ops::pop(work, &self.key, &path, position)?;
            Ok(popped.into_iter().map(Option::flatten).collect())
        })
    }

    /// Keeps the elements of arrays from `first` to `last`, both included, which may count from the end;
    /// the lengths afterwards. O(n).
    ///
    /// # Errors
    ///
    /// As [`Json::clear`].
    pub fn trim(&self, path: impl AsRef<str>, first: i64, last: i64) -> Result<Vec<Option<usize>>> {
        let path = self::path(path)?;
        self.target.run(&self.key, false, |work| {
            ops::trim(work, &self.key, &path, first, last)
        })
    }
}
