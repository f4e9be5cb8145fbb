//! The rows of the scoreboard, family by family.

pub mod flow;
pub mod kv;
pub mod queue;
pub mod ratelimit;
pub mod redis;
pub mod store;
pub mod vector;

use std::path::{Path, PathBuf};

use crate::Result;
use crate::measure::{Contender, Effort, interleave};
use crate::report::{Better, Goal, Row};

/// A family: its name on the command line and what measures it.
pub type Family = (&'static str, fn(&mut Bench) -> Result<()>);

/// All families in the order they are measured in.
pub const FAMILIES: &[Family] = &[
    ("store", store::run),
    ("kv", kv::run),
    ("redis", redis::run),
    ("vector", vector::run),
    ("queue", queue::run),
    ("flow", flow::run),
    ("ratelimit", ratelimit::run),
];

/// A measuring run: where, how much, and the rows so far.
#[derive(Debug)]
pub struct Bench {
    dir: PathBuf,
    /// How much to measure.
    pub effort: Effort,
    family: &'static str,
    rows: Vec<Row>,
    on_row: fn(&Row),
}

impl Bench {
    /// A run in `dir`, which tells `on_row` of each row as it is done.
    pub fn new(dir: &Path, effort: Effort, on_row: fn(&Row)) -> Self {
        Self {
            dir: dir.to_path_buf(),
            effort,
            family: "",
            rows: Vec::new(),
            on_row,
        }
    }

    /// Measures `family`.
    pub fn run(&mut self, family: &Family) -> Result<()> {
        self.family = family.0;
        (family.1)(self)
    }

    /// The rows measured so far.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// An empty directory for one contender, removed before it is handed out again.
    pub fn fresh_dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        match std::fs::remove_dir_all(&dir) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
        std::fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// Removes a directory of [`fresh_dir`](Self::fresh_dir) to give its space back.
    pub fn drop_dir(&self, name: &str) -> Result<()> {
        Ok(std::fs::remove_dir_all(self.dir.join(name))?)
    }

    /// Says on stderr what takes time now.
    pub fn progress(&self, what: &str) {
        eprintln!("{}: {what}", self.family);
    }

    /// Measures one row.
    pub fn row(
        &mut self,
        spec: Spec,
        mut ours: Contender<'_>,
        mut peers: Vec<Contender<'_>>,
    ) -> Result<()> {
        self.progress(&spec.name);
        let results = interleave(self.effort, &mut ours, &mut peers)?;
        self.push(spec, Ok(results));
        Ok(())
    }

    /// Enters a row that cannot be measured here, with the reason.
    pub fn skip(&mut self, spec: Spec, reason: &str) {
        self.push(spec, Err(reason.to_owned()));
    }

    fn push(&mut self, spec: Spec, outcome: Result<crate::measure::Results, String>) {
        let row = Row {
            family: self.family,
            name: spec.name,
            unit: spec.unit,
            better: spec.better,
            goal: spec.goal,
            outcome,
        };
        (self.on_row)(&row);
        self.rows.push(row);
    }
}

/// What a row is about.
#[derive(Clone, Debug)]
pub struct Spec {
    name: String,
    unit: &'static str,
    better: Better,
    goal: Goal,
}

/// A row in which less is better.
pub fn lower(name: impl Into<String>, unit: &'static str, goal: Goal) -> Spec {
    Spec {
        name: name.into(),
        unit,
        better: Better::Lower,
        goal,
    }
}

/// A row in which more is better.
pub fn higher(name: impl Into<String>, unit: &'static str, goal: Goal) -> Spec {
    Spec {
        name: name.into(),
        unit,
        better: Better::Higher,
        goal,
    }
}
