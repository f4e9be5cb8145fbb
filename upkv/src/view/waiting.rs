//! Pops that wait, for threads and for tasks, in one queue with the blocking commands.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{List, Scored, Zset};
use crate::command::{Reply, ReplyFuture};
use crate::db::Db;
use crate::error::Result;
use crate::value::owned::Value;

/// An element that is being waited for: a future, or [`Waiting::wait`] for a thread. Who asked first is served first,
/// whichever way, blocking commands included.
///
/// Dropped before it is ready it takes nothing; see [`Db::command_async`] for the moment in between.
#[must_use = "nothing is waited for until it is polled, or `wait` is called"]
pub struct Waiting<R> {
    db: Db,
    args: [Box<[u8]>; 3],
    future: Option<ReplyFuture>,
    convert: fn(Vec<Reply>) -> Option<R>,
}

impl<R> fmt::Debug for Waiting<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting")
            .field("args", &self.args)
            .finish_non_exhaustive()
    }
}

impl<R> Waiting<R> {
    fn new(
        db: &Db,
        command: &str,
        key: &[u8],
        timeout: Option<Duration>,
        convert: fn(Vec<Reply>) -> Option<R>,
    ) -> Self {
        // Zero stands for ever, and no time at all is less than the clock can tell.
        let timeout = timeout.map_or(0, |timeout| {
            i64::try_from(timeout.as_millis())
                .unwrap_or(i64::MAX / 2)
                .max(1)
        });
        let seconds = format!("{}.{:03}", timeout / 1_000, timeout % 1_000);
        Self {
            db: db.clone(),
            args: [
                command.as_bytes().into(),
                key.into(),
                seconds.as_bytes().into(),
            ],
            future: None,
            convert,
        }
    }

    /// Blocks the thread until there is an element; `None` when the time is over.
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
            Reply::Array(items) => (self.convert)(items),
            _ => None,
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

/// The element after the key.
fn element(items: Vec<Reply>) -> Option<Value> {
    match items.into_iter().nth(1)? {
        Reply::Bulk(element) => Some(element),
        _ => None,
    }
}

/// The member and score after the key.
fn scored(items: Vec<Reply>) -> Option<Scored> {
    let mut items = items.into_iter().skip(1);
    match (items.next()?, items.next()?) {
        (Reply::Bulk(member), Reply::Double(score)) => Some(Scored { member, score }),
        _ => None,
    }
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
        Waiting::new(self.target, "BLPOP", &self.key, timeout, element)
    }

    /// Takes the last element, waiting for one up to `timeout`, or for ever; see [`List::pop_front_waiting`].
    pub fn pop_back_waiting(&self, timeout: Option<Duration>) -> Waiting<Value> {
        Waiting::new(self.target, "BRPOP", &self.key, timeout, element)
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
        Waiting::new(self.target, "BZPOPMIN", &self.key, timeout, scored)
    }

    /// Takes the member with the highest score, waiting for one up to `timeout`, or for ever; see
    /// [`Zset::pop_min_waiting`].
    pub fn pop_max_waiting(&self, timeout: Option<Duration>) -> Waiting<Scored> {
        Waiting::new(self.target, "BZPOPMAX", &self.key, timeout, scored)
    }
}
