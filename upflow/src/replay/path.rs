//! Where in a body an operation stands: its identity across code changes and crashes.
//!
//! Invariant: a path depends on the program text alone, never on which branch ran first. The body is the outermost scope; each branch
//! of a join opens a scope of its own, numbered by declaration.

use std::fmt;

use upkv::storage::codec::{Malformed, Reader, put_u8, put_varint};

/// Joins within joins, at most.
pub(crate) const DEPTH_MAX: usize = 32;

/// A join an operation is inside of, and the branch.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Branch {
    /// Ordinal of the join in its scope.
    pub(crate) join: u32,
    /// Which of the branches, from 0.
    pub(crate) index: u32,
    /// Branches of the join. Part of the identity, so that a changed size is noticed; not of the position.
    pub(crate) of: u32,
}

/// The identity of one operation of a run: the joins it is inside of, and its number among the operations of its scope, from 0.
///
/// Printed as `2` or, inside branch 0 of 3 of the join at 1, as `1[0/3].2`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    pub(crate) scopes: Vec<Branch>,
    pub(crate) ordinal: u32,
}

/// A path without the sizes of joins: what two versions of a body are compared by.
pub(crate) type Position = Vec<u32>;

impl Path {
    pub(crate) fn position(&self) -> Position {
        let mut at: Position = self.scopes.iter().flat_map(|s| [s.join, s.index]).collect();
        at.push(self.ordinal);
        at
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_u8(
            out,
            u8::try_from(self.scopes.len()).expect("depth is bounded where scopes open"),
        );
        for scope in &self.scopes {
            put_varint(out, u64::from(scope.join));
            put_varint(out, u64::from(scope.index));
            put_varint(out, u64::from(scope.of));
        }
        put_varint(out, u64::from(self.ordinal));
    }

    pub(crate) fn decode(input: &mut Reader<'_>) -> Result<Self, Malformed> {
        let depth = usize::from(input.u8()?);
        if depth > DEPTH_MAX {
            return Err(Malformed("path of at most 32 joins"));
        }
        let mut number = || {
            input
                .varint()
                .and_then(|n| u32::try_from(n).map_err(|_| Malformed("ordinal")))
        };
        let mut scopes = Vec::with_capacity(depth);
        for _ in 0..depth {
            let scope = Branch {
                join: number()?,
                index: number()?,
                of: number()?,
            };
            if scope.index >= scope.of {
                return Err(Malformed("branch of a join"));
            }
            scopes.push(scope);
        }
        Ok(Self {
            scopes,
            ordinal: number()?,
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for scope in &self.scopes {
            write!(f, "{}[{}/{}].", scope.join, scope.index, scope.of)?;
        }
        write!(f, "{}", self.ordinal)
    }
}

/// The kinds of operation that are journaled.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum OpKind {
    /// `run` and its variants.
    Step,
    /// `sleep` and `sleep_until`.
    Sleep,
    /// `event` and `event_timeout`.
    Event,
    /// `notify`.
    Notify,
    /// `transact`.
    Transact,
}

impl OpKind {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Step => 1,
            Self::Sleep => 2,
            Self::Event => 3,
            Self::Notify => 4,
            Self::Transact => 5,
        }
    }

    pub(crate) fn from_code(code: u8) -> Result<Self, Malformed> {
        Ok(match code {
            1 => Self::Step,
            2 => Self::Sleep,
            3 => Self::Event,
            4 => Self::Notify,
            5 => Self::Transact,
            _ => return Err(Malformed("kind of operation")),
        })
    }
}

impl fmt::Display for OpKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Step => "step",
            Self::Sleep => "sleep",
            Self::Event => "event",
            Self::Notify => "notify",
            Self::Transact => "transact",
        })
    }
}

/// One operation as it is named in the journal and in messages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId {
    /// Where it stands.
    pub path: Path,
    /// What it is.
    pub kind: OpKind,
    /// What the body calls it.
    pub name: Box<str>,
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} at {}", self.kind, self.name, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_encoding_and_print_as_documented() {
        let scopes = vec![
            Branch {
                join: 1,
                index: 0,
                of: 3,
            },
            Branch {
                join: 300,
                index: 2,
                of: 4,
            },
        ];
        let path = Path {
            scopes,
            ordinal: u32::MAX,
        };
        let mut out = Vec::new();
        path.encode(&mut out);
        let mut reader = Reader::new(&out);
        assert_eq!(Path::decode(&mut reader).unwrap(), path);
        reader.finish().unwrap();
        assert_eq!(path.to_string(), format!("1[0/3].300[2/4].{}", u32::MAX));
        assert_eq!(path.position(), [1, 0, 300, 2, u32::MAX]);
    }

    #[test]
    fn a_branch_outside_its_join_and_too_deep_a_path_are_refused() {
        assert!(Path::decode(&mut Reader::new(&[1, 0, 3, 3, 0])).is_err());
        assert!(Path::decode(&mut Reader::new(&[33])).is_err());
        assert!(Path::decode(&mut Reader::new(&[0, 0xff, 0xff, 0xff, 0xff, 0xff, 1])).is_err());
    }
}
