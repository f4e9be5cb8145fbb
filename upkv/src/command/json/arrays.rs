//! Commands on the arrays of documents.

use super::super::args::{self, Args};
use super::super::reply::Reply;
use super::{answered, at_most, path_or_root, read};
use crate::error::Result;
use crate::keyspace::work::Work;
use crate::ops::json;
use crate::value::json::Node;
use crate::value::json::parse::parse;
use crate::value::json::path::Path;

const OR: &str = " or not an array";

fn values(texts: &Args<'_>) -> Result<Vec<Node>> {
    texts.iter().map(|text| parse(text)).collect()
}

pub(super) fn append(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let (path, values) = (Path::parse(args[2])?, values(&args[3..])?);
    let answers = json::push(work, args[1], &path, &values)?;
    answered(&path, answers, OR, Reply::count)
}

pub(super) fn insert(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let (path, position) = (Path::parse(args[2])?, args::int(args[3])?);
    let values = values(&args[4..])?;
    let answers = json::splice(work, args[1], &path, position, &values)?;
    answered(&path, answers, OR, Reply::count)
}

pub(super) fn len(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    at_most(args, 3, "json.arrlen")?;
    read::length(work, args, "array")
}

pub(super) fn pop(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    at_most(args, 4, "json.arrpop")?;
    let path = path_or_root(args, 2)?;
    let position = args.get(3).map_or(Ok(-1), |text| args::int(text))?;
    let answers = json::pop(work, args[1], &path, position)?;
    answered(&path, answers, OR, Reply::bulk_or_null)
}

pub(super) fn trim(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let path = Path::parse(args[2])?;
    let (first, last) = (args::int(args[3])?, args::int(args[4])?);
    let answers = json::trim(work, args[1], &path, first, last)?;
    answered(&path, answers, OR, Reply::count)
}

/// `JSON.ARRINDEX key path value [start [stop]]`.
pub(super) fn index(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    at_most(args, 6, "json.arrindex")?;
    let (path, wanted) = (Path::parse(args[2])?, parse(args[3])?);
    let start = args.get(4).map_or(Ok(0), |text| args::int(text))?;
    let stop = args.get(5).map_or(Ok(0), |text| args::int(text))?;
    let Some(found) = json::index_of(work, args[1], &path, &wanted, start, stop)? else {
        return Ok(Reply::Null);
    };
    let place = |at: Option<usize>| at.map_or(Reply::Int(-1), Reply::count);
    answered(&path, found, OR, place)
}
