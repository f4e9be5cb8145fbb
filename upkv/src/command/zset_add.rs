//! ZADD: its options, and the two ways it goes.

use smallvec::SmallVec;

use super::args::{self, Args};
use super::reply::Reply;
use crate::error::{Error, Result};
use crate::keyspace::direct::Direct;
use crate::keyspace::engine::{Caller, Engine};
use crate::keyspace::work::Work;
use crate::ops::zset::{self, AddIf, Added};

/// What ZADD is told.
struct Add<'a> {
    when: AddIf,
    /// Whether to count changed members too.
    changed: bool,
    increment: bool,
    items: SmallVec<[(f64, &'a [u8]); 2]>,
}

impl Add<'_> {
    fn reply(&self, done: &Added) -> Reply {
        Reply::count(if self.changed {
            done.added + done.changed
        } else {
            done.added
        })
    }
}

fn add_of<'a>(args: &Args<'a>) -> Result<Add<'a>> {
    let mut when = AddIf::default();
    let (mut changed, mut increment) = (false, false);
    let mut at = 2;
    while let Some(option) = args.get(at) {
        let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
        match () {
            () if is(b"NX") => when.absent = true,
            () if is(b"XX") => when.present = true,
            () if is(b"GT") => when.greater = true,
            () if is(b"LT") => when.less = true,
            () if is(b"CH") => changed = true,
            () if is(b"INCR") => increment = true,
            () => break,
        }
        at += 1;
    }
    let items = &args[at..];
    if items.is_empty() || !items.len().is_multiple_of(2) {
        return Err(Error::syntax());
    }
    if when.absent && when.present {
        return Err(Error::refused(
            "ERR XX and NX options at the same time are not compatible",
        ));
    }
    if (when.greater && when.less) || (when.absent && (when.greater || when.less)) {
        return Err(Error::refused(
            "ERR GT, LT, and/or NX options at the same time are not compatible",
        ));
    }
    if increment && items.len() > 2 {
        return Err(Error::refused(
            "ERR INCR option supports a single increment-element pair",
        ));
    }
    let items = items
        .chunks_exact(2)
        .map(|pair| Ok((args::float(pair[0])?, pair[1])))
        .collect::<Result<_>>()?;
    Ok(Add {
        when,
        changed,
        increment,
        items,
    })
}

pub(super) fn zadd(work: &mut Work<'_>, args: &Args<'_>) -> Result<Reply> {
    let add = add_of(args)?;
    if add.increment {
        let (change, member) = add.items[0];
        let sum = zset::incr(work, args[1], add.when, change, member)?;
        return Ok(sum.map_or(Reply::Null, Reply::Double));
    }
    let done = zset::add(work, args[1], add.when, &add.items)?;
    Ok(add.reply(&done))
}

pub(super) fn zadd_directly(
    engine: &Engine,
    caller: Caller,
    args: &Args<'_>,
) -> Result<Direct<Reply>> {
    let add = add_of(args)?;
    if add.increment {
        return Ok(Direct::Ordinary);
    }
    let done = engine.change_directly(caller, args[1], |work| {
        zset::add(work, args[1], add.when, &add.items)
    });
    Ok(done?.map(|done| add.reply(&done)))
}
