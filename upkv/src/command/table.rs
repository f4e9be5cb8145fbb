//! The command table: one row a command. Dispatch, arity, key positions and descriptions come from it.
//!
//! Invariant: rows are sorted by name; a unit test checks that.

use super::args::Args;
use super::reply::Reply;
use super::{hash, keys, server, string, zset};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;

/// Reads only.
pub(crate) const READ: u8 = 1;
/// Changes data.
pub(crate) const WRITE: u8 = 2;
/// May grow the data, so it is refused when memory is used up.
pub(crate) const GROW: u8 = 4;
/// Looks at every shard.
pub(crate) const ALL: u8 = 8;
/// Takes constant or logarithmic time.
pub(crate) const FAST: u8 = 16;
/// Belongs to a session and cannot be queued.
pub(crate) const CONTROL: u8 = 32;

/// Where a command's keys are among its arguments.
#[derive(Clone, Copy, Debug)]
enum At {
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
}

/// One row of the table.
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// Number of arguments with the name; negative: at least that many.
    arity: i32,
    flags: u8,
    at: At,
    pub(crate) handler: fn(&mut Work<'_>, &Args<'_>) -> Result<Reply>,
    summary: &'static str,
}

const ONE: At = At::Range {
    first: 1,
    last: 1,
    step: 1,
};
const TWO: At = At::Range {
    first: 1,
    last: 2,
    step: 1,
};
const EACH: At = At::Range {
    first: 1,
    last: -1,
    step: 1,
};
const PAIRS: At = At::Range {
    first: 1,
    last: -1,
    step: 2,
};
const COUNTED: At = At::Counted {
    count: 1,
    destination: false,
};
const STORED: At = At::Counted {
    count: 2,
    destination: true,
};

macro_rules! rows {
    ($($name:literal $arity:literal $($flag:ident)|+ , $at:expr, $handler:path, $summary:literal;)*) => {
        &[$(Command {
            name: $name,
            arity: $arity,
            flags: $($flag)|+,
            at: $at,
            handler: $handler,
            summary: $summary,
        }),*]
    };
}

static TABLE: &[Command] = rows! {
    "append" 3 WRITE | GROW | FAST, ONE, string::append, "Appends to a string";
    "command" -1 READ, At::None, server::command, "Describes the commands";
    "copy" -3 WRITE | GROW, TWO, keys::copy, "Copies a key";
    "dbsize" 1 READ | FAST | ALL, At::None, server::dbsize, "Counts the keys";
    "decr" 2 WRITE | GROW | FAST, ONE, string::decr, "Subtracts one";
    "decrby" 3 WRITE | GROW | FAST, ONE, string::decrby, "Subtracts an integer";
    "del" -2 WRITE, EACH, keys::del, "Removes keys";
    "discard" 1 CONTROL | FAST, At::None, server::session_only, "Drops a transaction";
    "echo" 2 READ | FAST, At::None, server::echo, "Answers its argument";
    "exec" 1 CONTROL, At::None, server::session_only, "Runs a transaction";
    "exists" -2 READ | FAST, EACH, keys::exists, "Counts existing keys";
    "expire" -3 WRITE | FAST, ONE, keys::expire, "Sets a time to live in seconds";
    "expireat" -3 WRITE | FAST, ONE, keys::expireat, "Sets a deadline in seconds";
    "expiretime" 2 READ | FAST, ONE, keys::expiretime, "Tells the deadline in seconds";
    "flushall" -1 WRITE | ALL, At::None, server::flush, "Removes all keys";
    "flushdb" -1 WRITE | ALL, At::None, server::flush, "Removes all keys";
    "get" 2 READ | FAST, ONE, string::get, "Reads a string";
    "getdel" 2 WRITE | FAST, ONE, string::getdel, "Reads and removes a string";
    "getex" -2 WRITE | FAST, ONE, string::getex, "Reads a string and sets its deadline";
    "getrange" 4 READ, ONE, string::getrange, "Reads a part of a string";
    "getset" 3 WRITE | GROW | FAST, ONE, string::getset, "Sets a string and answers the old one";
    "hdel" -3 WRITE | FAST, ONE, hash::hdel, "Removes fields";
    "hexists" 3 READ | FAST, ONE, hash::hexists, "Tells whether a field exists";
    "hget" 3 READ | FAST, ONE, hash::hget, "Reads a field";
    "hgetall" 2 READ, ONE, hash::hgetall, "Reads all fields and values";
    "hincrby" 4 WRITE | GROW | FAST, ONE, hash::hincrby, "Adds an integer to a field";
    "hincrbyfloat" 4 WRITE | GROW | FAST, ONE, hash::hincrbyfloat, "Adds a decimal to a field";
    "hkeys" 2 READ, ONE, hash::hkeys, "Reads all fields";
    "hlen" 2 READ | FAST, ONE, hash::hlen, "Counts fields";
    "hmget" -3 READ | FAST, ONE, hash::hmget, "Reads some fields";
    "hmset" -4 WRITE | GROW | FAST, ONE, hash::hmset, "Sets fields";
    "hrandfield" -2 READ, ONE, hash::hrandfield, "Picks random fields";
    "hscan" -3 READ, ONE, hash::hscan, "Iterates over fields";
    "hset" -4 WRITE | GROW | FAST, ONE, hash::hset, "Sets fields";
    "hsetnx" 4 WRITE | GROW | FAST, ONE, hash::hsetnx, "Sets a field that does not exist";
    "hstrlen" 3 READ | FAST, ONE, hash::hstrlen, "Tells the length of a field's value";
    "hvals" 2 READ, ONE, hash::hvals, "Reads all values";
    "incr" 2 WRITE | GROW | FAST, ONE, string::incr, "Adds one";
    "incrby" 3 WRITE | GROW | FAST, ONE, string::incrby, "Adds an integer";
    "incrbyfloat" 3 WRITE | GROW | FAST, ONE, string::incrbyfloat, "Adds a decimal";
    "keys" 2 READ | ALL, At::None, keys::keys, "Lists the keys that match a pattern";
    "mget" -2 READ | FAST, EACH, string::mget, "Reads strings";
    "mset" -3 WRITE | GROW, PAIRS, string::mset, "Sets strings";
    "msetnx" -3 WRITE | GROW, PAIRS, string::msetnx, "Sets strings if no key exists";
    "multi" 1 CONTROL | FAST, At::None, server::session_only, "Starts a transaction";
    "object" -2 READ, At::Range { first: 2, last: 2, step: 1 }, keys::object, "Inspects a value";
    "persist" 2 WRITE | FAST, ONE, keys::persist, "Removes a deadline";
    "pexpire" -3 WRITE | FAST, ONE, keys::pexpire, "Sets a time to live in milliseconds";
    "pexpireat" -3 WRITE | FAST, ONE, keys::pexpireat, "Sets a deadline in milliseconds";
    "pexpiretime" 2 READ | FAST, ONE, keys::pexpiretime, "Tells the deadline in milliseconds";
    "ping" -1 READ | FAST, At::None, server::ping, "Answers PONG";
    "psetex" 4 WRITE | GROW, ONE, string::psetex, "Sets a string with a time to live in milliseconds";
    "pttl" 2 READ | FAST, ONE, keys::pttl, "Tells the time to live in milliseconds";
    "randomkey" 1 READ | ALL, At::None, keys::randomkey, "Picks a random key";
    "rename" 3 WRITE, TWO, keys::rename, "Renames a key";
    "renamenx" 3 WRITE | FAST, TWO, keys::renamenx, "Renames a key if the new name is free";
    "scan" -2 READ, At::None, keys::scan, "Iterates over keys";
    "set" -3 WRITE | GROW, ONE, string::set, "Sets a string";
    "setex" 4 WRITE | GROW, ONE, string::setex, "Sets a string with a time to live in seconds";
    "setnx" 3 WRITE | GROW | FAST, ONE, string::setnx, "Sets a string if the key does not exist";
    "setrange" 4 WRITE | GROW, ONE, string::setrange, "Overwrites a part of a string";
    "strlen" 2 READ | FAST, ONE, string::strlen, "Tells the length of a string";
    "substr" 4 READ, ONE, string::getrange, "Reads a part of a string";
    "touch" -2 READ | FAST, EACH, keys::exists, "Counts existing keys and notes the access";
    "ttl" 2 READ | FAST, ONE, keys::ttl, "Tells the time to live in seconds";
    "type" 2 READ | FAST, ONE, keys::type_of, "Tells the type of a key";
    "unlink" -2 WRITE | FAST, EACH, keys::del, "Removes keys";
    "unwatch" 1 CONTROL | FAST, At::None, server::session_only, "Forgets the watched keys";
    "watch" -2 CONTROL | FAST, EACH, server::session_only, "Makes the next transaction depend on keys";
    "zadd" -4 WRITE | GROW | FAST, ONE, zset::zadd, "Adds or updates members";
    "zcard" 2 READ | FAST, ONE, zset::zcard, "Counts members";
    "zcount" 4 READ | FAST, ONE, zset::zcount, "Counts members by score";
    "zdiff" -3 READ, COUNTED, zset::zdiff, "Members of the first set only";
    "zdiffstore" -4 WRITE | GROW, STORED, zset::zdiffstore, "Stores a difference";
    "zincrby" 4 WRITE | GROW | FAST, ONE, zset::zincrby, "Adds to a score";
    "zinter" -3 READ, COUNTED, zset::zinter, "Members of all sets";
    "zinterstore" -4 WRITE | GROW, STORED, zset::zinterstore, "Stores an intersection";
    "zlexcount" 4 READ | FAST, ONE, zset::zlexcount, "Counts members by name";
    "zmscore" -3 READ | FAST, ONE, zset::zmscore, "Reads scores";
    "zpopmax" -2 WRITE | FAST, ONE, zset::zpopmax, "Takes the highest members";
    "zpopmin" -2 WRITE | FAST, ONE, zset::zpopmin, "Takes the lowest members";
    "zrandmember" -2 READ, ONE, zset::zrandmember, "Picks random members";
    "zrange" -4 READ, ONE, zset::zrange, "Reads a range";
    "zrangebylex" -4 READ, ONE, zset::zrangebylex, "Reads a range of names";
    "zrangebyscore" -4 READ, ONE, zset::zrangebyscore, "Reads a range of scores";
    "zrangestore" -5 WRITE | GROW, TWO, zset::zrangestore, "Stores a range";
    "zrank" -3 READ | FAST, ONE, zset::zrank, "Tells a rank from the lowest";
    "zrem" -3 WRITE | FAST, ONE, zset::zrem, "Removes members";
    "zremrangebylex" 4 WRITE, ONE, zset::zremrangebylex, "Removes a range of names";
    "zremrangebyrank" 4 WRITE, ONE, zset::zremrangebyrank, "Removes a range of ranks";
    "zremrangebyscore" 4 WRITE, ONE, zset::zremrangebyscore, "Removes a range of scores";
    "zrevrange" -4 READ, ONE, zset::zrevrange, "Reads a range from the highest";
    "zrevrangebylex" -4 READ, ONE, zset::zrevrangebylex, "Reads a range of names backwards";
    "zrevrangebyscore" -4 READ, ONE, zset::zrevrangebyscore, "Reads a range of scores backwards";
    "zrevrank" -3 READ | FAST, ONE, zset::zrevrank, "Tells a rank from the highest";
    "zscan" -3 READ, ONE, zset::zscan, "Iterates over members";
    "zscore" 3 READ | FAST, ONE, zset::zscore, "Reads a score";
    "zunion" -3 READ, COUNTED, zset::zunion, "Members of any set";
    "zunionstore" -4 WRITE | GROW, STORED, zset::zunionstore, "Stores a union";
};

/// Longest part of a name or argument that an error repeats, in bytes.
const ECHO_BYTES_MAX: usize = 128;

impl Command {
    /// The row for an argument list.
    pub(crate) fn find(args: &Args<'_>) -> Result<&'static Self> {
        let name = args
            .first()
            .ok_or_else(|| Error::refused("ERR empty command"))?;
        let lower = name.to_ascii_lowercase();
        match TABLE.binary_search_by(|row| row.name.as_bytes().cmp(&lower)) {
            Ok(at) => Ok(&TABLE[at]),
            Err(_) => Err(unknown(name, &args[1..])),
        }
    }

    pub(crate) fn check_arguments(&self, args: &Args<'_>) -> Result<()> {
        let given = i32::try_from(args.len()).unwrap_or(i32::MAX);
        let fits = if self.arity < 0 {
            given >= -self.arity
        } else {
            given == self.arity
        };
        if fits {
            return Ok(());
        }
        let text = format!("ERR wrong number of arguments for '{}' command", self.name);
        Err(Error::refused_with(text))
    }

    pub(crate) fn grows(&self) -> bool {
        self.flags & GROW != 0
    }

    pub(crate) fn needs_all(&self) -> bool {
        self.flags & ALL != 0
    }

    pub(crate) fn is_control(&self) -> bool {
        self.flags & CONTROL != 0
    }

    /// The keys among the arguments, as far as they can be told before parsing.
    pub(crate) fn keys<'a>(&self, args: &Args<'a>) -> Vec<&'a [u8]> {
        match self.at {
            At::None => Vec::new(),
            At::Range { first, last, step } => {
                let end = match usize::try_from(last) {
                    Ok(last) => last,
                    Err(_) => args.len().saturating_sub(last.unsigned_abs() as usize),
                };
                let span = args.get(first..=end.min(args.len().saturating_sub(1)));
                span.unwrap_or(&[]).iter().step_by(step).copied().collect()
            }
            At::Counted { count, destination } => {
                let wanted = args
                    .get(count)
                    .and_then(|text| crate::number::parse_i64(text));
                let wanted = wanted
                    .and_then(|wanted| usize::try_from(wanted).ok())
                    .unwrap_or(0);
                let rest = args.get(count + 1..).unwrap_or(&[]);
                let mut found = rest[..wanted.min(rest.len())].to_vec();
                found.extend(destination.then(|| args.get(1).copied()).flatten());
                found
            }
        }
    }
}

fn unknown(name: &[u8], args: &[&[u8]]) -> Error {
    let cut = |bytes: &[u8]| {
        String::from_utf8_lossy(&bytes[..bytes.len().min(ECHO_BYTES_MAX)]).into_owned()
    };
    let mut text = format!(
        "ERR unknown command '{}', with args beginning with: ",
        cut(name)
    );
    let start = text.len();
    for arg in args {
        let room = ECHO_BYTES_MAX.saturating_sub(text.len() - start);
        if room == 0 {
            break;
        }
        let shown = String::from_utf8_lossy(&arg[..arg.len().min(room)]);
        text.extend(["'", &shown, "' "]);
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
    /// Name in lower case.
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
    /// What it does, in a few words.
    pub summary: &'static str,
}

impl CommandInfo {
    pub(crate) fn describe(&self) -> Reply {
        let count = |n: usize| Reply::count(n);
        let mut flags = vec![Reply::Status(if self.writes {
            "write"
        } else {
            "readonly"
        })];
        flags.extend(self.fast.then_some(Reply::Status("fast")));
        Reply::Array(vec![
            Reply::bulk_copy(self.name.as_bytes()),
            Reply::Int(i64::from(self.arity)),
            Reply::Array(flags),
            count(self.first_key),
            Reply::Int(i64::from(self.last_key)),
            count(self.key_step),
        ])
    }
}

/// All commands that [`crate::Db::command`] and [`super::Session::command`] know, sorted by name.
pub fn commands() -> impl Iterator<Item = CommandInfo> {
    TABLE.iter().map(|row| {
        let (first_key, last_key, key_step) = match row.at {
            At::Range { first, last, step } => (first, last, step),
            At::Counted {
                destination: true, ..
            } => (1, 1, 1),
            At::None
            | At::Counted {
                destination: false, ..
            } => (0, 0, 0),
        };
        CommandInfo {
            name: row.name,
            arity: row.arity,
            writes: row.flags & WRITE != 0,
            fast: row.flags & FAST != 0,
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
    fn rows_are_sorted_and_unique() {
        assert!(TABLE.windows(2).all(|pair| pair[0].name < pair[1].name));
    }

    #[test]
    fn keys_are_found() {
        for (line, expected) in [
            ("GET a", vec!["a"]),
            ("mset a 1 b 2", vec!["a", "b"]),
            ("DEL a b c", vec!["a", "b", "c"]),
            ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", vec!["a", "b", "d"]),
            ("ZUNION 9 a b", vec!["a", "b"]),
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
        let error = Command::find(&args).err().expect("unknown").to_string();
        assert_eq!(
            error,
            "ERR unknown command 'FOO', with args beginning with: 'a' 'b' "
        );
    }
}
