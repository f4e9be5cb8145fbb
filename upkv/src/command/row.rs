//! One row of the command table, and the words rows are written with.
//!
//! A chapter keeps its rows beside its handlers: see `rows!`.

use super::Session;
use super::args::Args;
use super::reply::Reply;
use crate::error::Result;
use crate::keyspace::direct::Direct;
use crate::keyspace::engine::{Caller, Engine};
use crate::keyspace::work::Work;

/// Reads only.
pub(crate) const READ: u32 = 1;
/// Changes data.
pub(crate) const WRITE: u32 = 1 << 1;
/// May grow the data, so it is refused when memory is used up.
pub(crate) const GROW: u32 = 1 << 2;
/// Looks at every shard of the database.
pub(crate) const ALL: u32 = 1 << 3;
/// Takes constant or logarithmic time.
pub(crate) const FAST: u32 = 1 << 4;
/// Steers a transaction, so it is never queued in one.
pub(crate) const CONTROL: u32 = 1 << 5;
/// May wait for data.
pub(crate) const BLOCKING: u32 = 1 << 6;
/// Not allowed in scripts.
pub(crate) const NOSCRIPT: u32 = 1 << 7;
/// Administration.
pub(crate) const ADMIN: u32 = 1 << 8;
/// Can do harm: scans everything, or removes it.
pub(crate) const DANGEROUS: u32 = 1 << 9;
/// Belongs to publish and subscribe.
pub(crate) const PUBSUB: u32 = 1 << 10;
/// Allowed while data is loaded.
pub(crate) const LOADING: u32 = 1 << 11;
/// Allowed on data that may be stale.
pub(crate) const STALE: u32 = 1 << 12;
/// Needs no authentication.
pub(crate) const NOAUTH: u32 = 1 << 13;
/// Looks at every shard of every database.
pub(crate) const EVERY: u32 = 1 << 14;

/// Runs other commands, which may change data.
#[cfg_attr(not(feature = "lua"), allow(dead_code, reason = "scripts do that"))]
pub(crate) const RUNS: u32 = 1 << 15;

/// Refused inside MULTI.
pub(crate) const NO_MULTI: u32 = 1 << 16;

/// Where a command's keys are among its arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At {
    None,
    /// From `first` to `last` (negative: from the end) in steps.
    Range {
        first: usize,
        last: i32,
        step: usize,
    },
    /// `numkeys` at a position, keys after it; plus a destination before it, if any.
    Counted {
        count: usize,
        destination: bool,
    },
    /// The positions have to be found by parsing.
    Custom(fn(&Args<'_>) -> Vec<usize>),
}

pub(crate) const NO_KEYS: At = At::None;
pub(crate) const ONE: At = range(1, 1, 1);
pub(crate) const TWO: At = range(1, 2, 1);
pub(crate) const SECOND: At = range(2, 2, 1);
pub(crate) const EACH: At = range(1, -1, 1);
pub(crate) const PAIRS: At = range(1, -1, 2);
pub(crate) const COUNTED: At = At::Counted {
    count: 1,
    destination: false,
};
pub(crate) const COUNTED_SECOND: At = At::Counted {
    count: 2,
    destination: false,
};
pub(crate) const STORED: At = At::Counted {
    count: 2,
    destination: true,
};

pub(crate) const fn range(first: usize, last: i32, step: usize) -> At {
    At::Range { first, last, step }
}

pub(crate) type DataHandler = fn(&mut Work<'_>, &Args<'_>) -> Result<Reply>;
/// Answers `Ordinary`, with nothing done, where the command has to run as others do.
pub(crate) type DirectHandler = fn(&Engine, Caller, &Args<'_>) -> Result<Direct<Reply>>;
pub(crate) type SessionHandler = fn(&mut Session, &Args<'_>) -> Result<Reply>;

/// What runs a command.
#[derive(Clone, Copy)]
pub(crate) enum Handler {
    /// Works on data alone.
    Data(DataHandler),
    /// As `Data`, with a short way for the command on its own.
    Direct {
        at_once: DirectHandler,
        data: DataHandler,
    },
    /// Works on the session, or on what all sessions share.
    Session(SessionHandler),
    /// Has subcommands with rows of their own, named `container|subcommand`.
    Container,
}

pub(crate) const CONTAINER: Handler = Handler::Container;

pub(crate) const fn data(handler: DataHandler) -> Handler {
    Handler::Data(handler)
}

pub(crate) const fn direct(at_once: DirectHandler, data: DataHandler) -> Handler {
    Handler::Direct { at_once, data }
}

pub(crate) const fn session(handler: SessionHandler) -> Handler {
    Handler::Session(handler)
}

/// See the module documentation.
pub(crate) struct Command {
    /// In lower case; subcommands as `container|subcommand`.
    pub(crate) name: &'static str,
    /// Number of arguments with the name; negative: at least that many.
    pub(crate) arity: i32,
    pub(crate) flags: u32,
    pub(crate) at: At,
    pub(crate) handler: Handler,
    /// First version of Redis that has it.
    pub(crate) since: &'static str,
    pub(crate) complexity: &'static str,
    pub(crate) summary: &'static str,
    /// Group in Redis' documentation.
    pub(crate) group: &'static str,
}

/// Rows of one group: name, arity, flags, keys, handler, version, complexity, summary.
macro_rules! rows {
    ($group:literal; $($name:literal $arity:literal $($flag:ident)|+ , $at:expr, $handler:expr, $since:literal,
        $complexity:literal, $summary:literal;)*) => {
        &[$($crate::command::row::Command {
            name: $name,
            arity: $arity,
            flags: $($crate::command::row::$flag)|+,
            at: $at,
            handler: $handler,
            since: $since,
            complexity: $complexity,
            summary: $summary,
            group: $group,
        }),*]
    };
}
pub(crate) use rows;

/// The flags of a command, in Redis' words.
pub(crate) fn row_flags(command: &'static Command) -> impl Iterator<Item = &'static str> {
    let movable = matches!(command.at, At::Counted { .. } | At::Custom(_));
    let named = [
        (WRITE, "write"),
        (READ, "readonly"),
        (GROW, "denyoom"),
        (ADMIN, "admin"),
        (PUBSUB, "pubsub"),
        (NOSCRIPT, "noscript"),
        (BLOCKING, "blocking"),
        (LOADING, "loading"),
        (STALE, "stale"),
        (FAST, "fast"),
        (NOAUTH, "no_auth"),
        (NO_MULTI, "no_multi"),
    ];
    let given = named.into_iter().filter(|(flag, _)| command.has(*flag));
    given
        .map(|(_, name)| name)
        .chain(movable.then_some("movablekeys"))
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Command").field(&self.name).finish()
    }
}

impl Command {
    pub(crate) const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Whether a number of arguments, name included, fits.
    pub(crate) fn takes(&self, count: usize) -> bool {
        let given = i32::try_from(count).unwrap_or(i32::MAX);
        if self.arity < 0 {
            given >= -self.arity
        } else {
            given == self.arity
        }
    }

    /// Positions of the keys among the arguments, as far as they can be told before parsing.
    pub(crate) fn key_positions(&self, args: &Args<'_>) -> Vec<usize> {
        match self.at {
            At::None => Vec::new(),
            At::Range { first, last, step } => {
                let end = match usize::try_from(last) {
                    Ok(last) => last,
                    Err(_) => args.len().saturating_sub(last.unsigned_abs() as usize),
                };
                let end = end.min(args.len().saturating_sub(1));
                (first..=end).step_by(step).collect()
            }
            At::Counted { count, destination } => {
                let wanted = args
                    .get(count)
                    .and_then(|text| crate::number::parse_i64(text));
                let wanted = wanted
                    .and_then(|wanted| usize::try_from(wanted).ok())
                    .unwrap_or(0);
                let start = count + 1;
                let end = start.saturating_add(wanted);
                // As in Redis: with fewer arguments than that there is no key at all.
                if end > args.len() {
                    return Vec::new();
                }
                let mut found: Vec<usize> = (start..end).collect();
                found.extend((destination && args.len() > 1).then_some(1));
                found
            }
            At::Custom(find) => {
                let mut found = find(args);
                found.retain(|at| *at < args.len());
                found
            }
        }
    }

    /// The keys among the arguments, as far as they can be told before parsing.
    pub(crate) fn keys<'a>(&self, args: &Args<'a>) -> Vec<&'a [u8]> {
        let positions = self.key_positions(args);
        positions.into_iter().map(|at| args[at]).collect()
    }
}
