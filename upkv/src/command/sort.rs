//! Chapter: SORT.

use super::acl;
use super::args::{self, Args, Options};
use super::reply::Reply;
use super::row::{Command, ONE, data, rows};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::ops::sort::{self, Sort};

pub(super) static ROWS: &[Command] = rows! { "generic";
    "sort" -2 READ, ONE, data(sort_any), "1.0.0", "O(n log n), and a look-up a pattern and element",
        "Sorts the elements of a collection";
    "sort_ro" -2 READ, ONE, data(sort_any), "7.0.0", "O(n log n), and a look-up a pattern and element",
        "Sorts the elements of a collection";
};

fn parse<'a>(work: &Work<'_>, args: &'a Args<'a>) -> Result<Sort<'a>> {
    let mut how = Sort::default();
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
            _ => return Err(Error::syntax()),
        }
    }
    Ok(how)
}

fn sort_any(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let how = parse(work, args)?;
    let found = sort::sort(work, args[1], &how)?;
    Ok(Reply::Array(
        found.into_iter().map(Reply::bulk_or_null).collect(),
    ))
}
