//! Handlers of scripts: EVAL and its kin, FCALL, SCRIPT. Those of FUNCTION are in `functions_lua`.

use std::sync::Arc;

use super::args::{self, Args};
use super::reply::Reply;
use crate::error::{Error, Result};
use crate::keyspace::engine::Engine;
use crate::keyspace::work::Work;
use crate::script::flags::KEY_LOCKING;
use crate::script::{Cached, Job, NotKilled, Program, catalog, check, digest_of, run};

pub(super) use super::functions_lua::{
    function_delete, function_dump, function_flush, function_help, function_kill, function_list,
    function_load, function_restore, function_stats,
};

/// The keys and the other arguments after a script or name.
fn split<'a>(args: &'a Args<'a>, count: i64) -> Result<(&'a Args<'a>, &'a Args<'a>)> {
    let rest = &args[3..];
    let too_many = || Error::refused("ERR Number of keys can't be greater than number of args");
    if count > i64::try_from(rest.len()).unwrap_or(i64::MAX) {
        return Err(too_many());
    }
    let count = usize::try_from(count)
        .map_err(|_| Error::refused("ERR Number of keys can't be negative"))?;
    rest.split_at_checked(count).ok_or_else(too_many)
}

fn known(engine: &Engine, digest: &[u8]) -> Result<Arc<Cached>> {
    let script = digest_of(digest).and_then(|digest| engine.scripts.cache().get(&digest));
    script.ok_or_else(|| Error::refused("NOSCRIPT No matching script. Please use EVAL."))
}

/// A script from its text. It is kept once it is known to compile.
fn from_text(engine: &Engine, body: &[u8], loaded: bool) -> Result<Arc<Cached>> {
    let script = Cached::new(body)?;
    let old = engine.scripts.cache().get(&script.digest);
    if old.is_none() {
        check(&script, engine.scripts.limits.memory_bytes)?;
    }
    let script = old.unwrap_or(script);
    engine.scripts.cache().put(&script, loaded);
    Ok(script)
}

fn run_script(
    work: &mut Work<'_>,
    args: &Args<'_>,
    script: impl FnOnce() -> Result<Arc<Cached>>,
    read_only: bool,
) -> Result<Reply> {
    let (keys, argv) = split(args, args::int(args[2])?)?;
    let script = script()?;
    run(
        work,
        &Job {
            program: Program::Script(&script),
            keys,
            argv,
            read_only,
            command: args,
        },
    )
}

pub(super) fn eval(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let engine = work.engine;
    run_script(work, args, || from_text(engine, args[1], false), false)
}

pub(super) fn eval_ro(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let engine = work.engine;
    run_script(work, args, || from_text(engine, args[1], false), true)
}

pub(super) fn evalsha(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let engine = work.engine;
    run_script(work, args, || known(engine, args[1]), false)
}

pub(super) fn evalsha_ro(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let engine = work.engine;
    run_script(work, args, || known(engine, args[1]), true)
}

pub(super) fn fcall(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    call_function(work, args, false)
}

pub(super) fn fcall_ro(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    call_function(work, args, true)
}

fn call_function(work: &mut Work<'_>, args: &Args<'_>, read_only: bool) -> Result<Reply> {
    let libraries = work.libraries();
    let found = catalog::find(work.engine, &libraries, args[1]);
    let (library, flags) = found.ok_or_else(|| Error::refused("ERR Function not found"))?;
    let count = crate::number::parse_i64(args[2]);
    let count = count.ok_or_else(|| Error::refused("ERR Bad number of keys provided"))?;
    let (keys, argv) = split(args, count)?;
    run(
        work,
        &Job {
            program: Program::Function {
                library: &library,
                name: args[1],
                flags,
            },
            keys,
            argv,
            read_only,
            command: args,
        },
    )
}

/// Whether a command runs a script that says it touches only the keys it declares.
pub(super) fn locks_only_keys(engine: &Engine, name: &str, args: &Args<'_>) -> bool {
    let flags = match name {
        "eval" | "eval_ro" if args[1].starts_with(b"#!") => {
            Cached::new(args[1]).map(|script| script.flags).ok()
        }
        "evalsha" | "evalsha_ro" => known(engine, args[1]).map(|script| script.flags).ok(),
        "fcall" | "fcall_ro" => {
            let libraries = engine.libraries.current();
            catalog::find(engine, &libraries, args[1]).map(|(_, flags)| flags)
        }
        _ => None,
    };
    flags.is_some_and(|flags| flags & KEY_LOCKING != 0)
}

// --- SCRIPT

pub(super) fn script_load(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let script = from_text(work.engine, args[2], true)?;
    Ok(Reply::bulk(script.name.clone()))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
pub(super) fn script_exists(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let is_known = |digest: &&[u8]| Reply::flag(known(work.engine, digest).is_ok());
    Ok(Reply::Array(args[2..].iter().map(is_known).collect()))
}

pub(super) fn script_flush(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    match &args[2..] {
        [] => {}
        [mode] if args::is(mode, "SYNC") || args::is(mode, "ASYNC") => {}
        _ => {
            return Err(Error::refused(
                "ERR SCRIPT FLUSH only support SYNC|ASYNC option",
            ));
        }
    }
    work.engine.scripts.cache().clear();
    Ok(Reply::OK)
}

pub(super) fn script_debug(_work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    if args::is(args[2], "NO") {
        return Ok(Reply::OK);
    }
    if args::is(args[2], "YES") || args::is(args[2], "SYNC") {
        return Err(Error::refused("ERR there is no debugger of scripts"));
    }
    Err(Error::refused("ERR Use SCRIPT DEBUG YES/SYNC/NO"))
}

pub(super) fn script_kill(work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    kill(work.engine, false)
}

/// Stops scripts, or functions.
pub(super) fn kill(engine: &Engine, functions: bool) -> Result<Reply> {
    let killed = if engine.rules.is_upstash() {
        Err(NotKilled::NotRunning)
    } else {
        engine.scripts.kill(functions)
    };
    match killed {
        Ok(()) => Ok(Reply::OK),
        Err(why) => Err(why.error(functions)),
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
pub(super) fn script_help(_work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    Ok(help(&[
        "SCRIPT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "DEBUG (YES|SYNC|NO)",
        "    Set the debug mode for subsequent scripts executed.",
        "EXISTS <sha1> [<sha1> ...]",
        "    Return information about the existence of the scripts in the script cache.",
        "FLUSH [ASYNC|SYNC]",
        "    Flush the Lua scripts cache. Very dangerous on replicas.",
        "    When called without the optional mode argument, the behavior is determined by the",
        "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
        "    * ASYNC: Asynchronously flush the scripts cache.",
        "    * SYNC: Synchronously flush the scripts cache.",
        "KILL",
        "    Kill the currently executing Lua script.",
        "LOAD <script>",
        "    Load a script into the scripts cache without executing it.",
        "HELP",
        "    Prints this help.",
    ]))
}

pub(super) fn help(lines: &[&'static str]) -> Reply {
    Reply::Array(lines.iter().map(|line| Reply::Status(line)).collect())
}
