//! Lists: changes at the ends and inside, and searching.

use std::ops::Range;

use super::check_size;
use crate::error::{Error, Result};
use crate::keyspace::work::event::Class;
use crate::keyspace::work::{Edit, Editor, Work};
use crate::value::list::{self, Entry, List};
use crate::value::{Collection, Kind, Undo};

/// One end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Where the element at position 0 is; `LEFT` in commands.
    Front,
    /// Where the last element is; `RIGHT` in commands.
    Back,
}

impl End {
    fn is_front(self) -> bool {
        self == Self::Front
    }
}

impl Edit<'_, List> {
    fn push(&mut self, end: End, element: &[u8]) {
        let undo = self.value.push(end.is_front(), element);
        self.note(Undo::List(undo), |delta| {
            List::log_push(delta, end.is_front(), element);
        });
    }

    /// The elements cut off, the one nearest to the end first.
    fn cut(&mut self, end: End, count: usize) -> Vec<Box<[u8]>> {
        let undo = self.value.cut(end.is_front(), count);
        let list::Undo::Cut { elements, .. } = &undo else {
            return Vec::new();
        };
        let elements = elements.clone();
        if !elements.is_empty() {
            self.note(Undo::List(undo), |delta| {
                List::log_cut(delta, end.is_front(), elements.len());
            });
        }
        elements
    }

    /// Counts as a change for those who watch the key.
    fn cut_nothing(&mut self) {
        let undo = self.value.cut(true, 0);
        self.note(Undo::List(undo), |delta| List::log_cut(delta, true, 0));
    }

    fn set(&mut self, index: usize, element: &[u8]) {
        let undo = self.value.set(index, element);
        self.note(Undo::List(undo), |delta| {
            List::log_set(delta, index, element);
        });
    }

    fn insert(&mut self, index: usize, element: &[u8]) {
        let undo = self.value.insert(index, element);
        self.note(Undo::List(undo), |delta| {
            List::log_insert(delta, index, element);
        });
    }

    fn remove_equal(&mut self, end: End, count: usize, element: &[u8]) -> usize {
        let front = end.is_front();
        let Some(undo) = self.value.remove_equal(front, count, element) else {
            return 0;
        };
        let removed = match &undo {
            list::Undo::Removed { indices, .. } => indices.len(),
            _ => 0,
        };
        self.note(Undo::List(undo), |delta| {
            List::log_remove(delta, front, removed, element);
        });
        removed
    }
}

/// The position that an index means, which counts from the end when it is negative.
pub(crate) fn position(len: usize, index: i64) -> Option<usize> {
    let index = if index < 0 {
        index.checked_add(i64::try_from(len).ok()?)?
    } else {
        index
    };
    usize::try_from(index).ok().filter(|index| *index < len)
}

/// The positions from one index to another, both included.
pub(crate) fn range(len: usize, start: i64, end: i64) -> Range<usize> {
    let Ok(signed) = i64::try_from(len) else {
        return 0..0;
    };
    let from_end = |at: i64| {
        if at < 0 {
            at.saturating_add(signed)
        } else {
            at
        }
    };
    let (start, end) = (from_end(start).max(0), from_end(end).min(signed - 1));
    match (usize::try_from(start), usize::try_from(end)) {
        (Ok(start), Ok(end)) if start <= end => start..end + 1,
        _ => 0..0,
    }
}

/// Pushes elements one after the other; the new length. `create` says whether a missing key is made.
pub(crate) fn push<'e>(
    work: &mut impl Editor,
    key: &[u8],
    end: End,
    elements: impl IntoIterator<Item = &'e [u8]> + Clone,
    create: bool,
) -> Result<usize> {
    check_size(key)?;
    elements.clone().into_iter().try_for_each(check_size)?;
    let is_empty = elements.clone().into_iter().next().is_none();
    let Some(mut edit) = work.edit_of::<List>(key, create && !is_empty)? else {
        return Ok(0);
    };
    for element in elements {
        edit.push(end, element);
    }
    let len = edit.len();
    if !is_empty {
        let event = if end.is_front() { "lpush" } else { "rpush" };
        work.notify(Class::LIST, event, key);
    }
    Ok(len)
}

/// Removes and returns up to `count` elements; `None` without the key.
pub(crate) fn pop(
    work: &mut Work<'_>,
    key: &[u8],
    end: End,
    count: usize,
) -> Result<Option<Vec<Box<[u8]>>>> {
    if work.read::<List>(key)?.is_none() {
        return Ok(None);
    }
    let Some(mut edit) = work.edit_of::<List>(key, false)? else {
        return Ok(None);
    };
    let taken = edit.cut(end, count);
    if !taken.is_empty() {
        let event = if end.is_front() { "lpop" } else { "rpop" };
        work.notify(Class::LIST, event, key);
        work.drop_if_empty(key)?;
    }
    Ok(Some(taken))
}

/// Moves an element from an end of one list to an end of another, or of the same; the element.
pub(crate) fn shift(
    work: &mut Work<'_>,
    from: &[u8],
    to: &[u8],
    take: End,
    put: End,
) -> Result<Option<Box<[u8]>>> {
    if work.read::<List>(from)?.is_none() {
        return Ok(None);
    }
    work.expect_kind(to, Kind::List)?;
    check_size(to)?;
    let taken = pop_quietly(work, from, take)?;
    let Some(element) = taken else {
        return Ok(None);
    };
    push(work, to, put, [&*element], true)?;
    let event = if take.is_front() { "lpop" } else { "rpop" };
    work.notify(Class::LIST, event, from);
    work.drop_if_empty(from)?;
    Ok(Some(element))
}

/// Takes one element; the key stays, though it may be empty.
fn pop_quietly(work: &mut Work<'_>, key: &[u8], end: End) -> Result<Option<Box<[u8]>>> {
    let edit = work.edit_of::<List>(key, false)?;
    Ok(edit.and_then(|mut edit| edit.cut(end, 1).pop()))
}

/// Removes all but the elements from one index to another, both included.
pub(crate) fn trim(work: &mut Work<'_>, key: &[u8], start: i64, end: i64) -> Result<()> {
    let Some(mut edit) = work.edit_of::<List>(key, false)? else {
        return Ok(());
    };
    let len = edit.len();
    let kept = range(len, start, end);
    // What is left of nothing is nothing, whichever end it is cut from.
    let back = edit.cut(End::Back, len - kept.end);
    let front = edit.cut(End::Front, kept.start);
    if back.is_empty() && front.is_empty() {
        edit.cut_nothing();
    }
    work.notify(Class::LIST, "ltrim", key);
    work.drop_if_empty(key)
}

/// Replaces an element.
pub(crate) fn set(
    work: &mut Work<'_>,
    key: &[u8],
    index: impl FnOnce() -> Result<i64>,
    element: &[u8],
) -> Result<()> {
    check_size(element)?;
    let Some(len) = work.read::<List>(key)?.map(List::len) else {
        return Err(Error::refused("ERR no such key"));
    };
    let at = position(len, index()?).ok_or_else(|| Error::refused("ERR index out of range"))?;
    if let Some(mut edit) = work.edit_of::<List>(key, false)? {
        edit.set(at, element);
        work.notify(Class::LIST, "lset", key);
    }
    Ok(())
}

/// Inserts before or after the first element equal to `pivot`; the new length, 0 without the key, -1 without the
/// pivot.
pub(crate) fn insert(
    work: &mut Work<'_>,
    key: &[u8],
    before: bool,
    pivot: &[u8],
    element: &[u8],
) -> Result<i64> {
    check_size(element)?;
    let Some(list) = work.read::<List>(key)? else {
        return Ok(0);
    };
    let found = list.positions(&Entry::new(pivot), true, usize::MAX);
    let Some(at) = found.first().map(|at| at + usize::from(!before)) else {
        return Ok(-1);
    };
    let Some(mut edit) = work.edit_of::<List>(key, false)? else {
        return Ok(0);
    };
    edit.insert(at, element);
    let len = i64::try_from(edit.len()).unwrap_or(i64::MAX);
    work.notify(Class::LIST, "linsert", key);
    Ok(len)
}

/// Removes elements equal to `element`: all with 0, else so many from the front, or with a negative number from the
/// back; the number removed.
pub(crate) fn remove(work: &mut Work<'_>, key: &[u8], count: i64, element: &[u8]) -> Result<usize> {
    let Some(mut edit) = work.edit_of::<List>(key, false)? else {
        return Ok(0);
    };
    let end = if count < 0 { End::Back } else { End::Front };
    let most = match count {
        0 => usize::MAX,
        _ => usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX),
    };
    let removed = edit.remove_equal(end, most, element);
    if removed > 0 {
        work.notify(Class::LIST, "lrem", key);
        work.drop_if_empty(key)?;
    }
    Ok(removed)
}

/// Replaces `key` by a list of these elements, or removes it when there are none.
pub(crate) fn store<'e>(
    work: &mut Work<'_>,
    key: &[u8],
    event: &'static str,
    elements: impl IntoIterator<Item = &'e [u8]>,
) -> Result<usize> {
    check_size(key)?;
    let mut list = List::create(&work.engine.hashers);
    for element in elements {
        list.push(false, element);
    }
    let len = list.len();
    if len == 0 {
        super::keys::delete(work, key)?;
        return Ok(0);
    }
    work.put(key, list.into_object(), 0)?;
    work.notify(Class::LIST, event, key);
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_clamp() {
        assert_eq!(position(3, -1), Some(2));
        assert_eq!(position(3, -4), None);
        assert_eq!(position(3, 3), None);
        assert_eq!(position(0, i64::MIN), None);
        assert_eq!(range(3, 0, -1), 0..3);
        assert_eq!(range(3, i64::MIN, i64::MAX), 0..3);
        assert_eq!(range(3, 2, 1), 0..0);
        assert_eq!(range(3, -2, -2), 1..2);
        assert_eq!(range(0, 0, -1), 0..0);
        assert_eq!(range(3, 5, 9), 0..0);
    }
}
