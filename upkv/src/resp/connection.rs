//! A session that is spoken to in bytes.
//!
//! Replies go to one buffer in the order of requests. While a command runs the buffer is locked, so what the command
//! itself sets off, such as the invalidation of a key it has just read, comes after its reply. While a command waits
//! the buffer is free, and messages pass.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::request::{Limits, Parser, Request};
use crate::command::{Replies, Reply, Session, Step};
use crate::error::Result;
use crate::server::clients::Client;
use crate::server::pause::PauseWait;
use crate::server::stats::Traffic;
use crate::server::waiter::Parked;
use crate::storage::Clock;
use crate::storage::sync::{Mutex, MutexGuard};

/// A client on the other end of a stream of bytes, in RESP2 or RESP3.
///
/// Feed it what the socket received; send what its [`Output`] hands out. One thread, or task, does the first and
/// another the second, since messages come at any time.
///
/// # Examples
///
/// ```
/// use upkv::{Connection, Db, Store};
/// let db = Db::mount(&Store::memory()?, "cache")?;
/// let mut connection = Connection::new(db.session());
/// let output = connection.output();
/// assert!(connection.feed(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\nGET a\r\n"));
/// assert_eq!(output.take(), b"+OK\r\n$1\r\n1\r\n");
/// assert!(!connection.feed(b"QUIT\r\n"), "the stream is to be closed");
/// assert_eq!(output.wait().expect("the last reply"), b"+OK\r\n");
/// assert_eq!(output.wait(), None);
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Debug)]
pub struct Connection {
    session: Session,
    parser: Parser,
    output: Output,
    /// A command that waits.
    parked: Option<Parked>,
    /// A request that a pause holds back.
    delayed: Option<Request>,
}

/// Where the bytes come out that a [`Connection`] sends. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Output {
    client: Arc<Client>,
    buffer: Arc<Mutex<Buffer>>,
    sent: Arc<Traffic>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    limit_bytes: usize,
    /// How messages are written.
    proto: u8,
    subscribed: bool,
    /// Nothing more comes.
    closed: bool,
}

impl Buffer {
    /// Appends a reply; `false` if too much waits already.
    fn write(&mut self, reply: &Reply) -> bool {
        if self.proto == 2 {
            reply.write_resp2(&mut self.bytes);
        } else {
            reply.write_resp3(&mut self.bytes);
        }
        self.limit_bytes == 0 || self.bytes.len() <= self.limit_bytes
    }
}

impl Connection {
    /// A connection that has received nothing. If there are more than `maxclients` it is refused: its output says so,
    /// and the first [`Connection::feed`], for which there may be nothing to wait, answers `false`.
    pub fn new(session: Session) -> Self {
        let buffer = Buffer {
            bytes: Vec::new(),
            limit_bytes: session.db.engine.server.config.replies_bytes_max(),
            proto: session.protocol(),
            subscribed: false,
            closed: false,
        };
        let output = Output {
            client: Arc::clone(&session.client),
            sent: Arc::clone(&session.db.engine.server.stats.sent),
            clock: Arc::clone(session.db.store.clock()),
            buffer: Arc::new(Mutex::new(buffer)),
        };
        let engine = &session.db.engine;
        let (open, most) = (
            engine.server.clients.len(),
            engine.server.config.max_clients(),
        );
        if let Err(refusal) = engine.rules.check_connection(open, most) {
            engine.server.stats.refuse_connection();
            output.buffer.lock().write(&Reply::from(&refusal));
            session.client.close_after_reply();
        }
        Self {
            session,
            parser: Parser::default(),
            output,
            parked: None,
            delayed: None,
        }
    }

    /// Sets how many bytes of replies may wait to be taken before the connection is closed; 0 is no limit.
    /// Default: what `client-output-buffer-limit` says about normal clients, at first 256 MiB.
    #[must_use]
    pub fn output_limit_bytes(self, bytes: usize) -> Self {
        self.output.buffer.lock().limit_bytes = bytes;
        self
    }

    /// How long the host is to let the socket be silent before it asks whether anybody is there, as `tcp-keepalive`
    /// has it; `None` for ever.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use upkv::{Connection, Db, Store};
    /// let db = Db::mount(&Store::memory()?, "cache")?;
    /// let connection = Connection::new(db.session());
    /// assert_eq!(connection.tcp_keepalive(), Some(Duration::from_secs(300)));
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn tcp_keepalive(&self) -> Option<Duration> {
        self.session.db.engine.server.config.tcp_keepalive()
    }

    /// Where the bytes to send come out.
    pub fn output(&self) -> Output {
        self.output.clone()
    }

    /// The session that is spoken to.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Takes over bytes that were received and runs the requests that are complete; `false` if the stream is to be
    /// closed once the output is sent.
    ///
    /// # Blocking
    ///
    /// As long as a blocking command waits, or a pause holds.
    pub fn feed(&mut self, bytes: &[u8]) -> bool {
        self.take_over(bytes);
        loop {
            if let Some(parked) = self.parked.take() {
                let outcome = parked.wait();
                self.end(outcome);
            }
            let Some(request) = self.next_request() else {
                return self.end_feed();
            };
            let args = arguments(&request);
            match self.session.wait_for_pause(&args) {
                Ok(()) => self.begin(&args),
                Err(error) => self.end(Err(error)),
            }
        }
    }

    /// As [`Connection::feed`] for tasks; needs no runtime. The bytes are taken over at once, and nothing is lost if the
    /// future is dropped: a command that waits goes on waiting, and the next call goes on from there.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::Future;
    /// use std::pin::pin;
    /// use std::task::{Context, Poll, Waker};
    /// use upkv::{Connection, Db, Store};
    /// let db = Db::mount(&Store::memory()?, "cache")?;
    /// let mut connection = Connection::new(db.session());
    /// let output = connection.output();
    /// let open = pin!(connection.feed_async(b"PING\r\n")).poll(&mut Context::from_waker(Waker::noop()));
    /// assert_eq!(open, Poll::Ready(true));
    /// assert_eq!(output.take(), b"+PONG\r\n");
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn feed_async(&mut self, bytes: &[u8]) -> FeedFuture<'_> {
        self.take_over(bytes);
        let pause = self.session.pause_wait();
        FeedFuture {
            connection: self,
            pause,
        }
    }

    fn take_over(&mut self, bytes: &[u8]) {
        let engine = &self.session.db.engine;
        let received = &engine.server.stats.received;
        received.add(engine.mount.clock().monotonic(), bytes.len());
        self.parser.push(bytes);
    }

    /// The next request to run, if one is complete and the connection is open.
    fn next_request(&mut self) -> Option<Request> {
        if self.session.is_closing() {
            return None;
        }
        if let Some(request) = self.delayed.take() {
            return Some(request);
        }
        let authenticated = self.session.account.is_some();
        let config = &self.session.db.engine.server.config;
        let limits = Limits {
            authenticated,
            bulk_bytes_max: config.proto_max_bulk_len(),
            query_bytes_max: config.client_query_buffer_limit(),
        };
        match self.parser.next(limits) {
            // A browser that was lured into sending a form here must not get to the lines in its body.
            Ok(Some(request)) if is_http(&request) => {
                self.session.client.close_after_reply();
                None
            }
            Ok(request) => request,
            Err(why) => {
                self.write(&Reply::Error(format!("ERR Protocol error: {why}")));
                self.session.client.close_after_reply();
                None
            }
        }
    }

    /// Starts a request; its reply is written, or it is left waiting.
    fn begin(&mut self, args: &[&[u8]]) {
        let output = self.output.clone();
        let mut buffer = output.buffer.lock();
        output.take_in(&mut buffer);
        let before = self.session.replies_mode();
        match self.session.start(args) {
            Ok(Step::Parked(parked)) => self.parked = Some(parked),
            Ok(Step::Done(reply)) => self.answer(&mut buffer, before, &reply),
            Err(error) => self.answer(&mut buffer, before, &Reply::from(&error)),
        }
        drop(buffer);
        output.client.inbox.wake();
    }

    /// Writes the reply of a request that waited.
    fn end(&mut self, outcome: Result<Reply>) {
        self.session.client.set_parked(None);
        if self.session.is_closing() {
            // Who was cut off gets no answer.
            return;
        }
        let reply = outcome.unwrap_or_else(|error| Reply::from(&error));
        let output = self.output.clone();
        let before = self.session.replies_mode();
        self.answer(&mut output.buffer.lock(), before, &reply);
        output.client.inbox.wake();
    }

    fn answer(&mut self, buffer: &mut Buffer, before: Replies, reply: &Reply) {
        buffer.proto = self.session.proto;
        buffer.subscribed = self.session.is_subscribed();
        if self.session.is_silenced(before, reply) {
            return;
        }
        if !buffer.write(reply) {
            self.session.client.close();
            buffer.bytes = Vec::new();
        }
        let waiting = buffer.bytes.len();
        self.session.client.facts().output_bytes = waiting;
    }

    fn write(&mut self, reply: &Reply) {
        self.output.buffer.lock().write(reply);
    }

    fn end_feed(&mut self) -> bool {
        let open = !self.session.is_closing();
        self.session.client.facts().input_bytes = self.parser.pending_bytes();
        if !open {
            self.output.close();
        }
        open
    }
}

fn arguments(request: &Request) -> Vec<&[u8]> {
    request.iter().map(Vec::as_slice).collect()
}

fn is_http(request: &Request) -> bool {
    let first = request.first().map_or(&[][..], Vec::as_slice);
    first.eq_ignore_ascii_case(b"post") || first.eq_ignore_ascii_case(b"host:")
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.output.close();
    }
}

impl Output {
    /// Moves messages from the inbox to the buffer.
    fn take_in(&self, buffer: &mut MutexGuard<'_, Buffer>) {
        while let Some(push) = self.client.inbox.take() {
            if let Some(reply) = push.into_reply(buffer.proto, buffer.subscribed) {
                buffer.write(&reply);
            }
        }
    }

    fn close(&self) {
        let mut buffer = self.buffer.lock();
        self.take_in(&mut buffer);
        buffer.closed = true;
        drop(buffer);
        self.client.inbox.wake();
    }

    /// Ends the connection from outside, for example because the socket is gone: a command that waits there ends, and
    /// [`Connection::feed`] answers `false`.
    pub fn disconnect(&self) {
        self.client.close();
    }

    /// The bytes to send now.
    pub fn take(&self) -> Vec<u8> {
        let mut buffer = self.buffer.lock();
        self.take_in(&mut buffer);
        self.client.facts().output_bytes = 0;
        let bytes = std::mem::take(&mut buffer.bytes);
        if !bytes.is_empty() {
            self.sent.add(self.clock.monotonic(), bytes.len());
        }
        bytes
    }

    /// The bytes to send; empty if there are none, `None` if none will come any more.
    fn next_bytes(&self) -> Option<Vec<u8>> {
        let bytes = self.take();
        let over = || self.buffer.lock().closed || self.client.inbox.is_closed();
        (!bytes.is_empty() || !over()).then_some(bytes)
    }

    /// Waits for bytes to send; `None` once the connection is closed and everything was taken.
    ///
    /// # Blocking
    ///
    /// Until there is a reply or a message, or the connection is closed.
    pub fn wait(&self) -> Option<Vec<u8>> {
        loop {
            let ticket = self.client.inbox.signal.ticket();
            let bytes = self.next_bytes()?;
            if !bytes.is_empty() {
                return Some(bytes);
            }
            self.client.inbox.signal.wait(ticket, None);
        }
    }

    /// As [`Output::wait`] for tasks; needs no runtime. One task at a time.
    pub fn wait_async(&self) -> NextOutput<'_> {
        NextOutput { output: self }
    }
}

/// Bytes that are to come; see [`Output::wait_async`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is polled"]
pub struct NextOutput<'o> {
    output: &'o Output,
}

impl Future for NextOutput<'_> {
    type Output = Option<Vec<u8>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // First the waker: what comes after it wakes the task.
        self.output.client.inbox.wake_later(context.waker());
        match self.output.next_bytes() {
            Some(bytes) if bytes.is_empty() => Poll::Pending,
            bytes => Poll::Ready(bytes),
        }
    }
}

/// Requests that are being run; see [`Connection::feed_async`].
#[derive(Debug)]
#[must_use = "a future does nothing until it is polled"]
pub struct FeedFuture<'c> {
    connection: &'c mut Connection,
    pause: PauseWait,
}

impl Future for FeedFuture<'_> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        let Self { connection, pause } = &mut *self;
        loop {
            if let Some(parked) = &mut connection.parked {
                let Poll::Ready(outcome) = parked.poll(context) else {
                    return Poll::Pending;
                };
                connection.parked = None;
                connection.end(outcome);
            }
            let Some(request) = connection.next_request() else {
                return Poll::Ready(connection.end_feed());
            };
            let args = arguments(&request);
            if pause.poll(context, || connection.session.paused_until(&args)) {
                connection.delayed = Some(request);
                return Poll::Pending;
            }
            connection.begin(&args);
        }
    }
}
