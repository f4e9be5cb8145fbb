//! Iteration over keys.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::db::Db;
use crate::error::Result;
use crate::glob;
use crate::keyspace::engine;
use crate::ops;
use crate::value::owned::Value;

/// Keys looked at per step.
const PAGE_KEYS: usize = 256;

/// The keys of a database that match a pattern; see [`Db::keys`].
///
/// # Examples
///
/// ```
/// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
/// db.set_many([("a:1", ""), ("a:2", ""), ("b:1", "")])?;
/// let mut keys = db.keys("a:*").collect::<upkv::Result<Vec<_>>>()?;
/// keys.sort();
/// assert_eq!(keys, ["a:1", "a:2"]);
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Debug)]
pub struct Keys<'d> {
    db: &'d Db,
    pattern: Box<[u8]>,
    /// Where the next step starts; `None` after the last.
    cursor: Option<u64>,
    page: VecDeque<Bytes>,
}

impl<'d> Keys<'d> {
    pub(crate) fn new(db: &'d Db, pattern: &[u8]) -> Self {
        Self {
            db,
            pattern: pattern.into(),
            cursor: Some(0),
            page: VecDeque::new(),
        }
    }

    fn read(&mut self, cursor: u64) -> Result<()> {
        let engine = &self.db.engine;
        // Without metacharacters at most one key can match.
        if let Some(key) = glob::literal(&self.pattern) {
            let found = engine.run(self.db.index, None, engine::Keys::One(key), |work| {
                Ok(work.entry(key)?.is_some())
            });
            self.cursor = None;
            if found? {
                self.page.push_back(Bytes::copy_from_slice(key));
            }
            return Ok(());
        }
        let pattern = &self.pattern;
        let page = engine.run(self.db.index, None, engine::Keys::Open, |work| {
            ops::keys::scan(work, cursor, PAGE_KEYS, |key, _| {
                glob::matches(pattern, key)
            })
        })?;
        self.cursor = (page.cursor != 0).then_some(page.cursor);
        self.page.extend(page.keys.into_iter().map(|(key, _)| key));
        Ok(())
    }
}

impl Iterator for Keys<'_> {
    type Item = Result<Value>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(key) = self.page.pop_front() {
                return Some(Ok(key.into()));
            }
            let cursor = self.cursor?;
            if let Err(error) = self.read(cursor) {
                self.cursor = None;
                return Some(Err(error));
            }
        }
    }
}
