//! Pops and reads that wait for any of several keys.

use std::time::Duration;

use super::waiting::{bulk, items, read_words, seconds, streams};
use super::{ListEnd, Scored, Waiting};
use crate::command::Reply;
use crate::db::Db;
use crate::ops::stream::StreamEntry;
use crate::value::owned::Value;
use crate::value::stream::StreamId;

/// A key and the element taken there.
fn element(reply: Reply) -> Option<(Value, Value)> {
    let mut items = items(reply)?.into_iter();
    Some((bulk(items.next()?)?, bulk(items.next()?)?))
}

/// A key, and the member and score taken there.
fn scored(reply: Reply) -> Option<(Value, Scored)> {
    let mut items = items(reply)?.into_iter();
    let key = bulk(items.next()?)?;
    match (items.next()?, items.next()?) {
        (Reply::Bulk(member), Reply::Double(score)) => Some((key, Scored { member, score })),
        _ => None,
    }
}

/// A key and the elements taken there.
fn elements(reply: Reply) -> Option<(Value, Vec<Value>)> {
    let mut parts = items(reply)?.into_iter();
    let key = bulk(parts.next()?)?;
    let taken: Option<Vec<Value>> = items(parts.next()?)?.into_iter().map(bulk).collect();
    Some((key, taken?))
}

/// A key, and the members and scores taken there.
fn many_scored(reply: Reply) -> Option<(Value, Vec<Scored>)> {
    let mut parts = items(reply)?.into_iter();
    let key = bulk(parts.next()?)?;
    let pair = |reply: Reply| {
        let mut pair = items(reply)?.into_iter();
        match (pair.next()?, pair.next()?) {
            (Reply::Bulk(member), Reply::Double(score)) => Some(Scored { member, score }),
            _ => None,
        }
    };
    let taken: Option<Vec<Scored>> = items(parts.next()?)?.into_iter().map(pair).collect();
    Some((key, taken?))
}

/// Where members of a sorted set are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZsetEnd {
    /// The lowest scores first.
    Lowest,
    /// The highest scores first.
    Highest,
}

impl Db {
    /// Takes the first element of the first list that has one, waiting up to `timeout`, or for ever; the key and the
    /// element. The wait ends with an error if there are no keys, or one of them holds another type.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "jobs")?;
    /// db.list("low").push_back("sweep")?;
    /// db.list("high").push_back("paint")?;
    /// let next = || db.pop_front_of(["high", "low"], None).wait();
    /// let (key, job) = next()?.expect("pushed above");
    /// assert_eq!((key.as_str(), job.as_str()), (Some("high"), Some("paint")));
    /// assert_eq!(next()?.expect("pushed above").1, "sweep");
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn pop_front_of<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        timeout: Option<Duration>,
    ) -> Waiting<(Value, Value)> {
        self.pop_of(b"BLPOP", keys, timeout, element)
    }

    /// As [`Db::pop_front_of`] for the last element.
    pub fn pop_back_of<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        timeout: Option<Duration>,
    ) -> Waiting<(Value, Value)> {
        self.pop_of(b"BRPOP", keys, timeout, element)
    }

    /// Takes the member with the lowest score of the first sorted set that has one, as [`Db::pop_front_of`] does with lists.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "jobs")?;
    /// db.zset("later").add("sweep", 3.0)?;
    /// let (key, job) = db.pop_min_of(["soon", "later"], None).wait()?.expect("added above");
    /// assert_eq!((key.as_str(), job.score), (Some("later"), 3.0));
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn pop_min_of<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        timeout: Option<Duration>,
    ) -> Waiting<(Value, Scored)> {
        self.pop_of(b"BZPOPMIN", keys, timeout, scored)
    }

    /// As [`Db::pop_min_of`] for the highest score.
    pub fn pop_max_of<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        timeout: Option<Duration>,
    ) -> Waiting<(Value, Scored)> {
        self.pop_of(b"BZPOPMAX", keys, timeout, scored)
    }

    fn pop_of<K: AsRef<[u8]>, R>(
        &self,
        command: &[u8],
        keys: impl IntoIterator<Item = K>,
        timeout: Option<Duration>,
        convert: fn(Reply) -> Option<R>,
    ) -> Waiting<R> {
        let (owned, seconds): (Vec<K>, _) = (keys.into_iter().collect(), seconds(timeout));
        let keys = owned.iter().map(AsRef::as_ref);
        let args = std::iter::once(command)
            .chain(keys)
            .chain([seconds.as_bytes()]);
        Waiting::new(self, args, convert)
    }

    /// Takes up to `count` elements, at least one, from one end of the first list that has any, waiting up to `timeout`, or
    /// for ever; the key and the elements.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::ListEnd;
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "jobs")?;
    /// db.list("low").push_back_many(["a", "b", "c"])?;
    /// let taken = db.pop_many_of(["high", "low"], ListEnd::Back, 2, None).wait()?;
    /// assert_eq!(taken.expect("pushed above").1, ["c", "b"]);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn pop_many_of<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        end: ListEnd,
        count: usize,
        timeout: Option<Duration>,
    ) -> Waiting<(Value, Vec<Value>)> {
        self.pop_count_of(b"BLMPOP", keys, end.word(), count, timeout, elements)
    }

    /// As [`Db::pop_many_of`] for members of sorted sets.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::ZsetEnd;
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "jobs")?;
    /// db.zset("later").add_many([("sweep", 3.0), ("paint", 2.0)])?;
    /// let taken = db.pop_many_scored_of(["soon", "later"], ZsetEnd::Highest, 9, None).wait()?;
    /// let (key, members) = taken.expect("added above");
    /// assert_eq!((key.as_str(), members[0].score, members.len()), (Some("later"), 3.0, 2));
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn pop_many_scored_of<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
        end: ZsetEnd,
        count: usize,
        timeout: Option<Duration>,
    ) -> Waiting<(Value, Vec<Scored>)> {
        let end: &[u8] = match end {
            ZsetEnd::Lowest => b"MIN",
            ZsetEnd::Highest => b"MAX",
        };
        self.pop_count_of(b"BZMPOP", keys, end, count, timeout, many_scored)
    }

    fn pop_count_of<K: AsRef<[u8]>, R>(
        &self,
        command: &[u8],
        keys: impl IntoIterator<Item = K>,
        end: &[u8],
        count: usize,
        timeout: Option<Duration>,
        convert: fn(Reply) -> Option<R>,
    ) -> Waiting<R> {
        let owned: Vec<K> = keys.into_iter().collect();
        let (seconds, number) = (seconds(timeout), owned.len().to_string());
        let count = i64::try_from(count).unwrap_or(i64::MAX).max(1).to_string();
        let keys = owned.iter().map(AsRef::as_ref);
        let args = [command, seconds.as_bytes(), number.as_bytes()]
            .into_iter()
            .chain(keys)
            .chain([end, b"COUNT", count.as_bytes()]);
        Waiting::new(self, args, convert)
    }

    /// Up to `count` entries of each stream above an id, waiting for the first up to `timeout`, or for ever; the streams
    /// that have any.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::StreamId;
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "events")?;
    /// let id = db.stream("b").add([("user", "ada")])?;
    /// let read = db.read_streams([("a", StreamId::MIN), ("b", StreamId::MIN)], 10, None).wait()?;
    /// let read = read.expect("added above");
    /// assert_eq!((read[0].0.as_str(), read[0].1[0].id), (Some("b"), id));
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn read_streams<K: AsRef<[u8]>>(
        &self,
        after: impl IntoIterator<Item = (K, StreamId)>,
        count: usize,
        timeout: Option<Duration>,
    ) -> Waiting<Vec<(Value, Vec<StreamEntry>)>> {
        let owned: Vec<(K, String)> = after
            .into_iter()
            .map(|(key, id)| (key, id.to_string()))
            .collect();
        let wanted: Vec<(&[u8], &[u8])> = owned
            .iter()
            .map(|(key, id)| (key.as_ref(), id.as_bytes()))
            .collect();
        let words = read_words(None, &wanted, count, timeout);
        Waiting::new(self, words.iter().map(Vec::as_slice), streams)
    }
}
