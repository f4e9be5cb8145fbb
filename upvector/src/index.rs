//! The handle of an index: opening it, and its namespaces as a whole.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use upkv::Store;
use upkv::storage::{Durability, MountOptions, Token};

use crate::error::{Error, Result};
use crate::info::Info;
use crate::inner::Inner;
use crate::namespace::Namespace;
use crate::spec::{Embedders, Spec};
use crate::store::journal::{Fact, NAME_BYTES_MAX};

/// Number of this kind of engine in a store.
const KIND: u8 = 2;
/// What a write survives unless the host says otherwise.
const DEFAULT_DURABILITY: Durability = Durability::Interval(Duration::from_secs(1));
/// The name under which a private store holds its one index.
const NAME: &str = "main";

/// A vector index in this process. Cheap to clone; all clones are the same index.
///
/// # Examples
///
/// ```
/// use upvector::{Index, Metric, Record, Spec};
/// let index = Index::memory(Spec::dense(2, Metric::Cosine))?; // or Index::open("data/vectors", ..)
/// let docs = index.namespace("docs");
/// docs.upsert_many([
///     Record::new("east", vec![1.0, 0.0]),
///     Record::new("north", vec![0.0, 1.0]),
/// ])?;
/// let hits = docs.query(vec![3.0, 1.0]).top_k(1).run()?;
/// assert_eq!(hits[0].id, "east");
/// # Ok::<(), upvector::Error>(())
/// ```
#[derive(Clone)]
pub struct Index {
    handle: Arc<Handle>,
}

struct Handle {
    inner: Arc<Inner>,
    store: Store,
    embedders: Embedders,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("inner", &self.handle.inner)
            .finish_non_exhaustive()
    }
}

impl Index {
    /// Opens the index in a store of its own in `path`, creating it if there is none. Everything is searchable when this returns.
    ///
    /// # Errors
    ///
    /// As [`Index::mount`]; also [`Error::Storage`] if the directory is locked, of an unknown format, or cannot be created.
    pub fn open(path: impl AsRef<Path>, spec: Spec) -> Result<Self> {
        Self::mount(&Store::open(path)?, NAME, spec)
    }

    /// An index without files: the same engine, nothing kept.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] or [`Error::Invalid`] if the specification is out of range.
    pub fn memory(spec: Spec) -> Result<Self> {
        Self::mount(&Store::memory()?, NAME, spec)
    }

    /// Mounts the index called `name` on a store that other engines may share. The first time records the specification.
    ///
    /// # Errors
    ///
    /// [`Error::SpecMismatch`] if the index holds other vectors than `spec` says; [`Error::OutOfRange`] or [`Error::Invalid`] if the
    /// specification is out of range; [`Error::Storage`] if the store is closed or the data is damaged.
    pub fn mount(store: &Store, name: &str, spec: Spec) -> Result<Self> {
        let shape = spec.check()?;
        let mut options = MountOptions::with_default(DEFAULT_DURABILITY);
        options.durability_override = spec.durability;
        let graph = spec.graph;
        let make = |mount| Arc::new(Inner::new(mount, graph));
        let inner = store.mount_participant(KIND, name, options, make)?;
        inner.declare(shape)?;
        let handle = Handle {
            inner,
            store: store.clone(),
            embedders: spec.embedders,
        };
        Ok(Self {
            handle: Arc::new(handle),
        })
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.handle.inner
    }

    pub(crate) fn embedders(&self) -> &Embedders {
        &self.handle.embedders
    }

    /// The store below.
    pub fn store(&self) -> &Store {
        &self.handle.store
    }

    /// The namespace called `name`; the default one is `""`. It exists from its first upsert, and this neither creates nor looks for it.
    pub fn namespace(&self, name: &str) -> Namespace {
        Namespace::new(self, name)
    }

    /// The names of all namespaces in their order; the default one, `""`, is always there.
    pub fn list_namespaces(&self) -> Vec<String> {
        let spaces = self.inner().spaces.read();
        let names = spaces.by_name.keys().map(ToString::to_string);
        let mut names: Vec<String> = names.collect();
        if names.first().is_none_or(|name| !name.is_empty()) {
            names.insert(0, String::new());
        }
        names
    }

    /// Takes a namespace away with everything in it; `false` if there is none of this name.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for the default namespace; [`Error::Storage`].
    ///
    /// # Durability
    ///
    /// As every write: it survives what the index's level says once this returns.
    pub fn delete_namespace(&self, name: &str) -> Result<bool> {
        if name.is_empty() {
            let text = "The default namespace, which is the empty string \"\", cannot be deleted.";
            return Err(Error::invalid(text));
        }
        let inner = self.inner();
        let commit = {
            let _gate = inner.gate.read();
            let mut spaces = inner.spaces.write();
            let Some(space) = spaces.by_name.get(name).cloned() else {
                return Ok(false);
            };
            let mut frame = inner.mount.frame();
            frame.mark_freeing();
            let namespace = space.number;
            inner.push(&mut frame, &Fact::Deleted { namespace });
            let mut state = space.state.write();
            let commit = inner.mount.append(&mut frame)?;
            state.clear(&inner.mount);
            spaces.remove(namespace);
            commit
        };
        inner.settle(&commit, None)?;
        Ok(true)
    }

    /// Gives a namespace another name. `replace` allows that there is one of that name, which is taken away in the same commit.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchNamespace`] if there is no `from`, [`Error::NamespaceExists`] if there is a `to` and `replace` is false,
    /// [`Error::Invalid`] if either is the default namespace, [`Error::TooLarge`] for a name over 4096 bytes, [`Error::Storage`].
    pub fn rename_namespace(&self, from: &str, to: &str, replace: bool) -> Result<Token> {
        if from.is_empty() || to.is_empty() {
            let text = "The default namespace, which is the empty string \"\", cannot be renamed.";
            return Err(Error::invalid(text));
        }
        check_name(to)?;
        let inner = self.inner();
        let commit = {
            let _gate = inner.gate.read();
            let mut spaces = inner.spaces.write();
            let missing = || Error::NoSuchNamespace(from.into());
            let space = spaces.by_name.get(from).cloned().ok_or_else(missing)?;
            let target = spaces.by_name.get(to).cloned().filter(|_| from != to);
            if (target.is_some() && !replace) || from == to {
                return Err(Error::NamespaceExists(to.into()));
            }
            let mut frame = inner.mount.frame();
            if let Some(target) = &target {
                let namespace = target.number;
                inner.push(&mut frame, &Fact::Deleted { namespace });
            }
            let (namespace, name) = (space.number, to.into());
            inner.push(&mut frame, &Fact::Renamed { namespace, name });
            let commit = inner.mount.append(&mut frame)?;
            if let Some(target) = target {
                target.state.write().clear(&inner.mount);
                spaces.remove(target.number);
            }
            spaces.remove(namespace);
            spaces.insert(to, space);
            commit
        };
        inner.settle(&commit, None)
    }

    /// Empties all namespaces in one commit; they stay.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn reset_all(&self) -> Result<Token> {
        let inner = self.inner();
        let commit = {
            let _gate = inner.gate.read();
            let spaces = inner.spaces.read();
            let mut states: Vec<_> = spaces
                .by_number
                .values()
                .map(|(_, space)| (space.number, space.state.write()))
                .collect();
            let mut frame = inner.mount.frame();
            frame.mark_freeing();
            for (namespace, _) in &states {
                let namespace = *namespace;
                inner.push(&mut frame, &Fact::Reset { namespace });
            }
            let commit = inner.mount.append(&mut frame)?;
            for (_, state) in &mut states {
                state.clear(&inner.mount);
            }
            commit
        };
        inner.settle(&commit, None)
    }

    /// What the index holds, by namespace.
    ///
    /// # Complexity
    ///
    /// Linear in the number of namespaces and records, because it adds up what they take in memory.
    pub fn info(&self) -> Info {
        Info::of(self)
    }
}

/// Refuses the name of a namespace that is too long.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if name.len() > NAME_BYTES_MAX as usize {
        let what = "a namespace's name in bytes";
        return Err(Error::too_large(what, name.len(), NAME_BYTES_MAX));
    }
    Ok(())
}
