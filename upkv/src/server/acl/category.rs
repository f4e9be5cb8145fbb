//! Categories of commands: what `+@read` and its like stand for.
//!
//! They follow from flags and group of a row, but for the few commands named here.

use crate::command::Command;
use crate::command::row::{ADMIN, BLOCKING, DANGEROUS, FAST, Handler, PUBSUB, READ, WRITE};

/// The categories, in the order in which they are told. A set of them has the bit of a position for each.
pub(crate) const NAMES: [&str; 22] = [
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
    "json",
];

const fn bit(name: &str) -> u32 {
    let mut at = 0;
    while at < NAMES.len() {
        if const_eq(NAMES[at], name) {
            return 1 << at;
        }
        at += 1;
    }
    panic!("not a category");
}

const fn const_eq(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// The bit of a category, named in any case.
pub(crate) fn named(name: &[u8]) -> Option<u32> {
    let at = NAMES
        .iter()
        .position(|known| name.eq_ignore_ascii_case(known.as_bytes()))?;
    Some(1 << at)
}

/// What a group of commands is about.
fn subject(group: &str) -> u32 {
    match group {
        "generic" => bit("keyspace"),
        "sorted-set" | "sorted_set" => bit("sortedset"),
        "transactions" => bit("transaction"),
        "server" => 0,
        group => named(group.as_bytes()).unwrap_or(0),
    }
}

/// The categories of a command.
pub(crate) fn of(command: &Command) -> u32 {
    let pace = bit(if command.has(FAST) { "fast" } else { "slow" });
    if matches!(command.handler, Handler::Container) && !matches!(command.name, "command" | "debug")
    {
        return pace;
    }
    let mut found = pace | subject(command.group);
    for (flag, category) in [
        (READ, bit("read")),
        (WRITE, bit("write")),
        (ADMIN, bit("admin") | bit("dangerous")),
        (DANGEROUS, bit("dangerous")),
        (PUBSUB, bit("pubsub")),
        (BLOCKING, bit("blocking")),
    ] {
        if command.has(flag) {
            found |= category;
        }
    }
    let (add, remove) = match command.name {
        // These read nothing that is kept.
        "ping" | "echo" | "command" | "asking" | "readonly" | "readwrite" => {
            (bit("connection"), bit("read"))
        }
        name if name.starts_with("command|") => (bit("connection"), bit("read")),
        name if name.ends_with("|help") => (0, bit("read") | bit("pubsub")),
        "monitor" => (0, bit("connection")),
        "dbsize" | "flushall" | "flushdb" | "swapdb" => (bit("keyspace"), 0),
        "sort" => (SORTED | bit("write"), bit("keyspace") | bit("read")),
        "sort_ro" => (SORTED, bit("keyspace")),
        "wait" | "waitaof" => (bit("connection"), bit("keyspace")),
        _ => (0, 0),
    };
    (found | add) & !remove
}

/// What is sorted, and that this takes long.
const SORTED: u32 = bit("set") | bit("sortedset") | bit("list") | bit("dangerous");
