//! The workflow of one file: read, chunk, embed, and the commit that makes all of it true.
//!
//! Steps journal how far they came, not what they made: text and vectors stay in memory between them, and are made again if the process
//! died in between. Invariant: what a run leaves in the index, in the file's record and in the totals commits with the acknowledgement
//! of its message, so it happens once, whatever happens.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use serde_json::json;
use upflow::{Backoff, Completed, Ctx, Engine, StepError, StepOptions, StepTransaction};
use upkv::{Db, Transaction};
use upqueue::{LeaseToken, Queue};
use upvector::{Bm25, DenseEmbedder, Index, Record, SparseEmbedder, SparseVector, Vector};

use super::chunk::{Chunk, chunks};
use super::embed::WordHash;
use super::error::{Error, Result};
use super::extract::Format;
use super::hash::hash128;
use super::library::{NAMESPACE, TOTALS, chunk_id, count, file_key};
use super::source::{FILE_BYTES_MAX, Task, fingerprint};

/// Name of the workflow.
pub(crate) const INDEX_FILE: &str = "index-file";
/// In place of a fingerprint: the file is not wanted any more.
pub(crate) const REMOVED: &str = "removed";

/// How often the last commit is tried, for instance because a lease ran out while the machine slept.
const COMMIT_RETRIES: u32 = 100;
const COMMIT_PAUSE: Duration = Duration::from_millis(500);
/// How long a run that was resumed waits for its message to be delivered again, per attempt.
const LEASE_WAIT: Duration = Duration::from_secs(5);

/// What a run did.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Done {
    /// The file has this many chunks and bytes now.
    Indexed(u32, u64),
    /// Its content was indexed before.
    Unchanged,
    /// It is gone, and so are its chunks.
    Removed,
}

/// What reading a file came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Read {
    /// Content that is not in the index, of this many bytes.
    New(u64),
    /// The content is in the index; only this fingerprint is new.
    Known(String),
    Gone,
    /// It cannot be indexed, for this reason.
    Refused(String),
}

/// What the steps of a run have made so far.
struct Draft {
    fingerprint: String,
    hash: String,
    bytes: u64,
    text: String,
    chunks: Option<Vec<Chunk>>,
    vectors: Option<Vec<(Vec<f32>, SparseVector)>>,
}

/// Time spent in each step by all threads, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Times {
    pub(crate) read: AtomicU64,
    pub(crate) chunk: AtomicU64,
    pub(crate) embed: AtomicU64,
    pub(crate) commit: AtomicU64,
}

fn timed<R>(total: &AtomicU64, f: impl FnOnce() -> R) -> R {
    let from = Instant::now();
    let result = f();
    let nanos = u64::try_from(from.elapsed().as_nanos()).unwrap_or(u64::MAX);
    total.fetch_add(nanos, Ordering::Relaxed);
    result
}

/// What runs need of this process.
pub(crate) struct Work {
    pub(crate) db: Db,
    pub(crate) index: Index,
    pub(crate) queue: Queue,
    pub(crate) times: Times,
    dense: WordHash,
    sparse: Bm25,
    /// The newest delivery of each run's message.
    leases: Mutex<HashMap<String, LeaseToken>>,
    delivered: Condvar,
    drafts: Mutex<HashMap<String, Draft>>,
    stopping: AtomicBool,
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").finish_non_exhaustive()
    }
}

/// The run that a task starts: the same one for the same content.
pub(crate) fn run_id(task: &Task) -> String {
    format!(
        "{:032x}-{}",
        hash128(task.path.as_bytes()),
        task.fingerprint
    )
}

/// Says what runs do.
pub(crate) fn register(flows: &Engine, work: &Arc<Work>) -> Result<()> {
    let work = Arc::clone(work);
    flows.register(INDEX_FILE, 1, move |ctx: Ctx, task: Task| {
        index_file(ctx, Arc::clone(&work), Arc::new(task))
    })?;
    Ok(())
}

async fn index_file(ctx: Ctx, work: Arc<Work>, task: Arc<Task>) -> Result<Done, StepError> {
    let run: Arc<str> = ctx.run_id().into();
    let read = {
        let (work, task, run) = (Arc::clone(&work), Arc::clone(&task), Arc::clone(&run));
        ctx.run("read", move || {
            timed(&work.times.read, || work.read(&run, &task))
        })
        .await?
    };
    let bytes = match read {
        Read::New(bytes) => bytes,
        Read::Refused(why) => return Err(StepError::non_retryable(why)),
        Read::Gone => {
            return commit(&ctx, "remove", work, move |work, tx| {
                work.forget(tx, &task)?;
                Ok(Done::Removed)
            })
            .await;
        }
        Read::Known(fingerprint) => {
            return commit(&ctx, "touch", work, move |_, tx| {
                Work::settle(tx, &task, &fingerprint)?;
                Ok(Done::Unchanged)
            })
            .await;
        }
    };
    {
        let (work, task, run) = (Arc::clone(&work), Arc::clone(&task), Arc::clone(&run));
        ctx.run("chunk", move || {
            work.with_draft(&run, &task, |work, draft| work.chunk(&task, draft).len())
        })
        .await?;
    }
    {
        let (work, task, run) = (Arc::clone(&work), Arc::clone(&task), Arc::clone(&run));
        ctx.run("embed", move || {
            work.with_draft(&run, &task, |work, draft| work.embed(&task, draft).len())
        })
        .await?;
    }
    let of_run = Arc::clone(&run);
    commit(&ctx, "index", work, move |work, tx| {
        let chunks = work.with_draft(&of_run, &task, |work, draft| {
            work.embed(&task, draft);
            work.put(tx, &task, draft)
        })??;
        Ok(Done::Indexed(chunks, bytes))
    })
    .await
}

/// The last step: what `change` does, the acknowledgement and the step's result, in one commit.
async fn commit<F>(ctx: &Ctx, name: &str, work: Arc<Work>, change: F) -> Result<Done, StepError>
where
    F: Fn(&Work, &mut Transaction<'_>) -> Result<Done> + Send + Sync + 'static,
{
    let run: Arc<str> = ctx.run_id().into();
    let options = StepOptions::new()
        .retries(COMMIT_RETRIES)
        .backoff(Backoff::fixed(COMMIT_PAUSE));
    ctx.transact_with(name, options, move |step: &StepTransaction| {
        let lease = work.lease(&run)?;
        let done: Result<Completed<Done>> = timed(&work.times.commit, || {
            work.db.try_transaction(|tx| {
                let done = change(&work, tx)?;
                tx.enlist(&work.queue)?.ack_token(lease);
                Ok(tx.enlist(step)?.complete(step, &done)?)
            })
        });
        let done = done.map_err(|error| match error {
            Error::Step(error) => error,
            other => StepError::retryable(other.to_string()),
        })?;
        work.end(&run);
        Ok::<_, StepError>(done)
    })
    .await
}

impl Work {
    pub(crate) fn new(db: Db, index: Index, queue: Queue) -> Self {
        Self {
            db,
            index,
            queue,
            times: Times::default(),
            dense: WordHash::new(),
            sparse: Bm25::english(),
            leases: Mutex::default(),
            delivered: Condvar::new(),
            drafts: Mutex::default(),
            stopping: AtomicBool::new(false),
        }
    }

    // --- deliveries

    /// The message of a run was delivered.
    pub(crate) fn deliver(&self, run: &str, lease: LeaseToken) {
        self.leases.lock().insert(run.to_owned(), lease);
        self.delivered.notify_all();
    }

    /// Nothing more of a run is needed.
    pub(crate) fn end(&self, run: &str) {
        self.leases.lock().remove(run);
        self.drafts.lock().remove(run);
    }

    /// No message is received any more; runs without one give up.
    pub(crate) fn stop(&self, stopping: bool) {
        self.stopping.store(stopping, Ordering::SeqCst);
        // Taken, so that nobody is between looking and waiting.
        drop(self.leases.lock());
        self.delivered.notify_all();
    }

    /// The delivery that a run is to acknowledge. A run that goes on after a crash may have to wait for it.
    fn lease(&self, run: &str) -> Result<LeaseToken, StepError> {
        let deadline = Instant::now() + LEASE_WAIT;
        let mut leases = self.leases.lock();
        loop {
            if let Some(lease) = leases.get(run) {
                return Ok(*lease);
            }
            let late = Instant::now() >= deadline;
            if late || self.stopping.load(Ordering::SeqCst) {
                return Err(StepError::retryable("the message was not delivered"));
            }
            self.delivered.wait_until(&mut leases, deadline);
        }
    }

    // --- steps

    fn read(&self, run: &str, task: &Task) -> Result<Read> {
        if task.fingerprint == REMOVED {
            return Ok(Read::Gone);
        }
        let draft = match load(task) {
            Ok(draft) => draft,
            Err(read) => return Ok(read),
        };
        let record = self.db.hash(file_key(&task.path));
        if record.get("hash")?.as_deref() == Some(draft.hash.as_bytes()) {
            return Ok(Read::Known(draft.fingerprint));
        }
        let bytes = draft.bytes;
        self.drafts.lock().insert(run.to_owned(), draft);
        Ok(Read::New(bytes))
    }

    /// Works on what the steps before have made, or on the file as it is now if the process died since then.
    fn with_draft<R>(
        &self,
        run: &str,
        task: &Task,
        f: impl FnOnce(&Self, &mut Draft) -> R,
    ) -> Result<R, StepError> {
        let kept = self.drafts.lock().remove(run);
        let mut draft = match kept {
            Some(draft) => draft,
            None => load(task).map_err(|read| {
                StepError::non_retryable(match read {
                    Read::Refused(why) => why,
                    _ => "the file was removed while it was indexed".to_owned(),
                })
            })?,
        };
        let result = f(self, &mut draft);
        self.drafts.lock().insert(run.to_owned(), draft);
        Ok(result)
    }

    fn chunk<'d>(&self, task: &Task, draft: &'d mut Draft) -> &'d [Chunk] {
        draft.chunks.get_or_insert_with(|| {
            timed(&self.times.chunk, || {
                let path = Path::new(&task.path);
                let text = std::mem::take(&mut draft.text);
                let sections = Format::of(path).map(|format| format.sections(path, &text));
                chunks(&sections.unwrap_or_default())
            })
        })
    }

    fn embed<'d>(&self, task: &Task, draft: &'d mut Draft) -> &'d [(Vec<f32>, SparseVector)] {
        if draft.vectors.is_none() {
            let texts = self
                .chunk(task, draft)
                .iter()
                .map(|chunk| chunk.text.as_str());
            let vectors = timed(&self.times.embed, || {
                texts
                    .map(|text| {
                        let dense = self.dense.embed_document(text);
                        (dense, self.sparse.embed_document(text))
                    })
                    .collect()
            });
            draft.vectors = Some(vectors);
        }
        draft.vectors.as_deref().unwrap_or_default()
    }

    // --- changes, as part of a transaction

    /// Puts a file's chunks into the index in place of those of its last version; how many they are.
    fn put(&self, tx: &mut Transaction<'_>, task: &Task, draft: &Draft) -> Result<u32> {
        let chunks = draft.chunks.as_deref().unwrap_or_default();
        let vectors = draft.vectors.as_deref().unwrap_or_default();
        let new = u32::try_from(chunks.len()).expect("a file of 4 MiB has fewer chunks than 2^32");
        let key = file_key(&task.path);
        let (old, old_bytes, known) = {
            let file = tx.hash(&key);
            let known = file.get("hash")?.is_some();
            (count(file.get("chunks")?), count(file.get("bytes")?), known)
        };
        let records = (0..)
            .zip(chunks)
            .zip(vectors)
            .map(|((number, chunk), vectors)| {
                let (dense, sparse) = vectors.clone();
                Record::new(chunk_id(&task.path, number), Vector::hybrid(dense, sparse))
                    .metadata(metadata(task, chunk))
                    .data(&chunk.text)
            });
        let staged = tx.enlist(&self.index)?;
        staged.upsert_many(NAMESPACE, records)?;
        let stale = i64::from(new)..old;
        let stale = stale.filter_map(|number| u32::try_from(number).ok());
        staged.delete(NAMESPACE, stale.map(|number| chunk_id(&task.path, number)))?;
        tx.hash(&key).set_many([
            ("hash", draft.hash.as_str()),
            ("chunks", &new.to_string()),
            ("bytes", &draft.bytes.to_string()),
        ])?;
        Self::settle(tx, task, &draft.fingerprint)?;
        let totals = tx.hash(TOTALS);
        totals.incr("files", i64::from(!known))?;
        totals.incr("chunks", i64::from(new) - old)?;
        totals.incr(
            "bytes",
            i64::try_from(draft.bytes).unwrap_or(i64::MAX) - old_bytes,
        )?;
        totals.incr("version", 1)?;
        Ok(new)
    }

    /// Notes that the file is indexed as `fingerprint` says, and that nothing is to be done about it.
    fn settle(tx: &Transaction<'_>, task: &Task, fingerprint: &str) -> Result<()> {
        let file = tx.hash(file_key(&task.path));
        file.set("fingerprint", fingerprint)?;
        if file.get("queued")?.as_deref() == Some(task.fingerprint.as_bytes()) {
            file.remove("queued")?;
        }
        file.remove("dead")?;
        file.remove("why")?;
        Ok(())
    }

    /// Takes a file out of the index.
    fn forget(&self, tx: &mut Transaction<'_>, task: &Task) -> Result<()> {
        let key = file_key(&task.path);
        let (old, bytes, known) = {
            let file = tx.hash(&key);
            let known = file.get("hash")?.is_some();
            (count(file.get("chunks")?), count(file.get("bytes")?), known)
        };
        let stale = (0..old).filter_map(|number| u32::try_from(number).ok());
        let stale = stale.map(|number| chunk_id(&task.path, number));
        tx.enlist(&self.index)?.delete(NAMESPACE, stale)?;
        tx.delete(&key)?;
        let totals = tx.hash(TOTALS);
        totals.incr("files", -i64::from(known))?;
        totals.incr("chunks", -old)?;
        totals.incr("bytes", -bytes)?;
        totals.incr("version", 1)?;
        Ok(())
    }
}

fn load(task: &Task) -> Result<Draft, Read> {
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Read::Gone,
        _ => Read::Refused(error.to_string()),
    };
    let path = Path::new(&task.path);
    let (fingerprint, bytes) = fingerprint(path).map_err(refused)?;
    if bytes > FILE_BYTES_MAX {
        return Err(Read::Refused(format!("{bytes} bytes are too many")));
    }
    let content = std::fs::read(path).map_err(refused)?;
    let hash = format!("{:032x}", hash128(&content));
    let bytes = content.len() as u64;
    let text = String::from_utf8(content).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Read::Refused(format!("not UTF-8 at byte {at}"))
    })?;
    Ok(Draft {
        fingerprint,
        hash,
        bytes,
        text,
        chunks: None,
        vectors: None,
    })
}

fn metadata(task: &Task, chunk: &Chunk) -> serde_json::Value {
    let mut metadata = json!({
        "kind": chunk.kind,
        "item": chunk.item,
        "path": task.path,
        "line": chunk.line,
    });
    for (name, value) in [("crate", &task.crate_name), ("version", &task.version)] {
        if !value.is_empty() {
            metadata[name] = value.as_str().into();
        }
    }
    metadata
}
