//! An ordered sequence with ranks: a B+tree whose branches count what lies below them.
//!
//! Insert, remove, rank and access by rank take O(log n). Every range of a sorted set is an interval
//! of ranks here, found by [`Tree::partition_point`].
//!
//! Invariants: all leaves have the same depth; a branch child's `first` is a lower bound of its items
//! and an upper bound (exclusive) of the items of the child before it; `count` is exact.

use std::ops::Range;

const LEAF_MAX: usize = 64;
const BRANCH_MAX: usize = 32;

/// See the module documentation.
pub(crate) struct Tree<T> {
    root: Node<T>,
    len: usize,
    /// Bytes that nodes take, beside the root itself.
    heap: usize,
}

enum Node<T> {
    Leaf(Vec<T>),
    Branch(Vec<Child<T>>),
}

struct Child<T> {
    first: T,
    count: usize,
    node: Box<Node<T>>,
}

impl<T> std::fmt::Debug for Tree<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tree")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl<T: Ord + Clone> Tree<T> {
    pub(crate) fn new() -> Self {
        Self {
            root: Node::Leaf(Vec::new()),
            len: 0,
            heap: 0,
        }
    }

    /// Builds from sorted, distinct items.
    #[cfg(test)]
    fn from_sorted(items: impl IntoIterator<Item = T>) -> Self {
        let mut tree = Self::new();
        for item in items {
            tree.insert(item);
        }
        tree
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Inserts an item that is not in the tree yet.
    pub(crate) fn insert(&mut self, item: T) {
        if let Some(right) = self.root.insert(item, &mut self.heap) {
            let left = std::mem::replace(&mut self.root, Node::Leaf(Vec::new()));
            self.root = Node::Branch(vec![Child::over(left), right]);
            self.heap += size_of::<Node<T>>() + self.root.own();
        }
        self.len += 1;
    }

    /// Removes an item; whether it was there.
    pub(crate) fn remove(&mut self, item: &T) -> bool {
        let removed = self.root.remove(item, &mut self.heap);
        self.len -= usize::from(removed);
        loop {
            let gone = self.root.own();
            let Node::Branch(children) = &mut self.root else {
                break;
            };
            match children.len() {
                0 => self.root = Node::Leaf(Vec::new()),
                1 => {
                    let only = children.pop().expect("the length is one");
                    self.root = *only.node;
                    self.heap -= size_of::<Node<T>>();
                }
                _ => break,
            }
            self.heap -= gone;
        }
        removed
    }

    /// Bytes that it keeps in memory beside itself and what its items own.
    pub(crate) fn memory(&self) -> usize {
        self.heap
    }

    /// How many items, from the start, satisfy `before`, which must hold for a prefix.
    pub(crate) fn partition_point(&self, mut before: impl FnMut(&T) -> bool) -> usize {
        let mut rank = 0;
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(items) => return rank + items.partition_point(before),
                Node::Branch(children) => {
                    let at = children
                        .partition_point(|child| before(&child.first))
                        .max(1)
                        - 1;
                    rank += children[..at]
                        .iter()
                        .map(|child| child.count)
                        .sum::<usize>();
                    node = &children[at].node;
                }
            }
        }
    }

    /// The item at `rank`, counted from 0.
    pub(crate) fn get(&self, rank: usize) -> Option<&T> {
        let (items, at) = self.leaf(rank)?;
        items.get(at)
    }

    /// Items with ranks in `range`, in both directions.
    pub(crate) fn range(&self, range: Range<usize>) -> Iter<'_, T> {
        let end = range.end.min(self.len);
        Iter {
            tree: self,
            ranks: range.start.min(end)..end,
            front: &[],
            back: &[],
        }
    }

    /// The leaf that holds `rank`, and the position inside it.
    fn leaf(&self, mut rank: usize) -> Option<(&[T], usize)> {
        if rank >= self.len {
            return None;
        }
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(items) => return Some((items, rank)),
                Node::Branch(children) => {
                    let child = children.iter().find(|child| {
                        let inside = rank < child.count;
                        if !inside {
                            rank -= child.count;
                        }
                        inside
                    })?;
                    node = &child.node;
                }
            }
        }
    }
}

impl<T: Ord + Clone> Child<T> {
    fn over(node: Node<T>) -> Self {
        Self {
            first: node.first().clone(),
            count: node.count(),
            node: Box::new(node),
        }
    }
}

impl<T: Ord + Clone> Node<T> {
    fn count(&self) -> usize {
        match self {
            Self::Leaf(items) => items.len(),
            Self::Branch(children) => children.iter().map(|child| child.count).sum(),
        }
    }

    fn width(&self) -> usize {
        match self {
            Self::Leaf(items) => items.len(),
            Self::Branch(children) => children.len(),
        }
    }

    fn first(&self) -> &T {
        match self {
            Self::Leaf(items) => &items[0],
            Self::Branch(children) => &children[0].first,
        }
    }

    /// Bytes of the list of what is in it.
    fn own(&self) -> usize {
        match self {
            Self::Leaf(items) => items.capacity() * size_of::<T>(),
            Self::Branch(children) => children.capacity() * size_of::<Child<T>>(),
        }
    }

    /// Bytes of a node that is a child, without what is below.
    fn boxed(&self) -> usize {
        size_of::<Self>() + self.own()
    }

    /// Inserts below this node; a new right sibling if the node had to split.
    fn insert(&mut self, item: T, heap: &mut usize) -> Option<Child<T>> {
        let before = self.own();
        let right = self.insert_below(item, heap);
        *heap = *heap + self.own() - before;
        *heap += right.as_ref().map_or(0, |right| right.node.boxed());
        right
    }

    fn insert_below(&mut self, item: T, heap: &mut usize) -> Option<Child<T>> {
        match self {
            Self::Leaf(items) => {
                let at = items.partition_point(|present| *present < item);
                let appended = at == items.len();
                items.insert(at, item);
                if items.len() <= LEAF_MAX {
                    return None;
                }
                // Ascending input fills leaves instead of leaving them half empty.
                let cut = if appended { LEAF_MAX } else { items.len() / 2 };
                Some(Child::over(Self::Leaf(items.split_off(cut))))
            }
            Self::Branch(children) => {
                let at = children.partition_point(|child| child.first <= item).max(1) - 1;
                let child = &mut children[at];
                if item < child.first {
                    child.first = item.clone();
                }
                child.count += 1;
                if let Some(right) = child.node.insert(item, heap) {
                    child.count -= right.count;
                    children.insert(at + 1, right);
                }
                if children.len() <= BRANCH_MAX {
                    return None;
                }
                let cut = if at + 2 == children.len() {
                    BRANCH_MAX
                } else {
                    children.len() / 2
                };
                Some(Child::over(Self::Branch(children.split_off(cut))))
            }
        }
    }

    fn remove(&mut self, item: &T, heap: &mut usize) -> bool {
        match self {
            Self::Leaf(items) => match items.binary_search(item) {
                Ok(at) => {
                    items.remove(at);
                    true
                }
                Err(_) => false,
            },
            Self::Branch(children) => {
                let at = children
                    .partition_point(|child| child.first <= *item)
                    .max(1)
                    - 1;
                if !children[at].node.remove(item, heap) {
                    return false;
                }
                children[at].count -= 1;
                if children[at].count == 0 {
                    *heap -= children.remove(at).node.boxed();
                } else {
                    merge_small(children, at, heap);
                }
                true
            }
        }
    }

    /// Appends the content of a right sibling of the same kind.
    fn append(&mut self, right: Self) {
        match (self, right) {
            (Self::Leaf(items), Self::Leaf(mut more)) => items.append(&mut more),
            (Self::Branch(children), Self::Branch(mut more)) => children.append(&mut more),
            _ => unreachable!("siblings have the same depth"),
        }
    }

    fn width_max(&self) -> usize {
        match self {
            Self::Leaf(_) => LEAF_MAX,
            Self::Branch(_) => BRANCH_MAX,
        }
    }
}

/// Joins a thin child with a neighbour when both fit in three quarters of a node.
fn merge_small<T: Ord + Clone>(children: &mut Vec<Child<T>>, at: usize, heap: &mut usize) {
    let max = children[at].node.width_max();
    if children[at].node.width() > max / 4 {
        return;
    }
    let left = if at + 1 < children.len() {
        at
    } else {
        at.saturating_sub(1)
    };
    if left + 1 >= children.len() {
        return;
    }
    let joined = children[left].node.width() + children[left + 1].node.width();
    if joined <= max * 3 / 4 {
        let right = children.remove(left + 1);
        let before = children[left].node.own();
        *heap -= right.node.boxed();
        children[left].count += right.count;
        children[left].node.append(*right.node);
        *heap = *heap + children[left].node.own() - before;
    }
}

/// Items of a rank interval, from either end; one descent per leaf.
pub(crate) struct Iter<'t, T> {
    tree: &'t Tree<T>,
    ranks: Range<usize>,
    /// Unread items of the leaf at the front, first one at `ranks.start`.
    front: &'t [T],
    /// Unread items of the leaf at the back, last one at `ranks.end - 1`.
    back: &'t [T],
}

impl<T> std::fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Iter")
            .field("ranks", &self.ranks)
            .finish_non_exhaustive()
    }
}

impl<'t, T: Ord + Clone> Iterator for Iter<'t, T> {
    type Item = &'t T;

    fn next(&mut self) -> Option<&'t T> {
        if self.ranks.is_empty() {
            return None;
        }
        if self.front.is_empty() {
            let (items, at) = self.tree.leaf(self.ranks.start)?;
            self.front = &items[at..];
        }
        let (item, rest) = self.front.split_first()?;
        self.front = rest;
        self.ranks.start += 1;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.ranks.len(), Some(self.ranks.len()))
    }
}

impl<T: Ord + Clone> DoubleEndedIterator for Iter<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.ranks.is_empty() {
            return None;
        }
        if self.back.is_empty() {
            let (items, at) = self.tree.leaf(self.ranks.end - 1)?;
            self.back = &items[..=at];
        }
        let (item, rest) = self.back.split_last()?;
        self.back = rest;
        self.ranks.end -= 1;
        Some(item)
    }
}

impl<T: Ord + Clone> ExactSizeIterator for Iter<'_, T> {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Bytes of a node and what is below it, beside itself.
    fn heap_of(node: &Node<u32>) -> usize {
        let below = match node {
            Node::Leaf(_) => 0,
            Node::Branch(children) => {
                let each = |child: &Child<u32>| size_of::<Node<u32>>() + heap_of(&child.node);
                children.iter().map(each).sum()
            }
        };
        node.own() + below
    }

    fn check(tree: &Tree<u32>, model: &BTreeSet<u32>) {
        assert_eq!(tree.memory(), heap_of(&tree.root));
        assert_eq!(tree.len(), model.len());
        assert_eq!(tree.root.count(), model.len());
        assert!(tree.range(0..usize::MAX).eq(model.iter()));
        assert!(tree.range(0..usize::MAX).rev().eq(model.iter().rev()));
    }

    #[test]
    fn behaves_like_a_sorted_set() {
        let mut tree = Tree::new();
        let mut model = BTreeSet::new();
        let mut state = 12_345_u32;
        for round in 0..40_000_u32 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = (state >> 12) % 6_000;
            // Long phases of mostly inserts, then mostly deletes, drive splits and merges.
            let grow = (round / 8_000) % 2 == 0;
            if (state >> 8) % 10 < if grow { 8 } else { 2 } {
                if model.insert(value) {
                    tree.insert(value);
                }
            } else {
                assert_eq!(tree.remove(&value), model.remove(&value));
            }
            if round % 997 == 0 {
                check(&tree, &model);
            }
        }
        check(&tree, &model);
        for bound in (0..6_000).step_by(37) {
            let rank = model.range(..bound).count();
            assert_eq!(tree.partition_point(|item| *item < bound), rank);
            assert_eq!(tree.get(rank), model.range(bound..).next());
        }
        for value in model.clone() {
            assert!(tree.remove(&value));
        }
        check(&tree, &BTreeSet::new());
    }

    #[test]
    fn iterates_an_interval_from_both_ends() {
        let tree = Tree::from_sorted(0..1_000_u32);
        let mut iter = tree.range(100..900);
        assert_eq!(iter.len(), 800);
        let mut seen = Vec::new();
        while let Some(front) = iter.next() {
            seen.push(*front);
            seen.extend(iter.next_back());
        }
        seen.sort_unstable();
        assert!(seen.into_iter().eq(100..900));
    }
}
