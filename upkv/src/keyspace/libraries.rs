//! Libraries of functions: data that belongs to the mount and not to one of its databases.
//!
//! They are kept by every build, and run by those with the feature `lua`. Invariant: the shared map changes only while
//! `change` is held, from before the commit that says so is appended.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::value::packed::{self, Walk};

/// A library as it was loaded.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "lua"),
    allow(
        dead_code,
        reason = "builds without scripts keep libraries as they are"
    )
)]
pub(crate) struct Library {
    pub(crate) name: Box<[u8]>,
    /// With the line that names the engine and the library.
    pub(crate) code: Box<[u8]>,
    /// What it registers; found out by running it.
    pub(crate) functions: OnceLock<Vec<Function>>,
}

/// A function that a library registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: Box<[u8]>,
    pub(crate) description: Option<Box<[u8]>>,
    /// In the bits of the script flags.
    pub(crate) flags: u8,
}

/// A library that comes, or with no library a name that goes.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) name: Box<[u8]>,
    pub(crate) library: Option<Arc<Library>>,
}

impl Change {
    /// A change as the log has it: no code means that the library goes.
    pub(crate) fn of(name: &[u8], code: &[u8]) -> Self {
        let library = (!code.is_empty()).then(|| Arc::new(Library::new(name, code)));
        let name = name.into();
        Self { name, library }
    }

    pub(crate) fn code(&self) -> &[u8] {
        self.library.as_ref().map_or(&[], |library| &library.code)
    }
}

impl Library {
    pub(crate) fn new(name: &[u8], code: &[u8]) -> Self {
        Self {
            name: name.into(),
            code: code.into(),
            functions: OnceLock::new(),
        }
    }
}

/// All libraries, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Libraries {
    pub(crate) by_name: BTreeMap<Box<[u8]>, Arc<Library>>,
}

impl Libraries {
    pub(crate) fn apply(&mut self, change: &Change) {
        match &change.library {
            Some(library) => drop(
                self.by_name
                    .insert(change.name.clone(), Arc::clone(library)),
            ),
            None => drop(self.by_name.remove(&change.name)),
        }
    }

    /// Names and codes, as a checkpoint holds them.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for library in self.by_name.values() {
            packed::put(&mut out, &library.name);
            packed::put(&mut out, &library.code);
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut walk = Walk::new(bytes);
        let mut found = Self::default();
        while !walk.is_done() {
            let change = Change::of(walk.bytes()?, walk.bytes()?);
            change.library.as_ref()?;
            if found.by_name.contains_key(&change.name) {
                return None;
            }
            found.apply(&change);
        }
        Some(found)
    }
}

/// The libraries of a mount.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    current: Mutex<Arc<Libraries>>,
    /// Held while a change is logged and made, and while the libraries are copied for a checkpoint.
    pub(crate) change: Mutex<()>,
}

impl Shared {
    pub(crate) fn current(&self) -> Arc<Libraries> {
        Arc::clone(&self.current.lock())
    }

    pub(crate) fn restore(&self, libraries: Libraries) {
        *self.current.lock() = Arc::new(libraries);
    }

    /// Makes changes. The caller holds `change`, or is recovering.
    pub(crate) fn apply(&self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        let mut current = self.current.lock();
        let libraries = Arc::make_mut(&mut current);
        for change in changes {
            libraries.apply(change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_survive_encoding_and_damage_is_refused() {
        let mut libraries = Libraries::default();
        libraries.apply(&Change::of(b"one", b"#!lua name=one\n"));
        libraries.apply(&Change::of(b"two", b"#!lua name=two\n"));
        let bytes = libraries.encode();
        let again = Libraries::decode(&bytes).expect("just encoded");
        assert_eq!(again.encode(), bytes);
        for cut in 1..bytes.len() {
            let found = Libraries::decode(&bytes[..cut]);
            assert!(found.is_none_or(|found| found.by_name.len() == 1), "{cut}");
        }
        assert!(Libraries::decode(&[bytes.clone(), bytes].concat()).is_none());
        libraries.apply(&Change::of(b"one", b""));
        assert_eq!(libraries.by_name.len(), 1);
    }
}
