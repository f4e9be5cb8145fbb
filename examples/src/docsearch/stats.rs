//! What is in the store, in numbers.

use std::io::{self, Write};

use upflow::Filter;
use upqueue::QueueStats;
use walkdir::WalkDir;

use super::error::Result;
use super::library::{Library, QUEUE, TOTALS, count};
use super::text::{number, size};

/// The store in numbers.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Files in the index.
    pub files: u64,
    /// Their size in bytes.
    pub file_bytes: u64,
    /// Chunks, as the files' records say.
    pub chunks: u64,
    /// Chunks in the index.
    pub records: u64,
    /// Changes of the index so far.
    pub version: u64,
    /// Messages of files.
    pub queue: QueueStats,
    /// Runs that have not ended.
    pub active_runs: u64,
    /// Ended runs that are kept, and how many of them failed.
    pub ended_runs: u64,
    /// Of those, runs that failed.
    pub failed_runs: u64,
    /// Answers in the cache.
    pub answers: u64,
    /// Bytes that the index takes in memory.
    pub index_memory_bytes: u64,
    /// Bytes that the records of files and answers take in memory.
    pub records_memory_bytes: u64,
    /// Bytes of the store's files.
    pub disk_bytes: u64,
    /// Commits since the store was opened.
    pub commits: u64,
}

impl Library {
    /// Counts what is in the store.
    ///
    /// # Errors
    ///
    /// What the engines answer.
    pub fn stats(&self) -> Result<Stats> {
        let totals = self.db().hash(TOTALS);
        let totals = totals.get_many(["files", "bytes", "chunks", "version"])?;
        let total = |n: usize| u64::try_from(count(totals[n].as_deref())).unwrap_or(0);
        let mut answers = 0;
        for key in self.db().keys("answer:*") {
            key?;
            answers += 1;
        }
        let info = self.index().info();
        let mut runs = [0; 3];
        let filters = [
            Filter::new().active(),
            Filter::new().completed(),
            Filter::new().failed(),
        ];
        for (runs, filter) in runs.iter_mut().zip(filters) {
            *runs = self.flows.list(&filter.count(usize::MAX)).runs.len() as u64;
        }
        Ok(Stats {
            files: total(0),
            file_bytes: total(1),
            chunks: total(2),
            records: info.vector_count as u64,
            version: total(3),
            queue: self.queue().stats(QUEUE),
            active_runs: runs[0],
            ended_runs: runs[1] + runs[2],
            failed_runs: runs[2],
            answers,
            index_memory_bytes: info.memory_bytes,
            records_memory_bytes: self.db().stats().used_bytes,
            disk_bytes: self.disk_bytes(),
            commits: self.store().stats().commits,
        })
    }

    fn disk_bytes(&self) -> u64 {
        let mut bytes = 0;
        for entry in WalkDir::new(self.dir()).min_depth(1) {
            // A segment that was collected since its folder was listed has no size any more.
            bytes += entry
                .and_then(|entry| entry.metadata())
                .map_or(0, |metadata| {
                    if metadata.is_file() {
                        metadata.len()
                    } else {
                        0
                    }
                });
        }
        bytes
    }
}

impl Stats {
    /// Prints the numbers.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let queue = &self.queue;
        writeln!(
            out,
            "index         {} chunks of {} files, {} of text; {} in memory",
            number(self.records),
            number(self.files),
            size(self.file_bytes),
            size(self.index_memory_bytes),
        )?;
        writeln!(
            out,
            "queue         {} waiting, {} being worked on, {} dead letters",
            number(queue.ready + queue.delayed),
            number(queue.leased),
            number(queue.dead),
        )?;
        writeln!(
            out,
            "runs          {} active, {} ended ones kept, {} of them failed",
            number(self.active_runs),
            number(self.ended_runs),
            number(self.failed_runs),
        )?;
        writeln!(
            out,
            "records       {} in memory, {} cached answers",
            size(self.records_memory_bytes),
            number(self.answers),
        )?;
        writeln!(out, "store         {} on disk", size(self.disk_bytes))
    }
}
