//! Chapter: what can be told of a key beside its value.

use super::args::{self, Args, Options};
use super::reply::Reply;
use super::row::{CONTAINER, Command, NO_KEYS, SECOND, data, rows};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::ops::object;

pub(super) static ROWS: &[Command] = rows! { "generic";
    "object" -2 READ, NO_KEYS, CONTAINER, "2.2.3", "that of the subcommand",
        "Inspects a value";
    "object|encoding" 3 READ, SECOND, data(encoding), "2.2.3", "O(1)",
        "Tells how a value is kept";
    "object|freq" 3 READ, SECOND, data(freq), "4.0.0", "O(1)",
        "Tells how often a key is used";
    "object|help" 2 READ, NO_KEYS, data(object_help), "6.2.0", "O(1)",
        "Lists the subcommands";
    "object|idletime" 3 READ, SECOND, data(idletime), "2.2.3", "O(1)",
        "Tells how long a key was not used";
    "object|refcount" 3 READ, SECOND, data(refcount), "2.2.3", "O(1)",
        "Tells how often a value is shared";
};

pub(super) static MEMORY_ROWS: &[Command] = rows! { "server";
    "memory" -2 READ, NO_KEYS, CONTAINER, "4.0.0", "that of the subcommand",
        "Inspects memory";
    "memory|usage" -3 READ, SECOND, data(usage), "4.0.0", "O(1)",
        "Tells the memory a key takes";
};

fn encoding(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let name = object::encoding(work, args[2])?;
    Ok(name.map_or(Reply::Null, |name| Reply::bulk_copy(name.as_bytes())))
}

fn refcount(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let count = object::references(work, args[2])?;
    Ok(count.map_or(Reply::Null, Reply::Int))
}

fn number(found: Option<u32>) -> Reply {
    found.map_or(Reply::Null, |number| Reply::Int(i64::from(number)))
}

fn idletime(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    object::idle_seconds(work, args[2]).map(number)
}

fn freq(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    object::frequency(work, args[2]).map(number)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
fn object_help(_work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    const LINES: &[&str] = &[
        "OBJECT <subcommand> <key>, where the subcommand is one of:",
        "ENCODING",
        "    How the value of the key is kept.",
        "FREQ",
        "    How often the key is used, on a logarithmic scale; needs an LFU policy.",
        "IDLETIME",
        "    Seconds since the key was last used; needs a policy other than LFU.",
        "REFCOUNT",
        "    How often the value of the key is shared.",
        "HELP",
        "    These lines.",
    ];
    Ok(Reply::Array(
        LINES.iter().map(|line| Reply::Status(line)).collect(),
    ))
}

fn usage(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let mut options = Options::new(&args[3..]);
    while let Some(option) = options.next() {
        // All is counted exactly, however many samples are allowed.
        if option != "SAMPLES" || args::int(options.value()?)? < 0 {
            return Err(Error::syntax());
        }
    }
    let bytes = object::memory(work, args[2])?;
    Ok(bytes.map_or(Reply::Null, Reply::count))
}
