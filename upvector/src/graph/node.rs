//! The edges of every node, in rows of fixed width.
//!
//! Invariant: the first cell of a row is the number of edges, which the row has room for.

use crate::store::rows::Rows;

/// Out-edges by slot.
#[derive(Debug)]
pub(crate) struct Adjacency {
    rows: Rows<u32>,
}

/// Edges that a node may have before it is pruned: 30 % over the degree.
pub(crate) fn slack(max_degree: u16) -> usize {
    usize::from(max_degree) * 13 / 10
}

impl Adjacency {
    pub(crate) fn new(max_degree: u16) -> Self {
        Self {
            rows: Rows::new(slack(max_degree) + 1),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.rows.bytes()
    }

    /// Edges that a row has room for.
    pub(crate) fn room(&self) -> usize {
        self.rows.width() - 1
    }

    /// The nodes that `slot` leads to; none if it was never given any.
    pub(crate) fn of(&self, slot: u32) -> &[u32] {
        if slot as usize >= self.rows.len() {
            return &[];
        }
        let row = self.rows.row(slot as usize);
        &row[1..=row[0] as usize]
    }

    /// Gives `slot` these edges, of which there are not too many.
    pub(crate) fn set(&mut self, slot: u32, edges: &[u32]) {
        self.rows.grow(slot as usize + 1);
        let row = self.rows.row_mut(slot as usize);
        row[0] = u32::try_from(edges.len()).expect("a row has room for less than 200 edges");
        row[1..=edges.len()].copy_from_slice(edges);
    }
}
