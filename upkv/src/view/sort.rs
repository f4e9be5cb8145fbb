//! Sorting, with what is asked for added step by step.

use crate::db::Db;
use crate::error::Result;
use crate::keyspace::engine::Keys;
use crate::ops;
use crate::value::owned::Value;

/// A sort of the elements at one key; see [`Db::sort`].
///
/// # Examples
///
/// ```
/// let db = upkv::Db::mount(&upkv::Store::memory()?, "shop")?;
/// db.zset("cart").add_many([("lamp", 0.0), ("desk", 0.0), ("chair", 0.0)])?;
/// db.set_many([("price:lamp", "30"), ("price:desk", "90"), ("price:chair", "45")])?;
/// let dear = db.sort("cart").by("price:*").descending().limit(0, 2).run()?;
/// assert_eq!(dear[0].as_ref().expect("an element"), "desk");
/// let prices = db.sort("cart").by("price:*").get("price:*").run()?;
/// assert_eq!(prices[0].as_ref().expect("a price"), "30");
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Sort<'d> {
    db: &'d Db,
    key: Box<[u8]>,
    by: Option<Box<[u8]>>,
    limit: Option<(i64, i64)>,
    get: Vec<Box<[u8]>>,
    descending: bool,
    alpha: bool,
}

impl<'d> Sort<'d> {
    pub(crate) fn new(db: &'d Db, key: &[u8]) -> Self {
        Self {
            db,
            key: key.into(),
            by: None,
            limit: None,
            get: Vec::new(),
            descending: false,
            alpha: false,
        }
    }

    /// Sorts by the strings at keys that `pattern` names when its `*` is replaced by the element, or by a field
    /// of hashes if it ends in `->field`. A pattern without `*` leaves the order of the collection.
    pub fn by(mut self, pattern: impl AsRef<[u8]>) -> Self {
        self.by = Some(pattern.as_ref().into());
        self
    }

    /// Answers what `pattern` finds instead of the element, `#` being the element itself. Several patterns give
    /// several answers an element.
    pub fn get(mut self, pattern: impl AsRef<[u8]>) -> Self {
        self.get.push(pattern.as_ref().into());
        self
    }

    /// Skips elements and answers at most `count`. Default: all.
    pub fn limit(mut self, skip: usize, count: usize) -> Self {
        let signed = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.limit = Some((signed(skip), signed(count)));
        self
    }

    /// Highest first. Default: lowest first.
    pub fn descending(mut self) -> Self {
        self.descending = true;
        self
    }

    /// Compares bytes. Default: numbers.
    pub fn alpha(mut self) -> Self {
        self.alpha = true;
        self
    }

    fn how(&self) -> ops::sort::Sort<'_> {
        let mut how = ops::sort::Sort {
            limit: self.limit,
            get: self.get.iter().map(|pattern| &**pattern).collect(),
            descending: self.descending,
            alpha: self.alpha,
            ..ops::sort::Sort::default()
        };
        if let Some(pattern) = &self.by {
            how.by(pattern);
        }
        how
    }

    /// Sorts; `None` stands for what a pattern did not find.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`]; [`crate::Error::Refused`] if something to compare is no number;
    /// [`crate::Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(n log n) for n elements, and one look-up a pattern and element.
    pub fn run(&self) -> Result<Vec<Option<Value>>> {
        let (db, how) = (self.db, self.how());
        let found = db
            .engine
            .run(db.index, db.level, Keys::One(&self.key), |work| {
                ops::sort::sort(work, &self.key, &how)
            })?;
        Ok(found
            .into_iter()
            .map(|item| item.map(Value::from))
            .collect())
    }
}

impl Db {
    /// A sort of the elements at `key`.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// db.zset("tags").add_many([("b", 1.0), ("a", 2.0)])?;
    /// let tags = db.sort("tags").alpha().run()?;
    /// assert_eq!(tags[0].as_ref().expect("an element"), "a");
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn sort(&self, key: impl AsRef<[u8]>) -> Sort<'_> {
        Sort::new(self, key.as_ref())
    }
}
