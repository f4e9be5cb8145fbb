//! The hash view.

use std::collections::VecDeque;

use super::Target;
use crate::error::Result;
use crate::keyspace::quick::Quick;
use crate::ops;
use crate::value::owned::Value;

/// Fields looked at per step of an iterator.
const PAGE_FIELDS: usize = 256;

/// The hash at one key: fields with values.
///
/// # Examples
///
/// ```
/// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
/// let user = db.hash("user:1");
/// assert!(user.set("name", "ada")?);
/// assert_eq!(user.incr("visits", 2)?, 2);
/// assert_eq!(user.get("name")?.expect("set above"), "ada");
/// assert_eq!(user.len()?, 2);
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Hash<'t, T: Target> {
    pub(super) target: &'t T,
    pub(super) key: Box<[u8]>,
}

impl<'t, T: Target> Hash<'t, T> {
    pub(crate) fn new(target: &'t T, key: &[u8]) -> Self {
        Self {
            target,
            key: key.into(),
        }
    }

    /// Sets a field; whether it is new.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`], [`crate::Error::TooLarge`], [`crate::Error::OutOfMemory`],
    /// [`crate::Error::Storage`].
    pub fn set(&self, field: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<bool> {
        let pair = (field.as_ref(), value.as_ref());
        let set = |work: &mut Quick<'_>| ops::hash::set(work, &self.key, [pair]);
        if let Some(new) = self.target.run_quickly(&self.key, set)? {
            return Ok(new == 1);
        }
        self.target.run(&self.key, true, |work| {
            Ok(ops::hash::set(work, &self.key, [pair])? == 1)
        })
    }

    /// Sets several fields in one commit; the number that are new.
    ///
    /// # Errors
    ///
    /// As [`Hash::set`].
    pub fn set_many<F: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        pairs: impl IntoIterator<Item = (F, V)>,
    ) -> Result<usize> {
        let owned: Vec<(F, V)> = pairs.into_iter().collect();
        self.target.run(&self.key, true, |work| {
            let pairs = owned
                .iter()
                .map(|(field, value)| (field.as_ref(), value.as_ref()));
            ops::hash::set(work, &self.key, pairs)
        })
    }

    /// Sets a field that does not exist; whether it was set.
    ///
    /// # Errors
    ///
    /// As [`Hash::set`].
    pub fn set_if_absent(&self, field: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<bool> {
        let (field, value) = (field.as_ref(), value.as_ref());
        self.target.run(&self.key, true, |work| {
            ops::hash::set_if_absent(work, &self.key, field, value)
        })
    }

    /// The value of a field.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`], [`crate::Error::Storage`].
    pub fn get(&self, field: impl AsRef<[u8]>) -> Result<Option<Value>> {
        let field = field.as_ref();
        self.target.run(&self.key, false, |work| {
            Ok(work
                .hash(&self.key)?
                .and_then(|hash| hash.get(field))
                .map(Value::copy))
        })
    }

    /// The values of several fields, read at one moment.
    ///
    /// # Errors
    ///
    /// As [`Hash::get`].
    pub fn get_many<F: AsRef<[u8]>>(
        &self,
        fields: impl IntoIterator<Item = F>,
    ) -> Result<Vec<Option<Value>>> {
        let fields: Vec<F> = fields.into_iter().collect();
        self.target.run(&self.key, false, |work| {
            let hash = work.hash(&self.key)?;
            let read = |field: &F| {
                hash.and_then(|hash| hash.get(field.as_ref()))
                    .map(Value::copy)
            };
            Ok(fields.iter().map(read).collect())
        })
    }

    /// Whether a field exists.
    ///
    /// # Errors
    ///
    /// As [`Hash::get`].
    pub fn contains(&self, field: impl AsRef<[u8]>) -> Result<bool> {
        let field = field.as_ref();
        self.target.run(&self.key, false, |work| {
            Ok(work
                .hash(&self.key)?
                .is_some_and(|hash| hash.get(field).is_some()))
        })
    }

    /// Removes a field; whether it existed. The key disappears with its last field.
    ///
    /// # Errors
    ///
    /// As [`Hash::get`].
    pub fn remove(&self, field: impl AsRef<[u8]>) -> Result<bool> {
        let field = field.as_ref();
        self.target.run(&self.key, false, |work| {
            Ok(ops::hash::remove(work, &self.key, [field])? == 1)
        })
    }

    /// Adds to a field that holds an integer, which starts at 0; the sum.
    ///
    /// # Errors
    ///
    /// As [`Hash::set`]; [`crate::Error::Refused`] if the value is no integer, [`crate::Error::Overflow`].
    pub fn incr(&self, field: impl AsRef<[u8]>, change: i64) -> Result<i64> {
        let field = field.as_ref();
        self.target.run(&self.key, true, |work| {
            ops::hash::incr_by(work, &self.key, field, change)
        })
    }

    /// Number of fields.
    ///
    /// # Errors
    ///
    /// As [`Hash::get`].
    pub fn len(&self) -> Result<usize> {
        self.target.run(&self.key, false, |work| {
            Ok(work
                .hash(&self.key)?
                .map_or(0, crate::value::hash::Live::len))
        })
    }

    /// Whether there are no fields, that is, no such key.
    ///
    /// # Errors
    ///
    /// As [`Hash::get`].
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fields and values, page by page; fields that exist throughout are returned at least once.
    #[expect(
        clippy::iter_without_into_iter,
        reason = "items are results; a for loop over the view itself would hide that"
    )]
    pub fn iter(&self) -> Fields<'t, T> {
        Fields {
            hash: Self::new(self.target, &self.key),
            cursor: Some(0),
            page: VecDeque::new(),
        }
    }
}

/// Iterator over the fields of a hash; see [`Hash::iter`].
#[derive(Debug)]
pub struct Fields<'t, T: Target> {
    hash: Hash<'t, T>,
    cursor: Option<u64>,
    page: VecDeque<(Value, Value)>,
}

impl<T: Target> Iterator for Fields<'_, T> {
    type Item = Result<(Value, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(pair) = self.page.pop_front() {
                return Some(Ok(pair));
            }
            let cursor = self.cursor?;
            let hash = &self.hash;
            let read = hash.target.run(&hash.key, false, |work| {
                let mut page = VecDeque::new();
                let next = work.hash(&hash.key)?.and_then(|hash| {
                    hash.scan(cursor, PAGE_FIELDS, |field, value| {
                        page.push_back((Value::copy(field), Value::copy(value)));
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
