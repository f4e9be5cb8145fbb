//! Merging patches (RFC 7396): members of the patch replace, null removes, objects merge.

use super::edit::{Planned, update};
use super::{added, no_document, not_at_root, put, remove};
use crate::error::{Error, Result};
use crate::keyspace::work::Work;
use crate::keyspace::work::event::Class;
use crate::value::json::change::{Act, Run, spans};
use crate::value::json::object::{Member, Object};
use crate::value::json::path::Path;
use crate::value::json::select::Matches;
use crate::value::json::{Change, Json, Node};

/// Merges a patch into what a path matches, or adds the one member that is missing.
pub(crate) fn merge(work: &mut Work<'_>, key: &[u8], path: &Path, with: &Node) -> Result<()> {
    let json = work.read::<Json>(key)?;
    if matches!(with, Node::Null) {
        return remove(work, key, path).map(drop);
    }
    let Some(json) = json else {
        if !path.steps.is_empty() {
            return Err(not_at_root());
        }
        put(work, key, plain(with))?;
        work.notify(Class::JSON, "json.merge", key);
        return Ok(());
    };
    if Matches::of(json.root(), path)?.len() == 0 {
        let change = added(json, path, &plain(with))?;
        let edit = work.edit_of::<Json>(key, false)?;
        edit.ok_or_else(no_document)?.make(change);
        work.notify(Class::JSON, "json.merge", key);
        return Ok(());
    }
    let plan = |node: &Node, place: &[u32]| {
        let mut changes = Vec::new();
        plan(node, with, &mut place.to_vec(), &mut changes)?;
        Ok(Some(Planned {
            changes,
            answer: (),
        }))
    };
    update(work, key, path, "json.merge", plan).map(drop)
}

/// What a patch becomes where there is nothing to merge it with.
fn plain(patch: &Node) -> Node {
    let Node::Object(object) = patch else {
        return patch.clone();
    };
    let kept = object
        .iter()
        .filter(|(_, value)| !matches!(value, Node::Null));
    let members = kept.map(|(name, value)| Member {
        name: name.into(),
        value: plain(value),
    });
    Node::Object(Box::new(Object::of(members.collect()).0))
}

/// Recursion is as deep as the patch, which is bounded.
fn plan(node: &Node, patch: &Node, place: &mut Vec<u32>, changes: &mut Vec<Change>) -> Result<()> {
    let (Node::Object(object), Node::Object(patch)) = (node, patch) else {
        changes.push(Change::new(place, Act::Replace(plain(patch))));
        return Ok(());
    };
    let mut new = Vec::new();
    let mut gone = Vec::new();
    for (name, value) in patch.iter() {
        let known = object.position(name);
        let position = known.map(u32::try_from).transpose();
        match (position.map_err(|_| Error::TooLarge)?, value) {
            (None, Node::Null) => {}
            (None, value) => new.push(Member {
                name: name.into(),
                value: plain(value),
            }),
            (Some(position), Node::Null) => gone.push(position),
            (Some(position), value) => {
                let child = node.child(position).expect("the position of a member");
                place.push(position);
                plan(child, value, place, changes)?;
                place.pop();
            }
        }
    }
    // New members come last and nothing moves until the end, so all positions stay true.
    if !new.is_empty() {
        let at = u32::try_from(object.len()).map_err(|_| Error::TooLarge)?;
        let run = Run { at, items: new };
        changes.push(Change::new(place, Act::InsertMembers(vec![run])));
    }
    if !gone.is_empty() {
        gone.sort_unstable();
        changes.push(Change::new(place, Act::Remove(spans(gone))));
    }
    Ok(())
}
