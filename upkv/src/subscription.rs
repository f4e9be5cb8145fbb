//! The typed door to channels: publish, subscribe, and waiting for messages in threads and tasks.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::db::Db;
use crate::error::{Error, Result};
use crate::keyspace::engine::Keys;
use crate::server::channels::Of;
use crate::server::inbox::{Inbox, Message, Push, Wakes};
use crate::storage::ErrorKind;

impl Db {
    /// Sends a message to the subscribers of a channel; how many got it. Channels are shared by all databases of a mount.
    ///
    /// # Errors
    ///
    /// None in practice.
    ///
    /// # Complexity
    ///
    /// O(subscribers + patterns); never waits for a subscriber.
    pub fn publish(&self, channel: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Result<usize> {
        let (channel, payload) = (channel.as_ref(), payload.as_ref());
        self.engine.run(self.index, self.level, Keys::Open, |work| {
            Ok(work.publish_message(channel, payload, false))
        })
    }

    /// Listens to channels until the subscription is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// let news = db.subscribe(["news"]);
    /// assert_eq!(db.publish("news", "hello")?, 1);
    /// assert_eq!(news.next()?.payload, "hello");
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn subscribe<N: AsRef<[u8]>>(&self, channels: impl IntoIterator<Item = N>) -> Subscription {
        let mut subscription = Subscription::new(self);
        for channel in channels {
            subscription.add(Of::Channel, channel.as_ref());
        }
        subscription
    }

    /// Listens to all channels that match glob patterns.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// let news = db.subscribe_patterns(["news.*"]);
    /// db.publish("news.sport", "1:0")?;
    /// let message = news.next()?;
    /// assert_eq!(message.channel, "news.sport");
    /// assert_eq!(message.pattern.expect("it came by the pattern"), "news.*");
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn subscribe_patterns<N: AsRef<[u8]>>(
        &self,
        patterns: impl IntoIterator<Item = N>,
    ) -> Subscription {
        let mut subscription = Subscription::new(self);
        for pattern in patterns {
            subscription.add(Of::Pattern, pattern.as_ref());
        }
        subscription
    }

    /// Sets which keyspace events are published, in the letters of Redis' `notify-keyspace-events`; empty is none.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] for an unknown letter; nothing changes then.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// db.set_keyspace_events("KEA")?;
    /// assert_eq!(db.keyspace_events(), "AKE");
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn set_keyspace_events(&self, letters: impl AsRef<[u8]>) -> Result<()> {
        if self.engine.server.events.set(letters.as_ref()) {
            return Ok(());
        }
        Err(Error::refused(
            "ERR Invalid event class character. Use 'Ag$lshzxeKEtmdn'.",
        ))
    }

    /// Which keyspace events are published.
    pub fn keyspace_events(&self) -> String {
        self.engine.server.events.text()
    }

    /// Sets how many keys are remembered for clients that track what they read; for each one above, another is dropped,
    /// and who reads it is told to forget it. 0 is no limit. Default: 1,000,000.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// db.set_tracked_keys_max(1);
    /// let mut session = db.session();
    /// session.command(["HELLO", "3"])?;
    /// session.command(["CLIENT", "TRACKING", "ON"])?;
    /// session.command(["GET", "a"])?;
    /// session.command(["GET", "b"])?;
    /// assert_eq!(db.stats().tracked_keys, 1);
    /// assert!(session.next_push().is_some(), "one of the keys is to be forgotten");
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn set_tracked_keys_max(&self, count: usize) {
        self.engine.server.tracking.set_keys_max(count);
    }

    /// Sets how many bytes of messages may wait for one subscriber or client before it is cut off; 0 is no limit.
    /// Default: 32 MiB.
    ///
    /// # Examples
    ///
    /// ```
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// db.set_message_limit_bytes(1_000);
    /// let slow = db.subscribe(["news"]);
    /// db.publish("news", [b'x'; 2_000])?;
    /// assert!(slow.next().is_err(), "the subscriber did not keep up");
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn set_message_limit_bytes(&self, bytes: usize) {
        self.engine.server.set_inbox_limit(bytes);
    }
}

/// Messages of some channels, from the moment it was made; dropping it ends the subscription.
///
/// A subscriber that does not keep up is cut off: see [`Db::set_message_limit_bytes`].
#[derive(Debug)]
pub struct Subscription {
    db: Db,
    inbox: Arc<Inbox>,
    names: Vec<(Of, Box<[u8]>)>,
}

impl Subscription {
    fn new(db: &Db) -> Self {
        Self {
            db: db.clone(),
            inbox: db.engine.server.inbox(),
            names: Vec::new(),
        }
    }

    fn add(&mut self, of: Of, name: &[u8]) {
        self.db
            .engine
            .server
            .channels
            .subscribe(of, name, &self.inbox);
        self.names.push((of, name.into()));
    }

    fn message(push: Push) -> Option<Message> {
        match push {
            Push::Message(message) => Some(message),
            _ => None,
        }
    }

    /// The next message if one has arrived.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the subscriber was cut off because it did not keep up; [`Error::Storage`] once the store is
    /// closed.
    pub fn try_next(&self) -> Result<Option<Message>> {
        while let Some(push) = self.inbox.take() {
            if let Some(message) = Self::message(push) {
                return Ok(Some(message));
            }
        }
        if self.inbox.is_closed() {
            Err(self.why_closed())
        } else {
            Ok(None)
        }
    }

    /// Waits for the next message.
    ///
    /// # Errors
    ///
    /// As [`Subscription::try_next`]; [`Error::Storage`] if a deadline that came due meanwhile could not be logged.
    ///
    /// # Blocking
    ///
    /// Until there is a message.
    pub fn next(&self) -> Result<Message> {
        loop {
            let ticket = self.inbox.signal.ticket();
            if let Some(message) = self.try_next()? {
                return Ok(message);
            }
            self.db.store.wait(&self.inbox.signal, ticket, None)?;
        }
    }

    /// Waits for the next message at most for `span`.
    ///
    /// # Errors
    ///
    /// As [`Subscription::next`].
    ///
    /// # Blocking
    ///
    /// Until there is a message, or the time is over.
    pub fn next_within(&self, span: Duration) -> Result<Option<Message>> {
        let deadline = self.db.engine.mount.now().saturating_add(span);
        loop {
            let ticket = self.inbox.signal.ticket();
            let found = self.try_next()?;
            if found.is_some() || self.db.engine.mount.now() >= deadline {
                return Ok(found);
            }
            self.db
                .store
                .wait(&self.inbox.signal, ticket, Some(deadline))?;
        }
    }

    /// The next message, for tasks; needs no runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::Future;
    /// use std::pin::pin;
    /// use std::task::{Context, Poll, Waker};
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// let news = db.subscribe(["news"]);
    /// let mut next = pin!(news.next_async());
    /// let context = &mut Context::from_waker(Waker::noop());
    /// assert!(next.as_mut().poll(context).is_pending());
    /// db.publish("news", "hello")?;
    /// let Poll::Ready(message) = next.as_mut().poll(context) else { panic!() };
    /// assert_eq!(message?.payload, "hello");
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn next_async(&self) -> NextMessage<'_> {
        NextMessage { subscription: self }
    }
}

impl Subscription {
    #[cold]
    fn why_closed(&self) -> Error {
        if self.db.engine.server.is_closed() {
            return Error::Storage(ErrorKind::Closed.into());
        }
        Error::refused(
            "ERR the subscriber was cut off because it did not take its messages in time",
        )
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let channels = &self.db.engine.server.channels;
        for (of, name) in &self.names {
            channels.unsubscribe(*of, name, &self.inbox);
        }
        let mut wakes = Wakes::default();
        self.inbox.close(&mut wakes);
    }
}

/// A message that is to come; see [`Subscription::next_async`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is polled"]
pub struct NextMessage<'s> {
    subscription: &'s Subscription,
}

impl Future for NextMessage<'_> {
    type Output = Result<Message>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match self.subscription.inbox.poll_take(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => {
                    return Poll::Ready(Err(self.subscription.why_closed()));
                }
                Poll::Ready(Some(push)) => {
                    if let Some(message) = Subscription::message(push) {
                        return Poll::Ready(Ok(message));
                    }
                }
            }
        }
    }
}
