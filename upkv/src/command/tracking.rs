//! Chapter: telling clients which keys they should forget. CLIENT TRACKING, CACHING, GETREDIR, TRACKINGINFO.

use std::sync::Arc;

use super::args::{self, Args, Options};
use super::reply::Reply;
use super::row::{Command, NO_KEYS, rows, session};
use super::session::{Session, TrackingMode};
use crate::error::{Error, Result};
use crate::server::inbox::Inbox;
use crate::server::tracking::Tracker;

pub(super) static ROWS: &[Command] = rows! { "connection";
    "client|caching" 3 NOSCRIPT | LOADING | STALE, NO_KEYS, session(caching), "6.0.0", "O(1)",
        "Tells whether the keys of the next command are tracked";
    "client|getredir" 2 NOSCRIPT | LOADING | STALE, NO_KEYS, session(getredir), "6.0.0", "O(1)",
        "Tells which client gets the invalidations";
    "client|tracking" -3 NOSCRIPT | LOADING | STALE, NO_KEYS, session(tracking), "6.0.0", "O(prefixes^2)",
        "Starts or stops telling of changes of keys that were read";
    "client|trackinginfo" 2 NOSCRIPT | LOADING | STALE, NO_KEYS, session(tracking_info), "6.2.0", "O(prefixes)",
        "Tells how the connection tracks keys";
};

/// Prefixes that one client may give.
const PREFIXES_MAX: usize = 1024;

/// Number of the client that gets the messages, 0 if it is the same.
pub(super) fn redirect_of(tracker: &Tracker) -> i64 {
    let id = tracker.redirect.as_ref().map_or(0, |inbox| inbox.id);
    i64::try_from(id).unwrap_or(i64::MAX)
}

#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command"
)]
struct Wanted {
    redirect: Option<Arc<Inbox>>,
    broadcast: bool,
    opt_in: bool,
    opt_out: bool,
    no_loop: bool,
    prefixes: Vec<Box<[u8]>>,
}

impl Wanted {
    fn parse(session: &Session, rest: &[&[u8]]) -> Result<Self> {
        let mut wanted = Self::default();
        let mut options = Options::new(rest);
        while let Some(option) = options.next() {
            match &option[..] {
                "REDIRECT" => {
                    if wanted.redirect.is_some() {
                        return Err(Error::refused(
                            "ERR A client can only redirect to a single other client",
                        ));
                    }
                    let id = args::int(options.value()?)?;
                    let client = u64::try_from(id).ok();
                    let clients = &session.db.engine.server.clients;
                    let client = client.and_then(|id| clients.find(id));
                    let client = client.ok_or_else(|| {
                        Error::refused("ERR The client ID you want redirect to does not exist")
                    })?;
                    wanted.redirect = Some(Arc::clone(&client.inbox));
                }
                "BCAST" => wanted.broadcast = true,
                "OPTIN" => wanted.opt_in = true,
                "OPTOUT" => wanted.opt_out = true,
                "NOLOOP" => wanted.no_loop = true,
                "PREFIX" => {
                    wanted.prefixes.push(options.value()?.into());
                    if wanted.prefixes.len() > PREFIXES_MAX {
                        return Err(Error::refused_with(format!(
                            "ERR A client can track at most {PREFIXES_MAX} prefixes"
                        )));
                    }
                }
                _ => return Err(Error::syntax()),
            }
        }
        Ok(wanted)
    }

    fn check(&self, mode: TrackingMode, before: Option<&Tracker>) -> Result<()> {
        if !self.broadcast && !self.prefixes.is_empty() {
            return Err(Error::refused(
                "ERR PREFIX option requires BCAST mode to be enabled",
            ));
        }
        if let Some(before) = before {
            if before.prefixes.is_some() != self.broadcast {
                return Err(Error::refused(
                    "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then \
                     re-enabling it with a different mode.",
                ));
            }
            if (mode.opt_in && self.opt_out) || (mode.opt_out && self.opt_in) {
                return Err(Error::refused(
                    "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then \
                     re-enabling it with a different mode.",
                ));
            }
        }
        if self.opt_in && self.opt_out {
            return Err(Error::refused(
                "ERR You can't specify both OPTIN mode and OPTOUT mode",
            ));
        }
        if self.broadcast && (self.opt_in || self.opt_out) {
            return Err(Error::refused(
                "ERR OPTIN and OPTOUT are not compatible with BCAST",
            ));
        }
        let existing = before.and_then(|before| before.prefixes.as_deref());
        self.check_prefixes(existing.unwrap_or_default())
    }

    /// Prefixes of one client must not overlap, or it would be told twice.
    fn check_prefixes(&self, existing: &[Box<[u8]>]) -> Result<()> {
        let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
        let refused = |one: &[u8], which: &str, other: &[u8]| {
            let (one, other) = (String::from_utf8_lossy(one), String::from_utf8_lossy(other));
            Error::refused_with(format!(
                "ERR Prefix '{one}' overlaps with {which} '{other}'. Prefixes for a single client must not overlap."
            ))
        };
        for (at, prefix) in self.prefixes.iter().enumerate() {
            let clash = existing.iter().find(|other| overlap(prefix, other));
            if let Some(other) = clash {
                return Err(refused(prefix, "an existing prefix", other));
            }
            let clash = self.prefixes[at + 1..]
                .iter()
                .find(|other| overlap(prefix, other));
            if let Some(other) = clash {
                return Err(refused(prefix, "another provided prefix", other));
            }
        }
        Ok(())
    }
}

fn tracking(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    let wanted = Wanted::parse(session, &args[3..])?;
    let registry = &session.db.engine.server.tracking;
    if args::is(args[2], "OFF") {
        registry.stop(session.client.id());
        session.tracking = TrackingMode::default();
        return Ok(Reply::OK);
    }
    if !args::is(args[2], "ON") {
        return Err(Error::syntax());
    }
    let before = registry.of(session.client.id());
    wanted.check(session.tracking, before.as_ref())?;
    let prefixes = wanted.broadcast.then(|| {
        let mut all = before
            .and_then(|before| before.prefixes)
            .unwrap_or_default();
        all.extend(wanted.prefixes);
        if all.is_empty() {
            all.push(Box::default());
        }
        all.sort_unstable();
        all.dedup();
        all
    });
    session.tracking = TrackingMode {
        on: true,
        broadcast: prefixes.is_some(),
        opt_in: wanted.opt_in,
        opt_out: wanted.opt_out,
        caching: session.tracking.caching,
    };
    registry.start(Tracker {
        inbox: Arc::clone(&session.client.inbox),
        redirect: wanted.redirect,
        no_loop: wanted.no_loop,
        prefixes,
        broken: false,
    });
    Ok(Reply::OK)
}

fn caching(session: &mut Session, args: &Args<'_>) -> Result<Reply> {
    let mode = &mut session.tracking;
    if !mode.on {
        return Err(Error::refused(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode \
             enabled",
        ));
    }
    let (yes, no) = (args::is(args[2], "YES"), args::is(args[2], "NO"));
    if yes && !mode.opt_in {
        return Err(Error::refused(
            "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
        ));
    }
    if no && !mode.opt_out {
        return Err(Error::refused(
            "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
        ));
    }
    if !yes && !no {
        return Err(Error::syntax());
    }
    mode.caching = true;
    Ok(Reply::OK)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn getredir(session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    let tracker = session.db.engine.server.tracking.of(session.client.id());
    Ok(Reply::Int(tracker.as_ref().map_or(-1, redirect_of)))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn tracking_info(session: &mut Session, _args: &Args<'_>) -> Result<Reply> {
    let tracker = session.db.engine.server.tracking.of(session.client.id());
    let mode = session.tracking;
    let is = |is: fn(&Tracker) -> bool| tracker.as_ref().is_some_and(is);
    let flags = [
        ("off", tracker.is_none()),
        ("on", tracker.is_some()),
        ("bcast", is(|tracker| tracker.prefixes.is_some())),
        ("optin", mode.opt_in),
        ("caching-yes", mode.opt_in && mode.caching),
        ("optout", mode.opt_out),
        ("caching-no", mode.opt_out && mode.caching),
        ("noloop", is(|tracker| tracker.no_loop)),
        ("broken_redirect", is(|tracker| tracker.broken)),
    ];
    let text = |text: &str| Reply::bulk_copy(text.as_bytes());
    let set = flags.iter().filter(|(_, set)| *set);
    let flags = set.map(|(flag, _)| text(flag)).collect();
    let prefixes = tracker
        .iter()
        .flat_map(|tracker| tracker.prefixes.iter().flatten());
    let prefixes = prefixes.map(|prefix| Reply::bulk_copy(prefix)).collect();
    let redirect = tracker.as_ref().map_or(-1, redirect_of);
    Ok(Reply::Map(vec![
        (text("flags"), Reply::Set(flags)),
        (text("redirect"), Reply::Int(redirect)),
        (text("prefixes"), Reply::Array(prefixes)),
    ]))
}
