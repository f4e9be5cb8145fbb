//! Equality and order of values, as searches and filters need them.
//!
//! Numbers compare by what they are worth, whatever form they have; an object equals another with the
//! same members in any order.

use std::cell::Cell;
use std::cmp::Ordering;

use super::Node;

/// Work that may still be done.
#[derive(Debug)]
pub(crate) struct Budget {
    left: Cell<u64>,
}

impl Budget {
    pub(crate) fn new(steps: u64) -> Self {
        Self {
            left: Cell::new(steps),
        }
    }

    pub(crate) fn unlimited() -> Self {
        Self::new(u64::MAX)
    }

    /// Takes steps; `false` once there are none left.
    pub(crate) fn take(&self, steps: u64) -> bool {
        self.left.set(self.left.get().saturating_sub(steps));
        !self.is_used_up()
    }

    pub(crate) fn is_used_up(&self) -> bool {
        self.left.get() == 0
    }
}

/// The order of two numbers or two texts; `None` for anything else.
pub(crate) fn order(a: &Node, b: &Node, budget: &Budget) -> Option<Ordering> {
    if let (Node::Text(a), Node::Text(b)) = (a, b) {
        return budget
            .take(1 + (a.len().min(b.len()) / 16) as u64)
            .then(|| a.cmp(b));
    }
    match (number(a)?, number(b)?) {
        (Number::Int(a), Number::Int(b)) => Some(a.cmp(&b)),
        (Number::Float(a), Number::Float(b)) => a.partial_cmp(&b),
        (Number::Int(a), Number::Float(b)) => Some(int_to_float(a, b)),
        (Number::Float(a), Number::Int(b)) => Some(int_to_float(b, a).reverse()),
    }
}

/// Whether two values are equal; `false` also when the budget is used up.
pub(crate) fn same(a: &Node, b: &Node, budget: &Budget) -> bool {
    if !budget.take(1) {
        return false;
    }
    match (a, b) {
        (Node::Null, Node::Null) => true,
        (Node::Bool(a), Node::Bool(b)) => a == b,
        (Node::Text(a), Node::Text(b)) => {
            a.len() == b.len() && budget.take(a.len() as u64 / 16) && a == b
        }
        (Node::Array(a), Node::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, budget))
        }
        (Node::Object(a), Node::Object(b)) => {
            let in_b = |(name, value): (&str, &Node)| {
                let found = budget.take(1 + name.len() as u64 / 16);
                found && b.get(name).is_some_and(|other| same(value, other, budget))
            };
            a.len() == b.len() && a.iter().all(in_b)
        }
        _ => number(a).is_some() && order(a, b, budget) == Some(Ordering::Equal),
    }
}

enum Number {
    Int(i128),
    Float(f64),
}

fn number(node: &Node) -> Option<Number> {
    match node {
        Node::Int(value) => Some(Number::Int(i128::from(*value))),
        Node::Uint(value) => Some(Number::Int(i128::from(*value))),
        Node::Float(value) => Some(Number::Float(*value)),
        _ => None,
    }
}

/// Exact, with integers of at most 65 bits and finite floats.
fn int_to_float(int: i128, float: f64) -> Ordering {
    const OUT_OF_RANGE: f64 = 1e20;
    if float >= OUT_OF_RANGE {
        return Ordering::Less;
    }
    if float <= -OUT_OF_RANGE {
        return Ordering::Greater;
    }
    #[expect(clippy::cast_possible_truncation, reason = "far below 2^127")]
    let whole = float.trunc() as i128;
    int.cmp(&whole).then_with(|| {
        0.0_f64
            .partial_cmp(&float.fract())
            .expect("a finite float has a fraction")
    })
}
