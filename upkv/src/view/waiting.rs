//! Pops and reads that wait, for threads and for tasks, in one queue with the blocking commands. Those over several keys
//! are in [`super::waiting_many`].

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{List, ListEnd, Scored, Stream, StreamGroup, Zset};
use crate::command::{Reply, ReplyFuture};
use crate::db::Db;
use crate::error::Result;
use crate::ops::stream::StreamEntry;
use crate::value::owned::Value;
use crate::value::stream::StreamId;

/// Something that is being waited for, such as an element of a list: a future, or [`Waiting::wait`] for a thread. Who asked first
/// is served first, whichever way, blocking commands included.
///
/// Dropped before it is ready it takes nothing; see [`Db::command_async`] for the moment in between.
#[must_use = "nothing is waited for until it is polled, or `wait` is called"]
pub struct Waiting<R> {
    db: Db,
    args: Vec<Box<[u8]>>,
    future: Option<ReplyFuture>,
    convert: fn(Reply) -> Option<R>,
}

impl<R> fmt::Debug for Waiting<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting")
            .field("args", &self.args)
            .finish_non_exhaustive()
    }
}

impl<R> Waiting<R> {
    pub(super) fn new<'a>(
        db: &Db,
        args: impl IntoIterator<Item = &'a [u8]>,
        convert: fn(Reply) -> Option<R>,
    ) -> Self {
        Self {
            db: db.clone(),
            args: args.into_iter().map(Box::from).collect(),
            future: None,
            convert,
        }
    }

    /// Blocks the thread until there is something; `None` when the time is over.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongType`], [`crate::Error::Refused`] if a waiting client was unblocked with an error;
    /// [`crate::Error::Storage`].
    pub fn wait(self) -> Result<Option<R>> {
        let reply = self.db.command(&self.args)?;
        Ok(self.read(reply))
    }

    fn read(&self, reply: Reply) -> Option<R> {
        match reply {
            Reply::Null | Reply::NullArray => None,
            reply => (self.convert)(reply),
        }
    }
}

impl<R> Future for Waiting<R> {
    type Output = Result<Option<R>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self {
            db, args, future, ..
        } = &mut *self;
        let future = future.get_or_insert_with(|| db.command_async(&*args));
        match Pin::new(future).poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(reply) => Poll::Ready(reply.map(|reply| self.read(reply))),
        }
    }
}

/// Milliseconds as blocking commands take them: zero stands for ever, and no time at all is less than the clock can tell.
fn millis(timeout: Option<Duration>) -> i64 {
    timeout.map_or(0, |timeout| {
        i64::try_from(timeout.as_millis())
            .unwrap_or(i64::MAX / 2)
            .max(1)
    })
}

/// The same in seconds.
pub(super) fn seconds(timeout: Option<Duration>) -> String {
    let millis = millis(timeout);
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}

pub(super) fn items(reply: Reply) -> Option<Vec<Reply>> {
    match reply {
        Reply::Array(items) => Some(items),
        _ => None,
    }
}

pub(super) fn bulk(reply: Reply) -> Option<Value> {
    match reply {
        Reply::Bulk(value) => Some(value),
        _ => None,
    }
}

/// The element after the key.
fn element(reply: Reply) -> Option<Value> {
    bulk(items(reply)?.into_iter().nth(1)?)
}

/// The member and score after the key.
fn scored(reply: Reply) -> Option<Scored> {
    let mut items = items(reply)?.into_iter().skip(1);
    match (items.next()?, items.next()?) {
        (Reply::Bulk(member), Reply::Double(score)) => Some(Scored { member, score }),
        _ => None,
    }
}

/// An entry with its id.
fn entry(reply: Reply) -> Option<StreamEntry> {
    let mut parts = items(reply)?.into_iter();
    let id = StreamId::parse(&bulk(parts.next()?)?)?;
    let mut words = items(parts.next()?)?.into_iter();
    let mut fields = Vec::new();
    while let Some(name) = words.next() {
        fields.push((bulk(name)?, bulk(words.next()?)?));
    }
    Some(StreamEntry { id, fields })
}

/// The streams that have entries.
pub(super) fn streams(reply: Reply) -> Option<Vec<(Value, Vec<StreamEntry>)>> {
    let Reply::Keyed(streams) = reply else {
        return None;
    };
    let of_one = |(key, entries): (Reply, Reply)| {
        let entries: Option<Vec<_>> = items(entries)?.into_iter().map(entry).collect();
        Some((bulk(key)?, entries?))
    };
    streams.into_iter().map(of_one).collect()
}

/// The entries of the only stream.
fn entries(reply: Reply) -> Option<Vec<StreamEntry>> {
    streams(reply)?
        .into_iter()
        .next()
        .map(|(_, entries)| entries)
}

/// The words of a command that reads streams.
pub(super) fn read_words(
    group: Option<(&[u8], &[u8])>,
    streams: &[(&[u8], &[u8])],
    count: usize,
    timeout: Option<Duration>,
) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = Vec::new();
    match group {
        None => words.push(b"XREAD".into()),
        Some((group, consumer)) => {
            words.extend([
                b"XREADGROUP".into(),
                b"GROUP".into(),
                group.into(),
                consumer.into(),
            ]);
        }
    }
    let count = i64::try_from(count).unwrap_or(i64::MAX).max(1);
    words.extend([
        b"COUNT".into(),
        count.to_string().into(),
        b"BLOCK".into(),
        millis(timeout).to_string().into(),
        b"STREAMS".into(),
    ]);
    words.extend(streams.iter().map(|(key, _)| key.to_vec()));
    words.extend(streams.iter().map(|(_, after)| after.to_vec()));
    words
}

impl List<'_, Db> {
    /// Takes the first element, waiting for one up to `timeout`, or for ever.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "jobs")?;
    /// let jobs = db.list("jobs");
    /// let worker = std::thread::spawn({
    ///     let db = db.clone();
    ///     move || db.list("jobs").pop_front_waiting(None).wait()
    /// });
    /// jobs.push_back("first")?;
    /// assert_eq!(worker.join().expect("no panic")?.expect("it waits for ever"), "first");
    /// assert_eq!(jobs.pop_front_waiting(Some(Duration::from_millis(1))).wait()?, None);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn pop_front_waiting(&self, timeout: Option<Duration>) -> Waiting<Value> {
        self.pop_waiting(b"BLPOP", timeout)
    }

    /// Takes the last element, waiting for one up to `timeout`, or for ever; see [`List::pop_front_waiting`].
    pub fn pop_back_waiting(&self, timeout: Option<Duration>) -> Waiting<Value> {
        self.pop_waiting(b"BRPOP", timeout)
    }

    fn pop_waiting(&self, command: &[u8], timeout: Option<Duration>) -> Waiting<Value> {
        let seconds = seconds(timeout);
        Waiting::new(
            self.target,
            [command, &self.key, seconds.as_bytes()],
            element,
        )
    }

    /// Moves an element from one end of this list to an end of the list at another key, waiting for one up to `timeout`, or
    /// for ever: what a worker takes is kept there until it is done.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::ListEnd::{Back, Front};
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "jobs")?;
    /// db.list("jobs").push_back("first")?;
    /// let job = db.list("jobs").shift_waiting(Front, "running", Back, None).wait()?;
    /// assert_eq!(job.expect("pushed above"), "first");
    /// assert_eq!(db.list("running").len()?, 1);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn shift_waiting(
        &self,
        take: ListEnd,
        to: impl AsRef<[u8]>,
        put: ListEnd,
        timeout: Option<Duration>,
    ) -> Waiting<Value> {
        let seconds = seconds(timeout);
        let args: [&[u8]; 6] = [
            b"BLMOVE",
            &self.key,
            to.as_ref(),
            take.word(),
            put.word(),
            seconds.as_bytes(),
        ];
        Waiting::new(self.target, args, bulk)
    }
}

impl Zset<'_, Db> {
    /// Takes the member with the lowest score, waiting for one up to `timeout`, or for ever.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::pin::pin;
    /// use std::task::{Context, Poll, Waker};
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "jobs")?;
    /// let queue = db.zset("queue");
    /// let mut next = pin!(queue.pop_min_waiting(None));
    /// let mut context = Context::from_waker(Waker::noop());
    /// # use std::future::Future;
    /// assert!(next.as_mut().poll(&mut context).is_pending());
    /// queue.add("job", 3.0)?;
    /// let Poll::Ready(Ok(Some(job))) = next.as_mut().poll(&mut context) else { panic!() };
    /// assert_eq!((job.member.as_str(), job.score), (Some("job"), 3.0));
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn pop_min_waiting(&self, timeout: Option<Duration>) -> Waiting<Scored> {
        self.pop_waiting(b"BZPOPMIN", timeout)
    }

    /// Takes the member with the highest score, waiting for one up to `timeout`, or for ever; see
    /// [`Zset::pop_min_waiting`].
    pub fn pop_max_waiting(&self, timeout: Option<Duration>) -> Waiting<Scored> {
        self.pop_waiting(b"BZPOPMAX", timeout)
    }

    fn pop_waiting(&self, command: &[u8], timeout: Option<Duration>) -> Waiting<Scored> {
        let seconds = seconds(timeout);
        Waiting::new(
            self.target,
            [command, &self.key, seconds.as_bytes()],
            scored,
        )
    }
}

impl Stream<'_, Db> {
    /// Up to `count` entries above an id, waiting for the first up to `timeout`, or for ever.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use upkv::StreamId;
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "events")?;
    /// let log = db.stream("log");
    /// let reader = std::thread::spawn({
    ///     let db = db.clone();
    ///     move || db.stream("log").read_waiting(StreamId::MIN, 10, None).wait()
    /// });
    /// let id = log.add([("user", "ada")])?;
    /// let read = reader.join().expect("no panic")?.expect("it waits for ever");
    /// assert_eq!((read[0].id, &read[0].fields[0].1[..]), (id, &b"ada"[..]));
    /// assert_eq!(log.read_waiting(id, 10, Some(Duration::from_millis(1))).wait()?, None);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn read_waiting(
        &self,
        after: StreamId,
        count: usize,
        timeout: Option<Duration>,
    ) -> Waiting<Vec<StreamEntry>> {
        self.read(after.to_string().as_bytes(), count, timeout)
    }

    /// As [`Stream::read_waiting`] for entries that come after the wait has begun: when it is first polled, or waited for.
    pub fn read_new_waiting(
        &self,
        count: usize,
        timeout: Option<Duration>,
    ) -> Waiting<Vec<StreamEntry>> {
        self.read(b"$", count, timeout)
    }

    fn read(
        &self,
        after: &[u8],
        count: usize,
        timeout: Option<Duration>,
    ) -> Waiting<Vec<StreamEntry>> {
        let words = read_words(None, &[(&self.key, after)], count, timeout);
        Waiting::new(self.target, words.iter().map(Vec::as_slice), entries)
    }
}

impl StreamGroup<'_, Db> {
    /// As [`StreamGroup::read`], waiting for the first entry up to `timeout`, or for ever. If the group is removed meanwhile,
    /// the wait ends with the error that there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// use upkv::StreamId;
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "events")?;
    /// let workers = db.stream("jobs").group("workers");
    /// workers.create(StreamId::MIN)?;
    /// let id = db.stream("jobs").add([("job", "paint")])?;
    /// let taken = workers.read_waiting("ada", 10, None).wait()?.expect("added above");
    /// assert_eq!(taken[0].id, id);
    /// assert_eq!(workers.ack([id])?, 1);
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn read_waiting(
        &self,
        consumer: impl AsRef<[u8]>,
        count: usize,
        timeout: Option<Duration>,
    ) -> Waiting<Vec<StreamEntry>> {
        let group = Some((&*self.name, consumer.as_ref()));
        let words = read_words(group, &[(&self.key, b">")], count, timeout);
        Waiting::new(self.target, words.iter().map(Vec::as_slice), entries)
    }
}
