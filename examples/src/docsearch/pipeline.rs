//! Indexing: scanning folders for what changed, publishing it, and working on what waits.
//!
//! Three parties: a scanner publishes messages, an intake receives them and starts runs, and the caller waits for the runs' ends. The
//! channel between the last two bounds the files under way, and with them the memory.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use upflow::{RunHandle, Start};
use upqueue::{Job, Message};

use super::error::{Error, Result};
use super::hash::hash128;
use super::library::{Library, QUEUE, file_key};
use super::progress::Progress;
use super::source::{Source, Task};
use super::text::escaped;
use super::workflow::{Done, INDEX_FILE, REMOVED, run_id};

/// Files under way at once.
const UNDER_WAY: usize = 64;
/// Messages received in one commit.
const RECEIVE: usize = 16;
/// Messages published in one commit.
const PUBLISH: usize = 256;
/// How often the intake looks up from an empty queue.
const LOOK_UP: Duration = Duration::from_millis(50);
/// Complaints that a summary keeps.
const COMPLAINTS_MAX: usize = 20;

/// Asks indexing to end; what is under way is finished first.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks, and says whether it had been asked before.
    pub fn request(&self) -> bool {
        self.0.swap(true, Ordering::SeqCst)
    }

    /// Whether it was asked.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// How long indexing may take; what is left then waits in the queue.
#[derive(Copy, Clone, Debug, Default)]
pub struct Limits {
    /// Nothing new is begun after this time; `None` is no limit.
    pub span: Option<Duration>,
}

/// What indexing did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Files that were found.
    pub found: u64,
    /// Of those, files that are in the index as they are.
    pub unchanged: u64,
    /// Files that were put into the queue.
    pub queued: u64,
    /// Files that were put into the queue to be taken out of the index.
    pub leaving: u64,
    /// Files that are in the dead letters, and have not changed since.
    pub known_dead: u64,
    /// Files left out by the scan.
    pub left_out: u64,
    /// Files indexed.
    pub indexed: u64,
    /// Files whose content turned out to be indexed already.
    pub touched: u64,
    /// Files taken out of the index.
    pub removed: u64,
    /// Files that went to the dead letters.
    pub dead: u64,
    /// Chunks made.
    pub chunks: u64,
    /// Bytes read from indexed files.
    pub bytes: u64,
    /// Files that wait in the queue now.
    pub waiting: u64,
    /// Why files were left out or died: the first of them.
    pub complaints: Vec<String>,
    /// Time from beginning to end.
    pub elapsed: Duration,
    /// Time until the scan was done.
    pub scan: Duration,
    /// Time of all threads together in reading, cutting, embedding and committing.
    pub stages: [Duration; 4],
    /// Whether it ended because it was told to.
    pub stopped: bool,
}

impl Summary {
    fn complain(&mut self, text: String) {
        if self.complaints.len() < COMPLAINTS_MAX {
            self.complaints.push(text);
        }
    }
}

/// When to end, and how far the scan is.
struct Round<'a> {
    stop: &'a Stop,
    deadline: Option<Instant>,
    scanned: AtomicBool,
    /// Files to be done, as far as is known.
    files: AtomicU64,
    failed: AtomicBool,
}

impl Round<'_> {
    fn is_over(&self) -> bool {
        self.stop.is_requested()
            || self.failed.load(Ordering::SeqCst)
            || self
                .deadline
                .is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// A file under way.
struct UnderWay {
    job: Job,
    task: Task,
    run: RunHandle<Done>,
}

impl Library {
    /// Brings the index up to date with `source`, and works on what waits from before; without a source only on that.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] if there is nothing to index in the source, and never was; what the engines answer.
    pub fn update(
        &self,
        source: Option<&Source>,
        limits: Limits,
        stop: &Stop,
        progress: &mut Progress,
    ) -> Result<Summary> {
        let from = Instant::now();
        let times_before = self.times();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.work.stop(false);
        let missing = cores.saturating_sub(self.flows.workers());
        self.flows.start_workers(missing)?;
        let round = Round {
            stop,
            deadline: limits.span.and_then(|span| from.checked_add(span)),
            scanned: AtomicBool::new(source.is_none()),
            files: AtomicU64::new(self.waiting()),
            failed: AtomicBool::new(false),
        };
        let mut summary = Summary::default();
        let (sender, receiver) = sync_channel(UNDER_WAY);
        let (scan, intake, finish) = std::thread::scope(|scope| {
            let scanner = scope.spawn(|| match source {
                Some(source) => self.scan(source, &round),
                None => Ok(Summary::default()),
            });
            let intake = scope.spawn(|| self.take_in(sender, &round));
            let finish = self.finish(&receiver, &round, &mut summary, progress);
            if finish.is_err() {
                round.failed.store(true, Ordering::SeqCst);
            }
            // The intake may be waiting for room.
            drop(receiver);
            let joined = |ended: std::thread::Result<_>| {
                ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            let scan: Result<Summary> = joined(scanner.join());
            let intake = intake
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (scan, intake, finish)
        });
        let scan = scan?;
        intake.and(finish)?;
        if source.is_some() && scan.found + scan.left_out + scan.leaving == 0 && !round.is_over() {
            let text = "there is nothing to index: no .rs, .md or .txt file in the folder";
            return Err(Error::usage(text));
        }
        summary.complaints.splice(0..0, scan.complaints);
        let times = self.times();
        Ok(Summary {
            found: scan.found,
            unchanged: scan.unchanged,
            queued: scan.queued,
            leaving: scan.leaving,
            known_dead: scan.known_dead,
            left_out: scan.left_out,
            scan: scan.scan,
            waiting: self.waiting(),
            stages: std::array::from_fn(|n| times[n].saturating_sub(times_before[n])),
            elapsed: from.elapsed(),
            stopped: stop.is_requested(),
            ..summary
        })
    }

    fn times(&self) -> [Duration; 4] {
        let times = &self.work.times;
        [&times.read, &times.chunk, &times.embed, &times.commit]
            .map(|nanos| Duration::from_nanos(nanos.load(Ordering::Relaxed)))
    }

    /// Messages that are to be worked on.
    fn waiting(&self) -> u64 {
        let stats = self.queue().stats(QUEUE);
        stats.ready + stats.delayed + stats.leased
    }

    // --- the scanner

    fn scan(&self, source: &Source, round: &Round<'_>) -> Result<Summary> {
        let result = self.scan_folders(source, round);
        round.scanned.store(true, Ordering::SeqCst);
        if result.is_err() {
            round.failed.store(true, Ordering::SeqCst);
        }
        result
    }

    fn scan_folders(&self, source: &Source, round: &Round<'_>) -> Result<Summary> {
        let from = Instant::now();
        let mut summary = Summary::default();
        let mut seen = HashSet::new();
        let mut batch = Vec::new();
        for file in source.walk() {
            if round.is_over() {
                break;
            }
            let task = match file {
                Ok(task) => task,
                Err(why) => {
                    summary.left_out += 1;
                    summary.complain(format!("left out: {why}"));
                    continue;
                }
            };
            seen.insert(hash128(task.path.as_bytes()));
            summary.found += 1;
            if self.is_news(&task, &mut summary)? {
                summary.queued += 1;
                batch.push(task);
                self.publish(&mut batch, PUBLISH, round)?;
            }
        }
        // What a walk that was cut short has not met may still be there.
        if !round.is_over() {
            let prefix = file_key(&source.prefix());
            for key in self.db().keys("file:*") {
                let key = key?;
                let key = String::from_utf8_lossy(&key).into_owned();
                let Some(path) = key
                    .strip_prefix("file:")
                    .filter(|_| key.starts_with(&prefix))
                else {
                    continue;
                };
                let task = Task {
                    path: path.to_owned(),
                    fingerprint: REMOVED.to_owned(),
                    crate_name: String::new(),
                    version: String::new(),
                };
                if !seen.contains(&hash128(path.as_bytes())) && self.is_news(&task, &mut summary)? {
                    summary.leaving += 1;
                    batch.push(task);
                    self.publish(&mut batch, PUBLISH, round)?;
                }
            }
        }
        self.publish(&mut batch, 1, round)?;
        summary.scan = from.elapsed();
        Ok(summary)
    }

    /// Whether a file is neither in the index as it is, nor on its way there, nor known to be impossible.
    fn is_news(&self, task: &Task, summary: &mut Summary) -> Result<bool> {
        let record = self.db().hash(file_key(&task.path));
        let values = record.get_many(["queued", "fingerprint", "dead"])?;
        let is = |n: usize| values[n].as_deref() == Some(task.fingerprint.as_bytes());
        if is(0) {
            return Ok(false);
        }
        summary.unchanged += u64::from(is(1));
        summary.known_dead += u64::from(is(2) && !is(1));
        Ok(!is(1) && !is(2))
    }

    /// Publishes the batch once it has `least` tasks.
    fn publish(&self, batch: &mut Vec<Task>, least: usize, round: &Round<'_>) -> Result<()> {
        if batch.len() < least {
            return Ok(());
        }
        let bodies: Vec<Vec<u8>> = batch
            .iter()
            .map(serde_json::to_vec)
            .collect::<Result<_, _>>()?;
        self.db().try_transaction(|tx| {
            for (task, body) in batch.iter().zip(&bodies) {
                let record = tx.hash(file_key(&task.path));
                record.set("queued", &task.fingerprint)?;
                let message = Message::new(QUEUE, body.clone());
                tx.enlist(self.queue())?.publish(message)?;
            }
            Ok::<_, Error>(())
        })?;
        round.files.fetch_add(batch.len() as u64, Ordering::SeqCst);
        batch.clear();
        Ok(())
    }

    // --- the intake

    fn take_in(&self, to: SyncSender<UnderWay>, round: &Round<'_>) -> Result<()> {
        let result = self.take_messages(&to, round);
        if result.is_err() {
            round.failed.store(true, Ordering::SeqCst);
        }
        if round.is_over() {
            self.work.stop(true);
        }
        // Whoever waits for runs learns that no more come.
        drop(to);
        result
    }

    fn take_messages(&self, to: &SyncSender<UnderWay>, round: &Round<'_>) -> Result<()> {
        while !round.is_over() {
            // Read before the queue is: what is published later is seen at the next turn.
            let scanned = round.scanned.load(Ordering::SeqCst);
            let jobs = self.queue().receive_many(QUEUE, RECEIVE, LOOK_UP)?;
            if jobs.is_empty() && scanned && self.waiting() == 0 {
                break;
            }
            for job in jobs {
                if round.is_over() {
                    // It goes back to the queue.
                    drop(job);
                    continue;
                }
                let task: Task = serde_json::from_slice(job.body())?;
                let id = run_id(&task);
                self.work.deliver(&id, job.receipt());
                let run = self.flows.start(INDEX_FILE, Start::id(id).input(&task))?;
                if to.send(UnderWay { job, task, run }).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    // --- dead letters

    /// Puts the files that could not be indexed back into the queue; how many there are.
    ///
    /// # Errors
    ///
    /// What the queue answers.
    pub fn retry(&self) -> Result<u64> {
        Ok(self.queue().redrive_all(QUEUE)? as u64)
    }

    /// The files that could not be indexed, and why.
    pub fn dead(&self) -> impl Iterator<Item = Result<(String, String)>> {
        self.queue().dead_letters(QUEUE).map(|letter| {
            let letter = letter?;
            let task: Task = serde_json::from_slice(&letter.body)?;
            Ok((task.path, letter.why))
        })
    }

    // --- the end of runs

    fn finish(
        &self,
        from: &Receiver<UnderWay>,
        round: &Round<'_>,
        summary: &mut Summary,
        progress: &mut Progress,
    ) -> Result<()> {
        for UnderWay { job, task, run } in from {
            let mut made = 0;
            match run.result() {
                Ok(Done::Indexed(chunks, bytes)) => {
                    made = chunks;
                    summary.indexed += 1;
                    summary.chunks += u64::from(chunks);
                    summary.bytes += bytes;
                }
                Ok(Done::Unchanged) => summary.touched += 1,
                Ok(Done::Removed) => summary.removed += 1,
                Err(upflow::Error::Failed(error)) => {
                    self.bury(job, &task, error.message(), summary, progress)?;
                }
                Err(other) => return Err(other.into()),
            }
            self.work.end(run.id());
            progress.done(made, round.files.load(Ordering::SeqCst));
        }
        Ok(())
    }

    /// Gives up a file: its record says why, and its message goes to the dead letters.
    fn bury(
        &self,
        job: Job,
        task: &Task,
        why: &str,
        summary: &mut Summary,
        progress: &Progress,
    ) -> Result<()> {
        self.db().transaction(|tx| {
            let record = tx.hash(file_key(&task.path));
            record.set_many([("dead", task.fingerprint.as_str()), ("why", why)])?;
            if record.get("queued")?.as_deref() == Some(task.fingerprint.as_bytes()) {
                record.remove("queued")?;
            }
            Ok(())
        })?;
        job.dead_letter(why)?;
        let text = format!("cannot index {}: {}", escaped(&task.path), escaped(why));
        progress.note(&text);
        summary.dead += 1;
        summary.complain(text);
        Ok(())
    }
}
