//! The list view.

use std::collections::VecDeque;

use super::Target;
use crate::error::Result;
use crate::keyspace::quick::Quick;
use crate::ops;
use crate::ops::list::End;
use crate::value::list as held;
use crate::value::owned::Value;

/// Elements read per step of an iterator.
const PAGE_ELEMENTS: usize = 256;

/// One end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListEnd {
    /// Where position 0 is.
    Front,
    /// Where position -1 is.
    Back,
}

impl ListEnd {
    /// The word of commands for it.
    pub(super) fn word(self) -> &'static [u8] {
        match self {
            Self::Front => b"LEFT",
            Self::Back => b"RIGHT",
        }
    }

    fn held(self) -> End {
        match self {
            Self::Front => End::Front,
            Self::Back => End::Back,
        }
    }
}

/// The list at one key: elements in order, pushed and taken at both ends in O(1).
///
/// Positions count from 0 at the front; negative ones from -1 at the back.
///
/// # Examples
///
/// ```
/// let db = upkv::Db::mount(&upkv::Store::memory()?, "jobs")?;
/// let jobs = db.list("jobs");
/// jobs.push_back("first")?;
/// jobs.push_back_many(["second", "third"])?;
/// assert_eq!(jobs.pop_front()?.expect("pushed above"), "first");
/// assert_eq!(jobs.get(-1)?.expect("pushed above"), "third");
/// assert_eq!(jobs.len()?, 2);
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct List<'t, T: Target> {
    pub(super) target: &'t T,
    pub(super) key: Box<[u8]>,
}

impl<'t, T: Target> List<'t, T> {
    pub(crate) fn new(target: &'t T, key: &[u8]) -> Self {
        Self {
            target,
            key: key.into(),
        }
    }

    fn push<E: AsRef<[u8]>>(
        &self,
        end: End,
        elements: impl IntoIterator<Item = E>,
    ) -> Result<usize> {
        let owned: Vec<E> = elements.into_iter().collect();
        let elements = || owned.iter().map(AsRef::as_ref);
        let push = |work: &mut Quick<'_>| ops::list::push(work, &self.key, end, elements(), true);
        if let Some(len) = self.target.run_quickly(&self.key, push)? {
            return Ok(len);
        }
        self.target.run(&self.key, true, |work| {
            ops::list::push(work, &self.key, end, elements(), true)
        })
    }

    /// Pushes an element before all others; the new length.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`], [`crate::Error::TooLarge`], [`crate::Error::OutOfMemory`],
    /// [`crate::Error::Storage`].
    pub fn push_front(&self, element: impl AsRef<[u8]>) -> Result<usize> {
        self.push(End::Front, [element])
    }

    /// Pushes an element after all others; the new length.
    ///
    /// # Errors
    ///
    /// As [`List::push_front`].
    pub fn push_back(&self, element: impl AsRef<[u8]>) -> Result<usize> {
        self.push(End::Back, [element])
    }

    /// Pushes elements at the front one after the other, so the last one is first; the new length.
    ///
    /// # Errors
    ///
    /// As [`List::push_front`].
    pub fn push_front_many<E: AsRef<[u8]>>(
        &self,
        elements: impl IntoIterator<Item = E>,
    ) -> Result<usize> {
        self.push(End::Front, elements)
    }

    /// Pushes elements at the back in their order; the new length.
    ///
    /// # Errors
    ///
    /// As [`List::push_front`].
    pub fn push_back_many<E: AsRef<[u8]>>(
        &self,
        elements: impl IntoIterator<Item = E>,
    ) -> Result<usize> {
        self.push(End::Back, elements)
    }

    fn pop(&self, end: End, count: usize) -> Result<Vec<Value>> {
        let taken = self.target.run(&self.key, false, |work| {
            ops::list::pop(work, &self.key, end, count)
        })?;
        let value = |element: Box<[u8]>| Value::from(Vec::from(element));
        Ok(taken.unwrap_or_default().into_iter().map(value).collect())
    }

    /// Takes the first element. The key disappears with its last one.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`], [`crate::Error::Storage`].
    pub fn pop_front(&self) -> Result<Option<Value>> {
        Ok(self.pop(End::Front, 1)?.pop())
    }

    /// Takes the last element. The key disappears with its last one.
    ///
    /// # Errors
    ///
    /// As [`List::pop_front`].
    pub fn pop_back(&self) -> Result<Option<Value>> {
        Ok(self.pop(End::Back, 1)?.pop())
    }

    /// Takes up to `count` elements from the front, first one first.
    ///
    /// # Errors
    ///
    /// As [`List::pop_front`].
    pub fn pop_front_many(&self, count: usize) -> Result<Vec<Value>> {
        self.pop(End::Front, count)
    }

    /// Takes up to `count` elements from the back, last one first.
    ///
    /// # Errors
    ///
    /// As [`List::pop_front`].
    pub fn pop_back_many(&self, count: usize) -> Result<Vec<Value>> {
        self.pop(End::Back, count)
    }

    /// Number of elements.
    ///
    /// # Errors
    ///
    /// As [`List::pop_front`].
    pub fn len(&self) -> Result<usize> {
        self.target.run(&self.key, false, |work| {
            let list = work.read::<held::List>(&self.key)?;
            Ok(list.map_or(0, held::List::len))
        })
    }

    /// Whether there are no elements, that is, no such key.
    ///
    /// # Errors
    ///
    /// As [`List::pop_front`].
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The element at a position.
    ///
    /// # Errors
    ///
    /// As [`List::pop_front`].
    ///
    /// # Complexity
    ///
    /// O(n) in blocks of 8 KiB.
    pub fn get(&self, index: i64) -> Result<Option<Value>> {
        self.target.run(&self.key, false, |work| {
            let Some(list) = work.read::<held::List>(&self.key)? else {
                return Ok(None);
            };
            let at = ops::list::position(list.len(), index);
            let element = at.and_then(|at| list.get(at));
            Ok(element.map(|element| Value::copy(&element)))
        })
    }

    /// Replaces the element at a position.
    ///
    /// # Errors
    ///
    /// As [`List::push_front`]; [`crate::Error::Refused`] where there is none.
    pub fn set(&self, index: i64, element: impl AsRef<[u8]>) -> Result<()> {
        let element = element.as_ref();
        self.target.run(&self.key, true, |work| {
            ops::list::set(work, &self.key, || Ok(index), element)
        })
    }

    /// Removes all but the elements from one position to another, both included.
    ///
    /// # Errors
    ///
    /// As [`List::pop_front`].
    pub fn trim(&self, first: i64, last: i64) -> Result<()> {
        self.target.run(&self.key, false, |work| {
            ops::list::trim(work, &self.key, first, last)
        })
    }

    /// Removes elements equal to `element`: every one with 0, else so many from the front, or with a negative number
    /// from the back; the number removed.
    ///
    /// # Errors
    ///
    /// As [`List::pop_front`].
    ///
    /// # Complexity
    ///
    /// O(n).
    pub fn remove(&self, count: i64, element: impl AsRef<[u8]>) -> Result<usize> {
        let element = element.as_ref();
        self.target.run(&self.key, false, |work| {
            ops::list::remove(work, &self.key, count, element)
        })
    }

    /// Moves the last element to the front of the list at another key, or of this one; the element. Both keys must be
    /// in reach of one commit, which they always are in a database or a transaction.
    ///
    /// # Errors
    ///
    /// As [`List::push_front`], also for the other key.
    pub fn pop_back_push_front(&self, to: impl AsRef<[u8]>) -> Result<Option<Value>> {
        self.shift(ListEnd::Back, to, ListEnd::Front)
    }

    /// Moves the element at one end to an end of the list at another key, or of this one; the element.
    ///
    /// # Errors
    ///
    /// As [`List::pop_back_push_front`].
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::ListEnd::{Back, Front};
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "jobs")?;
    /// db.list("jobs").push_back_many(["first", "second"])?;
    /// let job = db.list("jobs").shift(Front, "running", Back)?;
    /// assert_eq!(job.expect("pushed above"), "first");
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn shift(
        &self,
        take: ListEnd,
        to: impl AsRef<[u8]>,
        put: ListEnd,
    ) -> Result<Option<Value>> {
        let to = to.as_ref();
        self.target.run(&self.key, true, |work| {
            let moved = ops::list::shift(work, &self.key, to, take.held(), put.held())?;
            Ok(moved.map(|element| Value::from(Vec::from(element))))
        })
    }

    /// The elements from the front, page by page. Elements that are pushed or taken at the front meanwhile shift what
    /// is read next.
    #[expect(
        clippy::iter_without_into_iter,
        reason = "items are results; a for loop over the view itself would hide that"
    )]
    pub fn iter(&self) -> Elements<'t, T> {
        Elements {
            list: Self::new(self.target, &self.key),
            next: Some(0),
            page: VecDeque::new(),
        }
    }
}

/// Iterator over the elements of a list; see [`List::iter`].
#[derive(Debug)]
pub struct Elements<'t, T: Target> {
    list: List<'t, T>,
    /// Position of the next page; `None` after the last.
    next: Option<usize>,
    page: VecDeque<Value>,
}

impl<T: Target> Iterator for Elements<'_, T> {
    type Item = Result<Value>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(element) = self.page.pop_front() {
            return Some(Ok(element));
        }
        let (from, list) = (self.next?, &self.list);
        let read = list.target.run(&list.key, false, |work| {
            let held = work.read::<held::List>(&list.key)?;
            let page = held
                .into_iter()
                .flat_map(|list| list.iter(from..from + PAGE_ELEMENTS));
            Ok(page.map(|element| Value::copy(&element)).collect())
        });
        match read {
            Ok(page) => {
                self.page = page;
                self.next = (self.page.len() == PAGE_ELEMENTS).then_some(from + PAGE_ELEMENTS);
                self.page.pop_front().map(Ok)
            }
            Err(error) => {
                self.next = None;
                Some(Err(error))
            }
        }
    }
}
