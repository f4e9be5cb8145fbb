//! JSON documents: reading and changing what paths match.
//!
//! A change first looks at every match without touching it, so that whatever is refused is refused before
//! anything has changed. Matches are changed from the deepest and last to the first, so that a change
//! never moves what is still to come; answers keep the order of the matches.

mod edit;
mod merge;

pub(crate) use edit::{
    Answers, append_text, clear, multiply, plus, pop, push, splice, toggle, trim,
};
pub(crate) use merge::merge;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::check_size;
use crate::error::{Error, Result};
use crate::keyspace::work::event::Class;
use crate::keyspace::work::{Edit, Work};
use crate::options::Condition;
use crate::value::json::change::{Act, Run, spans};
use crate::value::json::compare::{self, Budget};
use crate::value::json::object::Member;
use crate::value::json::path::{Path, Selector};
use crate::value::json::select::{Matches, wrap};
use crate::value::json::{Change, DEPTH_MAX, Json, Node};
use crate::value::{Collection, STRING_BYTES_MAX, Undo};

/// What the changes of one command may add.
#[derive(Debug)]
pub(super) struct Room {
    bytes: usize,
}

impl Room {
    pub(super) fn of(json: Option<&Json>) -> Self {
        let taken = json.map_or(0, Json::memory);
        Self {
            bytes: STRING_BYTES_MAX.saturating_sub(taken),
        }
    }

    /// Refuses what makes the document too deep or too large.
    pub(super) fn check(&mut self, (heap, depth): (usize, usize)) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(Error::refused("ERR recursion limit exceeded"));
        }
        self.bytes = self.bytes.checked_sub(heap).ok_or(Error::TooLarge)?;
        Ok(())
    }
}

impl Edit<'_, Json> {
    /// Makes a change that was planned on this document and checked.
    pub(super) fn make(&mut self, change: Change) {
        let mut log = Vec::new();
        change.log(&mut log);
        let inverse = self.value.apply(change);
        let inverse = inverse.expect("planned on this document");
        self.note(Undo::Json(inverse), |delta| delta.extend_from_slice(&log));
    }
}

/// The refusal of changes inside a document that does not exist.
#[cold]
pub(super) fn no_document() -> Error {
    Error::refused("ERR could not perform this operation on a key that doesn't exist")
}

#[cold]
pub(super) fn not_at_root() -> Error {
    Error::refused("ERR new objects must be created at the root")
}

/// Makes `value` the whole document, which keeps its deadline.
pub(super) fn put(work: &mut Work<'_>, key: &[u8], value: Node) -> Result<()> {
    check_size(key)?;
    Room::of(None).check(value.measure())?;
    let expire_at = super::string::expire_at(work, key)?;
    work.put(key, Json::of_node(value).into_object(), expire_at)
}

/// Sets what a path matches, or adds the one member that is missing; whether the condition held.
pub(crate) fn set(
    work: &mut Work<'_>,
    key: &[u8],
    path: &Path,
    value: &Node,
    condition: Condition,
) -> Result<bool> {
    let done = set_silently(work, key, path, value, condition)?;
    if done {
        work.notify(Class::JSON, "json.set", key);
    }
    Ok(done)
}

/// Sets several; all of them or none.
pub(crate) fn set_many(work: &mut Work<'_>, items: &[(&[u8], Path, Node)]) -> Result<()> {
    // Sets may depend on the ones before, so they are tried on copies first.
    let several = items.len() > 1;
    if several {
        let mut tried: HashMap<&[u8], Option<Json>, ahash::RandomState> = HashMap::default();
        for (key, path, value) in items {
            let json = match tried.entry(key) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    check_size(key)?;
                    let present = work.read::<Json>(key)?;
                    entry.insert(present.map(|json| Json::of_node(json.root().clone())))
                }
            };
            let changes = plan_set(json.as_ref(), path, value, Condition::Always)?;
            match (changes, json.as_mut()) {
                (Plan::Whole, _) => *json = Some(Json::of_node(value.clone())),
                (Plan::Changes(changes), Some(json)) => changes.into_iter().for_each(|change| {
                    json.apply(change).expect("planned on this document");
                }),
                (Plan::Changes(_) | Plan::Refused, _) => {}
            }
        }
    }
    for (key, path, value) in items {
        set_silently(work, key, path, value, Condition::Always)?;
        work.notify(Class::JSON, "json.mset", key);
    }
    Ok(())
}

/// What setting means for a document.
enum Plan {
    /// The condition does not hold.
    Refused,
    /// The whole document is replaced.
    Whole,
    Changes(Vec<Change>),
}

fn plan_set(json: Option<&Json>, path: &Path, value: &Node, condition: Condition) -> Result<Plan> {
    let refused = |exists: bool| match condition {
        Condition::Always => false,
        Condition::IfAbsent => exists,
        Condition::IfPresent => !exists,
    };
    if path.steps.is_empty() {
        if refused(json.is_some()) {
            return Ok(Plan::Refused);
        }
        Room::of(None).check(value.measure())?;
        return Ok(Plan::Whole);
    }
    let Some(json) = json else {
        let waits = refused(false);
        return if waits {
            Ok(Plan::Refused)
        } else {
            Err(not_at_root())
        };
    };
    let mut places = Matches::of(json.root(), path)?.places();
    if refused(!places.is_empty()) {
        return Ok(Plan::Refused);
    }
    if places.is_empty() {
        return added(json, path, value).map(|change| Plan::Changes(vec![change]));
    }
    places.sort_unstable_by(|a, b| b.cmp(a));
    let mut room = Room::of(Some(json));
    let (heap, depth) = value.measure();
    for place in &places {
        room.check((heap, depth + place.len()))?;
    }
    let replace = |place: &[u32]| Change::new(place, Act::Replace(value.clone()));
    Ok(Plan::Changes(
        places.iter().map(|place| replace(place)).collect(),
    ))
}

/// The change that adds the last member of a path to the object before it.
pub(super) fn added(json: &Json, path: &Path, value: &Node) -> Result<Change> {
    let missing = || path.missing("");
    let Some((last, before)) = path.steps.split_last().filter(|_| path.is_static()) else {
        return Err(missing());
    };
    let [Selector::Name(name)] = &last.selectors[..] else {
        return Err(missing());
    };
    let mut parent = path.clone();
    parent.steps = before.to_vec();
    let found = Matches::of(json.root(), &parent)?;
    let (Some(Node::Object(object)), Some(place)) = (found.nodes().next(), found.places().pop())
    else {
        return Err(missing());
    };
    let at = u32::try_from(object.len()).map_err(|_| Error::TooLarge)?;
    let items = vec![Member {
        name: name.clone(),
        value: value.clone(),
    }];
    let change = Change::new(&place, Act::InsertMembers(vec![Run { at, items }]));
    Room::of(Some(json)).check(change.adds())?;
    Ok(change)
}

fn set_silently(
    work: &mut Work<'_>,
    key: &[u8],
    path: &Path,
    value: &Node,
    condition: Condition,
) -> Result<bool> {
    match plan_set(work.read::<Json>(key)?, path, value, condition)? {
        Plan::Refused => return Ok(false),
        Plan::Whole => put(work, key, value.clone())?,
        Plan::Changes(changes) => {
            let edit = work.edit_of::<Json>(key, false)?;
            let mut edit = edit.ok_or_else(no_document)?;
            for change in changes {
                edit.make(change);
            }
        }
    }
    Ok(true)
}

/// Removes what a path matches; the number of values, without those inside others. The root takes the key.
pub(crate) fn remove(work: &mut Work<'_>, key: &[u8], path: &Path) -> Result<usize> {
    let Some(json) = work.read::<Json>(key)? else {
        return Ok(0);
    };
    let mut places = Matches::of(json.root(), path)?.places();
    places.sort_unstable();
    // What lies inside a place follows it.
    let mut outer: Vec<Box<[u32]>> = Vec::with_capacity(places.len());
    for place in places {
        if !outer.last().is_some_and(|last| place.starts_with(last)) {
            outer.push(place);
        }
    }
    let count = outer.len();
    if count == 0 {
        return Ok(0);
    }
    if outer[0].is_empty() {
        work.remove(key)?;
        work.notify(Class::JSON, "json.del", key);
        work.notify(Class::GENERIC, "del", key);
        return Ok(1);
    }
    let parent = |place: &[u32]| -> Box<[u32]> { place[..place.len() - 1].into() };
    outer.sort_by(|a, b| parent(b).cmp(&parent(a)).then_with(|| a.cmp(b)));
    let edit = work.edit_of::<Json>(key, false)?;
    let mut edit = edit.ok_or_else(no_document)?;
    for siblings in outer.chunk_by(|a, b| a[..a.len() - 1] == b[..b.len() - 1]) {
        let positions = siblings.iter().filter_map(|place| place.last().copied());
        let act = Act::Remove(spans(positions));
        edit.make(Change::new(&parent(&siblings[0]), act));
    }
    work.notify(Class::JSON, "json.del", key);
    Ok(count)
}

/// Answers from every match of a path, in order; `None` without the key.
pub(crate) fn read<R>(
    work: &mut Work<'_>,
    key: &[u8],
    path: &Path,
    answer: impl FnMut(&Node) -> R,
) -> Result<Option<Vec<R>>> {
    let Some(json) = work.read::<Json>(key)? else {
        return Ok(None);
    };
    let found = Matches::of(json.root(), path)?;
    Ok(Some(found.nodes().map(answer).collect()))
}

/// Where a value is in the arrays that a path matches, from `start` up to but without `stop`, 0: the end.
/// Both may count from the end and are moved to the nearest end; `None` without the key.
pub(crate) fn index_of(
    work: &mut Work<'_>,
    key: &[u8],
    path: &Path,
    wanted: &Node,
    start: i64,
    stop: i64,
) -> Result<Option<Answers<Option<usize>>>> {
    let budget = Budget::unlimited();
    read(work, key, path, |node| {
        let Node::Array(items) = node else {
            return None;
        };
        let len = items.len();
        let last = len.saturating_sub(1);
        let from = wrap(start, len).unwrap_or(if start < 0 { 0 } else { last });
        let to = match stop {
            0 => len,
            stop => wrap(stop, len).unwrap_or(if stop < 0 { 0 } else { len }),
        };
        let searched = items.get(from..to).unwrap_or(&[]);
        let found = searched
            .iter()
            .position(|item| compare::same(item, wanted, &budget));
        Some(found.map(|at| from + at))
    })
}
