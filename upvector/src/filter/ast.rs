//! A parsed filter.
//!
//! Invariant: no [`Node`] is deeper than the parser's limit, so walking one recursively is safe.

use crate::metadata::{Number, Path};

use super::glob::Glob;

/// A condition.
#[derive(Clone, Debug)]
pub(super) enum Node {
    And(Box<[Node]>),
    Or(Box<[Node]>),
    /// A path and what is asked of the value there.
    Predicate(Path, Test),
    /// True if the path leads nowhere.
    HasNotField(Path),
}

/// What is asked of a value.
#[derive(Clone, Debug)]
pub(super) enum Test {
    /// The value exists.
    Exists,
    Equal(Literal),
    Unequal(Literal),
    Order(Order, Literal),
    Glob(Glob),
    NotGlob(Glob),
    In(Set),
    NotIn(Set),
    Contains(Literal),
    NotContains(Literal),
}

/// An order between numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// A value as written in a filter.
#[derive(Clone, Debug)]
pub(super) enum Literal {
    String(Box<str>),
    Number(Number),
    Bool(bool),
}

impl Literal {
    /// The boolean that this equals: `1` and `0` stand for `true` and `false` too.
    pub(super) fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            Self::Number(number) if number.compare(Number::Integer(1)).is_eq() => Some(true),
            Self::Number(number) if number.compare(Number::Integer(0)).is_eq() => Some(false),
            _ => None,
        }
    }
}

/// The literals of an `IN` list, searched in logarithmic time.
#[derive(Clone, Debug)]
pub(super) struct Set {
    strings: Box<[Box<str>]>,
    numbers: Box<[Number]>,
    has_true: bool,
    has_false: bool,
}

impl FromIterator<Literal> for Set {
    fn from_iter<I: IntoIterator<Item = Literal>>(literals: I) -> Self {
        let (mut strings, mut numbers) = (Vec::new(), Vec::new());
        let (mut has_true, mut has_false) = (false, false);
        for literal in literals {
            match literal.as_bool() {
                Some(true) => has_true = true,
                Some(false) => has_false = true,
                None => {}
            }
            match literal {
                Literal::String(text) => strings.push(text),
                Literal::Number(number) => numbers.push(number),
                Literal::Bool(_) => {}
            }
        }
        strings.sort_unstable();
        numbers.sort_unstable_by(|left, right| left.compare(*right));
        Self {
            strings: strings.into(),
            numbers: numbers.into(),
            has_true,
            has_false,
        }
    }
}

impl Set {
    pub(super) fn has_string(&self, text: &[u8]) -> bool {
        self.strings
            .binary_search_by(|literal| literal.as_bytes().cmp(text))
            .is_ok()
    }

    pub(super) fn has_number(&self, number: Number) -> bool {
        self.numbers
            .binary_search_by(|literal| literal.compare(number))
            .is_ok()
    }

    pub(super) fn has_bool(&self, value: bool) -> bool {
        if value { self.has_true } else { self.has_false }
    }
}
