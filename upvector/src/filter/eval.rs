//! Whether metadata meets a filter.
//!
//! Invariant: a path that leads nowhere makes every predicate false but `HAS NOT FIELD`; a value of a type that an operator does not
//! cover makes the plain form false and the negated form true.

use std::cmp::Ordering;

use crate::metadata::{Metadata, View};

use super::ast::{Literal, Node, Order, Set, Test};
use super::glob::Glob;

/// Recursion is as deep as the parser let the filter be.
pub(super) fn matches(node: &Node, metadata: Option<&Metadata>) -> bool {
    match node {
        Node::And(nodes) => nodes.iter().all(|node| matches(node, metadata)),
        Node::Or(nodes) => nodes.iter().any(|node| matches(node, metadata)),
        Node::Predicate(path, asked) => metadata
            .and_then(|metadata| metadata.find(path))
            .is_some_and(|value| test(asked, value)),
        Node::HasNotField(path) => metadata.and_then(|metadata| metadata.find(path)).is_none(),
    }
}

fn test(asked: &Test, value: View<'_>) -> bool {
    match asked {
        Test::Exists => true,
        Test::Equal(literal) => equal(value, literal),
        Test::Unequal(literal) => !equal(value, literal),
        Test::Order(order, literal) => ordered(value, *order, literal),
        Test::Glob(glob) => globs(value, glob),
        Test::NotGlob(glob) => !globs(value, glob),
        Test::In(set) => within(value, set),
        Test::NotIn(set) => !within(value, set),
        Test::Contains(literal) => contains(value, literal),
        Test::NotContains(literal) => !contains(value, literal),
    }
}

fn equal(value: View<'_>, literal: &Literal) -> bool {
    match (value, literal) {
        (View::String(text), Literal::String(literal)) => text == literal.as_bytes(),
        (View::Number(number), Literal::Number(literal)) => number.compare(*literal).is_eq(),
        (View::Bool(value), literal) => literal.as_bool() == Some(value),
        _ => false,
    }
}

fn ordered(value: View<'_>, order: Order, literal: &Literal) -> bool {
    let (View::Number(number), Literal::Number(literal)) = (value, literal) else {
        return false;
    };
    let found = number.compare(*literal);
    match order {
        Order::Less => found == Ordering::Less,
        Order::AtMost => found != Ordering::Greater,
        Order::Greater => found == Ordering::Greater,
        Order::AtLeast => found != Ordering::Less,
    }
}

fn globs(value: View<'_>, glob: &Glob) -> bool {
    match value {
        View::String(text) => std::str::from_utf8(text).is_ok_and(|text| glob.matches(text)),
        _ => false,
    }
}

fn within(value: View<'_>, set: &Set) -> bool {
    match value {
        View::String(text) => set.has_string(text),
        View::Number(number) => set.has_number(number),
        View::Bool(value) => set.has_bool(value),
        View::Null | View::Array(_) | View::Object(_) => false,
    }
}

fn contains(value: View<'_>, literal: &Literal) -> bool {
    match value {
        View::Array(elements) => elements.elements().any(|element| equal(element, literal)),
        _ => false,
    }
}
