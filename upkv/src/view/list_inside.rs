//! Elements inside a list: reading several, finding, and putting in between.

use super::{List, ListEnd, Target};
use crate::error::Result;
use crate::ops;
use crate::ops::list::End;
use crate::value::list::{self as held, Entry};
use crate::value::owned::Value;

impl<T: Target> List<'_, T> {
    /// Elements from position `from` to `to` inclusive; negative positions count from the back.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`], [`crate::Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(nodes before the first + elements).
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::ListEnd;
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "jobs")?;
    /// let list = db.list("list");
    /// list.push_back_many(["a", "b", "a"])?;
    /// assert_eq!(list.range(-2, -1)?, ["b", "a"]);
    /// assert_eq!(list.positions("a", ListEnd::Back, 1)?, [2]);
    /// assert_eq!(list.insert_before("b", "x")?, Some(4));
    /// assert_eq!(list.insert_after("none", "x")?, None);
    /// assert_eq!(db.list("new").push_back_if_present("x")?, None);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn range(&self, from: i64, to: i64) -> Result<Vec<Value>> {
        self.target.run(&self.key, false, |work| {
            let Some(list) = work.read::<held::List>(&self.key)? else {
                return Ok(Vec::new());
            };
            let elements = list.iter(ops::list::range(list.len(), from, to));
            Ok(elements.map(|element| Value::copy(&element)).collect())
        })
    }

    /// Where an element is, counted from the front: its first `count` places as seen from one end, in that order; all with 0.
    ///
    /// # Errors
    ///
    /// As [`List::range`].
    ///
    /// # Complexity
    ///
    /// O(elements) up to the last place that is told.
    pub fn positions(
        &self,
        element: impl AsRef<[u8]>,
        from: ListEnd,
        count: usize,
    ) -> Result<Vec<usize>> {
        let element = element.as_ref();
        let count = if count == 0 { usize::MAX } else { count };
        self.target.run(&self.key, false, |work| {
            let Some(list) = work.read::<held::List>(&self.key)? else {
                return Ok(Vec::new());
            };
            let places = list.positions(&Entry::new(element), from == ListEnd::Front, usize::MAX);
            Ok(places.into_iter().take(count).collect())
        })
    }

    /// Puts an element before the first one that equals `pivot`; the new length, or `None` if there is no such element.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`], [`crate::Error::TooLarge`], [`crate::Error::OutOfMemory`], [`crate::Error::Storage`].
    ///
    /// # Complexity
    ///
    /// O(elements before the pivot).
    pub fn insert_before(
        &self,
        pivot: impl AsRef<[u8]>,
        element: impl AsRef<[u8]>,
    ) -> Result<Option<usize>> {
        self.insert(true, pivot.as_ref(), element.as_ref())
    }

    /// As [`List::insert_before`], after that element.
    ///
    /// # Errors
    ///
    /// As [`List::insert_before`].
    ///
    /// # Complexity
    ///
    /// As [`List::insert_before`].
    pub fn insert_after(
        &self,
        pivot: impl AsRef<[u8]>,
        element: impl AsRef<[u8]>,
    ) -> Result<Option<usize>> {
        self.insert(false, pivot.as_ref(), element.as_ref())
    }

    fn insert(&self, before: bool, pivot: &[u8], element: &[u8]) -> Result<Option<usize>> {
        self.target.run(&self.key, true, |work| {
            let len = ops::list::insert(work, &self.key, before, pivot, element)?;
            // 0 without the key, -1 without the pivot.
            Ok(usize::try_from(len).ok().filter(|len| *len > 0))
        })
    }

    /// Pushes an element before all others if there is a list; the new length, or `None` without one.
    ///
    /// # Errors
    ///
    /// As [`List::insert_before`].
    pub fn push_front_if_present(&self, element: impl AsRef<[u8]>) -> Result<Option<usize>> {
        self.push_if_present(End::Front, element.as_ref())
    }

    /// Pushes an element after all others if there is a list; the new length, or `None` without one.
    ///
    /// # Errors
    ///
    /// As [`List::insert_before`].
    pub fn push_back_if_present(&self, element: impl AsRef<[u8]>) -> Result<Option<usize>> {
        self.push_if_present(End::Back, element.as_ref())
    }

    fn push_if_present(&self, end: End, element: &[u8]) -> Result<Option<usize>> {
        self.target.run(&self.key, true, |work| {
            let len = ops::list::push(work, &self.key, end, [element], false)?;
            Ok((len > 0).then_some(len))
        })
    }
}
