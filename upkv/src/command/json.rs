//! Chapter: JSON documents.
//!
//! A legacy path answers with its first match, a `$` path with an array of one answer per match, null
//! where a match is of a type that the command does not fit.

mod arrays;
mod read;

use super::args::{self, Args};
use super::reply::Reply;
use super::row::{At, CONTAINER, Command, ONE, SECOND, data, range, rows};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::ops::json::{self, Answers};
use crate::options::Condition;
use crate::value::json::Node;
use crate::value::json::parse::parse;
use crate::value::json::path::Path;

/// Keys with a path and a value each.
const TRIPLES: At = range(1, -1, 3);
/// Keys with a path after the last.
const BUT_LAST: At = range(1, -2, 1);

pub(super) static ROWS: &[Command] = rows! { "json";
    "json.arrappend" -4 WRITE | GROW, ONE, data(arrays::append), "1.0.0", "O(n)",
        "Appends values to arrays";
    "json.arrindex" -4 READ, ONE, data(arrays::index), "1.0.0", "O(n)",
        "Finds a value in arrays";
    "json.arrinsert" -5 WRITE | GROW, ONE, data(arrays::insert), "1.0.0", "O(n)",
        "Inserts values into arrays";
    "json.arrlen" -2 READ, ONE, data(arrays::len), "1.0.0", "O(matches)",
        "Tells the length of arrays";
    "json.arrpop" -2 WRITE, ONE, data(arrays::pop), "1.0.0", "O(n)",
        "Removes an element of arrays and answers it";
    "json.arrtrim" 5 WRITE, ONE, data(arrays::trim), "1.0.0", "O(n)",
        "Keeps a range of arrays";
    "json.clear" -2 WRITE, ONE, data(clear), "2.0.0", "O(n)",
        "Empties containers and sets numbers to 0";
    "json.debug" -2 READ, At::None, CONTAINER, "1.0.0", "that of the subcommand",
        "Inspects documents";
    "json.debug|help" 2 READ, At::None, data(read::help), "1.0.0", "O(1)",
        "Lists the subcommands";
    "json.debug|memory" -3 READ, SECOND, data(read::memory), "1.0.0", "O(n)",
        "Tells the bytes that values take in memory";
    "json.del" -2 WRITE, ONE, data(del), "1.0.0", "O(n)",
        "Removes values, or the whole document";
    "json.forget" -2 WRITE, ONE, data(del), "1.0.0", "O(n)",
        "Removes values, or the whole document";
    "json.get" -2 READ, ONE, data(read::get), "1.0.0", "O(n)",
        "Reads values as text";
    "json.merge" 4 WRITE | GROW, ONE, data(merge), "2.6.0", "O(n)",
        "Merges a patch into values";
    "json.mget" -3 READ, BUT_LAST, data(read::mget), "1.0.0", "O(n) per key",
        "Reads the same path of several documents";
    "json.mset" -4 WRITE | GROW, TRIPLES, data(mset), "2.6.0", "O(n) per key",
        "Sets values in several documents, all or none";
    "json.numincrby" 4 WRITE | GROW, ONE, data(numincrby), "1.0.0", "O(matches)",
        "Adds to numbers";
    "json.nummultby" 4 WRITE | GROW, ONE, data(nummultby), "1.0.0", "O(matches)",
        "Multiplies numbers";
    "json.objkeys" -2 READ, ONE, data(read::objkeys), "1.0.0", "O(members)",
        "Lists the names of objects' members";
    "json.objlen" -2 READ, ONE, data(read::objlen), "1.0.0", "O(matches)",
        "Counts the members of objects";
    "json.resp" -2 READ, ONE, data(read::resp), "1.0.0", "O(n)",
        "Reads values as nested replies";
    "json.set" -4 WRITE | GROW, ONE, data(set), "1.0.0", "O(n)",
        "Sets values, or the whole document";
    "json.strappend" -3 WRITE | GROW, ONE, data(strappend), "1.0.0", "O(n)",
        "Appends to texts";
    "json.strlen" -2 READ, ONE, data(read::strlen), "1.0.0", "O(matches)",
        "Tells the length of texts in bytes";
    "json.toggle" 3 WRITE | GROW, ONE, data(toggle), "2.0.0", "O(matches)",
        "Turns truth values around";
    "json.type" -2 READ, ONE, data(read::kind), "1.0.0", "O(matches)",
        "Tells the type of values";
};

/// The path at a position of the arguments; the whole document where there is none.
fn path_or_root(args: &Args<'_>, at: usize) -> Result<Path> {
    args.get(at)
        .map_or_else(|| Ok(Path::root()), |text| Path::parse(text))
}

/// Refuses arguments behind the last that the command has.
fn at_most(args: &Args<'_>, count: usize, command: &str) -> Result<()> {
    if args.len() > count {
        let text = format!("ERR wrong number of arguments for '{command}' command");
        return Err(Error::refused_with(text));
    }
    Ok(())
}

/// The reply to a change; `or` is what a legacy path says beside that it does not exist.
fn answered<R>(
    path: &Path,
    answers: Answers<R>,
    or: &str,
    one: impl Fn(R) -> Reply,
) -> Result<Reply> {
    if path.legacy {
        let first = answers.into_iter().next().flatten();
        return first.map(one).ok_or_else(|| path.missing(or));
    }
    let items = answers
        .into_iter()
        .map(|answer| answer.map_or(Reply::Null, &one));
    Ok(Reply::Array(items.collect()))
}

fn set(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let condition = match &args[4..] {
        [] => Condition::Always,
        [option] if args::is(option, "NX") => Condition::IfAbsent,
        [option] if args::is(option, "XX") => Condition::IfPresent,
        _ => return Err(Error::syntax()),
    };
    let (path, value) = (Path::parse(args[2])?, parse(args[3])?);
    let done = json::set(work, args[1], &path, &value, condition)?;
    Ok(if done { Reply::OK } else { Reply::Null })
}

fn mset(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let triples = args[1..].chunks_exact(3);
    if !triples.remainder().is_empty() {
        return Err(Error::refused(
            "ERR wrong number of arguments for 'json.mset' command",
        ));
    }
    let items = triples.map(|item| Ok((item[0], Path::parse(item[1])?, parse(item[2])?)));
    let items = items.collect::<Result<Vec<_>>>()?;
    json::set_many(work, &items)?;
    Ok(Reply::OK)
}

fn merge(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let (path, value) = (Path::parse(args[2])?, parse(args[3])?);
    json::merge(work, args[1], &path, &value)?;
    Ok(Reply::OK)
}

fn del(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let is_del = args::is(args[0], "JSON.DEL");
    at_most(args, 3, if is_del { "json.del" } else { "json.forget" })?;
    let path = path_or_root(args, 2)?;
    json::remove(work, args[1], &path).map(Reply::count)
}

fn clear(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    at_most(args, 3, "json.clear")?;
    let path = path_or_root(args, 2)?;
    json::clear(work, args[1], &path).map(Reply::count)
}

fn numincrby(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    calculated(args, |path, number| json::plus(work, args[1], path, number))
}

fn nummultby(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    calculated(args, |path, number| {
        json::multiply(work, args[1], path, number)
    })
}

/// Numbers are answered as JSON text: one, or an array of all.
fn calculated(
    args: &Args<'_>,
    run: impl FnOnce(&Path, &Node) -> Result<Answers<Node>>,
) -> Result<Reply> {
    let (path, number) = (Path::parse(args[2])?, parse(args[3])?);
    let answers = run(&path, &number)?;
    if path.legacy {
        let or = " or does not contains a number";
        return answered(&path, answers, or, |number| Reply::bulk(number.to_text()));
    }
    let items = answers
        .into_iter()
        .map(|answer| answer.unwrap_or(Node::Null));
    Ok(Reply::bulk(Node::Array(items.collect()).to_text()))
}

fn strappend(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    at_most(args, 4, "json.strappend")?;
    let (path, value) = match args[2..] {
        [path, value] => (Path::parse(path)?, value),
        _ => (Path::root(), args[2]),
    };
    let more = parse(value)?;
    let Node::Text(more) = &more else {
        return Err(Error::refused_with(format!(
            "WRONGTYPE wrong type of path value - expected string but found {}",
            more.kind()
        )));
    };
    let answers = json::append_text(work, args[1], &path, more)?;
    answered(&path, answers, " or not a string", Reply::count)
}

fn toggle(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let path = Path::parse(args[2])?;
    let answers = json::toggle(work, args[1], &path)?;
    let legacy = path.legacy;
    answered(&path, answers, " or not a bool", |value| {
        match (legacy, value) {
            (false, value) => Reply::flag(value),
            (true, true) => Reply::bulk_copy(b"true"),
            (true, false) => Reply::bulk_copy(b"false"),
        }
    })
}
