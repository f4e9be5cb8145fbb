//! Whether a command reads or changes what a key holds.
//!
//! A command that only asks whether a key exists, or how large it is, does neither: any right to the key is enough.

use crate::command::Command;
use crate::command::row::{READ, WRITE};

/// What is done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

const NEITHER: Access = Access {
    read: false,
    write: false,
};
pub(crate) const READS: Access = Access {
    read: true,
    write: false,
};
pub(crate) const WRITES: Access = Access {
    read: false,
    write: true,
};
pub(crate) const BOTH: Access = Access {
    read: true,
    write: true,
};

/// What a command does to its first key, in the order of arguments, and to the others.
pub(crate) fn of(command: &Command, args: &[&[u8]]) -> (Access, Access) {
    let same = |access| (access, access);
    match command.name {
        "exists" | "hexists" | "hlen" | "hstrlen" | "llen" | "memory|usage" | "scard"
        | "sismember" | "strlen" | "touch" | "type" | "watch" | "xlen" | "zcard" => same(NEITHER),
        name if name.starts_with("object|") => same(NEITHER),
        "eval_ro" | "evalsha_ro" | "fcall_ro" | "pfdebug" | "xreadgroup" => same(READS),
        "copy" | "georadius" | "georadiusbymember" | "sort" => (READS, WRITES),
        "pfmerge" => (BOTH, READS),
        "blmove" | "brpoplpush" | "lmove" | "rename" | "renamenx" | "rpoplpush" | "smove" => {
            (BOTH, WRITES)
        }
        "bitop" | "geosearchstore" | "sdiffstore" | "sinterstore" | "sunionstore"
        | "zdiffstore" | "zinterstore" | "zrangestore" | "zunionstore" => (WRITES, READS),
        "set"
            if args
                .iter()
                .skip(3)
                .any(|arg| arg.eq_ignore_ascii_case(b"GET")) =>
        {
            same(BOTH)
        }
        "set" => same(WRITES),
        "bitfield" if only_gets(args) => same(READS),
        "bitfield" | "blmpop" | "blpop" | "brpop" | "bzmpop" | "bzpopmax" | "bzpopmin" | "decr"
        | "decrby" | "getdel" | "getex" | "getset" | "hgetdel" | "hgetex" | "hincrby"
        | "hincrbyfloat" | "incr" | "incrby" | "incrbyfloat" | "lmpop" | "lpop" | "move"
        | "rpop" | "setbit" | "spop" | "zincrby" | "zmpop" | "zpopmax" | "zpopmin"
        | "json.arrpop" | "json.numincrby" | "json.nummultby" | "json.toggle" => same(BOTH),
        _ if command.has(READ) => same(READS),
        _ if command.has(WRITE) => same(WRITES),
        // What a script does is not known before it runs.
        _ => same(BOTH),
    }
}

/// Whether BITFIELD changes nothing; what cannot be read might.
fn only_gets(args: &[&[u8]]) -> bool {
    let mut rest = args.get(2..).unwrap_or_default();
    loop {
        rest = match rest {
            [] => return true,
            [word, _, _, rest @ ..] if word.eq_ignore_ascii_case(b"GET") => rest,
            [word, _, rest @ ..] if word.eq_ignore_ascii_case(b"OVERFLOW") => rest,
            _ => return false,
        };
    }
}
