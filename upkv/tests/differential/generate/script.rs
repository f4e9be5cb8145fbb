//! Commands of other chapters inside scripts: they do the same, and their replies go through Lua.

use super::{Line, Step};
use crate::common::Random;
use crate::compare::Compare;

/// A script that runs its arguments as a command.
struct Script {
    command: &'static str,
    body: &'static str,
    /// Maps and sets come out of a table of Lua, in any order.
    unordered: bool,
    /// Only for commands whose replies are always the same bytes.
    exact: bool,
}

const fn script(command: &'static str, body: &'static str) -> Script {
    Script {
        command,
        body,
        unordered: false,
        exact: false,
    }
}

impl Script {
    const fn unordered(mut self) -> Self {
        self.unordered = true;
        self
    }

    const fn exact(mut self) -> Self {
        self.exact = true;
        self
    }
}

const SCRIPTS: &[Script] = &[
    script("EVAL", "return redis.call(unpack(ARGV))"),
    script("EVAL", "return redis.pcall(unpack(ARGV))"),
    script("EVAL_RO", "return redis.call(unpack(ARGV))"),
    script(
        "EVAL",
        "#!lua flags=no-writes\nreturn redis.call(unpack(ARGV))",
    ),
    script("EVAL", "#!lua\nreturn redis.call(unpack(ARGV))"),
    script(
        "EVAL",
        "local ok, reply = pcall(redis.call, unpack(ARGV)) return reply",
    )
    .exact(),
    script(
        "EVAL",
        "local reply = redis.call(unpack(ARGV)) return {reply, type(reply)}",
    )
    .exact(),
    script("EVAL", "redis.setresp(3) return redis.call(unpack(ARGV))").unordered(),
    script(
        "EVAL",
        "redis.setresp(3) local reply = redis.pcall(unpack(ARGV)) redis.setresp(2) return reply",
    )
    .unordered(),
    script(
        "EVAL",
        "return cjson.encode({redis.call(unpack(ARGV)), false})",
    )
    .exact(),
    script("EVAL", "return cmsgpack.pack(redis.pcall(unpack(ARGV)))").exact(),
];

/// Commands that may differ in a way that is known, but not behind another form of the reply.
const KNOWN: [&[u8]; 15] = [
    b"BITCOUNT",
    b"BITPOS",
    b"DBSIZE",
    b"DUMP",
    b"GET",
    b"GETRANGE",
    b"GETSET",
    b"HINCRBYFLOAT",
    b"INCRBYFLOAT",
    b"LPOS",
    b"LREM",
    b"LSET",
    b"MGET",
    b"SELECT",
    b"SUBSTR",
];

fn is_plain(line: &Line) -> bool {
    let name = line.args[0].to_ascii_uppercase();
    let is_known = KNOWN.contains(&&name[..]) || name.ends_with(b"SCAN") || name.starts_with(b"PF");
    // Errors quote such arguments in another way, which shows in the other form.
    let is_text = |arg: &Vec<u8>| std::str::from_utf8(arg).is_ok() && !arg.contains(&0);
    line.compare == Compare::Exact && !is_known && line.args.iter().all(is_text)
}

/// Puts about half of the commands into scripts. Those that wait outside of a transaction are left as they are.
pub(super) fn wrap(random: &mut Random, steps: &mut [Step]) {
    for step in steps {
        let [line] = &mut step[..] else {
            continue;
        };
        let script = &SCRIPTS[random.below(SCRIPTS.len())];
        if random.below(2) == 0 || (script.exact && !is_plain(line)) {
            continue;
        }
        let head = [script.command, script.body, "0"].map(|word| word.as_bytes().to_vec());
        line.args.splice(..0, head);
        if script.unordered && line.compare == Compare::Exact {
            line.compare = Compare::Pairs;
        }
    }
}

/// The command that a script is given; any other command is itself.
pub(crate) fn inner(args: &[Vec<u8>]) -> &[Vec<u8>] {
    let of_script = args.len() > 3 && args[0].starts_with(b"EVAL");
    if of_script { &args[3..] } else { args }
}
