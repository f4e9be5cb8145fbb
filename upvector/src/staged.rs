//! Changes to an index inside a host's transaction.
//!
//! Invariant: what is staged was checked when it was staged; the commit only decides which records it replaces.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use upkv::storage::{self, Commit, Enlist, Frame, MountId, Staged, Store};

use crate::index::{Index, check_name};
use crate::inner::{Inner, Space};
use crate::record::{Record, prepare};
use crate::spec::Embedders;
use crate::store::commit::{Batch, Op, Outcome};

/// Changes to an index that commit with a transaction: `tx.enlist(&index)?`.
///
/// Nothing staged is visible before the commit, not even to the transaction itself.
///
/// # Examples
///
/// ```
/// use upkv::storage::{Durability, Store, Transaction};
/// use upvector::{Index, Metric, Record, Spec};
/// let store = Store::memory()?;
/// let index = Index::mount(&store, "vectors", Spec::dense(2, Metric::Cosine))?;
/// let mut tx = Transaction::new();
/// tx.enlist(&store, &index)?.upsert("docs", Record::new("a1", [1.0, 0.0]))?;
/// assert!(index.namespace("docs").is_empty());
/// tx.commit(&store, Durability::Disk)?;
/// assert_eq!(index.namespace("docs").len(), 1);
/// # Ok::<(), upvector::Error>(())
/// ```
pub struct StagedVectors {
    inner: Arc<Inner>,
    embedders: Embedders,
    batch: Batch,
    written: Vec<(Arc<Space>, usize)>,
}

impl fmt::Debug for StagedVectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StagedVectors")
            .field("namespaces", &self.batch.len())
            .finish_non_exhaustive()
    }
}

impl Enlist for Index {
    type Staged = StagedVectors;

    fn mount_id(&self) -> MountId {
        self.inner().mount.id()
    }

    fn belongs_to(&self, store: &Store) -> bool {
        self.store().is_same(store)
    }

    fn stage(&self) -> StagedVectors {
        StagedVectors {
            inner: Arc::clone(self.inner()),
            embedders: self.embedders().clone(),
            batch: Batch::new(),
            written: Vec::new(),
        }
    }
}

impl StagedVectors {
    /// Stages an upsert.
    ///
    /// # Errors
    ///
    /// As [`Namespace::upsert_many`](crate::Namespace::upsert_many); nothing is staged then.
    pub fn upsert(&mut self, namespace: &str, record: Record) -> storage::Result<()> {
        self.upsert_many(namespace, [record])
    }

    /// Stages upserts, all or none of them.
    ///
    /// # Errors
    ///
    /// As [`Namespace::upsert_many`](crate::Namespace::upsert_many); nothing is staged then.
    pub fn upsert_many(
        &mut self,
        namespace: &str,
        records: impl IntoIterator<Item = Record>,
    ) -> storage::Result<()> {
        check_name(namespace)?;
        let shape = self.inner.shape();
        let ops = records
            .into_iter()
            .map(|record| prepare(record, shape, &self.embedders).map(Op::Upsert))
            .collect::<Result<Vec<_>, _>>()?;
        self.stage_ops(namespace, ops);
        Ok(())
    }

    /// Stages deletes by id; ids without a record come to nothing.
    ///
    /// # Errors
    ///
    /// If the namespace's name is too long.
    pub fn delete<I>(&mut self, namespace: &str, ids: I) -> storage::Result<()>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        check_name(namespace)?;
        let op = |id: I::Item| Op::Delete(id.as_ref().into());
        let ops = ids.into_iter().map(op).collect();
        self.stage_ops(namespace, ops);
        Ok(())
    }

    fn stage_ops(&mut self, namespace: &str, ops: Vec<Op>) {
        self.batch
            .entry(namespace.into())
            .or_default()
            .ops
            .extend(ops);
    }
}

impl Staged for StagedVectors {
    fn mount_id(&self) -> MountId {
        self.inner.mount.id()
    }

    fn commit(
        &mut self,
        frame: &mut Frame,
        rest: &mut dyn FnMut(&mut Frame) -> storage::Result<Commit>,
    ) -> storage::Result<Commit> {
        let batch = std::mem::take(&mut self.batch);
        match self.inner.commit(batch, frame, rest)? {
            Outcome::Done(done) => {
                self.written = done.written;
                Ok(done.commit)
            }
            Outcome::Stale => Err(storage::Error::misuse("a staged change has no condition")),
        }
    }

    fn committed(&mut self) {
        for (space, upserts) in std::mem::take(&mut self.written) {
            self.inner.share_work(&space, upserts);
        }
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
