//! The view of a consumer group of a stream.

use std::time::Duration;

use super::Target;
use crate::error::Result;
use crate::ops;
use crate::ops::stream::StreamEntry;
use crate::ops::stream_claim::{Claim, Claimed};
use crate::ops::stream_group::{Start, no_key_or_group};
use crate::ops::stream_lag::lag;
use crate::value::owned::Value;
use crate::value::stream::{Stream, StreamId};

/// An entry that was delivered to a consumer and not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamPending {
    /// Its id.
    pub id: StreamId,
    /// Who got it.
    pub consumer: Value,
    /// Time since it was delivered.
    pub idle: Duration,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// What is known of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamGroupInfo {
    /// The last entry that was delivered.
    pub last_delivered_id: StreamId,
    /// Number of consumers.
    pub consumers: usize,
    /// Number of entries that are not acknowledged.
    pub pending: usize,
    /// Number of entries that wait to be delivered, if that can be told.
    pub lag: Option<u64>,
}

/// A group of consumers that share the entries of one stream: each entry goes to one of them.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use upkv::StreamId;
/// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
/// let jobs = db.stream("jobs");
/// jobs.add([("job", "paint")])?;
/// let workers = jobs.group("workers");
/// workers.create(StreamId::MIN)?;
/// let taken = workers.read("ada", 10)?;
/// assert_eq!(taken.len(), 1);
/// let rescued = workers.auto_claim("bob", Duration::ZERO, StreamId::MIN, 10)?;
/// assert_eq!(rescued.0.len(), 1);
/// assert_eq!(workers.pending(10)?[0].consumer, "bob");
/// assert_eq!(workers.ack([taken[0].id])?, 1);
/// assert_eq!(workers.info()?.expect("created above").pending, 0);
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StreamGroup<'t, T: Target> {
    pub(super) target: &'t T,
    pub(super) key: Box<[u8]>,
    pub(super) name: Box<[u8]>,
}

impl<'t, T: Target> StreamGroup<'t, T> {
    pub(crate) fn new(target: &'t T, key: &[u8], name: &[u8]) -> Self {
        Self {
            target,
            key: key.into(),
            name: name.into(),
        }
    }

    /// Creates the group, and the stream if it is missing, to read what comes after an id.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Refused`] if the group exists; [`crate::Error::WrongType`], [`crate::Error::TooLarge`],
    /// [`crate::Error::OutOfMemory`], [`crate::Error::Storage`].
    pub fn create(&self, after: StreamId) -> Result<()> {
        self.create_at(Start::After(after))
    }

    /// As [`StreamGroup::create`], to read what comes from now on.
    ///
    /// # Errors
    ///
    /// As [`StreamGroup::create`].
    pub fn create_at_end(&self) -> Result<()> {
        self.create_at(Start::Last)
    }

    fn create_at(&self, start: Start) -> Result<()> {
        self.target.run(&self.key, true, |work| {
            ops::stream_group::create(work, &self.key, &self.name, start, None, true)
        })
    }

    /// Removes the group; whether it existed.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Refused`] if there is no stream; [`crate::Error::WrongType`], [`crate::Error::Storage`].
    pub fn destroy(&self) -> Result<bool> {
        self.target.run(&self.key, false, |work| {
            ops::stream_group::destroy(work, &self.key, &self.name)
        })
    }

    /// Delivers up to `count` entries that no consumer has got, oldest first; they stay pending until they are
    /// acknowledged.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Refused`] if there is no such stream or group; [`crate::Error::WrongType`],
    /// [`crate::Error::Storage`].
    pub fn read(&self, consumer: impl AsRef<[u8]>, count: usize) -> Result<Vec<StreamEntry>> {
        let consumer = consumer.as_ref();
        self.target.run(&self.key, false, |work| {
            ops::stream_group::read_new(work, &self.key, &self.name, consumer, count, false)
        })
    }

    /// Delivers again up to `count` entries that the consumer has pending above an id; `None` stands for one
    /// that was deleted meanwhile.
    ///
    /// # Errors
    ///
    /// As [`StreamGroup::read`].
    pub fn read_again(
        &self,
        consumer: impl AsRef<[u8]>,
        after: StreamId,
        count: usize,
    ) -> Result<Vec<(StreamId, Option<StreamEntry>)>> {
        let consumer = consumer.as_ref();
        self.target.run(&self.key, false, |work| {
            let (key, group) = (&self.key, &self.name);
            ops::stream_group::read_history(work, key, group, consumer, after, count)
        })
    }

    /// Acknowledges entries; the number that were pending.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`], [`crate::Error::Storage`].
    pub fn ack(&self, ids: impl IntoIterator<Item = StreamId>) -> Result<usize> {
        let ids: Vec<StreamId> = ids.into_iter().collect();
        self.target.run(&self.key, false, |work| {
            ops::stream_group::ack(work, &self.key, &self.name, &ids)
        })
    }

    /// Gives pending entries that were not delivered for `min_idle` to a consumer; those it got.
    ///
    /// # Errors
    ///
    /// As [`StreamGroup::read`].
    pub fn claim(
        &self,
        consumer: impl AsRef<[u8]>,
        min_idle: Duration,
        ids: impl IntoIterator<Item = StreamId>,
    ) -> Result<Vec<StreamEntry>> {
        let consumer = consumer.as_ref();
        let ids: Vec<StreamId> = ids.into_iter().collect();
        let how = claim_after(min_idle);
        self.target.run(&self.key, false, |work| {
            ops::stream_claim::claim(work, &self.key, &self.name, consumer, &ids, how)
        })
    }

    /// Gives up to `count` pending entries from `start` on that were not delivered for `min_idle` to a consumer;
    /// those it got, and the id to go on from, if there are more.
    ///
    /// # Errors
    ///
    /// As [`StreamGroup::read`].
    pub fn auto_claim(
        &self,
        consumer: impl AsRef<[u8]>,
        min_idle: Duration,
        start: StreamId,
        count: usize,
    ) -> Result<(Vec<StreamEntry>, Option<StreamId>)> {
        let consumer = consumer.as_ref();
        let how = claim_after(min_idle);
        let Claimed { entries, next, .. } = self.target.run(&self.key, false, |work| {
            let (key, group) = (&self.key, &self.name);
            ops::stream_claim::auto_claim(work, key, group, consumer, start, count, how)
        })?;
        Ok((entries, (next != StreamId::MIN).then_some(next)))
    }

    /// Up to `count` entries that are not acknowledged, oldest first.
    ///
    /// # Errors
    ///
    /// As [`StreamGroup::read`].
    pub fn pending(&self, count: usize) -> Result<Vec<StreamPending>> {
        self.target.run(&self.key, false, |work| {
            let now = work.now;
            let stream = work.read::<Stream>(&self.key)?;
            let group = stream.and_then(|stream| stream.group(&self.name));
            let group = group.ok_or_else(|| no_key_or_group(&self.key, &self.name))?;
            let rows = group.pending.iter().take(count);
            let row = |(id, pending): (&StreamId, &crate::value::stream::Pending)| StreamPending {
                id: *id,
                consumer: Value::copy(&pending.consumer),
                idle: Duration::from_millis(now.saturating_sub(pending.delivered)),
                deliveries: pending.count,
            };
            Ok(rows.map(row).collect())
        })
    }

    /// What is known of the group; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`], [`crate::Error::Storage`].
    pub fn info(&self) -> Result<Option<StreamGroupInfo>> {
        self.target.run(&self.key, false, |work| {
            let stream = work.read::<Stream>(&self.key)?;
            let found = stream.and_then(|stream| Some((stream, stream.group(&self.name)?)));
            Ok(found.map(|(stream, group)| StreamGroupInfo {
                last_delivered_id: group.last,
                consumers: group.consumers.len(),
                pending: group.pending.len(),
                lag: lag(stream, group),
            }))
        })
    }
}

fn claim_after(min_idle: Duration) -> Claim {
    Claim {
        min_idle: u64::try_from(min_idle.as_millis()).unwrap_or(u64::MAX),
        ..Claim::default()
    }
}
