//! Chapter: clients about themselves and each other: CLIENT and its subcommands, except those of tracking.

use super::args::{self, Args};
use super::connection::plain_name;
use super::reply::Reply;
use super::row::{CONTAINER, Command, NO_KEYS, rows, session};
use super::session::{Replies, Session};
use crate::error::{Error, Result};
use crate::number;
use crate::server::Server;
use crate::server::clients::{Client, TrackingFacts};
use crate::storage::Timestamp;

pub(super) static ROWS: &[Command] = rows! { "connection";
    "client" -2 NOSCRIPT | LOADING | STALE, NO_KEYS, CONTAINER, "2.4.0", "that of the subcommand",
        "Inspects and steers clients";
    "client|getname" 2 NOSCRIPT | LOADING | STALE, NO_KEYS, session(getname), "2.6.9", "O(1)",
        "Tells the name of the connection";
    "client|help" 2 LOADING | STALE, NO_KEYS, session(help), "5.0.0", "O(1)",
        "Tells the subcommands";
    "client|id" 2 NOSCRIPT | LOADING | STALE, NO_KEYS, session(id), "5.0.0", "O(1)",
        "Tells the number of the connection";
    "client|info" 2 NOSCRIPT | LOADING | STALE, NO_KEYS, session(info), "6.2.0", "O(1)",
        "Tells about the connection";
    "client|kill" -3 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, session(kill), "2.4.0", "O(clients)",
        "Closes connections";
    "client|list" -2 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, session(list), "2.4.0", "O(clients)",
        "Tells about connections";
    "client|no-evict" 3 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, session(no_evict), "7.0.0", "O(1)",
        "Spares the connection when clients use too much memory";
    "client|no-touch" 3 NOSCRIPT | LOADING | STALE, NO_KEYS, session(no_touch), "7.2.0", "O(1)",
        "Lets the connection read without counting as use";
    "client|pause" -3 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, session(pause), "3.0.0", "O(1)",
        "Makes clients wait";
    "client|reply" 3 NOSCRIPT | LOADING | STALE, NO_KEYS, session(reply), "3.2.0", "O(1)",
        "Turns replies on and off";
    "client|setinfo" 4 NOSCRIPT | LOADING | STALE, NO_KEYS, session(setinfo), "7.2.0", "O(1)",
        "Names the library that the client uses";
    "client|setname" 3 NOSCRIPT | LOADING | STALE, NO_KEYS, session(setname), "2.6.9", "O(1)",
        "Names the connection";
    "client|unblock" -3 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, session(unblock), "5.0.0", "O(log clients)",
        "Ends the wait of a blocking command of another client";
    "client|unpause" 2 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, session(unpause), "6.2.0", "O(paused clients)",
        "Ends a pause of clients";
};

/// Lines of text about the subcommands.
pub(super) fn lines_of_help(lines: &[&'static str]) -> Reply {
    Reply::Array(lines.iter().map(|line| Reply::Status(line)).collect())
}

/// A subcommand that was given arguments it does not take.
#[cold]
pub(super) fn wrong_arguments(container: &str, name: &[u8]) -> Error {
    let name = String::from_utf8_lossy(&name[..name.len().min(128)]);
    Error::refused_with(format!(
        "ERR unknown subcommand or wrong number of arguments for '{name}'. Try {container} HELP."
    ))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn help(_session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    Ok(lines_of_help(&[
        "CLIENT CACHING YES|NO: whether the reads of the next command are tracked",
        "CLIENT GETNAME: name of this connection",
        "CLIENT GETREDIR: number of the client that gets this one's invalidations",
        "CLIENT ID: number of this connection",
        "CLIENT INFO: facts about this connection",
        "CLIENT KILL address | [ID id] [ADDR address] [LADDR address] [TYPE type] [USER user] [MAXAGE s] [SKIPME YES|NO]",
        "CLIENT LIST [TYPE type | ID id ...]: facts about connections",
        "CLIENT NO-EVICT ON|OFF: spare this connection",
        "CLIENT NO-TOUCH ON|OFF: read without counting as use",
        "CLIENT PAUSE ms [WRITE|ALL]: make clients wait",
        "CLIENT REPLY ON|OFF|SKIP: which replies are sent",
        "CLIENT SETINFO LIB-NAME|LIB-VER text: library of this connection",
        "CLIENT SETNAME name: name this connection",
        "CLIENT TRACKING ON|OFF [REDIRECT id] [PREFIX prefix ...] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]: track reads",
        "CLIENT TRACKINGINFO: how this connection tracks",
        "CLIENT UNBLOCK id [TIMEOUT|ERROR]: end the wait of a client",
        "CLIENT UNPAUSE: end a pause",
        "CLIENT HELP: these lines",
    ]))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn id(session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    Ok(Reply::Int(i64::try_from(session.id()).unwrap_or(i64::MAX)))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn getname(session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    let name = session.client.facts().name.clone();
    Ok(Reply::bulk_or_null((!name.is_empty()).then_some(name)))
}

fn setname(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    session.set_name(args[2]).map(|()| Reply::OK)
}

fn setinfo(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    let option = String::from_utf8_lossy(args[2]).to_ascii_lowercase();
    let mut facts = session.client.facts();
    match &option[..] {
        "lib-name" => facts.library = plain_name(args[3], "lib-name")?,
        "lib-ver" => facts.library_version = plain_name(args[3], "lib-ver")?,
        _ => {
            let option = String::from_utf8_lossy(args[2]);
            return Err(Error::refused_with(format!(
                "ERR Unrecognized option '{option}'"
            )));
        }
    }
    Ok(Reply::OK)
}

/// The line that `CLIENT LIST` shows about a client.
pub(super) fn line_about(server: &Server, client: &Client, now: Timestamp) -> String {
    let tracking = server.tracking.of(client.id()).map_or_else(
        || TrackingFacts {
            redirect: -1,
            ..TrackingFacts::default()
        },
        |tracker| TrackingFacts {
            on: true,
            prefixes: tracker.prefixes.is_some(),
            broken: tracker.broken,
            redirect: super::tracking::redirect_of(&tracker),
        },
    );
    client.line(now, tracking)
}

impl Session {
    pub(super) fn now(&self) -> Timestamp {
        self.db.engine.mount.now()
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn info(session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    let line = line_about(&session.db.engine.server, &session.client, session.now());
    Ok(Reply::Verbatim(line))
}

/// The class of clients that a word names.
fn class(text: &[u8]) -> Result<&'static str> {
    let classes = ["normal", "master", "replica", "pubsub"];
    if args::is(text, "slave") {
        return Ok("replica");
    }
    let known = classes.into_iter().find(|class| args::is(text, class));
    known.ok_or_else(|| {
        let text = String::from_utf8_lossy(text);
        Error::refused_with(format!("ERR Unknown client type '{text}'"))
    })
}

fn list(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    let clients = &session.db.engine.server.clients;
    let chosen = match &args[2..] {
        [] => clients.all(),
        [word, text] if args::is(word, "TYPE") => {
            let class = class(text)?;
            let mut all = clients.all();
            all.retain(|client| client.class() == class);
            all
        }
        [word, ids @ ..] if args::is(word, "ID") && !ids.is_empty() => {
            let mut chosen = Vec::new();
            for id in ids {
                let id =
                    number::parse_i64(id).ok_or_else(|| Error::refused("ERR Invalid client ID"))?;
                chosen.extend(u64::try_from(id).ok().and_then(|id| clients.find(id)));
            }
            chosen
        }
        _ => return Err(Error::syntax()),
    };
    let now = session.now();
    let lines = chosen
        .iter()
        .map(|client| line_about(&session.db.engine.server, client, now));
    Ok(Reply::Verbatim(lines.collect()))
}

/// Which clients to close.
struct Filter<'a> {
    id: Option<u64>,
    address: Option<&'a [u8]>,
    local_address: Option<&'a [u8]>,
    class: Option<&'static str>,
    user: Option<&'a [u8]>,
    age_min: Option<u64>,
    skip_me: bool,
}

impl<'a> Filter<'a> {
    fn parse(pairs: &[&'a [u8]]) -> Result<Self> {
        let mut filter = Self {
            id: None,
            address: None,
            local_address: None,
            class: None,
            user: None,
            age_min: None,
            skip_me: true,
        };
        for pair in pairs.chunks(2) {
            let [option, value] = *pair else {
                return Err(Error::syntax());
            };
            let positive = |refusal: &'static str| {
                let value = number::parse_i64(value).filter(|value| *value > 0);
                let value = value.and_then(|value| u64::try_from(value).ok());
                value.ok_or_else(|| Error::refused(refusal))
            };
            match &String::from_utf8_lossy(option).to_ascii_uppercase()[..] {
                "ID" => filter.id = Some(positive("ERR client-id should be greater than 0")?),
                "MAXAGE" => {
                    filter.age_min =
                        Some(positive("ERR maxage is not an integer or out of range")?);
                }
                "TYPE" => filter.class = Some(class(value)?),
                "ADDR" => filter.address = Some(value),
                "LADDR" => filter.local_address = Some(value),
                "USER" => filter.user = Some(value),
                "SKIPME" if args::is(value, "YES") => filter.skip_me = true,
                "SKIPME" if args::is(value, "NO") => filter.skip_me = false,
                _ => return Err(Error::syntax()),
            }
        }
        Ok(filter)
    }

    fn takes(&self, client: &Client, now: Timestamp) -> bool {
        let facts = client.facts().clone();
        let is = |wanted: Option<&[u8]>, found: &str| {
            wanted.is_none_or(|wanted| wanted == found.as_bytes())
        };
        self.id.is_none_or(|id| id == client.id())
            && is(self.address, &facts.address)
            && is(self.local_address, &facts.local_address)
            && is(self.user, &facts.user)
            && self.class.is_none_or(|class| class == client.class())
            && self
                .age_min
                .is_none_or(|age| client.age_seconds(now) >= age)
    }
}

fn kill(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    let old_form = args.len() == 3;
    let filter = match &args[2..] {
        [address] => Filter {
            address: Some(address),
            skip_me: false,
            ..Filter::parse(&[])?
        },
        pairs => Filter::parse(pairs)?,
    };
    let acl = &session.db.engine.server.acl;
    let is_unknown =
        |name: &&[u8]| str::from_utf8(name).map_or(true, |name| acl.find(name).is_none());
    if let Some(name) = filter.user.filter(is_unknown) {
        let name = String::from_utf8_lossy(name);
        return Err(Error::refused_with(format!("ERR No such user '{name}'")));
    }
    let (me, now) = (session.id(), session.now());
    let mut count = 0;
    for client in session.db.engine.server.clients.all() {
        if client.is_closing()
            || !filter.takes(&client, now)
            || (filter.skip_me && client.id() == me)
        {
            continue;
        }
        count += 1;
        if client.id() == me {
            client.close_after_reply();
        } else {
            client.close();
        }
    }
    match (old_form, count) {
        (true, 0) => Err(Error::refused("ERR No such client")),
        (true, _) => Ok(Reply::OK),
        (false, count) => Ok(Reply::count(count)),
    }
}

fn unblock(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    let with_error = match &args[3..] {
        [] => false,
        [reason] if args::is(reason, "TIMEOUT") => false,
        [reason] if args::is(reason, "ERROR") => true,
        [_] => {
            return Err(Error::refused(
                "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
            ));
        }
        _ => return Err(wrong_arguments("CLIENT", args[1])),
    };
    let id = args::int(args[2])?;
    let client = u64::try_from(id).ok();
    let client = client.and_then(|id| session.db.engine.server.clients.find(id));
    let ended = client.is_some_and(|client| client.unblock(with_error));
    Ok(Reply::flag(ended))
}

fn pause(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    let writes_only = match &args[3..] {
        [] => false,
        [mode] if args::is(mode, "WRITE") => true,
        [mode] if args::is(mode, "ALL") => false,
        [_] => {
            return Err(Error::refused("ERR CLIENT PAUSE mode must be WRITE or ALL"));
        }
        _ => return Err(wrong_arguments("CLIENT", args[1])),
    };
    let refused = || Error::refused("ERR timeout is not an integer or out of range");
    let span = number::parse_i64(args[2]).ok_or_else(refused)?;
    let negative = |_| Error::refused("ERR timeout is negative");
    let span = u64::try_from(span).map_err(negative)?;
    let now = session.now();
    let until = Timestamp::from_millis(now.as_millis().saturating_add(span));
    session
        .db
        .engine
        .server
        .pause
        .start(now, until, writes_only);
    Ok(Reply::OK)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn unpause(session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    session.db.engine.server.pause.end();
    Ok(Reply::OK)
}

fn reply(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    if args::is(args[2], "ON") {
        session.replies = Replies::On;
        return Ok(Reply::OK);
    }
    if args::is(args[2], "OFF") {
        session.replies = Replies::Off;
    } else if !args::is(args[2], "SKIP") {
        return Err(Error::syntax());
    } else if session.replies == Replies::On {
        session.replies = Replies::SkipNext;
    }
    Ok(Reply::Sequence(Vec::new()))
}

fn switch(text: &[u8]) -> Result<bool> {
    if args::is(text, "ON") {
        Ok(true)
    } else if args::is(text, "OFF") {
        Ok(false)
    } else {
        Err(Error::syntax())
    }
}

fn no_evict(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    session.client.facts().no_evict = switch(args[2])?;
    Ok(Reply::OK)
}

fn no_touch(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    session.touches = !switch(args[2])?;
    session.client.facts().no_touch = !session.touches;
    Ok(Reply::OK)
}

#[cfg(test)]
mod tests {
    use crate::db::Db;
    use crate::keyspace::engine::Keys;
    use crate::storage::Store;

    #[test]
    fn reads_of_a_client_that_does_not_touch_leave_no_trace() {
        let db = Db::mount(&Store::memory().expect("a store"), "kv").expect("mounts");
        let mut session = db.session();
        let heat = || {
            let heat = db.engine.run(0, None, Keys::One(b"k"), |work| {
                Ok(work.entry(b"k")?.expect("set below").heat())
            });
            heat.expect("no error")
        };
        session.command(["SET", "k", "1"]).expect("set");
        let before = heat();
        session.command(["CLIENT", "NO-TOUCH", "ON"]).expect("on");
        session.command(["GET", "k"]).expect("read");
        assert_eq!(heat(), before);
        session.command(["CLIENT", "NO-TOUCH", "OFF"]).expect("off");
        session.command(["GET", "k"]).expect("read");
        assert_eq!(heat(), before + 1);
    }
}
