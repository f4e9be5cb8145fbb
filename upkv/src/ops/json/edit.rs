//! Changes of the values that a path matches.

use super::{Room, no_document};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::keyspace::work::event::Class;
use crate::value::json::change::{Act, Run, Span};
use crate::value::json::path::Path;
use crate::value::json::select::{Matches, wrap};
use crate::value::json::{Change, Json, Node};

/// One answer a match; `None` where the value is of a type that the change does not fit.
pub(crate) type Answers<R> = Vec<Option<R>>;

/// What is to happen to one match, and the answer.
pub(crate) struct Planned<R> {
    pub(crate) changes: Vec<Change>,
    pub(crate) answer: R,
}

impl<R> Planned<R> {
    fn act(place: &[u32], act: Act, answer: R) -> Self {
        Self {
            changes: vec![Change::new(place, act)],
            answer,
        }
    }

    fn nothing(answer: R) -> Self {
        Self {
            changes: Vec::new(),
            answer,
        }
    }
}

/// Changes every match as `plan` says; see [`super`].
pub(crate) fn update<R>(
    work: &mut Work<'_>,
    key: &[u8],
    path: &Path,
    event: &'static str,
    mut plan: impl FnMut(&Node, &[u32]) -> Result<Option<Planned<R>>>,
) -> Result<Answers<R>> {
    let json = work.read::<Json>(key)?.ok_or_else(no_document)?;
    let mut room = Room::of(Some(json));
    let found = Matches::of(json.root(), path)?;
    let places = found.places();
    let mut any = false;
    for (node, place) in found.nodes().zip(&places) {
        for change in plan(node, place)?
            .into_iter()
            .flat_map(|planned| planned.changes)
        {
            room.check(change.adds())?;
            any = true;
        }
    }
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_unstable_by(|a, b| places[*b].cmp(&places[*a]));
    let mut answers: Answers<R> = Vec::new();
    answers.resize_with(places.len(), || None);
    if !any {
        let json = work.read::<Json>(key)?.ok_or_else(no_document)?;
        for (answer, place) in answers.iter_mut().zip(&places) {
            let node = json.at(place).expect("found in this document");
            *answer = plan(node, place)?.map(|planned| planned.answer);
        }
        return Ok(answers);
    }
    let edit = work.edit_of::<Json>(key, false)?;
    let mut edit = edit.ok_or_else(no_document)?;
    for at in order {
        let node = edit
            .at(&places[at])
            .expect("only what lies deeper or behind has changed");
        if let Some(planned) = plan(node, &places[at])? {
            for change in planned.changes {
                edit.make(change);
            }
            answers[at] = Some(planned.answer);
        }
    }
    work.notify(Class::JSON, event, key);
    Ok(answers)
}

/// A function of two numbers, on integers and on floats.
struct Arithmetic {
    ints: fn(i128, i128) -> Option<i128>,
    floats: fn(f64, f64) -> f64,
}

/// Adds to numbers; the sums as text.
pub(crate) fn plus(
    work: &mut Work<'_>,
    key: &[u8],
    path: &Path,
    number: &Node,
) -> Result<Answers<Node>> {
    let how = Arithmetic {
        ints: i128::checked_add,
        floats: |a, b| a + b,
    };
    calculate(work, key, path, number, "json.numincrby", &how)
}

/// Multiplies numbers; the products as text.
pub(crate) fn multiply(
    work: &mut Work<'_>,
    key: &[u8],
    path: &Path,
    number: &Node,
) -> Result<Answers<Node>> {
    let how = Arithmetic {
        ints: i128::checked_mul,
        floats: |a, b| a * b,
    };
    calculate(work, key, path, number, "json.nummultby", &how)
}

fn whole(node: &Node) -> Option<i128> {
    match node {
        Node::Int(value) => Some(i128::from(*value)),
        Node::Uint(value) => Some(i128::from(*value)),
        _ => None,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the nearest float is what is meant"
)]
fn decimal(node: &Node) -> Option<f64> {
    match node {
        Node::Int(value) => Some(*value as f64),
        Node::Uint(value) => Some(*value as f64),
        Node::Float(value) => Some(*value),
        _ => None,
    }
}

fn calculate(
    work: &mut Work<'_>,
    key: &[u8],
    path: &Path,
    number: &Node,
    event: &'static str,
    how: &Arithmetic,
) -> Result<Answers<Node>> {
    let Some(right) = decimal(number) else {
        return Err(Error::refused("ERR value is not a number"));
    };
    update(work, key, path, event, |node, place| {
        let Some(left) = decimal(node) else {
            return Ok(None);
        };
        let result = if let (Some(left), Some(right)) = (whole(node), whole(number)) {
            let result = (how.ints)(left, right).ok_or(Error::Overflow)?;
            let unsigned = || u64::try_from(result).map(Node::Uint);
            let fitting = i64::try_from(result).map(Node::Int).or_else(|_| unsigned());
            fitting.map_err(|_| Error::Overflow)?
        } else {
            let result = (how.floats)(left, right);
            if !result.is_finite() {
                return Err(Error::refused("ERR result is not a number"));
            }
            Node::Float(result)
        };
        let act = Act::Replace(result.clone());
        Ok(Some(Planned::act(place, act, result)))
    })
}

/// Appends to texts; the lengths in bytes afterwards.
pub(crate) fn append_text(
    work: &mut Work<'_>,
    key: &[u8],
    path: &Path,
    more: &str,
) -> Result<Answers<usize>> {
    update(work, key, path, "json.strappend", |node, place| {
        let Node::Text(text) = node else {
            return Ok(None);
        };
        if more.is_empty() {
            return Ok(Some(Planned::nothing(text.len())));
        }
        let act = Act::Append(more.into());
        Ok(Some(Planned::act(place, act, text.len() + more.len())))
    })
}

/// Turns truth values around; the new ones.
pub(crate) fn toggle(work: &mut Work<'_>, key: &[u8], path: &Path) -> Result<Answers<bool>> {
    update(work, key, path, "json.toggle", |node, place| {
        let Node::Bool(value) = node else {
            return Ok(None);
        };
        let act = Act::Replace(Node::Bool(!value));
        Ok(Some(Planned::act(place, act, !value)))
    })
}

/// Empties containers and sets numbers to 0; the number of values that were something else.
pub(crate) fn clear(work: &mut Work<'_>, key: &[u8], path: &Path) -> Result<usize> {
    let answers = update(work, key, path, "json.clear", |node, place| {
        let empty = match node {
            Node::Array(items) if !items.is_empty() => Node::Array(Vec::new()),
            Node::Object(object) if object.len() > 0 => Node::Object(Box::default()),
            Node::Float(value) if *value != 0.0 => Node::Int(0),
            Node::Int(value) if *value != 0 => Node::Int(0),
            Node::Uint(_) => Node::Int(0),
            _ => return Ok(None),
        };
        Ok(Some(Planned::act(place, Act::Replace(empty), ())))
    })?;
    Ok(answers.iter().flatten().count())
}

/// Appends to arrays; the lengths afterwards.
pub(crate) fn push(
    work: &mut Work<'_>,
    key: &[u8],
    path: &Path,
    values: &[Node],
) -> Result<Answers<usize>> {
    insert(work, key, path, "json.arrappend", Ok, values)
}

/// Inserts into arrays before a position, which may count from the end; the lengths afterwards.
pub(crate) fn splice(
    work: &mut Work<'_>,
    key: &[u8],
    path: &Path,
    position: i64,
    values: &[Node],
) -> Result<Answers<usize>> {
    let place = |len: usize| {
        let at_end = i64::try_from(len).is_ok_and(|len| len == position);
        let at = if at_end {
            Some(len)
        } else {
            wrap(position, len)
        };
        at.ok_or_else(|| Error::refused("ERR index out of bounds"))
    };
    insert(work, key, path, "json.arrinsert", place, values)
}

fn insert(
    work: &mut Work<'_>,
    key: &[u8],
    path: &Path,
    event: &'static str,
    position: impl Fn(usize) -> Result<usize>,
    values: &[Node],
) -> Result<Answers<usize>> {
    update(work, key, path, event, |node, place| {
        let Node::Array(items) = node else {
            return Ok(None);
        };
        let at = position(items.len())?;
        if values.is_empty() {
            return Ok(Some(Planned::nothing(items.len())));
        }
        let run = Run {
            at: u32::try_from(at).map_err(|_| Error::TooLarge)?,
            items: values.to_vec(),
        };
        let answer = items.len() + values.len();
        Ok(Some(Planned::act(
            place,
            Act::InsertItems(vec![run]),
            answer,
        )))
    })
}

/// Removes one element of arrays, at a position that is moved to the nearest end; the elements.
pub(crate) fn pop(
    work: &mut Work<'_>,
    key: &[u8],
    path: &Path,
    position: i64,
) -> Result<Answers<Option<String>>> {
    update(work, key, path, "json.arrpop", |node, place| {
        let Node::Array(items) = node else {
            return Ok(None);
        };
        if items.is_empty() {
            return Ok(Some(Planned::nothing(None)));
        }
        let nearest = if position < 0 { 0 } else { items.len() - 1 };
        let at = wrap(position, items.len()).unwrap_or(nearest);
        let span = Span {
            at: u32::try_from(at).map_err(|_| Error::TooLarge)?,
            count: 1,
        };
        let answer = Some(items[at].to_text());
        Ok(Some(Planned::act(place, Act::Remove(vec![span]), answer)))
    })
}

/// Keeps the elements from `first` to `last`, both counted, of arrays; the lengths afterwards.
pub(crate) fn trim(
    work: &mut Work<'_>,
    key: &[u8],
    path: &Path,
    first: i64,
    last: i64,
) -> Result<Answers<usize>> {
    update(work, key, path, "json.arrtrim", |node, place| {
        let Node::Array(items) = node else {
            return Ok(None);
        };
        let len = items.len();
        let from_start = |at: i64, over: usize| match wrap(at, len) {
            Some(at) => at,
            None if at < 0 => 0,
            None => over,
        };
        let from = from_start(first, len);
        let below = last < 0 && wrap(last, len).is_none();
        let to = if below {
            0
        } else {
            from_start(last, len.saturating_sub(1)) + 1
        };
        let (from, to) = if from >= to.min(len) {
            (0, 0)
        } else {
            (from, to.min(len))
        };
        let span = |from: usize, to: usize| -> Result<Option<Span>> {
            let at = u32::try_from(from).map_err(|_| Error::TooLarge)?;
            let count = u32::try_from(to - from).map_err(|_| Error::TooLarge)?;
            Ok((count > 0).then_some(Span { at, count }))
        };
        let spans: Vec<Span> = [span(0, from)?, span(to, len)?]
            .into_iter()
            .flatten()
            .collect();
        Ok(Some(if spans.is_empty() {
            Planned::nothing(len)
        } else {
            Planned::act(place, Act::Remove(spans), to - from)
        }))
    })
}
