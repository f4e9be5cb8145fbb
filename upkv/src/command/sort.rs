//! Chapter: SORT.

use super::acl;
use super::args::{self, Args, Options};
use super::reply::Reply;
use super::row::{At, Command, ONE, data, rows};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::ops::list;
use crate::ops::sort::{self, Sort};
use crate::value::Kind;

pub(super) static ROWS: &[Command] = rows! { "generic";
    "sort" -2 WRITE | GROW, At::Custom(sort_keys), data(sort_any), "1.0.0", "O(n log n), and a look-up a pattern and element",
        "Sorts the elements of a collection";
    "sort_ro" -2 READ, ONE, data(sort_ro), "7.0.0", "O(n log n), and a look-up a pattern and element",
        "Sorts the elements of a collection";
};

/// The key, and the last target that STORE names.
fn sort_keys(args: &Args<'_>) -> Vec<usize> {
    let (mut found, mut at) = (vec![1], 2);
    while at < args.len() {
        let option = args[at];
        if args::is(option, "LIMIT") {
            at += 2;
        } else if args::is(option, "BY") || args::is(option, "GET") {
            at += 1;
        } else if args::is(option, "STORE") && at + 1 < args.len() {
            found.truncate(1);
            found.push(at + 1);
            at += 1;
        }
        at += 1;
    }
    found
}

/// What to sort, and where to put it if the command may say that.
fn parse<'a>(
    work: &Work<'_>,
    args: &'a Args<'a>,
    may_store: bool,
) -> Result<(Sort<'a>, Option<&'a [u8]>)> {
    let mut how = Sort::default();
    let mut target = None;
    let mut options = Options::new(&args[2..]);
    while let Some(option) = options.next() {
        match &option[..] {
            "ASC" => how.descending = false,
            "DESC" => how.descending = true,
            "ALPHA" => how.alpha = true,
            "LIMIT" => {
                let (skip, take) = (options.value()?, options.value()?);
                how.limit = Some((args::int(skip)?, args::int(take)?));
            }
            "BY" => {
                let pattern = options.value()?;
                if pattern.contains(&b'*') {
                    acl::check_reads_all(work, args, "BY")?;
                }
                how.by(pattern);
            }
            "GET" => {
                how.get.push(options.value()?);
                acl::check_reads_all(work, args, "GET")?;
            }
            "STORE" if may_store => target = Some(options.value()?),
            _ => return Err(Error::syntax()),
        }
    }
    Ok((how, target))
}

fn sort_any(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let (mut how, target) = parse(work, args, true)?;
    let Some(target) = target else {
        return answer(work, args[1], &how);
    };
    // Members in no order of their own are stored in one that is the same everywhere.
    if how.unsorted && work.kind(args[1])? == Some(Kind::Set) {
        (how.unsorted, how.by, how.alpha) = (false, None, true);
    }
    let found = sort::sort(work, args[1], &how)?;
    let elements = found
        .iter()
        .map(|found| found.as_deref().unwrap_or_default());
    list::store(work, target, "sortstore", elements).map(Reply::count)
}

fn sort_ro(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let (how, _) = parse(work, args, false)?;
    answer(work, args[1], &how)
}

fn answer(work: &mut Work<'_>, key: &[u8], how: &Sort<'_>) -> Result<Reply> {
    let found = sort::sort(work, key, how)?;
    Ok(Reply::Array(
        found.into_iter().map(Reply::bulk_or_null).collect(),
    ))
}
