//! Commands that read documents.

use super::super::args::{self, Args, Options};
use super::super::reply::Reply;
use super::{at_most, path_or_root};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::ops::json;
use crate::value::Kind;
use crate::value::json::path::Path;
use crate::value::json::print::{self, Printer, Style};
use crate::value::json::select::Matches;
use crate::value::json::{Json, Node};

/// `JSON.GET key [INDENT text] [NEWLINE text] [SPACE text] [NOESCAPE] [path...]`.
pub(super) fn get(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let (style, texts) = style(&args[2..])?;
    let paths = texts.iter().map(|text| Path::parse(text));
    let paths = paths.collect::<Result<Vec<_>>>()?;
    let Some(json) = work.read::<Json>(args[1])? else {
        return Ok(Reply::Null);
    };
    let root = json.root();
    let mut printer = Printer::new(style);
    match &paths[..] {
        [] => printer.node(root)?,
        [path] => put(&mut printer, root, path, path.legacy)?,
        _ => {
            let legacy = paths.iter().all(|path| path.legacy);
            let names = texts.iter().map(|text| String::from_utf8_lossy(text));
            let names: Vec<_> = names.collect();
            let members = names.iter().map(|name| &**name).zip(&paths);
            printer.object(members, |printer, path| put(printer, root, path, legacy))?;
        }
    }
    Ok(Reply::bulk(printer.finish()))
}

/// What a path matches: the first match, or an array.
fn put(printer: &mut Printer<'_>, root: &Node, path: &Path, legacy: bool) -> Result<()> {
    let found = Matches::of(root, path)?;
    if legacy {
        return printer.node(found.nodes().next().ok_or_else(|| path.missing(""))?);
    }
    printer.array(found.nodes())
}

/// The layout, and the arguments behind it.
fn style<'a>(mut rest: &'a Args<'a>) -> Result<(Style<'a>, &'a Args<'a>)> {
    let mut style = Style::default();
    loop {
        let mut options = Options::new(rest);
        let taken = match rest.first() {
            Some(word) if args::is(word, "NOESCAPE") => 1,
            Some(word)
                if ["INDENT", "NEWLINE", "SPACE"]
                    .iter()
                    .any(|name| args::is(word, name)) =>
            {
                let name = options.next();
                let value = options.value()?;
                match name.as_deref() {
                    Some("INDENT") => style.indent = value,
                    Some("NEWLINE") => style.newline = value,
                    _ => style.space = value,
                }
                2
            }
            _ => return Ok((style, rest)),
        };
        rest = &rest[taken..];
    }
}

pub(super) fn mget(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let [_, keys @ .., path] = args else {
        return Err(Error::syntax());
    };
    let path = Path::parse(path)?;
    let mut items = Vec::with_capacity(keys.len());
    for key in keys {
        if work.kind(key)? != Some(Kind::Json) {
            items.push(Reply::Null);
            continue;
        }
        let Some(json) = work.read::<Json>(key)? else {
            items.push(Reply::Null);
            continue;
        };
        let found = Matches::of(json.root(), &path)?;
        let mut printer = Printer::new(Style::default());
        items.push(if !path.legacy {
            printer.array(found.nodes())?;
            Reply::bulk(printer.finish())
        } else if let Some(node) = found.nodes().next() {
            printer.node(node)?;
            Reply::bulk(printer.finish())
        } else {
            Reply::Null
        });
    }
    Ok(Reply::Array(items))
}

/// The answer about each match; null without the key, the refusal of a legacy path without a match.
fn about(
    work: &mut Work<'_>,
    args: &Args<'_>,
    at: usize,
    answer: impl Fn(&Node) -> Result<Reply, &'static str>,
) -> Result<Reply> {
    let path = path_or_root(args, at)?;
    let found = json::read(work, args[at - 1], &path, |node| {
        answer(node).map_err(|expected| {
            format!(
                "WRONGTYPE wrong type of path value - expected {expected} but found {}",
                node.kind()
            )
        })
    })?;
    let Some(found) = found else {
        return Ok(Reply::Null);
    };
    if path.legacy {
        let first = found.into_iter().next().ok_or_else(|| path.missing(""))?;
        return first.map_err(Error::refused_with);
    }
    let items = found
        .into_iter()
        .map(|answer| answer.unwrap_or(Reply::Null));
    Ok(Reply::Array(items.collect()))
}

/// The length of a container or text of one type.
pub(super) fn length(
    work: &mut Work<'_>,
    args: &Args<'_>,
    expected: &'static str,
) -> Result<Reply> {
    about(work, args, 2, |node| {
        if node.kind() != expected {
            return Err(expected);
        }
        Ok(Reply::count(match node {
            Node::Text(text) => text.len(),
            node => node.children(),
        }))
    })
}

pub(super) fn strlen(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    at_most(args, 3, "json.strlen")?;
    length(work, args, "string")
}

pub(super) fn objlen(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    at_most(args, 3, "json.objlen")?;
    length(work, args, "object")
}

pub(super) fn objkeys(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    at_most(args, 3, "json.objkeys")?;
    about(work, args, 2, |node| {
        let Node::Object(object) = node else {
            return Err("object");
        };
        let names = object
            .iter()
            .map(|(name, _)| Reply::bulk_copy(name.as_bytes()));
        Ok(Reply::Array(names.collect()))
    })
}

pub(super) fn kind(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    at_most(args, 3, "json.type")?;
    let path = path_or_root(args, 2)?;
    let kinds = json::read(work, args[1], &path, |node| {
        Reply::bulk_copy(node.kind().as_bytes())
    })?;
    Ok(match kinds {
        None => Reply::Null,
        Some(kinds) if path.legacy => kinds.into_iter().next().unwrap_or(Reply::Null),
        Some(kinds) => Reply::Array(kinds),
    })
}

pub(super) fn resp(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    at_most(args, 3, "json.resp")?;
    about(work, args, 2, |node| Ok(nested(node)))
}

/// Recursion is as deep as the document, which is bounded.
fn nested(node: &Node) -> Reply {
    match node {
        Node::Null => Reply::Null,
        Node::Bool(true) => Reply::Status("true"),
        Node::Bool(false) => Reply::Status("false"),
        Node::Int(value) => Reply::Int(*value),
        Node::Uint(value) => Reply::bulk(value.to_string()),
        Node::Float(value) => Reply::bulk(print::float(*value)),
        Node::Text(text) => Reply::bulk_copy(text.as_bytes()),
        Node::Array(items) => {
            let head = std::iter::once(Reply::Status("["));
            Reply::Array(head.chain(items.iter().map(nested)).collect())
        }
        Node::Object(object) => {
            let head = std::iter::once(Reply::Status("{"));
            let pair =
                |(name, value): (&str, &Node)| [Reply::bulk_copy(name.as_bytes()), nested(value)];
            Reply::Array(head.chain(object.iter().flat_map(pair)).collect())
        }
    }
}

pub(super) fn memory(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    at_most(args, 4, "json.debug|memory")?;
    about(work, args, 3, |node| {
        Ok(Reply::count(size_of::<Node>() + node.measure().0))
    })
}

#[expect(clippy::unnecessary_wraps, reason = "a handler may fail")]
pub(super) fn help(_work: &mut Work<'_>, _args: &Args<'_>) -> Result<Reply> {
    let lines = [
        "JSON.DEBUG <subcommand> [<arg> ...]. Subcommands are:",
        "MEMORY <key> [path]",
        "    The bytes that values take in memory.",
        "HELP",
        "    Print this help.",
    ];
    Ok(Reply::Array(lines.map(Reply::Status).into()))
}
