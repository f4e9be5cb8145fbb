//! The index behind its handles: namespaces by name, each with its own lock.
//!
//! Lock order: `gate`, then `spaces`, then the states of namespaces in the order of their numbers; a namespace's `builder` comes before
//! its state and after nothing. Whoever appends to the log holds `gate` for reading, so that a checkpoint, which holds it for writing,
//! sees one cut of all namespaces; searches never take it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, OnceLock};

use ahash::RandomState;
use parking_lot::{Mutex, RwLock};
use upkv::storage::{Commit, Durability, Mount, Token};

use crate::distance::Kernels;
use crate::error::{Error, Result};
use crate::graph::GraphOptions;
use crate::graph::search::Pool;
use crate::spec::Shape;
use crate::store::build::Builder;
use crate::store::journal::Fact;
use crate::store::state::{Common, State};
use crate::workers::Workers;

/// A namespace, wherever its name points.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) number: u32,
    pub(crate) state: RwLock<State>,
    /// Held by whoever changes the graph.
    pub(crate) builder: Mutex<Builder>,
}

/// The namespaces of an index.
#[derive(Debug, Default)]
pub(crate) struct Spaces {
    pub(crate) by_name: BTreeMap<Arc<str>, Arc<Space>>,
    pub(crate) by_number: BTreeMap<u32, (Arc<str>, Arc<Space>)>,
    /// The number of the next one.
    pub(crate) next: u32,
}

pub(crate) struct Inner {
    pub(crate) mount: Mount,
    /// What is recorded; empty until the first opening.
    pub(crate) shape: OnceLock<Shape>,
    pub(crate) graph: GraphOptions,
    pub(crate) kernels: Kernels,
    pub(crate) gate: RwLock<()>,
    pub(crate) spaces: RwLock<Spaces>,
    /// Numbers of namespaces whose graphs have work waiting.
    pub(crate) waiting: Mutex<BTreeSet<u32>>,
    pub(crate) pool: Pool,
    pub(crate) workers: Workers,
    keys: RandomState,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("mount", &self.mount.id())
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

impl Inner {
    pub(crate) fn new(mount: Mount, graph: GraphOptions) -> Self {
        let [a, b, c, d] = std::array::from_fn(|_| mount.random());
        Self {
            mount,
            shape: OnceLock::new(),
            graph,
            kernels: Kernels::choose(),
            gate: RwLock::default(),
            spaces: RwLock::default(),
            waiting: Mutex::default(),
            pool: Pool::default(),
            workers: Workers::new(),
            keys: RandomState::with_seeds(a, b, c, d),
        }
    }

    /// Records what the index holds, or compares it with what is recorded.
    pub(crate) fn declare(&self, shape: Shape) -> Result<()> {
        let gate = self.gate.write();
        if let Some(recorded) = self.shape.get() {
            if *recorded == shape {
                return Ok(());
            }
            let text = format!("the index was created for {recorded}, not for {shape}");
            return Err(Error::SpecMismatch(text.into()));
        }
        let mut frame = self.mount.frame();
        let (kind, body) = Fact::Spec(shape).encode();
        frame.push(&self.mount, kind, &[&body]);
        let commit = self.mount.append(&mut frame)?;
        self.shape.get_or_init(|| shape);
        drop(gate);
        self.mount.settle(&commit, None)?;
        Ok(())
    }

    /// What is recorded.
    pub(crate) fn shape(&self) -> &Shape {
        self.shape
            .get()
            .expect("a handle exists only after the specification was recorded")
    }

    pub(crate) fn common(&self) -> Option<Common> {
        Some(Common {
            shape: *self.shape.get()?,
            graph: self.graph,
            kernels: self.kernels,
        })
    }

    pub(crate) fn new_space(&self, number: u32) -> Arc<Space> {
        Arc::new(Space {
            number,
            state: RwLock::new(State::new(self.keys.clone())),
            builder: Mutex::default(),
        })
    }

    /// The namespace of this name.
    pub(crate) fn space(&self, name: &str) -> Option<Arc<Space>> {
        self.spaces.read().by_name.get(name).cloned()
    }

    /// Waits for the commit and names it.
    pub(crate) fn settle(&self, commit: &Commit, level: Option<Durability>) -> Result<Token> {
        self.mount.settle(commit, level)?;
        Ok(self.mount.token(commit.seq))
    }
}

impl Spaces {
    /// Adds a namespace under a name that is not taken.
    pub(crate) fn insert(&mut self, name: &str, space: Arc<Space>) {
        let name: Arc<str> = name.into();
        self.next = self.next.max(space.number.saturating_add(1));
        let entry = (Arc::clone(&name), Arc::clone(&space));
        self.by_number.insert(space.number, entry);
        self.by_name.insert(name, space);
    }

    /// Takes a namespace out.
    pub(crate) fn remove(&mut self, number: u32) -> Option<Arc<Space>> {
        let (name, space) = self.by_number.remove(&number)?;
        self.by_name.remove(&name);
        Some(space)
    }

    /// The namespace of this number.
    pub(crate) fn numbered(&self, number: u32) -> Option<&Arc<Space>> {
        self.by_number.get(&number).map(|(_, space)| space)
    }
}
