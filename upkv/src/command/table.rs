//! The command table: every chapter's rows, found by name.
//!
//! Invariant: names are unique; a unit test checks that.

use std::collections::HashMap;
use std::sync::LazyLock;

use hashbrown::HashTable;

use super::args::{self, Args};
use super::row::{At, Command, FAST, Handler, RUNS, WRITE};
#[cfg(feature = "lua")]
use super::script;
use super::{
    acl, admin, bits, client, config, connection, debug, dump, field_ttl, geo, hash, hll, increx,
    info, introspect, json, keys, list, multi, object, pubsub, server, set, slowlog, sort, stream,
    stream_group, stream_info, string, string_more, tracking, wait, zset, zset_pop,
};
use crate::error::{Error, Result};

/// Where commands come from; a new chapter is a new line.
static CHAPTERS: &[&[Command]] = &[
    acl::ROWS,
    admin::ROWS,
    info::ROWS,
    introspect::ROWS,
    slowlog::ROWS,
    dump::ROWS,
    client::ROWS,
    debug::ROWS,
    config::ROWS,
    connection::ROWS,
    bits::ROWS,
    field_ttl::ROWS,
    geo::ROWS,
    hash::ROWS,
    json::ROWS,
    hll::ROWS,
    increx::ROWS,
    keys::ROWS,
    list::ROWS,
    multi::ROWS,
    object::MEMORY_ROWS,
    object::ROWS,
    pubsub::ROWS,
    #[cfg(feature = "lua")]
    script::ROWS,
    server::ROWS,
    set::ROWS,
    sort::ROWS,
    stream::ROWS,
    stream_group::ROWS,
    stream_info::ROWS,
    string::ROWS,
    tracking::ROWS,
    wait::ROWS,
    zset::ROWS,
    string_more::ROWS,
    zset_pop::ROWS,
];

static TABLE: LazyLock<HashMap<&'static [u8], &'static Command, ahash::RandomState>> =
    LazyLock::new(|| {
        let rows = CHAPTERS.iter().flat_map(|chapter| chapter.iter());
        rows.map(|row| (row.name.as_bytes(), row)).collect()
    });

/// The rows with short names, most of all that are asked for, found by their name as a number.
static SHORT: LazyLock<HashTable<(u64, &'static Command)>> = LazyLock::new(|| {
    let mut table = HashTable::new();
    let rows = CHAPTERS.iter().flat_map(|chapter| chapter.iter());
    for (word, row) in rows.filter_map(|row| Some((word(row.name.as_bytes())?, row))) {
        table.insert_unique(mixed(word), (word, row), |(word, _)| mixed(*word));
    }
    table
});

/// A name of up to eight bytes in lower case, as a number; longer ones have none, nor do those with a zero byte, which
/// would be taken for shorter ones.
#[inline]
fn word(name: &[u8]) -> Option<u64> {
    if name.len() > size_of::<u64>() || name.last() == Some(&0) {
        return None;
    }
    let shifted = |word, byte: &u8| word << 8 | u64::from(byte.to_ascii_lowercase());
    Some(name.iter().rev().fold(0, shifted))
}

/// Spreads a name over all bits of a hash.
fn mixed(word: u64) -> u64 {
    let product = word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ product >> 32
}

/// Longest name in the table, in bytes; longer ones are not looked up.
const NAME_BYTES_MAX: usize = 64;
/// Longest part of a name or argument that an error repeats, in bytes.
const ECHO_BYTES_MAX: usize = 128;

/// All rows, sorted by name.
pub(crate) fn rows() -> impl Iterator<Item = &'static Command> {
    sorted_rows().iter().copied()
}

/// As [`rows`]; a position in it stands for a command.
pub(crate) fn sorted_rows() -> &'static [&'static Command] {
    static SORTED: LazyLock<Vec<&'static Command>> = LazyLock::new(|| {
        let mut rows: Vec<_> = TABLE.values().copied().collect();
        rows.sort_unstable_by_key(|row| row.name);
        rows
    });
    &SORTED
}

/// The position of a row in [`sorted_rows`].
pub(crate) fn position(command: &'static Command) -> Option<usize> {
    static POSITIONS: LazyLock<HashMap<usize, usize, ahash::RandomState>> = LazyLock::new(|| {
        let rows = sorted_rows().iter().enumerate();
        rows.map(|(at, row)| (std::ptr::from_ref(*row).addr(), at))
            .collect()
    });
    let address = std::ptr::from_ref(command).addr();
    POSITIONS.get(&address).copied()
}

/// The row of a name in any case; `container|subcommand` names a subcommand.
#[inline]
pub(crate) fn row(name: &[u8]) -> Option<&'static Command> {
    if let Some(word) = word(name) {
        let found = SHORT.find(mixed(word), |(other, _)| *other == word);
        return found.map(|(_, row)| *row);
    }
    let mut lower = [0; NAME_BYTES_MAX];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    TABLE.get(&*lower).copied()
}

impl Command {
    /// The row for an argument list, with the number of arguments checked.
    pub(crate) fn find(args: &Args<'_>) -> Result<&'static Self> {
        let found = Self::named(args)?;
        if found.takes(args.len()) {
            return Ok(found);
        }
        let text = format!("ERR wrong number of arguments for '{}' command", found.name);
        Err(Error::refused_with(text))
    }

    /// The row for an argument list, whatever the number of arguments.
    pub(crate) fn named(args: &Args<'_>) -> Result<&'static Self> {
        let name = args
            .first()
            .ok_or_else(|| Error::refused("ERR empty command"))?;
        let mut found = match row(name) {
            // A name with a bar is only how the table writes subcommands.
            Some(row) if !row.name.contains('|') => row,
            _ => return Err(unknown(name, &args[1..])),
        };
        if let (Handler::Container, Some(sub)) = (found.handler, args.get(1)) {
            found = match row(&[found.name.as_bytes(), b"|", sub].concat()) {
                Some(row) => row,
                // What follows this one is looked at when it runs, as in Redis.
                None if found.name == "debug" => found,
                None => return Err(unknown_subcommand(found, sub)),
            };
        }
        Ok(found)
    }
}

fn unknown_subcommand(container: &Command, sub: &[u8]) -> Error {
    let sub = args::echo(sub, ECHO_BYTES_MAX);
    let name = container.name.to_ascii_uppercase();
    Error::refused_with(format!("ERR unknown subcommand '{sub}'. Try {name} HELP."))
}

fn unknown(name: &[u8], args: &[&[u8]]) -> Error {
    let mut text = format!(
        "ERR unknown command '{}', with args beginning with: ",
        args::echo(name, ECHO_BYTES_MAX)
    );
    let start = text.len();
    for arg in args {
        let room = ECHO_BYTES_MAX.saturating_sub(text.len() - start);
        if room == 0 {
            break;
        }
        text.extend(["'", &args::echo(arg, room), "' "]);
    }
    Error::refused_with(text)
}

/// What the table says about one command.
///
/// # Examples
///
/// ```
/// let get = upkv::commands().find(|info| info.name == "get").expect("a known command");
/// assert_eq!((get.arity, get.writes), (2, false));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommandInfo {
    /// Name in lower case; subcommands as `container|subcommand`.
    pub name: &'static str,
    /// Number of arguments with the name; negative: at least that many.
    pub arity: i32,
    /// Whether it may change data.
    pub writes: bool,
    /// Whether it takes constant or logarithmic time.
    pub fast: bool,
    /// Position of the first key; 0 without one.
    pub first_key: usize,
    /// Position of the last key; negative from the end.
    pub last_key: i32,
    /// Distance between keys.
    pub key_step: usize,
    /// First version of Redis that has it.
    pub since: &'static str,
    /// Group in Redis' documentation.
    pub group: &'static str,
    /// Time it takes; 'm' is the number of elements returned.
    pub complexity: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
}

/// All commands that [`crate::Db::command`] and [`super::Session::command`] know, sorted by name.
pub fn commands() -> impl Iterator<Item = CommandInfo> {
    rows().map(|row| {
        let (first_key, last_key, key_step) = match row.at {
            At::Range { first, last, step } => (first, last, step),
            At::Counted {
                destination: true, ..
            } => (1, 1, 1),
            At::None
            | At::Custom(_)
            | At::Counted {
                destination: false, ..
            } => (0, 0, 0),
        };
        CommandInfo {
            name: row.name,
            arity: row.arity,
            since: row.since,
            complexity: row.complexity,
            group: row.group,
            writes: row.has(WRITE | RUNS),
            fast: row.has(FAST),
            first_key,
            last_key,
            key_step,
            summary: row.summary,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys_of(line: &str) -> Vec<String> {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let command = Command::find(&args).expect("a known command");
        command
            .keys(&args)
            .iter()
            .map(|key| String::from_utf8_lossy(key).into_owned())
            .collect()
    }

    #[test]
    fn names_are_unique_and_in_lower_case() {
        let count: usize = CHAPTERS.iter().map(|chapter| chapter.len()).sum();
        assert_eq!(TABLE.len(), count);
        for row in rows() {
            assert_eq!(row.name, row.name.to_ascii_lowercase());
            assert!(row.name.len() <= NAME_BYTES_MAX, "{}", row.name);
            let container = row.name.split_once('|').map(|(container, _)| container);
            let is_one = |name: &str| {
                super::row(name.as_bytes())
                    .is_some_and(|row| matches!(row.handler, Handler::Container))
            };
            assert!(
                container.is_none_or(is_one),
                "{} has no container",
                row.name
            );
        }
    }

    #[test]
    fn keys_are_found() {
        for (line, expected) in [
            ("GET a", vec!["a"]),
            ("mset a 1 b 2", vec!["a", "b"]),
            ("DEL a b c", vec!["a", "b", "c"]),
            ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", vec!["a", "b", "d"]),
            ("ZUNION 9 a b", vec![]),
            ("ZUNION x a", vec![]),
            ("OBJECT ENCODING k", vec!["k"]),
            ("PING", vec![]),
            ("RENAME a b", vec!["a", "b"]),
        ] {
            assert_eq!(keys_of(line), expected, "{line}");
        }
    }

    #[test]
    fn unknown_commands_are_echoed() {
        let args: [&[u8]; 3] = [b"FOO", b"a", b"b"];
        let error = Command::find(&args).expect_err("unknown").to_string();
        assert_eq!(
            error,
            "ERR unknown command 'FOO', with args beginning with: 'a' 'b' "
        );
    }
}
