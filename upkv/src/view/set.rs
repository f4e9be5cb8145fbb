//! The set view.

use std::collections::VecDeque;

use super::Target;
use crate::error::Result;
use crate::keyspace::quick::Quick;
use crate::ops;
use crate::value::owned::Value;
use crate::value::set as held;

/// Members looked at per step of an iterator.
const PAGE_MEMBERS: usize = 256;

/// The set at one key: distinct members in no order.
///
/// # Examples
///
/// ```
/// let db = upkv::Db::mount(&upkv::Store::memory()?, "tags")?;
/// let tags = db.members("post:1");
/// assert_eq!(tags.add_many(["rust", "db"])?, 2);
/// assert!(!tags.add("rust")?);
/// assert!(tags.contains("db")?);
/// assert_eq!(tags.len()?, 2);
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Set<'t, T: Target> {
    pub(super) target: &'t T,
    pub(super) key: Box<[u8]>,
}

impl<'t, T: Target> Set<'t, T> {
    pub(crate) fn new(target: &'t T, key: &[u8]) -> Self {
        Self {
            target,
            key: key.into(),
        }
    }

    /// Adds a member; whether it is new.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`], [`crate::Error::TooLarge`], [`crate::Error::OutOfMemory`],
    /// [`crate::Error::Storage`].
    pub fn add(&self, member: impl AsRef<[u8]>) -> Result<bool> {
        Ok(self.add_many([member])? == 1)
    }

    /// Adds members in one commit; the number that are new.
    ///
    /// # Errors
    ///
    /// As [`Set::add`].
    pub fn add_many<M: AsRef<[u8]>>(&self, members: impl IntoIterator<Item = M>) -> Result<usize> {
        let owned: Vec<M> = members.into_iter().collect();
        let members = || owned.iter().map(AsRef::as_ref);
        let add = |work: &mut Quick<'_>| ops::set::add(work, &self.key, members());
        if let Some(new) = self.target.run_quickly(&self.key, add)? {
            return Ok(new);
        }
        self.target.run(&self.key, true, |work| {
            ops::set::add(work, &self.key, members())
        })
    }

    /// Removes a member; whether it existed. The key disappears with its last member.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`], [`crate::Error::Storage`].
    pub fn remove(&self, member: impl AsRef<[u8]>) -> Result<bool> {
        let member = member.as_ref();
        self.target.run(&self.key, false, |work| {
            Ok(ops::set::remove(work, &self.key, [member])? == 1)
        })
    }

    /// Whether a member exists.
    ///
    /// # Errors
    ///
    /// As [`Set::remove`].
    pub fn contains(&self, member: impl AsRef<[u8]>) -> Result<bool> {
        let member = member.as_ref();
        self.target.run(&self.key, false, |work| {
            let set = work.read::<held::Set>(&self.key)?;
            Ok(set.is_some_and(|set| set.contains(member)))
        })
    }

    /// Number of members.
    ///
    /// # Errors
    ///
    /// As [`Set::remove`].
    pub fn len(&self) -> Result<usize> {
        self.target.run(&self.key, false, |work| {
            let set = work.read::<held::Set>(&self.key)?;
            Ok(set.map_or(0, held::Set::len))
        })
    }

    /// Whether there are no members, that is, no such key.
    ///
    /// # Errors
    ///
    /// As [`Set::remove`].
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Takes a random member.
    ///
    /// # Errors
    ///
    /// As [`Set::remove`].
    pub fn pop(&self) -> Result<Option<Value>> {
        let taken = self
            .target
            .run(&self.key, false, |work| ops::set::pop(work, &self.key, 1))?;
        Ok(taken.into_iter().next().map(Value::from))
    }

    /// Up to `count` distinct random members, which stay.
    ///
    /// # Errors
    ///
    /// As [`Set::remove`].
    ///
    /// # Complexity
    ///
    /// O(count); O(n) for a large part of the set.
    pub fn random(&self, count: usize) -> Result<Vec<Value>> {
        let picked = self.target.run(&self.key, false, |work| {
            let mount = work.engine.mount.clone();
            let set = work.read::<held::Set>(&self.key)?;
            Ok(set.map_or_else(Vec::new, |set| {
                ops::set::distinct(set, count, || mount.random())
            }))
        })?;
        Ok(picked.into_iter().map(Value::from).collect())
    }

    /// The members, page by page; those that are there throughout are returned at least once.
    #[expect(
        clippy::iter_without_into_iter,
        reason = "items are results; a for loop over the view itself would hide that"
    )]
    pub fn iter(&self) -> SetMembers<'t, T> {
        SetMembers {
            set: Self::new(self.target, &self.key),
            cursor: Some(0),
            page: VecDeque::new(),
        }
    }
}

/// Iterator over the members of a set; see [`Set::iter`].
#[derive(Debug)]
pub struct SetMembers<'t, T: Target> {
    set: Set<'t, T>,
    cursor: Option<u64>,
    page: VecDeque<Value>,
}

impl<T: Target> Iterator for SetMembers<'_, T> {
    type Item = Result<Value>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(member) = self.page.pop_front() {
                return Some(Ok(member));
            }
            let (cursor, set) = (self.cursor?, &self.set);
            let read = set.target.run(&set.key, false, |work| {
                let mut page = VecDeque::new();
                let held = work.read::<held::Set>(&set.key)?;
                let next = held.and_then(|set| {
                    set.scan(cursor, PAGE_MEMBERS, |member| {
                        page.push_back(Value::copy(member));
                    })
                });
                Ok((next, page))
            });
            match read {
                Ok((next, page)) => (self.cursor, self.page) = (next, page),
                Err(error) => {
                    self.cursor = None;
                    return Some(Err(error));
                }
            }
        }
    }
}
