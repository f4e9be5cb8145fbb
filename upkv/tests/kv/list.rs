//! Random commands on lists and sets, whose models are a vector and a tree of small numbers as text.

use std::collections::BTreeSet;

use upkv::storage::testing::Run;

use super::{Content, Model, below, name, payload, small};

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Push(bool, Vec<Vec<u8>>),
    Pop(bool, usize),
    Set(usize, Vec<u8>),
    /// Before the first element equal to this name.
    Insert(u8, Vec<u8>),
    Remove(i64, u8),
    Trim(usize, usize),
    /// The last to the front.
    Rotate,
    AddMembers(Vec<u8>),
    RemoveMembers(Vec<u8>),
}

fn element(run: &Run<'_>) -> Vec<u8> {
    if below(run, 3) == 0 {
        payload(run)
    } else {
        name(small(run, 4))
    }
}

impl Op {
    pub(crate) fn random(run: &Run<'_>) -> Self {
        let front = below(run, 2) == 0;
        match below(run, 12) {
            0..=4 => Self::Push(front, (0..=below(run, 3)).map(|_| element(run)).collect()),
            5 | 6 => Self::Pop(front, below(run, 4)),
            7 => Self::Set(below(run, 6), element(run)),
            8 => Self::Insert(small(run, 4), element(run)),
            9 => Self::Remove(i64::from(small(run, 5)) - 2, small(run, 4)),
            10 => Self::Trim(below(run, 4), below(run, 12)),
            _ => Self::Rotate,
        }
    }

    pub(crate) fn random_of_set(run: &Run<'_>) -> Self {
        let members = (0..=below(run, 4)).map(|_| small(run, 40)).collect();
        if below(run, 3) == 0 {
            Self::RemoveMembers(members)
        } else {
            Self::AddMembers(members)
        }
    }

    pub(crate) fn args(&self, key: Vec<u8>) -> Vec<Vec<u8>> {
        let text = |text: &str| text.as_bytes().to_vec();
        let number = |n: usize| n.to_string().into_bytes();
        match self {
            Self::Push(front, elements) => {
                let head = [text(if *front { "LPUSH" } else { "RPUSH" }), key];
                [&head[..], elements].concat()
            }
            Self::Pop(front, count) => {
                let command = if *front { "LPOP" } else { "RPOP" };
                vec![text(command), key, number(*count)]
            }
            Self::Set(index, element) => vec![text("LSET"), key, number(*index), element.clone()],
            Self::Insert(pivot, element) => {
                let head = [text("LINSERT"), key, text("BEFORE"), name(*pivot)];
                [&head[..], std::slice::from_ref(element)].concat()
            }
            Self::Remove(count, element) => {
                let count = count.to_string().into_bytes();
                vec![text("LREM"), key, count, name(*element)]
            }
            Self::Trim(first, last) => vec![text("LTRIM"), key, number(*first), number(*last)],
            Self::Rotate => vec![text("RPOPLPUSH"), key.clone(), key],
            Self::AddMembers(members) => {
                let members: Vec<_> = members.iter().map(|member| member_text(*member)).collect();
                [&[text("SADD"), key][..], &members].concat()
            }
            Self::RemoveMembers(members) => {
                let members: Vec<_> = members.iter().map(|member| member_text(*member)).collect();
                [&[text("SREM"), key][..], &members].concat()
            }
        }
    }

    /// Does the same to the model; `false` if the command is refused.
    pub(crate) fn apply(&self, key: &[u8], model: &mut Model) -> bool {
        if let Self::AddMembers(members) | Self::RemoveMembers(members) = self {
            let adds = matches!(self, Self::AddMembers(_));
            let empty = || (Content::Set(BTreeSet::new()), 0);
            if !adds && !model.contains_key(key) {
                return true;
            }
            let (Content::Set(set), _) = model.entry(key.to_vec()).or_insert_with(empty) else {
                return false;
            };
            for member in members.iter().map(|member| member_text(*member)) {
                if adds {
                    set.insert(member);
                } else {
                    set.remove(&member);
                }
            }
            if set.is_empty() {
                model.remove(key);
            }
            return true;
        }
        if let (Self::Push(..), false) = (self, model.contains_key(key)) {
            model.insert(key.to_vec(), (Content::List(Vec::new()), 0));
        }
        let list = match model.get_mut(key) {
            Some((Content::List(list), _)) => list,
            Some(_) => return false,
            None => return !matches!(self, Self::Set(..)),
        };
        let done = self.change(list);
        if list.is_empty() {
            model.remove(key);
        }
        done
    }

    fn change(&self, list: &mut Vec<Vec<u8>>) -> bool {
        match self {
            Self::Push(true, elements) => {
                for element in elements {
                    list.insert(0, element.clone());
                }
            }
            Self::Push(false, elements) => list.extend_from_slice(elements),
            Self::Pop(true, count) => drop(list.drain(..(*count).min(list.len()))),
            Self::Pop(false, count) => list.truncate(list.len().saturating_sub(*count)),
            Self::Set(index, element) => match list.get_mut(*index) {
                Some(old) => element.clone_into(old),
                None => return false,
            },
            Self::Insert(pivot, element) => {
                if let Some(at) = list.iter().position(|other| *other == name(*pivot)) {
                    list.insert(at, element.clone());
                }
            }
            Self::Remove(count, element) => {
                let equal = list
                    .iter()
                    .enumerate()
                    .filter(|(_, other)| **other == name(*element));
                let mut at: Vec<usize> = equal.map(|(at, _)| at).collect();
                if *count < 0 {
                    at.reverse();
                }
                if *count != 0 {
                    at.truncate(usize::try_from(count.unsigned_abs()).expect("small"));
                }
                at.sort_unstable();
                for at in at.into_iter().rev() {
                    list.remove(at);
                }
            }
            Self::Trim(from, to) => {
                list.truncate(to + 1);
                list.drain(..(*from).min(list.len()));
            }
            Self::Rotate => list.rotate_right(1),
            Self::AddMembers(_) | Self::RemoveMembers(_) => {}
        }
        true
    }
}

/// Mostly integers, so that sets start in that form.
fn member_text(member: u8) -> Vec<u8> {
    if member == 7 {
        name(member)
    } else {
        (i64::from(member) * 4_001 - 9_000).to_string().into_bytes()
    }
}
