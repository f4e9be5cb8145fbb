//! Filters: `?(@.price < 10 && (@.tag == "new" || !@.sold))`.
//!
//! A path alone asks whether it matches anything. In comparisons a path stands for its first match; one
//! without a match equals nothing, and is in no order with anything.

use std::cmp::Ordering;

use super::compare::{self, Budget};
use super::path::{NESTING_MAX, Reader, Step};
use super::{Node, select};
use crate::error::{Error, Result};

/// A condition on a value.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    Any(Vec<Filter>),
    Every(Vec<Filter>),
    Not(Box<Filter>),
    Exists(Operand),
    Compare(Operand, Comparison, Operand),
}

/// One side of a comparison.
#[derive(Clone, Debug)]
pub(crate) enum Operand {
    Literal(Node),
    /// From the value that is looked at.
    Here(Vec<Step>),
    /// From the root of the document.
    Root(Vec<Step>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// Reads a filter after its question mark.
pub(super) fn parse(reader: &mut Reader<'_>, nesting: usize) -> Result<Filter> {
    if nesting > NESTING_MAX {
        return Err(reader.refuse("filters nest too deep"));
    }
    let mut any = Vec::new();
    loop {
        let mut every = vec![term(reader, nesting)?];
        while joined(reader, "&&") {
            every.push(term(reader, nesting)?);
        }
        any.push(match every.len() {
            1 => every.swap_remove(0),
            _ => Filter::Every(every),
        });
        if !joined(reader, "||") {
            break;
        }
    }
    Ok(match any.len() {
        1 => any.swap_remove(0),
        _ => Filter::Any(any),
    })
}

fn joined(reader: &mut Reader<'_>, word: &str) -> bool {
    reader.skip_space();
    reader.take(word)
}

fn term(reader: &mut Reader<'_>, nesting: usize) -> Result<Filter> {
    let mut negated = false;
    loop {
        reader.skip_space();
        if !reader.take("!") {
            break;
        }
        negated = !negated;
    }
    let found = if reader.take("(") {
        let inner = parse(reader, nesting + 1)?;
        if !joined(reader, ")") {
            return Err(reader.refuse("`)` was expected"));
        }
        inner
    } else {
        comparison(reader, nesting)?
    };
    Ok(if negated {
        Filter::Not(Box::new(found))
    } else {
        found
    })
}

fn comparison(reader: &mut Reader<'_>, nesting: usize) -> Result<Filter> {
    const COMPARISONS: [(&str, Comparison); 6] = [
        ("==", Comparison::Equal),
        ("!=", Comparison::Unequal),
        ("<=", Comparison::AtMost),
        (">=", Comparison::AtLeast),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];
    let left = operand(reader, nesting)?;
    reader.skip_space();
    let found = COMPARISONS.iter().find(|(word, _)| reader.take(word));
    match (found, left) {
        (Some((_, how)), left) => Ok(Filter::Compare(left, *how, operand(reader, nesting)?)),
        (None, Operand::Literal(_)) => Err(reader.refuse("a comparison was expected")),
        (None, path) => Ok(Filter::Exists(path)),
    }
}

fn operand(reader: &mut Reader<'_>, nesting: usize) -> Result<Operand> {
    reader.skip_space();
    if reader.take("@") {
        return reader.steps(nesting + 1).map(Operand::Here);
    }
    if reader.take("$") {
        return reader.steps(nesting + 1).map(Operand::Root);
    }
    if matches!(reader.peek(), Some('\'' | '"')) {
        return Ok(Operand::Literal(Node::Text(reader.quoted()?)));
    }
    let ends = |c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c);
    let rest = reader.rest();
    let word = &rest[..rest.find(ends).unwrap_or(rest.len())];
    let literal = super::parse::parse(word.as_bytes());
    let literal = literal.map_err(|_| reader.refuse("a path or a value was expected"))?;
    reader.at += word.len();
    Ok(Operand::Literal(literal))
}

impl Filter {
    /// Whether the value `here` passes.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] when the budget is used up.
    pub(super) fn passes(&self, here: &Node, root: &Node, budget: &Budget) -> Result<bool> {
        if !budget.take(1) {
            return Err(used_up());
        }
        let passed = match self {
            Self::Any(filters) => {
                for filter in filters {
                    if filter.passes(here, root, budget)? {
                        return Ok(true);
                    }
                }
                false
            }
            Self::Every(filters) => {
                for filter in filters {
                    if !filter.passes(here, root, budget)? {
                        return Ok(false);
                    }
                }
                true
            }
            Self::Not(filter) => !filter.passes(here, root, budget)?,
            Self::Exists(operand) => operand.value(here, root, budget)?.is_some(),
            Self::Compare(left, how, right) => {
                let left = left.value(here, root, budget)?;
                let right = right.value(here, root, budget)?;
                let order = |expected: &[Ordering]| {
                    let found = compare::order(left?, right?, budget)?;
                    Some(expected.contains(&found))
                };
                let equal = || Some(compare::same(left?, right?, budget));
                let passed = match how {
                    Comparison::Equal => equal(),
                    Comparison::Unequal => Some(!equal().unwrap_or(false)),
                    Comparison::Less => order(&[Ordering::Less]),
                    Comparison::AtMost => order(&[Ordering::Less, Ordering::Equal]),
                    Comparison::Greater => order(&[Ordering::Greater]),
                    Comparison::AtLeast => order(&[Ordering::Greater, Ordering::Equal]),
                };
                passed.unwrap_or(false)
            }
        };
        if budget.is_used_up() {
            return Err(used_up());
        }
        Ok(passed)
    }
}

#[cold]
pub(super) fn used_up() -> Error {
    Error::refused("ERR the path's filters take too long on this document")
}

impl Operand {
    fn value<'n>(
        &'n self,
        here: &'n Node,
        root: &'n Node,
        budget: &Budget,
    ) -> Result<Option<&'n Node>> {
        match self {
            Self::Literal(node) => Ok(Some(node)),
            Self::Here(steps) => select::first(here, steps, root, budget),
            Self::Root(steps) => select::first(root, steps, root, budget),
        }
    }
}
