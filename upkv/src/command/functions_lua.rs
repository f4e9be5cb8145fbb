//! Handlers of FUNCTION: libraries as data.

use std::sync::Arc;

use super::args::{self, Args};
use super::reply::Reply;
use super::scripts_lua::{help, kill};
use crate::error::{Error, Result};
use crate::glob;
use crate::keyspace::libraries::{Change, Function, Libraries, Library};
use crate::keyspace::work::Work;
use crate::script::{Running, catalog, dump, flags};

fn added(library: &Arc<Library>) -> Change {
    Change {
        name: library.name.clone(),
        library: Some(Arc::clone(library)),
    }
}

fn removed(name: &[u8]) -> Change {
    Change {
        name: name.into(),
        library: None,
    }
}

pub(super) fn function_load(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let (options, code) = args[2..].split_at(args.len() - 3);
    let mut replace = false;
    for option in options {
        if !args::is(option, "REPLACE") {
            let option = String::from_utf8_lossy(&option[..option.len().min(128)]);
            return Err(Error::refused_with(format!(
                "ERR Unknown option given: {option}"
            )));
        }
        replace = true;
    }
    work.engine.check_room()?;
    work.hold_libraries()?;
    let libraries = work.libraries();
    let name = flags::library_name(code[0])?;
    if !replace && libraries.by_name.contains_key(name) {
        return Err(taken(name));
    }
    let library = catalog::load(work.engine, code[0])?;
    catalog::check_names(work.engine, &libraries, &library)?;
    work.change_libraries(vec![added(&library)]);
    Ok(Reply::bulk_copy(&library.name))
}

fn taken(name: &[u8]) -> Error {
    let name = String::from_utf8_lossy(name);
    Error::refused_with(format!("ERR Library '{name}' already exists"))
}

pub(super) fn function_delete(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    work.hold_libraries()?;
    if !work.libraries().by_name.contains_key(args[2]) {
        return Err(Error::refused("ERR Library not found"));
    }
    work.change_libraries(vec![removed(args[2])]);
    Ok(Reply::OK)
}

pub(super) fn function_flush(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    match &args[2..] {
        [] => {}
        [mode] if args::is(mode, "SYNC") || args::is(mode, "ASYNC") => {}
        _ => {
            return Err(Error::refused(
                "ERR FUNCTION FLUSH only supports SYNC|ASYNC option",
            ));
        }
    }
    work.hold_libraries()?;
    let changes = all_removed(&work.libraries());
    work.change_libraries(changes);
    Ok(Reply::OK)
}

fn all_removed(libraries: &Libraries) -> Vec<Change> {
    libraries.by_name.keys().map(|name| removed(name)).collect()
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
pub(super) fn function_dump(work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    let libraries = work.libraries();
    let codes = libraries.by_name.values().map(|library| &*library.code);
    Ok(Reply::bulk_copy(&dump::write(codes)))
}

pub(super) fn function_restore(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let unknown = || {
        Error::refused(
            "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
        )
    };
    let (flush, replace) = match &args[3..] {
        [] => (false, false),
        [policy] if args::is(policy, "APPEND") => (false, false),
        [policy] if args::is(policy, "FLUSH") => (true, false),
        [policy] if args::is(policy, "REPLACE") => (false, true),
        [_] => return Err(unknown()),
        _ => {
            let given = args::echo(args[1], 128);
            return Err(Error::refused_with(format!(
                "ERR unknown subcommand or wrong number of arguments for '{given}'. Try FUNCTION HELP."
            )));
        }
    };
    let codes = dump::read(args[2])?;
    work.engine.check_room()?;
    work.hold_libraries()?;
    let mut libraries = (*work.libraries()).clone();
    let mut changes = Vec::new();
    if flush {
        changes = all_removed(&libraries);
        for change in &changes {
            libraries.apply(change);
        }
    }
    for code in &codes {
        let library = catalog::load(work.engine, code)?;
        if !replace && libraries.by_name.contains_key(&library.name) {
            return Err(taken(&library.name));
        }
        catalog::check_names(work.engine, &libraries, &library)?;
        let change = added(&library);
        libraries.apply(&change);
        changes.push(change);
    }
    work.change_libraries(changes);
    Ok(Reply::OK)
}

pub(super) fn function_list(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let (mut pattern, mut with_code) = (None, false);
    let mut options = args[2..].iter();
    while let Some(option) = options.next() {
        if args::is(option, "WITHCODE") && !with_code {
            with_code = true;
        } else if args::is(option, "LIBRARYNAME") && pattern.is_none() {
            let missing = || Error::refused("ERR library name argument was not given");
            pattern = Some(*options.next().ok_or_else(missing)?);
        } else {
            let given = String::from_utf8_lossy(&option[..option.len().min(128)]);
            return Err(Error::refused_with(format!("ERR Unknown argument {given}")));
        }
    }
    let libraries = work.libraries();
    let named = |library: &&Arc<Library>| {
        pattern.is_none_or(|pattern| glob::matches(pattern, &library.name))
    };
    let listed = libraries.by_name.values().filter(named);
    Ok(Reply::Array(
        listed
            .map(|library| describe(work, library, with_code))
            .collect(),
    ))
}

fn describe(work: &Work<'_>, library: &Library, with_code: bool) -> Reply {
    let key = |name: &'static str| Reply::bulk_copy(name.as_bytes());
    let functions = catalog::functions_of(work.engine, library);
    let mut pairs = vec![
        (key("library_name"), Reply::bulk_copy(&library.name)),
        (key("engine"), key("LUA")),
        (
            key("functions"),
            Reply::Array(functions.iter().map(describe_function).collect()),
        ),
    ];
    if with_code {
        pairs.push((key("library_code"), Reply::bulk_copy(&library.code)));
    }
    Reply::Map(pairs)
}

fn describe_function(function: &Function) -> Reply {
    let key = |name: &'static str| Reply::bulk_copy(name.as_bytes());
    let description = function.description.as_deref();
    let set = flags::NAMES
        .iter()
        .filter(|(_, flag)| function.flags & flag != 0);
    Reply::Map(vec![
        (key("name"), Reply::bulk_copy(&function.name)),
        (
            key("description"),
            description.map_or(Reply::Null, Reply::bulk_copy),
        ),
        (
            key("flags"),
            Reply::Set(set.map(|(name, _)| Reply::Status(name)).collect()),
        ),
    ])
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
pub(super) fn function_stats(work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    let key = |name: &'static str| Reply::bulk_copy(name.as_bytes());
    let engine = work.engine;
    let libraries = work.libraries();
    let functions = libraries
        .by_name
        .values()
        .map(|library| catalog::functions_of(engine, library).len())
        .sum();
    let now = engine.mount.clock().monotonic();
    let describe = |running: &Arc<Running>| {
        let took = now.saturating_sub(running.since).as_millis();
        let command = running.command.iter();
        Reply::Map(vec![
            (key("name"), Reply::bulk_copy(&running.name)),
            (
                key("command"),
                Reply::Array(command.map(|arg| Reply::bulk_copy(arg)).collect()),
            ),
            (
                key("duration_ms"),
                Reply::Int(i64::try_from(took).unwrap_or(i64::MAX)),
            ),
        ])
    };
    let running = engine.scripts.running(true);
    Ok(Reply::Map(vec![
        (
            key("running_script"),
            running.first().map_or(Reply::Null, describe),
        ),
        (
            key("engines"),
            Reply::Map(vec![(
                key("LUA"),
                Reply::Map(vec![
                    (
                        key("libraries_count"),
                        Reply::count(libraries.by_name.len()),
                    ),
                    (key("functions_count"), Reply::count(functions)),
                ]),
            )]),
        ),
    ]))
}

pub(super) fn function_kill(work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    kill(work.engine, true)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every row of the table has this signature"
)]
pub(super) fn function_help(_work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    Ok(help(&[
        "FUNCTION <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "LOAD [REPLACE] <FUNCTION CODE>",
        "    Create a new library with the given library name and code.",
        "DELETE <LIBRARY NAME>",
        "    Delete the given library.",
        "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
        "    Return general information on all the libraries:",
        "    * Library name",
        "    * The engine used to run the Library",
        "    * Library description",
        "    * Functions list",
        "    * Library code (if WITHCODE is given)",
        "    It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
        "STATS",
        "    Return information about the current function running:",
        "    * Function name",
        "    * Command used to run the function",
        "    * Duration in MS that the function is running",
        "    If no function is running, return nil",
        "    In addition, returns a list of available engines.",
        "KILL",
        "    Kill the current running function.",
        "FLUSH [ASYNC|SYNC]",
        "    Delete all the libraries.",
        "    When called without the optional mode argument, the behavior is determined by the",
        "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
        "    * ASYNC: Asynchronously flush the libraries.",
        "    * SYNC: Synchronously flush the libraries.",
        "DUMP",
        "    Return a serialized payload representing the current libraries, can be restored using FUNCTION RESTORE command",
        "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
        "    Restore the libraries represented by the given payload, it is possible to give a restore policy to",
        "    control how to handle existing libraries (default APPEND):",
        "    * FLUSH: delete all existing libraries.",
        "    * APPEND: appends the restored libraries to the existing libraries. On collision, abort.",
        "    * REPLACE: appends the restored libraries to the existing libraries, On collision, replace the old",
        "      libraries with the new libraries (notice that even on this option there is a chance of failure",
        "      in case of functions name collision with another library).",
        "HELP",
        "    Prints this help.",
    ]))
}
