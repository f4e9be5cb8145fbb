//! The handle of a namespace: writing its records, and reading them one by one or in order.

use std::fmt;
use std::sync::Arc;

use upkv::storage::{Address, Durability, Token};

use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::index::{Index, check_name};
use crate::inner::{Inner, Space};
use crate::query::Query;
use crate::record::{Prepared, Record, Vector, prepare};
use crate::store::commit::{Batch, Changes, Done, Op, Outcome};
use crate::store::journal::{self, Payload};
use crate::store::state::State;
use crate::update::Update;

/// A set of records with a name. Cheap to clone.
///
/// Every change is one commit: all of it is visible, and survives a crash, or none. Queries see it as soon as it was acknowledged.
///
/// # Examples
///
/// ```
/// use serde_json::json;
/// use upvector::{Index, Metric, Record, Spec};
/// let index = Index::memory(Spec::dense(2, Metric::Cosine))?;
/// let docs = index.namespace("docs");
/// docs.upsert(Record::new("a1", vec![1.0, 0.0]).metadata(json!({"lang": "en"})))?;
/// let hits = docs.query(vec![1.0, 0.5]).filter("lang = 'en'").run()?;
/// assert_eq!(hits[0].id, "a1");
/// assert_eq!(docs.delete(["a1", "a2"])?, 1);
/// # Ok::<(), upvector::Error>(())
/// ```
#[derive(Clone)]
pub struct Namespace {
    index: Index,
    name: Arc<str>,
    durability: Option<Durability>,
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A part of the records in the order of their insertion.
///
/// # Examples
///
/// ```
/// use upvector::{Index, Metric, Record, Spec};
/// let index = Index::memory(Spec::dense(1, Metric::Euclidean))?;
/// let all = index.namespace("");
/// all.upsert_many((0..7_u8).map(|n| Record::new(format!("id-{n}"), [f32::from(n)])))?;
/// let page = all.range(0, 5)?;
/// assert_eq!((page.records.len(), page.next), (5, Some(5)));
/// let page = all.range(5, 5)?;
/// assert_eq!((page.records[1].id.as_str(), page.next), ("id-6", None));
/// # Ok::<(), upvector::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Page {
    /// The records.
    pub records: Vec<Record>,
    /// The cursor of the next page, if there is one.
    pub next: Option<u64>,
}

/// What is known of a record in memory, and where the rest is.
pub(crate) struct Pick {
    pub(crate) sequence: u64,
    pub(crate) at: Address,
    pub(crate) record: Record,
    pub(crate) has_data: bool,
}

impl Namespace {
    pub(crate) fn new(index: &Index, name: &str) -> Self {
        Self {
            index: index.clone(),
            name: name.into(),
            durability: None,
        }
    }

    /// The same namespace, with writes that survive what `level` says instead of what the index's level does.
    #[must_use]
    pub fn with_durability(mut self, level: Durability) -> Self {
        self.durability = Some(level);
        self
    }

    /// Its name; the default one has `""`.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    fn inner(&self) -> &Inner {
        self.index.inner()
    }

    pub(crate) fn space(&self) -> Option<Arc<Space>> {
        self.inner().space(&self.name)
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.space().map_or(0, |space| space.state.read().len())
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts a whole record in, in place of one with the same id, which keeps its place in the order.
    ///
    /// # Errors
    ///
    /// As [`Namespace::upsert_many`].
    pub fn upsert(&self, record: Record) -> Result<Token> {
        self.upsert_many([record])
    }

    /// Puts whole records in, all or none, one after the other: each in place of one with the same id.
    ///
    /// # Errors
    ///
    /// [`Error::DimensionMismatch`], [`Error::NotFinite`] or [`Error::RequiresVectors`] for a vector that the index does not take,
    /// [`Error::NoEmbedder`] for text without an embedder, [`Error::Invalid`] for an empty id or metadata that is not an object,
    /// [`Error::TooLarge`] over the limits of [`Record`]; [`Error::Storage`].
    ///
    /// # Durability
    ///
    /// The records survive what the index's level says once this returns.
    ///
    /// # Complexity
    ///
    /// A hash look-up and one log record each. While more than 1024 records wait to become part of the graph, a writer also inserts
    /// four of them for each of its own.
    pub fn upsert_many(&self, records: impl IntoIterator<Item = Record>) -> Result<Token> {
        check_name(&self.name)?;
        let (shape, embedders) = (self.inner().shape(), self.index.embedders());
        let ops = records
            .into_iter()
            .map(|record| prepare(record, shape, embedders).map(Op::Upsert))
            .collect::<Result<Vec<_>>>()?;
        let done = self.write(ops, false)?;
        self.finish(&done)
    }

    /// Commits changes to this namespace, in one frame.
    fn write(&self, ops: Vec<Op>, frees: bool) -> Result<Done> {
        match self.change(Changes { ops, only_if: None }, frees)? {
            Outcome::Done(done) => Ok(done),
            Outcome::Stale => Err(Error::invalid(
                "a change without a condition cannot be stale",
            )),
        }
    }

    fn change(&self, changes: Changes, frees: bool) -> Result<Outcome> {
        let inner = self.inner();
        let mut frame = inner.mount.frame();
        if frees {
            frame.mark_freeing();
        }
        let batch = Batch::from([(Box::from(&*self.name), changes)]);
        let mut append = |frame: &mut _| inner.mount.append(frame);
        Ok(inner.commit(batch, &mut frame, &mut append)?)
    }

    /// Waits for what was written and does the writer's share of building.
    fn finish(&self, done: &Done) -> Result<Token> {
        let token = self.inner().settle(&done.commit, self.durability)?;
        for (space, upserts) in &done.written {
            self.inner().share_work(space, *upserts);
        }
        Ok(token)
    }

    /// Searches for what is nearest to a vector, or matches it best; see [`Query`] for what can be asked.
    pub fn query(&self, vector: impl Into<Vector>) -> Query {
        Query::new(self.clone(), vector.into())
    }

    /// The records with these ids, in their order; `None` for an id without one.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`] if a record cannot be read.
    pub fn fetch<I>(&self, ids: I) -> Result<Vec<Option<Record>>>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let ids = ids.into_iter();
        let Some(space) = self.space() else {
            return Ok(ids.map(|_| None).collect());
        };
        let picks: Vec<Option<Pick>> = {
            let state = space.state.read();
            ids.map(|id| state.find(id.as_ref()).map(|slot| pick(&state, slot)))
                .collect()
        };
        let complete = |pick| self.complete(&space, pick);
        picks
            .into_iter()
            .map(|pick| pick.map_or(Ok(None), complete))
            .collect()
    }

    /// At most `limit` records whose ids begin with `prefix`, in the order of their insertion.
    ///
    /// # Errors
    ///
    /// As [`Namespace::fetch`].
    ///
    /// # Complexity
    ///
    /// Linear in the number of records.
    pub fn fetch_prefix(&self, prefix: &str, limit: usize) -> Result<Vec<Record>> {
        Ok(self.range_prefix(prefix, 0, limit)?.records)
    }

    /// At most `limit` records after `cursor`, in the order of their insertion. The first page has the cursor 0; an update does not
    /// move a record.
    ///
    /// # Errors
    ///
    /// As [`Namespace::fetch`].
    pub fn range(&self, cursor: u64, limit: usize) -> Result<Page> {
        self.range_prefix("", cursor, limit)
    }

    /// As [`Namespace::range`], of the records whose ids begin with `prefix`.
    ///
    /// # Errors
    ///
    /// As [`Namespace::fetch`].
    pub fn range_prefix(&self, prefix: &str, cursor: u64, limit: usize) -> Result<Page> {
        let mut page = Page {
            records: Vec::new(),
            next: None,
        };
        let Some(space) = self.space() else {
            return Ok(page);
        };
        let mut picks = Vec::new();
        if let (Some(after), true) = (cursor.checked_add(1), limit > 0) {
            let state = space.state.read();
            for slot in state.order.range(after..).map(|(_, slot)| *slot) {
                if !state.slot(slot).id.starts_with(prefix) {
                    continue;
                }
                if picks.len() == limit {
                    page.next = picks.last().map(|pick: &Pick| pick.sequence);
                    break;
                }
                picks.push(pick(&state, slot));
            }
        }
        for pick in picks {
            page.records.extend(self.complete(&space, pick)?);
        }
        Ok(page)
    }

    /// Any one record; `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`Namespace::fetch`].
    pub fn random(&self) -> Result<Option<Record>> {
        let Some(space) = self.space() else {
            return Ok(None);
        };
        let chosen = {
            let state = space.state.read();
            let slots = state.slots.len() as u64;
            // Free slots are few; where they are not, the next record after a random one does.
            let start = self.inner().mount.random() % slots.max(1);
            let around = (0..slots).map(|n| (start + n) % slots);
            let mut slots = around.map(|slot| u32::try_from(slot).unwrap_or(u32::MAX));
            slots
                .find(|slot| state.is_live(*slot))
                .map(|slot| pick(&state, slot))
        };
        chosen.map_or(Ok(None), |pick| self.complete(&space, pick))
    }

    /// Deletes the records with these ids; returns how many there were.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    ///
    /// # Durability
    ///
    /// As [`Namespace::upsert_many`].
    pub fn delete<I>(&self, ids: I) -> Result<usize>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let op = |id: I::Item| Op::Delete(id.as_ref().into());
        self.delete_by(ids.into_iter().map(op).collect())
    }

    /// Deletes the records whose ids begin with `prefix`; returns how many there were.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    ///
    /// # Complexity
    ///
    /// Linear in the number of records.
    pub fn delete_prefix(&self, prefix: &str) -> Result<usize> {
        self.delete_by(vec![Op::DeletePrefix(prefix.into())])
    }

    /// Deletes the records whose metadata match `filter`; returns how many there were.
    ///
    /// # Errors
    ///
    /// [`Error::Filter`] if it is not of the language, [`Error::Invalid`] if it is empty, which would be every record: ask for
    /// [`Namespace::reset`] then; [`Error::Storage`].
    ///
    /// # Complexity
    ///
    /// Linear in the number of records.
    pub fn delete_where(&self, filter: &str) -> Result<usize> {
        let filter = Filter::parse(filter)?;
        if filter.is_empty() {
            return Err(Error::invalid("a filter to delete by is empty"));
        }
        self.delete_by(vec![Op::DeleteWhere(filter)])
    }

    fn delete_by(&self, ops: Vec<Op>) -> Result<usize> {
        let done = self.write(ops, true)?;
        if done.deleted > 0 {
            self.inner().settle(&done.commit, self.durability)?;
        }
        Ok(done.deleted)
    }

    /// Deletes all records. The namespace stays, and its order of insertion starts anew.
    ///
    /// # Errors
    ///
    /// [`Error::Storage`].
    pub fn reset(&self) -> Result<()> {
        if self.space().is_some() {
            let done = self.write(vec![Op::Reset], true)?;
            self.inner().settle(&done.commit, self.durability)?;
        }
        Ok(())
    }

    /// Changes a part of a record; `false` if there is none with this id.
    ///
    /// Metadata alone are changed without any work on the vector.
    ///
    /// # Errors
    ///
    /// As [`Namespace::upsert_many`].
    pub fn update(&self, update: Update) -> Result<bool> {
        let update = update.check(self.inner().shape(), self.index.embedders())?;
        loop {
            let Some(space) = self.space() else {
                return Ok(false);
            };
            let found = {
                let state = space.state.read();
                state.find(&update.id).map(|slot| pick(&state, slot))
            };
            let Some(found) = found else {
                return Ok(false);
            };
            let at = found.at;
            // Reading may wait for the disk, so no lock is held; what changed meanwhile is found out when it is written.
            let Some(record) = self.complete(&space, found)? else {
                continue;
            };
            let record: Prepared = update.apply(record)?;
            let changes = Changes {
                ops: vec![Op::Upsert(record)],
                only_if: Some((update.id.clone(), at)),
            };
            match self.change(changes, false)? {
                Outcome::Stale => {}
                Outcome::Done(done) if done.written.is_empty() => return Ok(false),
                Outcome::Done(done) => {
                    self.finish(&done)?;
                    return Ok(true);
                }
            }
        }
    }

    /// Reads what of a record is only in the log; `None` if the record is gone since.
    pub(crate) fn complete(&self, space: &Space, pick: Pick) -> Result<Option<Record>> {
        let mut record = pick.record;
        if pick.has_data || self.inner().shape().sparse {
            let Some(payload) = self.inner().payload(space, pick.sequence, pick.at)? else {
                return Ok(None);
            };
            record.vector.sparse = payload.sparse;
            record.data = payload.data.map(String::from);
        }
        Ok(Some(record))
    }
}

/// A record as far as it is in memory.
fn pick(state: &State, slot: u32) -> Pick {
    let known = state.slot(slot);
    let dense = state.dense.as_ref();
    let vector = Vector {
        dense: dense.map(|dense| dense.space.vector(slot).to_vec()),
        sparse: None,
        text: None,
    };
    let mut record = Record::new(known.id.as_ref(), vector);
    record.metadata.clone_from(&known.metadata);
    Pick {
        sequence: known.sequence,
        at: known.at,
        record,
        has_data: known.has_data,
    }
}

impl Inner {
    /// Reads the rest of the record `sequence`, which was at `at`; `None` if it is gone.
    pub(crate) fn payload(
        &self,
        space: &Space,
        sequence: u64,
        mut at: Address,
    ) -> Result<Option<Payload>> {
        loop {
            let error = match self.mount.read(at) {
                Ok(body) => {
                    let payload = journal::decode_payload(&body);
                    return Ok(Some(payload.map_err(upkv::storage::Error::from)?));
                }
                Err(why) => why,
            };
            // Collection may have moved it, or somebody replaced or deleted it.
            let state = space.state.read();
            let found = state.order.get(&sequence).map(|slot| state.slot(*slot).at);
            match found {
                None => return Ok(None),
                Some(place) if place == at => return Err(error.into()),
                Some(place) => at = place,
            }
        }
    }
}
