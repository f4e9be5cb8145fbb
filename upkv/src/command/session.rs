//! One client's view of the database: what it queued, watches, listens to, and how it is answered.
//!
//! Order of checks: name, number of arguments, authentication, what a subscriber may do, a pause, room in memory; then a
//! command is queued, if MULTI was given, or runs. What others see of the session is in its [`Client`].

use std::collections::BTreeSet;
use std::sync::Arc;

use super::args::Args;
use super::counting::Ended;
use super::multi::{Queue, Watch};
use super::reply::Reply;
use super::row::{
    BLOCKING, CONTROL, Command, Handler, NO_MULTI, NOAUTH, PUBSUB, READ, RUNS, WRITE,
};
use super::secrets;
use super::waiting::CommandFuture;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::keyspace::engine::Caller;
use crate::server::acl::Account;
use crate::server::blocked::Started;
use crate::server::channels::Of;
use crate::server::clients::Client;
use crate::server::inbox::Wakes;
use crate::server::pause::PauseWait;

use crate::server::waiter::Parked;
use crate::storage::Timestamp;

/// One client's view of a database: what it queued, what it watches and what it is subscribed to.
///
/// Blocking commands such as `BLPOP` block [`Session::command`], and suspend [`Session::command_async`].
///
/// # Examples
///
/// ```
/// use upkv::{Db, Reply, Store};
/// let db = Db::mount(&Store::memory()?, "cache")?;
/// let mut session = db.session();
/// session.command(["WATCH", "stock"])?;
/// session.command(["MULTI"])?;
/// assert_eq!(session.command(["INCR", "stock"])?, Reply::Status("QUEUED"));
/// assert_eq!(session.command(["EXEC"])?, Reply::Array(vec![Reply::Int(1)]));
/// # Ok::<(), upkv::Error>(())
/// ```
#[derive(Debug)]
pub struct Session {
    pub(crate) db: Db,
    pub(crate) client: Arc<Client>,
    /// 2 or 3, as `HELLO` set it.
    pub(crate) proto: u8,
    /// The user; `None` before a login that is needed.
    pub(crate) account: Option<Arc<Account>>,
    pub(super) queue: Option<Queue>,
    pub(super) watched: Vec<Watch>,
    pub(super) names: Names,
    pub(super) replies: Replies,
    /// What `CLIENT TRACKING` and `CLIENT CACHING` asked for.
    pub(super) tracking: TrackingMode,
    /// Whether what is read counts as used.
    pub(super) touches: bool,
    /// Commands that run are part of a transaction.
    pub(super) in_exec: bool,
    /// The limit of memory was changed, and what exceeds it was not evicted yet.
    pub(super) over_memory: bool,
}

/// Names the session is subscribed to.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) channels: BTreeSet<Box<[u8]>>,
    pub(super) patterns: BTreeSet<Box<[u8]>>,
    pub(super) shards: BTreeSet<Box<[u8]>>,
}

/// Which replies are sent: `CLIENT REPLY`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Replies {
    #[default]
    On,
    Off,
    /// All but that of the next command.
    SkipNext,
}

/// Which reads are tracked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command"
)]
pub(super) struct TrackingMode {
    pub(super) on: bool,
    /// All keys with some prefixes, read or not.
    pub(super) broadcast: bool,
    pub(super) opt_in: bool,
    pub(super) opt_out: bool,
    /// `CLIENT CACHING` was given for the next command.
    pub(super) caching: bool,
}

/// What a command came to at first.
pub(crate) enum Step {
    Done(Reply),
    /// It waits; the reply comes when it is served.
    Parked(Parked),
}

impl Session {
    pub(crate) fn new(db: Db) -> Self {
        let server = &db.engine.server;
        let client = server
            .clients
            .enter(server.inbox(), db.engine.mount.now(), db.index);
        let mut session = Self {
            db,
            client,
            proto: 2,
            account: None,
            queue: None,
            watched: Vec::new(),
            names: Names::default(),
            replies: Replies::On,
            tracking: TrackingMode::default(),
            touches: true,
            in_exec: false,
            over_memory: false,
        };
        session.enter_as_default();
        session
    }

    /// Number of the session among the clients, as `CLIENT ID` answers.
    pub fn id(&self) -> u64 {
        self.client.id()
    }

    /// Tells where the client is connected from and to, as `CLIENT LIST` shows it.
    pub fn set_addresses(&mut self, remote: &str, local: &str) {
        let mut facts = self.client.facts();
        facts.address = remote.into();
        facts.local_address = local.into();
    }

    /// Which protocol the client asked for with `HELLO`: 2 or 3.
    pub fn protocol(&self) -> u8 {
        self.proto
    }

    /// Whether the connection is to be closed: after `QUIT` or `SHUTDOWN`, when another client killed this one, or when it did not
    /// take its messages in time.
    pub fn is_closing(&self) -> bool {
        self.client.is_closing()
    }

    /// Runs, or inside MULTI queues, one command.
    ///
    /// # Errors
    ///
    /// What Redis would reply as an error line; [`Error::Storage`] if the store refuses or fails.
    ///
    /// # Durability
    ///
    /// EXEC is one commit: after a crash all of it is there or nothing.
    ///
    /// # Blocking
    ///
    /// A blocking command until it is served or its time is over; any command while `CLIENT PAUSE` holds.
    pub fn command<A: AsRef<[u8]>>(&mut self, args: impl IntoIterator<Item = A>) -> Result<Reply> {
        let owned: Vec<A> = args.into_iter().collect();
        let args: Vec<&[u8]> = owned.iter().map(AsRef::as_ref).collect();
        self.wait_for_pause(&args)?;
        match self.start(&args)? {
            Step::Done(reply) => Ok(reply),
            Step::Parked(parked) => {
                let outcome = parked.wait();
                self.client.set_parked(None);
                outcome
            }
        }
    }

    /// As [`Session::command`] for tasks: the future waits where `command` blocks. It needs no runtime. Dropped while it
    /// waits, it waits no longer, and takes nothing;
    /// dropped after it was served and before it was polled again, it loses what it took, as a client does whose
    /// connection breaks at that moment.
    ///
    /// Deadlines of futures are timers of the store: they come due on its maintenance thread, or in
    /// [`crate::Store::maintain`] where it has none.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::Future;
    /// use std::pin::pin;
    /// use std::task::{Context, Poll, Waker};
    /// let db = upkv::Db::mount(&upkv::Store::memory()?, "cache")?;
    /// let mut session = db.session();
    /// let mut future = pin!(session.command_async(["GET", "missing"]));
    /// let reply = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    /// assert!(matches!(reply, Poll::Ready(Ok(upkv::Reply::Null))));
    /// # Ok::<(), upkv::Error>(())
    /// ```
    pub fn command_async<A: AsRef<[u8]>>(
        &mut self,
        args: impl IntoIterator<Item = A>,
    ) -> CommandFuture<'_> {
        let args = args.into_iter();
        CommandFuture::new(self, args.map(|arg| arg.as_ref().into()).collect())
    }

    pub(super) fn is_queueing(&self) -> bool {
        self.queue.is_some()
    }

    /// The next message or notice that came without being asked for, if there is one.
    pub fn next_push(&mut self) -> Option<Reply> {
        loop {
            let push = self.client.inbox.take()?;
            if let Some(reply) = push.into_reply(self.proto, self.is_subscribed()) {
                return Some(reply);
            }
        }
    }

    /// Whether a command is PING and answers in the form of a message.
    pub(super) fn pings_as_subscriber(&self, command: &Command) -> bool {
        command.name == "ping" && self.proto == 2 && self.is_subscribed()
    }

    pub(crate) fn is_subscribed(&self) -> bool {
        self.names.count() > 0
    }

    pub(crate) fn pause_wait(&self) -> PauseWait {
        PauseWait::new(&self.db.engine)
    }

    pub(crate) fn replies_mode(&self) -> Replies {
        self.replies
    }

    /// Whether the reply of a command is not sent; `before` is the mode when it started.
    pub(crate) fn is_silenced(&mut self, before: Replies, reply: &Reply) -> bool {
        if matches!(reply, Reply::Sequence(replies) if replies.is_empty()) {
            return true;
        }
        if before == Replies::SkipNext && self.replies == Replies::SkipNext {
            self.replies = Replies::On;
            return !is_push(reply);
        }
        self.replies == Replies::Off && !is_push(reply)
    }

    /// Until when the command has to wait, if a pause holds for it.
    pub(crate) fn paused_until(&self, args: &Args<'_>) -> Option<Timestamp> {
        let engine = &self.db.engine;
        let may_write = || match Command::find(args) {
            Ok(command) if command.name == "exec" => self.queue.as_ref().is_some_and(Queue::writes),
            Ok(command) => command.has(WRITE | RUNS) || command.name.ends_with("publish"),
            Err(_) => false,
        };
        let now = engine.mount.now();
        engine.server.pause.until(now, true)?;
        engine.server.pause.until(now, may_write())
    }

    pub(crate) fn wait_for_pause(&self, args: &Args<'_>) -> Result<()> {
        let signal = &self.db.engine.server.pause.signal;
        loop {
            let ticket = signal.ticket();
            let Some(until) = self.paused_until(args) else {
                return Ok(());
            };
            if self.is_closing() {
                return Ok(());
            }
            self.db.store.wait(signal, ticket, Some(until))?;
        }
    }

    /// Runs, queues or parks one command.
    pub(crate) fn start(&mut self, args: &Args<'_>) -> Result<Step> {
        if self.client.is_closing() {
            return Err(Error::refused("ERR the connection is closed"));
        }
        let command = match Command::find(args) {
            Ok(command) => command,
            Err(_) if self.queue.is_none() && self.db.engine.rules.removes_nothing(args) => {
                return Ok(Step::Done(Reply::Int(0)));
            }
            Err(error) => {
                let stats = &self.db.engine.server.stats;
                stats.refused(None, &error.to_string());
                return Err(self.refuse(args, error));
            }
        };
        {
            let mut facts = self.client.facts();
            facts.last = self.db.engine.mount.now();
            facts.command = command.name;
        }
        let fits = self.db.engine.rules.check_request(args);
        if let Err(error) = fits.and_then(|()| self.may_run(command, args)) {
            let stats = &self.db.engine.server.stats;
            stats.refused(Some(command), &error.to_string());
            return Err(self.refuse(args, error));
        }
        if !command.has(CONTROL) && self.queue.is_some() {
            return self.enqueue(command, args).map(Step::Done);
        }
        let caching = self.tracking.caching;
        let started = self.db.engine.mount.clock().monotonic();
        let outcome = self.run(command, args);
        let now = self.db.engine.mount.clock().monotonic();
        let took = now.saturating_sub(started);
        self.count(command, args, now, took, &Ended::of(&outcome));
        // What CLIENT CACHING says holds for one command that is not about clients, or one transaction.
        if self.queue.is_none() && !command.name.starts_with("client|") && caching {
            self.tracking.caching = false;
        }
        outcome
    }

    fn may_run(&mut self, command: &Command, args: &Args<'_>) -> Result<()> {
        match &self.account {
            Some(account) if account.is_unrestricted() => {}
            Some(_) => self.check_rights(command, args)?,
            None if command.has(NOAUTH) => {}
            None => {
                // It may need no password any longer.
                self.enter_as_default();
                if self.account.is_none() {
                    return Err(Error::refused("NOAUTH Authentication required."));
                }
                self.check_rights(command, args)?;
            }
        }
        let free = matches!(command.name, "ping" | "quit" | "reset");
        let subscribes = command.has(PUBSUB) && command.name.ends_with("subscribe");
        if self.proto == 2 && self.names.count() > 0 && !free && !subscribes {
            return Err(Error::refused_with(format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
                command.name
            )));
        }
        if command.has(NO_MULTI) && self.queue.is_some() {
            return Err(Error::refused(
                "ERR Command not allowed inside a transaction",
            ));
        }
        self.db.engine.check_not_busy(command)
    }

    fn run(&mut self, command: &'static Command, args: &Args<'_>) -> Result<Step> {
        let keys = self.tracked_keys(command, args);
        self.remember(&keys);
        let outcome = match command.handler {
            Handler::Session(handler) => {
                let outcome = handler(self, args).map(Step::Done);
                self.feed_monitor(command, args);
                return outcome;
            }
            _ if self.pings_as_subscriber(command) => super::pubsub::ping(args).map(Step::Done),
            Handler::Data(_) | Handler::Container if command.has(BLOCKING) => {
                self.start_waiting(command, args)
            }
            Handler::Data(_) | Handler::Direct { .. } | Handler::Container => {
                super::run(&self.db.engine, self.caller(), command, args).map(Step::Done)
            }
        };
        self.remember(&keys);
        self.feed_monitor(command, args);
        outcome
    }

    pub(crate) fn start_waiting(
        &mut self,
        command: &'static Command,
        args: &Args<'_>,
    ) -> Result<Step> {
        let engine = &self.db.engine;
        engine.check_room_for(command, args)?;
        Ok(match engine.start_waiting(self.caller(), command, args)? {
            Started::Done(reply) => Step::Done(reply),
            Started::Parked(waiter) => {
                let parked = Parked::new(engine, &self.db.store, waiter);
                self.client.set_parked(Some(Arc::clone(parked.waiter())));
                // A kill between the park and this note would have missed it.
                if self.client.is_closing() {
                    self.client.unblock(false);
                }
                Step::Parked(parked)
            }
        })
    }

    fn is_restricted(&self) -> bool {
        let account = self.account.as_ref();
        account.is_some_and(|account| !account.is_unrestricted())
    }

    pub(super) fn caller(&self) -> Caller {
        Caller {
            db: self.db.index,
            level: self
                .db
                .level
                .or_else(|| self.db.engine.server.config.durability()),
            client: self.client.id(),
            touches: self.touches,
            restricted: self.is_restricted(),
            told_busy: true,
        }
    }

    pub(super) fn feed_monitor(&self, command: &Command, args: &Args<'_>) {
        let monitor = &self.db.engine.server.monitor;
        if !monitor.is_used() || command.has(super::row::ADMIN) || command.name == "exec" {
            return;
        }
        self.show_monitor(&secrets::shown(command, args));
    }

    pub(super) fn show_monitor(&self, args: &Args<'_>) {
        let engine = &self.db.engine;
        let address = self.client.facts().address.clone();
        let (monitor, now) = (&engine.server.monitor, engine.mount.now());
        monitor.feed(now, self.db.index, &address, args);
    }

    /// The keys of a command whose replies the client wants to be kept up to date about.
    pub(super) fn tracked_keys<'a>(&self, command: &Command, args: &Args<'a>) -> Vec<&'a [u8]> {
        let mode = self.tracking;
        let wanted = mode.on
            && !mode.broadcast
            && command.has(READ)
            && (!mode.opt_in || mode.caching)
            && !(mode.opt_out && mode.caching);
        if wanted {
            command.keys(args)
        } else {
            Vec::new()
        }
    }

    pub(super) fn remember(&self, keys: &[&[u8]]) {
        if !keys.is_empty() {
            let tracking = &self.db.engine.server.tracking;
            tracking.remember(self.client.id(), keys);
        }
    }

    /// Sets the database of the commands that follow.
    pub(crate) fn select(&mut self, db: u8) {
        self.db.index = db;
        self.client.facts().db = db;
    }
}

/// Whether a reply is an acknowledgement, which is sent even when replies are off.
fn is_push(reply: &Reply) -> bool {
    match reply {
        Reply::Push(_) => true,
        Reply::Sequence(replies) => replies.iter().all(is_push),
        _ => false,
    }
}

impl Names {
    pub(super) fn of(&mut self, of: Of) -> &mut BTreeSet<Box<[u8]>> {
        match of {
            Of::Channel => &mut self.channels,
            Of::Pattern => &mut self.patterns,
            Of::Shard => &mut self.shards,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.channels.len() + self.patterns.len() + self.shards.len()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.forget_watched();
        self.leave_all_channels();
        let (server, id) = (&self.db.engine.server, self.client.id());
        server.monitor.leave(id);
        server.tracking.stop(id);
        let mut wakes = Wakes::default();
        self.client.inbox.close(&mut wakes);
        server.clients.leave(id);
    }
}
