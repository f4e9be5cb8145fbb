//! The index as a workload for the crash harness: random operations on hybrid records and a model of plain lists.
#![allow(dead_code, reason = "each test uses its own part of it")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use upkv::Durability;
use upkv::storage::testing::{Ack, Failure, Run, Workload};
use upkv::storage::{Error as StorageError, ErrorKind, Store, Transaction};
use upvector::{
    Error, GraphOptions, Index, Metadata, Metric, Record, SparseVector, Spec, Update, Vector,
};

/// A record as the model keeps it: what was given, bit for bit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Known {
    dense: Vec<u32>,
    sparse: Option<(Vec<i32>, Vec<u32>)>,
    metadata: Option<Value>,
    data: Option<String>,
}

/// Records by namespace, in the order of their insertion.
pub(crate) type Model = BTreeMap<String, Vec<(String, Known)>>;

const NAMES: [&str; 3] = ["", "a", "b/c"];

/// Upserts and deletes in a namespace.
type Part = (usize, Vec<Record>, Vec<String>);

#[derive(Clone, Debug)]
enum Op {
    Upsert(usize, Vec<Record>),
    Update(usize, String, Option<Value>, Option<String>),
    Delete(usize, Vec<String>),
    DeletePrefix(usize, String),
    DeleteWhere(usize, u64),
    Reset(usize),
    ResetAll,
    DeleteNamespace(usize),
    Rename(usize, usize),
    Transaction(Vec<Part>),
}

fn below(run: &Run<'_>, limit: u64) -> u64 {
    run.random.below(limit)
}

fn place(run: &Run<'_>) -> usize {
    // Most records are in one namespace, so that it gets a graph.
    usize::try_from(below(run, 8).saturating_sub(5)).unwrap()
}

fn id(run: &Run<'_>) -> String {
    format!(
        "{}-{}",
        ["id", "other"][usize::try_from(below(run, 2)).unwrap()],
        below(run, 12)
    )
}

fn float(run: &Run<'_>) -> f32 {
    f32::from(i8::try_from(below(run, 21)).unwrap() - 10)
}

fn record(run: &Run<'_>, payloads: bool) -> Record {
    let dense: Vec<f32> = (0..4).map(|_| float(run)).collect();
    let mut record = if payloads {
        Record::new(id(run), Vector::hybrid(dense, sparse(run)))
    } else {
        Record::new(id(run), dense)
    };
    if below(run, 3) > 0 {
        record = record.metadata(json!({"n": below(run, 4), "tag": format!("t{}", below(run, 3))}));
    }
    if payloads && below(run, 3) > 0 {
        let len = usize::try_from(below(run, 300)).unwrap();
        record = record.data("text of any length ".repeat(1 + len / 20));
    }
    record
}

fn sparse(run: &Run<'_>) -> SparseVector {
    let entries = 1 + below(run, 4);
    let indices: Vec<i32> = (0..entries)
        .map(|_| i32::try_from(below(run, 9)).unwrap() - 4)
        .collect();
    let values: Vec<f32> = indices.iter().map(|_| float(run)).collect();
    SparseVector::new(indices, values).unwrap()
}

fn known(record: &Record) -> Known {
    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect();
    let sparse = record.vector.as_sparse();
    Known {
        dense: bits(record.vector.as_dense().expect("all have dense vectors")),
        sparse: sparse.map(|sparse| (sparse.indices().to_vec(), bits(sparse.values()))),
        metadata: record.metadata.as_ref().map(Metadata::to_value),
        data: record.data.clone(),
    }
}

fn put(model: &mut Model, name: &str, records: &[Record]) {
    if records.is_empty() {
        return;
    }
    let list = model.entry(name.to_owned()).or_default();
    for record in records {
        match list.iter_mut().find(|(id, _)| *id == record.id) {
            Some((_, old)) => *old = known(record),
            None => list.push((record.id.clone(), known(record))),
        }
    }
}

/// What staged parts do, one after the other.
fn stage(model: &mut Model, parts: &[Part]) {
    for (at, records, ids) in parts {
        put(model, NAMES[*at], records);
        if let Some(list) = model.get_mut(NAMES[*at]) {
            list.retain(|(id, _)| !ids.contains(id));
        }
    }
}

fn merge(target: &mut Map<String, Value>, patch: &Value) {
    for (key, value) in patch.as_object().expect("a patch is an object") {
        if value.is_null() {
            target.remove(key);
        } else {
            target.insert(key.clone(), value.clone());
        }
    }
}

impl Op {
    fn random(run: &Run<'_>, payloads: bool) -> Self {
        let at = place(run);
        let some = |most| {
            (0..=below(run, most))
                .map(|_| record(run, payloads))
                .collect()
        };
        match below(run, 40) {
            0..=15 => Self::Upsert(at, some(3)),
            16..=20 => {
                let patch = (below(run, 3) > 0).then(|| {
                    let tag = (below(run, 2) > 0).then(|| format!("t{}", below(run, 3)));
                    json!({"tag": tag, "n": below(run, 4)})
                });
                let data =
                    (payloads && below(run, 2) > 0).then(|| format!("new text {}", below(run, 99)));
                Self::Update(at, id(run), patch, data)
            }
            21..=28 => Self::Delete(at, (0..=below(run, 2)).map(|_| id(run)).collect()),
            29 => Self::DeletePrefix(at, format!("id-{}", below(run, 12))),
            30 => Self::DeleteWhere(at, below(run, 4)),
            31 if below(run, 4) == 0 => Self::Reset(at),
            32 if below(run, 8) == 0 => Self::ResetAll,
            33 => Self::DeleteNamespace(at),
            34 => Self::Rename(at, place(run)),
            _ => Self::Transaction(
                (0..=below(run, 2))
                    .map(|_| {
                        let ids = (0..below(run, 2)).map(|_| id(run)).collect();
                        (place(run), some(2), ids)
                    })
                    .collect(),
            ),
        }
    }

    /// Does the same to the model; whether anything is committed.
    fn apply(&self, model: &mut Model) -> bool {
        let before = model.clone();
        match self {
            Self::Upsert(at, records) => {
                put(model, NAMES[*at], records);
                return true;
            }
            Self::Update(at, id, patch, data) => {
                let list = model.get_mut(NAMES[*at]);
                let found = list.and_then(|list| list.iter_mut().find(|(other, _)| other == id));
                let Some((_, known)) = found else {
                    return false;
                };
                if let Some(patch) = patch {
                    let before = known.metadata.take().unwrap_or_else(|| json!({}));
                    let mut object = before.as_object().expect("metadata is an object").clone();
                    merge(&mut object, patch);
                    known.metadata = Some(Value::Object(object));
                }
                if let Some(data) = data {
                    known.data = Some(data.clone());
                }
                return true;
            }
            Self::Delete(at, ids) => {
                if let Some(list) = model.get_mut(NAMES[*at]) {
                    list.retain(|(id, _)| !ids.contains(id));
                }
            }
            Self::DeletePrefix(at, prefix) => {
                if let Some(list) = model.get_mut(NAMES[*at]) {
                    list.retain(|(id, _)| !id.starts_with(prefix));
                }
            }
            Self::DeleteWhere(at, n) => {
                let matches = |known: &Known| known.metadata.as_ref().is_some_and(|m| m["n"] == *n);
                if let Some(list) = model.get_mut(NAMES[*at]) {
                    list.retain(|(_, known)| !matches(known));
                }
            }
            Self::Reset(at) => {
                if let Some(list) = model.get_mut(NAMES[*at]) {
                    list.clear();
                    return true;
                }
            }
            Self::ResetAll => {
                model.values_mut().for_each(Vec::clear);
                return !model.is_empty();
            }
            Self::DeleteNamespace(at) => {
                return *at != 0 && model.remove(NAMES[*at]).is_some();
            }
            Self::Rename(from, to) => {
                if *from != 0
                    && *to != 0
                    && from != to
                    && let Some(list) = model.remove(NAMES[*from])
                {
                    model.insert(NAMES[*to].to_owned(), list);
                    return true;
                }
            }
            Self::Transaction(parts) => {
                stage(model, parts);
                return true;
            }
        }
        *model != before
    }

    fn perform(&self, index: &Index, level: Durability) -> Result<(), Error> {
        let at = |at: &usize| index.namespace(NAMES[*at]).with_durability(level);
        match self {
            Self::Upsert(n, records) => at(n).upsert_many(records.clone()).map(|_| ()),
            Self::Update(n, id, patch, data) => {
                let mut update = Update::new(id);
                if let Some(patch) = patch {
                    update = update.merge_metadata(patch);
                }
                if let Some(data) = data {
                    update = update.data(data);
                }
                at(n).update(update).map(|_| ())
            }
            Self::Delete(n, ids) => at(n).delete(ids).map(|_| ()),
            Self::DeletePrefix(n, prefix) => at(n).delete_prefix(prefix).map(|_| ()),
            Self::DeleteWhere(n, value) => at(n).delete_where(&format!("n = {value}")).map(|_| ()),
            Self::Reset(n) => at(n).reset(),
            Self::ResetAll => index.reset_all().map(|_| ()),
            Self::DeleteNamespace(n) => match index.delete_namespace(NAMES[*n]) {
                Err(Error::Invalid(_)) if *n == 0 => Ok(()),
                other => other.map(|_| ()),
            },
            Self::Rename(from, to) => {
                match index.rename_namespace(NAMES[*from], NAMES[*to], true) {
                    Err(
                        Error::Invalid(_) | Error::NoSuchNamespace(_) | Error::NamespaceExists(_),
                    ) => Ok(()),
                    other => other.map(|_| ()),
                }
            }
            Self::Transaction(parts) => {
                let mut tx = Transaction::new();
                for (n, records, ids) in parts {
                    let staged = tx.enlist(index.store(), index)?;
                    staged.upsert_many(NAMES[*n], records.iter().cloned())?;
                    staged.delete(NAMES[*n], ids)?;
                }
                tx.commit(index.store(), level)?;
                Ok(())
            }
        }
    }

    /// The operation can be given a level of its own.
    fn takes_level(&self) -> bool {
        !matches!(
            self,
            Self::ResetAll | Self::DeleteNamespace(_) | Self::Rename(..)
        )
    }
}

pub(crate) fn failure(error: &Error) -> Failure {
    match error {
        Error::Storage(error) => Failure::from(error),
        other => Failure::Refused(other.to_string()),
    }
}

fn is_unknown(error: &StorageError) -> bool {
    matches!(error.kind(), ErrorKind::OutcomeUnknown { .. })
}

/// Random operations on three namespaces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VectorWorkload {
    /// Records up to which there is no graph.
    pub(crate) scan_max: u32,
    /// Records have sparse vectors and texts, which are read back from the log.
    pub(crate) payloads: bool,
}

impl Workload for VectorWorkload {
    type Engine = Index;
    type Model = Model;

    fn empty(&self) -> Model {
        Model::new()
    }

    fn open(&self, store: &Store, name: &str) -> Result<Index, Failure> {
        let graph = GraphOptions {
            max_degree: 4,
            build_list: 10,
            scan_max: self.scan_max,
            ..GraphOptions::default()
        };
        let spec = if self.payloads {
            Spec::hybrid(4, Metric::Euclidean)
        } else {
            Spec::dense(4, Metric::Euclidean)
        };
        let spec = spec.graph(graph).durability(Durability::Disk);
        let index = Index::mount(store, name, spec).map_err(|error| failure(&error))?;
        index.audit().map_err(Failure::Damaged)?;
        Ok(index)
    }

    fn step(&self, index: &Index, run: &Run<'_>, model: &mut Model) -> Result<Ack, Failure> {
        let (level, ack) = match below(run, 3) {
            0 => (Durability::Memory, Ack::Memory),
            1 => (Durability::Os, Ack::Os),
            _ => (Durability::Disk, Ack::Disk),
        };
        let op = Op::random(run, self.payloads);
        let mut after = model.clone();
        let commits = op.apply(&mut after);
        let result = op.perform(index, level);
        match result {
            Ok(()) => *model = after,
            Err(error) => {
                if let Error::Storage(cause) = &error
                    && is_unknown(cause)
                {
                    *model = after;
                }
                return Err(failure(&error));
            }
        }
        Ok(match (commits, op.takes_level()) {
            (false, _) => Ack::Unchanged,
            (true, true) => ack,
            (true, false) => Ack::Disk,
        })
    }

    fn observe(&self, index: &Index) -> Result<Model, Failure> {
        index.audit().map_err(Failure::Damaged)?;
        observe(index).map_err(|error| failure(&error))
    }
}

/// Everything a user can see; that searches find all of it is checked on the way.
pub(crate) fn observe(index: &Index) -> Result<Model, Error> {
    let mut model = Model::new();
    let counts = index.info().namespaces;
    for name in index.list_namespaces() {
        if !counts.contains_key(&name) {
            continue;
        }
        let docs = index.namespace(&name);
        let mut list = Vec::new();
        let mut cursor = Some(0);
        while let Some(after) = cursor {
            let page = docs.range(after, 5)?;
            list.extend(page.records.iter().map(|r| (r.id.clone(), known(r))));
            cursor = page.next;
        }
        let ids: BTreeSet<String> = list.iter().map(|(id, _)| id.clone()).collect();
        let hits = docs
            .query(vec![1.0, 2.0, 3.0, 4.0])
            .top_k(1000)
            .include_vectors()
            .run()?;
        let found: BTreeSet<String> = hits.iter().map(|hit| hit.id.clone()).collect();
        assert_eq!((found, hits.len()), (ids, list.len()), "in {name:?}");
        for hit in hits {
            let bits: Vec<u32> = hit.vector.iter().flatten().map(|x| x.to_bits()).collect();
            let (_, known) = list.iter().find(|(id, _)| *id == hit.id).expect("listed");
            assert_eq!(bits, known.dense, "{name:?} {}", hit.id);
        }
        model.insert(name, list);
    }
    Ok(model)
}
