//! Chapter: running a server: saving, time, and the roles that a database without replicas has.

use super::args::{self, Args};
use super::reply::Reply;
use super::row::{CONTAINER, Command, NO_KEYS, data, rows, session};
use super::session::Session;
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::server::VERSION;
use crate::server::shutdown::ShutdownRequest;
use crate::storage::Durability;

pub(super) static ROWS: &[Command] = rows! { "server";
    "asking" 1 FAST, NO_KEYS, data(no_cluster), "3.0.0", "O(1)",
        "Refuses: there is no cluster";
    "bgrewriteaof" 1 ADMIN | DANGEROUS | NOSCRIPT, NO_KEYS, session(bgrewriteaof), "1.0.0", "O(keys)",
        "Takes a checkpoint";
    "bgsave" -1 ADMIN | DANGEROUS | NOSCRIPT, NO_KEYS, session(bgsave), "1.0.0", "O(keys)",
        "Takes a checkpoint";
    "cluster" -2 LOADING | STALE, NO_KEYS, data(no_cluster), "3.0.0", "O(1)",
        "Refuses: there is no cluster";
    "failover" -1 ADMIN | DANGEROUS | NOSCRIPT | STALE, NO_KEYS, data(failover), "6.2.0", "O(1)",
        "Refuses: there are no replicas";
    "lastsave" 1 FAST | ADMIN | DANGEROUS | LOADING | STALE, NO_KEYS, data(lastsave), "1.0.0", "O(1)",
        "Tells when the last checkpoint was asked for";
    "lolwut" -1 READ | FAST, NO_KEYS, data(lolwut), "5.0.0", "O(1)",
        "Tells the version";
    "module" -2 LOADING | STALE, NO_KEYS, CONTAINER, "4.0.0", "that of the subcommand",
        "Tells about modules";
    "module|list" 2 ADMIN | DANGEROUS | NOSCRIPT, NO_KEYS, data(module_list), "4.0.0", "O(1)",
        "Lists the modules, of which there are none";
    "readonly" 1 FAST | LOADING | STALE, NO_KEYS, data(no_cluster), "3.0.0", "O(1)",
        "Refuses: there is no cluster";
    "readwrite" 1 FAST | LOADING | STALE, NO_KEYS, data(no_cluster), "3.0.0", "O(1)",
        "Refuses: there is no cluster";
    "replicaof" 3 ADMIN | DANGEROUS | NOSCRIPT | STALE, NO_KEYS, data(replicaof), "5.0.0", "O(1)",
        "Accepts NO ONE: this is no replica";
    "role" 1 FAST | ADMIN | DANGEROUS | NOSCRIPT | LOADING | STALE, NO_KEYS, data(role), "2.8.12", "O(1)",
        "Tells the role in replication";
    "save" 1 ADMIN | DANGEROUS | NOSCRIPT | NO_MULTI, NO_KEYS, session(save), "1.0.0", "O(keys)",
        "Takes a checkpoint";
    "shutdown" -1 ADMIN | DANGEROUS | NOSCRIPT | NO_MULTI | LOADING | STALE, NO_KEYS, session(shutdown), "1.0.0", "O(1)",
        "Makes everything durable and asks the host to end";
    "slaveof" 3 ADMIN | DANGEROUS | NOSCRIPT | STALE, NO_KEYS, data(replicaof), "1.0.0", "O(1)",
        "Accepts NO ONE: this is no replica";
    "time" 1 FAST | LOADING | STALE, NO_KEYS, data(time), "2.6.0", "O(1)",
        "Tells the time";
};

impl Session {
    /// Refuses what needs locks that a transaction may hold.
    pub(super) fn expect_no_transaction(&self) -> Result<()> {
        if self.in_exec {
            return Err(Error::refused(
                "ERR Command not allowed inside a transaction",
            ));
        }
        Ok(())
    }

    /// Takes a checkpoint; in memory there is nowhere to put one.
    fn checkpoint(&self) -> Result<()> {
        self.expect_no_transaction()?;
        let engine = &self.db.engine;
        if !engine.mount.is_memory() {
            self.db.store.checkpoint()?;
        }
        engine.server.note_save(engine.mount.now().as_millis());
        Ok(())
    }
}

fn save(session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    session.checkpoint().map(|()| Reply::OK)
}

/// The host hears of it through [`crate::Db::shutdown_request`]; there is no reply, and the session is closing.
fn shutdown(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    let mut asked = ShutdownRequest::default();
    let mut abort = false;
    for word in &args[1..] {
        let (save, nosave) = (args::is(word, "SAVE"), args::is(word, "NOSAVE"));
        if (save || nosave) && asked.save.is_none_or(|before| before == save) {
            asked.save = Some(save);
        } else if args::is(word, "NOW") {
            asked.now = true;
        } else if args::is(word, "FORCE") {
            asked.force = true;
        } else if args::is(word, "ABORT") {
            abort = true;
        } else {
            return Err(Error::syntax());
        }
    }
    if abort && asked != ShutdownRequest::default() {
        return Err(Error::syntax());
    }
    let engine = &session.db.engine;
    if abort {
        let aborted = engine.server.abort_shutdown();
        let none = || Error::refused("ERR No shutdown in progress.");
        return aborted.then_some(Reply::OK).ok_or_else(none);
    }
    let saved = engine
        .settle_all(Some(Durability::Disk))
        .and_then(|()| match asked.save {
            Some(true) => session.checkpoint(),
            _ => Ok(()),
        });
    if !asked.force {
        saved?;
    }
    engine.server.ask_for_shutdown(asked);
    session.client.close_after_reply();
    Ok(Reply::Sequence(Vec::new()))
}

fn bgsave(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    match args {
        [_] => {}
        [_, word] if args::is(word, "SCHEDULE") => {}
        _ => return Err(Error::syntax()),
    }
    session
        .checkpoint()
        .map(|()| Reply::Status("Background saving started"))
}

fn bgrewriteaof(session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    let reply = Reply::Status("Background append only file rewriting started");
    session.checkpoint().map(|()| reply)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn lastsave(work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    let at = work.engine.server.last_save();
    Ok(Reply::Int(i64::try_from(at).unwrap_or(i64::MAX)))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn time(work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    let (seconds, micros) = (work.now / 1_000, work.now % 1_000 * 1_000);
    Ok(Reply::Array(vec![
        Reply::bulk(seconds.to_string()),
        Reply::bulk(micros.to_string()),
    ]))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn role(_work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    Ok(Reply::Array(vec![
        Reply::bulk_copy(b"master"),
        Reply::Int(0),
        Reply::Array(Vec::new()),
    ]))
}

fn replicaof(_work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    if args::is(args[1], "NO") && args::is(args[2], "ONE") {
        return Ok(Reply::OK);
    }
    let port = crate::number::parse_i64(args[2]).filter(|port| (0..=65_535).contains(port));
    Err(Error::refused(match port {
        None => "ERR Invalid master port",
        Some(_) => "ERR replication is not supported",
    }))
}

fn no_cluster(_work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    Err(Error::refused(
        "ERR This instance has cluster support disabled",
    ))
}

fn failover(_work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    Err(Error::refused("ERR FAILOVER requires connected replicas."))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn module_list(_work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    Ok(Reply::Array(Vec::new()))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn lolwut(_work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    Ok(Reply::Verbatim(format!("Redis ver. {VERSION}\n")))
}
