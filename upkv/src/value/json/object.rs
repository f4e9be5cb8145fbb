//! The members of an object in the order they came in, with an index by name once there are many.
//!
//! Invariants: names are distinct; `order` is empty up to [`PLAIN_MAX`] members and holds every position,
//! sorted by name, above.

use super::Node;
use super::change::{Run, Span, insert_runs, remove_spans};

/// Up to this many members a name is found by a walk.
const PLAIN_MAX: usize = 16;

/// A named value.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: Box<str>,
    pub(crate) value: Node,
}

/// See the module documentation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object {
    members: Vec<Member>,
    order: Vec<u32>,
}

impl Object {
    /// The object with these members; of members with the same name the last value counts, at the first
    /// one's position. The second part tells whether there were any such.
    pub(crate) fn of(members: Vec<Member>) -> (Self, bool) {
        let mut object = Self {
            members,
            order: Vec::new(),
        };
        let repeated = object.merge_repeated();
        object.members.shrink_to_fit();
        object.reindex();
        (object, repeated)
    }

    fn merge_repeated(&mut self) -> bool {
        let name = |at: &usize| &self.members[*at].name;
        let mut order: Vec<usize> = (0..self.members.len()).collect();
        // A stable sort: positions with the same name ascend.
        order.sort_by(|a, b| name(a).cmp(name(b)));
        let groups = order.chunk_by(|a, b| name(a) == name(b));
        let groups: Vec<&[usize]> = groups.filter(|group| group.len() > 1).collect();
        let mut gone = vec![];
        for group in groups {
            self.members.swap(group[0], group[group.len() - 1]);
            gone.extend_from_slice(&group[1..]);
        }
        if gone.is_empty() {
            return false;
        }
        gone.sort_unstable();
        let mut gone = gone.into_iter().peekable();
        let mut position = 0;
        self.members.retain(|_| {
            position += 1;
            gone.next_if_eq(&(position - 1)).is_none()
        });
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Heap bytes without names and values.
    pub(crate) fn shell(&self) -> usize {
        self.members.capacity() * size_of::<Member>() + self.order.capacity() * size_of::<u32>()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.members
            .iter()
            .map(|member| (&*member.name, &member.value))
    }

    pub(crate) fn get_at(&self, position: usize) -> Option<(&str, &Node)> {
        let member = self.members.get(position)?;
        Some((&member.name, &member.value))
    }

    pub(super) fn get_at_mut(&mut self, position: usize) -> Option<&mut Node> {
        self.members
            .get_mut(position)
            .map(|member| &mut member.value)
    }

    /// Where a name is.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        if self.order.is_empty() {
            return self.members.iter().position(|member| &*member.name == name);
        }
        let found = self.search(name).ok()?;
        Some(self.order[found] as usize)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        self.position(name).map(|at| &self.members[at].value)
    }

    fn search(&self, name: &str) -> Result<usize, usize> {
        self.order
            .binary_search_by(|at| (*self.members[*at as usize].name).cmp(name))
    }

    fn reindex(&mut self) {
        if self.members.len() <= PLAIN_MAX {
            self.order = Vec::new();
            return;
        }
        let count = u32::try_from(self.members.len()).expect("a document is below 4 GiB");
        let mut order: Vec<u32> = (0..count).collect();
        let name = |at: &u32| &self.members[*at as usize].name;
        order.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        self.order = order;
    }

    /// Inserts members; what takes that back. `None`, and no change, if positions or names do not fit.
    pub(super) fn insert(&mut self, runs: Vec<Run<Member>>) -> Option<Vec<Span>> {
        let mut names: Vec<&str> = runs
            .iter()
            .flat_map(|run| run.items.iter().map(|member| &*member.name))
            .collect();
        let added = names.len();
        names.sort_unstable();
        let is_known = |name: &&str| self.position(name).is_some();
        if names.windows(2).any(|pair| pair[0] == pair[1]) || names.iter().any(is_known) {
            return None;
        }
        let before = self.members.len();
        let spans = insert_runs(&mut self.members, runs)?;
        let at_end = matches!(&spans[..], [span] if span.at as usize == before);
        if self.order.is_empty() || !at_end || added > 8 {
            self.reindex();
            return Some(spans);
        }
        for at in before..before + added {
            let place = self
                .search(&self.members[at].name)
                .unwrap_or_else(|place| place);
            let at = u32::try_from(at).expect("a document is below 4 GiB");
            self.order.insert(place, at);
        }
        Some(spans)
    }

    /// Removes members; what takes that back. `None`, and no change, if positions do not fit.
    pub(super) fn remove(&mut self, spans: &[Span]) -> Option<Vec<Run<Member>>> {
        let runs = remove_spans(&mut self.members, spans)?;
        if self.members.len() <= PLAIN_MAX {
            self.order = Vec::new();
            return Some(runs);
        }
        // How many members were removed up to and with each span.
        let mut sum = 0;
        let gone: Vec<u32> = spans
            .iter()
            .map(|span| {
                sum += span.count;
                sum
            })
            .collect();
        self.order.retain_mut(|at| {
            let spans_before = spans.partition_point(|span| span.at <= *at);
            let Some(last) = spans_before.checked_sub(1) else {
                return true;
            };
            let stays = *at >= spans[last].at + spans[last].count;
            if stays {
                *at -= gone[last];
            }
            stays
        });
        Some(runs)
    }
}
