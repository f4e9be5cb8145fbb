//! The stream view. Groups are in [`super::stream_group`].

use std::collections::VecDeque;
use std::ops::{Bound, RangeBounds};

use super::Target;
use super::stream_group::StreamGroup;
use crate::error::{Error, Result};
use crate::ops;
use crate::ops::stream::{Deleted, NewId, References, StreamEntry, TRIM_LIMIT, Threshold, Trim};
use crate::value::stream::{self, StreamId};

/// Entries read per step of an iterator.
const PAGE_ENTRIES: usize = 128;

/// Which old entries of a stream go.
///
/// # Examples
///
/// ```
/// use upkv::{StreamId, StreamTrim};
/// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
/// let log = db.stream("log");
/// for n in 1..=5_u64 {
///     log.add_at(StreamId::new(n, 0), [("n", n.to_string())])?;
/// }
/// assert_eq!(log.trim(StreamTrim::max_len(3))?, 2);
/// assert_eq!(log.trim(StreamTrim::min_id(StreamId::new(4, 0)))?, 1);
/// assert_eq!(log.len()?, 2);
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamTrim(Trim);

impl StreamTrim {
    const fn new(threshold: Threshold) -> Self {
        Self(Trim {
            threshold,
            approximate: false,
            limit: 0,
            references: References::Keep,
        })
    }

    /// The oldest entries go, until that many are left.
    pub const fn max_len(len: u64) -> Self {
        Self::new(Threshold::MaxLen(len))
    }

    /// Entries below an id go.
    pub const fn min_id(id: StreamId) -> Self {
        Self::new(Threshold::MinId(id))
    }

    /// Only what can go cheaply does: whole blocks of up to 100 entries, up to 10,000 entries at once.
    #[must_use]
    pub const fn approximate(mut self) -> Self {
        self.0.approximate = true;
        self.0.limit = TRIM_LIMIT;
        self
    }
}

/// What a stream remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// Number of entries.
    pub len: usize,
    /// The highest id that was ever given.
    pub last_id: StreamId,
    /// The id of the oldest entry; 0-0 if there is none.
    pub first_id: StreamId,
    /// The highest id that was deleted by id.
    pub max_deleted_id: StreamId,
    /// Number of entries ever added.
    pub added: u64,
    /// Number of groups.
    pub groups: usize,
}

/// The stream at one key: entries under ids that only grow.
///
/// # Examples
///
/// ```
/// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
/// let log = db.stream("log");
/// let first = log.add([("user", "ada"), ("action", "login")])?;
/// let second = log.add([("user", "bob")])?;
/// assert!(first < second);
/// let entries: Vec<_> = log.range(first..).collect::<Result<_, _>>()?;
/// assert_eq!(entries.len(), 2);
/// assert_eq!(entries[0].fields[1].1, "login");
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Stream<'t, T: Target> {
    pub(super) target: &'t T,
    pub(super) key: Box<[u8]>,
}

impl<'t, T: Target> Stream<'t, T> {
    pub(crate) fn new(target: &'t T, key: &[u8]) -> Self {
        Self {
            target,
            key: key.into(),
        }
    }

    /// Appends an entry under an id made of the time; the id.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`], [`Error::TooLarge`], [`Error::OutOfMemory`], [`Error::Storage`];
    /// [`Error::Refused`] without any field, or when ids are used up.
    pub fn add<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<StreamId> {
        self.append(NewId::Auto, None, fields)
    }

    /// As [`Stream::add`] under an id that must be above all others.
    ///
    /// # Errors
    ///
    /// As [`Stream::add`]; [`Error::Refused`] if the id is not above all others.
    pub fn add_at<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        id: StreamId,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<StreamId> {
        self.append(NewId::Exact(id), None, fields)
    }

    /// As [`Stream::add`], and trims in the same commit.
    ///
    /// # Errors
    ///
    /// As [`Stream::add`].
    pub fn add_and_trim<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        fields: impl IntoIterator<Item = (N, V)>,
        trim: StreamTrim,
    ) -> Result<StreamId> {
        self.append(NewId::Auto, Some(trim.0), fields)
    }

    fn append<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        id: NewId,
        trim: Option<Trim>,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<StreamId> {
        let owned: Vec<(N, V)> = fields.into_iter().collect();
        let pairs = owned.iter();
        let fields: Vec<&[u8]> = pairs
            .flat_map(|(name, value)| [name.as_ref(), value.as_ref()])
            .collect();
        if fields.is_empty() {
            return Err(Error::refused("ERR an entry needs at least one field"));
        }
        self.target.run(&self.key, true, |work| {
            let added = ops::stream::add(work, &self.key, true, id, &fields, trim)?;
            Ok(added.expect("created when missing"))
        })
    }

    /// Number of entries.
    ///
    /// # Errors
    ///
    /// [`Error::WrongType`], [`Error::Storage`].
    pub fn len(&self) -> Result<usize> {
        self.target
            .run(&self.key, false, |work| ops::stream::len(work, &self.key))
    }

    /// Whether there are no entries.
    ///
    /// # Errors
    ///
    /// As [`Stream::len`].
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The entry with an id.
    ///
    /// # Errors
    ///
    /// As [`Stream::len`].
    ///
    /// # Complexity
    ///
    /// O(log n).
    pub fn get(&self, id: StreamId) -> Result<Option<StreamEntry>> {
        self.target.run(&self.key, false, |work| {
            let stream = work.read::<stream::Stream>(&self.key)?;
            let entry = stream.and_then(|stream| stream.entries().get(id));
            Ok(entry.map(StreamEntry::copy))
        })
    }

    /// Entries with ids in a range, oldest first, read page by page from either end.
    pub fn range(&self, ids: impl RangeBounds<StreamId>) -> Entries<'t, T> {
        let start = match ids.start_bound() {
            Bound::Included(id) => Some(*id),
            Bound::Excluded(id) => id.next(),
            Bound::Unbounded => Some(StreamId::MIN),
        };
        let end = match ids.end_bound() {
            Bound::Included(id) => Some(*id),
            Bound::Excluded(id) => id.previous(),
            Bound::Unbounded => Some(StreamId::MAX),
        };
        Entries {
            stream: Self::new(self.target, &self.key),
            rest: start.zip(end),
            front: VecDeque::new(),
            back: VecDeque::new(),
        }
    }

    /// Deletes entries; the number that existed.
    ///
    /// # Errors
    ///
    /// As [`Stream::len`].
    pub fn delete(&self, ids: impl IntoIterator<Item = StreamId>) -> Result<usize> {
        let ids: Vec<StreamId> = ids.into_iter().collect();
        self.target.run(&self.key, false, |work| {
            let outcome = ops::stream::delete(work, &self.key, &ids, References::Keep)?;
            Ok(outcome.iter().filter(|one| **one == Deleted::Yes).count())
        })
    }

    /// Removes old entries; the number removed.
    ///
    /// # Errors
    ///
    /// As [`Stream::len`].
    ///
    /// # Complexity
    ///
    /// O(entries removed).
    pub fn trim(&self, trim: StreamTrim) -> Result<usize> {
        self.target.run(&self.key, false, |work| {
            ops::stream::trim(work, &self.key, trim.0)
        })
    }

    /// What the stream remembers; `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`Stream::len`].
    pub fn info(&self) -> Result<Option<StreamInfo>> {
        self.target.run(&self.key, false, |work| {
            let stream = work.read::<stream::Stream>(&self.key)?;
            Ok(stream.map(|stream| StreamInfo {
                len: stream.len(),
                last_id: stream.last_id(),
                first_id: stream.first_id(),
                max_deleted_id: stream.counters().max_deleted,
                added: stream.counters().added,
                groups: stream.groups().len(),
            }))
        })
    }

    /// A group of consumers; does no work yet.
    pub fn group(&self, name: impl AsRef<[u8]>) -> StreamGroup<'t, T> {
        StreamGroup::new(self.target, &self.key, name.as_ref())
    }
}

/// Entries of a stream, read page by page; see [`Stream::range`]. Entries that come or go between two pages
/// are seen or not, as it happens.
#[derive(Clone, Debug)]
pub struct Entries<'t, T: Target> {
    stream: Stream<'t, T>,
    /// First and last id that were not read yet.
    rest: Option<(StreamId, StreamId)>,
    front: VecDeque<StreamEntry>,
    back: VecDeque<StreamEntry>,
}

impl<T: Target> Entries<'_, T> {
    /// Reads the next page from one end.
    fn page(&mut self, reverse: bool) -> Result<VecDeque<StreamEntry>> {
        let Some((start, end)) = self.rest else {
            return Ok(VecDeque::new());
        };
        let Stream { target, key } = &self.stream;
        let page = target.run(key, false, |work| {
            ops::stream::range(work, key, start, end, PAGE_ENTRIES, reverse)
        })?;
        let read = page.last().map(|entry| entry.id);
        self.rest = match read {
            Some(id) if page.len() == PAGE_ENTRIES && reverse => {
                id.previous().map(|end| (start, end))
            }
            Some(id) if page.len() == PAGE_ENTRIES => id.next().map(|start| (start, end)),
            _ => None,
        };
        Ok(page.into())
    }
}

impl<T: Target> Iterator for Entries<'_, T> {
    type Item = Result<StreamEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.front.is_empty() {
            match self.page(false) {
                Ok(page) => self.front = page,
                Err(error) => {
                    self.rest = None;
                    return Some(Err(error));
                }
            }
        }
        self.front
            .pop_front()
            .or_else(|| self.back.pop_back())
            .map(Ok)
    }
}

impl<T: Target> DoubleEndedIterator for Entries<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.back.is_empty() {
            match self.page(true) {
                Ok(page) => self.back = page,
                Err(error) => {
                    self.rest = None;
                    return Some(Err(error));
                }
            }
        }
        self.back
            .pop_front()
            .or_else(|| self.front.pop_back())
            .map(Ok)
    }
}
