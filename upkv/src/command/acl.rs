//! Chapter: users and their rights. ACL and its subcommands, and the check of every command of a restricted user.

use std::sync::Arc;

use super::args::{self, Args};
use super::client::{line_about, lines_of_help, wrong_arguments};
use super::reply::Reply;
use super::row::{CONTAINER, Command, NO_KEYS, rows, session};
use super::session::Session;
use super::table;
use crate::acl::no_token;
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::number;
use crate::server::Server;
use crate::server::acl::Account;
use crate::server::acl::category;
use crate::server::acl::check::Denied;
use crate::server::acl::log::Entry;
use crate::server::acl::selector::Selector;
use crate::server::acl::tokens;
use crate::server::acl::user::{User, hex};
use crate::server::clients::Client;
use crate::storage::Timestamp;

pub(super) static ROWS: &[Command] = rows! { "server";
    "acl" -2 NOSCRIPT | LOADING | STALE, NO_KEYS, CONTAINER, "6.0.0", "that of the subcommand",
        "Manages users and their rights";
    "acl|cat" -2 NOSCRIPT | LOADING | STALE, NO_KEYS, session(cat), "6.0.0", "O(commands)",
        "Lists categories, or the commands of one";
    "acl|deluser" -3 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, session(deluser), "6.0.0", "O(users * clients)",
        "Deletes users";
    "acl|dryrun" -4 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, session(dryrun), "7.0.0", "O(rights * keys)",
        "Tells whether a user may run a command";
    "acl|genpass" -2 NOSCRIPT | LOADING | STALE, NO_KEYS, session(genpass), "6.0.0", "O(1)",
        "Makes up a password";
    "acl|gentoken" -3 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, session(gentoken), "7.2.0", "O(1)",
        "Makes up a token that can be a password of a user";
    "acl|getuser" 3 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, session(getuser), "6.0.0", "O(rights)",
        "Tells the rights of a user";
    "acl|help" 2 LOADING | STALE, NO_KEYS, session(help), "6.0.0", "O(1)",
        "Tells the subcommands";
    "acl|list" 2 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, session(list), "6.0.0", "O(users)",
        "Tells all users as lines";
    "acl|load" 2 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, session(load), "6.0.0", "O(users * clients)",
        "Reads the users that were saved";
    "acl|log" -2 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, session(log), "6.0.0", "O(entries)",
        "Tells what was refused";
    "acl|resttoken" 4 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, session(resttoken), "7.2.0", "O(1)",
        "Tells the token of a user with a password";
    "acl|save" 2 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, session(save), "6.0.0", "O(users)",
        "Saves the users";
    "acl|setuser" -3 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, session(setuser), "6.0.0", "O(rules)",
        "Creates or changes a user";
    "acl|users" 2 ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, session(users), "6.0.0", "O(users)",
        "Tells the names of the users";
    "acl|whoami" 2 NOSCRIPT | LOADING | STALE, NO_KEYS, session(whoami), "6.0.0", "O(1)",
        "Tells the user of the connection";
};

impl Session {
    fn server(&self) -> &Server {
        &self.db.engine.server
    }

    /// Refuses a command that the user has no right to run, and notes that.
    pub(super) fn check_rights(&self, command: &Command, args: &Args<'_>) -> Result<()> {
        let Some(account) = self.account.as_ref() else {
            return Ok(());
        };
        let Err(denied) = account.user().check(command, args) else {
            return Ok(());
        };
        let object = denied.object(command, args);
        self.note_refusal(denied.reason(), &object, &account.name);
        Err(denied.error(&account.name, command))
    }

    /// Notes that something was refused to a user.
    pub(super) fn note_refusal(&self, reason: &'static str, object: &[u8], user: &str) {
        let in_multi = self.in_exec || self.is_queueing();
        let context = if in_multi { "multi" } else { "toplevel" };
        let mut entry = Entry::new(reason, context, self.now());
        entry.object = object.into();
        entry.user = user.into();
        note(self.server(), &self.client, entry);
    }

    /// Whether ACL SAVE and ACL LOAD only bring nodes to the same users, of which there is one.
    fn shares_users(&self) -> bool {
        self.db.engine.rules.is_upstash() && self.server().acl.store().is_err()
    }

    fn account_of(&self, name: &[u8]) -> Option<Arc<Account>> {
        self.server().acl.find(str::from_utf8(name).ok()?)
    }
}

fn note(server: &Server, client: &Client, mut entry: Entry) {
    entry.client = line_about(server, client, entry.created).trim_end().into();
    server.acl.log.add(entry, server.config.acllog_max_len());
}

/// The name of the user that a work runs for, and its rights; it has none once it is deleted.
fn user_of(work: &Work<'_>) -> (String, Option<Arc<User>>) {
    let server = &work.engine.server;
    let client = server.clients.find(work.client);
    let name = client.map_or_else(String::new, |client| client.facts().user.clone());
    let account = server.acl.find(&name);
    (name, account.map(|account| account.user()))
}

/// Whether the client that a work runs for has the right to a command, whose arguments may be too few or too many.
#[cfg(feature = "lua")]
pub(crate) fn allows_inside(work: &Work<'_>, command: &Command, args: &Args<'_>) -> bool {
    if !work.restricted {
        return true;
    }
    let (_, user) = user_of(work);
    let allows_command = |selector: &Selector| selector.allows_command(command, args);
    user.is_some_and(|user| {
        if command.takes(args.len()) {
            user.check(command, args).is_ok()
        } else {
            user.selectors().iter().any(allows_command)
        }
    })
}

/// Refuses a command that another one, such as a script, runs on behalf of a client without the right to it.
pub(crate) fn check_inside(work: &Work<'_>, command: &Command, args: &Args<'_>) -> Result<()> {
    if !work.restricted {
        return Ok(());
    }
    let (name, user) = user_of(work);
    let checked = user.map_or(Err(Denied::Command), |user| user.check(command, args));
    checked.map_err(|denied| {
        let mut entry = Entry::new(denied.reason(), "lua", Timestamp::from_millis(work.now));
        entry.object = denied.object(command, args);
        entry.user.clone_from(&name);
        let server = &work.engine.server;
        if let Some(client) = server.clients.find(work.client) {
            note(server, &client, entry);
        }
        let line = denied.error(&name, command).to_string();
        let why = line.strip_prefix("NOPERM ").unwrap_or(&line);
        Error::refused_with(format!("ERR ACL failure in script: {why}"))
    })
}

/// Refuses an option of SORT that reads keys which are not among its arguments, unless the user may read all.
pub(super) fn check_reads_all(work: &Work<'_>, args: &Args<'_>, option: &str) -> Result<()> {
    if !work.restricted {
        return Ok(());
    }
    let command = Command::find(args)?;
    let reads_all =
        |selector: &Selector| selector.allows_command(command, args) && selector.reads_all_keys();
    let (_, user) = user_of(work);
    if user.is_some_and(|user| user.selectors().iter().any(reads_all)) {
        return Ok(());
    }
    Err(Error::refused_with(format!(
        "ERR {option} option of SORT denied due to insufficient ACL permissions."
    )))
}

fn text(text: &str) -> Reply {
    Reply::bulk_copy(text.as_bytes())
}

fn texts(texts: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Reply> {
    texts.into_iter().map(|one| text(one.as_ref())).collect()
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn help(_session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    Ok(lines_of_help(&[
        "ACL CAT [category]: categories of commands, or the commands of one",
        "ACL DELUSER name ...: delete users and close their connections",
        "ACL DRYRUN name command [argument ...]: whether a user may run a command",
        "ACL GENPASS [bits]: make up a password",
        "ACL GENTOKEN name [secret]: make up a token that can be a password of a user",
        "ACL GETUSER name: rights of a user",
        "ACL LIST: all users as lines",
        "ACL LOAD: read the users that were saved",
        "ACL LOG [count | RESET]: what was refused",
        "ACL RESTTOKEN name password: the token of a user",
        "ACL SAVE: save the users",
        "ACL SETUSER name [rule ...]: create or change a user",
        "ACL USERS: names of the users",
        "ACL WHOAMI: user of this connection",
        "ACL HELP: these lines",
    ]))
}

fn cat(_session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    match &args[2..] {
        [] => Ok(Reply::Array(texts(category::NAMES))),
        [name] => {
            let bit = category::named(name).ok_or_else(|| {
                let name = String::from_utf8_lossy(name);
                Error::refused_with(format!("ERR Unknown category '{name}'"))
            })?;
            let rows = table::sorted_rows().iter();
            let found = rows.filter(|row| category::of(row) & bit != 0);
            Ok(Reply::Array(texts(found.map(|row| row.name))))
        }
        _ => Err(wrong_arguments("ACL", args[1])),
    }
}

fn deluser(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    let me = session.id();
    if args[2..].contains(&&b"default"[..]) {
        return Err(Error::refused("ERR The 'default' user cannot be removed"));
    }
    let mut deleted = 0;
    for name in &args[2..] {
        deleted += usize::from(session.server().delete_user(name, me)?);
    }
    Ok(Reply::count(deleted))
}

fn setuser(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    let me = session.id();
    session.server().set_user(args[2], &args[3..], me)?;
    Ok(Reply::OK)
}

fn rights(selector: &Selector) -> Vec<(Reply, Reply)> {
    vec![
        (text("commands"), text(&selector.show_commands())),
        (text("keys"), text(&selector.show_keys())),
        (text("channels"), text(&selector.show_channels())),
    ]
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn getuser(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    let Some(account) = session.account_of(args[2]) else {
        return Ok(Reply::Null);
    };
    let user = account.user();
    let (root, others) = user
        .selectors()
        .split_first()
        .expect("a user has rights of its own");
    let mut pairs = vec![
        (text("flags"), Reply::Set(texts(user.flags()))),
        (
            text("passwords"),
            Reply::Array(texts(user.show_passwords())),
        ),
    ];
    pairs.extend(rights(root));
    let others = others.iter().map(|other| Reply::Map(rights(other)));
    if !session.db.engine.rules.is_upstash() {
        pairs.push((text("selectors"), Reply::Array(others.collect())));
    }
    Ok(Reply::Map(pairs))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn list(session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    Ok(Reply::Array(texts(session.server().acl.lines())))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn users(session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    Ok(Reply::Array(texts(session.server().acl.names())))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn whoami(session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    Ok(session.user().map_or(Reply::Null, text))
}

fn dryrun(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    let account = session.account_of(args[2]).ok_or_else(|| {
        let name = String::from_utf8_lossy(args[2]);
        Error::refused_with(format!("ERR User '{name}' not found"))
    })?;
    let line = &args[3..];
    let command = match Command::find(line) {
        Ok(command) => command,
        Err(error) if error.to_string().starts_with("ERR wrong number") => return Err(error),
        Err(_) => {
            let name = String::from_utf8_lossy(args[3]);
            return Err(Error::refused_with(format!(
                "ERR Command '{name}' not found"
            )));
        }
    };
    Ok(match account.user().check(command, line) {
        Ok(()) => Reply::OK,
        Err(denied) => text(&denied.explain(&account.name, command, line)),
    })
}

/// The operating system has no random bytes.
#[cold]
fn no_random() -> Error {
    Error::refused("ERR no random bytes are available")
}

fn genpass(_session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    const BITS_MAX: i64 = 4_096;
    let bits = match &args[2..] {
        [] => 256,
        [bits] => args::int(bits)?,
        _ => return Err(wrong_arguments("ACL", args[1])),
    };
    let bits = usize::try_from(bits)
        .ok()
        .filter(|_| (1..=BITS_MAX).contains(&bits));
    let bits = bits.ok_or_else(|| {
        Error::refused(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096",
        )
    })?;
    let digits = bits.div_ceil(4);
    let bytes = tokens::secret_bytes(digits.div_ceil(2)).ok_or_else(no_random)?;
    let mut shown = hex(&bytes);
    shown.truncate(digits);
    Ok(Reply::bulk(shown))
}

fn gentoken(_session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    let secret = match &args[3..] {
        [] => tokens::new_secret().ok_or_else(no_random)?,
        [secret] if tokens::is_weak(secret) => {
            return Err(Error::refused(
                "ERR the password is too weak: give 16 bytes or more, with 8 different ones",
            ));
        }
        [secret] => secret.to_vec(),
        _ => return Err(wrong_arguments("ACL", args[1])),
    };
    let name = str::from_utf8(args[2]).ok();
    let token = name.and_then(|name| tokens::token(name, &secret));
    let token = token.ok_or_else(|| Error::refused("ERR the name or the password is too long"))?;
    Ok(Reply::bulk(token))
}

fn resttoken(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    let token = session.server().acl.token_for(args[2], args[3]);
    token.map(Reply::bulk).ok_or_else(|| no_token(args[2]))
}

fn save(session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    if session.shares_users() {
        return Ok(Reply::OK);
    }
    let acl = &session.server().acl;
    let store = acl.store()?;
    let mut lines = acl.lines().join("\n");
    lines.push('\n');
    store.save(&lines).map_err(|error| {
        let text = format!("ERR There was an error trying to save the ACLs: {error}");
        Error::refused_with(text)
    })?;
    Ok(Reply::OK)
}

fn load(session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    if session.shares_users() {
        return Ok(Reply::OK);
    }
    let me = session.id();
    let store = session.server().acl.store()?;
    let lines = store.load().map_err(|error| {
        let text = format!("ERR Error loading ACLs, opening file: {error}");
        Error::refused_with(text)
    })?;
    session.server().load_users(&lines, me)?;
    Ok(Reply::OK)
}

fn log(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    const COUNT: i64 = 10;
    let keeps_log = !session.db.engine.rules.is_upstash();
    let log = &session.server().acl.log;
    let count = match &args[2..] {
        [] => COUNT,
        [word] if args::is(word, "RESET") => {
            log.clear();
            return Ok(Reply::OK);
        }
        [count] => number::parse_i64(count).ok_or(Error::NotInteger)?,
        _ => return Err(wrong_arguments("ACL", args[1])),
    };
    let now = session.now();
    let count = usize::try_from(count).unwrap_or(0);
    let shown = log.newest(if keeps_log { count } else { 0 });
    let millis = |at: Timestamp| Reply::Int(i64::try_from(at.as_millis()).unwrap_or(i64::MAX));
    let shown = shown.into_iter().map(|entry| {
        let age = now.saturating_since(entry.updated).as_secs_f64();
        let number = |number: u64| Reply::Int(i64::try_from(number).unwrap_or(i64::MAX));
        Reply::Map(vec![
            (text("count"), number(entry.count)),
            (text("reason"), text(entry.reason)),
            (text("context"), text(entry.context)),
            (text("object"), Reply::bulk_copy(&entry.object)),
            (text("username"), text(&entry.user)),
            (text("age-seconds"), Reply::Double(age)),
            (text("client-info"), text(&entry.client)),
            (text("entry-id"), number(entry.id)),
            (text("timestamp-created"), millis(entry.created)),
            (text("timestamp-last-updated"), millis(entry.updated)),
        ])
    });
    Ok(Reply::Array(shown.collect()))
}

#[cfg(test)]
mod tests {
    use crate::command::execute_in;
    use crate::db::Db;
    use crate::keyspace::engine::Keys;
    use crate::storage::Store;

    #[test]
    fn what_runs_inside_another_command_is_checked() {
        let db = Db::mount(&Store::memory().expect("a store"), "kv").expect("mounts");
        let rules = ["on", "nopass", "~a*", "+@all", "-flushall"];
        db.acl().set_user("ada", rules).expect("rules");
        let mut session = db.session();
        session.log_in("ada", "").expect("no password is needed");
        let inside = |caller, args: &[&[u8]]| {
            let ran = db
                .engine
                .run_as(caller, Keys::Open, |work| execute_in(work, args));
            ran.map(drop).map_err(|error| error.to_string())
        };
        let caller = session.caller();
        assert_eq!(inside(caller, &[b"SET", b"a", b"1"]), Ok(()));
        for (args, why) in [
            (
                &[&b"SET"[..], b"b", b"1"][..],
                "No permissions to access a key",
            ),
            (
                &[b"FLUSHALL"],
                "User ada has no permissions to run the 'flushall' command",
            ),
        ] {
            let refused = format!("ERR ACL failure in script: {why}");
            assert_eq!(inside(caller, args), Err(refused));
            assert_eq!(
                inside(db.caller(), args),
                Ok(()),
                "the host may do everything"
            );
        }
        let newest = &db.engine.server.acl.log.newest(1)[0];
        assert_eq!((newest.context, &*newest.object), ("lua", &b"flushall"[..]));
        db.acl()
            .delete_user("ada")
            .expect("is not the default user");
        assert!(inside(caller, &[b"SET", b"a", b"1"]).is_err());
    }
}
