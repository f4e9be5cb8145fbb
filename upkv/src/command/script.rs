//! Chapter: scripts. EVAL, EVALSHA and their read-only forms, SCRIPT.
//!
//! The chapter is there with the feature `lua` only: without it these commands are unknown.

use super::row::{At, CONTAINER, Command, NO_KEYS, data, rows};
use super::scripts_lua as lua;

/// After the script or the name come the number of keys and the keys.
const KEYS: At = At::Counted {
    count: 2,
    destination: false,
};

pub(super) static ROWS: &[Command] = rows! { "scripting";
    "eval" -3 NOSCRIPT | STALE | RUNS | ALL, KEYS, data(lua::eval), "2.6.0", "that of the script",
        "Runs a script";
    "evalsha" -3 NOSCRIPT | STALE | RUNS | ALL, KEYS, data(lua::evalsha), "2.6.0", "that of the script",
        "Runs a script that is known by its digest";
    "evalsha_ro" -3 NOSCRIPT | STALE | ALL, KEYS, data(lua::evalsha_ro), "7.0.0", "that of the script",
        "Runs a script that reads only, known by its digest";
    "eval_ro" -3 NOSCRIPT | STALE | ALL, KEYS, data(lua::eval_ro), "7.0.0", "that of the script",
        "Runs a script that reads only";
    "fcall" -3 NOSCRIPT | STALE | RUNS | ALL, KEYS, data(lua::fcall), "7.0.0", "that of the function, O(functions)",
        "Runs a function";
    "fcall_ro" -3 NOSCRIPT | STALE | ALL, KEYS, data(lua::fcall_ro), "7.0.0", "that of the function, O(functions)",
        "Runs a function that reads only";
    "function" -2 NOSCRIPT, NO_KEYS, CONTAINER, "7.0.0", "that of the subcommand",
        "Manages functions";
    "function|delete" 3 NOSCRIPT | WRITE, NO_KEYS, data(lua::function_delete), "7.0.0", "O(libraries)",
        "Removes a library";
    "function|dump" 2 NOSCRIPT, NO_KEYS, data(lua::function_dump), "7.0.0", "O(bytes of code)",
        "Answers all libraries as bytes";
    "function|flush" -2 NOSCRIPT | WRITE, NO_KEYS, data(lua::function_flush), "7.0.0", "O(libraries)",
        "Removes all libraries";
    "function|help" 2 NOSCRIPT | STALE, NO_KEYS, data(lua::function_help), "7.0.0", "O(1)",
        "Lists the subcommands";
    "function|kill" 2 NOSCRIPT | STALE, NO_KEYS, data(lua::function_kill), "7.0.0", "O(running functions)",
        "Stops functions that have not written yet";
    "function|list" -2 NOSCRIPT, NO_KEYS, data(lua::function_list), "7.0.0", "O(functions)",
        "Lists libraries and their functions";
    "function|load" -3 NOSCRIPT | WRITE, NO_KEYS, data(lua::function_load), "7.0.0", "that of the library's code, O(functions)",
        "Adds a library";
    "function|restore" -3 NOSCRIPT | WRITE, NO_KEYS, data(lua::function_restore), "7.0.0", "O(functions^2)",
        "Adds the libraries of a dump";
    "function|stats" 2 NOSCRIPT | STALE, NO_KEYS, data(lua::function_stats), "7.0.0", "O(functions)",
        "Tells what runs";
    "script" -2 NOSCRIPT, NO_KEYS, CONTAINER, "2.6.0", "that of the subcommand",
        "Manages scripts";
    "script|debug" 3 NOSCRIPT, NO_KEYS, data(lua::script_debug), "3.2.0", "O(1)",
        "Accepts the modes of the debugger, which is not there";
    "script|exists" -3 NOSCRIPT, NO_KEYS, data(lua::script_exists), "2.6.0", "O(digests)",
        "Tells which scripts are known";
    "script|flush" -2 NOSCRIPT, NO_KEYS, data(lua::script_flush), "2.6.0", "O(scripts)",
        "Forgets all scripts";
    "script|help" 2 NOSCRIPT | STALE, NO_KEYS, data(lua::script_help), "5.0.0", "O(1)",
        "Lists the subcommands";
    "script|kill" 2 NOSCRIPT | STALE, NO_KEYS, data(lua::script_kill), "2.6.0", "O(running scripts)",
        "Stops scripts that have not written yet";
    "script|load" 3 NOSCRIPT | STALE, NO_KEYS, data(lua::script_load), "2.6.0", "O(bytes of the script)",
        "Compiles a script and keeps it";
};
