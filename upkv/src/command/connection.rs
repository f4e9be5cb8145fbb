//! Chapter: the connection itself. HELLO, AUTH, SELECT, RESET, QUIT, MONITOR.

use std::sync::Arc;

use super::args::{self, Args};
use super::reply::Reply;
use super::row::{Command, NO_KEYS, rows, session};
use super::session::{Names, Replies, Session, TrackingMode};
use crate::error::{Error, Result};
use crate::number;
use crate::server;
use crate::server::acl::{Account, DEFAULT_USER};

pub(super) static ROWS: &[Command] = rows! { "connection";
    "auth" -2 FAST | NOAUTH | NOSCRIPT | LOADING | STALE, NO_KEYS, session(auth), "1.0.0", "O(users)",
        "Logs in";
    "hello" -1 FAST | NOAUTH | NOSCRIPT | LOADING | STALE, NO_KEYS, session(hello), "6.0.0", "O(1)",
        "Starts a connection in a version of the protocol";
    "monitor" 1 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, session(monitor), "1.0.0", "O(1)",
        "Shows all commands as they run";
    "quit" -1 CONTROL | FAST | NOAUTH | NOSCRIPT | LOADING | STALE, NO_KEYS, session(quit), "1.0.0", "O(1)",
        "Closes the connection";
    "reset" 1 CONTROL | FAST | NOAUTH | NOSCRIPT | LOADING | STALE, NO_KEYS, session(reset), "6.2.0", "O(subscriptions)",
        "Makes the connection as it was at first";
    "select" 2 FAST | LOADING | STALE, NO_KEYS, session(select), "1.0.0", "O(1)",
        "Changes the database";
};

/// A login that fails.
#[cold]
pub(crate) fn wrong_password() -> Error {
    Error::refused("WRONGPASS invalid username-password pair or user is disabled.")
}

impl Session {
    /// A client that has not logged in yet.
    pub(super) fn enter_as_default(&mut self) {
        self.account = self.db.engine.server.acl.open_default();
        self.client.facts().user = DEFAULT_USER.into();
    }

    /// Acts as a user from now on.
    pub(crate) fn enter(&mut self, account: Arc<Account>) -> Result<()> {
        let acl = &self.db.engine.server.acl;
        let before = std::mem::replace(&mut self.client.facts().user, (*account.name).into());
        // Whoever deletes a user closes the clients that bear its name after it is gone.
        let known = acl.find(&account.name);
        if !known.is_some_and(|known| Arc::ptr_eq(&known, &account)) {
            self.client.facts().user = before;
            return Err(wrong_password());
        }
        self.account = Some(account);
        Ok(())
    }

    /// Logs in; `word` is what was said to do so.
    pub(crate) fn login(&mut self, word: &[u8], user: &[u8], password: &[u8]) -> Result<()> {
        if let Some(account) = self.db.engine.server.acl.log_in(user, password) {
            return self.enter(account);
        }
        self.note_refusal("auth", word, &String::from_utf8_lossy(user));
        Err(wrong_password())
    }

    pub(super) fn set_name(&mut self, name: &[u8]) -> Result<()> {
        self.client.facts().name = plain_name(name, "Client names")?;
        Ok(())
    }

    fn set_protocol(&mut self, proto: u8) {
        self.proto = proto;
        self.client.facts().proto = proto;
    }
}

/// A name that fits into a line about clients.
pub(super) fn plain_name(name: &[u8], what: &str) -> Result<String> {
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Ok(String::from_utf8_lossy(name).into_owned());
    }
    Err(Error::refused_with(format!(
        "ERR {what} cannot contain spaces, newlines or special characters."
    )))
}

fn auth(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    match args {
        [_, _] if session.db.engine.server.acl.default_needs_no_password() => Err(Error::refused(
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
             configuration is correct?",
        )),
        [word, password] => {
            session.login(word, DEFAULT_USER.as_bytes(), password)?;
            Ok(Reply::OK)
        }
        [word, user, password] => session.login(word, user, password).map(|()| Reply::OK),
        _ => Err(Error::syntax()),
    }
}

fn hello(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    let mut proto = None;
    if let Some(version) = args.get(1) {
        let number = number::parse_i64(version).ok_or_else(|| {
            Error::refused("ERR Protocol version is not an integer or out of range")
        })?;
        let known = u8::try_from(number)
            .ok()
            .filter(|number| matches!(number, 2 | 3));
        let unknown = || Error::refused("NOPROTO unsupported protocol version");
        proto = Some(known.ok_or_else(unknown)?);
    }
    let (mut login, mut name) = (None, None);
    let mut rest = args.get(2..).unwrap_or_default();
    while let [option, after @ ..] = rest {
        rest = match after {
            [user, password, rest @ ..] if args::is(option, "AUTH") => {
                login = Some((user, password));
                rest
            }
            [value, rest @ ..] if args::is(option, "SETNAME") => {
                plain_name(value, "Client names")?;
                name = Some(value);
                rest
            }
            _ => {
                let option = String::from_utf8_lossy(option);
                return Err(Error::refused_with(format!(
                    "ERR Syntax error in HELLO option '{option}'"
                )));
            }
        };
    }
    if let Some((user, password)) = login {
        session.login(args[0], user, password)?;
    }
    if session.account.is_none() {
        return Err(Error::refused(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
             <user> <pass> option can be used to authenticate the client and select the RESP protocol version at \
             the same time",
        ));
    }
    if let Some(name) = name {
        session.set_name(name)?;
    }
    if let Some(proto) = proto {
        session.set_protocol(proto);
    }
    let text = |text: &str| Reply::bulk_copy(text.as_bytes());
    let id = i64::try_from(session.id()).unwrap_or(i64::MAX);
    Ok(Reply::Map(vec![
        (text("server"), text("redis")),
        (text("version"), text(server::VERSION)),
        (text("proto"), Reply::Int(i64::from(session.proto))),
        (text("id"), Reply::Int(id)),
        (text("mode"), text("standalone")),
        (text("role"), text("master")),
        (text("modules"), Reply::Array(Vec::new())),
    ]))
}

fn select(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    let databases = session.db.engine.rules.databases();
    session.select(args::database(args[1], databases)?);
    Ok(Reply::OK)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn quit(session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    session.client.close_after_reply();
    Ok(Reply::OK)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn reset(session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    session.end_queue();
    session.forget_watched();
    session.leave_all_channels();
    session.names = Names::default();
    session.replies = Replies::On;
    session.touches = true;
    session.tracking = TrackingMode::default();
    let (server, id) = (&session.db.engine.server, session.client.id());
    server.tracking.stop(id);
    server.monitor.leave(id);
    {
        let mut facts = session.client.facts();
        facts.monitors = false;
        facts.no_evict = false;
        facts.no_touch = false;
        facts.name.clear();
    }
    session.set_protocol(2);
    session.select(0);
    session.enter_as_default();
    Ok(Reply::Status("RESET"))
}

fn monitor(session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    if session.in_exec {
        return Err(Error::refused(
            "ERR MONITOR isn't allowed for DENY BLOCKING client",
        ));
    }
    let server = &session.db.engine.server;
    server.monitor.watch(&session.client.inbox);
    session.client.facts().monitors = true;
    Ok(Reply::OK)
}
